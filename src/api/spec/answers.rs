//! What the paths answer with. `make api-fuzz` holds the answers of a running hub against it.

use serde_json::{Map, Value, json};

/// A path, and the keys of its good answer with their schemas; `[]` behind one: a list.
pub const ANSWERS: &[(&str, &[(&str, &str)])] = &[
    ("/health", &[("health", "Health")]),
    ("/events/list", &[("events", "Event[]")]),
    ("/events/get", &[("event", "Event")]),
    ("/devices/list", &[("devices", "Device[]"), ("pagination", "Pagination")]),
    ("/devices/get", &[("device", "Device")]),
    ("/devices/explain", &[("explanation", "Object")]),
    ("/devices/heard", &[("heard_ago_s", "Object")]),
    ("/devices/update", &[]),
    ("/devices/delete", &[]),
    ("/devices/list_device_providers", &[("device_providers", "Object[]")]),
    ("/devices/unmanaged/list", &[("devices", "Device[]"), ("pagination", "Pagination")]),
    ("/devices/unmanaged/get", &[("device", "Device")]),
    ("/devices/unmanaged/update", &[]),
    ("/locks/list", &[("devices", "Device[]"), ("locks", "Device[]"), ("pagination", "Pagination")]),
    ("/locks/get", &[("device", "Device"), ("lock", "Device")]),
    ("/locks/lock_door", &[("action_attempt", "ActionAttempt")]),
    ("/locks/unlock_door", &[("action_attempt", "ActionAttempt")]),
    ("/action_attempts/list", &[("action_attempts", "ActionAttempt[]"), ("pagination", "Pagination")]),
    ("/action_attempts/get", &[("action_attempt", "ActionAttempt")]),
    ("/access_codes/list", &[("access_codes", "AccessCode[]"), ("pagination", "Pagination")]),
    ("/access_codes/get", &[("access_code", "AccessCode")]),
    ("/access_codes/create", &[("access_code", "AccessCode")]),
    ("/access_codes/create_multiple", &[("access_codes", "AccessCode[]")]),
    ("/access_codes/update", &[]),
    ("/access_codes/update_multiple", &[]),
    ("/access_codes/delete", &[]),
    ("/access_codes/generate_code", &[("generated_code", "Object")]),
    ("/access_codes/pull_backup_access_code", &[("access_code", "AccessCode"), ("backup_access_code", "AccessCode")]),
    ("/access_codes/unmanaged/list", &[("access_codes", "AccessCode[]"), ("pagination", "Pagination")]),
    ("/access_codes/unmanaged/get", &[("access_code", "AccessCode")]),
    ("/access_codes/unmanaged/update", &[]),
    ("/access_codes/unmanaged/convert_to_managed", &[]),
    ("/access_codes/unmanaged/delete", &[]),
    ("/noise_sensors/list", &[("devices", "Device[]"), ("noise_sensors", "Device[]"), ("pagination", "Pagination")]),
    ("/noise_sensors/noise_thresholds/list", &[("noise_thresholds", "NoiseThreshold[]")]),
    ("/noise_sensors/noise_thresholds/get", &[("noise_threshold", "NoiseThreshold")]),
    ("/noise_sensors/noise_thresholds/create", &[("noise_threshold", "NoiseThreshold")]),
    ("/noise_sensors/noise_thresholds/update", &[]),
    ("/noise_sensors/noise_thresholds/delete", &[]),
    ("/connected_accounts/list", &[("connected_accounts", "ConnectedAccount[]"), ("pagination", "Pagination")]),
    ("/connected_accounts/get", &[("connected_account", "ConnectedAccount")]),
    ("/connected_accounts/create", &[("connected_account", "ConnectedAccount")]),
    ("/connected_accounts/delete", &[]),
    ("/workspaces/get", &[("workspace", "Workspace")]),
    ("/workspaces/list", &[("workspaces", "Workspace[]")]),
    ("/webhooks/create", &[("webhook", "Webhook")]),
    ("/webhooks/get", &[("webhook", "Webhook")]),
    ("/webhooks/list", &[("webhooks", "Webhook[]")]),
    ("/webhooks/update", &[]),
    ("/webhooks/delete", &[]),
    ("/undeliverable/list", &[("undeliverable", "Undeliverable[]")]),
    ("/undeliverable/retry", &[("undeliverable", "Undeliverable[]")]),
];

