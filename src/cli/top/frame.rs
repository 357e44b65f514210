//! One frame, out of two looks at the hub: text alone, as wide and as high as there is room.

use serde_json::{Value, json};

use super::Sample;
use crate::cli::devices;

/// Counters whose rate is of interest: a name, and where each is in the health's counters.
const RATES: [(&str, &str); 6] = [
    ("adverts", "/ble/adverts"),
    ("refused", "/ble/rejected"),
    ("dropped", "/ble/dropped"),
    ("zwave_messages", "/zwave/messages"),
    ("events", "/store/events"),
    ("acknowledged", "/mqtt/acknowledged"),
];

/// How often each happened in a second, between the two.
pub fn rates(now: &Sample, before: &Sample) -> Value {
    let seconds = (now.at - before.at).as_secs_f64().max(0.001);
    let rate = |at: &str| (count(now, at) as f64 - count(before, at) as f64).max(0.0) / seconds;
    RATES.iter().map(|(name, at)| ((*name).to_owned(), json!(rate(at)))).collect::<serde_json::Map<_, _>>().into()
}

fn count(sample: &Sample, at: &str) -> u64 {
    sample.health["counters"].pointer(at).and_then(Value::as_u64).unwrap_or_default()
}

/// At most `height` lines of at most `width` characters.
pub fn lines(now: &Sample, before: &Sample, (width, height): (usize, usize)) -> Vec<String> {
    let rates = rates(now, before);
    let rate = |name: &str| format!("{:.1}/s", rates[name].as_f64().unwrap_or_default());
    let text = |key: &str| now.health[key].as_str().unwrap_or("?").to_owned();
    let mut lines = vec![
        format!("Portcullis {} on {}: q ends it", text("version"), text("hub")),
        format!(
            "adverts  {:>9} {:>11}   refused {:>8} {:>8}   dropped {:>8} {:>8}   Z-Wave {:>8}",
            rate("adverts"),
            count(now, "/ble/adverts"),
            rate("refused"),
            count(now, "/ble/rejected"),
            rate("dropped"),
            count(now, "/ble/dropped"),
            rate("zwave_messages"),
        ),
        format!(
            "events   {:>9} {:>11}   backlog {:>8}   acknowledged {:>8}   undeliverable {}",
            rate("events"),
            now.health["last_seq"].as_u64().unwrap_or_default(),
            count(now, "/mqtt/backlog"),
            rate("acknowledged"),
            count(now, "/mqtt/undeliverable") + count(now, "/webhooks/undeliverable"),
        ),
        String::new(),
    ];
    lines.extend(parts(&now.health));
    let devices = devices(now);
    let events = events(now);
    // What is left is for the devices, but for some of the newest events.
    let left = height.saturating_sub(lines.len());
    let for_events = events.len().min((left / 3).max(left.saturating_sub(devices.len())));
    lines.extend(devices.into_iter().take(left.saturating_sub(for_events)));
    lines.extend(events.into_iter().take(for_events));
    lines.truncate(height);
    lines.into_iter().map(|line| fit(&line, width)).collect()
}

/// Those that are down first.
fn parts(health: &Value) -> Vec<String> {
    let mut parts: Vec<(&String, &Value)> = health["parts"].as_object().into_iter().flatten().collect();
    parts.sort_by_key(|(_, state)| state["up"] == true);
    let line = |(name, state): (&String, &Value)| {
        let mark = if state["up"] == true { "ok  " } else { "DOWN" };
        format!("{mark}  {name:<16} {}", state["detail"].as_str().unwrap_or_default())
    };
    parts.into_iter().map(line).collect()
}

