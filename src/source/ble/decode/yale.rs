//! August and Yale (ASSA ABLOY): adverts say only that something may have changed; the state is read over a connection.
//!
//! ```text
//! company 0x01D1, 0x012E   1 byte: 0/1, toggles with a change      18 bytes: 2 + cloud id, static, says nothing
//! company 0x004C           [0] 06 HomeKit  [1] length and flags  [2] status  [3..9] device id  [9..11] category LE
//!                          [11..13] global state number LE, counts changes  [13] configuration  [14] version
//!                          [0] 11: encrypted notification, a change
//! ```
//!
//! A frame of the secure channel, decrypted:
//!
//! ```text
//! [0] EE command, BB response, AA acknowledgement  [1] opcode  [3] checksum  [4] subtype  [8..] values  [15] result
//! 02 status      subtype 02 lock [8]; 2E door [8]; 2F lock [8] and door [9]; 0F battery [8..10] LE mV of four AA cells
//! 0A unlock, 0B lock: result 0 fine, 1E-23 mechanical, 32 battery too low; 2D activity log: history, not state
//! ```
//!
//! Source: yalexs-ble 7.2.2; HomeKit Accessory Protocol (non-commercial) R2, 7.4.2. Where we differ: decision 0203.

use super::bytes::Bytes;
use super::ibeacon::APPLE;
use super::{Decoded, Gatt, Heard, Memory, Name, Reject};

const FAMILY: &str = "yale";
const YALE: u16 = 0x01D1;
const ASSA_ABLOY: u16 = 0x012E;
const HOMEKIT: u8 = 0x06;
const HOMEKIT_ENCRYPTED: u8 = 0x11;
/// HomeKit accessory categories, HAP R2, table 12-3.
const CATEGORY_OTHER: u16 = 1;
const CATEGORY_DOOR_LOCK: u16 = 6;

/// What [`Memory::last`] keeps: the toggle and the state number last seen, each with a bit that says "seen".
#[derive(Clone, Copy, PartialEq)]
struct Seen {
    toggle: Option<u8>,
    number: Option<u16>,
}

impl Seen {
    const NUMBER_SEEN: u32 = 1 << 16;
    const TOGGLE_SEEN: u32 = 1 << 17;
    const TOGGLE_SHIFT: u32 = 18;

    fn load(memory: &Memory) -> Seen {
        let last = memory.last.unwrap_or_default();
        Seen {
            number: (last & Seen::NUMBER_SEEN != 0).then_some(last as u16),
            toggle: (last & Seen::TOGGLE_SEEN != 0).then_some((last >> Seen::TOGGLE_SHIFT) as u8),
        }
    }

    fn store(self, memory: &mut Memory) {
        let number = self.number.map_or(0, |n| Seen::NUMBER_SEEN | u32::from(n));
        let toggle = self.toggle.map_or(0, |t| Seen::TOGGLE_SEEN | u32::from(t) << Seen::TOGGLE_SHIFT);
        memory.last = Some(number | toggle);
    }
}

pub fn decode(heard: &Heard<'_>, memory: &mut Memory) -> Option<Decoded> {
    let own = heard.company(YALE).or_else(|| heard.company(ASSA_ABLOY));
    let apple = heard.company(APPLE).filter(|data| matches!(data, [HOMEKIT | HOMEKIT_ENCRYPTED, ..] | []));
    if own.is_none() && apple.is_none() {
        return None;
    }
    let before = Seen::load(memory);
    let mut seen = before;
    let mut changed = false;
    let mut out = Decoded::new(if own.is_some() { FAMILY } else { "homekit" });
    if let Some(&[toggle @ (0 | 1)]) = own {
        changed |= before.toggle != Some(toggle);
        seen.toggle = Some(toggle);
    }
    let mut is_lock = own.is_some();
    match apple {
        Some([HOMEKIT, rest @ ..]) => {
            if let (Some(category), Some(number)) = (rest.u16_le(8), rest.u16_le(10)) {
                changed |= before.number != Some(number);
                seen.number = Some(number);
                out.say(Name::HomekitGsn, number);
                // A lamp has a state number too, but no bolt to be unsure of. Some accessories put 0 or "other".
                if own.is_none() && !matches!(category, 0 | CATEGORY_OTHER | CATEGORY_DOOR_LOCK) {
                    return None;
                }
                is_lock |= category == CATEGORY_DOOR_LOCK;
            }
        }
        Some([HOMEKIT_ENCRYPTED, ..]) => changed = true,
        _ => {}
    }
    if seen != before {
        seen.store(memory);
    }
    out.say(Name::StateMayHaveChanged, changed);
    out.say(Name::LockState, "unknown");
    if is_lock {
        out.say(Name::DeviceKind, "lock");
    }
    Some(out)
}

