//! Mapping rules of the configuration: what a device says, under whatever name, taken as a signal that the hub knows.
//!
//! ```toml
//! [[devices.map]]
//! from = "generic_bool"     # a name as `portcullis decode` prints it, also of `other`, or an event: "button" or "button=press"
//! to = "door_open"
//! invert = true             # optional, for yes and no; `factor` is for numbers
//! ```
//!
//! Of a Z-Wave node, `from` is a value's id as zwave-js-ui writes it (`112-0-8`), or `notification-TYPE-EVENT`.
//!
//! A statement that a rule takes means that and nothing else.

use std::str::FromStr;

use crate::signal::{LockState, Signal};

/// Rules that one device may have: each is held against everything it says.
pub const RULES_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The name of what is said.
    pub from: Box<str>,
    /// For an event: only this one (`press`). None: any.
    pub only: Option<Box<str>>,
    pub to: Target,
    pub invert: bool,
    pub factor: f64,
}

/// What something may be taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// True is unlocked.
    Unlocked,
    /// True is locked.
    Locked,
    DoorOpen,
    BatteryPercent,
    BatteryLow,
    BatteryCharging,
    Tamper,
    /// True, or an event: somebody moved the device.
    Moved,
    /// dB.
    SoundLevel,
    SoundDetected,
    Motion,
    Vibration,
    /// True, or an event: the bell was pressed.
    Doorbell,
    Privacy,
    Keypad,
    /// Nothing: what is said is not heard.
    Nothing,
}

/// Names as the configuration has them.
pub const TARGETS: &[(&str, Target)] = &[
    ("unlocked", Target::Unlocked),
    ("locked", Target::Locked),
    ("door_open", Target::DoorOpen),
    ("battery_percent", Target::BatteryPercent),
    ("battery_low", Target::BatteryLow),
    ("battery_charging", Target::BatteryCharging),
    ("tamper", Target::Tamper),
    ("moved", Target::Moved),
    ("sound_level_db", Target::SoundLevel),
    ("sound_detected", Target::SoundDetected),
    ("motion", Target::Motion),
    ("vibration", Target::Vibration),
    ("doorbell", Target::Doorbell),
    ("privacy", Target::Privacy),
    ("keypad_connected", Target::Keypad),
    ("nothing", Target::Nothing),
];

impl FromStr for Target {
    type Err = ();
    fn from_str(text: &str) -> Result<Target, ()> {
        TARGETS.iter().find(|(name, _)| *name == text).map(|(_, target)| *target).ok_or(())
    }
}

impl Rule {
    pub fn new(from: &str, to: Target) -> Rule {
        let (from, only) = match from.split_once('=') {
            Some((from, only)) => (from, Some(only.into())),
            None => (from, None),
        };
        Rule { from: from.into(), only, to, invert: false, factor: 1.0 }
    }

    /// What a number means under this rule (a boolean is 0 or 1); `None` for nothing.
    pub fn number(&self, value: f64) -> Option<Signal> {
        let truth = (value != 0.0) != self.invert;
        let value = value * self.factor;
        match self.to {
            Target::BatteryPercent if (0.0..=100.0).contains(&value) => {
                Some(Signal::Battery { percent: value.round() as u8 })
            }
            Target::SoundLevel if value.is_finite() => Some(Signal::SoundLevel { decibels: value as f32 }),
            Target::BatteryPercent | Target::SoundLevel | Target::Nothing => None,
            Target::Unlocked => Some(Signal::Lock(if truth { LockState::Unlocked } else { LockState::Locked })),
            Target::Locked => Some(Signal::Lock(if truth { LockState::Locked } else { LockState::Unlocked })),
            Target::DoorOpen => Some(Signal::Door { open: truth }),
            Target::BatteryLow => Some(Signal::BatteryLow(truth)),
            Target::BatteryCharging => Some(Signal::BatteryCharging(truth)),
            Target::Tamper => Some(Signal::Tamper(truth)),
            Target::SoundDetected => Some(Signal::SoundDetected(truth)),
            Target::Motion => Some(Signal::Motion(truth)),
            Target::Vibration => Some(Signal::Vibration(truth)),
            Target::Privacy => Some(Signal::Privacy(truth)),
            Target::Keypad => Some(Signal::Keypad { connected: truth }),
            Target::Moved => truth.then_some(Signal::Moved),
            Target::Doorbell => truth.then_some(Signal::Doorbell),
        }
    }

    /// What an event means under this rule: that the thing is so.
    pub fn event(&self, event: &str) -> Option<Signal> {
        match &self.only {
            Some(only) if **only != *event => None,
            _ => self.number(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_turns_values_and_keeps_impossible_ones_out() {
        let open = Rule { invert: true, ..Rule::new("generic_bool", Target::DoorOpen) };
        assert_eq!(open.number(1.0), Some(Signal::Door { open: false }));
        let level = Rule { factor: 0.1, ..Rule::new("count", Target::SoundLevel) };
        assert_eq!(level.number(654.0), Some(Signal::SoundLevel { decibels: 65.4 }));
        let percent = Rule::new("count", Target::BatteryPercent);
        assert_eq!((percent.number(101.0), percent.number(-1.0)), (None, None));
        assert_eq!(Rule::new("count", Target::SoundLevel).number(f64::NAN), None);
    }

    #[test]
    fn an_event_may_be_taken_as_the_bell() {
        let bell = Rule::new("button=press", Target::Doorbell);
        assert_eq!(bell.event("press"), Some(Signal::Doorbell));
        assert_eq!(bell.event("long_press"), None);
        assert_eq!(Rule::new("button", Target::Doorbell).event("long_press"), Some(Signal::Doorbell));
    }
}
