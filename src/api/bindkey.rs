//! Bind keys of Bluetooth devices that are adopted at run time: tried on what the device sends, and kept sealed with the state.

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::App;
use super::envelope::ApiError;
use super::events::read;
use super::params::Params;
use crate::config::check::bind_key_text;
use crate::hub::{Row, RowKind};
use crate::signal::{Address, DeviceKey, Secret};
use crate::source::ble::adopted;
use crate::source::ble::decode::BindKey;

/// A key for the device with this address, which it opens, or which sent nothing yet to try it on.
pub struct Tried {
    address: Address,
    key: Secret,
    opens: bool,
}

impl Tried {
    /// `opens`: the device was understood with it; `untried`: the next encrypted advert tells.
    pub fn word(&self) -> &'static str {
        if self.opens { "opens" } else { "untried" }
    }
}

/// The key that a request gives, where it gives one.
pub fn asked(params: &mut Params) -> Option<Secret> {
    let text = params.text("bindkey")?;
    bind_key_text(&text).map_err(|what| params.wrong("bindkey", what)).ok()
}

/// Tries a key on what the device sent last. One that does not open it is refused, and nothing is changed.
pub async fn tried(app: &App, device_id: Uuid, key: Secret) -> Result<Tried, ApiError> {
    let refused = |kind: &str, what: &str| ApiError::new(StatusCode::BAD_REQUEST, kind, what);
    let row = read(app.store.clone(), move |store| store.row(RowKind::Device, &device_id.to_string())).await?;
    let device = row.ok_or_else(|| ApiError::not_found("device", "no such device; portcullis devices shows all"))?;
    let Some(DeviceKey::Ble(address)) = device["key"].as_str().and_then(|k| k.parse().ok()) else {
        return Err(refused("invalid_input", "a bind key is for a Bluetooth device; a bridge has its own keys"));
    };
    if device["state"]["origin"] == "config" {
        return Err(refused("refused", "the device is in the configuration; its [[devices]] table takes the bindkey"));
    }
    let bytes = hex::decode(key.reveal()).unwrap_or_default();
    match app.intake.lock().unwrap_or_else(|e| e.into_inner()).opens(address, &BindKey::new(bytes)) {
        Some(false) => {
            Err(refused("wrong_bindkey", "this bind key does not open what the device sends; nothing was changed"))
        }
        opens => Ok(Tried { address, key, opens: opens.is_some() }),
    }
}

/// Keeps a key. From then on the device is understood.
pub async fn keep(app: &App, device_id: Uuid, tried: &Tried) -> Result<(), ApiError> {
    app.keep(adopted::row(device_id, tried.address, &tried.key)).await
}

/// Of a device that is deleted nothing is kept.
pub async fn forget(app: &App, device_id: Uuid) -> Result<(), ApiError> {
    let Some(address) = read(app.store.clone(), move |store| adopted::address_in(store, device_id)).await? else {
        return Ok(());
    };
    app.keep(Row { kind: RowKind::BindKey, key: device_id.to_string(), value: None }).await?;
    app.intake.lock().unwrap_or_else(|e| e.into_inner()).forget(address);
    Ok(())
}

/// Whether a device sends what only a key would open.
pub fn is_wanted(app: &App, device: &Value) -> bool {
    let Some(DeviceKey::Ble(address)) = device["key"].as_str().and_then(|k| k.parse().ok()) else { return false };
    app.intake.lock().unwrap_or_else(|e| e.into_inner()).wants_a_key(address)
}
