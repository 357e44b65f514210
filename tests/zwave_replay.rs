//! A real transcript of zwave-js-server, played as a capture through bridge and hub: every event that its steps caused, and no other.

use portcullis::config::Config;
use portcullis::event::Dialect;
use portcullis::signal::DeviceKey;
use portcullis::source::replay::replay;
use serde_json::{Value, json};

const HOME: u32 = 0x7e57_0001;

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/zwave/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect(&path)
}

/// The events of a capture of these records, as `SECONDS NODE TYPE DETAIL`.
fn told(records: Vec<Value>) -> Vec<String> {
    let config = "[[zwave]]\nname = \"main\"\nurl = \"ws://127.0.0.1:3000\"\n[ble]\nenabled = false\n";
    let config = Config::parse(config, "".as_ref(), Default::default()).expect("a good configuration");
    let header = json!({"portcullis_capture": 1, "start": "2026-01-01T00:00:00Z"});
    let capture: String = [header].into_iter().chain(records).map(|r| format!("{r}\n")).collect();
    let node_of =
        |id: &str| (1..=232).find(|node| DeviceKey::Zwave { home: HOME, node: *node }.device_id(0).to_string() == id);
    let mut told = Vec::new();
    replay(&config, capture.as_bytes(), |event| {
        let event: Value = serde_json::from_str(&event.render(Dialect::Classic)).expect("JSON");
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let node = node_of(&text("device_id")).map_or("-".into(), |n| n.to_string());
        let reason = event["reason"]["reason_code"].as_str().unwrap_or_default().to_owned();
        let words = [node, text("event_type"), text("method"), text("error_code"), text("battery_status"), reason];
        told.push(words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "));
    })
    .expect("a good capture");
    told
}

/// The network is met at the start: its greeting and its dump.
fn met() -> Vec<Value> {
    let dump = data("state-dump.json");
    let state = json!({"type": "result", "success": true, "messageId": "2", "result": {"state": dump["state"]}});
    vec![json!({"at": 0, "zwave": dump["version"]}), json!({"at": 0.1, "zwave": state})]
}

/// Every message of a transcript, and time enough after it.
fn transcript(file: &str) -> Vec<Value> {
    let steps = data(file);
    let messages = steps.as_array().unwrap().iter().flat_map(|step| step["messages"].as_array().unwrap());
    let records =
        messages.map(|m| json!({"at": m["t"].as_f64().unwrap() / 1000.0, "network": "main", "zwave": m["msg"]}));
    met().into_iter().chain(records).chain([json!({"at": 200, "end": true})]).collect()
}

#[test]
fn a_real_transcript_tells_every_event_that_its_steps_caused_and_no_other() {
    let expected = "\
        - connected_account.created
        - connected_account.connected
        2 device.added
        2 device.connected
        2 access_code.unmanaged.created
        3 device.added
        3 device.connected
        6 device.added
        6 device.connected
        - connected_account.completed_first_sync
        2 lock.unlocked manual
        2 lock.locked manual
        2 lock.unlocked keycode
        2 lock.locked automatic
        2 lock.unlocked keycode
        2 lock.locked keycode
        2 lock.unlocked unknown
        2 lock.locked unknown
        2 lock.unlocked keycode
        2 lock.locked keycode
        2 lock.unlocked unknown
        2 lock.locked unknown
        2 lock.access_denied too_many_attempts
        2 lock.access_denied too_many_attempts
        2 lock.access_denied unknown_code
        3 lock.access_denied unknown_code
        3 lock.access_denied blocklisted_code
        3 lock.unlocked keycode
        2 lock.access_denied unknown_code
        2 device.tampered
        2 device.battery_status_changed good
        2 device.battery_status_changed low
        2 device.low_battery
        2 device.battery_status_changed full
        3 device.battery_status_changed low
        3 device.low_battery
        2 device.battery_status_changed low
        2 device.low_battery
        5 device.added
        5 device.connected
        4 device.added
        4 device.connected
        2 lock.unlocked unknown
        2 lock.locked unknown
        2 access_code.unmanaged.created
        2 access_code.unmanaged.created
        2 access_code.unmanaged.removed
        2 access_code.unmanaged.removed
        2 access_code.unmanaged.removed
        3 access_code.unmanaged.created
        3 access_code.unmanaged.removed
        2 access_code.unmanaged.created
        2 access_code.unmanaged.removed
        2 device.disconnected device_disconnected
        2 device.connected
        2 lock.unlocked manual
        - connected_account.disconnected
        2 device.disconnected hub_disconnected
        3 device.disconnected hub_disconnected
        4 device.disconnected hub_disconnected
        5 device.disconnected hub_disconnected
        6 device.disconnected hub_disconnected
        - connected_account.connected
        2 device.connected
        3 device.connected
        6 device.connected
        3 device.removed
        5 device.removed";
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(told(transcript("steps.json")), expected);
}

#[test]
fn a_dump_told_again_is_no_news() {
    let again = || {
        met().into_iter().map(|mut record| {
            record["at"] = json!(100.0 + record["at"].as_f64().unwrap());
            record
        })
    };
    let twice = met().into_iter().chain(again()).chain([json!({"at": 200, "end": true})]).collect();
    let once = met().into_iter().chain([json!({"at": 200, "end": true})]).collect();
    assert_eq!(told(twice), told(once));
}

#[test]
fn a_link_that_was_down_tells_each_device_once_lost_and_once_back() {
    let down = json!({"at": 10, "link": {"network": "main", "up": false}});
    let up = json!({"at": 70, "link": {"network": "main", "up": true}});
    let dump = met().into_iter().map(|mut record| {
        record["at"] = json!(70.0 + record["at"].as_f64().unwrap());
        record
    });
    let met_once = told(met());
    for back in [vec![up.clone()], dump.clone().collect(), [up].into_iter().chain(dump).collect::<Vec<_>>()] {
        let records = met().into_iter().chain([down.clone()]).chain(back).chain([json!({"at": 100, "end": true})]);
        let said = told(records.collect());
        let mut later = said[met_once.len()..].to_vec();
        later.retain(|line| !line.contains("first_sync"));
        let nodes = |word: &str| [2, 3, 6].map(|node| format!("{node} device.{word}")).to_vec();
        let lost =
            [vec!["- connected_account.disconnected".to_owned()], nodes("disconnected hub_disconnected")].concat();
        let back = [vec!["- connected_account.connected".to_owned()], nodes("connected")].concat();
        assert_eq!(later, [lost, back].concat());
    }
}
