//! Devices and accounts as the world sees them: what the API, the retained MQTT topics and `portcullis devices` show.
//!
//! A state row is this view, and beside it, under `state`, what the hub itself must remember. `state` is nobody else's business.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Account, Device};
use crate::event::{BatteryStatus, ErrorCode, Issue};
use crate::signal::{DeviceKey, DeviceKind, LockState};
use crate::time::Wall;

/// A device as it is now. Dates are RFC 3339 in UTC; what is not known is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    pub device_id: Uuid,
    pub connected_account_id: Uuid,
    /// `ble:C0:FF:EE:00:00:01` or `zwave:7e570001:2`.
    pub key: DeviceKey,
    /// Always something to show.
    pub name: String,
    pub is_managed: bool,
    pub online: bool,
    #[serde(flatten)]
    pub known: Known,
    pub errors: Vec<Issue>,
    pub warnings: Vec<Issue>,
}

/// What may not be known of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<DeviceKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// When it was first heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When `online` last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<BatteryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_state: Option<LockState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub door_open: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tampered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy_mode: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub third_party_integration: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessory_keypad_connected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_level_decibels: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_thresholds: Option<Value>,
    /// Those whose crossing goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currently_triggering_noise_threshold_ids: Option<Vec<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_lock: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_slots: Option<u16>,
    /// Where the hub writes its codes: into which slots, and what it takes for the lock's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_codes: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<Value>,
    /// Other readings by name: `temperature_c`, `humidity_percent` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatteryView {
    /// 0.0 to 1.0, the last valid reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<BatteryStatus>,
    /// How old that reading is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
}

/// A connected account as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountView {
    pub connected_account_id: Uuid,
    /// `ble` or `zwave`.
    pub account_type: String,
    pub name: String,
    pub online: bool,
    pub created_at: String,
    pub errors: Vec<Issue>,
    pub warnings: Vec<Issue>,
}

impl Device {
    pub fn view(&self) -> DeviceView {
        let text = |wall: Option<Wall>| wall.map(|w| w.to_string());
        let said = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let battery = &self.battery;
        let d = &self.description;
        let noise = &self.noise.thresholds;
        DeviceView {
            device_id: self.device_id,
            connected_account_id: self.account_id,
            key: self.key,
            name: self.display_name(),
            is_managed: self.managed,
            online: self.connected,
            known: Known {
                kind: d.kind,
                family: said(&self.family),
                manufacturer: d.manufacturer.clone(),
                model: d.model.clone(),
                firmware: d.firmware.clone(),
                created_at: text(self.created_at),
                online_since: text(self.since),
                error_code: self.error_code,
                battery: (battery.level.is_some() || battery.status.is_some()).then(|| BatteryView {
                    level: battery.level,
                    status: battery.status,
                    read_at: text(battery.read_at),
                }),
                locked: self.lock.locked,
                lock_state: self.lock.state,
                door_open: self.door_open,
                tampered: self.tampered.on,
                privacy_mode: self.privacy.on,
                third_party_integration: self.third_party.on,
                accessory_keypad_connected: self.keypad.on,
                noise_level_decibels: self.noise.level,
                noise_thresholds: (!noise.is_empty()).then(|| noise.iter().map(|t| t.view(self.device_id)).collect()),
                currently_triggering_noise_threshold_ids: (!noise.is_empty())
                    .then(|| noise.iter().filter(|t| t.told).map(|t| t.id).collect()),
                can_lock: d.can_lock,
                code_slots: d.code_slots,
                access_codes: self.codes.view(d),
                custom_metadata: (!self.custom_metadata.is_empty()).then(|| json!(self.custom_metadata)),
                measured: (!self.soft.measured.is_empty()).then(|| json!(self.soft.measured)),
            },
            errors: self.errors(),
            warnings: self.warnings(),
        }
    }

