//! Presence: a device is there until silence says otherwise.

use std::collections::HashMap;
use std::time::Duration;

use crate::event::ErrorCode;
use crate::signal::{DeviceKey, Link};
use crate::time::Mono;

/// Until intervals are learned: long enough for ten adverts of a slow sensor.
const TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Watched {
    heard: Mono,
    present: bool,
    irregular: bool,
    timeout: Duration,
}

/// Judges the silence of BLE devices. One for the whole hub, since devices are compared with each other.
#[derive(Debug, Default)]
pub struct Judge {
    devices: HashMap<DeviceKey, Watched>,
}

impl Judge {
    /// Starts to judge a device. `declared` is its configured interval; a restored one is given its own timeout from `now`.
    pub fn watch(&mut self, key: DeviceKey, declared: Option<Duration>, present: bool, now: Mono) {
        let timeout = declared.map_or(TIMEOUT, |d| d * 3);
        self.devices.insert(key, Watched { heard: now, present, irregular: false, timeout });
    }

    pub fn forget(&mut self, key: &DeviceKey) {
        self.devices.remove(key);
    }

    /// The device was heard on this link. True where it was not present before.
    pub fn heard(&mut self, key: DeviceKey, _link: &Link, irregular: bool, now: Mono) -> bool {
        let Some(d) = self.devices.get_mut(&key) else { return false };
        d.heard = now;
        d.irregular = irregular;
        !std::mem::replace(&mut d.present, true)
    }

    /// An adapter can hear, or not.
    pub fn adapter(&mut self, _link: &Link, _hearing: bool, _now: Mono) {}

    pub fn wake_at(&self) -> Option<Mono> {
        self.devices.values().filter(|d| d.present && !d.irregular).map(|d| d.heard + d.timeout).min()
    }

    /// Pushes the devices whose silence has lasted too long at `now`.
    pub fn judge(&mut self, now: Mono, lost: &mut Vec<(DeviceKey, ErrorCode)>) {
        for (key, d) in self.devices.iter_mut().filter(|(_, d)| d.present && !d.irregular) {
            if d.heard + d.timeout <= now {
                d.present = false;
                lost.push((*key, ErrorCode::DeviceDisconnected));
            }
        }
        lost.sort();
    }
}
