//! RuuviTag and Ruuvi Air: company 0x0499, or a URL of Eddystone on very old firmware. All numbers big-endian.
//!
//! ```text
//! 03  [1] 0.5 %  [2] °C: bit 7 below zero, 6-0  [3] 0.01 °C  [4..6] Pa - 50000  [6..12] x, y, z s16 mg  [12..14] mV
//! 05  [1..3] s16 0.005 °C  [3..5] 0.0025 %  [5..7] Pa - 50000  [7..13] x, y, z s16 mg
//!     [13..15] bits 15-5 mV - 1600, 4-0 (dBm + 40) / 2  [15] movements  [16..18] sequence  [18..24] address
//! 06  [1..7] as 05  [7..9] 0.1 µg/m³ PM2.5  [9..11] CO2 ppm  [11] VOC  [12] NOx: upper 8 of 9 bits  [13] light, logarithmic
//!     [14] sound, upper 8 of 9 bits  [15] sequence  [16] bits 7 NOx, 6 VOC, 4 sound: the lowest bit  [17..20] end of address
//! E1  [1..7] as 05  [7..15] PM1, 2.5, 4, 10  [15..17] CO2  [17] VOC  [18] NOx  [19..22] 0.01 lx
//!     [22..25] sound now, average, peak  [25..28] sequence  [28] flags, as 06; bits 3, 4, 5 sound
//! URL ruu.vi/# and base64 of: [0] 2 or 4  [1] 0.5 %  [2] °C as 03  [3] 0.01 °C  [4..6] Pa - 50000
//! ```
//!
//! Not available: s16 0x8000, u16 0xFFFF, the all-ones of narrower fields.
//! Source: docs.ruuvi.com, "Data formats" 2, 3, 4, 5, 6, E1; the vendor's ruuvi.endpoints.c for the sound of 06 and E1.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::bytes::{Bytes, bit};
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "ruuvi";
const COMPANY: u16 = 0x0499;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.company(COMPANY)?;
    let format = match data.first() {
        Some(0x03) => format_3,
        Some(0x05) => format_5,
        Some(0x06) => format_6,
        Some(0xE1) => format_e1,
        Some(_) => return Some(Decoded::refused(FAMILY, Reject::UnsupportedVersion)),
        None => return Some(Decoded::refused(FAMILY, Reject::Malformed)),
    };
    Some(Decoded::read(FAMILY, |out| format(data, out)))
}

fn format_3(data: &[u8], out: &mut Decoded) -> Option<()> {
    let ([humidity, degrees, hundredths], pressure) = (data.array(1)?, data.u16_be(4)?);
    let (axes, millivolts) = (data.array(6)?, data.u16_be(12)?);
    old_climate(humidity, degrees, hundredths, pressure, out);
    acceleration(axes, out);
    out.say(Name::VoltageV, f64::from(millivolts) / 1000.0);
    Some(())
}

/// Sign and magnitude, hundredths apart: the climate of formats 2, 3 and 4.
fn old_climate(humidity: u8, degrees: u8, hundredths: u8, pressure: u16, out: &mut Decoded) {
    // Above 100 % is a sensor that is wet or damaged; the vendor's own samples read so.
    out.say(Name::HumidityPercent, f64::from(humidity) / 2.0);
    if hundredths < 100 {
        let magnitude = (f64::from(degrees & 0x7F) * 100.0 + f64::from(hundredths)) / 100.0;
        out.say(Name::TemperatureC, if bit(degrees, 7) { -magnitude } else { magnitude });
    }
    self::pressure(pressure, out);
}

fn pressure(raw: u16, out: &mut Decoded) {
    out.say(Name::PressureHpa, (f64::from(raw) + 50_000.0) / 100.0);
}

fn acceleration([a, b, c, d, e, f]: [u8; 6], out: &mut Decoded) {
    let axes = [[a, b], [c, d], [e, f]].map(i16::from_be_bytes);
    if !axes.contains(&i16::MIN) {
        for (name, milli_g) in ["acceleration_x", "acceleration_y", "acceleration_z"].into_iter().zip(axes) {
            out.other(name, milli_g);
        }
    }
}

