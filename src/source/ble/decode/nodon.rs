//! NodOn NIU smart button: service data of UUID 0x0000, 16 bytes.
//!
//! ```text
//! [10..12] BE colour  [12] bits 6-0 battery %  [13..15] counter  [15] 1 single, 2 double, 3 triple, 4 quadruple, 5 quintuple,
//! 6 long, 7 released
//! ```
//!
//! Source: Theengs decoder 2.5.0 (facts only).

use super::bytes::Bytes;
use super::{Decoded, Heard, Memory, Reject};

const FAMILY: &str = "nodon";
const SERVICE: u16 = 0x0000;
const LENGTH: usize = 16;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(SERVICE)?;
    if data.len() != LENGTH {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    }
    let (colour, battery, press) = (data.u16_be(10)?, data.u8(12)?, data.u8(15)?);
    let mut out = Decoded::new(FAMILY);
    out.battery(battery & 0x7F);
    out.other("button", press);
    out.other("color", colour);
    out.irregular = true;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_press_tells_the_battery() {
        check(
            decode,
            &[
                ("s0000:02599c37d90287a52152000660259003", "battery_percent=96 button=3"),
                ("s0000:02599c", "refused=malformed"),
            ],
        );
    }
}
