//! The configuration: TOML, overridden by `PORTCULLIS__SECTION__KEY`, checked whole. `config.toml.example` is the reference.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use crate::event::Dialect;
use crate::hub::{Adopt, DeviceSettings, Place, Settings};
use crate::signal::{Address, NAMESPACE};

/// Where an installed hub keeps its state.
pub const STATE_DIR: &str = "/var/lib/portcullis";

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub state_dir: PathBuf,
    pub hub: HubSection,
    pub adopt: AdoptSection,
    pub ble: BleSection,
    pub zwave: Vec<ZwaveSection>,
    pub mqtt: MqttSection,
    pub http: HttpSection,
    pub events: EventsSection,
    pub devices: Vec<DeviceSection>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            state_dir: STATE_DIR.into(),
            hub: HubSection::default(),
            adopt: AdoptSection::default(),
            ble: BleSection::default(),
            zwave: Vec::new(),
            mqtt: MqttSection::default(),
            http: HttpSection::default(),
            events: EventsSection::default(),
            devices: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HubSection {
    pub name: String,
    pub workspace_id: Option<Uuid>,
    pub time_zone: chrono_tz::Tz,
}

impl Default for HubSection {
    fn default() -> HubSection {
        HubSection { name: "hub-1".into(), workspace_id: None, time_zone: chrono_tz::Tz::UTC }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdoptSection {
    pub ble: Adopt,
    pub zwave: Adopt,
}

impl Default for AdoptSection {
    fn default() -> AdoptSection {
        AdoptSection { ble: Adopt::Listed, zwave: Adopt::Known }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BleSection {
    pub enabled: bool,
    /// Empty: all of them.
    pub adapters: Vec<String>,
    pub shared: bool,
}

impl Default for BleSection {
    fn default() -> BleSection {
        BleSection { enabled: true, adapters: Vec::new(), shared: true }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZwaveSection {
    pub name: String,
    pub url: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttSection {
    pub url: String,
    pub version: u8,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub prefix: String,
    pub code_digits: Option<bool>,
    pub commands: bool,
    pub home_assistant: bool,
}

impl Default for MqttSection {
    fn default() -> MqttSection {
        MqttSection {
            url: "mqtt://127.0.0.1:1883".into(),
            version: 5,
            username: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            prefix: "portcullis".into(),
            code_digits: None,
            commands: false,
            home_assistant: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    pub listen: String,
    pub tls_cert_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
}

impl Default for HttpSection {
    fn default() -> HttpSection {
        HttpSection { listen: "127.0.0.1:8470".into(), tls_cert_file: None, tls_key_file: None }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSection {
    pub dialect: Dialect,
    pub retention_days: u32,
}

impl Default for EventsSection {
    fn default() -> EventsSection {
        EventsSection { dialect: Dialect::Classic, retention_days: 30 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSection {
    pub id: Option<Uuid>,
    pub address: Option<Address>,
    pub zwave: Option<String>,
    pub node: Option<u16>,
    pub name: Option<String>,
    pub bindkey: Option<String>,
    pub bindkey_file: Option<PathBuf>,
    pub time_zone: Option<chrono_tz::Tz>,
    /// Seconds between the signs of life of a sleepy device.
    pub interval_s: Option<u32>,
}

impl Config {
    pub fn load(path: &Path) -> Result<Config, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// What of it concerns the judgement. Without an identity the workspace is derived from the hub's name.
    pub fn settings(&self, workspace_id: Option<Uuid>) -> Settings {
        let derived = || Uuid::new_v5(&NAMESPACE, format!("workspace:{}", self.hub.name).as_bytes());
        Settings {
            workspace_id: self.hub.workspace_id.or(workspace_id).unwrap_or_else(derived),
            hub_name: self.hub.name.clone(),
            time_zone: self.hub.time_zone,
            adopt_ble: self.adopt.ble,
            adopt_zwave: self.adopt.zwave,
            low_battery: 0.20,
            devices: self.devices.iter().filter_map(DeviceSection::settings).collect(),
            networks: self.zwave.iter().map(|z| Arc::from(z.name.as_str())).collect(),
        }
    }
}

impl DeviceSection {
    fn settings(&self) -> Option<DeviceSettings> {
        let place = match (self.address, &self.zwave, self.node) {
            (Some(address), None, None) => Place::Ble(address),
            (None, Some(network), Some(node)) => Place::Zwave { network: network.as_str().into(), node },
            _ => return None,
        };
        Some(DeviceSettings {
            id: self.id,
            place,
            name: self.name.clone(),
            time_zone: self.time_zone,
            interval: self.interval_s.map(|s| std::time::Duration::from_secs(s.into())),
        })
    }
}