/// Frames of the secure channel have 18 bytes, the last two in the clear.
const FRAME: usize = 18;

pub fn decode_gatt(gatt: &Gatt<'_>) -> Option<Decoded> {
    if gatt.name != "secure_read_plain" {
        return None;
    }
    let Some(frame) = gatt.value.first_chunk::<FRAME>() else {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    };
    let mut out = Decoded::new(FAMILY);
    match (frame[0], frame[1], frame[4]) {
        (0xBB, 0x02, 0x02) => lock(frame[8], &mut out),
        (0xBB, 0x02, 0x2E) => door(frame[8], &mut out),
        (0xBB, 0x02, 0x2F) => {
            lock(frame[8], &mut out);
            door(frame[9], &mut out);
        }
        (0xBB, 0x02, 0x0F) => battery(u16::from_le_bytes([frame[8], frame[9]]), &mut out),
        (0xBB, 0x0A | 0x0B, _) => match frame[15] {
            // The motor stalled, did not find its position, or the handle was not lifted.
            result @ 0x1E..=0x23 => {
                out.say(Name::LockState, "jammed");
                out.say(Name::LockStatusRaw, "JAMMED");
                out.other("operation_result", result);
            }
            0x32 => out.say(Name::BatteryLow, true),
            _ => return Some(out.refuse(Reject::NoState)),
        },
        _ => return Some(out.refuse(Reject::NoState)),
    }
    Some(out)
}

fn lock(code: u8, out: &mut Decoded) {
    let (state, raw) = match code {
        0x01 => ("unknown", "UNKNOWN_01"),
        0x02 => ("unlocking", "UNLOCKING"),
        0x03 => ("unlocked", "UNLOCKED"),
        0x04 => ("locking", "LOCKING"),
        0x05 => ("locked", "LOCKED"),
        0x06 => ("unknown", "UNKNOWN_06"),
        0x07 => ("jammed", "JAMMED"),
        0x09 => ("unlocking", "UNLATCHING"),
        0x0A => ("unlocked", "UNLATCHED"),
        0x0C => ("locked", "SECUREMODE"),
        _ => ("unknown", "UNKNOWN"),
    };
    out.say(Name::LockState, state);
    out.say(Name::LockStatusRaw, raw);
}

fn door(code: u8, out: &mut Decoded) {
    let (open, raw) = match code {
        1 => (Some(false), "CLOSED"),
        2 => (Some(true), "AJAR"),
        3 => (Some(true), "OPENED"),
        4 => (None, "UNKNOWN_04"),
        _ => (None, "UNKNOWN"),
    };
    out.say(Name::DoorStatusRaw, raw);
    if let Some(open) = open {
        out.say(Name::DoorOpen, open);
    }
}

