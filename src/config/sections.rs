//! The sections: each key with its default and what it may be, in one place.

use std::fmt;
use std::path::{Path, PathBuf};

use ::config::Value;
use uuid::Uuid;

use super::check::{self, word};
use super::read::Table;
use crate::event::Dialect;
use crate::hub::{Adopt, CodeSettings, Confirmation};
use crate::signal::{Address, Secret};
use crate::source::ble::decode::BindKey;
use crate::source::rules::Rule;

const ADOPT: &[(&str, Adopt)] = &[("listed", Adopt::Listed), ("known", Adopt::Known)];
const DIALECT: &[(&str, Dialect)] = &[("classic", Dialect::Classic), ("current", Dialect::Current)];
/// Whether the hub writes them.
const CODES: &[(&str, bool)] = &[("observe", false), ("manage", true)];
const DATES_BY_HUB: &[(&str, bool)] = &[("lock", false), ("hub", true)];
const CONFIRMATION: &[(&str, Confirmation)] = &[
    ("read_back", Confirmation::ReadBack),
    ("accepted", Confirmation::Accepted),
    ("unverified", Confirmation::Unverified),
];

#[derive(Clone, Debug, PartialEq)]
pub struct HubSection {
    pub name: String,
    /// Made and kept in the state directory if absent.
    pub workspace_id: Option<Uuid>,
    pub time_zone: chrono_tz::Tz,
    /// Who is told, again and again, that the hub lives.
    pub heartbeat_url: Option<Secret>,
    pub heartbeat_every_s: u32,
}

impl Default for HubSection {
    fn default() -> HubSection {
        HubSection {
            name: "hub-1".into(),
            workspace_id: None,
            time_zone: chrono_tz::Tz::UTC,
            heartbeat_url: None,
            heartbeat_every_s: 60,
        }
    }
}

