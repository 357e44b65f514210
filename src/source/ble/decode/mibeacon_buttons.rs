//! MiBeacon objects of buttons, remotes, dimmers and cubes: what a code means hangs on the product (xiaomi-ble, ble_monitor).
//!
//! ```text
//! 0x1001 (3): button | value | press
//! 0x4A0C-E, 0x4E0C-E, 0x560C-E (0 or 1): single, double, long press; the byte is the button
//! ```

use super::{Decoded, Name, Value};

/// 0x1001.
pub fn button(data: &[u8], model: &str, out: &mut Decoded) {
    let &[button, value, press] = data else { return };
    // Wall switches of the K9B kind number long and double the other way round.
    let switch = match press {
        0 => "press",
        1 => "long_press",
        2 => "double_press",
        _ => "",
    };
    match model {
        "RTCGQ02LM" | "YLAI003" | "JTYJGD03MI" | "SJWS01LM" => out.says_press("button", press_of(press)),
        "XMMF01JQD" => match button {
            0 => out.event("cube", "rotate_right"),
            1 => out.event("cube", "rotate_left"),
            _ => {}
        },
        "YLYK01YL" => {
            if button <= 1 {
                out.say(Name::PowerOn, button == 0);
            }
            let names = ["button_on", "button_off", "button_brightness", "button_plus", "button_M", "button_min"];
            named(&names, button, press, out);
        }
        "YLYK01YL-FANCL" | "YLYK01YL-FANRC" => {
            let names = [
                "button_fan",
                "button_light",
                "button_wind_speed",
                "button_color_temperature",
                "button_wind_mode",
                "button_brightness",
            ];
            named(&names, button, press, out);
        }
        "YLYK01YL-VENFAN" => {
            let names = [
                "button_swing",
                "button_power",
                "button_timer_60_minutes",
                "button_increase_wind_speed",
                "button_timer_30_minutes",
                "button_decrease_wind_speed",
            ];
            named(&names, button, press, out);
        }
        "YLYB01YL-BHFRC" => {
            let names = [
                "button_stop",
                "button_air_exchange",
                "button_fan",
                "button_increase_speed",
                "button_decrease_speed",
                "button_dry",
                "button_light",
                "button_swing",
                "button_heat",
            ];
            named(&names, button, press, out);
        }
        "YLKG07YL/YLKG08YL" => dimmer(button, value, press, out),
        "K9B-1BTN" if button == 0 => out.says_press("button", switch),
        "K9B-2BTN" => sides(&["button_left", "button_right"], &[1, 2, 3], button, switch, out),
        "K9B-3BTN" => {
            sides(&["button_left", "button_middle", "button_right"], &[1, 2, 4, 3, 6, 5, 7], button, switch, out);
        }
        _ => {}
    }
}

fn press_of(press: u8) -> &'static str {
    match press {
        0 | 5 => "press",
        1 => "double_press",
        2 | 6 => "long_press",
        _ => "",
    }
}

fn named(names: &[&'static str], button: u8, press: u8, out: &mut Decoded) {
    if let Some(name) = names.get(usize::from(button)) {
        out.says_press(name, press_of(press));
    }
}

/// `masks` says which of the buttons a code stands for.
fn sides(names: &[&'static str], masks: &[u8], button: u8, press: &'static str, out: &mut Decoded) {
    let Some(mask) = masks.get(usize::from(button)) else { return };
    for (n, name) in names.iter().enumerate() {
        if mask >> n & 1 != 0 {
            out.says_press(name, press);
        }
    }
}

/// A dimmer puts presses, seconds or steps where others have the button.
fn dimmer(button: u8, value: u8, press: u8, out: &mut Decoded) {
    let (what, property, count) = match (press, button) {
        (3, 0) => ("press", "number_of_presses", value),
        (3, 1) => ("long_press", "duration", value),
        (4, 0) if value <= 127 => ("rotate_right", "steps", value),
        (4, 0) => ("rotate_left", "steps", value.wrapping_neg()),
        (4, 1..=127) => ("rotate_right_pressed", "steps", button),
        (4, _) => ("rotate_left_pressed", "steps", button.wrapping_neg()),
        _ => return,
    };
    out.say(Name::Event("dimmer"), Value::from([("event", what.into()), (property, count.into())]));
}

/// 0x4A0C, 0x4A0D, 0x4A0E and their likes; `press` is what the object's type says.
pub fn pressed(data: &[u8], model: &str, press: &'static str, out: &mut Decoded) {
    const BOTH: [&str; 2] = ["button_left", "button_right"];
    const FOUR: [&str; 4] = ["button_left", "button_mid_left", "button_mid_right", "button_right"];
    let code = data.first().copied();
    let nth = |names: &[&'static str], n: u8| names.get(usize::from(n)).copied();
    match (model, code) {
        ("XMWS01XS", Some(n)) => {
            if let Some(name) = nth(&BOTH, n) {
                out.event(name, press);
            }
        }
        ("XMWXKG01YL", Some(n @ 1..=3)) => sides(&BOTH, &[0, 1, 2, 3], n, press, out),
        ("K9BB-1BTN", Some(1)) => out.event("button", "press"),
        ("K9BB-1BTN", Some(8)) => out.event("button", "long_press"),
        ("K9BB-1BTN", Some(15)) => out.event("button", "double_press"),
        ("KS1" | "KS1BP" | "PTX-F1-Display", Some(n @ 1..=4)) => {
            if let Some(name) = nth(&FOUR, n - 1) {
                out.event(name, press);
            }
        }
        ("XMWS01XS" | "XMWXKG01YL" | "K9BB-1BTN" | "KS1" | "KS1BP" | "PTX-F1-Display", _) => {}
        _ => out.event("button", press),
    }
}

impl Decoded {
    fn says_press(&mut self, button: &'static str, press: &'static str) {
        if !press.is_empty() {
            self.event(button, press);
        }
    }
}
