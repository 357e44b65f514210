//! HolyIOT trackers: service data of UUID 0x5242, 13 bytes, one reading at a time.
//!
//! ```text
//! [0] 41  [1] battery %  [2..8] address as printed  [10] kind  [11..13] value:
//! 1 °C s8 and hundredths  2 BE Pa - 80000  3 humidity %  4 vibration  5 side  6 button, 1 pressed
//! ```
//!
//! Source: ble_monitor 5690220.

use super::bytes::{Bytes, rounded};
use super::{Decoded, Heard, Memory, Name, Reject};
use crate::signal::Address;

const FAMILY: &str = "holyiot";
const SERVICE: u16 = 0x5242;
const LENGTH: usize = 13;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(SERVICE)?;
    let refused = |reject| Some(Decoded::refused(FAMILY, reject));
    if data.len() != LENGTH {
        return refused(Reject::Malformed);
    }
    if !data.array(2).is_some_and(|address| heard.is_from(Address(address))) {
        return refused(Reject::AddressMismatch);
    }
    let [kind, value, hundredths] = data.array(10)?;
    let mut out = Decoded::new(FAMILY);
    match kind {
        1 => {
            let (degrees, fraction) = (f64::from(value as i8), f64::from(hundredths) / 100.0);
            let celsius = if degrees < 0.0 { degrees - fraction } else { degrees + fraction };
            out.say(Name::TemperatureC, rounded(celsius, 2));
        }
        2 => out.say(Name::PressureHpa, (80_000.0 + f64::from(data.i16_be(11)?)) / 100.0),
        3 if value <= 100 => out.say(Name::HumidityPercent, value),
        4 => out.say(Name::Vibration, value != 0),
        5 => out.other("side", value),
        6 => out.other("button", if value == 1 { "toggle" } else { "no press" }),
        _ => return refused(Reject::NoDecodableObject),
    }
    out.battery(data.u8(1)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn each_kind_of_reading_is_told_with_the_battery() {
        check(
            decode,
            &[
                ("@C6:B5:45:F6:F1:8E s5242:4164c6b545f6f18e060601ed25", "temperature_c=-19.37 battery_percent=100"),
                ("@C6:B5:45:F6:F1:8E s5242:4164c6b545f6f18e0606025334", "pressure_hpa=1013.0"),
                ("@C6:B5:45:F6:F1:8E s5242:4164c6b545f6f18e0606034c00", "humidity_percent=76"),
                ("@C6:B5:45:F6:F1:8E s5242:4164c6b545f6f18e0606040100", "vibration=true"),
                ("@C6:B5:45:F6:F1:8E s5242:4164c6b545f6f18e0606000100", "refused=no_decodable_object"),
                ("@C6:B5:45:F6:F1:8F s5242:4164c6b545f6f18e0606040100", "refused=address_mismatch"),
                ("s5242:4164c6b545", "refused=malformed"),
            ],
        );
    }
}
