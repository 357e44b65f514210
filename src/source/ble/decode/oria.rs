//! Oria thermometers, named `T201…` and `T301…`: company 0xAA55.
//!
//! ```text
//! [0] 01  [1] 05  [2..8] address  [8] 01 [9] 07  [10..12] BE s16 0.01 °C  [12..14] BE 0.01 % humidity  [14] battery %
//! ```
//!
//! Source: Theengs decoder 2.5.0 (facts only).

use super::bytes::Bytes;
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "oria";
const COMPANY: u16 = 0xAA55;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.company(COMPANY)?;
    if !heard.name().is_some_and(|name| name.starts_with("T201") || name.starts_with("T301")) {
        return None;
    }
    let (Some(celsius), Some(percent), Some(battery)) = (data.i16_be(10), data.u16_be(12), data.u8(14)) else {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    };
    let mut out = Decoded::new(FAMILY);
    out.say(Name::TemperatureC, f64::from(celsius) / 100.0);
    out.say(Name::HumidityPercent, f64::from(percent) / 100.0);
    out.battery(battery);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn temperature_and_humidity_are_told() {
        check(
            decode,
            &[
                (
                    "name=T301 maa55:0105aabbccddeeff01070a0015e0630001",
                    "temperature_c=25.6 humidity_percent=56.0 battery_percent=99",
                ),
                ("name=T301 maa55:0105aabbccddeeff0107fe0c15e0630001", "temperature_c=-5.0"),
                ("name=T301 maa55:0105", "refused=malformed"),
                ("maa55:0105aabbccddeeff01070a0015e0630001", "none"),
            ],
        );
    }
}
