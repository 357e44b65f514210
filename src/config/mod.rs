//! The configuration: TOML, overridden by `PORTCULLIS__SECTION__KEY`, checked whole. `config.toml.example` is the reference.
//!
//! Promises: all that is wrong is told at once, a line each, with the key's path, what is wrong and what would be right; a
//! secret is never shown, not even a wrong one. A key is added in [`sections`], on one line with its default and its check.

pub mod check;
mod judgement;
mod read;
mod rules;
mod sections;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::config::{Environment, FileFormat, Value, ValueKind};
use uuid::Uuid;

pub use judgement::JudgementSection;
pub use read::Problem;
pub use sections::{
    AdoptSection, BleSection, DevicePlace, DeviceSection, EventsSection, HttpSection, HubSection, MqttSection,
    WebhooksSection, ZwaveSection,
};

use crate::hub::{DeviceSettings, Place, Settings};
use crate::signal::NAMESPACE;
use crate::source::ble::radio;
use read::{Problems, Table};

/// Where an installed hub keeps its state.
pub const STATE_DIR: &str = "/var/lib/portcullis";

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub state_dir: PathBuf,
    pub hub: HubSection,
    pub adopt: AdoptSection,
    pub ble: BleSection,
    pub zwave: Vec<ZwaveSection>,
    pub mqtt: MqttSection,
    pub http: HttpSection,
    pub webhooks: WebhooksSection,
    pub events: EventsSection,
    pub judgement: JudgementSection,
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
            webhooks: WebhooksSection::default(),
            events: EventsSection::default(),
            judgement: JudgementSection::default(),
            devices: Vec::new(),
        }
    }
}

/// A configuration that cannot be used, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub path: PathBuf,
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many =
            if self.problems.len() == 1 { "1 problem".into() } else { format!("{} problems", self.problems.len()) };
        write!(f, "{}: {many}", self.path.display())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Config {
    /// Reads the file, with the overrides of the environment.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let wrong = |what| ConfigError { path: path.to_owned(), problems: vec![Problem { key: String::new(), what }] };
        let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => wrong("there is no such file; write one (config.toml.example shows every key), or name another with --config FILE".into()),
            _ => wrong(format!("{e}; a file that this user can read is right")),
        })?;
        let beside = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = std::path::absolute(beside).unwrap_or_else(|_| beside.to_owned());
        Config::parse(&text, &beside, std::env::vars().collect())
            .map_err(|problems| ConfigError { path: path.to_owned(), problems })
    }

    /// Reads a text. Files without a full path are looked for in `beside`; `environment` overrides.
    pub fn parse(text: &str, beside: &Path, environment: HashMap<String, String>) -> Result<Config, Vec<Problem>> {
        let problems = Problems::default();
        let config = match layers(text, environment) {
            Ok(root) => Config::read(Table::root(root, &problems), beside, &problems),
            Err(what) => return Err(vec![Problem { key: String::new(), what }]),
        };
        match problems.take() {
            none if none.is_empty() => Ok(config),
            problems => Err(problems),
        }
    }

    fn read(mut t: Table, beside: &Path, problems: &Problems) -> Config {
        let networks: Vec<_> =
            t.sections("zwave").into_iter().map(|t| (t.path(""), ZwaveSection::read(t, beside))).collect();
        let devices = t.sections("devices").into_iter().map(|t| (t.path(""), DeviceSection::read(t, beside)));
        let devices: Vec<_> = devices.filter_map(|(path, device)| Some((path, device?))).collect();
        once(problems, &networks, "name", |n| (!n.name.is_empty()).then(|| n.name.clone()));
        once(problems, &networks, "url", |n| (!n.url.is_empty()).then(|| n.url.clone()));
        once(problems, &devices, "id", |d| d.id);
        once(problems, &devices, "address", |d| matches!(d.place, DevicePlace::Ble(_)).then(|| d.place.clone()));
        once(problems, &devices, "node", |d| matches!(d.place, DevicePlace::Zwave { .. }).then(|| d.place.clone()));
        networks_exist(problems, &networks, &devices);
        let config = Config {
            state_dir: t.get("state_dir", STATE_DIR.into(), check::directory),
            hub: HubSection::read(t.section("hub"), beside),
            adopt: AdoptSection::read(t.section("adopt")),
            ble: BleSection::read(t.section("ble")),
            zwave: networks.into_iter().map(|(_, network)| network).collect(),
            mqtt: MqttSection::read(t.section("mqtt"), beside),
            http: HttpSection::read(t.section("http"), beside),
            webhooks: WebhooksSection::read(t.section("webhooks"), beside),
            events: EventsSection::read(t.section("events")),
            judgement: JudgementSection::read(t.section("judgement")),
            devices: devices.into_iter().map(|(_, device)| device).collect(),
        };
        t.end();
        config
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
            adopt_codes: self.adopt.codes.clone(),
            battery: self.judgement.battery,
            flaky: self.judgement.flaky,
            devices: self.devices.iter().map(DeviceSection::settings).map(|d| (d.place.clone(), d)).collect(),
            networks: self.zwave.iter().map(|z| Arc::from(z.name.as_str())).collect(),
        }
    }
}

