//! Devices in Seam's shape: what their rows become in answers. What Seam has no place for is in `properties` under its own name.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::hub::RowKind;
use crate::store::StateRow;

/// What Seam names amiss with a device. Its list is closed; what it has no word for is a `provider_issue`, whose message says it.
const WARNINGS: [&str; 4] =
    ["device_has_flaky_connection", "privacy_mode", "third_party_integration_detected", "provider_issue"];

/// Names of a view that are shown in `properties` as they are.
const AS_THEY_ARE: [&str; 15] = [
    "key",
    "kind",
    "family",
    "firmware",
    "locked",
    "lock_state",
    "door_open",
    "tampered",
    "privacy_mode",
    "online_since",
    "third_party_integration",
    "noise_level_decibels",
    "currently_triggering_noise_threshold_ids",
    "measured",
    "access_codes",
];

/// Every device of these rows, in the order of their ids.
pub fn all(rows: &[StateRow], workspace: Uuid) -> impl Iterator<Item = Value> {
    let mut rows: Vec<&StateRow> = rows.iter().filter(|row| row.kind == RowKind::Device).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.into_iter().filter_map(|row| row.value.clone()).map(move |view| device(view, workspace))
}

/// A device's view (see `hub::DeviceView`) in Seam's shape.
pub fn device(mut view: Value, workspace: Uuid) -> Value {
    let kind = view["kind"].as_str().unwrap_or_default().to_owned();
    let managed = view["is_managed"] == true;
    let can_lock = view["can_lock"] == true;
    // What only observes a lock's codes programs none.
    let slots = view["code_slots"].as_u64().filter(|slots| *slots > 0 && !view["access_codes"].is_null());
    let manufacturer = view["manufacturer"].as_str().unwrap_or("unknown").to_owned();
    let mut device = json!({
        "device_id": view["device_id"],
        "device_type": device_type(&kind, &manufacturer),
        "capabilities_supported": capabilities(&view, &kind),
        "connected_account_id": view["connected_account_id"],
        "workspace_id": workspace,
        "created_at": view["created_at"].as_str().unwrap_or("1970-01-01T00:00:00.000Z"),
        "errors": errors(&view),
        "warnings": warnings(&view),
        "is_managed": managed,
        "custom_metadata": view["custom_metadata"].as_object().cloned().unwrap_or_default(),
        "can_remotely_lock": can_lock,
        "can_remotely_unlock": can_lock,
        "can_program_online_access_codes": slots.is_some(),
        "can_program_offline_access_codes": false,
        "can_unlock_with_code": view["code_slots"].as_u64().is_some_and(|slots| slots > 0) || kind == "keypad",
        "can_configure_auto_lock": false,
        "location": {},
        "device_manufacturer": {"manufacturer": manufacturer, "display_name": manufacturer},
    });
    if managed {
        device["display_name"] = view["name"].clone();
        device["nickname"] = view["name"].clone();
        device["space_ids"] = json!([]);
    }
    device["properties"] = properties(&mut view, slots, manufacturer);
    device
}

fn properties(view: &mut Value, slots: Option<u64>, manufacturer: String) -> Value {
    let mut properties = json!({
        "name": view["name"],
        "appearance": {"name": view["name"]},
        "online": view["online"],
        "manufacturer": manufacturer,
        "model": {
            "display_name": view["model"].as_str().unwrap_or("unknown"),
            "manufacturer_display_name": manufacturer,
            "online_access_codes_supported": slots.is_some(),
            "offline_access_codes_supported": false,
        },
        "supports_offline_access_codes": false,
        "offline_access_codes_enabled": false,
        "online_access_codes_enabled": slots.is_some(),
    });
    if let Some(slots) = slots {
        properties["max_active_codes_supported"] = json!(slots);
        if let Ok((least, most)) = serde_json::from_value::<(u8, u8)>(view["access_codes"]["lengths"].clone()) {
            properties["supported_code_lengths"] = json!((least..=most).collect::<Vec<u8>>());
        }
        properties["code_constraints"] = json!([]);
        properties["supports_backup_access_code_pool"] = json!(true);
    }
    let battery = &view["battery"];
    if let Some(level) = battery["level"].as_f64() {
        properties["battery_level"] = json!(level);
        if let Some(status) = battery["status"].as_str() {
            properties["battery"] = json!({"level": level, "status": status});
        }
    }
    if let Some(connected) = view["accessory_keypad_connected"].as_bool() {
        properties["accessory_keypad"] = json!({"is_connected": connected});
        properties["supports_accessory_keypad"] = json!(true);
    }
    for name in AS_THEY_ARE {
        if !view[name].is_null() {
            properties[name] = view[name].take();
        }
    }
    properties
}

fn capabilities(view: &Value, kind: &str) -> Vec<&'static str> {
    let has = [
        (is_lock(view), "lock"),
        (view["code_slots"].as_u64().is_some_and(|slots| slots > 0), "access_code"),
        (kind == "noise_sensor", "noise_detection"),
        (view["battery"]["level"].is_number(), "battery"),
    ];
    has.into_iter().filter(|(has, _)| *has).map(|(_, capability)| capability).collect()
}

/// Whether a view is of a lock.
pub fn is_lock(view: &Value) -> bool {
    view["kind"] == "lock" || view["can_lock"] == true
}

/// Each says whose it is.
fn errors(view: &Value) -> Value {
    let mut errors = view["errors"].as_array().cloned().unwrap_or_default();
    for error in &mut errors {
        let of_account = error["error_code"] == "account_disconnected";
        if of_account {
            error["is_connected_account_error"] = true.into();
        }
        error["is_device_error"] = (!of_account).into();
    }
    errors.into()
}

fn warnings(view: &Value) -> Value {
    let mut warnings = view["warnings"].as_array().cloned().unwrap_or_default();
    for warning in &mut warnings {
        if !WARNINGS.iter().any(|known| warning["warning_code"] == *known) {
            warning["warning_code"] = "provider_issue".into();
        }
    }
    warnings.into()
}

/// Seam's `device_type` is a closed list of brands. A lock of another brand is a `smartthings_lock`: the one that Seam uses for
/// any lock behind a hub.
fn device_type(kind: &str, manufacturer: &str) -> &'static str {
    const BRANDS: [(&str, &str); 7] = [
        ("nuki", "nuki_lock"),
        ("schlage", "schlage_lock"),
        ("allegion", "schlage_lock"),
        ("yale", "yale_lock"),
        ("kwikset", "kwikset_lock"),
        ("tedee", "tedee_lock"),
        ("august", "august_lock"),
    ];
    let manufacturer = manufacturer.to_lowercase();
    match kind {
        "noise_sensor" => "minut_sensor",
        "lock" | "keypad" => {
            BRANDS.iter().find(|(brand, _)| manufacturer.contains(brand)).map_or("smartthings_lock", |b| b.1)
        }
        _ => "controlbyweb_device",
    }
}
