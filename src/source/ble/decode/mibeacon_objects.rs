//! MiBeacon objects by type (iot.mi.com, object definitions; home.miot-spec.com for the types from 0x4800 on, which are
//! products' own; xiaomi-ble and ble_monitor for what devices send). Numbers are little-endian.

use super::mibeacon_buttons as buttons;
use super::mibeacon_lock as lock;
use super::{Decoded, Name, Value};

/// How much a frame is to be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Full,
    /// Decrypted without a tag: a wrong key could have made it up, so nothing of locks and doors is taken from it.
    Hint,
}

/// Motion that is no longer ago is motion now (what the vendor's own app shows).
const STILL_MOTION_S: u32 = 30;

/// Says what an object says; nothing where its type or form is unknown.
pub fn say(kind: u16, data: &[u8], model: &'static str, trust: Trust, out: &mut Decoded) {
    match kind {
        0x0006 | 0x0007 | 0x0008 | 0x000B | 0x100E | 0x100F | 0x1019 | 0x4804 | 0x480C | 0x4A0F | 0x4A12 | 0x4A1A => {
            if trust == Trust::Full {
                door_or_lock(kind, data, model, out);
            }
        }
        0x4A0C | 0x4E0C => buttons::pressed(data, model, "press", out),
        0x4A0D | 0x4E0D => buttons::pressed(data, model, "double_press", out),
        0x4A0E | 0x4E0E => buttons::pressed(data, model, "long_press", out),
        0x560C..=0x560E if matches!(model, "KS1" | "KS1BP" | "KS2BB") => {
            let press = ["press", "double_press", "long_press"][usize::from(kind - 0x560C)];
            buttons::pressed(data, model, press, out);
        }
        _ if data.is_empty() => {}
        0x0003..=0x3FFF => standard(kind, data, model, out),
        _ => of_a_product(kind, data, model, out),
    }
}

fn door_or_lock(kind: u16, data: &[u8], model: &str, out: &mut Decoded) {
    match (kind, data) {
        (0x0006, _) => lock::fingerprint(data, out),
        (0x0007, _) => lock::door(data, out),
        (0x0008, _) => lock::armed(data, model, out),
        (0x000B, _) => lock::event(data, out),
        (0x100E, _) => lock::attribute(data, model, out),
        (0x1019, _) => lock::contact(data, out),
        (0x100F, [state @ 0..=1, ..]) => lock::opening(out, *state == 1, "door"),
        (0x4804 | 0x4A12, [1, ..]) => lock::opening(out, true, "opening"),
        (0x4804 | 0x4A12, [2, ..]) => {
            lock::opening(out, false, "opening");
            out.say(Name::DoorLeftOpen, false);
            out.say(Name::Tamper, false);
        }
        (0x480C, &[state @ 0..=1]) => lock::opening(out, state == 0, "opening"),
        // Torn off: its magnet is far, and it says so.
        (0x4A0F, [1, ..]) => {
            lock::opening(out, true, "opening");
            out.say(Name::Tamper, true);
        }
        (0x4A1A, [1, ..]) => {
            lock::opening(out, true, "opening");
            out.say(Name::DoorLeftOpen, true);
        }
        _ => {}
    }
}

/// Types of the standard. `data` is not empty.
fn standard(kind: u16, data: &[u8], model: &str, out: &mut Decoded) {
    let first = data[0];
    match kind {
        0x0003 => {
            out.say(Name::Motion, true);
            out.event("motion", "motion_detected");
        }
        0x000A => {
            if let Some(t) = int16(data).filter(|t| *t != 0) {
                out.say(Name::TemperatureC, f64::from(t) / 100.0);
            }
        }
        0x000F => motion_with_light(data, model, out),
        0x0010 => toothbrush(first == 0, data.get(1).copied(), out),
        0x1001 => buttons::button(data, model, out),
        0x1004 => temperature(int16(data), out),
        0x1005 => {
            if let &[on, degrees] = data {
                out.say(Name::PowerOn, on != 0);
                out.say(Name::TemperatureC, degrees);
            }
        }
        0x1006 => humidity(uint16(data), model, out),
        0x1007 => illuminance(data, model, out),
        0x1008 => out.other("moisture", first),
        0x1009 => {
            if let Some(conductivity) = uint16(data) {
                out.other("conductivity", conductivity);
            }
        }
        0x100A => out.battery(first),
        0x100D => {
            if let Some((t, h)) = data.split_at_checked(2).filter(|_| data.len() == 4) {
                temperature(int16(t), out);
                humidity(uint16(h), "", out);
            }
        }
        0x1010 => {
            if let Some(formaldehyde) = uint16(data) {
                out.other("formaldehyde", f64::from(formaldehyde) / 100.0);
            }
        }
        0x1012 => out.say(Name::PowerOn, first != 0),
        0x1013 => out.other("consumable", first),
        0x1014 => out.say(Name::WaterLeak, first > 0),
        0x1015 => out.say(Name::Smoke, first > 0),
        0x1017 => {
            if let Some(idle) = uint32(data) {
                out.say(Name::Motion, idle <= STILL_MOTION_S);
            }
        }
        0x1018 => out.say(Name::LightDetected, first != 0),
        0x101B => out.say(Name::Motion, false),
        0x2000 => body_temperature(data, out),
        0x3003 => brushing(data, out),
        _ => {}
    }
}

