//! A device as the hub knows it; the durable part of its state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::clock::Correction;
use super::codes::LockCodes;
use super::tell::Teller;
use super::{Battery, DeviceSettings, Flaky, Lock, Noise, Settings, flaky, noise};
use crate::event::{ErrorCode, EventType};
use crate::signal::{Description, DeviceKey, DeviceKind, Signal};
use crate::time::Wall;

/// Seam's limits of `custom_metadata`: entries of a device, characters of a name and of a text.
const METADATA_MOST: usize = 50;
const METADATA_NAME_MOST: usize = 40;
const METADATA_TEXT_MOST: usize = 500;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub device_id: Uuid,
    pub key: DeviceKey,
    pub account_id: Uuid,
    pub managed: bool,
    pub origin: Origin,
    /// The decoder's family, once one knew it.
    #[serde(default)]
    pub family: String,
    /// As the user calls it; [`Device::display_name`] falls back on what the device says.
    pub name: Option<String>,
    /// The name in the configuration: it wins over `name` again when it changes.
    #[serde(default)]
    pub configured_name: Option<String>,
    #[serde(default)]
    pub description: Box<Description>,
    /// Where it is, if not where the hub is.
    #[serde(default)]
    pub time_zone: Option<chrono_tz::Tz>,
    /// What a user noted on it: texts and flags by name.
    #[serde(default)]
    pub custom_metadata: BTreeMap<String, Value>,
    /// When it was first heard.
    pub created_at: Option<Wall>,
    pub connected: bool,
    /// Why it is not connected.
    pub error_code: Option<ErrorCode>,
    /// When `connected` last changed.
    pub since: Option<Wall>,
    #[serde(default)]
    pub battery: Battery,
    #[serde(default)]
    pub lock: Box<Lock>,
    #[serde(default)]
    pub tampered: Mark,
    #[serde(default)]
    pub door_open: Option<bool>,
    #[serde(default)]
    pub privacy: Mark,
    #[serde(default)]
    pub third_party: Mark,
    /// A lock's accessory keypad.
    #[serde(default)]
    pub keypad: Mark,
    #[serde(default)]
    pub flaky: Flaky,
    #[serde(default)]
    pub noise: Box<Noise>,
    #[serde(default)]
    pub codes: Box<LockCodes>,
    /// The sender's counter of the last report that changed something: older ones are replays.
    pub counter: Option<u32>,
    #[serde(skip)]
    pub soft: Soft,
}

/// Who decided that a device is managed, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It is in the configuration.
    Config,
    /// `[adopt]` takes every device of a known family.
    Known,
    /// Adopted by hand.
    User,
    /// Released by hand: no policy takes it back.
    Released,
    /// Nobody: it is heard, and that is all.
    Stranger,
}

/// A state that is told on its edge, with the time of the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    pub on: Option<bool>,
    pub since: Option<Wall>,
}

impl Mark {
    /// Takes a reading; true where it is an edge worth telling. The first reading is one only where it says yes.
    pub(super) fn set(&mut self, on: bool, now: Wall) -> bool {
        let before = self.on.replace(on);
        if before != Some(on) {
            self.since = Some(now);
        }
        on != before.unwrap_or(false)
    }

    pub fn is_on(&self) -> bool {
        self.on == Some(true)
    }
}

/// What is known of a device without being worth a write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Soft {
    /// The counter of the last report: one that repeats it is the same frame, heard again.
    pub counter: Option<u32>,
    /// Readings that nothing is told about, by the vocabulary's name.
    pub measured: BTreeMap<&'static str, f64>,
    /// Something above, or the age of a reading, differs from the stored row.
    pub dirty: bool,
}

