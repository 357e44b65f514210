//! BeeWi and Otio door sensor BSDOO: company 0x000D.
//!
//! ```text
//! [0..2] 08 0C  [2] bit 0 open  [4] battery %
//! ```
//!
//! Source: Theengs decoder 2.5.0 (facts only).

use super::bytes::bit;
use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "beewi";
const COMPANY: u16 = 0x000D;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let &[0x08, 0x0C, state, _, battery] = heard.company(COMPANY)? else { return None };
    let mut out = Decoded::new(FAMILY);
    out.say(Name::DoorOpen, bit(state, 0));
    out.say(Name::OpeningKind, "contact");
    out.battery(battery);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_door_is_told_with_the_battery() {
        check(
            decode,
            &[
                ("m000d:080c010664", "door_open=true battery_percent=100"),
                ("m000d:080c000664", "door_open=false"),
                ("m000d:080d000664", "none"),
            ],
        );
    }
}