/// Types that products define for themselves. `data` is not empty.
fn of_a_product(kind: u16, data: &[u8], model: &str, out: &mut Decoded) {
    let first = data[0];
    match kind {
        0x4801 => measured(Name::TemperatureC, float(data), 10.0, out),
        0x4802 | 0x4C02 | 0x6012 => percent(Name::HumidityPercent, data, out),
        0x4803 | 0x4C03 | 0x5003 | 0x5403 => out.battery(first),
        0x4805 => measured(Name::IlluminanceLux, float(data), 1000.0, out),
        0x4806 if model == "SJWS02LM" => out.other("bottom_submersion", first > 0),
        0x4806 => out.say(Name::WaterLeak, first > 0),
        0x4808 => measured(Name::HumidityPercent, float(data), 10.0, out),
        0x4C01 => measured(Name::TemperatureC, float(data), 100.0, out),
        0x4C08 => measured(Name::HumidityPercent, float(data), 100.0, out),
        0x605D => {
            if let &[degrees] = data {
                out.say(Name::TemperatureC, degrees);
            }
        }
        0x4810 | 0x5010 if first <= 1 => out.other("sleeping", first == 1),
        // The bed's sensor has a button, too, and tells of it here.
        0x4810 | 0x5010 if first == 2 => out.event("button", "double_press"),
        0x4811 | 0x5011 => out.other("snoring", first != 0),
        0x4818 => {
            if let Some(idle) = uint16(data) {
                out.say(Name::Motion, u32::from(idle) <= STILL_MOTION_S);
            }
        }
        0x483C => out.say(Name::Occupancy, first > 0),
        0x483D => seconds("pressure_present_duration", data, out),
        0x483E => seconds("pressure_not_present_duration", data, out),
        0x483F => seconds("pressure_present_time_set", data, out),
        0x4840 => seconds("pressure_not_present_time_set", data, out),
        // 2 is "nobody" on the one that has it.
        0x484E if model == "XMOSB01XS" => out.say(Name::Occupancy, first == 1),
        0x484E => out.say(Name::Occupancy, first > 0),
        0x4851 => out.other("duration_detected", first),
        0x4852 => out.other("duration_cleared", first),
        0x487B if model == "SJWS02LM" => out.other("top_splash", first > 0),
        0x4A01 | 0x4E01 | 0x5601 => out.say(Name::BatteryLow, first != 0),
        0x4A08 => {
            out.say(Name::Motion, true);
            measured(Name::IlluminanceLux, float(data), 1000.0, out);
        }
        0x4A13 if first == 1 => out.event("button", "press"),
        0x4A68 if model == "SJWS02LM" => match first {
            0 | 1 => out.other("bottom_submersion", first == 0),
            2 | 3 => out.other("top_splash", first == 2),
            _ => {}
        },
        0x4C14 | 0x5414 => out.other("mode", first),
        0x4A1C | 0x4E1C => out.other("device_reset", true),
        0x4E16 if data.len() == 9 => weight(data, out),
        0x4E16 | 0x4E17 if data.len() == 1 && first == 1 => out.other("bed_occupancy", kind == 0x4E16),
        0x5413 if model == "ES5BB" => out.other("occupancy_close_range", first > 0),
        0x5422 => {
            let state = match first {
                0 => "Charging",
                1 => "Not Charging",
                2 => "Full",
                _ => "Unknown",
            };
            out.other("charging_state", state);
        }
        0x5810 => out.other("asleep", first == 0),
        0x5A16 if matches!(first, 1 | 2) => out.other("bed_occupancy", first == 1),
        0x5A16 if first == 3 => out.event("button", "double_press"),
        0x6461 => out.other("wearing", first == 0),
        0x6E16 => body_composition(data, out),
        _ => {}
    }
}

fn motion_with_light(data: &[u8], model: &str, out: &mut Decoded) {
    let Some(light) = uint24(data) else { return };
    out.say(Name::Motion, true);
    match model {
        // 1 or 0 in the dark, 100 or 256 in the light.
        "MJYD02YL" | "RTCGQ02LM" => out.say(Name::LightDetected, light >= 100),
        "CGPR1" => out.say(Name::IlluminanceLux, light),
        _ => {}
    }
}

