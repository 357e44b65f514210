//! `/devices/*` and `/connected_accounts/*`: what there is, in Seam's shape, and whose it is.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use super::envelope::{Answer, ApiError};
use super::params::Params;
use crate::hub::{Command, CommandError, RowKind};
use crate::store::StateRow;

/// Which devices a path is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Managed,
    Unmanaged,
}

pub async fn list(state: State<App>, params: Params) -> Result<Answer, ApiError> {
    list_of(Which::Managed, state, params)
}

pub async fn list_unmanaged(state: State<App>, params: Params) -> Result<Answer, ApiError> {
    list_of(Which::Unmanaged, state, params)
}

pub async fn get(state: State<App>, params: Params) -> Result<Answer, ApiError> {
    get_of(Which::Managed, state, params)
}

pub async fn get_unmanaged(state: State<App>, params: Params) -> Result<Answer, ApiError> {
    get_of(Which::Unmanaged, state, params)
}

fn list_of(which: Which, State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let ids = params.uuids("device_id", "device_ids");
    let accounts = params.uuids("connected_account_id", "connected_account_ids");
    let device_types = params.texts("device_type", "device_types");
    let limit = params.number("limit", usize::MAX).unwrap_or(usize::MAX);
    params.end()?;
    let named = |ids: &Option<Vec<Uuid>>, id: &Value| {
        ids.as_ref().is_none_or(|ids| ids.iter().any(|wanted| id.as_str() == Some(&wanted.to_string())))
    };
    let fits = |d: &Value| {
        named(&ids, &d["device_id"])
            && named(&accounts, &d["connected_account_id"])
            && device_types.as_ref().is_none_or(|types| types.iter().any(|t| d["device_type"] == t.as_str()))
    };
    let devices: Vec<Value> = devices(&app, which)?.into_iter().filter(fits).take(limit).collect();
    Ok(Answer::of("devices", devices.into()))
}

fn get_of(which: Which, State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (id, name) = (params.uuid("device_id"), params.text("name"));
    params.end()?;
    if id.is_none() && name.is_none() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", "give device_id or name"));
    }
    let id = id.map(|id| id.to_string());
    let meant = |d: &Value| match &id {
        Some(id) => d["device_id"] == id.as_str(),
        None => d["properties"]["name"].as_str() == name.as_deref(),
    };
    let found = devices(&app, which)?.into_iter().find(meant);
    let missing =
        || ApiError::not_found("device", "no such device; /devices/list and /devices/unmanaged/list show all");
    found.map(|device| Answer::of("device", device)).ok_or_else(missing)
}

/// Ours: everything that is known of a device, and what its presence is judged by.
pub async fn explain(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    let rows = app.store.state_since(0).map_err(|e| ApiError::internal(&e))?;
    let missing = || ApiError::not_found("device", "no such device; portcullis devices shows all");
    let mut explanation = explanation(&rows, &device_id.to_string()).ok_or_else(missing)?;
    if let Ok(judged) = app.hand.command(Command::Explain { device_id }).await {
        explanation["presence"] = judged;
    }
    Ok(Answer::of("explanation", explanation))
}

/// The device's row and its presence model, as they are on disk.
pub fn explanation(rows: &[StateRow], device_id: &str) -> Option<Value> {
    let row = |kind| rows.iter().find(|r| r.kind == kind && r.key == device_id).and_then(|r| r.value.clone());
    Some(json!({"device": row(RowKind::Device)?, "presence": row(RowKind::Presence)}))
}

/// `is_managed: true` adopts; on a managed device `false` releases. A `name` renames.
pub async fn update(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    let (managed, name) = (params.flag("is_managed"), params.text("name"));
    params.end()?;
    match managed {
        Some(true) => command(&app, Command::Adopt { device_id, name }).await,
        Some(false) => command(&app, Command::Release { device_id }).await,
        None if name.is_some() => command(&app, Command::Rename { device_id, name }).await,
        None => Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", "give is_managed or name")),
    }
}

pub async fn delete(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    command(&app, Command::Delete { device_id }).await
}

pub async fn list_accounts(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    let rows = app.store.state_since(0).map_err(|e| ApiError::internal(&e))?;
    Ok(Answer::of("connected_accounts", accounts(&rows).collect()))
}

pub async fn get_account(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let id = params.must_uuid("connected_account_id").to_string();
    params.end()?;
    let rows = app.store.state_since(0).map_err(|e| ApiError::internal(&e))?;
    let found = accounts(&rows).find(|a| a["connected_account_id"] == id.as_str());
    let missing = || ApiError::not_found("connected_account", "no such account; /connected_accounts/list shows all");
    found.map(|account| Answer::of("connected_account", account)).ok_or_else(missing)
}

