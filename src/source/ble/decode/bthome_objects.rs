//! The objects of BTHome, shared by both versions (<https://bthome.io/format>, tables of sensor data, binary data, events, device
//! information and misc data; ids that the pages of 2026-04 list).
//!
//! A value is little-endian; its length and sign hang on the id (version 2) or on a control byte (version 1). An id that comes
//! more than once in a packet counts its instances: `door_1`, `door_2`, which then are no statements about *the* door.
//! Booleans take any value but 0 as true: what a lock must not do is call itself locked by a value that nobody defined.

use super::{Decoded, Name, Value};

/// An object as the packet has it.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    pub kind: &'static Kind,
    pub form: Form,
    pub data: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Unsigned,
    Signed,
    Float,
    /// Text, addresses: not a number.
    Bytes,
}

/// A row of the table.
pub struct Kind {
    pub id: u8,
    /// Bytes of the value in version 2; 0 where a length byte says it.
    pub len: usize,
    pub form: Form,
    means: Means,
    /// What instances are counted by.
    noun: &'static str,
}

enum Means {
    PacketId,
    /// The value times the first over the second.
    Number(Name, f64, f64),
    Flag(Name),
    /// A door leaf of this kind.
    Opening(&'static str),
    Lock,
    Button,
    Dimmer,
    Command,
    Text,
    Raw,
    Timestamp,
    /// Understood, with nothing to say: device type and firmware.
    Silent,
}

const fn row(id: u8, len: usize, form: Form, means: Means, noun: &'static str) -> Kind {
    Kind { id, len, form, means, noun }
}

/// An unsigned number divided by `div`, with a name of the vocabulary.
const fn num(id: u8, len: usize, name: Name, noun: &'static str, div: f64) -> Kind {
    row(id, len, Form::Unsigned, Means::Number(name, 1.0, div), noun)
}

/// A signed one.
const fn int(id: u8, len: usize, name: Name, noun: &'static str, div: f64) -> Kind {
    row(id, len, Form::Signed, Means::Number(name, 1.0, div), noun)
}

/// Numbers outside the vocabulary.
const fn onum(id: u8, len: usize, noun: &'static str, div: f64) -> Kind {
    num(id, len, Name::Other(noun), noun, div)
}

const fn oint(id: u8, len: usize, noun: &'static str, div: f64) -> Kind {
    int(id, len, Name::Other(noun), noun, div)
}

const fn flag(id: u8, name: Name, noun: &'static str) -> Kind {
    row(id, 1, Form::Unsigned, Means::Flag(name), noun)
}

const fn door(id: u8, kind: &'static str) -> Kind {
    row(id, 1, Form::Unsigned, Means::Opening(kind), kind)
}

use Form::{Bytes, Signed, Unsigned};
use Name as N;

static KINDS: [Kind; 95] = [
    row(0x00, 1, Unsigned, Means::PacketId, "packet_id"),
    num(0x01, 1, N::BatteryPercent, "battery", 1.0),
    int(0x02, 2, N::TemperatureC, "temperature", 100.0),
    num(0x03, 2, N::HumidityPercent, "humidity", 100.0),
    num(0x04, 3, N::PressureHpa, "pressure", 100.0),
    num(0x05, 3, N::IlluminanceLux, "illuminance", 100.0),
    onum(0x06, 2, "mass", 100.0), // kg
    onum(0x07, 2, "mass", 100.0), // lb
    oint(0x08, 2, "dew_point", 100.0),
    num(0x09, 1, N::Count, "count", 1.0),
    onum(0x0A, 3, "energy", 1000.0),
    onum(0x0B, 3, "power", 100.0),
    num(0x0C, 2, N::VoltageV, "voltage", 1000.0),
    onum(0x0D, 2, "pm25", 1.0),
    onum(0x0E, 2, "pm10", 1.0),
    flag(0x0F, N::GenericBool, "generic_bool"),
    flag(0x10, N::PowerOn, "power_on"),
    door(0x11, "opening"),
    num(0x12, 2, N::Co2Ppm, "co2", 1.0),
    onum(0x13, 2, "volatile_organic_compounds", 1.0),
    onum(0x14, 2, "moisture", 100.0),
    flag(0x15, N::BatteryLow, "battery_low"),
    flag(0x16, N::BatteryCharging, "battery_charging"),
    flag(0x17, N::CoDetected, "co_detected"),
    flag(0x18, N::Cold, "cold"),
    flag(0x19, N::Connectivity, "connectivity"),
    door(0x1A, "door"),
    door(0x1B, "garage_door"),
    flag(0x1C, N::GasDetected, "gas_detected"),
    flag(0x1D, N::Heat, "heat"),
    flag(0x1E, N::LightDetected, "light_detected"),
    row(0x1F, 1, Unsigned, Means::Lock, "lock"),
    flag(0x20, N::WaterLeak, "water_leak"),
    flag(0x21, N::Motion, "motion"),
    flag(0x22, N::Moving, "moving"),
    flag(0x23, N::Occupancy, "occupancy"),
    flag(0x24, N::Plugged, "plugged"),
    flag(0x25, N::Presence, "presence"),
    flag(0x26, N::Problem, "problem"),
    flag(0x27, N::Running, "running"),
    flag(0x28, N::Safety, "safety"), // 1 is safe
    flag(0x29, N::Smoke, "smoke"),
    flag(0x2A, N::SoundDetected, "sound_detected"),
    flag(0x2B, N::Tamper, "tamper"),
    flag(0x2C, N::Vibration, "vibration"),
    door(0x2D, "window"),
    num(0x2E, 1, N::HumidityPercent, "humidity", 1.0),
    onum(0x2F, 1, "moisture", 1.0),
    row(0x3A, 1, Unsigned, Means::Button, "button"),
    row(0x3B, 0, Bytes, Means::Command, "command"),
    row(0x3C, 2, Unsigned, Means::Dimmer, "dimmer"),
    num(0x3D, 2, N::Count, "count", 1.0),
    num(0x3E, 4, N::Count, "count", 1.0),
    oint(0x3F, 2, "rotation", 10.0),
    onum(0x40, 2, "distance", 1.0),  // mm
    onum(0x41, 2, "distance", 10.0), // m
    onum(0x42, 3, "duration", 1000.0),
    onum(0x43, 2, "current", 1000.0),
    onum(0x44, 2, "speed", 100.0),
    int(0x45, 2, N::TemperatureC, "temperature", 10.0),
    onum(0x46, 1, "uv_index", 10.0),
    onum(0x47, 2, "volume", 10.0), // l
    onum(0x48, 2, "volume", 1.0),  // ml
    onum(0x49, 2, "volume_flow_rate", 1000.0),
    num(0x4A, 2, N::VoltageV, "voltage", 10.0),
    onum(0x4B, 3, "gas", 1000.0),
    onum(0x4C, 4, "gas", 1000.0),
    onum(0x4D, 4, "energy", 1000.0),
    onum(0x4E, 4, "volume", 1000.0),
    onum(0x4F, 4, "water", 1000.0),
    row(0x50, 4, Unsigned, Means::Timestamp, "timestamp"),
    onum(0x51, 2, "acceleration", 1000.0),
    onum(0x52, 2, "gyroscope", 1000.0),
    row(0x53, 0, Bytes, Means::Text, "text"),
    row(0x54, 0, Bytes, Means::Raw, "raw"),
    onum(0x55, 4, "volume_storage", 1000.0),
    onum(0x56, 2, "conductivity", 1.0),
    int(0x57, 1, N::TemperatureC, "temperature", 1.0),
    row(0x58, 1, Signed, Means::Number(N::TemperatureC, 35.0, 100.0), "temperature"),
    int(0x59, 1, N::Count, "count", 1.0),
    int(0x5A, 2, N::Count, "count", 1.0),
    int(0x5B, 4, N::Count, "count", 1.0),
    oint(0x5C, 4, "power", 100.0),
    oint(0x5D, 2, "current", 1000.0),
    onum(0x5E, 2, "direction", 100.0),
    onum(0x5F, 2, "precipitation", 10.0),
    onum(0x60, 1, "channel", 1.0),
    onum(0x61, 2, "rotational_speed", 1.0),
    oint(0x62, 4, "speed", 1e6),
    oint(0x63, 4, "acceleration", 1e6),
    onum(0x64, 1, "light_level", 1.0),
    onum(0x65, 1, "settings_revision", 1.0),
    row(0xF0, 2, Unsigned, Means::Silent, "device_type"),
    row(0xF1, 4, Unsigned, Means::Silent, "firmware"),
    row(0xF2, 3, Unsigned, Means::Silent, "firmware"),
];

/// Row of an id, plus one; 0 is none.
static ROW_OF: [u8; 256] = {
    let mut rows = [0; 256];
    let mut n = 0;
    while n < KINDS.len() {
        rows[KINDS[n].id as usize] = n as u8 + 1;
        n += 1;
    }
    rows
};

/// The first row with the same noun: what instances are counted by.
static COUNTED_AS: [u8; KINDS.len()] = {
    const fn same(a: &[u8], b: &[u8]) -> bool {
        let mut n = 0;
        while n < a.len() && n < b.len() && a[n] == b[n] {
            n += 1;
        }
        n == a.len() && n == b.len()
    }
    let mut first = [0; KINDS.len()];
    let mut n = 0;
    while n < KINDS.len() {
        let mut m = 0;
        while !same(KINDS[m].noun.as_bytes(), KINDS[n].noun.as_bytes()) {
            m += 1;
        }
        first[n] = m as u8;
        n += 1;
    }
    first
};

/// What an id means; `None` for one that nobody defined.
pub fn kind(id: u8) -> Option<&'static Kind> {
    usize::from(ROW_OF[usize::from(id)]).checked_sub(1).map(|row| &KINDS[row])
}