impl Device {
    pub fn new(key: DeviceKey, generation: u32, account_id: Uuid, origin: Origin) -> Device {
        Device {
            device_id: key.device_id(generation),
            key,
            account_id,
            managed: matches!(origin, Origin::Config | Origin::Known | Origin::User),
            origin,
            family: String::new(),
            name: None,
            configured_name: None,
            description: Box::default(),
            time_zone: None,
            custom_metadata: BTreeMap::new(),
            created_at: None,
            connected: false,
            error_code: None,
            since: None,
            battery: Battery::default(),
            lock: Box::default(),
            tampered: Mark::default(),
            door_open: None,
            privacy: Mark::default(),
            third_party: Mark::default(),
            keypad: Mark::default(),
            flaky: Flaky::default(),
            noise: Box::default(),
            codes: Box::default(),
            counter: None,
            soft: Soft::default(),
        }
    }

    pub fn display_name(&self) -> String {
        let said = || self.description.name.clone().or_else(|| self.description.model.clone());
        self.name.clone().or_else(said).unwrap_or_else(|| self.key.to_string())
    }

    /// The clock was wrong when some of this was dated. True where something was.
    pub(super) fn mend_dates(&mut self, correction: Correction) -> bool {
        let marks = [&mut self.tampered, &mut self.privacy, &mut self.third_party, &mut self.keypad];
        let others = [
            &mut self.created_at,
            &mut self.since,
            &mut self.battery.read_at,
            &mut self.flaky.since,
            &mut self.lock.jammed_since,
        ];
        let mut mended = false;
        for date in marks.into_iter().map(|mark| &mut mark.since).chain(others).flatten() {
            mended |= correction.mend(date);
        }
        mended
    }

    /// Whose clocks are shown where it is.
    pub(super) fn place(&self, settings: &Settings) -> chrono_tz::Tz {
        self.time_zone.unwrap_or(settings.time_zone)
    }

    pub fn kind(&self) -> Option<DeviceKind> {
        self.description.kind
    }

    /// It is there. Told as news; the caller knows that it was not.
    pub(super) fn connected(&mut self, teller: &mut Teller<'_>) {
        let first = self.created_at.is_none();
        self.created_at.get_or_insert(teller.now.wall);
        self.connected = true;
        self.error_code = None;
        self.since = Some(teller.now.wall);
        if first {
            teller.tell(self, EventType::DeviceAdded, |_| {});
        }
        flaky::begins_to_hold(self, teller);
        let managed = self.managed;
        let news = if managed { EventType::DeviceConnected } else { EventType::DeviceUnmanagedConnected };
        teller.tell(self, news, |_| {});
    }

    /// It is not there any more. The caller knows that it was.
    pub(super) fn disconnected(&mut self, code: ErrorCode, teller: &mut Teller<'_>) {
        self.connected = false;
        self.error_code = Some(code);
        self.since = Some(teller.now.wall);
        noise::lost(self, teller);
        let managed = self.managed;
        let news = if managed { EventType::DeviceDisconnected } else { EventType::DeviceUnmanagedDisconnected };
        teller.tell(self, news, |d| d.error_code = Some(code));
        if managed && code == ErrorCode::DeviceDisconnected {
            flaky::lost(self, teller);
        }
    }

    /// What the configuration says of it. True where something changed.
    pub(super) fn configure(&mut self, listed: &DeviceSettings, teller: &mut Teller<'_>) -> bool {
        let before = (self.origin, self.time_zone, self.configured_name.clone(), self.codes.clone());
        (self.origin, self.time_zone) = (Origin::Config, listed.time_zone);
        if self.configured_name != listed.name {
            self.configured_name.clone_from(&listed.name);
            self.rename(listed.name.clone(), teller);
        }
        self.codes.settings.clone_from(&listed.codes);
        before != (self.origin, self.time_zone, self.configured_name.clone(), self.codes.clone())
    }

    /// Another name. Told where the device was known to the world by a different one.
    pub(super) fn rename(&mut self, name: Option<String>, teller: &mut Teller<'_>) -> bool {
        let before = self.display_name();
        self.name = name;
        self.tell_name(before, teller)
    }

