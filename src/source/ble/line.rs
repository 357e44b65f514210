//! Lines of `portcullis decode`: one advert, GATT value or sequence of adverts each, in the spelling of captures and vectors.
//!
//! A line is a record of a capture (`{"ble":{…}}`), the same bare (`{"service_data":{"fcd2":"…"}}`), with an optional `bindkey`
//! and `device_model`, or `{"gatt":{"2a19":"64"}}`, or `{"steps":[{"t":0,…},…]}`: one device's sequence, remembered within the line only. Fields
//! that mean nothing here are ignored, so that whole vectors can be given.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::Advert;
use super::decode::{self, BindKey, Decoded, Gatt, Memory};
use crate::signal::Address;
use crate::source::capture;
use crate::time::Mono;

/// The longest line that is read: a sequence of hundreds of the longest adverts.
pub const MAX_LINE: usize = 1 << 20;

/// What a line holds; every field may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    ble: Option<Box<Line>>,
    #[serde(deserialize_with = "sender")]
    address: Option<Address>,
    name: Option<String>,
    manufacturer_data: Option<BTreeMap<String, String>>,
    service_data: Option<BTreeMap<String, String>>,
    service_uuids: Option<Vec<String>>,
    gatt: Option<BTreeMap<String, String>>,
    bindkey: Option<String>,
    /// What its owner says it is; of use where the advert does not tell.
    device_model: Option<String>,
    t: Option<f64>,
    steps: Option<Vec<Line>>,
}

/// An address; where the record is from a Mac, CoreBluetooth's own UUID for the device stands in its place and tells none.
fn sender<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Address>, D::Error> {
    match Option::<String>::deserialize(d)? {
        Some(text) if text.parse::<uuid::Uuid>().is_err() => text.parse().map(Some).map_err(D::Error::custom),
        _ => Ok(None),
    }
}

/// The answer to a line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    One(Decoded),
    Steps { steps: Vec<Decoded> },
    Error { error: String },
}

/// Answers one line. `key_of` knows the bind keys of the configuration; a key in the line wins.
pub fn answer(line: &[u8], key_of: impl Fn(&Address) -> Option<BindKey>) -> Answer {
    read(line, key_of).unwrap_or_else(|error| Answer::Error { error })
}

fn read(line: &[u8], key_of: impl Fn(&Address) -> Option<BindKey>) -> Result<Answer, String> {
    let mut line: Line = serde_json::from_slice(line).map_err(|e| format!("no record: {e}"))?;
    if let Some(ble) = line.ble.take() {
        line.fill_from(*ble);
    }
    let key = match &line.bindkey {
        // Of any length: a key that is too long decrypts nothing, which is an answer and no broken line.
        Some(text) => Some(BindKey::new(hex::decode(text).map_err(|e| format!("bindkey: {e}"))?)),
        None => line.address.as_ref().and_then(key_of),
    };
    let model = line.device_model.as_deref().and_then(decode::model_meant_by);
    let mut memory = Memory { model, ..Memory::default() };
    let Some(steps) = line.steps.take() else {
        if line.is_empty() {
            return Err(
                "no record: none of address, name, manufacturer_data, service_data, service_uuids, gatt, steps".into(),
            );
        }
        return line.decode(key.as_ref(), &mut memory).map(Answer::One);
    };
    let steps = steps.into_iter().enumerate().map(|(n, mut step)| {
        if let Some(ble) = step.ble.take() {
            step.fill_from(*ble);
        }
        step.address = step.address.or(line.address);
        step.name = step.name.or_else(|| line.name.clone());
        step.decode(key.as_ref(), &mut memory).map_err(|e| format!("step {n}: {e}"))
    });
    Ok(Answer::Steps { steps: steps.collect::<Result<_, _>>()? })
}

impl Line {
    /// Takes from a nested record what was not said outside it.
    fn fill_from(&mut self, inner: Line) {
        self.address = self.address.or(inner.address);
        self.name = self.name.take().or(inner.name);
        self.manufacturer_data = self.manufacturer_data.take().or(inner.manufacturer_data);
        self.service_data = self.service_data.take().or(inner.service_data);
        self.service_uuids = self.service_uuids.take().or(inner.service_uuids);
        self.bindkey = self.bindkey.take().or(inner.bindkey);
        self.device_model = self.device_model.take().or(inner.device_model);
    }

    fn is_empty(&self) -> bool {
        self.address.is_none()
            && self.name.is_none()
            && self.manufacturer_data.is_none()
            && self.service_data.is_none()
            && self.service_uuids.is_none()
            && self.gatt.is_none()
    }

    fn decode(&self, key: Option<&BindKey>, memory: &mut Memory) -> Result<Decoded, String> {
        if let Some(gatt) = &self.gatt {
            return decode_gatt(gatt);
        }
        let at = Mono(Duration::try_from_secs_f64(self.t.unwrap_or(0.0)).unwrap_or_default().as_millis() as u64);
        Ok(decode::decode(&self.advert()?, key, memory, at).unwrap_or_else(Decoded::unknown))
    }

