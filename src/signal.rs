//! The vocabulary of sources: what a device or a bridge said, decoded but not judged.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Wall;

/// The namespace of every id that is derived from an address (UUIDv5), fixed for ever.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6d9c_7f0a_52f1_4b0e_9f4d_7c1e_8a35_b2d6);

/// A Bluetooth device address, as printed (most significant byte first).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub [u8; 6]);

impl Address {
    fn number(self) -> u64 {
        let [a, b, c, d, e, g] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, g])
    }
}

/// As one word: an advert is looked up a few times.
impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.number());
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Bluetooth address (six hex bytes: C0:FF:EE:00:00:01)")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;
    fn from_str(s: &str) -> Result<Address, BadAddress> {
        let bad = || BadAddress(s.chars().take(40).collect());
        let mut bytes = [0; 6];
        let mut parts = s.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Address(bytes)) }
    }
}

/// A device as its source names it. Displays as `ble:C0:FF:EE:00:00:01` or `zwave:7e570001:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKey {
    Ble(Address),
    Zwave { home: u32, node: u16 },
}

/// As one word, in which neither kind looks like the other.
impl Hash for DeviceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(match *self {
            DeviceKey::Ble(address) => address.number(),
            DeviceKey::Zwave { home, node } => 1 << 48 | u64::from(home) << 16 | u64::from(node),
        });
    }
}

impl DeviceKey {
    /// The `device_id` that outlives database and dongle. `generation` counts the devices that had this node number before.
    pub fn device_id(&self, generation: u32) -> Uuid {
        let name = if generation == 0 { self.to_string() } else { format!("{self}#{generation}") };
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceKey::Ble(address) => write!(f, "ble:{address}"),
            DeviceKey::Zwave { home, node } => write!(f, "zwave:{home:08x}:{node}"),
        }
    }
}

impl FromStr for DeviceKey {
    type Err = String;
    fn from_str(s: &str) -> Result<DeviceKey, String> {
        let bad = || format!("{s:?} is not a device key (ble:ADDRESS or zwave:HOMEID:NODE)");
        match s.split_once(':').ok_or_else(bad)? {
            ("ble", address) => address.parse().map(DeviceKey::Ble).map_err(|e: BadAddress| e.to_string()),
            ("zwave", rest) => {
                let (home, node) = rest.split_once(':').ok_or_else(bad)?;
                Ok(DeviceKey::Zwave {
                    home: u32::from_str_radix(home, 16).map_err(|_| bad())?,
                    node: node.parse().map_err(|_| bad())?,
                })
            }
            _ => Err(bad()),
        }
    }
}

macro_rules! as_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(Address, DeviceKey);

/// Digits of an access code, or another secret that passes through. Never printed: `Debug` shows only its length.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }
    /// The secret itself; call it only where the secret is the point.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} characters)", self.0.chars().count())
    }
}

/// Where something was heard: one adapter of the BLE account, or the socket of a Z-Wave network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// `hci0`
    Adapter(Arc<str>),
    /// The network's name in the configuration.
    Network(Arc<str>),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Adapter(name) => write!(f, "ble/{name}"),
            Link::Network(name) => write!(f, "zwave/{name}"),
        }
    }
}

/// One thing heard of one device: the unit that a source hands to the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub device: DeviceKey,
    pub link: Link,
    /// dBm, where the radio told it.
    pub rssi: Option<i16>,
    /// The name the device advertises, when it is news to the source.
    pub name: Option<Arc<str>>,
    /// The decoder's family (`bthome_v2`, `mibeacon`, `zwave` …); empty where no decoder knew it.
    pub family: &'static str,
    /// The sender speaks only when something happens: its silence says nothing (BTHome's trigger bit).
    pub irregular: bool,
    /// The sender's counter when it is authenticated and only goes up (encryption or frame counter).
    pub counter: Option<u32>,
    /// The device's or bridge's own time, where it gives one.
    pub occurred_at: Option<Wall>,
    /// In the order said; empty means: it is alive, and that is all.
    pub signals: Vec<Signal>,
}