/// Paths that answer with no envelope: documents, and the stream.
pub const OTHERS: &[&str] = &["/events/stream", "/metrics", "/openapi.json", "/asyncapi.json", "/schemas/events.json"];

/// The schema of a path's good answer; `None` for one without an envelope.
pub fn of(path: &str) -> Option<Value> {
    let (_, keys) = ANSWERS.iter().find(|(known, _)| *known == path)?;
    let mut properties = Map::from_iter([("ok".to_owned(), json!({"const": true}))]);
    let mut required = vec!["ok"];
    for (key, schema) in *keys {
        let name = schema.trim_end_matches("[]");
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        let list = schema.ends_with("[]");
        properties
            .insert((*key).to_owned(), if list { json!({"type": "array", "items": reference}) } else { reference });
        required.push(key);
    }
    Some(json!({"type": "object", "properties": properties, "required": required}))
}

/// The shapes, by name. All may have more than is named: what is named is always there.
pub fn schemas() -> Map<String, Value> {
    let id = || json!({"type": "string", "format": "uuid"});
    let time = || json!({"type": "string", "format": "date-time"});
    let maybe_time = || json!({"type": ["string", "null"], "format": "date-time"});
    let text = || json!({"type": "string"});
    let flag = || json!({"type": "boolean"});
    let object = || json!({"type": "object"});
    let issues = || json!({"type": "array", "items": {"type": "object"}});
    let shape = |properties: Value| {
        let required: Vec<String> =
            properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        json!({"type": "object", "properties": properties, "required": required})
    };
    let shapes = [
        ("Object", object()),
        (
            "Health",
            shape(json!({
                "version": text(), "hub": text(), "hub_id": id(), "workspace_id": id(), "log_id": id(),
                "last_seq": {"type": "integer"}, "parts": object(), "counters": object(),
            })),
        ),
        (
            "Device",
            shape(json!({
                "device_id": id(), "device_type": text(), "connected_account_id": id(), "workspace_id": id(),
                "capabilities_supported": {"type": "array", "items": text()}, "properties": object(), "created_at": time(),
                "is_managed": flag(), "errors": issues(), "warnings": issues(),
            })),
        ),
        (
            "ActionAttempt",
            shape(json!({
                "action_attempt_id": id(), "action_type": text(), "status": {"enum": ["pending", "success", "error"]},
                "result": {"type": ["object", "null"]}, "error": {"type": ["object", "null"]},
            })),
        ),
        (
            "AccessCode",
            shape(json!({
                "access_code_id": id(), "device_id": id(), "type": {"enum": ["ongoing", "time_bound"]},
                "status": text(), "is_managed": flag(), "created_at": time(), "errors": issues(), "warnings": issues(),
            })),
        ),
        (
            "NoiseThreshold",
            shape(json!({
                "noise_threshold_id": id(), "device_id": id(), "name": text(),
                "noise_threshold_decibels": {"type": "number"},
                "starts_daily_at": text(), "ends_daily_at": text(),
            })),
        ),
        (
            "ConnectedAccount",
            shape(json!({
                "connected_account_id": id(), "account_type": text(), "created_at": maybe_time(), "errors": issues(),
                "warnings": issues(),
            })),
        ),
        ("Workspace", shape(json!({"workspace_id": id(), "name": text(), "is_sandbox": flag()}))),
        ("Webhook", shape(json!({"webhook_id": id(), "url": text(), "is_enabled": flag(), "created_at": time()}))),
        (
            "Undeliverable",
            shape(json!({
                "sink": text(), "seq": {"type": "integer"}, "reason": text(), "again": flag(),
            })),
        ),
        (
            "Pagination",
            shape(json!({
                "has_next_page": flag(), "next_page_cursor": {"type": ["string", "null"]},
                "next_page_url": {"type": ["string", "null"]},
            })),
        ),
        ("Refusal", shape(json!({"ok": {"const": false}, "error": shape(json!({"type": text(), "message": text()}))}))),
    ];
    shapes.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