impl HubSection {
    pub(super) fn read(mut t: Table, beside: &Path) -> HubSection {
        let default = HubSection::default();
        let heartbeat_url = t.maybe("heartbeat_url", check::secret_url);
        let from_file = t.maybe("heartbeat_url_file", secret_in(beside, check::secret_url_text));
        if heartbeat_url.is_some() && from_file.is_some() {
            t.wrong("heartbeat_url_file", "is given together with heartbeat_url; one of them is right");
        }
        let section = HubSection {
            name: t.get("name", default.name, check::topic_level),
            workspace_id: t.maybe("workspace_id", check::uuid),
            time_zone: t.get("time_zone", default.time_zone, check::time_zone),
            heartbeat_url: heartbeat_url.or(from_file),
            // More often tells nobody anything sooner; less often than a day is no life.
            heartbeat_every_s: t.get("heartbeat_every_s", default.heartbeat_every_s, check::whole(10..=86_400)),
        };
        t.end();
        section
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdoptSection {
    pub ble: Adopt,
    pub zwave: Adopt,
    /// Of locks without an entry of their own.
    pub codes: CodeSettings,
}

impl Default for AdoptSection {
    fn default() -> AdoptSection {
        AdoptSection { ble: Adopt::Listed, zwave: Adopt::Known, codes: CodeSettings::default() }
    }
}

impl AdoptSection {
    pub(super) fn read(mut t: Table) -> AdoptSection {
        let default = AdoptSection::default();
        let section = AdoptSection {
            ble: t.get("ble", default.ble, word(ADOPT)),
            zwave: t.get("zwave", default.zwave, word(ADOPT)),
            codes: codes(&mut t),
        };
        t.end();
        section
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct BleSection {
    pub enabled: bool,
    /// Empty: all of them.
    pub adapters: Vec<String>,
    /// Others use the adapter: never power-cycle it.
    pub shared: bool,
    /// Between two connections to read a battery that adverts do not tell.
    pub battery_poll_hours: u32,
}

impl Default for BleSection {
    fn default() -> BleSection {
        BleSection { enabled: true, adapters: Vec::new(), shared: true, battery_poll_hours: 12 }
    }
}

impl BleSection {
    pub(super) fn read(mut t: Table) -> BleSection {
        let default = BleSection::default();
        let section = BleSection {
            enabled: t.get("enabled", default.enabled, check::boolean),
            adapters: t.get("adapters", default.adapters, check::list(check::adapter)),
            shared: t.get("shared", default.shared, check::boolean),
            // From an hour, for a connection costs the device more than a day of adverts, to a month.
            battery_poll_hours: t.get("battery_poll_hours", default.battery_poll_hours, check::whole(1..=744)),
        };
        t.end();
        section
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZwaveSection {
    pub name: String,
    pub url: String,
    /// For whoever stands in front of the server: it has no accounts of its own.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// Of a network that was added at run time; a configuration names a file.
    pub password: Option<Secret>,
    pub ca_file: Option<PathBuf>,
}

impl ZwaveSection {
    /// What could not be read is empty, and complained about.
    pub(super) fn read(mut t: Table, beside: &Path) -> ZwaveSection {
        let name = t.must("name", "\"main\"", check::topic_level);
        let url = t.must("url", "\"ws://127.0.0.1:3000\"", ZwaveSection::url);
        let section = ZwaveSection {
            name: name.unwrap_or_default(),
            url: url.unwrap_or_default(),
            username: t.maybe("username", check::text),
            password_file: t.maybe("password_file", check::file(beside)),
            password: None,
            ca_file: t.maybe("ca_file", check::file(beside)),
        };
        if section.password_file.is_some() && section.username.is_none() {
            t.wrong("password_file", "has no username beside it; username = \"…\" would be right");
        }
        if section.ca_file.is_some() && !section.url.starts_with("wss://") {
            t.wrong("ca_file", "is for TLS, and url has none; url = \"wss://…\" would be right");
        }
        t.end();
        section
    }

    /// The address of a server, or what is wrong with it.
    pub fn url(value: &Value) -> Result<String, String> {
        check::url(&["ws", "wss"], true, "ws://127.0.0.1:3000")(value)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MqttSection {
    pub url: String,
    /// Further nodes of the same broker, `HOST` or `HOST:PORT`.
    pub other_nodes: Vec<String>,
    /// 5, or 4 for MQTT 3.1.1 (its number on the wire).
    pub version: u8,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub prefix: String,
    /// Whether the digits of access codes leave on this sink; `None` leaves it to the hub: over TLS only.
    pub code_digits: Option<bool>,
    pub commands: bool,
    pub backfill: bool,
    pub read_back: bool,
    pub home_assistant: bool,
}

impl Default for MqttSection {
    fn default() -> MqttSection {
        MqttSection {
            url: "mqtt://127.0.0.1:1883".into(),
            other_nodes: Vec::new(),
            version: 5,
            username: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            prefix: "portcullis".into(),
            code_digits: None,
            commands: false,
            backfill: false,
            read_back: true,
            home_assistant: false,
        }
    }
}

impl MqttSection {
    pub(super) fn read(mut t: Table, beside: &Path) -> MqttSection {
        let default = MqttSection::default();
        let section = MqttSection {
            url: t.get("url", default.url, check::url(&["mqtt", "mqtts"], false, "mqtt://127.0.0.1:1883")),
            other_nodes: t.get("other_nodes", default.other_nodes, check::list(check::host_maybe_port)),
            version: t.get("version", default.version, check::whole(4..=5)),
            username: t.maybe("username", check::text),
            password_file: t.maybe("password_file", check::file(beside)),
            ca_file: t.maybe("ca_file", check::file(beside)),
            client_cert_file: t.maybe("client_cert_file", check::file(beside)),
            client_key_file: t.maybe("client_key_file", check::file(beside)),
            prefix: t.get("prefix", default.prefix, check::topic_prefix),
            code_digits: t.maybe("code_digits", check::boolean),
            commands: t.get("commands", default.commands, check::boolean),
            backfill: t.get("backfill", default.backfill, check::boolean),
            read_back: t.get("read_back", default.read_back, check::boolean),
            home_assistant: t.get("home_assistant", default.home_assistant, check::boolean),
        };
        section.go_together(&t);
        t.end();
        section
    }

    fn go_together(&self, t: &Table) {
        if self.password_file.is_some() && self.username.is_none() {
            t.wrong("password_file", "has no username beside it; username = \"…\" would be right");
        }
        pair(t, ("client_cert_file", &self.client_cert_file), ("client_key_file", &self.client_key_file));
        let tls = [("ca_file", &self.ca_file), ("client_cert_file", &self.client_cert_file)];
        for (key, _) in tls.into_iter().filter(|(_, file)| file.is_some() && !self.url.starts_with("mqtts://")) {
            t.wrong(key, "is for TLS, and url has none; url = \"mqtts://…:8883\" would be right");
        }
    }
}

/// Two files that are of use only together.
fn pair(t: &Table, (a, first): (&str, &Option<PathBuf>), (b, second): (&str, &Option<PathBuf>)) {
    let (there, missing) = match (first, second) {
        (Some(_), None) => (a, b),
        (None, Some(_)) => (b, a),
        _ => return,
    };
    t.wrong(missing, format!("is missing or wrong, and {there} is of no use without it; give both, or neither"));
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpSection {
    pub listen: String,
    pub tls_cert_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
    /// Names under which the hub is asked, beside its addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Requests a second of one key; twice as many at once.
    pub requests_per_second: u32,
}

impl Default for HttpSection {
    fn default() -> HttpSection {
        HttpSection {
            listen: "127.0.0.1:8470".into(),
            tls_cert_file: None,
            tls_key_file: None,
            allowed_hosts: Vec::new(),
            requests_per_second: 2500,
        }
    }
}

impl HttpSection {
    pub(super) fn read(mut t: Table, beside: &Path) -> HttpSection {
        let default = HttpSection::default();
        let section = HttpSection {
            listen: t.get("listen", default.listen, check::listen),
            tls_cert_file: t.maybe("tls_cert_file", check::file(beside)),
            tls_key_file: t.maybe("tls_key_file", check::file(beside)),
            allowed_hosts: t.get("allowed_hosts", default.allowed_hosts, check::list(check::host_name)),
            requests_per_second: t.get("requests_per_second", default.requests_per_second, check::whole(1..=100_000)),
        };
        pair(&t, ("tls_cert_file", &section.tls_cert_file), ("tls_key_file", &section.tls_key_file));
        let open = check::addresses(&section.listen).iter().any(|a| !a.ip().is_loopback());
        if open && section.tls_cert_file.is_none() {
            let right = "listen on 127.0.0.1, or give tls_cert_file and tls_key_file";
            t.wrong(
                "listen",
                format!("{:?} can be reached from outside, and keys would go in the clear; {right}", section.listen),
            );
        }
        t.end();
        section
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhooksSection {
    /// Whether endpoints may be where only this network reaches.
    pub private_addresses: bool,
    pub ca_file: Option<PathBuf>,
}

impl WebhooksSection {
    pub(super) fn read(mut t: Table, beside: &Path) -> WebhooksSection {
        let section = WebhooksSection {
            private_addresses: t.get("private_addresses", false, check::boolean),
            ca_file: t.maybe("ca_file", check::file(beside)),
        };
        t.end();
        section
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct EventsSection {
    pub dialect: Dialect,
    pub retention_days: u32,
}

impl Default for EventsSection {
    fn default() -> EventsSection {
        EventsSection { dialect: Dialect::Classic, retention_days: 30 }
    }
}

impl EventsSection {
    pub(super) fn read(mut t: Table) -> EventsSection {
        let default = EventsSection::default();
        let section = EventsSection {
            dialect: t.get("dialect", default.dialect, word(DIALECT)),
            // A century: more is a slip of the pen.
            retention_days: t.get("retention_days", default.retention_days, check::whole(1..=36_500)),
        };
        t.end();
        section
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSection {
    pub id: Option<Uuid>,
    pub place: DevicePlace,
    pub name: Option<String>,
    pub bindkey: Option<BindKey>,
    /// Of a SwitchBot device whose scan response is not heard.
    pub model: Option<&'static str>,
    pub time_zone: Option<chrono_tz::Tz>,
    /// Seconds between the signs of life of a sleepy device.
    pub interval_s: Option<u32>,
    /// The lock whose keypad this is.
    pub accessory_of: Option<DevicePlace>,
    /// Whether its battery is read over a connection; `None` leaves it to what it advertises.
    pub gatt_battery: Option<bool>,
    pub codes: CodeSettings,
    /// Mapping rules: what it says, taken as something else.
    pub map: Vec<Rule>,
}

/// Where a device is: `address`, or `zwave` and `node`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum DevicePlace {
    Ble(Address),
    Zwave { network: String, node: u16 },
}

impl fmt::Debug for DevicePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DevicePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DevicePlace::Ble(address) => write!(f, "address {address}"),
            DevicePlace::Zwave { network, node } => write!(f, "node {node} of zwave {network:?}"),
        }
    }
}

impl DeviceSection {
    /// `None` where it is not clear which device is meant; it is complained about.
    pub(super) fn read(mut t: Table, beside: &Path) -> Option<DeviceSection> {
        let address = t.maybe("address", check::address);
        let network = t.maybe("zwave", check::topic_level);
        let node = t.maybe("node", node);
        let place = match (address, network, node) {
            (Some(address), None, None) => Some(DevicePlace::Ble(address)),
            (None, Some(network), Some(node)) => Some(DevicePlace::Zwave { network, node }),
            (Some(_), ..) => {
                t.wrong(
                    "address",
                    "is given together with zwave or node; a device has either an address, or zwave and node",
                );
                None
            }
            // The key that is there but cannot be read is complained about already.
            _ if t.complained() => None,
            (None, Some(_), None) => {
                t.wrong("node", "is missing; the node's number is right: node = 2");
                None
            }
            (None, None, Some(_)) => {
                t.wrong("zwave", "is missing; the name of a [[zwave]] section is right: zwave = \"main\"");
                None
            }
            (None, None, None) => {
                t.wrong(
                    "address",
                    "is missing; address = \"C0:FF:EE:00:00:01\" is right, or zwave = \"main\" and node = 2",
                );
                None
            }
        };
        let id = t.maybe("id", check::uuid);
        let bindkey = t.maybe("bindkey", check::bind_key);
        let from_file = t.maybe("bindkey_file", secret_in(beside, check::bind_key_text));
        if bindkey.is_some() && from_file.is_some() {
            t.wrong("bindkey_file", "is given together with bindkey; one of them is right");
        }
        let bindkey = bindkey.or(from_file);
        if bindkey.is_some() && matches!(place, Some(DevicePlace::Zwave { .. })) {
            t.wrong("bindkey", "is for Bluetooth devices; a Z-Wave network has its keys in its driver");
        }
        let model = t.maybe("model", check::ble_model);
        if model.is_some() && matches!(place, Some(DevicePlace::Zwave { .. })) {
            t.wrong("model", "is for Bluetooth devices; a Z-Wave node says what it is");
        }
        let name = t.maybe("name", check::text);
        let time_zone = t.maybe("time_zone", check::time_zone);
        // From a second to a month: a sleepy device that speaks less often says nothing by its silence.
        let interval_s = t.maybe("interval_s", check::whole(1..=2_678_400));
        let accessory_of = t.maybe("accessory_of", lock_of_keypad);
        let gatt_battery = t.maybe("gatt_battery", check::boolean);
        if gatt_battery.is_some() && matches!(place, Some(DevicePlace::Zwave { .. })) {
            t.wrong("gatt_battery", "is for Bluetooth devices; a Z-Wave node reports its battery by itself");
        }
        let codes = codes(&mut t);
        let map = t.sections("map");
        t.end();
        let map = super::rules::read(map);
        let bindkey = bindkey.map(|k| BindKey::new(hex::decode(k.reveal()).unwrap_or_default()));
        Some(DeviceSection {
            id,
            place: place?,
            name,
            bindkey,
            model,
            time_zone,
            interval_s,
            accessory_of,
            gatt_battery,
            codes,
            map,
        })
    }
}

/// What the hub may do to a lock's codes.
fn codes(t: &mut Table) -> CodeSettings {
    let manage = t.get("codes", false, word(CODES));
    let settings = CodeSettings {
        manage,
        slots: t.maybe("slots", check::slots).map(|slots| slots.into_inner()),
        confirmation: t.maybe("confirmation", word(CONFIRMATION)),
        // More than that are slots that no guest gets.
        backup: t.get("backup_codes", 0, check::whole(0..=10)),
        dates_by_hub: t.get("schedules", false, word(DATES_BY_HUB)),
    };
    for (key, given) in [
        ("slots", settings.slots.is_some()),
        ("confirmation", settings.confirmation.is_some()),
        ("backup_codes", settings.backup > 0),
        ("schedules", settings.dates_by_hub),
    ] {
        if given && !manage {
            t.wrong(key, "is given, but codes are only observed; codes = \"manage\" would be right");
        }
    }
    settings
}

/// A lock as its keypad names it: by address, or `main/2`.
fn lock_of_keypad(value: &::config::Value) -> Result<DevicePlace, String> {
    let text = check::text(value)?;
    let node = || {
        let (network, node) = text.split_once('/')?;
        Some(DevicePlace::Zwave { network: network.to_owned(), node: node.parse().ok()? })
    };
    let place = text.parse().map(DevicePlace::Ble).ok().or_else(node);
    place.ok_or_else(|| {
        format!(
            "is {text:?}; the lock's address is right (\"C0:FF:EE:00:00:01\"), or its network and node (\"main/2\")"
        )
    })
}

/// Classic nodes, and Long Range ones (Z-Wave Long Range, node ids 256 to 4000).
fn node(value: &::config::Value) -> Result<u16, String> {
    let node = check::whole::<u16>(1..=4000)(value)?;
    match node {
        233..=255 => Err(format!("is {node}; 1 to 232 is right, or 256 to 4000 for Long Range")),
        _ => Ok(node),
    }
}

/// What a file holds, read as the value itself would be.
fn secret_in(
    beside: &Path,
    read: impl Fn(&str) -> Result<Secret, String>,
) -> impl Fn(&::config::Value) -> Result<Secret, String> {
    move |value| {
        let path = check::file(beside)(value)?;
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}; a text file is right", path.display()))?;
        read(&text).map_err(|what| format!("{}: its content {what}", path.display()))
    }
}