/// One decoded statement. *State* may be repeated for ever and means news only when it differs; an *operation* is news each time
/// (sources drop the repeats of one frame).
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// State of the bolt.
    Lock(LockState),
    /// Operation: somebody or something moved the bolt.
    LockOperation {
        locked: bool,
        method: Method,
        user: Option<LockUser>,
    },
    /// Operation: an entry was refused.
    AccessDenied {
        reason: DenyReason,
        user: Option<LockUser>,
    },
    /// State: the door leaf.
    Door {
        open: bool,
    },
    /// State: charge in percent, 0..=100. A source drops impossible values.
    Battery {
        percent: u8,
    },
    /// State: the device's own verdict on its battery.
    BatteryLow(bool),
    BatteryCharging(bool),
    /// State: case open, pulled off the wall.
    Tamper(bool),
    /// Operation: the device was moved or shaken by a person.
    Moved,
    /// State: sound pressure level in dB.
    SoundLevel {
        decibels: f32,
    },
    SoundDetected(bool),
    Motion(bool),
    Vibration(bool),
    /// Operation: the bell button was pressed.
    Doorbell,
    /// State: the lock's privacy ("do not disturb") mode.
    Privacy(bool),
    /// State: the keypad's vacation mode, in which codes do not open.
    Vacation(bool),
    /// State: a bridge-like device's own report about its link.
    Connectivity(bool),
    /// State: another controller or association shares this device.
    ThirdParty(bool),
    /// State: an accessory keypad of the lock is there or not.
    Keypad {
        connected: bool,
    },
    /// A user code or credential of the lock.
    Code(CodeNotice),
    /// An attempt to lock or unlock that the driver has given up. That one succeeded only the lock itself can say, by a state or an
    /// operation.
    Attempted {
        attempt: Uuid,
        outcome: Outcome,
    },
    /// State: what the Z-Wave driver thinks of the node.
    Node(NodeStatus),
    /// A state that a bridge remembers and tells again on connecting. It may be stale: it fills what is not known and is no news
    /// of the bolt.
    Remembered(Box<Signal>),
    /// What the device is.
    Described(Box<Description>),
    /// Operation: excluded, unpaired or factory reset at the bridge.
    Removed,
    /// State of anything else, with the vocabulary's name and unit (`temperature_c`, `humidity_percent`, `voltage_v` …).
    Measured {
        name: &'static str,
        value: f64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    Locked,
    Unlocked,
    Locking,
    Unlocking,
    /// The motor gave up.
    Jammed,
    /// The latch holds, the bolt does not.
    NotFullyLocked,
    Unknown,
}

/// How a lock was operated. `Api` is a command of this hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Keycode,
    Manual,
    Automatic,
    Card,
    Bluetooth,
    Api,
    Unknown,
}

/// Who operated a lock, as the lock numbers its users: a slot or a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LockUser(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    UnknownCode,
    ExpiredCode,
    DisabledCode,
    OutsideSchedule,
    TooManyAttempts,
    KeypadDisabled,
    PrivacyMode,
    Other,
}

/// What a lock says about its codes. Slots as the lock numbers them.
#[derive(Clone, Debug, PartialEq)]
pub enum CodeNotice {
    Added {
        slot: u16,
    },
    Deleted {
        slot: u16,
    },
    AllDeleted,
    Duplicate {
        slot: u16,
    },
    /// The content of a slot as read back: `None` is an empty slot.
    Slot {
        slot: u16,
        digits: Option<Secret>,
    },
    /// Read back: the slot is in use, and the lock does not show its digits.
    Hidden {
        slot: u16,
    },
    /// The lock took what was written; it is read back next.
    Accepted {
        slot: u16,
    },
    /// What was asked of the slot came to nothing.
    Refused {
        slot: u16,
        reason: Outcome,
    },
    /// Read back: the dates that the lock keeps for a slot, if it keeps any.
    Schedule {
        slot: u16,
        schedule: Option<Schedule>,
    },
    /// How many minutes the clock of the lock's place is ahead of UTC as the lock was told, in standard and in summer time.
    Place {
        standard: i16,
        summer: i16,
    },
    /// What the lock's clock shows after it was set; `None` where it shows nothing, or could not be set.
    Clock(Option<LockTime>),
    /// Something was typed on a keypad that knows no users.
    Typed {
        digits: Secret,
    },
}

