//! Tables of captured samples: what was heard, and what must be said of it, each as one line of words.
//!
//! ```text
//! heard   @C0:FF:EE:00:00:01 name=GVH5075_2762 m0969:HEX sfd3d:HEX u1910        (+ is a space)
//! says    lock_state=unlocked battery_percent=80 !door_open event:button_1=press   (`!`: not said)
//!         refused=malformed      or      none: not this family's
//! ```

use super::{Decoded, Gatt, Heard, Memory, Name, Statement, Value};
use crate::source::ble::{Advert, uuid16};
use crate::time::Mono;

type Decode = fn(&Heard<'_>, &mut Memory) -> Option<Decoded>;

pub fn advert(words: &str) -> Advert {
    let mut advert = Advert::default();
    let id = |hex: &str| u16::from_str_radix(hex, 16).unwrap();
    let bytes = |hex: &str| hex::decode(hex).unwrap();
    for word in words.split_whitespace() {
        if let Some(name) = word.strip_prefix("name=") {
            advert.name = Some(name.replace('+', " ").into());
        } else if let Some(address) = word.strip_prefix('@') {
            advert.address = address.parse().unwrap();
        } else if let Some((company, hex)) = word.strip_prefix('m').and_then(|w| w.split_once(':')) {
            advert.manufacturer_data.insert(id(company), bytes(hex));
        } else if let Some((service, hex)) = word.strip_prefix('s').and_then(|w| w.split_once(':')) {
            advert.service_data.insert(uuid16(id(service)), bytes(hex));
        } else if let Some(uuid) = word.strip_prefix('u') {
            advert.service_uuids.push(uuid16(id(uuid)));
        } else {
            panic!("{word:?} is no part of an advert");
        }
    }
    advert
}

/// Each row stands alone: `(heard, says)`.
pub fn check(decode: Decode, rows: &[(&str, &str)]) {
    for (heard, says) in rows {
        check_sequence(decode, &[(heard, says)]);
    }
}

/// The rows are one device's, in this order.
pub fn check_sequence(decode: Decode, rows: &[(&str, &str)]) {
    let mut memory = Memory::default();
    for (heard, says) in rows {
        let advert = advert(heard);
        let decoded = decode(&Heard { advert: &advert, key: None, at: Mono::default() }, &mut memory);
        compare(heard, decoded, says);
    }
}

pub fn check_gatt(decode: fn(&Gatt<'_>) -> Option<Decoded>, name: &str, rows: &[(&str, &str)]) {
    for (hex, says) in rows {
        compare(hex, decode(&Gatt { name, value: &hex::decode(hex).unwrap() }), says);
    }
}

fn compare(heard: &str, decoded: Option<Decoded>, says: &str) {
    let Some(decoded) = decoded else { return assert_eq!("none", says, "for {heard}") };
    let reject = decoded.reject.map(|r| format!("refused={}", r.as_str()));
    for word in says.split_whitespace() {
        if word == "accepted" {
            assert_eq!(reject, None, "for {heard}");
        } else if word.starts_with("refused=") {
            assert_eq!(reject.as_deref(), Some(word), "for {heard}");
            let state: Vec<_> = decoded.says.iter().filter(|s| !s.name.is_about_the_frame()).collect();
            assert!(state.is_empty(), "refused, yet says {state:?} for {heard}");
        } else if let Some(name) = word.strip_prefix('!') {
            assert_eq!(find(&decoded, name), None, "{name} for {heard}");
        } else {
            let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word:?} says nothing"));
            assert_eq!(reject, None, "for {heard}");
            let said = find(&decoded, name).unwrap_or_else(|| panic!("no {name} for {heard}: {decoded:?}"));
            assert_eq!(text(said), value, "{name} for {heard}");
        }
    }
}

fn find<'a>(decoded: &'a Decoded, name: &str) -> Option<&'a Value> {
    let is = |statement: &&Statement| match statement.name {
        Name::Event(device) => name.strip_prefix("event:") == Some(device),
        other => other.as_str() == name,
    };
    decoded.says.iter().find(is).map(|s| &s.value)
}

fn text(value: &Value) -> String {
    match value.text() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(value).unwrap(),
    }
}
