//! Qingping (ClearGrass): service data of UUID 0xFDCD, or 0xFFF9 on old firmware.
//!
//! ```text
//! [0] frame control  [1] device type  [2..8] address reversed  then objects: id, length, value (little-endian)
//! 01 (4) 0.1 °C s16, 0.1 % u16      02 (1) bits 6-0 battery %  04 (1) door: 0 open, 1 closed, 2 open too long
//! 07 (2) 0.1 hPa                    08 (4) motion, lux u24   09 (4) lux u32      0F (1) packet counter
//! 11 (1) light                      12 (4) PM2.5, PM10 u16   13 (2) CO2 ppm
//! ```
//!
//! The objects are the same on all devices, so one of an unknown type is read as well. An object that reaches past the end is
//! skipped with all that follows; unknown ones are stepped over by their length.
//!
//! Sources: qingping-ble 1.3.0, Theengs decoder 2.5.0 (facts only), ble_monitor 5690220.

use super::bytes::{Bytes, Fields};
use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "qingping";
const SERVICE: u16 = 0xFDCD;
const SERVICE_OLD: u16 = 0xFFF9;
const HEADER: usize = 8;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(SERVICE).or_else(|| heard.service(SERVICE_OLD))?;
    Some(Decoded::read(FAMILY, |out| {
        let mut fields = Fields(data.get(HEADER..)?);
        while let [id, length, ..] = *fields.0 {
            fields.take(2)?;
            let Some(value) = fields.take(usize::from(length)) else { break };
            object(id, value, out);
        }
        Some(())
    }))
}

fn object(id: u8, value: &[u8], out: &mut Decoded) {
    match (id, value) {
        (0x01, &[a, b, c, d]) => {
            out.say(Name::TemperatureC, f64::from(i16::from_le_bytes([a, b])) / 10.0);
            out.say(Name::HumidityPercent, f64::from(u16::from_le_bytes([c, d])) / 10.0);
        }
        (0x02, &[percent]) => out.battery(percent & 0x7F),
        (0x04, &[state @ 0..=2]) => {
            out.say(Name::DoorOpen, state != 1);
            out.say(Name::OpeningKind, "door");
            out.say(Name::DoorLeftOpen, state == 2);
        }
        (0x07, &[a, b]) => out.say(Name::PressureHpa, f64::from(u16::from_le_bytes([a, b])) / 10.0),
        (0x08, &[motion, ..]) if value.len() == 4 => {
            out.say(Name::Motion, motion != 0);
            out.say(Name::IlluminanceLux, value.u24_le(1).unwrap_or_default());
        }
        (0x09, &[a, b, c, d]) => out.say(Name::IlluminanceLux, u32::from_le_bytes([a, b, c, d])),
        (0x0F, &[packet]) => out.say(Name::PacketId, packet),
        (0x11, &[light]) => out.say(Name::LightDetected, light != 0),
        (0x12, &[a, b, c, d]) => {
            out.other("pm25", u16::from_le_bytes([a, b]));
            out.other("pm10", u16::from_le_bytes([c, d]));
        }
        (0x13, &[a, b]) => out.say(Name::Co2Ppm, u16::from_le_bytes([a, b])),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_door_sensor_tells_open_closed_and_open_too_long() {
        check(
            decode,
            &[
                ("sfdcd:4804751060342d580401000f01cb", "door_open=true door_left_open=false packet_id=203"),
                ("sfdcd:4804751060342d580401010f01d5", "door_open=false door_left_open=false"),
                ("sfdcd:4804751060342d580401020f01d5", "door_open=true door_left_open=true"),
                ("sfdcd:4804751060342d580401070f01d5", "refused=no_decodable_object"),
            ],
        );
    }

    #[test]
    fn objects_are_read_one_after_the_other() {
        check(
            decode,
            &[
                (
                    "sfdcd:8818072240342d5801041801cd0002016107027327",
                    "temperature_c=28.0 humidity_percent=20.5 battery_percent=97 pressure_hpa=1009.9",
                ),
                ("sfdcd:4812cdd560342d58080401e800000f017b", "motion=true illuminance_lux=232"),
                ("sfdcd:88336f6c82342d580104ee003d0102015d13028f02", "co2_ppm=655 battery_percent=93"),
            ],
        );
    }

    #[test]
    fn an_object_past_the_end_is_not_read_and_unknown_ones_are_stepped_over() {
        check(
            decode,
            &[
                ("sfdcd:0807b24410342d58770200000104ca0045020201", "temperature_c=20.2 !battery_percent"),
                ("sfdcd:080e0aa4288ccf04", "refused=no_decodable_object"),
                ("sfdcd:080e0aa4", "refused=malformed"),
                ("sfdcd:3058830a02cdd560342d5808", "refused=no_decodable_object"),
            ],
        );
    }
}