fn illuminance(data: &[u8], model: &str, out: &mut Decoded) {
    let Some(light) = uint24(data) else { return };
    match model {
        "MJYD02YL" | "MCCGQ02HL" => out.say(Name::LightDetected, light == 100),
        _ => out.say(Name::IlluminanceLux, light),
    }
}

fn temperature(tenths: Option<i16>, out: &mut Decoded) {
    if let Some(tenths) = tenths {
        out.say(Name::TemperatureC, f64::from(tenths) / 10.0);
    }
}

fn humidity(tenths: Option<u16>, model: &str, out: &mut Decoded) {
    match (tenths, model) {
        // They make up the tenths, in steps that go up and down.
        (Some(tenths), "LYWSD03MMC" | "MHO-C401") => out.say(Name::HumidityPercent, tenths / 10),
        (Some(tenths), _) => out.say(Name::HumidityPercent, f64::from(tenths) / 10.0),
        (None, _) => {}
    }
}

/// A forehead thermometer sends two temperatures in hundredths and its battery; the body's is an approximation of what the
/// vendor's app shows between 36.5 and 37.8 degrees.
#[expect(clippy::approx_constant, reason = "a coefficient of the fit, not a logarithm")]
fn body_temperature(data: &[u8], out: &mut Decoded) {
    let &[a, b, c, d, battery] = data else { return };
    let skin = f64::from(i16::from_le_bytes([a, b])) / 100.0;
    let case = f64::from(i16::from_le_bytes([c, d])) / 100.0;
    let body = 3.71934e-11 * (0.69314 * skin).exp() - 1.02801e-8 * (0.53871 * case).exp() + 36.413;
    measured(Name::TemperatureC, Some(body), 1e6, out);
    out.battery(battery);
}

fn toothbrush(on: bool, number: Option<u8>, out: &mut Decoded) {
    out.other("toothbrush", on);
    if let Some(number) = number {
        out.other(if on { "counter" } else { "score" }, number);
    }
}

fn brushing(data: &[u8], out: &mut Decoded) {
    let [what @ 0..=1, rest @ ..] = data else { return };
    out.other("toothbrush", *what == 0);
    if let Some(time) = rest.get(..4).and_then(uint32) {
        out.other(if *what == 0 { "start time" } else { "end time" }, Value::Time(i64::from(time)));
    }
    if let &[_, _, _, _, score] = rest {
        out.other("score", score);
    }
}

fn weight(data: &[u8], out: &mut Decoded) {
    if let Some(hundredths) = data.get(1..5).and_then(uint32).filter(|w| *w != 0) {
        out.other("mass", f64::from(hundredths) / 100.0);
        out.other("profile_id", data[0]);
    }
}

/// Scale S400: weight in tenths (11 bits), pulse above 50 (7 bits), impedance in tenths (14 bits).
fn body_composition(data: &[u8], out: &mut Decoded) {
    let Some(bits) = data.get(1..5).and_then(uint32).filter(|_| data.len() == 9) else { return };
    let (mass, pulse, impedance) = (bits & 0x7FF, bits >> 11 & 0x7F, bits >> 18);
    out.other("profile_id", data[0]);
    if mass != 0 {
        out.other("mass", f64::from(mass) / 10.0);
    }
    if (1..127).contains(&pulse) {
        out.other("heart_rate", pulse + 50);
    }
    let stabilized = match (bits, mass, pulse, impedance) {
        (0, ..) => false,
        (_, 0, 0, _) => {
            out.other("impedance_high", f64::from(impedance) / 10.0);
            true
        }
        (_, _, _, 0) => true,
        _ => {
            out.other("impedance_low", f64::from(impedance) / 10.0);
            false
        }
    };
    out.other("stabilized", stabilized);
}

/// A number rounded to what it is worth (`steps` to the unit); never an infinity.
fn measured(name: Name, value: Option<f64>, steps: f64, out: &mut Decoded) {
    if let Some(value) = value.filter(|v| v.is_finite()) {
        out.say(name, (value * steps).round() / steps);
    }
}

fn percent(name: Name, data: &[u8], out: &mut Decoded) {
    if let &[percent @ 0..=100] = data {
        out.say(name, percent);
    }
}

fn seconds(name: &'static str, data: &[u8], out: &mut Decoded) {
    if let Some(seconds) = uint32(data) {
        out.other(name, seconds);
    }
}

fn int16(data: &[u8]) -> Option<i16> {
    data.try_into().ok().map(i16::from_le_bytes)
}

fn uint16(data: &[u8]) -> Option<u16> {
    data.try_into().ok().map(u16::from_le_bytes)
}

fn uint24(data: &[u8]) -> Option<u32> {
    let &[a, b, c] = data else { return None };
    Some(u32::from_le_bytes([a, b, c, 0]))
}

fn uint32(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_le_bytes)
}

fn float(data: &[u8]) -> Option<f64> {
    data.try_into().ok().map(f32::from_le_bytes).map(f64::from)
}