    /// What keeps the device from working, as Seam names it.
    pub fn errors(&self) -> Vec<Issue> {
        let message = match self.error_code {
            _ if self.connected => return Vec::new(),
            None => return Vec::new(),
            Some(ErrorCode::DeviceDisconnected) => "The device is silent while its neighbours are heard.",
            Some(ErrorCode::HubDisconnected) => "The radio or bridge that reaches the device is down.",
            Some(ErrorCode::AccountDisconnected) => "The bridge that reaches the device refuses our credentials.",
        };
        let code = self.error_code.map_or("device_disconnected", ErrorCode::as_str);
        vec![Issue::error(self.since, code, message)]
    }

    /// What is amiss though the device works.
    pub fn warnings(&self) -> Vec<Issue> {
        let mut warnings = Vec::new();
        if self.flaky.told {
            let message = "The device is lost and found again too often.";
            warnings.push(Issue::warning(self.flaky.since, "device_has_flaky_connection", message));
        }
        if self.privacy.is_on() {
            let message = "Privacy mode is on: codes and remote opening are blocked.";
            warnings.push(Issue::warning(self.privacy.since, "privacy_mode", message));
        }
        if self.third_party.is_on() {
            let message = "Another controller also manages the device and may undo changes.";
            warnings.push(Issue::warning(self.third_party.since, "third_party_integration_detected", message));
        }
        warnings.extend(self.lock.warnings());
        warnings
    }

    /// The state row: the view, and the hub's own memory beside it.
    pub(super) fn row(&self) -> Option<Value> {
        row(&self.view(), self)
    }

    /// From the text of its row.
    pub(super) fn from_row(row: &str) -> Option<Device> {
        state_in(row)
    }
}

impl Account {
    pub fn view(&self) -> AccountView {
        AccountView {
            connected_account_id: self.account_id,
            account_type: if self.home.is_some() { "zwave" } else { "ble" }.into(),
            name: self.network.as_deref().unwrap_or("Bluetooth").to_owned(),
            online: self.connected,
            created_at: self.created_at.to_string(),
            errors: self.errors(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn row(&self) -> Option<Value> {
        row(&self.view(), self)
    }

    pub(super) fn from_row(row: &str) -> Option<Account> {
        state_in(row)
    }
}

/// What a row's owner remembers, from its text.
pub(super) fn state_in<T: DeserializeOwned>(row: &str) -> Option<T> {
    #[derive(Deserialize)]
    struct Remembered<T> {
        state: T,
    }
    serde_json::from_str(row).ok().map(|Remembered { state }| state)
}

/// The row of a view, with what its owner remembers beside it.
pub(super) fn row(view: &impl Serialize, state: &impl Serialize) -> Option<Value> {
    let mut row = serde_json::to_value(view).ok()?;
    let mut state = serde_json::to_value(state).ok()?;
    leave_out_nothings(&mut state);
    row.as_object_mut()?.insert("state".into(), state);
    Some(row)
}

/// An `Option` that is none is read from nothing as well as from `null`. Most of a device is none: half of its row, and whoever
/// reads ten thousand of them pays for it.
fn leave_out_nothings(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(leave_out_nothings);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_nothings),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Mark, Origin};
    use crate::signal::Address;

    #[test]
    fn what_is_none_is_not_written_and_what_is_written_comes_back() {
        let key = DeviceKey::Ble(Address([0xC0, 0xFF, 0xEE, 0, 0, 1]));
        let mut device = Device::new(key, 0, Uuid::from_u128(1), Origin::Known);
        let kept = |device: &Device| device.row().expect("a row").to_string();
        assert!(!kept(&device).contains("null"), "{}", kept(&device));
        assert_eq!(Device::from_row(&kept(&device)).as_ref(), Some(&device));
        device.tampered = Mark { on: Some(false), since: Some(Wall(7)) };
        device.custom_metadata.insert("floor".into(), json!(3));
        device.description.code_slots = Some(30);
        device.counter = Some(9);
        assert_eq!(Device::from_row(&kept(&device)).as_ref(), Some(&device));
    }
}
