//! What the configuration asks of the judgement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BatterySettings, CodeSettings, FlakySettings};
use crate::signal::{Address, DeviceKey};

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub workspace_id: Uuid,
    /// `[hub] name`; with the workspace it makes the BLE account's id.
    pub hub_name: String,
    pub time_zone: chrono_tz::Tz,
    pub adopt_ble: Adopt,
    pub adopt_zwave: Adopt,
    /// What may be done to the codes of locks that have no entry of their own.
    pub adopt_codes: CodeSettings,
    pub battery: BatterySettings,
    pub flaky: FlakySettings,
    /// By their places, which the configuration names once each.
    pub devices: HashMap<Place, DeviceSettings>,
    /// The names of the configured Z-Wave networks.
    pub networks: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adopt {
    /// Only devices of the configuration, and those adopted by hand.
    #[default]
    Listed,
    /// Every device of a known family, on sight.
    Known,
}

/// A `[[devices]]` entry, as far as it concerns the judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSettings {
    pub id: Option<Uuid>,
    pub place: Place,
    pub name: Option<String>,
    pub time_zone: Option<chrono_tz::Tz>,
    /// A sleepy device's own interval between signs of life.
    pub interval: Option<Duration>,
    /// The lock whose keypad this is.
    pub accessory_of: Option<Place>,
    pub codes: CodeSettings,
}

/// Where a configured device is found. A Z-Wave network's home id is known only once its driver was met.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Ble(Address),
    Zwave { network: Arc<str>, node: u16 },
}

impl Settings {
    pub fn device(&self, place: &Place) -> Option<&DeviceSettings> {
        self.devices.get(place)
    }

    pub fn adopts(&self, key: &DeviceKey, family: &str) -> bool {
        match key {
            DeviceKey::Ble(_) => self.adopt_ble == Adopt::Known && !family.is_empty(),
            DeviceKey::Zwave { .. } => self.adopt_zwave == Adopt::Known,
        }
    }
}
