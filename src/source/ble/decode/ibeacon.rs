//! iBeacon (Apple company 0x004C), and the sensors that hide a reading in its numbers.
//!
//! ```text
//! [0..2] 02 15  [2..18] UUID  [18..20] major BE  [20..22] minor BE  [22] power at 1 m, s8 dBm  [23..] ignored
//! ```
//!
//! Hidden readings count only under their own UUID: BM2 has the car battery's percent in the power byte, BM6 in the
//! low byte of major, ABTemp its battery and degrees in minor, CYALKIT-E02 humidity and temperature in minor. Jaalee has
//! a file of its own. RDL52832, known by its first UUID or its name, adds service data of UUID 0x1803 (8.8 °C, 8.8 % …).
//! A nil UUID is a beacon that nobody has set up, and names nothing.
//!
//! Sources: Apple "Proximity Beacon Specification" R1; ibeacon-ble 1.2.0; Theengs decoder 2.5.0 (facts only);
//! beacontools 2.1.0 (CYALKIT).

use super::bytes::{Bytes, fixed_8_8, rounded};
use super::{Decoded, Heard, Memory, Name, Reject, Value};

const FAMILY: &str = "ibeacon";
pub const APPLE: u16 = 0x004C;
const TYPE_AND_LENGTH: [u8; 2] = [0x02, 0x15];

const BM2: u128 = 0x655f_83ca_ae16_a10a_702e_31f3_0d58_dd82;
const BM6: u128 = 0x3ba2_9cd9_a42c_8948_56ba_daf2_606e_f777;
const AB_TEMP: u128 = 0xb5b1_82c7_eab1_4988_aa99_b5c1_5170_08d9;
const CYALKIT: u128 = 0x0005_0001_0000_1000_8000_0080_5f9b_0131;
const RDL52832: u128 = 0xfda5_0693_a4e2_4fb1_afcf_c6eb_0764_7825;
/// "INTELLI_ROCKS_HW": every Govee device sends it beside its readings; it is no beacon that somebody placed.
const GOVEE: u128 = 0x494e_5445_4c4c_495f_524f_434b_535f_4857;
/// Link Loss; peers that read the AD structure's bytes as they come call it 0x0318.
const RDL_SERVICES: [u16; 2] = [0x1803, 0x0318];

/// The fields of a beacon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beacon {
    pub uuid: u128,
    pub major: u16,
    pub minor: u16,
    pub power: i8,
}

impl Beacon {
    pub fn read(data: &[u8]) -> Option<Beacon> {
        let fields = data.strip_prefix(&TYPE_AND_LENGTH)?;
        Some(Beacon {
            uuid: u128::from_be_bytes(fields.array(0)?),
            major: fields.u16_be(16)?,
            minor: fields.u16_be(18)?,
            power: fields.i8(20)?,
        })
    }

    pub fn record(&self) -> Value {
        Value::from([
            ("uuid", Value::from(format!("{:032x}", self.uuid))),
            ("major", Value::from(self.major)),
            ("minor", Value::from(self.minor)),
            ("txpower", Value::from(self.power)),
        ])
    }
}

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.company(APPLE)?;
    if !data.starts_with(&TYPE_AND_LENGTH) {
        return None;
    }
    let Some(beacon) = Beacon::read(data) else { return Some(Decoded::refused(FAMILY, Reject::Malformed)) };
    if beacon.uuid == GOVEE {
        return None;
    }
    if beacon.uuid == 0 {
        return Some(Decoded::refused(FAMILY, Reject::NoDecodableObject));
    }
    let mut out = Decoded::new(FAMILY);
    out.say(Name::Ibeacon, beacon.record());
    let [_, major_low] = beacon.major.to_be_bytes();
    let [minor_high, minor_low] = beacon.minor.to_be_bytes();
    match beacon.uuid {
        BM2 => out.battery(beacon.power as u8),
        BM6 => out.battery(major_low),
        AB_TEMP => {
            out.battery(minor_high);
            out.say(Name::TemperatureC, minor_low as i8);
        }
        CYALKIT => {
            // The upper eight of the sixteen bits of a Si7020 reading.
            out.say(Name::HumidityPercent, rounded(125.0 * f64::from(minor_high) / 256.0 - 6.0, 2));
            out.say(Name::TemperatureC, rounded(175.72 * f64::from(minor_low) / 256.0 - 46.85, 2));
        }
        _ if beacon.uuid == RDL52832 || heard.name().is_some_and(|name| name.starts_with("RDL52832")) => {
            let service = RDL_SERVICES.iter().find_map(|uuid| heard.service(*uuid)).unwrap_or_default();
            if let (Some(celsius), Some(percent)) = (fixed_8_8(service, 0), fixed_8_8(service, 2)) {
                out.say(Name::TemperatureC, rounded(celsius, 4));
                out.say(Name::HumidityPercent, rounded(percent, 4));
            } else {
                out.say(Name::DeviceKind, "beacon");
            }
        }
        _ => out.say(Name::DeviceKind, "beacon"),
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_beacon_is_recognised_by_its_first_two_bytes_and_its_length() {
        check(
            decode,
            &[
                (
                    "m004c:0215426c7565436861726d426561636f6e730efe1355c5",
                    "ibeacon={\"uuid\":\"426c7565436861726d426561636f6e73\",\"major\":3838,\"minor\":4949,\"txpower\":-59}",
                ),
                ("m004c:0215e2c56db5dffb48d2b060d0f5a71096e000010002c500", "accepted"),
                ("m004c:0215a92e", "refused=malformed"),
                ("m004c:0f06a033bd08c5001002440c", "none"),
            ],
        );
    }

    #[test]
    fn a_beacon_that_nobody_set_up_and_govees_own_say_nothing() {
        check(
            decode,
            &[
                ("m004c:0215000000000000000000000000000000000000000000", "refused=no_decodable_object"),
                ("m004c:0215494e54454c4c495f524f434b535f48575072f2ffc2", "none"),
            ],
        );
    }

    #[test]
    fn readings_hide_in_the_numbers_of_known_uuids_only() {
        check(
            decode,
            &[
                ("m004c:0215655f83caae16a10a702e31f30d58dd82f441423157", "battery_percent=87"),
                ("m004c:02153ba29cd9a42c894856badaf2606ef777114e0000cd", "battery_percent=78"),
                ("m004c:02150005000100001000800000805f9b013100026c66c3", "humidity_percent=46.73 temperature_c=23.16"),
                (
                    "name=RDL52832 m004c:0215fda50693a4e24fb1afcfc6eb07647825270f270fd8 s1803:183a2f33010000020000000100000907",
                    "temperature_c=24.2266 humidity_percent=47.1992",
                ),
            ],
        );
    }
}
