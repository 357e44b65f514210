//! From the configuration to what the intake knows of its Bluetooth devices.

use super::intake::Known;
use crate::config::{Config, DevicePlace};
use crate::signal::Address;

impl Config {
    /// The Bluetooth devices of the configuration, with what the intake must know of them.
    pub fn known(&self) -> Vec<(Address, Known)> {
        self.devices
            .iter()
            .filter_map(|device| match device.place {
                DevicePlace::Ble(address) => Some((
                    address,
                    Known {
                        bindkey: device.bindkey.clone(),
                        counter: None,
                        model: device.model,
                        rules: device.map.as_slice().into(),
                    },
                )),
                DevicePlace::Zwave { .. } => None,
            })
            .collect()
    }
}
