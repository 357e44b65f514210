//! KKM K-sensors and BlueCharm beacons: type 0x21 in the service data of Eddystone's UUID 0xFEAA.
//!
//! ```text
//! [0] 21  [1] version 1  [2] fields that follow, in this order:
//!     bit 0 BE mV   bit 1 8.8 °C   bit 2 8.8 % humidity   bit 3 acceleration x, y, z BE s16 mg   bits 4-7 others, not read
//! ```
//!
//! Sources: KKM K6/K9 broadcast specification; Theengs decoder 2.5.0 (facts only), ble_monitor 5690220.

use super::bytes::{Bytes, Fields, bit, fixed_8_8, rounded};
use super::{Decoded, Heard, Memory, Name, eddystone};

const FAMILY: &str = "kkm";

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(eddystone::SERVICE)?.strip_prefix(&[0x21])?;
    Some(Decoded::read(FAMILY, |out| read(data, out)))
}

fn read(data: &[u8], out: &mut Decoded) -> Option<()> {
    let [1, mask, rest @ ..] = data else { return None };
    let (mask, mut fields) = (*mask, Fields(rest));
    if bit(mask, 0) {
        out.say(Name::VoltageV, f64::from(fields.take(2)?.u16_be(0)?) / 1000.0);
    }
    if bit(mask, 1) {
        out.say(Name::TemperatureC, rounded(fixed_8_8(fields.take(2)?, 0)?, 2));
    }
    if bit(mask, 2) {
        out.say(Name::HumidityPercent, rounded(f64::from(fields.take(2)?.u16_be(0)?) / 256.0, 2));
    }
    if bit(mask, 3) {
        let axes = fields.take(6)?;
        for (name, at) in [("accx", 0), ("accy", 2), ("accz", 4)] {
            out.other(name, axes.i16_be(at)?);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_field_mask_says_what_follows() {
        check(
            decode,
            &[
                (
                    "sfeaa:21010b0c0df540ff95fe69fc80",
                    "voltage_v=3.085 temperature_c=-10.75 !humidity_percent accx=-107 accz=-896",
                ),
                ("sfeaa:2101070e5b16521f9b", "voltage_v=3.675 temperature_c=22.32 humidity_percent=31.61"),
                ("sfeaa:21010f0e5befbb42d1ffc200000407", "temperature_c=-16.27 humidity_percent=66.82 accx=-62"),
                ("sfeaa:2101070e5b", "refused=malformed"),
                ("sfeaa:2102070e5b16521f9b", "refused=malformed"),
                ("sfeaa:200000", "none"),
            ],
        );
    }
}
