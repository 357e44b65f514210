//! A connection that breaks too often: told once, and once more when it has held for a whole window.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Device;
use super::tell::Teller;
use super::timers::Concern;
use crate::event::EventType;
use crate::time::{Mono, Wall};

/// More losses than these within the window are too often (DESIGN: default 3 in 1 h).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlakySettings {
    pub losses: usize,
    pub window: Duration,
}

impl Default for FlakySettings {
    fn default() -> FlakySettings {
        FlakySettings { losses: 3, window: Duration::from_secs(3600) }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flaky {
    pub told: bool,
    pub since: Option<Wall>,
    /// The device's own losses of this run, the youngest last; never more than the setting counts.
    #[serde(skip)]
    losses: VecDeque<Mono>,
}

/// The device was lost, by its own fault. Call it after `device.disconnected` was told.
pub fn lost(device: &mut Device, teller: &mut Teller<'_>) {
    let FlakySettings { losses, window } = teller.settings.flaky;
    let now = teller.now.mono;
    let seen = &mut device.flaky.losses;
    seen.push_back(now);
    while seen.len() > losses + 1 || seen.front().is_some_and(|first| now.since(*first) > window) {
        seen.pop_front();
    }
    if seen.len() > losses && !device.flaky.told {
        device.flaky.told = true;
        device.flaky.since = Some(teller.now.wall);
        teller.tell(device, EventType::DeviceConnectionBecameFlaky, |_| {});
    }
}

/// The window in which it must hold begins: it is there again, or the hub was started again.
pub fn begins_to_hold(device: &Device, teller: &mut Teller<'_>) {
    if device.flaky.told {
        teller.wake(device, Concern::Flaky, teller.now.mono + teller.settings.flaky.window);
    }
}

/// A window without a loss is over: steady again, if the device is there at all. One that is away begins to hold when it is back.
pub fn due(device: &mut Device, teller: &mut Teller<'_>) -> bool {
    if !device.connected {
        return false;
    }
    device.flaky = Flaky::default();
    teller.tell(device, EventType::DeviceConnectionStabilized, |_| {});
    true
}
