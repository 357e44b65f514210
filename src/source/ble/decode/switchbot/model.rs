//! Which SwitchBot model an advert is of, and the layout it uses.

use super::appliance::{Appliance, Battery};

/// How a model's bytes are laid out. The functions of the same names have the layouts.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// `calibration_counts`: the vendor's rule that the status is invalid before calibration. The models of the Vision and
    /// WiFi generation leave the bit clear while they tell a sound state (decision 0202).
    Lock {
        door_sensor: bool,
        calibration_counts: bool,
    },
    LockPro {
        extra: LockProExtra,
        calibration_counts: bool,
    },
    Keypad,
    KeypadVision {
        radar: bool,
    },
    Contact,
    Motion,
    Presence,
    Leak,
    Garage,
    Meter {
        co2: bool,
    },
    Hub {
        light: bool,
    },
    Hub3,
    WeatherStation,
    ClimatePanel,
    Radiator,
    Humidifier,
    HumidifierFirst,
    Curtain,
    Blind,
    Appliance(Appliance),
}

/// What the low bits of the alarm byte mean.
#[derive(Clone, Copy, Debug)]
pub enum LockProExtra {
    Compartments,
    PowerAlarm,
}

#[derive(Debug)]
pub struct Model {
    pub name: &'static str,
    /// Type letters, normal and pairing mode; empty for newer models.
    letters: &'static [u8],
    /// The last three of the four device type bytes of newer models; the first is 0 or 1.
    device_type: Option<[u8; 3]>,
    pub layout: Layout,
}

const fn letters(name: &'static str, letters: &'static [u8], layout: Layout) -> Model {
    Model { name, letters, device_type: None, layout }
}

const fn newer(name: &'static str, device_type: [u8; 3], layout: Layout) -> Model {
    Model { name, letters: &[], device_type: Some(device_type), layout }
}

const fn appliance(min: usize, battery: Battery) -> Layout {
    Layout::Appliance(Appliance { min, battery, on: None })
}

const fn switch(min: usize, battery: Battery, byte: usize) -> Layout {
    Layout::Appliance(Appliance { min, battery, on: Some(byte) })
}

const VACUUM: Layout = appliance(14, Battery::Mfr { byte: 12, charging: false });
const VACUUM_K: Layout = appliance(9, Battery::Mfr { byte: 8, charging: false });
const LIGHT: Layout = switch(9, Battery::None, 7);
/// With a colour temperature after it, at one place or another.
const LIGHT_WHITE: Layout = switch(12, Battery::None, 7);
const LIGHT_WHITE_LATE: Layout = switch(18, Battery::None, 7);
const RELAY: Layout = switch(8, Battery::None, 7);
const PURIFIER: Layout = switch(14, Battery::None, 7);

