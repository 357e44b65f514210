//! Captures: recordings of raw input with times, as JSON Lines. `record` writes them, `replay` and the demo's tests read them.
//!
//! The format is fixed: a first line `{"portcullis_capture":1,"start":RFC3339}`, then one [`Record`] a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::signal::Address;
use crate::source::ble::{Advert, gatt, uuid16};

/// The version of the format that is read and written.
pub const VERSION: u32 = 1;

/// The latest moment of a capture, in seconds: ten years. A larger `at` is a mistake, not a recording.
const LATEST_S: f64 = 10.0 * 366.0 * 86_400.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub portcullis_capture: u32,
    pub start: chrono::DateTime<chrono::Utc>,
}

impl Header {
    /// Reads a capture's first line. The error says what would be right.
    pub fn parse(line: &str) -> Result<Header, String> {
        const RIGHT: &str = r#"a capture starts with {"portcullis_capture":1,"start":"2026-01-01T00:00:00Z"}"#;
        let header: Header = serde_json::from_str(line).map_err(|e| format!("{}; {RIGHT}", plain(&e)))?;
        match header.portcullis_capture {
            VERSION => Ok(header),
            other => Err(format!("a capture of version {other}; this portcullis reads version {VERSION}")),
        }
    }
}

/// One line: something at `at` seconds from the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub at: f64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Ble(BleRecord),
    Gatt(GattRecord),
    Adapter(AdapterRecord),
    /// A raw Z-Wave JS server message; `network` may be left out where there is one.
    Zwave {
        network: Option<Arc<str>>,
        message: serde_json::Value,
    },
    Link(LinkRecord),
    /// The wall clock is set.
    Wall(chrono::DateTime<chrono::Utc>),
    /// The daemon stops here, its state stored, and is back after so many seconds.
    Restart(f64),
    /// Nothing: time goes on to here.
    End,
}

/// A record as it stands in the file: one of the kinds, and `network` beside `zwave`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ble: Option<BleRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gatt: Option<GattRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adapter: Option<AdapterRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zwave: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<LinkRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wall: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<bool>,
}

