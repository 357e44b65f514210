//! `/metrics`, for Prometheus (text format 0.0.4).
//!
//! The rules are those of docs/metrics.md. Every counter of [`Health`] is in [`TABLE`]; a test holds it to that.

use std::fmt::Write;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::App;
use super::envelope::ApiError;
use super::events::read;
use crate::health::Health;
use crate::hub::RowKind;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}
use Kind::{Counter, Gauge, Histogram};

/// Where it is in the health's counters, its name without the prefix, its kind, and what it says.
const TABLE: &[(&str, &str, Kind, &str)] = &[
    ("ble.adverts", "ble_adverts_total", Counter, "Adverts heard."),
    ("ble.rejected", "ble_adverts_rejected_total", Counter, "Adverts that a decoder refused."),
    ("ble.refused", "ble_adverts_refused_total", Counter, "Adverts that a decoder refused, by reason."),
    (
        "ble.strangers_forgotten",
        "ble_strangers_forgotten_total",
        Counter,
        "Strangers forgotten to make room for others.",
    ),
    ("ble.problems", "ble_devices_not_understood", Gauge, "Devices of ours that cannot be understood, by reason."),
    ("ble.dropped", "ble_adverts_dropped_total", Counter, "Adverts dropped because a queue or table was full."),
    ("ble.scan_restarts", "ble_scan_restarts_total", Counter, "Scans started anew because an adapter seemed deaf."),
    ("ble.malformed", "ble_messages_malformed_total", Counter, "Messages of bluetoothd that could not be read."),
    ("ble.gatt_failures", "ble_gatt_failures_total", Counter, "Connections for a battery that failed."),
    (
        "hub.strangers_refused",
        "hub_strangers_refused_total",
        Counter,
        "Unmanaged devices turned away, as there are too many.",
    ),
    (
        "hub.presence",
        "hub_presence_judgements_total",
        Counter,
        "Managed devices judged to be here or gone, by what was told.",
    ),
    ("zwave.messages", "zwave_messages_total", Counter, "Messages of Z-Wave JS servers."),
    (
        "zwave.malformed",
        "zwave_messages_malformed_total",
        Counter,
        "Messages of Z-Wave JS servers that could not be read.",
    ),
    ("zwave.reconnects", "zwave_reconnects_total", Counter, "Connections to Z-Wave JS servers made anew."),
    ("store.events", "events_total", Counter, "Events accepted into the log."),
    ("store.commits", "store_commits_total", Counter, "Transactions on disk."),
    (
        "store.write_errors",
        "store_write_errors_total",
        Counter,
        "Transactions that the disk refused; they are tried again.",
    ),
    ("store.lost", "events_lost_total", Counter, "Events lost because the disk failed for longer than memory lasted."),
    ("store.expired", "events_expired_total", Counter, "Events that went by age or size of the log."),
    ("store.expired_unsent", "events_expired_unsent_total", Counter, "Those of them that some sink had not taken."),
    ("mqtt.published", "mqtt_published_total", Counter, "Events sent to the broker, with those sent again."),
    ("mqtt.acknowledged", "mqtt_acknowledged_total", Counter, "Events that the broker acknowledged."),
    (
        "mqtt.acknowledgement_seconds",
        "mqtt_acknowledgement_seconds",
        Histogram,
        "From handing an event to the socket to the broker's acknowledgement.",
    ),
    ("mqtt.reconnects", "mqtt_reconnects_total", Counter, "Connections to the broker made anew."),
    (
        "mqtt.undeliverable",
        "mqtt_undeliverable_total",
        Counter,
        "Events set aside because the broker will never take them.",
    ),
    ("mqtt.missed", "mqtt_missed_total", Counter, "Events that the log lost before the broker acknowledged them."),
    ("mqtt.backlog", "mqtt_backlog", Gauge, "Events that the broker has not acknowledged yet."),
    ("mqtt.backfilled", "mqtt_backfilled_total", Counter, "Events told again because somebody asked for them."),
    ("mqtt.commands", "mqtt_commands_total", Counter, "Commands over MQTT that were done."),
    ("mqtt.commands_refused", "mqtt_commands_refused_total", Counter, "Commands over MQTT that were refused."),
    ("webhooks.delivered", "webhooks_delivered_total", Counter, "Events that an endpoint took."),
    ("webhooks.failed", "webhooks_failed_total", Counter, "Tries that an endpoint did not take."),
    ("webhooks.undeliverable", "webhooks_undeliverable_total", Counter, "Events whose last try failed."),
    ("webhooks.missed", "webhooks_missed_total", Counter, "Events that the log lost before an endpoint was told."),
    ("webhooks.disabled", "webhooks_disabled_total", Counter, "Endpoints that were given up."),
    ("heartbeat.sent", "heartbeats_total", Counter, "Heartbeats that were taken."),
    (
        "heartbeat.failed",
        "heartbeats_failed_total",
        Counter,
        "Heartbeats that were not taken, or not sent for want of life.",
    ),
];

