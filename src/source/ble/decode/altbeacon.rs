//! AltBeacon: manufacturer data of any company.
//!
//! ```text
//! [0..2] BE AC  [2..18] id, by convention a UUID  [18..20] and [20..22] BE, by convention major and minor
//! [22] power at 1 m, s8 dBm  [23] reserved for the manufacturer
//! ```
//!
//! Source: AltBeacon specification 1.0.

use super::bytes::Bytes;
use super::{Decoded, Heard, Memory, Name, Reject, Value};

const FAMILY: &str = "altbeacon";

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let fields = heard.advert.manufacturer_data.values().find_map(|data| data.strip_prefix(&[0xBE, 0xAC]))?;
    let (Some(id), Some(major), Some(minor), Some(power)) =
        (fields.array(0), fields.u16_be(16), fields.u16_be(18), fields.i8(20))
    else {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    };
    let mut out = Decoded::new(FAMILY);
    out.say(
        Name::Beacon,
        [
            ("uuid", Value::from(format!("{:032x}", u128::from_be_bytes(id)))),
            ("major", Value::from(major)),
            ("minor", Value::from(minor)),
            ("measured power", Value::from(power)),
        ],
    );
    out.say(Name::DeviceKind, "beacon");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn an_altbeacon_of_any_company_is_one() {
        check(
            decode,
            &[
                ("mffff:beacd3162f5af3ee494799db09756062d0fc005a0005c400", "accepted"),
                ("m0118:beacd3162f5af3ee", "refused=malformed"),
                ("m0118:0215d3162f5af3ee494799db09756062d0fc005a0005c400", "none"),
            ],
        );
    }
}
