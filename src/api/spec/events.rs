//! JSON Schemas of every event. Which details a type carries is written here once; `tests/openapi.rs` holds them to what the catalogue
//! requires.

use serde_json::{Map, Value, json};

use crate::event::{EventType, Issues};

/// On every event.
const COMMON: &[&str] =
    &["event_id", "event_type", "workspace_id", "created_at", "occurred_at", "connected_account_id"];

/// What a type carries beside the common: always, and sometimes.
fn details(event_type: EventType) -> (&'static [&'static str], &'static [&'static str]) {
    use EventType::*;
    const CODE: &[&str] = &["access_code_id"];
    const NOTHING: &[&str] = &[];
    match event_type {
        AccessCodeChanged => (CODE, &["changed_properties", "change_reason"]),
        AccessCodeScheduledOnDevice | AccessCodeSetOnDevice => (&["access_code_id", "code"], NOTHING),
        AccessCodeBackupAccessCodePulled => (&["access_code_id", "backup_access_code_id"], NOTHING),
        AccessCodeDeleted => (CODE, &["code"]),
        AccessCodeNameChanged | AccessCodeCodeChanged | AccessCodeTimeFrameChanged => {
            (CODE, &["description", "change_reason", "from", "to"])
        }
        _ if event_type.as_str().starts_with("access_code.") => (CODE, NOTHING),
        ConnectedAccountCreated | ConnectedAccountSuccessfulLogin => (&["connect_webview_id"], NOTHING),
        DeviceDisconnected | DeviceUnmanagedDisconnected => (&["error_code"], NOTHING),
        DeviceLowBattery => (&["battery_level"], NOTHING),
        DeviceBatteryStatusChanged => (&["battery_status"], &["battery_level"]),
        DeviceNameChanged | DeviceDeleted => (NOTHING, &["device_name"]),
        ActionAttemptLockDoorSucceeded
        | ActionAttemptLockDoorFailed
        | ActionAttemptUnlockDoorSucceeded
        | ActionAttemptUnlockDoorFailed => (&["action_attempt_id", "action_type", "status"], NOTHING),
        LockLocked | LockUnlocked => {
            (&["method"], &["access_code_id", "access_code_is_managed", "action_attempt_id", "code"])
        }
        LockAccessDenied => (NOTHING, &["access_code_id", "access_code_is_managed", "reason"]),
        NoiseSensorNoiseThresholdTriggered => {
            (NOTHING, &["noise_level_decibels", "noise_threshold_id", "noise_threshold_name"])
        }
        _ => (NOTHING, NOTHING),
    }
}

fn issues(event_type: EventType) -> &'static [&'static str] {
    const ALL: &[&str] = &[
        "connected_account_errors",
        "connected_account_warnings",
        "device_errors",
        "device_warnings",
        "access_code_errors",
        "access_code_warnings",
    ];
    match event_type.issues() {
        Issues::None => &[],
        Issues::Account => &ALL[..2],
        Issues::Device => &ALL[..4],
        Issues::AccessCode => ALL,
    }
}

fn property(name: &str) -> Value {
    match name {
        "created_at" | "occurred_at" => json!({"type": "string", "format": "date-time", "pattern": "Z$"}),
        "battery_level" => json!({"type": "number", "minimum": 0, "maximum": 1}),
        "battery_status" => json!({"enum": ["critical", "low", "good", "full"]}),
        "error_code" => json!({"enum": ["device_disconnected", "hub_disconnected", "account_disconnected"]}),
        "method" => json!({"enum": ["keycode", "manual", "automatic", "unknown", "seamapi", "remote", "card"]}),
        "status" => json!({"enum": ["pending", "success", "error"]}),
        "reason" => json!({
            "type": "object", "required": ["reason_code", "message"],
            "properties": {"reason_code": {"type": "string"}, "message": {"type": "string"}},
        }),
        "changed_properties" => json!({"type": "array", "items": {
            "type": "object", "required": ["property", "from", "to"],
            "properties": {
                "property": {"type": "string"}, "from": {"type": ["string", "null"]}, "to": {"type": ["string", "null"]},
            },
        }}),
        "from" | "to" => json!({"type": "object"}),
        "noise_level_decibels" => json!({"type": "number"}),
        "access_code_is_managed" | "clock_unsynchronized" => json!({"type": "boolean"}),
        _ if name.ends_with("_errors") || name.ends_with("_warnings") => json!({"type": "array", "items": {
            "type": "object", "required": ["created_at", "message"],
            "properties": {
                "created_at": {"type": "string"}, "message": {"type": "string"}, "error_code": {"type": "string"},
                "warning_code": {"type": "string"},
            },
        }}),
        _ if name.ends_with("_id") => json!({"type": "string", "format": "uuid"}),
        _ => json!({"type": "string"}),
    }
}

/// The schema of one type, with everything that such an event may carry.
pub fn schema(event_type: EventType) -> Value {
    let (always, sometimes) = details(event_type);
    let about_account = event_type.as_str().starts_with("connected_account.");
    let device: &[&str] = if about_account { &[] } else { &["device_id"] };
    let required: Vec<&str> = [COMMON, device, always, issues(event_type)].concat();
    let mut properties: Map<String, Value> = required
        .iter()
        .chain(sometimes)
        .chain(&["clock_unsynchronized"])
        .map(|n| ((*n).to_owned(), property(n)))
        .collect();
    properties.insert("event_type".into(), json!({"const": event_type.as_str()}));
    json!({"type": "object", "title": event_type.as_str(), "properties": properties, "required": required})
}

/// What every event is, whatever its type.
pub(super) fn any() -> Value {
    let mut properties: Map<String, Value> =
        COMMON.iter().chain(&["device_id"]).map(|n| ((*n).to_owned(), property(n))).collect();
    properties.insert("event_type".into(), json!({"enum": EventType::ALL}));
    let description = "By its type it has more: see /schemas/events.json.";
    json!({"type": "object", "description": description, "properties": properties, "required": COMMON})
}

/// All of them in one document, by their type.
pub fn schemas() -> Value {
    let of = |t: &EventType| (t.as_str().to_owned(), schema(*t));
    let definitions: Map<String, Value> = EventType::ALL.iter().map(of).collect();
    let references: Vec<Value> = definitions.keys().map(|t| json!({"$ref": format!("#/$defs/{t}")})).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of a Portcullis hub",
        "oneOf": references,
        "$defs": definitions,
    })
}
