//! TTLock and its many brands: the manufacturer data *including* the company's two bytes is the frame. Plain text.
//!
//! ```text
//! protocol 5.3   [0..2] 05 03                  [2] scene  [3] flags  [4] battery %  …  last 6: the lock's address reversed
//! others         [4] type  [5] version         [7] scene  [8] flags  [9] battery %  …  last 6: the lock's address reversed
//! flags          bit 0 unlocked, 1 unread records, 2 setting mode, 3 keypad awake; bit 4 is set by real door locks: ignored
//! ```
//!
//! 12 19 and FF FF in front is firmware update mode. Types below 5, and 5.1 (V2S), have no flags byte. The "company" is not
//! registered to TTLock, so the frame must be confirmed by service UUID 0x1910, or by its own tail where that is the
//! sender's address; a tail that is another address than the sender's is somebody else's state.
//!
//! Sources: ttlock-ble 3e4d055, whose layout is that of the vendor's SDK.

use super::bytes::{Bytes, bit};
use super::{Decoded, Heard, Memory, Name, Reject};
use crate::signal::Address;
use crate::source::ble::uuid16;

const FAMILY: &str = "ttlock";
const SERVICE: u16 = 0x1910;
/// The longest header, and the address.
const SHORTEST: usize = 15;
/// Frames are a legacy advert's worth; what is longer is not one.
const LONGEST: usize = 29;
const TYPE_WITH_STATE: u8 = 5;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let declared = heard.advert.service_uuids.contains(&uuid16(SERVICE));
    let mut refused = None;
    for (company, payload) in &heard.advert.manufacturer_data {
        match frame(heard, *company, payload, declared) {
            Some(decoded) if decoded.accepted() => return Some(decoded),
            other => refused = refused.or(other),
        }
    }
    refused
}

fn frame(heard: &Heard<'_>, company: u16, payload: &[u8], declared: bool) -> Option<Decoded> {
    let header = company.to_le_bytes();
    let length = header.len() + payload.len();
    let tail = payload.last_chunk::<6>().map(|&[f, e, d, c, b, a]| Address([a, b, c, d, e, f]));
    let own_tail = heard.address() != Address::default() && tail == Some(heard.address());
    let confirmed = declared || own_tail && header == [5, 3];
    if !confirmed {
        return None;
    }
    let refused = |reject| Some(Decoded::refused(FAMILY, reject));
    if matches!(header, [0x12, 0x19] | [0xFF, 0xFF]) {
        return refused(Reject::NoState);
    }
    let (Some(tail), SHORTEST..=LONGEST) = (tail, length) else { return refused(Reject::Malformed) };
    // Offsets in the frame less the two bytes of the header.
    let fields = if header == [5, 3] {
        payload.array(0).map(|[scene, flags, battery]| (5, 3, scene, flags, battery))
    } else {
        payload.array(2).map(|[kind, version, _, scene, flags, battery]| (kind, version, scene, flags, battery))
    };
    let (kind, version, scene, flags, battery) = fields?;
    if kind < TYPE_WITH_STATE || (kind, version) == (5, 1) {
        return refused(Reject::NoState);
    }
    if !heard.is_from(tail) {
        return refused(Reject::AddressMismatch);
    }
    let mut out = Decoded::new(FAMILY);
    out.say(Name::LockState, if bit(flags, 0) { "unlocked" } else { "locked" });
    out.battery(battery);
    out.say(Name::HasNewRecords, bit(flags, 1));
    out.say(Name::SettingMode, bit(flags, 2));
    out.say(Name::LockAddress, tail.to_string());
    out.say(Name::Protocol, format!("{kind}.{version}"));
    out.say(Name::Scene, scene);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_flags_tell_the_bolt_in_both_layouts() {
        check(
            decode,
            &[
                (
                    "@AA:BB:CC:11:22:33 u1910 m0305:02015700000000332211ccbbaa",
                    "lock_state=unlocked battery_percent=87 protocol=5.3 scene=2 lock_address=AA:BB:CC:11:22:33",
                ),
                (
                    "@AA:BB:CC:11:22:33 u1910 m0305:02065700000000332211ccbbaa",
                    "lock_state=locked has_new_records=true setting_mode=true",
                ),
                (
                    "@AA:BB:CC:11:22:33 u1910 m0102:000005040003032a00332211ccbbaa",
                    "lock_state=unlocked battery_percent=42 protocol=5.4",
                ),
            ],
        );
    }

    #[test]
    fn without_the_service_only_the_locks_own_address_in_the_tail_makes_it_one() {
        check(
            decode,
            &[
                ("@AA:BB:CC:11:22:33 m0305:02015700000000332211ccbbaa", "lock_state=unlocked"),
                ("@AA:BB:CC:11:22:34 m0305:02015700000000332211ccbbaa", "none"),
            ],
        );
    }

    #[test]
    fn another_locks_state_is_not_this_ones() {
        check(decode, &[("@AA:BB:CC:11:22:34 u1910 m0305:02015700000000332211ccbbaa", "refused=address_mismatch")]);
    }

    #[test]
    fn modes_and_types_without_a_state_say_none() {
        check(
            decode,
            &[
                ("@AA:BB:CC:11:22:33 u1910 m1912:000000000000332211ccbbaa", "refused=no_state"),
                ("@AA:BB:CC:11:22:33 u1910 mffff:000000000000332211ccbbaa", "refused=no_state"),
                ("@AA:BB:CC:11:22:33 u1910 m0102:000005010000015a00332211ccbbaa", "refused=no_state"),
                ("@AA:BB:CC:11:22:33 u1910 m0102:000003010002015a00332211ccbbaa", "refused=no_state"),
                ("@AA:BB:CC:11:22:33 u1910 m0305:0201570000332211ccbbaa", "refused=malformed"),
            ],
        );
    }

    #[test]
    fn a_battery_above_a_hundred_percent_is_no_reading() {
        check(
            decode,
            &[("@AA:BB:CC:11:22:33 u1910 m0305:0201c800000000332211ccbbaa", "lock_state=unlocked !battery_percent")],
        );
    }
}
