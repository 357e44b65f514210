//! Hörmann garage door drives (Supramatic E4 BS): company 0x07B4, two structures, of which the longer tells the position.
//!
//! ```text
//! 17 bytes   [0] bits 3-0 state: 3 open, 4 closed, 5 and 7 in between  [1] opening in 0.5 %
//!  7 bytes   identification, no state
//! ```
//!
//! Source: ble_monitor 5690220.

use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "hormann";
const COMPANY: u16 = 0x07B4;
const LENGTH: usize = 17;
const FULLY_OPEN: u8 = 200;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let refused = |reject| Some(Decoded::refused(FAMILY, reject));
    let Ok::<&[u8; LENGTH], _>(data) = heard.company(COMPANY)?.try_into() else { return refused(Reject::NoState) };
    let opening = data[1];
    if opening > FULLY_OPEN {
        return refused(Reject::OutOfRange);
    }
    let mut out = Decoded::new(FAMILY);
    out.say(Name::DoorOpen, opening != 0);
    out.say(Name::OpeningKind, "opening");
    out.other("opening percentage", f64::from(opening) / 2.0);
    out.other("state", data[0] & 15);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn any_opening_is_open() {
        check(
            decode,
            &[
                ("m07b4:140000000000000000efbbafa9d1a73b04", "door_open=false"),
                ("m07b4:173e000000000000006722d81075f42a04", "door_open=true"),
                ("m07b4:13c8000000000000006722d81075f42a04", "door_open=true"),
                ("m07b4:13c9000000000000006722d81075f42a04", "refused=out_of_range"),
                ("m07b4:01022d200000", "refused=no_state"),
            ],
        );
    }
}