pub async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let mut text = counters(&app.health);
    let say = &mut text;
    one(
        say,
        "info",
        Gauge,
        "The hub that this is.",
        &[("version", env!("CARGO_PKG_VERSION")), ("hub", &app.names.hub)],
        1.0,
    );
    one(say, "log_last_seq", Gauge, "seq of the newest event on disk.", &[], app.store.head().borrow().seq as f64);
    head(say, "part_up", Gauge, "Whether a source or sink works.");
    for (part, state) in app.health.parts() {
        sample(say, "part_up", &[("part", &part)], f64::from(u8::from(state.up)));
    }
    let devices = read(app.store.clone(), |store| store.rows_after(RowKind::Device, "", usize::MAX)).await?;
    let is = |device: &Value, what: &str| device[what].as_bool().unwrap_or(false);
    head(say, "devices", Gauge, "Devices, by whether they are managed and whether they are there.");
    for (managed, online) in [(true, true), (true, false), (false, true), (false, false)] {
        let of_this = |row: &&crate::store::StateRow| {
            row.value.as_ref().is_some_and(|d| is(d, "is_managed") == managed && is(d, "online") == online)
        };
        let labels = [("managed", if managed { "yes" } else { "no" }), ("online", if online { "yes" } else { "no" })];
        sample(say, "devices", &labels, devices.iter().filter(of_this).count() as f64);
    }
    one(say, "disk_bytes", Gauge, "What the state takes of the disk.", &[], disk_bytes(&app.names.state_dir) as f64);
    if let Some(bytes) = resident_bytes() {
        one(say, "resident_memory_bytes", Gauge, "Memory of the hub's process.", &[], bytes as f64);
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn counters(health: &Health) -> String {
    let counters = serde_json::to_value(health).unwrap_or_default();
    let mut text = String::new();
    for (path, name, kind, help) in TABLE {
        let value = path.split('.').fold(&counters, |at, key| &at[key]);
        head(&mut text, name, *kind, help);
        match value {
            histogram if *kind == Histogram => buckets(&mut text, name, histogram),
            Value::Object(by) if by.values().all(Value::is_string) => {
                let mut reasons: Vec<_> = by.values().filter_map(Value::as_str).collect();
                reasons.sort_unstable();
                for same in reasons.chunk_by(|a, b| a == b) {
                    sample(&mut text, name, &[("reason", same[0])], same.len() as f64);
                }
            }
            Value::Object(by) => {
                for (reason, count) in by {
                    sample(&mut text, name, &[("reason", reason)], count.as_f64().unwrap_or(0.0));
                }
            }
            value => sample(&mut text, name, &[], value.as_f64().unwrap_or(0.0)),
        }
    }
    text
}

fn buckets(text: &mut String, name: &str, histogram: &Value) {
    for bucket in histogram["buckets"].as_array().into_iter().flatten() {
        let bound = bucket[0].as_str().unwrap_or_default();
        sample(text, &format!("{name}_bucket"), &[("le", bound)], bucket[1].as_f64().unwrap_or(0.0));
    }
    for part in ["sum", "count"] {
        sample(text, &format!("{name}_{part}"), &[], histogram[part].as_f64().unwrap_or(0.0));
    }
}

fn one(text: &mut String, name: &str, kind: Kind, help: &str, labels: &[(&str, &str)], value: f64) {
    head(text, name, kind, help);
    sample(text, name, labels, value);
}

fn head(text: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Counter => "counter",
        Gauge => "gauge",
        Histogram => "histogram",
    };
    let _ = writeln!(text, "# HELP portcullis_{name} {help}\n# TYPE portcullis_{name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let label = |(key, value): &(&str, &str)| {
        format!("{key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    };
    let labels: Vec<String> = labels.iter().map(label).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "portcullis_{name}{labels} {value}");
}

/// All files of the state directory itself; what cannot be seen counts nothing.
fn disk_bytes(state_dir: &std::path::Path) -> u64 {
    let Ok(files) = std::fs::read_dir(state_dir) else { return 0 };
    files.flatten().filter_map(|file| file.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
}

/// From proc(5); `None` where there is no /proc, or the sandbox hides it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Address;
    use crate::source::ble::decode::Reject;

    #[test]
    fn every_counter_is_a_metric() {
        let health = serde_json::to_value(Health::default()).unwrap();
        let counted = health.as_object().unwrap().iter().filter(|(part, _)| *part != "parts");
        let mut counted: Vec<String> = counted
            .flat_map(|(part, counters)| counters.as_object().unwrap().keys().map(move |key| format!("{part}.{key}")))
            .collect();
        let mut told: Vec<String> = TABLE.iter().map(|(path, ..)| path.to_string()).collect();
        counted.sort();
        told.sort();
        assert_eq!(counted, told);
    }

    #[test]
    fn what_grows_is_called_a_total_and_what_does_not_is_not() {
        for (_, name, kind, _) in TABLE {
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
        }
    }

    #[test]
    fn how_long_the_broker_took_is_told_by_bounds_each_with_those_before_it() {
        let health = Health::default();
        for ms in [1, 4, 40_000] {
            health.mqtt.acknowledgement_seconds.observe(std::time::Duration::from_millis(ms));
        }
        let text = counters(&health);
        let name = "portcullis_mqtt_acknowledgement_seconds";
        for sample in
            ["_bucket{le=\"0.001\"} 1", "_bucket{le=\"0.005\"} 2", "_bucket{le=\"30\"} 2", "_bucket{le=\"+Inf\"} 3"]
        {
            assert!(text.contains(&format!("{name}{sample}\n")), "{sample}: {text}");
        }
        assert!(text.contains(&format!("{name}_sum 40.005\n{name}_count 3\n")), "{text}");
    }

    #[test]
    fn reasons_are_labels_and_no_address_is_told() {
        let health = Health::default();
        let address: Address = "C0:FF:EE:00:00:01".parse().unwrap();
        health.ble.heard(Some(Reject::WrongKey), Some((address, Some(Reject::WrongKey))));
        let text = counters(&health);
        assert!(text.contains("portcullis_ble_adverts_refused_total{reason=\"wrong_key\"} 1\n"), "{text}");
        assert!(text.contains("portcullis_ble_devices_not_understood{reason=\"wrong_key\"} 1\n"), "{text}");
        assert!(!text.to_uppercase().contains("C0:FF:EE"), "{text}");
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut text = String::new();
        sample(&mut text, "x", &[("part", "a\"b\\c\nd")], 1.0);
        assert_eq!(text, "portcullis_x{part=\"a\\\"b\\\\c\\nd\"} 1\n");
    }

    #[test]
    fn the_dashboard_shows_only_what_there_is() {
        let dashboard = include_str!("../../deploy/grafana/portcullis.json");
        let names = dashboard.split("portcullis_").skip(1);
        let names = names.map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_lowercase()).next().unwrap());
        let of_the_hub = ["info", "part_up", "devices", "disk_bytes", "resident_memory_bytes"];
        for name in names {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(of_the_hub.contains(&name) || TABLE.iter().any(|(_, known, ..)| *known == name), "{name}");
        }
    }
}