/// Bytes 1 to 6, which formats 5, 6 and E1 share.
fn climate(data: &[u8], out: &mut Decoded) -> Option<()> {
    let (temperature, humidity, pressure) = (data.i16_be(1)?, data.u16_be(3)?, data.u16_be(5)?);
    if temperature != i16::MIN {
        out.say(Name::TemperatureC, f64::from(temperature) / 200.0);
    }
    if humidity != u16::MAX {
        out.say(Name::HumidityPercent, f64::from(humidity) / 400.0);
    }
    if pressure != u16::MAX {
        self::pressure(pressure, out);
    }
    Some(())
}

fn format_5(data: &[u8], out: &mut Decoded) -> Option<()> {
    const VOLTAGE_ABSENT: u16 = 0x7FF;
    const POWER_ABSENT: u16 = 0x1F;
    let (axes, power, movements, sequence) = (data.array(7)?, data.u16_be(13)?, data.u8(15)?, data.u16_be(16)?);
    data.array::<6>(18)?;
    climate(data, out)?;
    acceleration(axes, out);
    if power >> 5 != VOLTAGE_ABSENT {
        out.say(Name::VoltageV, f64::from((power >> 5) + 1600) / 1000.0);
    }
    if power & 0x1F != POWER_ABSENT {
        out.other("tx", i16::try_from(power & 0x1F).ok()? * 2 - 40);
    }
    out.other("mov", movements);
    out.say(Name::Sequence, sequence);
    Some(())
}

fn format_6(data: &[u8], out: &mut Decoded) -> Option<()> {
    let (pm25, co2, [voc, nox, light, sound, sequence, flags]) = (data.u16_be(7)?, data.u16_be(9)?, data.array(11)?);
    data.array::<3>(17)?;
    climate(data, out)?;
    out_of_air(pm25, "pm25", out);
    carbon_dioxide(co2, out);
    indices(voc, nox, flags, out);
    if light != u8::MAX {
        // 254 steps over the logarithm of a 16-bit range.
        let step = f64::ln(65_536.0) / 254.0;
        out.say(Name::IlluminanceLux, ((f64::from(light) * step).exp() - 1.0).round());
    }
    self::sound(sound, bit(flags, 4), out);
    out.say(Name::Sequence, sequence);
    Some(())
}

fn format_e1(data: &[u8], out: &mut Decoded) -> Option<()> {
    const LIGHT_ABSENT: u32 = 0xFF_FFFF;
    let (co2, [voc, nox], light, sequence) = (data.u16_be(15)?, data.array(17)?, data.u24_be(19)?, data.u24_be(25)?);
    let flags = data.u8(28)?;
    data.array::<6>(34)?;
    climate(data, out)?;
    for (name, at) in [("pm1", 7), ("pm25", 9), ("pm4", 11), ("pm10", 13)] {
        out_of_air(data.u16_be(at)?, name, out);
    }
    carbon_dioxide(co2, out);
    indices(voc, nox, flags, out);
    if light != LIGHT_ABSENT {
        out.say(Name::IlluminanceLux, f64::from(light) / 100.0);
    }
    sound(data.u8(23)?, bit(flags, 4), out);
    out.say(Name::Sequence, sequence);
    Some(())
}

fn out_of_air(raw: u16, name: &'static str, out: &mut Decoded) {
    if raw != u16::MAX {
        out.other(name, f64::from(raw) / 10.0);
    }
}

fn carbon_dioxide(raw: u16, out: &mut Decoded) {
    if raw != u16::MAX {
        out.say(Name::Co2Ppm, raw);
    }
}

const NINE_BITS_ABSENT: u16 = 0x1FF;

fn nine_bits(upper: u8, lowest: bool) -> u16 {
    u16::from(upper) << 1 | u16::from(lowest)
}

/// Average sound level, A-weighted, in fifths of a decibel from 18 dB on. Just there, below what a microphone of its kind
/// hears, are the zeros of firmware that does not measure.
fn sound(upper: u8, lowest: bool, out: &mut Decoded) {
    let fifths = nine_bits(upper, lowest);
    if upper != 0 && fifths != NINE_BITS_ABSENT {
        out.say(Name::SoundLevelDba, f64::from(90 + fifths) / 5.0);
    }
}

