//! Nuki: an iBeacon whose transmit power carries one flag. The bolt is read over a connection.
//!
//! ```text
//! company 0x004C       [0..2] 02 15  [2..18] UUID: a92ee200-… lock, a92ae200-… Opener  [18..22] Nuki id
//!                      [22] power, bit 0: a new state waits
//! service a92ee100-…   in pairing mode: [0..4] Nuki id
//! ```
//!
//! The flag is cleared when a paired client has read the state. It is not raised for every operation by hand.
//!
//! KEYTURNER_STATES (0x000C), decrypted; older firmware sends less:
//!
//! ```text
//! [0] Nuki state  [1] lock state  [2] trigger  [3..10] time  [10..12] time zone LE minutes
//! [12] battery: bit 0 critical, 1 charging, 2-7 percent / 2  …  [18] door sensor
//! ```
//!
//! Sources: Nuki Smart Lock API 2.2.1 (vendor), pyNukiBT 0.0.20, NukiBleEsp32 e2edfa2.

use uuid::Uuid;

use super::bytes::{Bytes, bit};
use super::ibeacon::{APPLE, Beacon};
use super::{Decoded, Gatt, Heard, Memory, Name, Reject};

const FAMILY: &str = "nuki";
const LOCK: u128 = 0xa92e_e200_5501_11e4_916c_0800_200c_9a66;
const PAIRING: Uuid = Uuid::from_u128(0xa92e_e100_5501_11e4_916c_0800_200c_9a66);
const OPENER: u128 = 0xa92a_e200_5501_11e4_916c_0800_200c_9a66;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    if let Some(id) = heard.advert.service_data.get(&PAIRING) {
        return Some(Decoded::read(FAMILY, |out| {
            out.say(Name::NukiId, format!("{:08x}", id.u32_be(0)?));
            out.say(Name::LockState, "unknown");
            out.say(Name::SettingMode, true);
            Some(())
        }));
    }
    let beacon = Beacon::read(heard.company(APPLE)?)?;
    let kind = match beacon.uuid {
        LOCK => "lock",
        OPENER => "opener",
        _ => return None,
    };
    let waits = bit(beacon.power as u8, 0);
    let mut out = Decoded::new(FAMILY);
    out.say(Name::LivenessOnly, !waits);
    out.say(Name::StateMayHaveChanged, waits);
    out.say(Name::LockState, "unknown");
    out.say(Name::DeviceKind, kind);
    out.say(Name::NukiId, format!("{:04x}{:04x}", beacon.major, beacon.minor));
    out.say(Name::Ibeacon, beacon.record());
    Some(out)
}

pub fn decode_gatt(gatt: &Gatt<'_>) -> Option<Decoded> {
    if gatt.name != "keyturner_states_plain" {
        return None;
    }
    let state = gatt.value;
    let (Some(lock), Some(trigger), Some(battery)) = (state.u8(1), state.u8(2), state.u8(12)) else {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    };
    let mut out = Decoded::new(FAMILY);
    let (lock, raw) = lock_state(lock);
    out.say(Name::LockState, lock);
    out.say(Name::LockStatusRaw, raw);
    out.battery((battery >> 2) * 2);
    out.say(Name::BatteryLow, bit(battery, 0));
    out.say(Name::BatteryCharging, bit(battery, 1));
    out.say(
        Name::LockTrigger,
        match trigger {
            0 => "SYSTEM",
            1 => "MANUAL",
            2 => "BUTTON",
            3 => "AUTOMATIC",
            6 => "AUTO_LOCK",
            _ => "UNKNOWN",
        },
    );
    if let Some(sensor) = state.u8(18) {
        door(sensor, &mut out);
    }
    Some(out)
}

fn lock_state(code: u8) -> (&'static str, &'static str) {
    match code {
        0x00 => ("unknown", "UNCALIBRATED"),
        0x01 => ("locked", "LOCKED"),
        0x02 => ("unlocking", "UNLOCKING"),
        0x03 => ("unlocked", "UNLOCKED"),
        0x04 => ("locking", "LOCKING"),
        0x05 => ("unlocked", "UNLATCHED"),
        0x06 => ("unlocked", "UNLOCKED_LOCK_N_GO"),
        0x07 => ("unlocking", "UNLATCHING"),
        0xFC => ("unknown", "CALIBRATION"),
        0xFD => ("unknown", "BOOT_RUN"),
        0xFE => ("jammed", "MOTOR_BLOCKED"),
        _ => ("unknown", "UNDEFINED"),
    }
}

fn door(code: u8, out: &mut Decoded) {
    out.say(
        Name::DoorStatusRaw,
        match code {
            0x00 => "UNAVAILABLE",
            0x01 => "DEACTIVATED",
            0x02 => "DOOR_CLOSED",
            0x03 => "DOOR_OPENED",
            0x04 => "DOOR_STATE_UNKOWN",
            0x05 => "CALIBRATING",
            0x10 => "UNCALIBRATED",
            0xF0 => "TAMPERED",
            _ => "UNKOWN",
        },
    );
    match code {
        0x02 => out.say(Name::DoorOpen, false),
        0x03 => out.say(Name::DoorOpen, true),
        0xF0 => out.say(Name::Tamper, true),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_beacon_tells_that_a_state_waits_and_never_the_bolt() {
        check(
            decode,
            &[
                (
                    "m004c:0215a92ee200550111e4916c0800200c9a6630d3336cc8",
                    "lock_state=unknown state_may_have_changed=false device_kind=lock nuki_id=30d3336c",
                ),
                (
                    "m004c:0215a92ae200550111e4916c0800200c9a6634900792c5",
                    "lock_state=unknown state_may_have_changed=true device_kind=opener",
                ),
            ],
        );
    }

    #[test]
    fn another_beacon_or_a_short_one_is_not_nukis() {
        check(decode, &[("m004c:0215e2c56db5dffb48d2b060d0f5a71096e000640000c5", "none"), ("m004c:0215a92e", "none")]);
    }

    #[test]
    fn keyturner_states_tell_lock_door_and_battery() {
        check_gatt(
            decode_gatt,
            "keyturner_states_plain",
            &[
                (
                    "020502e7070c010a1e003c00ca01000102000300",
                    "lock_state=unlocked lock_status_raw=UNLATCHED battery_percent=100 battery_charging=true battery_low=false door_open=true lock_trigger=BUTTON",
                ),
                (
                    "020100e7070c010a1e003c00780100010000f000",
                    "lock_state=locked battery_percent=60 tamper=true !door_open",
                ),
                (
                    "02fe01e7070c010a1e003c000d01000100000200",
                    "lock_state=jammed battery_low=true battery_percent=6 door_open=false",
                ),
                ("020100e7070c010a1e003c0078", "lock_state=locked battery_percent=60 !door_open"),
                ("020100e7", "refused=malformed"),
            ],
        );
    }
}