/// From when until when a lock opens to a code, in whole minutes of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub from: NaiveDateTime,
    pub until: NaiveDateTime,
}

/// What a lock's clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTime {
    pub minute_of_day: u16,
    /// In UTC, rather than as it is where the lock is.
    pub utc: bool,
}

/// Why a driver gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The device refused the command, or does not know it.
    Refused,
    /// Another slot holds these digits already.
    Duplicate,
    /// Too many commands wait for the device already.
    Busy,
    /// The device did not take the command: its radio does not answer.
    Unreachable,
    /// The link to the driver is down.
    LinkDown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    Alive,
    Dead,
    Asleep,
    Awake,
    Unknown,
}

/// What a device is, as far as its source can tell. Merged field by field: `None` leaves what was known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    pub kind: Option<DeviceKind>,
    pub name: Option<String>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    /// Seconds between the wake-ups of a sleeping device.
    pub wake_up_interval_s: Option<u32>,
    pub listens: Option<Listening>,
    pub can_lock: Option<bool>,
    /// Number of user-code slots.
    pub code_slots: Option<u16>,
    /// Digits of a code, at least and at most.
    pub code_digits: Option<(u8, u8)>,
    /// It can keep the dates of codes itself.
    pub code_schedules: Option<bool>,
    /// What tells this device from another that is given the same number later (manufacturer, product type and product ids).
    pub fingerprint: Option<String>,
}

/// When a Z-Wave node can be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listening {
    /// Mains powered.
    Always,
    /// Every second or so (FLiRS): locks on batteries.
    Often,
    /// Only after it woke up.
    Sleeps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    Lock,
    Keypad,
    NoiseSensor,
    DoorSensor,
    Sensor,
    Bridge,
    Beacon,
}

/// News of a link itself.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkNews {
    /// A BLE adapter's power and discovery; both true means it can hear.
    Adapter {
        powered: bool,
        scanning: bool,
    },
    /// The Z-Wave driver is there; its network has this home id.
    BridgeUp {
        home: u32,
    },
    /// Every node of the network has been read; a following `BridgeUp` starts anew.
    BridgeSynced {
        home: u32,
    },
    BridgeDown(DownReason),
    /// All nodes of the network but the controllers: whoever is not among them was removed.
    Nodes {
        home: u32,
        nodes: Vec<u16>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownReason {
    /// The server cannot be reached.
    Unreachable,
    /// The server is there, its driver (the stick) is not.
    DriverDown,
    /// The server does not accept our credentials.
    Refused,
    /// The server speaks no schema that we know.
    Incompatible,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written_and_nothing_else_is_one() {
        let address: Address = "c0:ff:ee:00:00:01".parse().unwrap();
        assert_eq!(address.to_string(), "C0:FF:EE:00:00:01");
        for bad in
            ["", "C0:FF:EE:00:00", "C0:FF:EE:00:00:01:02", "C0:FF:EE:00:00:0G", "C0FFEE000001", "+0:FF:EE:00:00:01x"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_device_key_reads_back_as_it_was_written() {
        for text in ["ble:C0:FF:EE:00:00:01", "zwave:7e570001:2"] {
            assert_eq!(text.parse::<DeviceKey>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_secret_never_shows_itself() {
        assert_eq!(format!("{:?}", Secret::new("0815")), "Secret(4 characters)");
    }
}
