//! Captures: recordings of raw input with times, as JSON Lines. `record` writes them, `replay` and the demo's tests read them.
//!
//! The format is fixed: a first line `{"portcullis_capture":1,"start":RFC3339}`, then one [`Record`] a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::signal::Address;
use crate::source::ble::{Advert, uuid16};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub portcullis_capture: u32,
    pub start: chrono::DateTime<chrono::Utc>,
}

/// One line: something at `at` seconds from the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub at: f64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Ble(BleRecord),
    Gatt(GattRecord),
    Adapter(AdapterRecord),
    Restart(f64),
    Wall(chrono::DateTime<chrono::Utc>),
    End(bool),
    // zwave (with network beside it) and link: with the Z-Wave source
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BleRecord {
    #[serde(default = "hci0")]
    pub adapter: Arc<str>,
    pub address: Address,
    #[serde(default)]
    pub rssi: Option<i16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Company identifier as four hex digits → hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manufacturer_data: BTreeMap<String, String>,
    /// UUID, long or short (`fcd2`) → hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_data: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_uuids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GattRecord {
    #[serde(default = "hci0")]
    pub adapter: Arc<str>,
    pub address: Address,
    pub characteristic: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterRecord {
    pub adapter: Arc<str>,
    pub powered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanning: Option<bool>,
}

fn hci0() -> Arc<str> {
    "hci0".into()
}

/// A UUID as captures and vectors write it: long, or 16 bits as hex.
pub fn uuid(text: &str) -> Result<uuid::Uuid, String> {
    let short = (text.len() == 4).then(|| u16::from_str_radix(text, 16).ok()).flatten();
    short.map(uuid16).or_else(|| text.parse().ok()).ok_or_else(|| format!("{text:?} is no UUID"))
}

impl BleRecord {
    pub fn advert(&self) -> Result<Advert, String> {
        let bytes = |text: &String| hex::decode(text).map_err(|e| format!("{text:?}: {e}"));
        let company = |id: &String| u16::from_str_radix(id, 16).map_err(|e| format!("{id:?} is no company id: {e}"));
        Ok(Advert {
            address: self.address,
            rssi: self.rssi,
            name: self.name.clone(),
            manufacturer_data: self
                .manufacturer_data
                .iter()
                .map(|(id, data)| Ok((company(id)?, bytes(data)?)))
                .collect::<Result<_, String>>()?,
            service_data: self
                .service_data
                .iter()
                .map(|(id, data)| Ok((uuid(id)?, bytes(data)?)))
                .collect::<Result<_, String>>()?,
            service_uuids: self.service_uuids.iter().map(|id| uuid(id)).collect::<Result<_, String>>()?,
        })
    }
}