impl Kind {
    fn counted_as(&self) -> usize {
        usize::from(COUNTED_AS[usize::from(ROW_OF[usize::from(self.id)]) - 1])
    }

    pub fn is_packet_id(&self) -> bool {
        matches!(self.means, Means::PacketId)
    }
}

/// Says what the objects say; true when at least one was understood.
pub fn say<'a>(objects: impl Iterator<Item = Object<'a>> + Clone, out: &mut Decoded) -> bool {
    let mut total = [0u8; KINDS.len()];
    for object in objects.clone() {
        let count = &mut total[object.kind.counted_as()];
        *count = count.saturating_add(1);
    }
    let mut seen = [0u8; KINDS.len()];
    let mut understood = false;
    for object in objects {
        let group = object.kind.counted_as();
        seen[group] = seen[group].saturating_add(1);
        let nth = if total[group] > 1 { seen[group] } else { 0 };
        understood |= object.say(nth, out).is_some();
    }
    understood
}

impl Object<'_> {
    /// `nth` is 0 for the only one of its kind in the packet. `None`: could not be understood.
    fn say(&self, nth: u8, out: &mut Decoded) -> Option<()> {
        let noun = self.kind.noun;
        match self.kind.means {
            Means::PacketId => out.say(Name::PacketId, self.integer()?),
            Means::Number(name, times, over) => {
                let value = self.scaled(times, over)?;
                match name {
                    Name::BatteryPercent if !value.number().is_some_and(|p| (0.0..=100.0).contains(&p)) => {}
                    name => out.say(instance(name, noun, nth), value),
                }
            }
            Means::Flag(name) => out.say(instance(name, noun, nth), self.integer()? != 0),
            Means::Opening(kind) => {
                out.say(instance(Name::DoorOpen, noun, nth), self.integer()? != 0);
                if nth == 0 {
                    out.say(Name::OpeningKind, kind);
                }
            }
            Means::Lock => {
                let state = if self.integer()? == 0 { "locked" } else { "unlocked" };
                out.say(instance(Name::LockState, noun, nth), state);
            }
            Means::Button => {
                let press = match self.data.first()? {
                    1 => "press",
                    2 => "double_press",
                    3 => "triple_press",
                    4 => "long_press",
                    5 => "long_double_press",
                    6 => "long_triple_press",
                    0x80 => "hold_press",
                    _ => return Some(()),
                };
                out.say(event(noun, nth), press);
            }
            Means::Dimmer => {
                let turn = match self.data.first()? {
                    1 => "rotate_left",
                    2 => "rotate_right",
                    _ => return Some(()),
                };
                let steps = self.data.get(1).copied().unwrap_or(0);
                out.say(event(noun, nth), Value::from([("event", turn.into()), ("steps", steps.into())]));
            }
            Means::Command => {
                let command = match self.data.first()? {
                    0 => "off",
                    1 => "on",
                    2 => "toggle",
                    3 => "step_up",
                    4 => "step_down",
                    _ => return Some(()),
                };
                out.say(event(noun, nth), command);
            }
            Means::Text => {
                let text = std::str::from_utf8(self.data).ok()?;
                out.say(instance(Name::Other(noun), noun, nth), text.to_owned());
            }
            Means::Raw => out.say(instance(Name::Other(noun), noun, nth), hex::encode(self.data)),
            Means::Timestamp => out.say(instance(Name::Other(noun), noun, nth), Value::Time(self.integer()?)),
            Means::Silent => {}
        }
        Some(())
    }

    /// The value as an integer, if it is one of at most eight bytes.
    fn integer(&self) -> Option<i64> {
        let len = self.data.len();
        if !(1..=8).contains(&len) || self.form == Bytes {
            return None;
        }
        if self.form == Form::Float {
            return self.float().map(|f| f as i64);
        }
        let mut wide = [0; 8];
        wide[..len].copy_from_slice(self.data);
        let value = i64::from_le_bytes(wide);
        let unused = 64 - 8 * len as u32;
        Some(if self.form == Signed { value << unused >> unused } else { value })
    }

    /// Version 1 has floats of two, four and eight bytes.
    fn float(&self) -> Option<f64> {
        match self.data {
            &[a, b] => Some(half(u16::from_le_bytes([a, b]))),
            &[a, b, c, d] => Some(f64::from(f32::from_le_bytes([a, b, c, d]))),
            data => Some(f64::from_le_bytes(data.try_into().ok()?)),
        }
        .filter(|f| f.is_finite())
    }

    fn scaled(&self, times: f64, over: f64) -> Option<Value> {
        if self.form == Form::Float {
            return Some((self.float()? * times / over).into());
        }
        let value = self.integer()?;
        Some(if times == 1.0 && over == 1.0 { value.into() } else { (value as f64 * times / over).into() })
    }
}

/// The name of a statement, or of one instance of several.
fn instance(name: Name, noun: &'static str, nth: u8) -> Name {
    if nth == 0 { name } else { Name::Nth(noun, nth) }
}

fn event(noun: &'static str, nth: u8) -> Name {
    if nth == 0 { Name::Event(noun) } else { Name::EventNth(noun, nth) }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
    match exponent {
        0 => sign * fraction * 2f64.powi(-24),
        31 => f64::NAN,
        e => sign * (1.0 + fraction / 1024.0) * 2f64.powi(e - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_one_row() {
        for (n, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[n + 1..].iter().all(|other| other.id != kind.id), "{:#04x}", kind.id);
        }
    }

    #[test]
    fn half_precision_reads_as_ieee_754_says() {
        for (bits, value) in [(0x3C00, 1.0), (0xC000, -2.0), (0x3555, 0.333_251_953_125), (0x0001, 2f64.powi(-24))] {
            assert_eq!(half(bits), value);
        }
    }
}