fn indices(voc: u8, nox: u8, flags: u8, out: &mut Decoded) {
    for (name, value) in [("voc_index", nine_bits(voc, bit(flags, 6))), ("nox_index", nine_bits(nox, bit(flags, 7)))] {
        if value != NINE_BITS_ABSENT {
            out.other(name, value);
        }
    }
}

/// Eight characters carry the six bytes; format 4 appends one that identifies the tag.
pub fn in_url(url: &str, out: &mut Decoded) {
    const CHARACTERS: usize = 8;
    let Some(text) = url.split_once("ruu.vi/#").and_then(|(_, text)| text.get(..CHARACTERS)) else { return };
    let mut bytes = [0; 6];
    if BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(6) {
        return;
    }
    let [2 | 4, humidity, degrees, hundredths, high, low] = bytes else { return };
    out.family = FAMILY;
    old_climate(humidity, degrees, hundredths, u16::from_be_bytes([high, low]), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn the_vendors_samples_of_each_format_read_as_documented() {
        check(
            decode,
            &[
                ("m0499:03ff7f63ffff7fff7fff7fffffff", "humidity_percent=127.5 temperature_c=127.99 voltage_v=65.535"),
                ("m0499:0300ff6300008001800180010000", "humidity_percent=0.0 temperature_c=-127.99 pressure_hpa=500.0"),
                (
                    "m0499:03291a1ece1efc18f94202ca0b53",
                    "humidity_percent=20.5 temperature_c=26.3 pressure_hpa=1027.66 voltage_v=2.899 acceleration_x=-1000",
                ),
                (
                    "m0499:0512fc5394c37c0004fffc040cac364200cdcbb8334c884f",
                    "temperature_c=24.3 humidity_percent=53.49 pressure_hpa=1000.44 voltage_v=2.977 tx=4 mov=66 sequence=205",
                ),
                (
                    "m0499:058000000000008001800180010000000000cbb8334c884f",
                    "!temperature_c humidity_percent=0.0 voltage_v=1.6",
                ),
                (
                    "m0499:058000ffffffff800080008000ffffffffffcbb8334c884f",
                    "!temperature_c !humidity_percent !pressure_hpa !voltage_v",
                ),
                (
                    "m0499:e1170c5668c79e0065007004bd11ca00c90a0213e0ac000000decdee110000000000cbb8334c884f",
                    "temperature_c=29.5 humidity_percent=55.3 pressure_hpa=1011.02 co2_ppm=201 voc_index=20 nox_index=4 illuminance_lux=13027.0 !sound_level_dba",
                ),
            ],
        );
    }

    #[test]
    fn a_ruuvi_air_is_a_sound_level_meter() {
        check(
            decode,
            &[
                (
                    "m0499:06144e40f8c915000602193200a34bbdc0ff00ff",
                    "temperature_c=25.99 co2_ppm=537 voc_index=101 nox_index=1 illuminance_lux=1232.0 sound_level_dba=48.0",
                ),
                ("m0499:06144e40f8c915000602193200a3ffbdd0ff00ff", "!sound_level_dba"),
            ],
        );
    }

    #[test]
    fn short_and_unknown_formats_are_refused() {
        check(
            decode,
            &[
                ("m0499:0512fc5394c37c", "refused=malformed"),
                ("m0499:08ffffff", "refused=unsupported_version"),
                ("m0499:", "refused=malformed"),
            ],
        );
    }

    #[test]
    fn a_url_of_old_firmware_carries_the_climate() {
        let mut out = Decoded::new("eddystone");
        // Format 4 of the vendor's document: 42.5 %, 24.5 °C, 1013.25 hPa
        let text = BASE64_URL_SAFE_NO_PAD.encode([4, 85, 24, 50, 0xC8, 0x7D]);
        in_url(&format!("https://ruu.vi/#{text}x"), &mut out);
        assert_eq!(out.get(Name::TemperatureC), Some(&24.5.into()));
        assert_eq!(out.get(Name::HumidityPercent), Some(&42.5.into()));
        assert_eq!(out.get(Name::PressureHpa), Some(&1013.25.into()));
        let mut none = Decoded::new("eddystone");
        in_url("https://ruu.vi/#ÄÖÜ", &mut none);
        assert!(none.says.is_empty());
    }
}
