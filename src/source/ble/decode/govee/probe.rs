//! Govee meat thermometers: probes, each with its alarm. Temperatures s16, in 0.01 °C BE, for H5055 in °C LE; below zero is
//! no probe, or no alarm.
//!
//! ```text
//! length 14   H5181, H5183   [8] probe 1  [10] alarm
//! length 17   H5182, H5184   [8] first  [10] alarm  [13] second  [15] alarm;  H5184 [6] 01 41 81 C1: probes 1, 2; 02 …: 3, 4
//! length 20   H5185          [8] first  [10] alarm  [14] second  [16] alarm
//! length 20   H5191          [8] probe 1  [10] alarm  [14] room
//! length 20   H5198          [6] which two, as H5184  [8] first  [10] high  [12] low  [14] second  [16] high  [18] low
//! length 20   H5055          [2] battery %  [3] bits 7-6 pair, bit n - 1 probe n is in  [5] first  [7] low  [9] high
//!                            [12] second  [14] low  [16] high
//! ```

use super::{Entry, Read};
use crate::source::ble::decode::bytes::{Bytes, bit};
use crate::source::ble::decode::{Decoded, Name, Reject};

const TEMPERATURE: [&str; 6] = [
    "temperature_probe_1",
    "temperature_probe_2",
    "temperature_probe_3",
    "temperature_probe_4",
    "temperature_probe_5",
    "temperature_probe_6",
];
const HIGH: [&str; 6] = [
    "temperature_alarm_probe_1",
    "temperature_alarm_probe_2",
    "temperature_alarm_probe_3",
    "temperature_alarm_probe_4",
    "temperature_alarm_probe_5",
    "temperature_alarm_probe_6",
];
const LOW: [&str; 6] = [
    "low_temperature_alarm_probe_1",
    "low_temperature_alarm_probe_2",
    "low_temperature_alarm_probe_3",
    "low_temperature_alarm_probe_4",
    "low_temperature_alarm_probe_5",
    "low_temperature_alarm_probe_6",
];

/// Companies, service UUID and name of a model: one is enough.
fn is(entry: &Entry<'_>, model: &str, companies: &[u16], service: u16) -> bool {
    entry.named(model) || companies.contains(&entry.company) || entry.serves(service)
}

pub fn read(entry: &Entry<'_>, out: &mut Decoded) -> Read {
    let data = entry.data;
    match data.len() {
        14 if is(entry, "H5181", &[0xF861, 0x388A, 0xEA42, 0xAAA2, 0xD14B], 0x8151)
            || is(entry, "H5183", &[0x67DD, 0xE02F, 0xF79F], 0x8351) =>
        {
            centi(data, 0, 8, Some(10), None, out)?;
        }
        17 if is(entry, "H5182", &[0x2730], 0x8251) => two(data, 0, [8, 10], [13, 15], out)?,
        17 if is(entry, "H5184", &[0x1B36], 0x8451) => match pair(data)? {
            Some(first) => two(data, first, [8, 10], [13, 15], out)?,
            None => return Some(Err(Reject::OutOfRange)),
        },
        20 if is(entry, "H5185", &[0x4A32, 0x0332, 0x4C32], 0x8551) => two(data, 0, [8, 10], [14, 16], out)?,
        20 if is(entry, "H5191", &[0xAC63], 0x9151) => {
            centi(data, 0, 8, Some(10), None, out)?;
            out.say(Name::TemperatureC, f64::from(data.i16_be(14)?) / 100.0);
        }
        20 if is(entry, "H5198", &[0x3022], 0x9851) => match pair(data)? {
            Some(first) => {
                centi(data, first, 8, Some(10), Some(12), out)?;
                centi(data, first + 1, 14, Some(16), Some(18), out)?;
            }
            None => return Some(Err(Reject::OutOfRange)),
        },
        20 if is(entry, "H5055", &[0xEA1C], 0x5550) => return h5055(data, out),
        _ => return None,
    }
    Some(Ok(()))
}

/// The first of the two probes that a frame of H5184 or H5198 is about.
fn pair(data: &[u8]) -> Option<Option<usize>> {
    Some(match data.u8(6)? & 0x3F {
        1 => Some(0),
        2 => Some(2),
        _ => None,
    })
}

fn two(data: &[u8], probe: usize, first: [usize; 2], second: [usize; 2], out: &mut Decoded) -> Option<()> {
    centi(data, probe, first[0], Some(first[1]), None, out)?;
    centi(data, probe + 1, second[0], Some(second[1]), None, out)
}

fn centi(
    data: &[u8],
    probe: usize,
    at: usize,
    high: Option<usize>,
    low: Option<usize>,
    out: &mut Decoded,
) -> Option<()> {
    for (names, at) in [(&TEMPERATURE, Some(at)), (&HIGH, high), (&LOW, low)] {
        let Some(at) = at else { continue };
        let raw = data.i16_be(at)?;
        // Peers say zero degrees where there is no probe.
        out.other(names.get(probe)?, f64::from(raw.max(0)) / 100.0);
    }
    Some(())
}

fn h5055(data: &[u8], out: &mut Decoded) -> Read {
    let (battery, probes) = (data.u8(2)?, data.u8(3)?);
    let first = match probes >> 6 {
        0 => 0,
        1 => 2,
        2 => 4,
        _ => return Some(Err(Reject::OutOfRange)),
    };
    for (probe, at) in [(first, 5), (first + 1, 12)] {
        if !bit(probes, probe as u32) {
            continue;
        }
        out.other(TEMPERATURE[probe], data.i16_le(at)?);
        for (names, at) in [(&LOW, at + 2), (&HIGH, at + 4)] {
            let degrees = data.i16_le(at)?;
            if degrees >= 0 {
                out.other(names[probe], degrees);
            }
        }
    }
    out.battery(battery & 0x7F);
    Some(Ok(()))
}
