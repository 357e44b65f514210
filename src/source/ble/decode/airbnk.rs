//! Airbnk and WeHere locks (M300, M500 …): the manufacturer data of company 0xBABA. Plain text.
//!
//! ```text
//! [0] model  [1..5] firmware  [5..14] serial number  [14..16] BE 10 mV  [16..20] BE count of operations
//! [20] bit 7 opens clockwise, 6 auto lock, 5-4 state: 0, 1 or 2 jammed, 3 new record, 2 image A, 1 set up, 0 back lock
//! [21] bit 7 magnet enabled, 6-5 magnet, 4 battery low
//! ```
//!
//! State 0 is locked and 1 unlocked, and the other way round for a lock that opens clockwise. Some units do not tell of a
//! turn by hand, and the voltage of many stands still.
//!
//! Source: airbnk_mqtt a170fb5 (facts only).

use super::bytes::{Bytes, bit};
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "airbnk";
const COMPANY: u16 = 0xBABA;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.company(COMPANY)?;
    let (Some(centivolts), Some(operations), Some([state, battery])) =
        (data.u16_be(14), data.u32_be(16), data.array(20))
    else {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    };
    let clockwise = bit(state, 7);
    let mut out = Decoded::new(FAMILY);
    out.say(
        Name::LockState,
        match (state >> 4 & 3, clockwise) {
            (0, false) | (1, true) => "locked",
            (1, false) | (0, true) => "unlocked",
            (2, _) => "jammed",
            _ => "unknown",
        },
    );
    out.say(Name::VoltageV, f64::from(centivolts) / 100.0);
    out.say(Name::BatteryLow, bit(battery, 4));
    out.other("lock_events", operations);
    out.other("opens_clockwise", clockwise);
    out.other("new_record", bit(state, 3));
    out.other("magnet_state", battery >> 5 & 3);
    out.other("magnet_enabled", bit(battery, 7));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_state_is_read_against_the_direction_of_opening() {
        check(
            decode,
            &[
                (
                    "mbaba:030301040036303030353938000001240000003a0a000000",
                    "lock_state=locked voltage_v=2.92 battery_low=false lock_events=58",
                ),
                ("mbaba:030301040036303030353938000001240000003a8a000000", "lock_state=unlocked opens_clockwise=true"),
                ("mbaba:030301040036303030353938000001240000003a9a000000", "lock_state=locked"),
                ("mbaba:030301040036303030353938000001240000003aaa000000", "lock_state=jammed"),
                ("mbaba:030301040036303030353938000001240000003a3a000000", "lock_state=unknown"),
                (
                    "mbaba:030301040036303030353938000001240000003a1ab00000",
                    "lock_state=unlocked battery_low=true magnet_enabled=true",
                ),
                ("mbaba:0303010400363030303539380000012400", "refused=malformed"),
            ],
        );
    }
}
