//! Jaalee thermometers: an iBeacon with a UUID of their own, or service data of UUID 0xF525 or 0xF51C.
//!
//! ```text
//! company 0x004C   [0..2] 02 15  [2..18] EBEFD083-70A2-47C8-9837-E7B5634DF525  [18..20] °C  [20..22] %  [22] power  [23] battery %
//! service (11-12)  [0] battery %  [1..7] address reversed  …  last four: °C, %
//! °C = 175 * BE / 65535 - 45   % = 100 * BE / 65535
//! ```
//!
//! Source: ble_monitor 5690220, Theengs decoder 2.5.0 (facts only).

use super::bytes::{Bytes, rounded};
use super::ibeacon::{APPLE, Beacon};
use super::{Decoded, Heard, Memory, Name, Reject};
use crate::signal::Address;

const FAMILY: &str = "jaalee";
const SERVICES: [u16; 2] = [0xF525, 0xF51C];
const UUID: u128 = 0xebef_d083_70a2_47c8_9837_e7b5_634d_f525;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let refused = |reject| Some(Decoded::refused(FAMILY, reject));
    if let Some(data) = SERVICES.iter().find_map(|uuid| heard.service(*uuid)) {
        let (11 | 12, Some(&[f, e, d, c, b, a])) = (data.len(), data.get(1..).and_then(|d| d.first_chunk::<6>()))
        else {
            return refused(Reject::Malformed);
        };
        if !heard.is_from(Address([a, b, c, d, e, f])) {
            return refused(Reject::AddressMismatch);
        }
        let end = data.len();
        return Some(say(data.u16_be(end - 4)?, data.u16_be(end - 2)?, data.u8(0)));
    }
    let data = heard.company(APPLE)?;
    let beacon = Beacon::read(data).filter(|beacon| beacon.uuid == UUID)?;
    Some(say(beacon.major, beacon.minor, data.u8(23)))
}

fn say(temperature: u16, humidity: u16, battery: Option<u8>) -> Decoded {
    let share = |raw: u16| f64::from(raw) / 65_535.0;
    let mut out = Decoded::new(FAMILY);
    out.say(Name::TemperatureC, rounded(175.0 * share(temperature) - 45.0, 2));
    out.say(Name::HumidityPercent, rounded(100.0 * share(humidity), 2));
    if let Some(battery) = battery {
        out.battery(battery);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_climate_is_read_from_beacon_and_service_data_alike() {
        check(
            decode,
            &[
                (
                    "m004c:0215ebefd08370a247c89837e7b5634df5257420591acb64",
                    "temperature_c=34.38 humidity_percent=34.81 battery_percent=100",
                ),
                (
                    "@D2:F3:B4:CD:1E:4B sf525:644b1ecdb4f3d27420591a",
                    "temperature_c=34.38 humidity_percent=34.81 battery_percent=100",
                ),
                ("@C8:B0:4C:AA:E6:65 sf51c:6465e6aa4cb0c801632e5535", "temperature_c=22.8 humidity_percent=33.28"),
                ("@C8:B0:4C:AA:E6:66 sf51c:6465e6aa4cb0c801632e5535", "refused=address_mismatch"),
                ("sf51c:6465", "refused=malformed"),
                ("m004c:0215e2c56db5dffb48d2b060d0f5a71096e000640000c5", "none"),
            ],
        );
    }
}
