//! Acconeer radar modules XM122 and XM126: company 0xACC0, 15 bytes, little-endian.
//!
//! ```text
//! [0] 80, 91 presence; 90 distance  [1..3] battery %  [3..5] s16 °C  [5..7] presence, not 0; or mm  [7..15] reserved
//! ```
//!
//! Source: ble_monitor 5690220.

use super::bytes::Bytes;
use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "acconeer";
const COMPANY: u16 = 0xACC0;
const LENGTH: usize = 15;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.company(COMPANY).filter(|data| data.len() == LENGTH)?;
    Some(Decoded::read(FAMILY, |out| {
        let (battery, celsius, measured) = (data.u16_le(1)?, data.i16_le(3)?, data.u16_le(5)?);
        match data.u8(0)? {
            0x80 | 0x91 => out.say(Name::Motion, measured != 0),
            0x90 => out.other("distance mm", measured),
            _ => return Some(()),
        }
        out.say(Name::TemperatureC, celsius);
        out.battery(u8::try_from(battery).unwrap_or(u8::MAX));
        Some(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_radar_tells_whether_somebody_is_there() {
        check(
            decode,
            &[
                ("macc0:806400160001000000000000000000", "motion=true temperature_c=22 battery_percent=100"),
                ("macc0:916400160000000000000000000000", "motion=false"),
                ("macc0:906400160058050000000000000000", "!motion temperature_c=22 battery_percent=100"),
                ("macc0:770000000000000000000000000000", "refused=no_decodable_object"),
                ("macc0:8064", "none"),
            ],
        );
    }
}
