//! Govee thermometers.
//!
//! ```text
//! packed     u24 BE: bit 23 below zero, then 0.1 °C * 1000 + 0.1 % humidity; a byte after it: bit 7 error, 6-0 battery %
//! plain      s16 LE 0.01 °C, u16 LE 0.01 %, battery %
//!
//! length 6   H5072, H5075, H5129, company EC88       [1] packed
//! length 6   H5106                                   [2] u32 BE: as packed, three more digits PM2.5
//! 6 or 8     H5100-H5105, H5108, H5110, H5174, H5177, GV5179, 8 of company 0001   [2] packed
//! length 8   H5112     [2] packed  [7] probe: 41 first, 82 second (without humidity)
//! length 8   H5140     [2] packed without the byte after it  [5] CO2 BE  [7] error
//! length 7   H5074, company EC88                     [1] plain
//! length 9   H5051, H5052, H5071, company EC88       [1] plain
//! length 9   H5178, company 0001                     [2] 0 own sensor, 1 remote  [3] packed
//! length 9   H5179, company 8801                     [4] plain
//! ```
//!
//! A sensor that reports an error is said to: `temperature_c` is then the word `error`, which is no number and no signal.

use super::{Entry, Read};
use crate::source::ble::decode::bytes::{Bytes, bit};
use crate::source::ble::decode::{Decoded, Name, Reject, Value};

const ERROR: &str = "error";
/// What the sensors can measure, °C.
const RANGE: std::ops::RangeInclusive<f64> = -40.0..=100.0;

/// Degrees and percent; `None` is out of the sensor's range.
fn packed(raw: u32) -> Option<(f64, f64)> {
    let magnitude = raw & 0x7F_FFFF;
    let celsius = f64::from(magnitude / 1000) / 10.0;
    let celsius = if raw & 0x80_0000 != 0 { -celsius } else { celsius };
    RANGE.contains(&celsius).then(|| (celsius, f64::from(magnitude % 1000) / 10.0))
}

fn say(temperature: Name, humidity: Option<Name>, measured: Option<(f64, f64)>, out: &mut Decoded) {
    let (celsius, percent) = match measured {
        Some((celsius, percent)) => (Value::from(celsius), Value::from(percent)),
        None => (Value::from(ERROR), Value::from(ERROR)),
    };
    out.say(temperature, celsius);
    if let Some(humidity) = humidity {
        out.say(humidity, percent);
    }
}

/// Packed at an offset, with the byte of error and battery.
fn packed_at(data: &[u8], at: usize, temperature: Name, humidity: Option<Name>, out: &mut Decoded) -> Option<()> {
    let (raw, last) = (data.u24_be(at)?, data.u8(at + 3)?);
    say(temperature, humidity, packed(raw).filter(|_| !bit(last, 7)), out);
    out.battery(last & 0x7F);
    Some(())
}

fn plain_at(data: &[u8], at: usize, out: &mut Decoded) -> Option<()> {
    let (celsius, percent, battery) = (data.i16_le(at)?, data.u16_le(at + 2)?, data.u8(at + 4)?);
    out.say(Name::TemperatureC, f64::from(celsius) / 100.0);
    out.say(Name::HumidityPercent, f64::from(percent) / 100.0);
    out.battery(battery);
    Some(())
}

const ROOM: (Name, Option<Name>) = (Name::TemperatureC, Some(Name::HumidityPercent));

pub fn read(entry: &Entry<'_>, out: &mut Decoded) -> Read {
    const H510X: &[&str] =
        &["H5108", "H5100", "H5101", "H5102", "H5103", "H5104", "H5105", "H5174", "H5177", "H5110", "GV5179", "GV5108"];
    let (data, company) = (entry.data, entry.company);
    let read = match data.len() {
        6 if entry.any_named(&["H5072", "H5075", "H5129"]) || company == 0xEC88 => {
            packed_at(data, 1, ROOM.0, ROOM.1, out)
        }
        8 if entry.any_named(&["GV5112", "H5112"]) => return h5112(data, out),
        8 if entry.named("5140") => h5140(data, out),
        6 | 8 if entry.any_named(H510X) || (company == 0x0001 && data.len() == 8) => {
            packed_at(data, 2, ROOM.0, ROOM.1, out)
        }
        6 if entry.named("H5106") => h5106(data, out),
        7 if entry.named("H5074") || company == 0xEC88 => plain_at(data, 1, out),
        9 if entry.any_named(&["H5051", "H5052", "H5071"]) || company == 0xEC88 => plain_at(data, 1, out),
        9 if entry.any_named(&["H5178", "B5178"]) || company == 0x0001 => h5178(data, out),
        9 if entry.named("H5179") || company == 0x8801 => plain_at(data, 4, out),
        _ => return None,
    };
    read.map(Ok)
}

fn h5112(data: &[u8], out: &mut Decoded) -> Read {
    let (temperature, humidity) = match data.u8(7)? {
        0x41 => (Name::Other("temperature_probe_1"), Some(Name::Other("humidity_probe_1"))),
        0x82 => (Name::Other("temperature_probe_2"), None),
        _ => return Some(Err(Reject::OutOfRange)),
    };
    packed_at(data, 2, temperature, humidity, out).map(Ok)
}

fn h5140(data: &[u8], out: &mut Decoded) -> Option<()> {
    let (raw, ppm, error) = (data.u24_be(2)?, data.u16_be(5)?, data.u8(7)?);
    let measured = packed(raw).filter(|_| error == 0);
    say(ROOM.0, ROOM.1, measured, out);
    out.say(Name::Co2Ppm, if measured.is_some() { Value::from(ppm) } else { Value::from(ERROR) });
    Some(())
}

fn h5106(data: &[u8], out: &mut Decoded) -> Option<()> {
    let raw = data.u32_be(2)?;
    let magnitude = raw & 0x7FFF_FFFF;
    let celsius = f64::from(magnitude / 1_000_000) / 10.0;
    out.say(Name::TemperatureC, if raw >> 31 == 1 { -celsius } else { celsius });
    out.say(Name::HumidityPercent, f64::from(magnitude % 1_000_000 / 1000) / 10.0);
    out.other("pm25", magnitude % 1000);
    Some(())
}

/// One address, two places: which of them is said beside the climate.
fn h5178(data: &[u8], out: &mut Decoded) -> Option<()> {
    out.other("sensor", if data.u8(2)? == 1 { "remote" } else { "primary" });
    packed_at(data, 3, ROOM.0, ROOM.1, out)
}
