//! Timers as data: what is due when, one deadline a timer. Printable, and gone with the device that it belongs to.

use std::collections::{BTreeSet, HashMap};

use crate::signal::DeviceKey;
use crate::time::Mono;

/// What a deadline is for. A new concern is a line here and an arm in `Hub::due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A judgement about a device that was put off.
    Device(DeviceKey, Concern),
    /// The grace of an account whose last link went down; `None` is BLE.
    Account(Option<u32>),
    /// The first hearing of the BLE account that counts as its inventory.
    Sync,
    /// The end of the wait for the wall clock.
    Clock,
    /// The end of an attempt to operate a lock, or of the time that it is remembered.
    Attempts,
}

/// The part of the judgement that set a device's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    Lock,
    Battery,
    Flaky,
    Noise,
    Codes,
}

impl Concern {
    pub const ALL: &[Concern] = &[Concern::Lock, Concern::Battery, Concern::Flaky, Concern::Noise, Concern::Codes];
}

#[derive(Debug, Default)]
pub struct Timers {
    queue: BTreeSet<(Mono, Timer)>,
    deadlines: HashMap<Timer, Mono>,
}

impl Timers {
    /// Sets a timer, or sets it anew: one timer has one deadline.
    pub fn set(&mut self, timer: Timer, at: Mono) {
        self.cancel(timer);
        self.deadlines.insert(timer, at);
        self.queue.insert((at, timer));
    }

    pub fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.deadlines.remove(&timer) {
            self.queue.remove(&(at, timer));
        }
    }

    pub fn forget(&mut self, key: DeviceKey) {
        Concern::ALL.iter().for_each(|concern| self.cancel(Timer::Device(key, *concern)));
    }

    pub fn wake_at(&self) -> Option<Mono> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The next timer whose time has come, which is then no longer set.
    pub fn due(&mut self, now: Mono) -> Option<Timer> {
        let (at, timer) = *self.queue.first().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&(at, timer));
        self.deadlines.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_set_anew_fires_once_at_its_last_deadline() {
        let mut timers = Timers::default();
        timers.set(Timer::Clock, Mono(10));
        timers.set(Timer::Account(None), Mono(15));
        timers.set(Timer::Clock, Mono(20));
        assert_eq!(timers.wake_at(), Some(Mono(15)));
        assert_eq!(timers.due(Mono(12)), None);
        assert_eq!(timers.due(Mono(30)), Some(Timer::Account(None)));
        assert_eq!(timers.due(Mono(30)), Some(Timer::Clock));
        assert_eq!((timers.due(Mono(30)), timers.wake_at()), (None, None));
    }
}
