//! Seam's catalogue of events, and whether an event is what its entry says, in both dialects.
#![allow(dead_code)]

#[path = "schemas.rs"]
mod schemas;

use std::collections::{BTreeMap, BTreeSet};

use portcullis::event::Dialect;
use serde_json::{Map, Value};

const CATALOGUE: &str = include_str!("../data/seam/events.json");

/// What we add to every event that has it to say; Seam's clients ignore what they do not know.
const ADDED: [&str; 1] = ["clock_unsynchronized"];

/// Every entry by its type.
pub fn catalogue() -> BTreeMap<String, Value> {
    let types: Vec<Value> = serde_json::from_str(CATALOGUE).unwrap();
    types.into_iter().map(|t| (t["event_type"].as_str().unwrap().to_owned(), t)).collect()
}

pub fn names(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What an entry has that the classic dialect has not.
fn not_classic(name: &str) -> &'static [&'static str] {
    match name {
        "device.battery_status_changed" => &["battery_level"],
        "access_code.set_on_device" | "access_code.scheduled_on_device" => &[],
        _ => &["code"],
    }
}

/// Checks a rendered event against its entry, and against its JSON Schema.
pub fn check(text: &str, dialect: Dialect) {
    schemas::check(text);
    let body: Map<String, Value> = serde_json::from_str(text).unwrap();
    let name = body["event_type"].as_str().unwrap();
    let entry = &catalogue()[name];
    let has: BTreeSet<&str> = body.keys().map(String::as_str).collect();
    let mut required = names(&entry["required"]);
    let mut allowed: BTreeSet<&str> =
        required.union(&names(&entry["optional"])).copied().chain(names(&entry["undocumented"])).chain(ADDED).collect();
    if name.starts_with("lock.") || name.starts_with("device.") {
        required.insert("device_id");
    }
    if dialect == Dialect::Classic {
        for property in not_classic(name) {
            required.remove(property);
            allowed.remove(property);
        }
    }
    assert!(required.is_subset(&has), "{name} in {dialect:?} lacks {:?}", required.difference(&has));
    assert!(has.is_subset(&allowed), "{name} in {dialect:?} has {:?} besides", has.difference(&allowed));
    for (property, words) in entry["enums"].as_object().into_iter().flatten() {
        let value = property.split('.').try_fold(&Value::Object(body.clone()), |v, key| v.get(key)).cloned();
        let Some(word) = value.as_ref().and_then(Value::as_str) else { continue };
        let classic = dialect == Dialect::Classic && property == "method";
        let right =
            if classic { ["keycode", "manual", "automatic", "unknown", "seamapi"].into() } else { names(words) };
        assert!(right.contains(word), "{name}: {property} is {word:?}");
    }
    for key in body.keys().filter(|k| k.ends_with("_errors") || k.ends_with("_warnings")) {
        let code = if key.ends_with("_errors") { "error_code" } else { "warning_code" };
        for issue in body[key].as_array().unwrap() {
            for field in ["created_at", "message", code] {
                assert!(issue[field].is_string(), "{name}: {key} has an issue without {field}: {issue}");
            }
        }
    }
    for date in ["created_at", "occurred_at"] {
        let text = body[date].as_str().unwrap();
        assert!(text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{name}: {date} is {text}");
    }
}
