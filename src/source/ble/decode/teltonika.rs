//! Teltonika EYE sensors, and the ELA Blue Puck and Blue Coin that Teltonika sells under its own name.
//!
//! ```text
//! company 0x089A   [0] version 1  [1] flags; values follow in flag order, big-endian:
//!     bit 0 s16 0.01 °C   1 humidity %   2 has a magnet sensor   3 magnet seen   4 bit 15 moving, 14-0 count
//!     5 pitch s8, roll s16   6 battery low   7 (mV - 2000) / 10
//! company 0x0757   [0] 12: [1..3] LE s16 0.01 °C   21: [1] humidity %, [3..5] LE s16 0.01 °C   F1: [1] battery %
//!                      F2: [1..3] LE mV
//! service 0x2A6E   LE s16 0.01 °C, 0x7FFF unknown     service 0x2A6F   one byte: %, two: LE 0.01 %
//! service 0x2A06   name `P MAG …`: [0] bit 0 closed
//! ```
//!
//! Sources: Teltonika EYE advertising protocol (vendor wiki); ELA data format guide; ble_monitor 5690220, Theengs decoder
//! 2.5.0 (facts only).

use super::bytes::{Bytes, Fields, bit};
use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "teltonika";
const TELTONIKA: u16 = 0x089A;
const ELA: u16 = 0x0757;
const TEMPERATURE: u16 = 0x2A6E;
const HUMIDITY: u16 = 0x2A6F;
const ALERT_LEVEL: u16 = 0x2A06;
const TEMPERATURE_UNKNOWN: i16 = i16::MAX;

/// A part of an advert that may be there, and what reads it.
type Part<'a> = (Option<&'a [u8]>, fn(&[u8], &mut Decoded) -> Option<()>);

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let parts: [Part<'_>; 5] = [
        (heard.company(TELTONIKA), eye),
        (heard.company(ELA), ela),
        (heard.service(TEMPERATURE), temperature),
        (heard.service(HUMIDITY), humidity),
        (heard.service(ALERT_LEVEL).filter(|_| is_magnet_sensor(heard)), magnet),
    ];
    if parts.iter().all(|(data, _)| data.is_none()) {
        return None;
    }
    Some(Decoded::read(FAMILY, |out| {
        for (data, read) in parts {
            if let Some(data) = data {
                read(data, out)?;
            }
        }
        Some(())
    }))
}

fn eye(data: &[u8], out: &mut Decoded) -> Option<()> {
    let [1, flags, rest @ ..] = data else { return None };
    let (flags, mut fields) = (*flags, Fields(rest));
    if bit(flags, 0) {
        out.say(Name::TemperatureC, f64::from(fields.take(2)?.i16_be(0)?) / 100.0);
    }
    if bit(flags, 1) {
        let percent = fields.take(1)?.u8(0)?;
        if percent <= 100 {
            out.say(Name::HumidityPercent, percent);
        }
    }
    if bit(flags, 2) {
        // What the magnet hangs on is the owner's affair: a mapping rule can make it a door.
        out.other("magnet_detected", bit(flags, 3));
    }
    if bit(flags, 4) {
        let movement = fields.take(2)?.u16_be(0)?;
        out.say(Name::Moving, movement & 0x8000 != 0);
        out.other("movement_counter", movement & 0x7FFF);
    }
    if bit(flags, 5) {
        let angle = fields.take(3)?;
        out.other("pitch", angle.i8(0)?);
        out.other("roll", angle.i16_be(1)?);
    }
    if bit(flags, 6) {
        out.say(Name::BatteryLow, true);
    }
    if bit(flags, 7) {
        out.say(Name::VoltageV, f64::from(2000 + 10 * u16::from(fields.take(1)?.u8(0)?)) / 1000.0);
    }
    Some(())
}

fn ela(data: &[u8], out: &mut Decoded) -> Option<()> {
    match data.u8(0)? {
        0x12 => temperature(data.get(1..3)?, out)?,
        0x21 => {
            humidity(data.get(1..2)?, out)?;
            temperature(data.get(3..5)?, out)?;
        }
        0xF1 => out.battery(data.u8(1)?),
        0xF2 => out.say(Name::VoltageV, f64::from(data.u16_le(1)?) / 1000.0),
        _ => {}
    }
    Some(())
}

fn temperature(data: &[u8], out: &mut Decoded) -> Option<()> {
    let raw = i16::from_le_bytes(data.try_into().ok()?);
    if raw != TEMPERATURE_UNKNOWN {
        out.say(Name::TemperatureC, f64::from(raw) / 100.0);
    }
    Some(())
}

fn humidity(data: &[u8], out: &mut Decoded) -> Option<()> {
    let percent = match *data {
        [percent] => f64::from(percent),
        [low, high] => f64::from(u16::from_le_bytes([low, high])) / 100.0,
        _ => return None,
    };
    if percent <= 100.0 {
        out.say(Name::HumidityPercent, percent);
    }
    Some(())
}

fn is_magnet_sensor(heard: &Heard<'_>) -> bool {
    heard.name().and_then(|name| name.get(1..)).is_some_and(|rest| rest.starts_with(" MAG"))
}

fn magnet(data: &[u8], out: &mut Decoded) -> Option<()> {
    let [state, _] = *data else { return None };
    out.family = "sensoreasy";
    out.say(Name::DoorOpen, !bit(state, 0));
    out.say(Name::OpeningKind, "contact");
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn an_eye_sensor_gives_values_in_the_order_of_its_flags() {
        check(
            decode,
            &[
                (
                    "m089a:013708b412800403ff9c",
                    "temperature_c=22.28 humidity_percent=18 magnet_detected=false moving=true movement_counter=4 pitch=3 roll=-100 !battery_low",
                ),
                ("m089a:01c0b4", "battery_low=true voltage_v=3.8"),
                ("m089a:010108", "refused=malformed"),
                ("m089a:020108b4", "refused=malformed"),
            ],
        );
    }

    #[test]
    fn ela_structures_and_standard_characteristics_read_alike() {
        check(
            decode,
            &[
                ("m0757:122e07", "temperature_c=18.38"),
                ("m0757:f10d", "battery_percent=13"),
                ("m0757:2123002e07", "humidity_percent=35.0 temperature_c=18.38"),
                ("s2a6e:d009", "temperature_c=25.12"),
                ("s2a6e:a304 s2a6f:23", "temperature_c=11.87 humidity_percent=35.0"),
                ("s2a6e:ff7f s2a6f:3d11", "!temperature_c humidity_percent=44.13"),
            ],
        );
    }

    #[test]
    fn a_magnet_sensor_tells_the_door() {
        check(
            decode,
            &[
                ("name=P+MAG+CCCCCC s2a06:2900", "door_open=false"),
                ("name=P+MAG+CCCCCC s2a06:2800 m0757:f2070c", "door_open=true voltage_v=3.079"),
                ("name=Keyring s2a06:2800", "none"),
            ],
        );
    }
}
