//! Batteries: told as low once per discharge, and by the band of their charge.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Device;
use super::tell::Teller;
use super::timers::Concern;
use crate::event::{BatteryStatus, EventType};
use crate::time::Wall;

/// A charge must rise this far into a better band to be in it: twice the percent by which cells of one reading differ from
/// the next as they warm up.
const BAND_HYSTERESIS: f64 = 0.02;

/// A device that knows only "low" must have said the contrary for so long to be believed a new battery: a cold night's low is
/// taken back by noon and is no new discharge.
const LOW_BIT_REARM: Duration = Duration::from_secs(24 * 3600);

/// Where the bands of a charge end (Seam publishes none; its documented samples agree with these).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatterySettings {
    /// Fraction at or under which a battery is told as low.
    pub low_threshold: f64,
    /// At or under: critical.
    pub critical: f64,
    /// At or under: low.
    pub low: f64,
    /// At or above: full. Between low and full: good.
    pub full: f64,
    /// A battery must rise this far above where it was told as low before it can be told again.
    pub rearm: f64,
}

impl Default for BatterySettings {
    fn default() -> BatterySettings {
        BatterySettings { low_threshold: 0.20, critical: 0.05, low: 0.20, full: 0.85, rearm: 0.05 }
    }
}

impl BatterySettings {
    fn band(&self, level: f64) -> BatteryStatus {
        match level {
            l if l <= self.critical => BatteryStatus::Critical,
            l if l <= self.low => BatteryStatus::Low,
            l if l < self.full => BatteryStatus::Good,
            _ => BatteryStatus::Full,
        }
    }

    /// The band of a level for a battery that was in `before`: worse at once, better only when clearly so.
    fn band_after(&self, before: Option<BatteryStatus>, level: f64) -> BatteryStatus {
        match before {
            Some(before) if self.band(level) > before => self.band(level - BAND_HYSTERESIS).max(before),
            _ => self.band(level),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Battery {
    /// 0.0 to 1.0, the last valid reading.
    pub level: Option<f64>,
    pub read_at: Option<Wall>,
    pub status: Option<BatteryStatus>,
    /// Low has been told in this discharge.
    pub low_told: bool,
    /// The level above which, by `rearm`, this discharge is over.
    told_at: Option<f64>,
    /// The device's own verdict.
    pub says_low: Option<bool>,
    pub charging: Option<bool>,
}

/// A charge in percent. More than 100 is no reading.
pub fn reading(device: &mut Device, percent: u8, teller: &mut Teller<'_>) -> bool {
    if percent > 100 {
        return false;
    }
    let level = f64::from(percent) / 100.0;
    device.battery.read_at = Some(teller.now.wall);
    if device.battery.level == Some(level) {
        device.soft.dirty = true;
        return false;
    }
    device.battery.level = Some(level);
    judge(device, teller);
    true
}

/// The device's own verdict.
pub fn says_low(device: &mut Device, low: bool, teller: &mut Teller<'_>) -> bool {
    if device.battery.says_low == Some(low) {
        return false;
    }
    device.battery.says_low = Some(low);
    if low {
        teller.cancel(device, Concern::Battery);
    } else if device.battery.low_told {
        teller.wake(device, Concern::Battery, teller.now.mono + LOW_BIT_REARM);
    }
    judge(device, teller);
    true
}

pub fn charging(device: &mut Device, charging: bool) -> bool {
    device.battery.charging.replace(charging) != Some(charging)
}

/// A restored device's verdict is waited for anew.
pub fn restored(device: &Device, teller: &mut Teller<'_>) {
    if device.battery.low_told && device.battery.says_low == Some(false) {
        teller.wake(device, Concern::Battery, teller.now.mono + LOW_BIT_REARM);
    }
}

/// What is known means something else now: the settings are others, or the device has only now become somebody's.
pub fn again(device: &mut Device, teller: &mut Teller<'_>) -> bool {
    let before = device.battery.clone();
    judge(device, teller);
    before != device.battery
}

/// "Not low" has held for long.
pub fn due(device: &mut Device, teller: &mut Teller<'_>) -> bool {
    let BatterySettings { low_threshold, rearm, .. } = teller.settings.battery;
    if device.battery.level.is_some_and(|level| level <= low_threshold + rearm) {
        return false;
    }
    device.battery.low_told = false;
    device.battery.told_at = None;
    judge(device, teller);
    true
}

fn judge(device: &mut Device, teller: &mut Teller<'_>) {
    let settings = teller.settings.battery;
    let threshold = settings.low_threshold;
    let says_low = device.battery.says_low == Some(true);
    let battery = &mut device.battery;
    let recovered = |level: f64| level > battery.told_at.map_or(threshold, |at| at.max(threshold)) + settings.rearm;
    if battery.low_told && !says_low && battery.level.is_some_and(recovered) {
        battery.low_told = false;
        battery.told_at = None;
        teller.cancel(device, Concern::Battery);
    }
    let battery = &mut device.battery;
    let low = says_low || battery.level.is_some_and(|level| level <= threshold);
    // Of an unmanaged device nothing is told: it is news when somebody adopts it.
    let news = low && !battery.low_told && device.managed;
    if news {
        battery.low_told = true;
        battery.told_at = battery.level;
    }
    // What a device calls low is low, whatever its percents say, until the discharge is over.
    let by_level = battery.level.map(|level| settings.band_after(battery.status, level));
    let by_word = (says_low || (battery.low_told && battery.says_low.is_some())).then_some(BatteryStatus::Low);
    let status = match (by_level, by_word) {
        (Some(level), Some(word)) => Some(level.min(word)),
        (level, word) => level.or(word).or(battery.says_low.map(|_| BatteryStatus::Good)),
    };
    let before = std::mem::replace(&mut battery.status, status);
    let level = battery.level;
    if let (Some(_), Some(status)) = (before.filter(|b| Some(*b) != status), status) {
        teller.tell(device, EventType::DeviceBatteryStatusChanged, |d| {
            d.battery_status = Some(status);
            d.battery_level = Some(level.unwrap_or(threshold));
        });
    }
    if news {
        let level = level.unwrap_or(threshold).min(threshold);
        teller.tell(device, EventType::DeviceLowBattery, |d| d.battery_level = Some(level));
    }
}