/// Millivolts of four alkaline AA cells above which there are so many percent. Wrong for lithium cells, which hold their
/// voltage to the end; the lock does not say which it has.
const PERCENT_ABOVE_MILLIVOLTS: [(u16, u8); 25] = [
    (6200, 100),
    (6196, 97),
    (6192, 95),
    (6188, 94),
    (5963, 93),
    (5960, 90),
    (5884, 85),
    (5840, 80),
    (5800, 75),
    (5600, 70),
    (5560, 65),
    (5520, 60),
    (5480, 55),
    (5440, 50),
    (5400, 45),
    (5360, 40),
    (5320, 35),
    (5280, 30),
    (5240, 28),
    (5200, 27),
    (5160, 25),
    (5120, 20),
    (5080, 15),
    (5040, 10),
    (5000, 5),
];

fn battery(millivolts: u16, out: &mut Decoded) {
    let percent =
        PERCENT_ABOVE_MILLIVOLTS.iter().find(|(above, _)| millivolts > *above).map_or(0, |(_, percent)| *percent);
    out.say(Name::VoltageV, f64::from(millivolts) / 1000.0);
    out.battery(percent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn an_advert_hints_at_a_change_once_and_never_tells_the_bolt() {
        check_sequence(
            decode,
            &[
                ("m01d1:01", "state_may_have_changed=true lock_state=unknown"),
                ("m01d1:01", "state_may_have_changed=false lock_state=unknown"),
                ("m01d1:00008015d011f7a5431f85d7ff235f1e7546", "state_may_have_changed=false"),
                ("m01d1:00", "state_may_have_changed=true lock_state=unknown"),
                ("m012e:00", "state_may_have_changed=false"),
            ],
        );
    }

    #[test]
    fn a_homekit_state_number_hints_when_it_moves() {
        check_sequence(
            decode,
            &[
                (
                    "m004c:060000000000000000010034120000",
                    "homekit_gsn=4660 state_may_have_changed=true lock_state=unknown",
                ),
                ("m004c:060000000000000000010034120000", "homekit_gsn=4660 state_may_have_changed=false"),
                ("m004c:060000000000000000010035120000", "homekit_gsn=4661 state_may_have_changed=true"),
                ("m004c:1136aabbccddeeff", "state_may_have_changed=true"),
            ],
        );
    }

    #[test]
    fn a_homekit_lamp_is_not_spoken_of() {
        check(
            decode,
            &[
                ("m004c:060000000000000000050034120000", "none"),
                ("m004c:0215e2c56db5dffb48d2b060d0f5a71096e000640000c5", "none"),
            ],
        );
    }

    #[test]
    fn a_status_frame_tells_lock_door_and_battery() {
        check_gatt(
            decode_gatt,
            "secure_read_plain",
            &[
                ("bb02003c0200000003000000000000000200", "lock_state=unlocked lock_status_raw=UNLOCKED !door_open"),
                ("bb0200122e00000003000000000000000000", "door_open=true !lock_state"),
                ("bb0200002e00000000000000000000000000", "door_status_raw=UNKNOWN !door_open"),
                (
                    "bb0200002f0000000c010000000000000000",
                    "lock_state=locked lock_status_raw=SECUREMODE door_open=false",
                ),
                ("bb0200002f00000007020000000000000000", "lock_state=jammed door_open=true"),
                ("bb0200a50f00000079140000000000000200", "voltage_v=5.241 battery_percent=28"),
                ("bb0200000f00000088130000000000000000", "voltage_v=5.0 battery_percent=0"),
            ],
        );
    }

    #[test]
    fn only_a_mechanical_result_is_a_jam() {
        check_gatt(
            decode_gatt,
            "secure_read_plain",
            &[
                ("bb0a001c00000000000000000000001f0000", "lock_state=jammed"),
                ("bb0b00000000000000000000000000320000", "battery_low=true !lock_state"),
                ("bb0a00000000000000000000000000380000", "refused=no_state"),
            ],
        );
    }

    #[test]
    fn acknowledgements_and_history_are_no_state() {
        check_gatt(
            decode_gatt,
            "secure_read_plain",
            &[
                ("aa0b00490000000000000000000000000200", "refused=no_state"),
                ("bb2d00002000000000030000000000000000", "refused=no_state"),
                ("bb02003c02000000", "refused=malformed"),
            ],
        );
    }
}
