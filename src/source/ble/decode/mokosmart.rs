//! MOKO beacons: BeaconX Pro in service data of UUID 0xFEAB, the older one in 0xFF01. All numbers big-endian.
//!
//! ```text
//! FEAB   [0] 40 device: [3..5] mV      [0] 60 motion: [6..12] x, y, z s16 0.1 mg, [12..14] mV
//!        [0] 70 climate: [3..5] s16 0.1 °C, [5..7] 0.1 % humidity, [7..9] mV
//! FF01   [0] battery %  [7..13] x, y, z s16 0.1 mg
//! ```
//!
//! Source: Theengs decoder 2.5.0 (facts only).

use super::bytes::Bytes;
use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "mokosmart";
const PRO: u16 = 0xFEAB;
const OLD: u16 = 0xFF01;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    Some(match (heard.service(PRO), heard.service(OLD)) {
        (Some(data), _) => Decoded::read(FAMILY, |out| pro(data, out)),
        (None, Some(data)) => Decoded::read(FAMILY, |out| old(data, out)),
        (None, None) => return None,
    })
}

fn pro(data: &[u8], out: &mut Decoded) -> Option<()> {
    match data.u8(0)? {
        0x40 => voltage(data, 3, out)?,
        0x60 => {
            axes(data, 6, out)?;
            voltage(data, 12, out)?;
        }
        0x70 => {
            out.say(Name::TemperatureC, f64::from(data.i16_be(3)?) / 10.0);
            out.say(Name::HumidityPercent, f64::from(data.u16_be(5)?) / 10.0);
            voltage(data, 7, out)?;
        }
        _ => {}
    }
    Some(())
}

fn old(data: &[u8], out: &mut Decoded) -> Option<()> {
    out.battery(data.u8(0)?);
    axes(data, 7, out)
}

fn voltage(data: &[u8], at: usize, out: &mut Decoded) -> Option<()> {
    out.say(Name::VoltageV, f64::from(data.u16_be(at)?) / 1000.0);
    Some(())
}

fn axes(data: &[u8], at: usize, out: &mut Decoded) -> Option<()> {
    for (name, at) in [("x_axis", at), ("y_axis", at + 2), ("z_axis", at + 4)] {
        out.other(name, data.i16_be(at)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn each_frame_of_the_beacon_tells_its_part() {
        check(
            decode,
            &[
                ("sfeab:60000a010007154039c0fa000bf901f40c93fe3487", "voltage_v=3.065"),
                ("sfeab:70000aff9b01f40c93", "temperature_c=-10.1 humidity_percent=50.0 voltage_v=3.219"),
                ("sff01:64000000000000000100020003", "battery_percent=100 x_axis=1"),
                ("sfeab:60000a", "refused=malformed"),
                ("sfeab:10000a", "refused=no_decodable_object"),
            ],
        );
    }
}
