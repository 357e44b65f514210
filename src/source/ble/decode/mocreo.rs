//! MOCREO sensors: name `MOCREO`, and the device type in the high byte of the "company"; the ST7 is of company 0x004A.
//!
//! ```text
//! 16 bytes   [1] bits 4-1 version  [2] bits 6-0 battery %  [4..6] LE s16 0.01 °C  [6..8] LE 0.01 % humidity
//!            [8] bit 0 leak, 1 button
//! ST7 (14)   [6] 10  [9] bits 6-0 battery %  [10..12] LE s16 0.01 °C
//! types      81 ST5, 82 SW2 water, 83 ST6, 84 ST8, 86 ST9, 87 ST10, 8B MS1, 94 MS2, 96 MS3; 83 and 86 measure humidity
//! ```
//!
//! Source: ble_monitor 5690220.

use super::bytes::{Bytes, bit};
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "mocreo";
const ST7_COMPANY: u16 = 0x004A;
const ST7_LENGTH: usize = 14;
const ST7: u8 = 0x10;
const LENGTH: usize = 16;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    match heard.name()? {
        "MOCREO" => {
            let (company, data) = heard.advert.manufacturer_data.iter().find(|(_, data)| data.len() == LENGTH)?;
            let [_, device] = company.to_le_bytes();
            Some(read(device, data).unwrap_or_else(|| Decoded::refused(FAMILY, Reject::UnknownModel)))
        }
        "ST7" => {
            let data = heard.company(ST7_COMPANY).filter(|data| data.len() == ST7_LENGTH && data.u8(6) == Some(ST7))?;
            let mut out = Decoded::new(FAMILY);
            out.battery(data.u8(9)? & 0x7F);
            out.say(Name::TemperatureC, f64::from(data.i16_le(10)?) / 100.0);
            Some(out)
        }
        _ => None,
    }
}

fn read(device: u8, data: &[u8]) -> Option<Decoded> {
    let mut out = Decoded::new(FAMILY);
    match device {
        0x82 => {
            let state = data.u8(8)?;
            out.say(Name::WaterLeak, bit(state, 0));
            out.other("button", bit(state, 1));
        }
        0x81 | 0x83 | 0x84 | 0x86 | 0x87 | 0x8B | 0x94 | 0x96 => {
            out.say(Name::TemperatureC, f64::from(data.i16_le(4)?) / 100.0);
            if matches!(device, 0x83 | 0x86) {
                out.say(Name::HumidityPercent, f64::from(data.u16_le(6)?) / 100.0);
            }
        }
        _ => return None,
    }
    out.battery(data.u8(2)? & 0x7F);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_device_type_says_what_is_measured() {
        check(
            decode,
            &[
                (
                    "name=MOCREO m8341:dd0262b0200af31400000150bf000000",
                    "temperature_c=25.92 humidity_percent=53.63 battery_percent=98",
                ),
                (
                    "name=MOCREO m8411:e98264b05a0a00000000000a64000000",
                    "temperature_c=26.5 battery_percent=100 !humidity_percent",
                ),
                ("name=MOCREO m8201:1580e4000000000000000086f6000000", "water_leak=false battery_percent=100"),
                ("name=MOCREO m8201:1580e4000000000001000086f6000000", "water_leak=true"),
                ("name=MOCREO m7f01:1580e4000000000001000086f6000000", "refused=unknown_model"),
                ("m8201:1580e4000000000001000086f6000000", "none"),
            ],
        );
    }
}