/// Managed devices, the one that was heard last first; those that are not judged by hearing behind them.
fn devices(now: &Sample) -> Vec<String> {
    let is = |device: &Value, what: &str| device[what] == true || device["properties"][what] == true;
    let (mut managed, others): (Vec<&Value>, Vec<&Value>) = now.devices.iter().partition(|d| is(d, "is_managed"));
    let ago = |device: &Value| now.heard[device["device_id"].as_str().unwrap_or_default()].as_f64();
    managed.sort_by(|a, b| {
        let key = |d: &Value| ago(d).unwrap_or(f64::INFINITY);
        key(a).total_cmp(&key(b)).then_with(|| a["display_name"].as_str().cmp(&b["display_name"].as_str()))
    });
    let online = managed.iter().filter(|d| is(d, "online")).count();
    let head = format!("devices  {online} online of {} managed; {} others heard", managed.len(), others.len());
    let line = |device: &&Value| {
        let ago = ago(device).map_or_else(|| "-".into(), age);
        let name = device["properties"]["name"].as_str().unwrap_or("?");
        format!("  {ago:>8}  {name:<28} {}", devices::notes(device))
    };
    [String::new(), head].into_iter().chain(managed.iter().map(line)).collect()
}

/// `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`
fn age(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

fn events(now: &Sample) -> Vec<String> {
    let name = |event: &Value| {
        let of = |d: &&Value| d["device_id"] == event["device_id"] && !event["device_id"].is_null();
        let device = now.devices.iter().find(of).and_then(|d| d["properties"]["name"].as_str());
        device.or(event["device_id"].as_str()).or(event["connected_account_id"].as_str()).unwrap_or_default().to_owned()
    };
    let line = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let at = text("created_at").get(11..19).unwrap_or_default();
        format!("  {at}  {:<34} {}", text("event_type"), name(event))
    };
    [String::new(), "last events".to_owned()].into_iter().chain(now.events.iter().map(line)).collect()
}

/// Names come from the air: what would move the cursor is not shown.
fn fit(line: &str, width: usize) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(width).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(at: Instant, adverts: u64) -> Sample {
        let device = |id: &str, name: &str| json!({"device_id": id, "is_managed": true, "display_name": name, "properties": {"name": name, "online": true}});
        Sample {
            at,
            health: json!({
                "version": "0", "hub": "h", "last_seq": 7, "counters": {"ble": {"adverts": adverts}, "mqtt": {"backlog": 3}},
                "parts": {"ble/hci0": {"up": true, "detail": "listens"}, "mqtt": {"up": false, "detail": "no broker"}},
            }),
            devices: vec![device("a", "Back \x1b[2Jdoor"), device("b", "Front door"), device("c", "Keypad")],
            heard: json!({"a": 90.0, "b": 0.5}),
            events: (0..30).map(|n| json!({"created_at": "2026-01-15T12:00:00Z", "event_type": "lock.locked", "device_id": "b", "n": n})).collect(),
        }
    }

    fn frame(size: (usize, usize)) -> Vec<String> {
        let at = Instant::now();
        lines(&sample(at + Duration::from_secs(2), 300), &sample(at, 100), size)
    }

    #[test]
    fn adverts_are_told_by_the_second_and_what_is_down_comes_first() {
        let lines = frame((200, 100));
        assert!(lines[1].contains("100.0/s") && lines[2].contains("backlog        3"), "{lines:#?}");
        assert!(lines[4].starts_with("DOWN  mqtt") && lines[5].starts_with("ok    ble/hci0"), "{lines:#?}");
    }

    #[test]
    fn who_was_heard_last_comes_first_and_who_is_never_heard_last() {
        let lines = frame((200, 100));
        let place = |what: &str| lines.iter().position(|l| l.contains(what)).unwrap();
        assert!(
            place("0.5 s  Front door") < place("90 s  Back") && place("90 s  Back") < place("-  Keypad"),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_frame_fits_its_terminal_and_no_name_moves_the_cursor() {
        for (width, height) in [(40, 12), (80, 24), (1, 1), (0, 0), (200, 60)] {
            let lines = frame((width, height));
            assert!(lines.len() <= height && lines.iter().all(|l| l.chars().count() <= width), "{lines:#?}");
            assert!(!lines.iter().any(|l| l.contains('\x1b')));
        }
        assert!(frame((80, 24)).iter().any(|l| l.contains("lock.locked")), "events keep a place");
    }
}