async fn command(app: &App, command: Command) -> Result<Answer, ApiError> {
    match app.hand.command(command).await {
        Ok(_) => Ok(Answer::ok()),
        Err(error @ CommandError::NoSuchDevice(_)) => Err(ApiError::not_found("device", error.to_string())),
        Err(error @ CommandError::TooMany { .. }) => {
            Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", error.to_string()))
        }
        Err(CommandError::Refused(why)) => Err(ApiError::new(StatusCode::BAD_REQUEST, "refused", why)),
    }
}

fn devices(app: &App, which: Which) -> Result<Vec<Value>, ApiError> {
    let rows = app.store.state_since(0).map_err(|e| ApiError::internal(&e))?;
    let fits = |device: &Value| device["is_managed"].as_bool() == Some(which == Which::Managed);
    Ok(all(&rows, app.identity.workspace_id).filter(fits).collect())
}

/// Every device of these rows in Seam's shape, in the order of their ids.
pub fn all(rows: &[StateRow], workspace: Uuid) -> impl Iterator<Item = Value> {
    of_kind(rows, RowKind::Device).into_iter().map(move |view| device(view, workspace))
}

/// Every account of these rows in Seam's shape, in the order of their ids.
pub fn accounts(rows: &[StateRow]) -> impl Iterator<Item = Value> {
    of_kind(rows, RowKind::Account).into_iter().map(account)
}

fn of_kind(rows: &[StateRow], kind: RowKind) -> Vec<Value> {
    let mut rows: Vec<&StateRow> = rows.iter().filter(|row| row.kind == kind).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.into_iter().filter_map(|row| row.value.clone()).collect()
}

/// A device's view in Seam's shape. What Seam has no place for is in `properties` under its own name.
fn device(mut view: Value, workspace: Uuid) -> Value {
    let kind = view["kind"].as_str().unwrap_or_default().to_owned();
    let manufacturer = view["manufacturer"].as_str().unwrap_or("unknown").to_owned();
    let is_lock = kind == "lock" || view["can_lock"] == true;
    let has_codes = view["code_slots"].as_u64().is_some_and(|slots| slots > 0);
    let mut capabilities = Vec::new();
    for (has, capability) in
        [(is_lock, "lock"), (has_codes, "access_code"), (kind == "noise_sensor", "noise_detection")]
    {
        capabilities.extend(has.then_some(capability));
    }
    let battery = &view["battery"];
    let level = battery["level"].as_f64();
    let mut properties = json!({
        "name": view["name"],
        "online": view["online"],
        "manufacturer": manufacturer,
        "model": {"display_name": view["model"].as_str().unwrap_or("unknown"), "manufacturer_display_name": manufacturer},
    });
    if let (Some(level), Some(status)) = (level, battery["status"].as_str()) {
        properties["battery"] = json!({"level": level, "status": status});
    }
    if let Some(level) = level {
        properties["battery_level"] = json!(level);
        capabilities.push("battery");
    }
    if let Some(connected) = view["accessory_keypad_connected"].as_bool() {
        properties["accessory_keypad"] = json!({"is_connected": connected});
    }
    let own = [
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
    ];
    for name in own {
        if !view[name].is_null() {
            properties[name] = view[name].take();
        }
    }
    let managed = view["is_managed"] == true;
    let mut device = json!({
        "device_id": view["device_id"],
        "device_type": device_type(&kind, &manufacturer),
        "capabilities_supported": capabilities,
        "properties": properties,
        "connected_account_id": view["connected_account_id"],
        "workspace_id": workspace,
        "created_at": view["created_at"].as_str().unwrap_or("1970-01-01T00:00:00.000Z"),
        "errors": view["errors"].as_array().cloned().unwrap_or_default(),
        "warnings": view["warnings"].as_array().cloned().unwrap_or_default(),
        "is_managed": managed,
        "custom_metadata": {},
        "can_remotely_lock": view["can_lock"] == true,
        "can_remotely_unlock": view["can_lock"] == true,
        "can_program_online_access_codes": has_codes,
    });
    if managed {
        device["display_name"] = view["name"].take();
        device["space_ids"] = json!([]);
    }
    device
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

fn account(view: Value) -> Value {
    let kind = view["account_type"].as_str().unwrap_or("ble");
    json!({
        "connected_account_id": view["connected_account_id"],
        "account_type": kind,
        "account_type_display_name": if kind == "zwave" { "Z-Wave" } else { "Bluetooth LE" },
        "display_name": view["name"],
        "created_at": view["created_at"],
        "errors": view["errors"].as_array().cloned().unwrap_or_default(),
        "warnings": view["warnings"].as_array().cloned().unwrap_or_default(),
        "custom_metadata": {},
        "automatically_manage_new_devices": kind == "zwave",
        "accepted_capabilities": ["lock", "noise_sensor"],
    })
}