impl Config {
    /// What of it concerns the radio.
    pub fn radio(&self) -> radio::Settings {
        let polled = self.devices.iter().filter_map(|d| match d.place {
            DevicePlace::Ble(address) => Some((address, d.gatt_battery?)),
            DevicePlace::Zwave { .. } => None,
        });
        radio::Settings {
            adapters: self.ble.adapters.clone(),
            shared: self.ble.shared,
            poll: radio::PollSettings {
                every: Duration::from_secs(u64::from(self.ble.battery_poll_hours) * 3600),
                devices: polled.collect(),
            },
            bus: None,
        }
    }
}

impl DeviceSection {
    fn settings(&self) -> DeviceSettings {
        DeviceSettings {
            id: self.id,
            place: self.place.settings(),
            name: self.name.clone(),
            time_zone: self.time_zone,
            interval: self.interval_s.map(|s| Duration::from_secs(s.into())),
            accessory_of: self.accessory_of.as_ref().map(DevicePlace::settings),
            codes: self.codes.clone(),
        }
    }
}

impl DevicePlace {
    fn settings(&self) -> Place {
        match self {
            DevicePlace::Ble(address) => Place::Ble(*address),
            DevicePlace::Zwave { network, node } => Place::Zwave { network: network.as_str().into(), node: *node },
        }
    }
}

/// The file, and over it the environment.
fn layers(text: &str, environment: HashMap<String, String>) -> Result<Value, String> {
    // Parsed here for the place of a mistake; the parser's own picture of it would show the line, which may hold a key.
    if let Err(error) = text.parse::<toml::Table>() {
        let before = text.get(..error.span().map_or(0, |s| s.start)).unwrap_or_default();
        let (line, column) =
            (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
        return Err(format!("line {line}, column {column}: {message}; TOML is right (config.toml.example shows it)"));
    }
    let overrides = Environment::with_prefix("PORTCULLIS").prefix_separator("__").separator("__");
    let built = ::config::Config::builder()
        .add_source(::config::File::from_str(text, FileFormat::Toml))
        .add_source(overrides.source(Some(environment)))
        .build()
        .map_err(|e| format!("an override PORTCULLIS__… in the environment: {e}"))?;
    Ok(Value::new(None, ValueKind::Table(built.cache.into_table().unwrap_or_default())))
}

/// No two of `items` (with their paths) may have the same `key`.
fn once<T, K: Eq + Hash + fmt::Display>(
    problems: &Problems,
    items: &[(String, T)],
    key: &str,
    of: impl Fn(&T) -> Option<K>,
) {
    let mut first: HashMap<K, &str> = HashMap::new();
    for (path, item) in items {
        let Some(value) = of(item) else { continue };
        let text = value.to_string();
        if let Some(first) = first.insert(value, path) {
            problems.add(format!("{path}.{key}"), format!("{text} is that of {first} too; each once is right"));
        }
    }
}

fn networks_exist(problems: &Problems, networks: &[(String, ZwaveSection)], devices: &[(String, DeviceSection)]) {
    let names: Vec<&str> = networks.iter().map(|(_, n)| n.name.as_str()).collect();
    // A network whose name could not be read may be the one that is meant.
    if names.contains(&"") {
        return;
    }
    for (path, device) in devices {
        if let DevicePlace::Zwave { network, .. } = &device.place
            && !names.contains(&network.as_str())
        {
            let right = match names.is_empty() {
                true => "a [[zwave]] section with this name would be right".to_owned(),
                false => format!("one of these is right: {}", names.join(", ")),
            };
            problems.add(format!("{path}.zwave"), format!("{network:?} is no network of the configuration; {right}"));
        }
    }
}