    fn advert(&self) -> Result<Advert, String> {
        let record = capture::BleRecord {
            address: self.address.unwrap_or_default(),
            name: self.name.as_deref().map(Into::into),
            manufacturer_data: self.manufacturer_data.clone().unwrap_or_default(),
            service_data: self.service_data.clone().unwrap_or_default(),
            service_uuids: self.service_uuids.clone().unwrap_or_default(),
            ..capture::BleRecord::default()
        };
        record.advert()
    }
}

/// `{"2a19":"64"}`, or as a capture has it: `{"characteristic":UUID,"value":"64"}`.
fn decode_gatt(gatt: &BTreeMap<String, String>) -> Result<Decoded, String> {
    let values: Vec<(&String, &String)> = match (gatt.get("characteristic"), gatt.get("value")) {
        (Some(name), Some(value)) => vec![(name, value)],
        _ => gatt.iter().collect(),
    };
    let mut refused = None;
    for (name, value) in values {
        let value = hex::decode(value).map_err(|e| format!("gatt {name:?}: {e}"))?;
        let name = decode::gatt_name(name);
        match decode::decode_gatt(&Gatt { name: &name, value: &value }) {
            Some(decoded) if decoded.accepted() => return Ok(decoded),
            other => refused = refused.or(other),
        }
    }
    Ok(refused.unwrap_or_else(Decoded::unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> serde_json::Value {
        serde_json::to_value(answer(line.as_bytes(), |_| None)).unwrap()
    }

    #[test]
    fn a_record_may_be_nested_or_bare_and_its_uuids_long_or_short() {
        let bare = said(r#"{"address":"C0:FF:EE:00:00:01","service_data":{"fcd2":"401f01"}}"#);
        assert_eq!(bare["family"], "bthome_v2");
        assert_eq!(bare["signals"]["lock_state"], "unlocked");
        let nested = said(
            r#"{"at":1,"ble":{"adapter":"hci0","address":"C0:FF:EE:00:00:01","rssi":-60,
                "service_data":{"0000fcd2-0000-1000-8000-00805f9b34fb":"401f01"}}}"#,
        );
        assert_eq!(nested, bare);
    }

    #[test]
    fn a_line_that_is_no_record_is_answered_with_an_error() {
        for line in [
            "",
            "{",
            "null",
            "[]",
            "7",
            "{}",
            r#"{"id":1}"#,
            r#"{"address":"nobody"}"#,
            "\u{fffd}",
            r#"{"service_data":{"fcd2":"4"}}"#,
            r#"{"service_data":{"xyz":"40"}}"#,
            r#"{"name":"a","bindkey":"zz"}"#,
            r#"{"steps":[{"manufacturer_data":{"1":"0"}}]}"#,
        ] {
            assert!(said(line)["error"].is_string(), "{line}");
        }
    }

    #[test]
    fn a_record_of_a_mac_has_no_address_and_is_decoded_without() {
        let decoded = said(
            r#"{"address":"61DE521B-F0BF-9F44-64D4-75BBE1738105","name":"GVH5075_2762",
                "manufacturer_data":{"ec88":"000341c26400"}}"#,
        );
        assert_eq!(decoded["signals"]["temperature_c"], 21.3);
    }

    #[test]
    fn steps_are_remembered_within_their_line_and_not_beyond_it() {
        let line = r#"{"address":"C0:FF:EE:00:00:01","steps":[{"t":0,"service_data":{"fcd2":"400009"}},
            {"t":1,"service_data":{"fcd2":"400009"}}]}"#;
        for _ in 0..2 {
            let steps = said(line);
            assert_eq!(steps["steps"][0]["accepted"], true);
            assert_eq!(steps["steps"][1]["reject"], "duplicate_packet_id");
        }
    }

    #[test]
    fn the_model_beside_an_advert_is_taken_where_the_advert_does_not_name_its_own() {
        let lock = r#"{"manufacturer_data":{"0969":"eef5e6098fe811970820"}}"#;
        assert_eq!(said(lock)["reject"], "unknown_model");
        for name in ["Lock", "lock", "switchbot?"] {
            let told = said(&lock.replacen('{', &format!(r#"{{"device_model":"{name}","#), 1));
            assert_eq!(told["accepted"] == true, name != "switchbot?", "{told}");
        }
        let own = r#"{"device_model":"Lock Pro","service_data":{"fd3d":"6f006400"},"manufacturer_data":{"0969":"c7f5b0d1a4f20a8b0020"}}"#;
        assert_eq!(said(own)["signals"]["other"]["model"], "lock");
    }

    #[test]
    fn an_error_never_repeats_a_key() {
        let error = said(r#"{"name":"a","bindkey":"231d39c1d7cc1ab1aee224cd096db93x"}"#)["error"].to_string();
        assert!(!error.contains("231d39c1"), "{error}");
    }
}
