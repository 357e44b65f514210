//! The Bluetooth SIG's battery: Battery Level and Battery Level Status over a connection, and Battery Level as service data.
//!
//! ```text
//! 0x2A19   [0] percent                                    also service data of UUID 0x180F
//! 0x2BED   [0] flags: bit 0 identifier, 1 level, 2 additional status
//!          [1..3] LE power state: bit 0 battery present, 1-2 wired, 3-4 wireless power (0 no, 1 yes, 2 unknown),
//!                 5-6 charge state (0 unknown, 1 charging, 2 active, 3 inactive discharge),
//!                 7-8 charge level (0 unknown, 1 good, 2 low, 3 critical), 9-11 charging type, 12-14 faults
//!          then, where flagged: identifier u16 LE, percent, additional: bits 0-1 service required, 2 battery fault
//! ```
//!
//! Bytes after those are reserved for later and ignored, as the GATT Specification Supplement asks of clients.
//! Source: Battery Service 1.1; GATT Specification Supplement, 3.35 and 3.36.

use super::bytes::{Bytes, bit};
use super::{Decoded, Gatt, Heard, Memory, Name, Reject};

const FAMILY: &str = "gatt_battery";
const BATTERY_SERVICE: u16 = 0x180F;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    Some(level(heard.service(BATTERY_SERVICE)?))
}

pub fn decode_gatt(gatt: &Gatt<'_>) -> Option<Decoded> {
    match gatt.name {
        "2a19" => Some(level(gatt.value)),
        "2bed" => Some(Decoded::read(FAMILY, |out| level_status(gatt.value, out))),
        _ => None,
    }
}

fn level(value: &[u8]) -> Decoded {
    match value.first() {
        Some(&percent @ 0..=100) => {
            let mut out = Decoded::new(FAMILY);
            out.battery(percent);
            out
        }
        Some(_) => Decoded::refused(FAMILY, Reject::OutOfRange),
        None => Decoded::refused(FAMILY, Reject::Malformed),
    }
}

fn level_status(value: &[u8], out: &mut Decoded) -> Option<()> {
    let (flags, power) = (value.u8(0)?, value.u16_le(1)?);
    let mut at = 3;
    if bit(flags, 0) {
        value.u16_le(at)?;
        at += 2;
    }
    if bit(flags, 1) {
        out.battery(value.u8(at)?);
        at += 1;
    }
    let additional = if bit(flags, 2) { Some(value.u8(at)?) } else { None };

    match power >> 5 & 3 {
        1 => out.say(Name::BatteryCharging, true),
        2 | 3 => out.say(Name::BatteryCharging, false),
        _ => {}
    }
    match power >> 7 & 3 {
        1 => out.say(Name::BatteryLow, false),
        2 | 3 => out.say(Name::BatteryLow, true),
        _ => {}
    }
    out.other("battery_present", power & 1 == 1);
    if let Some(additional) = additional {
        out.other("battery_fault", bit(additional, 2));
        out.other("service_required", additional & 3);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_level_outside_a_percentage_is_no_level() {
        check_gatt(
            decode_gatt,
            "2a19",
            &[
                ("00", "battery_percent=0"),
                ("64", "battery_percent=100"),
                ("6400", "battery_percent=100"),
                ("65", "refused=out_of_range"),
                ("ff", "refused=out_of_range"),
                ("", "refused=malformed"),
            ],
        );
    }

    #[test]
    fn level_status_tells_low_and_charging_where_it_knows() {
        check_gatt(
            decode_gatt,
            "2bed",
            &[
                ("000100", "accepted !battery_low !battery_charging !battery_percent"),
                ("0281010a", "battery_percent=10 battery_low=true"),
                ("00a100", "battery_low=false battery_charging=true"),
                ("02410064", "battery_percent=100 battery_charging=false !battery_low"),
                ("07010034123204", "battery_percent=50 battery_fault=true service_required=0"),
                ("00", "refused=malformed"),
                ("024100", "refused=malformed"),
            ],
        );
    }

    #[test]
    fn service_data_carries_it_too() {
        check(decode, &[("s180f:21", "battery_percent=33"), ("s180f:ff", "refused=out_of_range")]);
    }
}
