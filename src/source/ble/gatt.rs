//! What a value read over a connection says: a report like any other. Pure.

use std::sync::Arc;

use uuid::Uuid;

use super::decode::{self, Gatt};
use super::uuid16;
use crate::signal::{Address, Description, DeviceKey, Link, Report, Signal};

/// Longest of a device's own words that is kept: an attribute may be 512 bytes (Core 5.4, Vol 3, Part F, 3.2.9).
const TEXT_MAX: usize = 64;

/// `name` as in captures: `2a19`, or a long UUID. `None` where nothing of interest is said.
pub fn report(adapter: &Arc<str>, address: Address, name: &str, value: &[u8]) -> Option<Report> {
    let described = |d: Description| vec![Signal::Described(Box::new(d))];
    // Device Information Service 1.1: UTF-8, from a stranger's firmware.
    let signals = match name {
        "2a29" => described(Description { manufacturer: Some(text(value)?), ..Description::default() }),
        "2a24" => described(Description { model: Some(text(value)?), ..Description::default() }),
        "2a26" => described(Description { firmware: Some(text(value)?), ..Description::default() }),
        _ => decode::signals::signals(&decode::decode_gatt(&Gatt { name, value })?),
    };
    (!signals.is_empty()).then(|| Report {
        device: DeviceKey::Ble(address),
        link: Link::Adapter(adapter.clone()),
        rssi: None,
        name: None,
        family: "",
        irregular: false,
        counter: None,
        occurred_at: None,
        signals,
    })
}

/// `2a19`, or the whole UUID where it is not a 16-bit one.
pub fn short(uuid: Uuid) -> String {
    match u16::try_from(uuid.as_fields().0) {
        Ok(n) if uuid16(n) == uuid => format!("{n:04x}"),
        _ => uuid.to_string(),
    }
}

/// A characteristic as [`report`] wants it named: UUIDs shortened, words left alone.
pub fn name(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    text.parse().map_or(text, short)
}

fn text(value: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    let text: String = text.trim_matches(['\0', ' ']).chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characteristics_are_named_as_captures_name_them() {
        assert_eq!(short(uuid16(0x2A19)), "2a19");
        assert_eq!(short(Uuid::from_u128(1)), "00000000-0000-0000-0000-000000000001");
        assert_eq!(name("00002A19-0000-1000-8000-00805F9B34FB"), "2a19");
        assert_eq!(name("2A19"), "2a19");
    }

    #[test]
    fn a_devices_own_words_are_cleaned() {
        assert_eq!(text(b"Acme\0\0").as_deref(), Some("Acme"));
        assert_eq!(text(b"\x1b[31mred").as_deref(), Some("[31mred"));
        assert_eq!(text(b"\0"), None);
        assert_eq!(text(&[b'a'; 512]).map(|t| t.len()), Some(TEXT_MAX));
    }

    #[test]
    fn a_device_says_who_made_it() {
        let report = report(&"hci0".into(), Address([1; 6]), "2a29", b"Acme").unwrap();
        let expected = Description { manufacturer: Some("Acme".into()), ..Description::default() };
        assert_eq!(report.signals, [Signal::Described(Box::new(expected))]);
    }
}