const MODELS: &[Model] = &[
    letters("lock", b"oO", Layout::Lock { door_sensor: true, calibration_counts: true }),
    letters("lock_lite", b"-\x0D", Layout::Lock { door_sensor: false, calibration_counts: true }),
    letters("lock_pro", b"$\x04", Layout::LockPro { extra: LockProExtra::Compartments, calibration_counts: true }),
    newer(
        "lock_pro_wifi",
        [0x10, 0xFF, 0x90],
        Layout::LockPro { extra: LockProExtra::Compartments, calibration_counts: false },
    ),
    newer(
        "lock_ultra",
        [0x10, 0xA5, 0xB8],
        Layout::LockPro { extra: LockProExtra::PowerAlarm, calibration_counts: true },
    ),
    newer(
        "lock_ultra_max",
        [0x11, 0x9F, 0xB8],
        Layout::LockPro { extra: LockProExtra::PowerAlarm, calibration_counts: false },
    ),
    newer("lock_vision", [0x11, 0x69, 0x08], Layout::Lock { door_sensor: false, calibration_counts: false }),
    newer(
        "lock_vision_pro",
        [0x11, 0x69, 0x09],
        Layout::LockPro { extra: LockProExtra::PowerAlarm, calibration_counts: false },
    ),
    letters("keypad", b"yY", Layout::Keypad),
    newer("keypad_vision", [0x11, 0x03, 0x78], Layout::KeypadVision { radar: false }),
    newer("keypad_vision_pro", [0x11, 0x51, 0x98], Layout::KeypadVision { radar: true }),
    letters("contact", b"dD", Layout::Contact),
    letters("motion", b"sS", Layout::Motion),
    newer("presence", [0x10, 0xCC, 0xC8], Layout::Presence),
    letters("leak", b"&\x06", Layout::Leak),
    letters("garage_door", b">\x1E", Layout::Garage),
    letters("meter", b"tT", Layout::Meter { co2: false }),
    letters("meter_plus", b"iI", Layout::Meter { co2: false }),
    letters("meter_outdoor", b"wW", Layout::Meter { co2: false }),
    letters("meter_pro", b"4\x14", Layout::Meter { co2: false }),
    letters("meter_pro_co2", b"5\x15", Layout::Meter { co2: true }),
    newer("weather_station", [0x10, 0x53, 0xB0], Layout::WeatherStation),
    letters("hub_2", b"vV", Layout::Hub { light: true }),
    letters("hub_mini_matter", b"%\x05", Layout::Hub { light: false }),
    newer("hub_3", [0x10, 0xB9, 0x40], Layout::Hub3),
    newer("climate_panel", [0x10, 0xF3, 0xD8], Layout::ClimatePanel),
    newer("radiator", [0x11, 0x36, 0x40], Layout::Radiator),
    letters("humidifier_evaporative", b"#\x03", Layout::Humidifier),
    letters("humidifier", b"eE", Layout::HumidifierFirst),
    letters("bot", b"H", appliance(0, Battery::Service)),
    letters("remote", b"bB", appliance(0, Battery::Service)),
    letters("universal_remote", b"'\x07", appliance(8, Battery::Mfr { byte: 7, charging: true })),
    letters("curtain", b"cC", Layout::Curtain),
    letters("curtain_3", b"{[", Layout::Curtain),
    letters("blind_tilt", b"xX", Layout::Blind),
    letters("roller_shade", b",\x0C", Layout::Blind),
    letters("circulator_fan", b"~^", switch(10, Battery::Mfr { byte: 8, charging: false }, 7)),
    newer("circulator_fan_pro", [0x11, 0xB3, 0x40], switch(10, Battery::Mfr { byte: 7, charging: true }, 8)),
    newer("standing_fan", [0x11, 0x07, 0x60], switch(10, Battery::Mfr { byte: 8, charging: true }, 7)),
    newer("art_frame", [0x11, 0x3E, 0x10], appliance(10, Battery::Mfr { byte: 7, charging: true })),
    letters("vacuum_k20", b".\x0F", VACUUM),
    letters("vacuum_s10", b"zZ", VACUUM),
    letters("vacuum_k10_pro_combo", b"3\x13", VACUUM),
    newer("vacuum_k11", [0x10, 0xFB, 0xA8], VACUUM),
    newer("vacuum_s20", [0x10, 0xE0, 0x50], VACUUM),
    letters("vacuum_k10", b"}]", VACUUM_K),
    letters("vacuum_k10_pro", b"(\x08", VACUUM_K),
    letters("plug_mini_us", b"gG", switch(12, Battery::None, 7)),
    letters("plug_mini_jp", b"jJ", switch(12, Battery::None, 7)),
    letters("plug_mini_eu", b"?\x1F", switch(12, Battery::None, 7)),
    letters("relay_1pm", b"<\x1C", RELAY),
    letters("relay_1", b";\x1B", RELAY),
    letters("relay_2pm", b"=\x1D", RELAY),
    letters("bulb", b"uU", switch(11, Battery::None, 7)),
    letters("ceiling_light", b"qQ", switch(11, Battery::None, 10)),
    letters("ceiling_light_pro", b"nN", switch(11, Battery::None, 10)),
    letters("light_strip", b"rR", LIGHT),
    newer("candle_warmer_lamp", [0x11, 0x22, 0xB8], LIGHT),
    newer("floor_lamp", [0x10, 0xD0, 0xB0], LIGHT_WHITE_LATE),
    newer("strip_light_3", [0x10, 0xD0, 0xB1], LIGHT_WHITE_LATE),
    newer("rgbicww_strip_light", [0x10, 0xD0, 0xB3], LIGHT_WHITE),
    newer("rgbicww_floor_lamp", [0x10, 0xD0, 0xB4], LIGHT_WHITE),
    newer("rgbic_neon_wire_rope_light", [0x10, 0xD0, 0xB5], LIGHT),
    newer("rgbic_neon_rope_light", [0x10, 0xD0, 0xB6], LIGHT),
    newer("permanent_outdoor_light", [0x10, 0xD0, 0xB7], LIGHT_WHITE),
    newer("rgbicww_light_bars", [0x11, 0xBE, 0xF8], LIGHT_WHITE),
    newer("rgbicww_ceiling_light", [0x11, 0xBB, 0x10], switch(14, Battery::None, 7)),
    letters("purifier_us", b"*\x0A", PURIFIER),
    letters("purifier_jp", b"+\x0B", PURIFIER),
    letters("purifier_table_us", b"7\x17", PURIFIER),
    letters("purifier_table_jp", b"8\x18", PURIFIER),
];

/// A device type is sought in service data longer than this: shorter ones are a letter's.
const LONGEST_LETTER_ONLY: usize = 5;

impl Model {
    /// The model that service data names, by its letter or, where that is none, by its device type.
    pub fn named_by(service: &[u8]) -> Option<&'static Model> {
        let letter = service.first()? & 0x7F;
        if let Some(model) = MODELS.iter().find(|m| m.letters.contains(&letter)) {
            return Some(model);
        }
        if service.len() <= LONGEST_LETTER_ONLY {
            return None;
        }
        let by_type = |bytes: &[u8]| match bytes {
            [0 | 1, rest @ ..] => MODELS.iter().find(|m| m.device_type.as_ref().is_some_and(|t| t == rest)),
            _ => None,
        };
        let end = service.len();
        by_type(&service[end - 4..]).or_else(|| by_type(&service[end - 5..end - 1]))
    }

    /// The model that a person means: the name as it is here or as it is sold, "Lock Pro", "Hub3", "Motion Sensor".
    pub fn meant_by(text: &str) -> Option<&'static Model> {
        let plain = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
        };
        let text = plain(text);
        let text = ["sensor", "detector"].iter().find_map(|what| text.strip_suffix(what)).unwrap_or(&text);
        MODELS.iter().find(|m| plain(m.name) == text)
    }

    pub fn by_name(name: &str) -> Option<&'static Model> {
        MODELS.iter().find(|m| m.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_models_share_a_letter_a_device_type_or_a_name() {
        for (i, a) in MODELS.iter().enumerate() {
            for b in &MODELS[i + 1..] {
                assert_ne!(a.name, b.name);
                assert!(!a.letters.iter().any(|l| b.letters.contains(l)), "{} and {}", a.name, b.name);
                assert!(a.device_type.is_none() || a.device_type != b.device_type, "{} and {}", a.name, b.name);
            }
        }
    }
}
