//! MiBeacon objects of locks and doors (iot.mi.com, object definitions: lock events and attributes).
//!
//! ```text
//! 0x0006 fingerprint (5): key id LE32 | result
//! 0x0007 door (1, or 5 with a time): 0 open, 1 closed, 2 open too long, 3 knock, 4 pried, 5 stuck
//! 0x0008 armed (1, or 5 with a time): 0 armed, 1 disarmed
//! 0x000B lock event (9): method << 4 | action | key id LE32 | time LE32, seconds since 1970
//! 0x100E lock attribute (1): bit 0 bolt out, bit 3 child lock
//! 0x1019 contact (1): 0 open, 1 closed, 2 open too long, 3 reset
//! ```
//!
//! A lock event says what was done, never where the bolt stands. Of its actions only locking and unlocking move it: the
//! anti-lock, the child lock and "abnormal" leave it as it was, whatever the peers make of them. A key id 0xC0DExxxx is no key but an
//! alarm. A knock and a stuck leaf say nothing of the door's position.

use crate::time::Wall;

use super::{Decoded, Name};

/// Clocks of locks that were never set count from 1970 or 2000; the protocol is of 2017.
const CLOCK_IS_SET: u32 = 1_483_228_800;

pub fn fingerprint(data: &[u8], out: &mut Decoded) {
    let &[a, b, c, d, result] = data else { return };
    let key = u32::from_le_bytes([a, b, c, d]);
    out.say(Name::FingerprintOk, result == 0);
    match key {
        0 => user(out, "administrator", "admin", Some(0)),
        u32::MAX => user(out, "unknown operator", "unknown", None),
        INVALID => user(out, "invalid operator", "invalid", None),
        key => {
            out.say(Name::LockUserText, key.to_string());
            out.say(Name::LockUserId, key);
        }
    }
    let happened = match result {
        0 => "match_successful",
        1 => "match_failed",
        2 => "timeout",
        3 => "low_quality_too_light_fuzzy",
        4 => "insufficient_area",
        5 => "skin_is_too_dry",
        6 => "skin_is_too_wet",
        _ => return,
    };
    out.event("fingerprint", happened);
}

pub fn door(data: &[u8], out: &mut Decoded) {
    match data.first() {
        Some(0) => {
            opening(out, true, "door");
            out.say(Name::DoorStuck, false);
            out.say(Name::DoorKnock, false);
        }
        Some(1) => {
            opening(out, false, "door");
            out.say(Name::DoorLeftOpen, false);
            out.say(Name::DoorPried, false);
            out.say(Name::Tamper, false);
        }
        Some(2) => {
            opening(out, true, "door");
            out.say(Name::DoorLeftOpen, true);
        }
        Some(3) => out.say(Name::DoorKnock, true),
        Some(4) => {
            opening(out, true, "door");
            out.say(Name::DoorPried, true);
            out.say(Name::Tamper, true);
        }
        Some(5) => out.say(Name::DoorStuck, true),
        _ => return,
    }
    happened_at(data.get(1..5), out);
}

/// The handle of a DSL-C08 is lifted from outside to lock and arm it, and that is how it says so.
pub fn armed(data: &[u8], model: &str, out: &mut Decoded) {
    let Some(&armed) = data.first() else { return };
    out.say(Name::Armed, armed == 0);
    if armed == 0 && model == "DSL-C08" {
        out.say(Name::LockMethod, "manual");
        out.say(Name::LockState, "locked");
        out.event("lock", "lock_outside_the_door");
    }
    happened_at(data.get(1..5), out);
}

/// Only the DSL-C08 is known to send it so.
pub fn attribute(data: &[u8], model: &str, out: &mut Decoded) {
    if let (&[bits], "DSL-C08") = (data, model) {
        out.say(Name::LockState, if bits & 1 != 0 { "locked" } else { "unlocked" });
        out.say(Name::Childlock, bits & 8 != 0);
    }
}

pub fn contact(data: &[u8], out: &mut Decoded) {
    match data.first() {
        Some(0) => opening(out, true, "opening"),
        Some(1) => {
            opening(out, false, "opening");
            out.say(Name::DoorLeftOpen, false);
        }
        Some(2) => {
            opening(out, true, "opening");
            out.say(Name::DoorLeftOpen, true);
        }
        _ => {}
    }
}

pub fn opening(out: &mut Decoded, open: bool, kind: &'static str) {
    out.say(Name::DoorOpen, open);
    out.say(Name::OpeningKind, kind);
}

pub fn event(data: &[u8], out: &mut Decoded) {
    let &[what, a, b, c, d, ref time @ ..] = data else { return };
    let (Some((action, bolt)), Some(method), 4) = (action(what & 0x0F), method(what >> 4), time.len()) else { return };
    let key = u32::from_le_bytes([a, b, c, d]);
    out.say(Name::LockMethod, method);
    match bolt {
        Bolt::Moved(state) => out.say(Name::LockState, state),
        Bolt::Antilock(on) => out.say(Name::Antilock, on),
        Bolt::Childlock(on) => out.say(Name::Childlock, on),
        Bolt::Unknown => {}
    }
    match alarm(key) {
        Some(alarm) => {
            out.say(Name::Alarm, alarm);
            out.say(Name::LockEvent, action);
            match key {
                PICKED | RESET_PRESSED | HIJACKED | MOVED => out.say(Name::Tamper, true),
                BELOW_10_PERCENT | BELOW_5_PERCENT => out.say(Name::BatteryLow, true),
                _ => {}
            }
            out.event("error", alarm);
        }
        None => {
            who(key, out);
            out.event("lock", action);
        }
    }
    happened_at(Some(time), out);
}

