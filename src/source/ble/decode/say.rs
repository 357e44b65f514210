//! The vocabulary of decoders: names with fixed meanings and units, the same for every family and for `portcullis decode`.

use std::fmt;

use serde::ser::{Serialize, Serializer};

use super::fresh::Fingerprint;
use crate::time::Wall;

/// One thing an advert says.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub name: Name,
    pub value: Value,
}

impl Statement {
    /// Adds all of it to a fingerprint.
    pub fn add_to(&self, all: &mut Fingerprint) {
        all.add(self.name.as_str().as_bytes());
        if let Name::Nth(_, n) | Name::EventNth(_, n) = self.name {
            all.add(&[n]);
        }
        self.value.add_to(all);
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a statement is about. Units are in the names; polarity is always that of the name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Name {
            $($(#[$doc])* $name,)*
            /// Printed within `other`, under the name that the family's peers give it.
            Other(&'static str),
            /// One of several of its kind: `door_2`. Printed within `other`.
            Nth(&'static str, u8),
            /// Printed within `events`: something happened at this part of the device; the value says what.
            Event(&'static str),
            EventNth(&'static str, u8),
        }

        impl Name {
            /// The vocabulary's own names.
            pub const ALL: &[Name] = &[$(Name::$name),*];

            /// Without the number of an instance.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Name::$name => $text,)*
                    Name::Other(name) | Name::Nth(name, _) | Name::Event(name) | Name::EventNth(name, _) => name,
                }
            }
        }
    };
}

names! {
    // The frame itself: may be said of a refused advert too.
    FrameCounter = "frame_counter",
    TriggerBased = "trigger_based",
    LivenessOnly = "liveness_only",
    Sequence = "sequence",
    PacketId = "packet_id",

    // Locks and doors.
    /// `locked`, `unlocked`, `locking`, `unlocking`, `jammed`, `not_fully_locked`, `unknown`. With a `lock_method` it is an
    /// operation, alone it is a state.
    LockState = "lock_state",
    LockMethod = "lock_method",
    LockUserId = "lock_user_id",
    LockUserKind = "lock_user_kind",
    LockUserText = "lock_user_text",
    LockEvent = "lock_event",
    LockTrigger = "lock_trigger",
    LockStatusRaw = "lock_status_raw",
    LockStateValid = "lock_state_valid",
    LockAddress = "lock_address",
    /// What a lock complains about (`lock_picking`).
    Alarm = "alarm",
    LockoutAlarm = "lockout_alarm",
    DuressAlarm = "duress_alarm",
    UnlockedAlarm = "unlocked_alarm",
    Antilock = "antilock",
    Childlock = "childlock",
    Armed = "armed",
    FingerprintOk = "fingerprint_ok",
    KeypadAttempt = "keypad_attempt",
    DoorOpen = "door_open",
    DoorStatusRaw = "door_status_raw",
    DoorLeftOpen = "door_left_open",
    DoorKnock = "door_knock",
    DoorPried = "door_pried",
    DoorStuck = "door_stuck",
    OpeningKind = "opening_kind",
    Doorbell = "doorbell",
    /// The advert hints at a change that only a connection can read.
    StateMayHaveChanged = "state_may_have_changed",
    HasNewRecords = "has_new_records",
    SettingMode = "setting_mode",

    // The device.
    BatteryPercent = "battery_percent",
    BatteryLow = "battery_low",
    BatteryCharging = "battery_charging",
    BatteryRange = "battery_range",
    VoltageV = "voltage_v",
    Tamper = "tamper",
    Problem = "problem",
    Connectivity = "connectivity",
    /// `lock`, `opener`, `keypad`, `beacon`, `tracker`: where nothing else that is said shows it.
    DeviceKind = "device_kind",
    Protocol = "protocol",
    Scene = "scene",
    NukiId = "nuki_id",
    HomekitGsn = "homekit_gsn",
    UptimeS = "uptime_s",
    AdvCount = "adv_count",
    Ibeacon = "ibeacon",
    Beacon = "beacon",

    // The room.
    Motion = "motion",
    Moving = "moving",
    Vibration = "vibration",
    Occupancy = "occupancy",
    Presence = "presence",
    SoundDetected = "sound_detected",
    /// A-weighted average since the advert before.
    SoundLevelDba = "sound_level_dba",
    Smoke = "smoke",
    CoDetected = "co_detected",
    GasDetected = "gas_detected",
    WaterLeak = "water_leak",
    LightDetected = "light_detected",
    Cold = "cold",
    Heat = "heat",
    Plugged = "plugged",
    PowerOn = "power_on",
    Running = "running",
    Safety = "safety",
    GenericBool = "generic_bool",
    Count = "count",
    TemperatureC = "temperature_c",
    HumidityPercent = "humidity_percent",
    PressureHpa = "pressure_hpa",
    IlluminanceLux = "illuminance_lux",
    Co2Ppm = "co2_ppm",
}

impl Name {
    /// Whether this is how `text` spells the name, with the number of the instance.
    pub fn is_spelled(self, text: &str) -> bool {
        match self {
            Name::Nth(noun, n) | Name::EventNth(noun, n) => text
                .strip_prefix(noun)
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|rest| rest.parse() == Ok(n)),
            name => name.as_str() == text,
        }
    }

    /// Whether it is about the frame and not about the device's state.
    pub fn is_about_the_frame(self) -> bool {
        use Name::*;
        matches!(self, FrameCounter | TriggerBased | LivenessOnly | Sequence | PacketId)
    }

    pub fn is_event(&self) -> bool {
        matches!(self, Name::Event(_) | Name::EventNth(..))
    }

    pub fn is_other(&self) -> bool {
        matches!(self, Name::Other(_) | Name::Nth(..))
    }

    pub fn is_of_the_vocabulary(&self) -> bool {
        !self.is_event() && !self.is_other()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Name::Nth(_, n) | Name::EventNth(_, n) => write!(f, "_{n}"),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Word(&'static str),
    Text(Box<str>),
    /// Seconds since 1970 in UTC, printed as RFC 3339.
    Time(i64),
    /// Small records such as an iBeacon's fields.
    Record(Box<[(&'static str, Value)]>),
}

impl Value {
    fn add_to(&self, all: &mut Fingerprint) {
        match self {
            Value::Bool(b) => all.add(&[u8::from(*b)]),
            Value::Int(i) | Value::Time(i) => all.add(&i.to_le_bytes()),
            Value::Float(f) => all.add(&f.to_bits().to_le_bytes()),
            Value::Word(text) => all.add(text.as_bytes()),
            Value::Text(text) => all.add(text.as_bytes()),
            Value::Record(fields) => fields.iter().for_each(|(name, value)| {
                all.add(name.as_bytes());
                value.add_to(all);
            }),
        }
    }

    /// The number that it is; a boolean is 0 or 1.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            Value::Int(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        }
    }

    pub fn truth(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            Value::Int(i) => Some(*i != 0),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Word(word) => Some(word),
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($t:ty => $variant:ident($conv:expr)),* $(,)?) => {$(
        impl From<$t> for Value {
            fn from(value: $t) -> Value { Value::$variant(($conv)(value)) }
        }
    )*};
}
value_from! {
    bool => Bool(|b| b), u8 => Int(i64::from), i8 => Int(i64::from), u16 => Int(i64::from), i16 => Int(i64::from),
    u32 => Int(i64::from), i32 => Int(i64::from), i64 => Int(|i| i), f64 => Float(|f| f), &'static str => Word(|s| s),
    String => Text(String::into_boxed_str),
}

impl<const N: usize> From<[(&'static str, Value); N]> for Value {
    fn from(fields: [(&'static str, Value); N]) -> Value {
        Value::Record(fields.into())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Bool(b) => s.serialize_bool(*b),
            Value::Int(i) => s.serialize_i64(*i),
            Value::Float(f) => s.serialize_f64(*f),
            Value::Word(text) => s.serialize_str(text),
            Value::Text(text) => s.serialize_str(text),
            Value::Time(at) => s.collect_str(&Wall(at.saturating_mul(1000)).utc().to_rfc3339()),
            Value::Record(fields) => s.collect_map(fields.iter().map(|(name, value)| (name, value))),
        }
    }
}
