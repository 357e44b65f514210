//! SwitchBot locks and keypads.

use super::Parts;
use super::model::LockProExtra;
use crate::source::ble::decode::bytes::{Bytes, bit};
use crate::source::ble::decode::{Decoded, Memory, Name};

/// Lock, Lock Lite, Lock Vision. Lite and Vision have no door sensor.
///
/// ```text
/// mfr [7] bit 7 calibrated, 6-4 status, 3 update from secondary lock, 2 door open
///     [8] bit 7 double lock, 5 door open too long, 4 unlocked too long, 1 auto-lock paused   [9] bit 0 night latch
/// ```
pub fn lock(parts: Parts<'_>, door_sensor: bool, calibration_counts: bool, out: &mut Decoded) -> Option<()> {
    let (state, flags) = (parts.mfr.u8(7)?, parts.mfr.u8(8)?);
    parts.sequence(out);
    parts.service_battery(out);
    status(state >> 4 & 7, bit(state, 7), calibration_counts, out)?;
    if door_sensor {
        door(bit(state, 2), bit(flags, 5), out);
        out.other("auto_lock_paused", bit(flags, 1));
    }
    out.say(Name::UnlockedAlarm, bit(flags, 4));
    out.other("update_from_secondary_lock", bit(state, 3));
    out.other("double_lock_mode", bit(flags, 7));
    out.other("night_latch", parts.mfr.u8(9).is_some_and(|b| bit(b, 0)));
    Some(())
}

/// Lock Pro, Lock Pro WiFi, Lock Ultra, Lock Vision Pro.
///
/// ```text
/// mfr [7] bit 7 calibrated, 6-3 status    [8] bits 7-6 update from secondary, 5 its door open, 4 door open, 3 auto-lock paused
///     [9] bits 6-0 battery %              [10] bit 7 double lock, 6 is secondary, 5 manual unlock linkage
///     [11] bit 7 door open too long, 6 unlocked too long; Pro: 5 low temperature, 2 left, 1 right battery compartment;
///          Ultra: 4 power alarm, 2-0 battery status
/// ```
pub fn lock_pro(parts: Parts<'_>, extra: LockProExtra, calibration_counts: bool, out: &mut Decoded) -> Option<()> {
    let [state, doors, battery, modes, alarms] = parts.mfr.array(7)?;
    parts.sequence(out);
    status(state >> 3 & 15, bit(state, 7), calibration_counts, out)?;
    door(bit(doors, 4), bit(alarms, 7), out);
    out.battery(battery & 0x7F);
    out.say(Name::UnlockedAlarm, bit(alarms, 6));
    out.other("update_from_secondary_lock", doors & 0xC0 != 0);
    out.other("door_open_from_secondary_lock", bit(doors, 5));
    out.other("auto_lock_paused", bit(doors, 3));
    out.other("double_lock_mode", bit(modes, 7));
    out.other("is_secondary_lock", bit(modes, 6));
    out.other("manual_unlock_linkage", bit(modes, 5));
    match extra {
        LockProExtra::Compartments => {
            out.other("low_temperature_alarm", bit(alarms, 5));
            out.other("left_battery_compartment_alarm", alarms & 4);
            out.other("right_battery_compartment_alarm", alarms & 2);
        }
        LockProExtra::PowerAlarm => {
            out.other("power_alarm", bit(alarms, 4));
            out.other("battery_status", alarms & 7);
        }
    }
    Some(())
}

/// Codes 8-15 are undefined: what the rest of such an advert means is not known either.
fn status(code: u8, calibrated: bool, calibration_counts: bool, out: &mut Decoded) -> Option<()> {
    let (state, raw) = match code {
        0 => ("locked", "LOCKED"),
        1 => ("unlocked", "UNLOCKED"),
        2 => ("locking", "LOCKING"),
        3 => ("unlocking", "UNLOCKING"),
        4 => ("jammed", "LOCKING_STOP"),
        5 => ("jammed", "UNLOCKING_STOP"),
        // The latch holds, the bolt may not: neither locked nor unlocked.
        6 => ("unknown", "NOT_FULLY_LOCKED"),
        7 => ("unknown", "HALF_LOCKED"),
        _ => return None,
    };
    out.say(Name::LockState, if calibrated || !calibration_counts { state } else { "unknown" });
    out.say(Name::LockStatusRaw, raw);
    out.say(Name::LockStateValid, calibrated);
    out.other("calibration", calibrated);
    Some(())
}

fn door(open: bool, too_long: bool, out: &mut Decoded) {
    out.say(Name::DoorOpen, open);
    out.say(Name::OpeningKind, "door");
    out.say(Name::DoorLeftOpen, too_long);
}

/// Keypad and Keypad Touch: `mfr [6]` counts accepted entries. No tamper bit is publicly known.
pub fn keypad(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let (attempt, _battery) = (parts.mfr.u8(6)?, parts.service.u8(2)?);
    parts.service_battery(out);
    out.say(Name::DeviceKind, "keypad");
    out.say(Name::KeypadAttempt, attempt);
    Some(())
}

/// Keypad Vision and Vision Pro.
///
/// ```text
/// mfr [7] bit 7 charging, 6-0 battery %   [8] bit 0 lockout, 1 tamper, 2 duress, 6 high, 7 low temperature
///     [12] bit 3 doorbell, 2-0 its sequence   [13] bits 1-0 PIR or radar level, Pro: 3-2 radar distance
/// ```
pub fn keypad_vision(parts: Parts<'_>, radar: bool, memory: &mut Memory, out: &mut Decoded) -> Option<()> {
    let [power, alarms, _, _, _, bell, near] = parts.mfr.array(7)?;
    parts.sequence(out);
    out.say(Name::DeviceKind, "keypad");
    out.say(Name::BatteryCharging, bit(power, 7));
    out.battery(power & 0x7F);
    out.say(Name::LockoutAlarm, bit(alarms, 0));
    out.say(Name::Tamper, bit(alarms, 1));
    out.say(Name::DuressAlarm, bit(alarms, 2));
    // The bit stands for a while, in frames that differ otherwise: the bell's own number tells a ring from the next.
    let (rings, number) = (bit(bell, 3), bell & 7);
    out.say(Name::Doorbell, rings && memory.last != Some(u32::from(number)));
    if rings {
        memory.last = Some(u32::from(number));
    }
    out.other("doorbell_seq", number);
    out.other("low_temperature", bit(alarms, 7));
    out.other("high_temperature", bit(alarms, 6));
    if radar {
        out.other("radar_triggered_level", near & 3);
        out.other("radar_triggered_distance", near >> 2 & 3);
    } else {
        out.other("pir_triggered_level", near & 3);
    }
    Some(())
}
