//! SwitchBot sensors of doors and rooms, and what else of theirs measures.

use super::Parts;
use crate::source::ble::decode::bytes::{Bytes, bit};
use crate::source::ble::decode::{Decoded, Name};

/// Contact sensor. "Open too long" is open, although the open bit is clear then.
///
/// ```text
/// mfr (>= 13) [7] bit 7 motion, 6 light, 5 open too long, 4 open   [12] bits 3-0 button count
/// service (9) [1] bit 7 tested, 6 motion  [2] battery  [3] bits 2-1: 0 closed, 1 open, 2 open too long; 0 light  [8] button
/// ```
pub fn contact(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let (motion, open, too_long, light, buttons) = match (parts.mfr.u8(7), parts.mfr.u8(12)) {
        (Some(state), Some(buttons)) => (bit(state, 7), bit(state, 4), bit(state, 5), bit(state, 6), buttons),
        _ => {
            let [flags, _, hall, _, _, _, _, buttons] = parts.service.array(1)?;
            (bit(flags, 6), bit(hall, 1), bit(hall, 2), bit(hall, 0), buttons)
        }
    };
    parts.service_battery(out);
    out.say(Name::DoorOpen, open || too_long);
    out.say(Name::OpeningKind, "contact");
    out.say(Name::DoorLeftOpen, too_long);
    out.say(Name::Motion, motion);
    out.say(Name::LightDetected, light);
    out.other("button_count", buttons & 15);
    if let Some(flags) = parts.service.u8(1) {
        out.other("tested", bit(flags, 7));
    }
    Some(())
}

/// Motion sensor: `mfr [7]` bit 6 motion, 5 light. `service (6) [1]` bit 7 tested, 6 motion; `[2]` battery;
/// `[5]` bit 5 led, 4 iot, 3-2 distance, 1-0 light: 1 dark, 2 bright.
pub fn motion(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let from_service = parts.service.array(1).map(|[flags, _, _, _, light]: [u8; 5]| (flags, light));
    if let Some((flags, light)) = from_service {
        parts.service_battery(out);
        out.other("tested", bit(flags, 7));
        out.other("led", light >> 5 & 1);
        out.other("iot", light >> 4 & 1);
        out.other("sense_distance", light >> 2 & 3);
        out.other("light_intensity", light & 3);
    }
    let (motion, light) = match (parts.mfr.u8(7), from_service) {
        (Some(state), _) => (bit(state, 6), bit(state, 5)),
        (None, Some((flags, light))) => (bit(flags, 6), bit(light, 1)),
        (None, None) => return None,
    };
    out.say(Name::Motion, motion);
    out.say(Name::LightDetected, light);
    Some(())
}

/// Presence sensor: `mfr [7]` bit 7 adaptive, 6 motion, 3-2 battery band; `[8..10]` BE seconds; `[11]` bit 7 led, 4-0 light.
pub fn presence(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [state, high, low, trigger, light] = parts.mfr.array(7)?;
    parts.sequence(out);
    parts.service_battery(out);
    out.say(Name::BatteryRange, ["<10%", "10-19%", "20-59%", ">=60%"][usize::from(state >> 2 & 3)]);
    out.say(Name::Motion, bit(state, 6));
    out.other("adaptive_state", bit(state, 7));
    out.other("duration", u16::from_be_bytes([high, low]));
    out.other("trigger_flag", trigger);
    out.other("led_state", bit(light, 7));
    out.other("lightLevel", light & 0x1F);
    Some(())
}

/// Water leak detector: `mfr [7]` bit 7 battery low, 6-0 battery %; `[8]` bit 0 leak, 1 tampered.
pub fn leak(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [battery, events] = parts.mfr.array(7)?;
    out.say(Name::WaterLeak, bit(events, 0));
    out.say(Name::Tamper, bit(events, 1));
    out.battery(battery & 0x7F);
    out.say(Name::BatteryLow, bit(battery, 7));
    Some(())
}

/// Garage door opener: `mfr [7]` bit 7 relay on, 5 closed.
pub fn garage(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let state = parts.mfr.u8(7)?;
    parts.sequence(out);
    out.say(Name::DoorOpen, !bit(state, 5));
    out.say(Name::OpeningKind, "door");
    out.other("isOn", bit(state, 7));
    Some(())
}

/// Temperature and humidity as most models pack it: `[0]` bits 3-0 tenths; `[1]` bit 7 above zero, 6-0 degrees; `[2]` bit 7
/// display in Fahrenheit, 6-0 humidity %. All zero is a sensor that has not measured yet.
fn climate([tenths, degrees, humidity]: [u8; 3], out: &mut Decoded) {
    let (celsius, percent) = (celsius(tenths & 15, degrees), humidity & 0x7F);
    if celsius == 0.0 && percent == 0 {
        return;
    }
    out.say(Name::TemperatureC, celsius);
    if percent <= 100 {
        out.say(Name::HumidityPercent, percent);
    }
    out.other("fahrenheit", bit(humidity, 7));
}

/// Sign and magnitude: the set bit 7 is above zero.
fn celsius(tenths: u8, degrees: u8) -> f64 {
    let magnitude = (f64::from(degrees & 0x7F) * 10.0 + f64::from(tenths)) / 10.0;
    if bit(degrees, 7) { magnitude } else { -magnitude }
}

