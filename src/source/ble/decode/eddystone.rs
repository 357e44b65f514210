//! Eddystone: service data of UUID 0xFEAA. Frame types of others under the same UUID are in `kkm`.
//!
//! ```text
//! 00 UID   [1] power at 0 m, s8  [2..12] namespace  [12..18] instance
//! 10 URL   [1] power  [2] scheme  [3..] url
//! 20 TLM   [1] version 0: [2..4] BE mV, 0 absent  [4..6] 8.8 °C, 0x8000 absent  [6..10] BE adverts  [10..14] BE 0.1 s since boot
//!              version 1: encrypted for the owner of the ephemeral id: [2..14], salt, tag
//! 30 EID   [1] power  [2..10] ephemeral id
//! ```
//!
//! A URL that leads to ruu.vi carries a reading of a RuuviTag (formats 2 and 4).
//! Source: github.com/google/eddystone, protocol-specification.md and eddystone-tlm; where peers differ: decision 0204.

use super::bytes::{Bytes, fixed_8_8, rounded};
use super::{Decoded, Heard, Memory, Name, Value, ruuvi};

const FAMILY: &str = "eddystone";
pub const SERVICE: u16 = 0xFEAA;
const ENCRYPTED_TLM: usize = 18;
const TEMPERATURE_ABSENT: [u8; 2] = [0x80, 0x00];
const SCHEMES: [&str; 4] = ["http://www.", "https://www.", "http://", "https://"];
/// What the bytes below 14 of a URL stand for.
const EXPANSIONS: [&str; 14] = [
    ".com/", ".org/", ".edu/", ".net/", ".info/", ".biz/", ".gov/", ".com", ".org", ".edu", ".net", ".info", ".biz",
    ".gov",
];

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(SERVICE)?;
    let frame = match data.first()? {
        0x00 => uid,
        0x10 => url,
        0x20 => tlm,
        0x30 => eid,
        _ => return None,
    };
    Some(Decoded::read(FAMILY, |out| {
        frame(data, out)?;
        if out.family == FAMILY {
            out.say(Name::DeviceKind, "beacon");
        }
        Some(())
    }))
}

fn uid(data: &[u8], out: &mut Decoded) -> Option<()> {
    let (power, namespace, instance) = (data.i8(1)?, data.array::<10>(2)?, data.array::<6>(12)?);
    out.say(
        Name::Beacon,
        [
            ("namespace", Value::from(hex::encode(namespace))),
            ("instance", Value::from(hex::encode(instance))),
            ("txpower", Value::from(power)),
        ],
    );
    Some(())
}

fn url(data: &[u8], out: &mut Decoded) -> Option<()> {
    let (power, scheme) = (data.i8(1)?, SCHEMES.get(usize::from(data.u8(2)?))?);
    let mut url = String::from(*scheme);
    // A legacy advert has room for 17; a longer one is cut rather than believed.
    const LONGEST: usize = 64;
    for &byte in data.get(3..)?.iter().take(LONGEST) {
        match byte {
            0x21..=0x7E => url.push(char::from(byte)),
            code => url.push_str(EXPANSIONS.get(usize::from(code))?),
        }
    }
    ruuvi::in_url(&url, out);
    out.say(Name::Beacon, [("url", Value::from(url)), ("txpower", Value::from(power))]);
    Some(())
}

fn tlm(data: &[u8], out: &mut Decoded) -> Option<()> {
    match data.u8(1)? {
        0 => {
            let (millivolts, temperature) = (data.u16_be(2)?, data.array(4)?);
            let (adverts, tenths) = (data.u32_be(6)?, data.u32_be(10)?);
            if millivolts != 0 {
                out.say(Name::VoltageV, f64::from(millivolts) / 1000.0);
            }
            if temperature != TEMPERATURE_ABSENT {
                out.say(Name::TemperatureC, rounded(fixed_8_8(data, 4)?, 2));
            }
            out.say(Name::AdvCount, adverts);
            out.say(Name::UptimeS, f64::from(tenths) / 10.0);
        }
        1 => {
            // Authentic to the owner of the identity key, whom we are not: alive, and no more.
            out.encrypted = true;
            data.get(..ENCRYPTED_TLM)?;
            out.other("tlm", "encrypted");
        }
        _ => return None,
    }
    Some(())
}

fn eid(data: &[u8], out: &mut Decoded) -> Option<()> {
    let (power, eid) = (data.i8(1)?, data.array::<8>(2)?);
    out.say(Name::Beacon, [("eid", Value::from(hex::encode(eid))), ("txpower", Value::from(power))]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn telemetry_leaves_out_what_the_beacon_does_not_measure() {
        check(
            decode,
            &[
                (
                    "sfeaa:20000b1813000000146700002ac4",
                    "voltage_v=2.84 temperature_c=19.0 adv_count=5223 uptime_s=1094.8",
                ),
                ("sfeaa:2000000013000000146700002ac4", "temperature_c=19.0 !voltage_v"),
                ("sfeaa:20000b1880000000146700002ac4", "voltage_v=2.84 !temperature_c"),
            ],
        );
    }

    #[test]
    fn a_temperature_below_zero_is_below_zero() {
        check(decode, &[("sfeaa:20000b18f6800000146700002ac4", "temperature_c=-9.5")]);
    }

    #[test]
    fn telemetry_for_another_owner_is_a_sign_of_life_only() {
        check(decode, &[("sfeaa:200141414141414141414141414141414141", "tlm=encrypted !temperature_c")]);
    }

    #[test]
    fn ids_and_urls_are_told_and_damaged_ones_are_not() {
        check(
            decode,
            &[
                (
                    "sfeaa:00e3123456789012346789010000000000010000",
                    "beacon={\"namespace\":\"12345678901234678901\",\"instance\":\"000000000001\",\"txpower\":-29}",
                ),
                (
                    "sfeaa:10f8036769746875620063697472757a",
                    "beacon={\"url\":\"https://github.com/citruz\",\"txpower\":-8}",
                ),
                ("sfeaa:30e34549445f74657374", "beacon={\"eid\":\"4549445f74657374\",\"txpower\":-29}"),
                ("sfeaa:20000b181300", "refused=malformed"),
                ("sfeaa:00e31234", "refused=malformed"),
                ("sfeaa:10f809676974", "refused=malformed"),
                ("sfeaa:40e31234", "none"),
            ],
        );
    }
}
