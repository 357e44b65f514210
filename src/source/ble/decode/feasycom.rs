//! Feasycom beacons: service data of UUID 0xFFF0, 11 bytes.
//!
//! ```text
//! [0] model  [1..4] firmware and others  [4..10] address  [10] battery %, 0x65: on mains
//! ```
//!
//! Source: Theengs decoder 2.5.0 (facts only).

use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "feasycom";
const SERVICE: u16 = 0xFFF0;
const ON_MAINS: u8 = 0x65;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let &[model, .., battery] = heard.service(SERVICE).filter(|data| data.len() == 11)? else { return None };
    let mut out = Decoded::new(FAMILY);
    out.say(Name::DeviceKind, "beacon");
    out.say(Name::Plugged, battery == ON_MAINS);
    if battery != ON_MAINS {
        out.battery(battery & 0x7F);
    }
    out.other("beaconmodel", model);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn mains_is_told_apart_from_a_full_battery() {
        check(
            decode,
            &[
                ("sfff0:27021992aabbccddeeff64", "battery_percent=100 plugged=false"),
                ("sfff0:27021992aabbccddeeff65", "!battery_percent plugged=true"),
                ("sfff0:2702", "none"),
            ],
        );
    }
}
