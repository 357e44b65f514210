//! iNode: the high byte of the "company" is the device, the low byte its flags.
//!
//! ```text
//! 82      energy meter (11 bytes)  [0..2] LE per minute  [2..6] LE total  [6..8] LE unit and constant  [8] bits 7-4 battery
//! 91-9D   care sensors (22 bytes)  [0..2] LE bits 15-12 battery  [2..4] LE alarms  [4..6] LE position or pressure
//!         [6..8] LE temperature  [8..10] LE humidity  [10..14] time  [14..22] signature
//! flags   energy meter: bit 2 battery low
//! battery 1 or 11 and more: 100 %, else (n - 1) * 10 %; 0 unknown      position: bit 15 moving, then 3 * 5 bits acceleration
//! ```
//!
//! Source: iNode "BLE advertisement structure" (vendor's document), ble_monitor 5690220, Theengs decoder 2.5.0 (facts only).

use super::bytes::{Bytes, bit, rounded};
use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "inode";
const METER: u8 = 0x82;
const METER_LENGTH: usize = 11;
/// The low byte of an energy meter's "company".
const METER_FLAGS: [u8; 4] = [0x90, 0x92, 0x94, 0x96];
const CARE_LENGTH: usize = 22;
/// What the sensors can measure, °C.
const RANGE: (f64, f64) = (-30.0, 70.0);

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    heard.advert.manufacturer_data.iter().find_map(|(company, data)| {
        let [flags, device] = company.to_le_bytes();
        let mut out = Decoded::new(FAMILY);
        match (device, data.len()) {
            (METER, METER_LENGTH) if METER_FLAGS.contains(&flags) => meter(flags, data, &mut out)?,
            (0x91..=0x96 | 0x9A..=0x9D, CARE_LENGTH) if flags & 0xF0 == 0x90 => care(device, data, &mut out)?,
            _ => return None,
        }
        Some(out)
    })
}

fn battery(nibble: u8, out: &mut Decoded) {
    match nibble {
        0 => {}
        1 | 11.. => out.battery(100),
        n => out.battery((n - 1) * 10),
    }
}

fn meter(flags: u8, data: &[u8], out: &mut Decoded) -> Option<()> {
    let (per_minute, total, unit) = (data.u16_le(0)?, data.u32_le(2)?, data.u16_le(6)?);
    battery(data.u8(8)? >> 4, out);
    out.say(Name::BatteryLow, bit(flags, 2));
    // Impulses per kWh or m³.
    let constant = f64::from(match (unit & 0x3FFF, unit >> 14) {
        (0, 0) => 100,
        (0, 1) => 1000,
        (0, _) => 1,
        (constant, _) => constant,
    });
    out.other("avg", rounded(f64::from(per_minute) * 60.0 / constant, 6));
    out.other("sum", rounded(f64::from(total) / constant, 6));
    Some(())
}

fn care(device: u8, data: &[u8], out: &mut Decoded) -> Option<()> {
    let (groups, position) = (data.u16_le(0)?, data.u16_le(4)?);
    let (temperature, humidity) = (data.u16_le(6)?, data.u16_le(8)?);
    let raw = f64::from(temperature);
    let celsius = match device {
        0x91 | 0x94..=0x96 => clamped(if temperature > 127 { raw - 8192.0 } else { raw }),
        0x92 | 0x9A => {
            let sixteenths = i32::from(temperature & 0x0FFF) - if temperature & 0x1000 != 0 { 4096 } else { 0 };
            clamped(f64::from(sixteenths) / 16.0)
        }
        0x93 | 0x9B | 0x9D => clamped(175.72 * raw * 4.0 / 65_536.0 - 46.85),
        _ => 42.5 + f64::from(temperature as i16) / 480.0,
    };
    out.say(Name::TemperatureC, rounded(celsius, 2));
    if matches!(device, 0x93 | 0x9B | 0x9D) {
        let percent = 125.0 * f64::from(humidity) * 4.0 / 65_536.0 - 6.0;
        out.say(Name::HumidityPercent, rounded(percent.clamp(1.0, 100.0), 2));
    }
    if matches!(device, 0x9C | 0x9D) {
        out.say(Name::PressureHpa, f64::from(position) / 16.0);
    }
    if matches!(device, 0x91..=0x96) {
        out.say(Name::Motion, position & 0x8000 != 0);
    }
    battery((groups >> 12) as u8, out);
    Some(())
}

fn clamped(celsius: f64) -> f64 {
    celsius.clamp(RANGE.0, RANGE.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn an_energy_meter_tells_its_battery_and_counts() {
        check(
            decode,
            &[
                ("m8290:6300f0cf0000c409820080", "battery_percent=70 battery_low=false avg=2.376 sum=21.2928"),
                ("m8296:dd0061b80000c4193b0080", "battery_percent=20 battery_low=true"),
                ("m8290:0400cfe40000dc05b0ed10", "battery_percent=100"),
            ],
        );
    }

    #[test]
    fn care_sensors_measure_what_their_type_does() {
        check(
            decode,
            &[
                (
                    "m9192:01b000001700a81900000400f4bbce6e77a00b97d1b5",
                    "temperature_c=-30.0 motion=false battery_percent=100 !humidity_percent",
                ),
                (
                    "m9b90:01a0000000007f14b9298e61af6cde99ef797870ee41",
                    "temperature_c=9.42 humidity_percent=75.49 battery_percent=90 !motion",
                ),
                ("m9b90:01a0", "none"),
            ],
        );
    }
}
