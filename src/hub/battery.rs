//! Batteries: told as low once per discharge, with hysteresis.

use serde::{Deserialize, Serialize};

use super::Device;
use super::tell::Teller;
use crate::event::{BatteryStatus, EventType};
use crate::time::Wall;

/// A battery must rise this far above the low threshold before it can be told as low again (DESIGN: threshold + 0.05).
const REARM: f64 = 0.05;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Battery {
    /// 0.0 to 1.0, the last valid reading.
    pub level: Option<f64>,
    pub read_at: Option<Wall>,
    pub status: Option<BatteryStatus>,
    /// Low has been told in this discharge.
    pub low_told: bool,
}

fn band(level: f64) -> BatteryStatus {
    match level {
        l if l <= 0.05 => BatteryStatus::Critical,
        l if l <= 0.20 => BatteryStatus::Low,
        l if l < 0.85 => BatteryStatus::Good,
        _ => BatteryStatus::Full,
    }
}

pub fn reading(device: &mut Device, percent: u8, teller: &mut Teller<'_>) -> bool {
    let level = f64::from(percent.min(100)) / 100.0;
    if device.battery.level == Some(level) {
        return false;
    }
    let threshold = teller.settings.low_battery;
    device.battery.level = Some(level);
    device.battery.read_at = Some(teller.now.wall);
    let status = band(level);
    if device.battery.status.is_some_and(|old| old != status) {
        teller.tell(device, EventType::DeviceBatteryStatusChanged, |d| {
            d.battery_status = Some(status);
            d.battery_level = Some(level);
        });
    }
    device.battery.status = Some(status);
    if level <= threshold && !device.battery.low_told {
        device.battery.low_told = true;
        teller.tell(device, EventType::DeviceLowBattery, |d| d.battery_level = Some(level));
    } else if level > threshold + REARM {
        device.battery.low_told = false;
    }
    true
}
