//! From the configuration to what the intake knows of its Bluetooth devices: keys and mapping rules.

use super::decode::BindKey;
use super::intake::Known;
use crate::config::{Config, DeviceSection};
use crate::signal::Address;

impl Config {
    /// The Bluetooth devices of the configuration. An error names the device and never shows a key.
    pub fn known(&self) -> Result<Vec<(Address, Known)>, String> {
        let ble = self.devices.iter().filter_map(|device| Some((device.address?, device)));
        ble.map(|(address, device)| {
            let bindkey = bindkey(device).map_err(|e| format!("devices, address = {address}: {e}"))?;
            Ok((address, Known { bindkey, ..Known::default() }))
        })
        .collect()
    }
}

fn bindkey(device: &DeviceSection) -> Result<Option<BindKey>, String> {
    let text = match (&device.bindkey, &device.bindkey_file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err("give bindkey or bindkey_file, not both".into()),
        (Some(text), None) => text.clone(),
        (None, Some(file)) => {
            std::fs::read_to_string(file).map_err(|e| format!("bindkey_file {}: {e}", file.display()))?
        }
    };
    BindKey::from_hex(&text).map(Some).map_err(|e| e.to_string())
}
