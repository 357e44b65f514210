//! What the publisher is told: which broker, who we are there, and at what pace.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::topics::{Topics, is_level};
use crate::config::Config;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    /// Every node of the broker, `host` and `port` among them.
    pub nodes: Vec<(String, u16)>,
    pub tls: bool,
    pub version: Version,
    pub client_id: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub topics: Topics,
    /// Whether the digits of access codes go out; otherwise they are masked.
    pub code_digits: bool,
    /// Whether commands are taken from the broker.
    pub commands: bool,
    /// Whether events may be asked for again.
    pub backfill: bool,
    /// With MQTT 3.1.1: whether what we write must come back before events go out.
    pub read_back: bool,
    /// Whether devices are announced to Home Assistant.
    pub home_assistant: bool,
    pub pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V5,
    /// 3.1.1, whose protocol level is 4.
    V4,
}

/// How long things may take. The defaults are for a broker across the internet; tests are less patient.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// A silent peer is found within 1.5 of these: one until the ping, half a one for its answer.
    pub keep_alive: Duration,
    /// A publish that is not acknowledged for so long ends the connection. More than a keep-alive and a half would never
    /// come to pass; a broker that writes every message to a slow disk needs some seconds.
    pub ack: Duration,
    /// DNS, TCP, TLS and CONNACK together.
    pub connect: Duration,
    /// Publishes on their way at once. 100 reach a local broker's full speed; rumqttc preallocates as many slots.
    pub window: u16,
    /// The wait after a first failure; it doubles with each one more, with jitter.
    pub retry_first: Duration,
    pub retry_most: Duration,
    /// How often the health topic is written though nothing changed.
    pub health: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            keep_alive: Duration::from_secs(30),
            ack: Duration::from_secs(20),
            connect: Duration::from_secs(15),
            window: 100,
            retry_first: Duration::from_millis(250),
            retry_most: Duration::from_secs(60),
            health: Duration::from_secs(60),
        }
    }
}