enum Bolt {
    Moved(&'static str),
    Antilock(bool),
    Childlock(bool),
    Unknown,
}

fn action(code: u8) -> Option<(&'static str, Bolt)> {
    Some(match code {
        0 => ("unlock_outside_the_door", Bolt::Moved("unlocked")),
        1 => ("locked", Bolt::Moved("locked")),
        2 => ("turn_on_antilock", Bolt::Antilock(true)),
        3 => ("release_the_antilock", Bolt::Antilock(false)),
        4 => ("unlock_inside_the_door", Bolt::Moved("unlocked")),
        5 => ("lock_inside_the_door", Bolt::Moved("locked")),
        6 => ("turn_on_child_lock", Bolt::Childlock(true)),
        7 => ("turn_off_child_lock", Bolt::Childlock(false)),
        8 => ("lock_outside_the_door", Bolt::Moved("locked")),
        15 => ("abnormal", Bolt::Unknown),
        _ => return None,
    })
}

fn method(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "bluetooth",
        1 => "password",
        2 => "biometrics",
        3 => "key_method",
        4 => "turntable_method",
        5 => "nfc_method",
        6 => "one_time_password",
        7 => "two_step_verification",
        8 => "coercion_method",
        9 => "homekit",
        10 => "manual",
        11 => "automatic",
        15 => "abnormal",
        _ => return None,
    })
}

const INVALID: u32 = 0xDEAD_BEEF;
const PICKED: u32 = 0xC0DE_0003;
const RESET_PRESSED: u32 = 0xC0DE_0004;
const HIJACKED: u32 = 0xC0DE_000D;
const MOVED: u32 = 0xC0DE_0010;
const BELOW_10_PERCENT: u32 = 0xC0DE_1000;
const BELOW_5_PERCENT: u32 = 0xC0DE_1001;

fn alarm(key: u32) -> Option<&'static str> {
    Some(match key {
        0xC0DE_0000 => "frequent_unlocking_with_incorrect_password",
        0xC0DE_0001 => "frequent_unlocking_with_wrong_fingerprints",
        0xC0DE_0002 => "operation_timeout_password_input_timeout",
        PICKED => "lock_picking",
        RESET_PRESSED => "reset_button_is_pressed",
        0xC0DE_0005 => "the_wrong_key_is_frequently_unlocked",
        0xC0DE_0006 => "foreign_body_in_the_keyhole",
        0xC0DE_0007 => "the_key_has_not_been_taken_out",
        0xC0DE_0008 => "error_nfc_frequently_unlocks",
        0xC0DE_0009 => "timeout_is_not_locked_as_required",
        0xC0DE_000A => "failure_to_unlock_frequently_in_multiple_ways",
        0xC0DE_000B => "unlocking_the_face_frequently_fails",
        0xC0DE_000C => "failure_to_unlock_the_vein_frequently",
        HIJACKED => "hijacking_alarm",
        0xC0DE_000E => "unlock_inside_the_door_after_arming",
        0xC0DE_000F => "palmprints_frequently_fail_to_unlock",
        MOVED => "the_safe_was_moved",
        BELOW_10_PERCENT => "the_battery_level_is_less_than_10_percent",
        BELOW_5_PERCENT => "the_battery_level_is_less_than_5_percent",
        0xC0DE_1002 => "the_fingerprint_sensor_is_abnormal",
        0xC0DE_1003 => "the_accessory_battery_is_low",
        0xC0DE_1004 => "mechanical_failure",
        0xC0DE_1005 => "the_lock_sensor_is_faulty",
        _ => return None,
    })
}

/// Who: the upper half of a key id is its kind, the lower its number.
fn who(key: u32, out: &mut Decoded) {
    let number = key & 0xFFFF;
    let (text, kind) = match key {
        0 => return user(out, "administrator", "admin", Some(0)),
        u32::MAX => return user(out, "unknown operator", "unknown", None),
        INVALID => return user(out, "invalid operator", "invalid", None),
        1..=0x7FFF_FFFF => {
            out.say(Name::LockUserText, format!("Bluetooth key {key}"));
            out.say(Name::LockUserKind, "bluetooth");
            out.say(Name::LockUserId, key);
            return;
        }
        0x8000_0000..=0x8001_FFFF => ("Fingerprint key id", "fingerprint"),
        0x8002_0000..=0x8002_FFFF => ("Password key id", "password"),
        0x8003_0000..=0x8003_FFFF => ("Keys key id", "key"),
        0x8004_0000..=0x8004_FFFF => ("NFC key id", "nfc"),
        0x8005_0000..=0x8005_FFFF => ("Two-step verification key id", "two_step"),
        0x8006_0000..=0x8006_FFFF => ("Human face key id", "face"),
        0x8007_0000..=0x8007_FFFF => ("Finger veins key id", "finger_vein"),
        0x8008_0000..=0x8008_FFFF => ("Palm print key id", "palm_print"),
        _ => ("key id", "other"),
    };
    out.say(Name::LockUserText, format!("{text} {number}"));
    out.say(Name::LockUserKind, kind);
    out.say(Name::LockUserId, number);
}

fn user(out: &mut Decoded, text: &'static str, kind: &'static str, id: Option<u32>) {
    out.say(Name::LockUserText, text);
    out.say(Name::LockUserKind, kind);
    if let Some(id) = id {
        out.say(Name::LockUserId, id);
    }
}

fn happened_at(time: Option<&[u8]>, out: &mut Decoded) {
    let Some(&[a, b, c, d]) = time else { return };
    let seconds = u32::from_le_bytes([a, b, c, d]);
    out.occurred_at = (seconds >= CLOCK_IS_SET).then(|| Wall(i64::from(seconds) * 1000));
}
