//! What is there to be used. Nothing is changed by looking, and nobody is waited for longer than a few seconds.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Args;
use crate::cli::doctor::{Finding, links};
use crate::config::{Config, MqttSection, ZwaveSection, check};
use crate::sink::mqtt::{self, Probe};
use crate::source::zwave::probe::{self, ProbeError};
use crate::source::zwave::socket::ConnectError;

/// zwave-js-server's port, and that of zwave-js-ui's server; the names are those under which Home Assistant's own containers find the
/// add-ons (Z-Wave JS, Z-Wave JS UI).
const ZWAVE: [&str; 3] = ["ws://127.0.0.1:3000", "ws://core-zwave-js:3000", "ws://a0d7b954-zwavejs2mqtt:3000"];
/// Plain on this machine is as good as TLS, and needs no certificate.
const MQTT: [&str; 2] = ["mqtt://127.0.0.1:1883", "mqtts://localhost:8883"];
pub const HOME_ASSISTANT: &str = "127.0.0.1:8123";
/// The pages of zwave-js-ui, which run without its server.
const ZWAVE_UI: &str = "127.0.0.1:8091";
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Where to look.
pub struct Places {
    zwave: Vec<String>,
    mqtt: Vec<String>,
    home_assistant: String,
}

impl Places {
    pub fn new(args: &Args, now: &Config) -> Places {
        let usual = |places: &[&str]| places.iter().map(|p| p.to_string()).collect::<Vec<_>>();
        let mqtt = match &args.mqtt {
            Some(url) => vec![url.clone()],
            // What was chosen is looked at, and nothing else put in its place.
            None if now.mqtt != MqttSection::default() => vec![now.mqtt.url.clone()],
            None => usual(&MQTT),
        };
        let zwave = if args.zwave.is_empty() { usual(&ZWAVE) } else { args.zwave.clone() };
        Places { zwave, mqtt, home_assistant: args.home_assistant.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub url: String,
    pub home: u32,
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// It takes our messages.
    Open {
        url: String,
        version: u8,
    },
    /// It is there and does not let us in as we are.
    Closed {
        url: String,
        version: u8,
        why: String,
    },
    Nobody,
}

pub struct Found {
    adapters: Result<Vec<links::Adapter>, Box<Finding>>,
    /// Networks that the configuration does not have.
    pub networks: Vec<Network>,
    known: Vec<String>,
    hints: Vec<String>,
    pub broker: Broker,
    pub home_assistant: bool,
}

pub async fn look(now: &Config, places: &Places) -> Found {
    let (adapters, (networks, known, mut hints), broker, home_assistant) = tokio::join!(
        links::find_adapters(),
        networks(now, &places.zwave),
        broker(now, &places.mqtt),
        is_home_assistant(&places.home_assistant),
    );
    if networks.is_empty() && known.is_empty() {
        if timeout(ANSWER_WITHIN, TcpStream::connect(ZWAVE_UI)).await.is_ok_and(|c| c.is_ok()) {
            hints.push(
                "zwave-js-ui seems to be on port 8091: turn its server on (Settings, Home Assistant, WS Server)".into(),
            );
        } else if home_assistant {
            let add_on = "if its Z-Wave JS add-on has the stick, give the add-on's port 3000 to the host (its Configuration, Network)";
            hints.push(add_on.into());
        }
    }
    Found { adapters, networks, known, hints, broker, home_assistant }
}

impl Found {
    pub fn has_adapter(&self) -> bool {
        self.adapters.as_ref().is_ok_and(|adapters| !adapters.is_empty())
    }

    /// For people: a line each.
    pub fn lines(&self) -> Vec<String> {
        let line = |what: &str, text: String| format!("{what:<15} {text}");
        let mut lines = match &self.adapters {
            Ok(adapters) if adapters.is_empty() => vec![line("Bluetooth", "no adapter".into())],
            Ok(adapters) => {
                let one = |a: &links::Adapter| {
                    line("Bluetooth", format!("{} ({}), {}", a.name, a.address, if a.powered { "on" } else { "off" }))
                };
                adapters.iter().map(one).collect()
            }
            Err(finding) => vec![line("Bluetooth", finding.what.clone())],
        };
        let network = |n: &Network| line("Z-Wave", format!("{}: server {}, home id {:08x}", n.url, n.server, n.home));
        lines.extend(self.networks.iter().map(network));
        lines.extend(self.known.iter().map(|known| line("Z-Wave", known.clone())));
        if self.networks.is_empty() && self.known.is_empty() {
            lines.push(line("Z-Wave", "no Z-Wave JS server".into()));
        }
        lines.extend(self.hints.iter().map(|hint| line("", hint.clone())));
        lines.push(line(
            "MQTT broker",
            match &self.broker {
                Broker::Open { url, .. } => format!("{url} takes our messages"),
                Broker::Closed { url, why, .. } => format!("{url}: {why}"),
                Broker::Nobody => "none".into(),
            },
        ));
        lines.push(line("Home Assistant", if self.home_assistant { "is here" } else { "is not here" }.into()));
        lines
    }
}

/// New networks, what is to be said of those that are configured, and hints. One network behind two names is one.
async fn networks(now: &Config, places: &[String]) -> (Vec<Network>, Vec<String>, Vec<String>) {
    let (mut homes, mut known, mut hints) = (Vec::new(), Vec::new(), Vec::new());
    for network in &now.zwave {
        match network_at(network).await {
            Some(Ok(there)) => {
                known.push(format!("{} ({}) is configured: home id {:08x}", network.name, network.url, there.home));
                homes.push(there.home);
            }
            _ => known.push(format!("{} ({}) is configured, and does not answer", network.name, network.url)),
        }
    }
    let mut networks = Vec::new();
    let configured = |url: &&String| now.zwave.iter().any(|n| n.url.trim_end_matches('/') == url.trim_end_matches('/'));
    for url in places.iter().filter(|url| !configured(url)) {
        let (username, password_file, password, ca_file) = (None, None, None, None);
        let there = ZwaveSection { name: "found".into(), url: url.clone(), username, password_file, password, ca_file };
        match network_at(&there).await {
            Some(Ok(network)) if !homes.contains(&network.home) => {
                homes.push(network.home);
                networks.push(network);
            }
            Some(Err(why)) => hints.push(format!("{url}: {why}")),
            _ => {}
        }
    }
    (networks, known, hints)
}

/// `None` where nobody listens; what does, and is of no use, says why.
async fn network_at(server: &ZwaveSection) -> Option<Result<Network, String>> {
    match timeout(ANSWER_WITHIN, probe::probe(server)).await {
        Ok(Ok(found)) => Some(Ok(Network { url: server.url.clone(), home: found.home, server: found.server })),
        Ok(Err(ProbeError::Connect(ConnectError::Io(_)) | ProbeError::Silent)) | Err(_) => None,
        Ok(Err(error)) => Some(Err(error.to_string())),
    }
}

/// The first broker that takes a message, or else the first that is there.
pub async fn broker(now: &Config, places: &[String]) -> Broker {
    let mut closed = None;
    for url in places {
        for version in [now.mqtt.version, 4] {
            let mut config = now.clone();
            (config.mqtt.url, config.mqtt.version) = (url.clone(), version);
            // The files of another broker are not for this one.
            if now.mqtt.url != *url {
                config.mqtt = MqttSection { url: url.clone(), version, ..MqttSection::default() };
            }
            match try_out(&config).await {
                Ok(()) => return Broker::Open { url: url.clone(), version },
                Err(Probed::Refused(why)) => {
                    closed.get_or_insert(Broker::Closed { url: url.clone(), version, why });
                    break;
                }
                // One that knows MQTT 3.1.1 alone ends the connection, or says that it does not know this version.
                Err(Probed::NotThisVersion) => {}
                Err(Probed::Unreachable) => break,
            }
        }
    }
    closed.unwrap_or(Broker::Nobody)
}

/// Whether a broker takes a message from this user; if not, why.
pub async fn lets_in(now: &Config, (url, version): (&str, u8), name: &str, password: &Path) -> Result<(), String> {
    let mut config = now.clone();
    config.mqtt = MqttSection {
        url: url.to_owned(),
        version,
        username: Some(name.to_owned()),
        password_file: Some(password.to_owned()),
        ..now.mqtt.clone()
    };
    try_out(&config).await.map_err(|probed| match probed {
        Probed::Refused(why) => format!("{url} does not let {name:?} in: {why}"),
        Probed::NotThisVersion | Probed::Unreachable => format!("{url} does not answer any more"),
    })
}

enum Probed {
    Refused(String),
    NotThisVersion,
    Unreachable,
}

async fn try_out(config: &Config) -> Result<(), Probed> {
    let settings = mqtt::Settings::new(config).map_err(|e| Probed::Refused(e.to_string()))?;
    let address = (settings.host.trim_matches(['[', ']']).to_owned(), settings.port);
    let listens = timeout(ANSWER_WITHIN, TcpStream::connect(address)).await.is_ok_and(|c| c.is_ok());
    if !listens {
        return Err(Probed::Unreachable);
    }
    let topic = settings.topics.probe();
    match mqtt::probe(settings).await {
        Ok(Probe::Back(_) | Probe::TakenOnly) => Ok(()),
        Ok(Probe::NotAllowed(what)) => Err(Probed::Refused(format!("it refuses a message to {topic} ({what})"))),
        Err(broken) if broken.is_hang_up() && config.mqtt.version == 5 => Err(Probed::NotThisVersion),
        Err(broken) => Err(Probed::Refused(broken.to_string())),
    }
}

/// Home Assistant says who it is to anybody, in the manifest of its pages.
async fn is_home_assistant(address: &str) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(address).await?;
        let request = format!("GET /manifest.json HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(64 << 10).read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).contains("Home Assistant"))
    };
    timeout(ANSWER_WITHIN, ask).await.is_ok_and(|there| there.unwrap_or(false))
}

/// This machine's time zone, as its installer set it.
pub fn time_zone() -> Option<chrono_tz::Tz> {
    let linked = std::fs::read_link("/etc/localtime").ok();
    let linked =
        linked.as_deref().and_then(Path::to_str).and_then(|p| p.split_once("zoneinfo/")).map(|(_, z)| z.to_owned());
    let named = || std::fs::read_to_string("/etc/timezone").ok().map(|name| name.trim().to_owned());
    linked.or_else(named)?.parse().ok()
}

/// This machine's name, as a topic level.
pub fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let level: String =
        name.chars().take_while(|c| *c != '.').filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    (check::is_topic_level(&level) && level != "localhost").then_some(level)
}