impl Record {
    /// Reads one line. The error says what is wrong with it and what would be right.
    pub fn parse(line: &str) -> Result<Record, String> {
        const KINDS: &str = "one of ble, gatt, adapter, zwave, link, wall, restart or end";
        let line: Line = serde_json::from_str(line)
            .map_err(|e| format!(r#"{}; a record is {{"at":SECONDS, …}} with {KINDS}"#, plain(&e)))?;
        if !(0.0..=LATEST_S).contains(&line.at) {
            return Err(format!(
                "\"at\":{} is not a time in the capture; seconds from its start, 0 to {LATEST_S}",
                line.at
            ));
        }
        let network = line.network;
        let mut found = [
            line.ble.map(What::Ble),
            line.gatt.map(What::Gatt),
            line.adapter.map(What::Adapter),
            line.zwave.map(|message| What::Zwave { network, message }),
            line.link.map(What::Link),
            line.wall.map(What::Wall),
            line.restart.map(What::Restart),
            line.end.map(|_| What::End),
        ]
        .into_iter()
        .flatten();
        let what = found.next().ok_or_else(|| format!("a record of nothing; it needs {KINDS}"))?;
        if found.next().is_some() {
            return Err(format!("a record of several things; it needs {KINDS}, the others on lines of their own"));
        }
        if let What::Restart(away) = what
            && !(0.0..=LATEST_S).contains(&away)
        {
            return Err(format!(
                "\"restart\":{away} is no duration; the seconds that the daemon is away, 0 to {LATEST_S}"
            ));
        }
        Ok(Record { at: line.at, what })
    }
}

impl Serialize for Record {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut line = Line { at: self.at, ..Line::default() };
        match self.what.clone() {
            What::Ble(ble) => line.ble = Some(ble),
            What::Gatt(gatt) => line.gatt = Some(gatt),
            What::Adapter(adapter) => line.adapter = Some(adapter),
            What::Zwave { network, message } => (line.network, line.zwave) = (network, Some(message)),
            What::Link(link) => line.link = Some(link),
            What::Wall(wall) => line.wall = Some(wall),
            What::Restart(away) => line.restart = Some(away),
            What::End => line.end = Some(true),
        }
        line.serialize(s)
    }
}

/// serde_json's own words without its line number, which is always 1.
fn plain(e: &serde_json::Error) -> String {
    let text = e.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, place)) => format!("{what} (column {})", place.rsplit(' ').next().unwrap_or("?")),
        None => text,
    }
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    pub network: Arc<str>,
    pub up: bool,
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
    /// An advert as a capture writes it; UUIDs short where they can be.
    pub fn new(adapter: &Arc<str>, advert: &Advert) -> BleRecord {
        let company = |(id, data): (&u16, &Vec<u8>)| (format!("{id:04x}"), hex::encode(data));
        let service = |(id, data): (&uuid::Uuid, &Vec<u8>)| (gatt::short(*id), hex::encode(data));
        BleRecord {
            adapter: adapter.clone(),
            address: advert.address,
            rssi: advert.rssi,
            name: advert.name.clone(),
            manufacturer_data: advert.manufacturer_data.iter().map(company).collect(),
            service_data: advert.service_data.iter().map(service).collect(),
            service_uuids: advert.service_uuids.iter().map(|id| gatt::short(*id)).collect(),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advert_reads_back_as_it_was_heard() {
        let advert = Advert {
            address: "C0:FF:EE:00:00:01".parse().unwrap(),
            rssi: Some(-70),
            name: Some("Front \"door\"".into()),
            manufacturer_data: BTreeMap::from([(0x0969, vec![1, 2])]),
            service_data: BTreeMap::from([(uuid16(0xFCD2), vec![0x40]), (uuid::Uuid::from_u128(7), vec![])]),
            service_uuids: vec![uuid16(0x180F)],
        };
        let record = Record { at: 1.5, what: What::Ble(BleRecord::new(&"hci1".into(), &advert)) };
        let line = serde_json::to_string(&record).unwrap();
        let What::Ble(back) = Record::parse(&line).unwrap().what else { panic!("{line}") };
        assert_eq!((back.advert().unwrap(), &*back.adapter), (advert, "hci1"));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for line in [
            r#"{"at":0.5,"ble":{"adapter":"hci0","address":"C0:FF:EE:00:00:01","rssi":-60,"service_data":{"fcd2":"4000"}}}"#,
            r#"{"at":1.0,"gatt":{"adapter":"hci1","address":"C0:FF:EE:00:00:01","characteristic":"2a19","value":"50"}}"#,
            r#"{"at":2.0,"adapter":{"adapter":"hci0","powered":true,"scanning":false}}"#,
            r#"{"at":3.0,"network":"main","zwave":{"type":"event"}}"#,
            r#"{"at":3.0,"zwave":{"type":"event"}}"#,
            r#"{"at":4.0,"link":{"network":"main","up":false}}"#,
            r#"{"at":5.0,"wall":"2026-01-01T00:00:00Z"}"#,
            r#"{"at":6.0,"restart":12.5}"#,
            r#"{"at":7.0,"end":true}"#,
        ] {
            let record = Record::parse(line).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), line);
        }
    }

    #[test]
    fn a_bad_record_is_named_with_what_would_be_right() {
        for (line, says) in [
            ("not json", "one of ble, gatt"),
            (r#"{"at":1}"#, "a record of nothing"),
            (r#"{"at":1,"end":true,"restart":3}"#, "several things"),
            (r#"{"at":-1,"end":true}"#, "not a time"),
            (r#"{"at":1e300,"end":true}"#, "not a time"),
            (r#"{"at":1,"restart":-5}"#, "no duration"),
            (r#"{"at":1,"bel":{}}"#, "unknown field `bel`"),
            (r#"{"at":1,"ble":{"address":"C0:FF"}}"#, "not a Bluetooth address"),
        ] {
            let error = Record::parse(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_no_capture_is_told_so() {
        assert!(Header::parse("{}").unwrap_err().contains("a capture starts with"));
        assert!(
            Header::parse(r#"{"portcullis_capture":9,"start":"2026-01-01T00:00:00Z"}"#)
                .unwrap_err()
                .contains("version 9")
        );
    }
}