/// What is wrong with `[mqtt]`, by key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("mqtt.url: {url:?} is no broker's address; write mqtt://HOST[:1883], or mqtts://HOST[:8883] for TLS")]
    Url { url: String },
    #[error("mqtt.other_nodes: {node:?} is no HOST or HOST:PORT")]
    Node { node: String },
    #[error("mqtt.url: no user or password in the address; put them into mqtt.username and mqtt.password_file")]
    UrlCredentials,
    #[error("mqtt.version: {0} is not known; write 5, or 4 for MQTT 3.1.1")]
    Version(u8),
    #[error("{key}: {value:?} cannot be part of a topic; use letters, digits, _ and -")]
    Level { key: &'static str, value: String },
    #[error("mqtt.client_cert_file and mqtt.client_key_file go together; one of them is missing")]
    HalfAClientCertificate,
    #[error("{key}: a certificate file needs TLS; write mqtt.url as mqtts://…")]
    CertificateWithoutTls { key: &'static str },
    #[error("mqtt.password_file: a password needs mqtt.username")]
    PasswordWithoutUser,
}

impl Settings {
    pub fn new(config: &Config) -> Result<Settings, SettingsError> {
        let mqtt = &config.mqtt;
        let (host, port, tls) = address(&mqtt.url)?;
        let scheme = if tls { "mqtts" } else { "mqtt" };
        let node = |node: &String| match address(&format!("{scheme}://{node}")) {
            Ok((host, port, _)) => Ok((host, port)),
            Err(_) => Err(SettingsError::Node { node: node.clone() }),
        };
        let others = mqtt.other_nodes.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        let nodes = [vec![(host.clone(), port)], others].concat();
        let version = match mqtt.version {
            5 => Version::V5,
            4 => Version::V4,
            other => return Err(SettingsError::Version(other)),
        };
        let level = |key, value: &str| match value.split('/').all(is_level) {
            true => Ok(()),
            false => Err(SettingsError::Level { key, value: value.to_owned() }),
        };
        level("mqtt.prefix", &mqtt.prefix)?;
        level("hub.name", &config.hub.name)?;
        if mqtt.client_cert_file.is_some() != mqtt.client_key_file.is_some() {
            return Err(SettingsError::HalfAClientCertificate);
        }
        for (key, file) in [("mqtt.ca_file", &mqtt.ca_file), ("mqtt.client_cert_file", &mqtt.client_cert_file)] {
            if file.is_some() && !tls {
                return Err(SettingsError::CertificateWithoutTls { key });
            }
        }
        if mqtt.password_file.is_some() && mqtt.username.is_none() {
            return Err(SettingsError::PasswordWithoutUser);
        }
        Ok(Settings {
            client_id: format!("{}-{}", mqtt.prefix.replace('/', "-"), config.hub.name),
            topics: Topics::new(&mqtt.prefix, &config.hub.name),
            code_digits: mqtt.code_digits.unwrap_or(tls || nodes.iter().all(|(host, _)| is_this_machine(host))),
            commands: mqtt.commands,
            backfill: mqtt.backfill,
            read_back: mqtt.read_back,
            home_assistant: mqtt.home_assistant,
            username: mqtt.username.clone(),
            password_file: mqtt.password_file.clone(),
            ca_file: mqtt.ca_file.clone(),
            client_cert_file: mqtt.client_cert_file.clone(),
            client_key_file: mqtt.client_key_file.clone(),
            pace: Pace::default(),
            host,
            port,
            nodes,
            tls,
            version,
        })
    }

    /// Where it is, for people.
    pub fn broker(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Which node a hub begins with: another one for another hub, so that a fleet spreads over them.
    pub fn first_node(&self) -> usize {
        let mut hasher = DefaultHasher::new();
        self.client_id.hash(&mut hasher);
        hasher.finish() as usize % self.nodes.len()
    }

    /// The same with one node, counted round and round.
    pub fn at_node(&self, turn: usize) -> Settings {
        let (host, port) = self.nodes[turn % self.nodes.len()].clone();
        Settings { host, port, ..self.clone() }
    }

    /// The password, read afresh for each connection: it may have been changed.
    ///
    /// From `password_file`, or else from systemd's credential `mqtt_password`.
    pub fn password(&self) -> Result<Option<String>, (PathBuf, std::io::Error)> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|d| Path::new(&d).join("mqtt_password"));
        let path = match (&self.password_file, credential) {
            (Some(file), _) => file.clone(),
            (None, Some(file)) if file.exists() => file,
            _ => return Ok(None),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| (path, e))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host (an IPv6 address keeps its brackets), port, and whether TLS is asked for.
fn address(url: &str) -> Result<(String, u16, bool), SettingsError> {
    let wrong = || SettingsError::Url { url: url.to_owned() };
    let (rest, tls) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return Err(wrong()),
    };
    if rest.contains('@') {
        return Err(SettingsError::UrlCredentials);
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let colon = rest.rfind(':').filter(|colon| !rest[*colon..].contains(']'));
    let (host, port) = match colon {
        Some(colon) => (&rest[..colon], rest[colon + 1..].parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?),
        None => (rest, if tls { 8883 } else { 1883 }),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !(bracketed || host.chars().all(plain)) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_its_protocols_port_unless_one_is_named() {
        let of = |url| address(url).unwrap();
        assert_eq!(of("mqtt://broker.lan"), ("broker.lan".into(), 1883, false));
        assert_eq!(of("mqtts://broker.lan/"), ("broker.lan".into(), 8883, true));
        assert_eq!(of("mqtt://10.0.0.1:2883"), ("10.0.0.1".into(), 2883, false));
        assert_eq!(of("mqtts://[fe80::1]:9"), ("[fe80::1]".into(), 9, true));
        assert_eq!(of("mqtt://[::1]"), ("[::1]".into(), 1883, false));
    }

    #[test]
    fn what_is_no_address_is_refused_and_never_guessed_at() {
        for url in
            ["", "broker", "http://broker", "mqtt://", "mqtt://a:0", "mqtt://a:70000", "mqtt://a b", "mqtt://a/b"]
        {
            assert!(matches!(address(url), Err(SettingsError::Url { .. })), "{url}");
        }
        assert_eq!(address("mqtt://me:secret@broker"), Err(SettingsError::UrlCredentials));
    }

    #[test]
    fn codes_go_out_in_clear_only_where_nobody_can_listen_unless_told_otherwise() {
        let digits = |url: &str, told| {
            let mut config = Config::default();
            (config.mqtt.url, config.mqtt.code_digits) = (url.into(), told);
            Settings::new(&config).unwrap().code_digits
        };
        for url in ["mqtts://broker.lan", "mqtt://127.0.0.1", "mqtt://127.0.0.2:99", "mqtt://[::1]", "mqtt://localhost"]
        {
            assert!(digits(url, None), "{url}");
            assert!(!digits(url, Some(false)), "{url}");
        }
        for url in
            ["mqtt://broker.lan", "mqtt://10.0.0.1", "mqtt://[fe80::1]", "mqtt://localhost.lan", "mqtt://0.0.0.0"]
        {
            assert!(!digits(url, None), "{url}");
            assert!(digits(url, Some(true)), "{url}");
        }
    }

    #[test]
    fn hubs_begin_at_different_nodes_and_go_round_all_of_them() {
        let settings = |hub: usize| {
            let mut config = Config::default();
            (config.hub.name, config.mqtt.url) = (format!("hub-{hub}"), "mqtts://a".into());
            config.mqtt.other_nodes = vec!["b:99".into(), "c".into()];
            Settings::new(&config).unwrap()
        };
        let first = settings(1);
        let round: Vec<String> = (0..4).map(|turn| first.at_node(turn).broker()).collect();
        assert_eq!(round, ["a:8883", "b:99", "c:8883", "a:8883"]);
        let mut begin = [0; 3];
        (0..300).for_each(|hub| begin[settings(hub).first_node()] += 1);
        assert!(begin.iter().all(|hubs| *hubs > 60), "{begin:?}");
    }

    #[test]
    fn codes_are_masked_where_one_of_the_nodes_is_elsewhere() {
        let mut config = Config::default();
        config.mqtt.other_nodes = vec!["broker.lan".into()];
        assert!(!Settings::new(&config).unwrap().code_digits);
    }

    #[test]
    fn a_hub_name_that_cannot_be_a_topic_level_is_refused() {
        let mut config = Config::default();
        config.hub.name = "hub.1".into();
        assert!(matches!(Settings::new(&config), Err(SettingsError::Level { key: "hub.name", .. })));
    }
}
