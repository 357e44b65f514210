//! A script of adverts in bytes, for tests that make them up: fuzzing and properties.
//!
//! ```text
//! advert: kind | place, 2 | length | payload …
//! kind:   bits 0-1: service data, manufacturer data, GATT value, both data with the same payload; bit 2: with a key;
//!         bit 3: the name is the payload; bits 4-7: seconds since the advert before
//! place:  the service's or characteristic's short UUID or the company, LE; small ones: some that decoders know
//! ```
//!
//! [`play`] holds what is promised of every decoder: it comes back, it says a bounded number of things, and what it says can be
//! printed.

use std::time::Duration;

use super::decode::signals::signals;
use super::decode::{self, BindKey, Gatt, MAX_STATEMENTS, Memory};
use super::{Advert, uuid16};
use crate::signal::Address;
use crate::time::Mono;

/// Services and companies that decoders look at, so that chance need not find them.
const PLACES: [u16; 32] = [
    0xFCD2, 0x181C, 0x181E, 0xFE95, 0xFD3D, 0x0D00, 0xFDCD, 0xFEAA, 0x180F, 0xFEAB, 0xFFF0, 0x2A6E, 0x2A06, 0x5242,
    0xF525, 0xF51C, 0x0000, 0x2A19, 0x2BED, 0x004C, 0x0969, 0x01D1, 0x012E, 0x0305, 0xBABA, 0x0499, 0x8803, 0xEC88,
    0x094F, 0x089A, 0x07B4, 0x000D,
];

/// Decrypted frames that have words instead of UUIDs: places 0 and 1 of GATT values.
pub const GATT_WORDS: [&str; 2] = ["secure_read_plain", "keyturner_states_plain"];

/// The address, and the key, of every advert in a script.
const ADDRESS: Address = Address([0x54, 0x48, 0xE6, 0x8F, 0x80, 0xA5]);
const KEY: [u8; 16] = [0x23, 0x1d, 0x39, 0xc1, 0xd7, 0xcc, 0x1a, 0xb1, 0xae, 0xe2, 0x24, 0xcd, 0x09, 0x6d, 0xb9, 0x32];

/// One advert as a script has it.
pub fn write(script: &mut Vec<u8>, kind: u8, place: u16, payload: &[u8]) {
    let payload = &payload[..payload.len().min(255)];
    script.push(kind);
    script.extend(place.to_le_bytes());
    script.push(payload.len() as u8);
    script.extend(payload);
}

/// Decodes all of a script.
///
/// # Panics
///
/// When a promise does not hold.
pub fn play(mut script: &[u8]) {
    let key = BindKey::new(KEY);
    let mut memory = Memory::default();
    let mut at = Mono(0);
    while let [kind, low, high, len, rest @ ..] = script {
        let place = match u16::from_le_bytes([*low, *high]) {
            known @ 0..=31 if kind & 3 != 2 => PLACES[usize::from(known)],
            place => place,
        };
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        script = rest;
        at = at + Duration::from_secs(u64::from(kind >> 4));
        let mut advert = Advert { address: ADDRESS, ..Advert::default() };
        if kind & 8 != 0 {
            advert.name = Some(String::from_utf8_lossy(payload).into());
        }
        let decoded = match kind & 3 {
            2 => {
                let name = GATT_WORDS.get(usize::from(place)).map_or(format!("{place:04x}"), |word| (*word).into());
                decode::decode_gatt(&Gatt { name: &name, value: payload })
            }
            form => {
                if form != 1 {
                    advert.service_data.insert(uuid16(place), payload.to_vec());
                }
                if form != 0 {
                    advert.manufacturer_data.insert(place, payload.to_vec());
                }
                decode::decode(&advert, (kind & 4 != 0).then_some(&key), &mut memory, at)
            }
        };
        let Some(decoded) = decoded else { continue };
        assert!(decoded.says.len() <= MAX_STATEMENTS, "{} statements", decoded.says.len());
        assert!(signals(&decoded).len() <= MAX_STATEMENTS);
        assert!(serde_json::to_string(&decoded).is_ok());
        if !decoded.accepted() {
            assert!(signals(&decoded).is_empty(), "a refused advert means nothing");
        }
    }
}