    /// Notes, changes and (where the value is null) takes out what a user keeps with the device. All of it or nothing.
    pub(super) fn annotate(&mut self, changes: BTreeMap<String, Value>) -> Result<(), String> {
        let mut metadata = self.custom_metadata.clone();
        for (name, value) in changes {
            if name.is_empty() || name.chars().count() > METADATA_NAME_MOST {
                return Err(format!("a name has 1 to {METADATA_NAME_MOST} characters"));
            }
            match value {
                Value::Null => drop(metadata.remove(&name)),
                Value::Bool(_) => drop(metadata.insert(name, value)),
                Value::String(ref text) if text.chars().count() <= METADATA_TEXT_MOST => {
                    metadata.insert(name, value);
                }
                _ => {
                    return Err(format!("a value is a flag or up to {METADATA_TEXT_MOST} characters"));
                }
            }
        }
        if metadata.len() > METADATA_MOST {
            return Err(format!("a device keeps at most {METADATA_MOST} of them"));
        }
        self.custom_metadata = metadata;
        Ok(())
    }

    fn tell_name(&self, before: String, teller: &mut Teller<'_>) -> bool {
        let name = self.display_name();
        if name != before && self.created_at.is_some() {
            teller.tell(self, EventType::DeviceNameChanged, |d| d.device_name = Some(name.clone()));
        }
        name != before
    }

    /// What its source says it is. True where that is news.
    pub(super) fn described(&mut self, said: Description, teller: &mut Teller<'_>) -> bool {
        let (before, name) = (self.description.clone(), self.display_name());
        let named = self.description.name.is_some();
        let d = &mut self.description;
        merge(&mut d.kind, said.kind);
        merge(&mut d.name, said.name.filter(|n| !n.trim().is_empty()));
        merge(&mut d.manufacturer, said.manufacturer);
        merge(&mut d.model, said.model);
        merge(&mut d.firmware, said.firmware);
        merge(&mut d.wake_up_interval_s, said.wake_up_interval_s);
        merge(&mut d.listens, said.listens);
        merge(&mut d.can_lock, said.can_lock);
        merge(&mut d.code_slots, said.code_slots);
        merge(&mut d.code_digits, said.code_digits);
        merge(&mut d.code_schedules, said.code_schedules);
        merge(&mut d.fingerprint, said.fingerprint);
        // The first name is not a change of name: it was only not known yet.
        if named {
            self.tell_name(name, teller);
        }
        before != self.description
    }

    /// What a signal lets guess of a device that nothing describes better. True where that is news.
    pub(super) fn guess_kind(&mut self, signal: &Signal) -> bool {
        let Some(kind) = kind_of(signal) else { return false };
        let better = match self.description.kind {
            None => true,
            Some(known) if known == kind => false,
            Some(DeviceKind::Sensor) => true,
            Some(_) => kind == DeviceKind::Lock,
        };
        if better {
            self.description.kind = Some(kind);
        }
        better
    }
}

fn merge<T>(known: &mut Option<T>, said: Option<T>) {
    if said.is_some() {
        *known = said;
    }
}

/// What kind of device says such a thing.
pub(super) fn kind_of(signal: &Signal) -> Option<DeviceKind> {
    Some(match signal {
        Signal::Lock(_) | Signal::LockOperation { .. } | Signal::Keypad { .. } => DeviceKind::Lock,
        Signal::AccessDenied { .. } | Signal::Code(_) => DeviceKind::Keypad,
        Signal::SoundLevel { .. } | Signal::SoundDetected(_) => DeviceKind::NoiseSensor,
        Signal::Door { .. } => DeviceKind::DoorSensor,
        Signal::Tamper(_) | Signal::Moved | Signal::Motion(_) | Signal::Vibration(_) => DeviceKind::Sensor,
        Signal::Doorbell | Signal::Measured { .. } => DeviceKind::Sensor,
        Signal::Described(said) => return said.kind,
        Signal::Battery { .. } | Signal::BatteryLow(_) | Signal::BatteryCharging(_) => return None,
        Signal::Node(_) | Signal::Removed | Signal::Connectivity(_) => return None,
        Signal::ThirdParty(_) | Signal::Privacy(_) | Signal::Vacation(_) | Signal::Attempted { .. } => return None,
        Signal::Remembered(state) => return kind_of(state),
    })
}