/// Meters: `mfr [8..11]` climate, else `service [3..6]`; with CO2 `mfr [13..15]` BE ppm.
pub fn meter(parts: Parts<'_>, co2: bool, out: &mut Decoded) -> Option<()> {
    /// The vendor's range; above it are artefacts of a sensor that warms up.
    const CO2_MAX: u16 = 9999;
    climate(parts.mfr.array(8).or_else(|| parts.service.array(3))?, out);
    if out.says.is_empty() {
        return Some(());
    }
    parts.service_battery(out);
    if let Some(ppm) = parts.mfr.u16_be(13).filter(|&ppm| co2 && ppm <= CO2_MAX) {
        out.say(Name::Co2Ppm, ppm);
    }
    Some(())
}

/// Weather station: `mfr [7]` bit 7 charging, 6-0 battery %; `[8..11]` climate, as in the meters.
pub fn weather_station(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let from_mfr = parts.mfr.array::<4>(7);
    climate(from_mfr.map(|[_, a, b, c]| [a, b, c]).or_else(|| parts.service.array(3))?, out);
    if out.says.is_empty() {
        return Some(());
    }
    match from_mfr {
        Some([power, ..]) => out.battery(power & 0x7F),
        None => parts.service_battery(out),
    }
    Some(())
}

/// Hub 2 and Hub Mini Matter: `mfr [13..16]` climate; Hub 2: `[12]` bits 4-0 light level.
pub fn hub(parts: Parts<'_>, light: bool, out: &mut Decoded) -> Option<()> {
    climate(parts.mfr.array(13)?, out);
    if light && !out.says.is_empty() {
        out.other("lightLevel", parts.mfr.u8(12)? & 0x1F);
    }
    Some(())
}

/// Hub 3: `mfr [12]` bits 7-6 network, 5 sensor absent, 3-0 light; `[13..16]` climate, the upper bits of `[13]` alarms;
/// `[16]` bit 7 motion.
pub fn hub3(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [network, tenths, degrees, humidity, motion] = parts.mfr.array(12)?;
    parts.sequence(out);
    out.say(Name::TemperatureC, celsius(tenths & 15, degrees));
    if humidity & 0x7F <= 100 {
        out.say(Name::HumidityPercent, humidity & 0x7F);
    }
    out.say(Name::Motion, bit(motion, 7));
    out.other("network_state", network >> 6);
    out.other("sensor_inserted", !bit(network, 5));
    out.other("lightLevel", network & 15);
    out.other("temperature_alarm", tenths & 0xC0 != 0);
    out.other("humidity_alarm", tenths & 0x30 != 0);
    Some(())
}

/// Climate panel: `mfr [7]` bit 7 on, 6-0 battery %; `[8..11]` climate; `[15]` bit 7 motion, 2-1 light: 2 bright.
pub fn climate_panel(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [power, tenths, degrees, humidity, _, _, _, _, room] = parts.mfr.array(7)?;
    parts.sequence(out);
    out.battery(power & 0x7F);
    out.say(Name::TemperatureC, celsius(tenths & 15, degrees));
    if humidity & 0x7F <= 100 {
        out.say(Name::HumidityPercent, humidity & 0x7F);
    }
    out.say(Name::Motion, bit(room, 7));
    out.say(Name::LightDetected, room >> 1 & 3 == 2);
    out.other("isOn", bit(power, 7));
    Some(())
}

/// Radiator thermostat: `mfr [7]` bit 7 on, 6-0 battery %; `[8]` bits 7-4 tenths of the target, 3-0 of the room; `[9]` room,
/// `[10]` target degrees; `[12]` bit 0 window open, 3-1 fault.
pub fn radiator(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [power, tenths, room, target, _, flags] = parts.mfr.array(7)?;
    parts.sequence(out);
    out.battery(power & 0x7F);
    out.say(Name::TemperatureC, celsius(tenths & 15, room));
    // It infers an open window from a fall in temperature.
    out.say(Name::DoorOpen, bit(flags, 0));
    out.say(Name::OpeningKind, "door");
    out.other("target_temperature", celsius(tenths >> 4, target));
    out.other("fault_code", flags >> 1 & 7);
    out.other("isOn", bit(power, 7));
    Some(())
}

/// Evaporative humidifier (mfr >= 17): `[7]` bit 7 on; `[9]` bit 7 meter bound, 6-0 humidity %; `[10]` bit 7 above zero, 6-0
/// degrees; `[11]` bits 7-4 tenths, 1-0 water level. Without a bound meter it measures nothing.
pub fn humidifier(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [state, flags, humidity, degrees, tenths, _, _, _, _, _] = parts.mfr.array(7)?;
    parts.sequence(out);
    if bit(humidity, 7) && humidity & 0x7F <= 100 {
        out.say(Name::HumidityPercent, humidity & 0x7F);
        out.say(Name::TemperatureC, celsius(tenths >> 4, degrees));
    }
    out.other("isOn", bit(state, 7));
    out.other("tank_removed", bit(flags, 2));
    Some(())
}
