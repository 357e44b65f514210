//! What a single value may be. Each reader answers with the value, or with one line: what is wrong, and what would be right.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use uuid::Uuid;

use super::read::{kind_of, nearest};
use crate::signal::{Address, Secret};
use crate::source::ble::decode::model_meant_by;

type Read<T> = Result<T, String>;

/// Characters of a topic level, a network's name …: what survives every broker's mapping.
const WORD: &str = "letters, digits, _ and - are right (at most 64)";

/// An override from the environment is text whatever it means; anything else must be written as its type.
fn from_environment(value: &Value) -> bool {
    value.origin() == Some("the environment")
}

/// A value as it may be shown in an error: short, and quoted where it is text.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => quoted(text),
        ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => kind_of(&value.kind).to_owned(),
        _ => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}{}", if short.len() < text.len() { "…" } else { "" })
}

pub fn text(value: &Value) -> Read<String> {
    match &value.kind {
        ValueKind::String(text) if text.is_empty() => Err("is empty; leave the key out, or give it a value".into()),
        ValueKind::String(text) => Ok(text.clone()),
        kind => Err(format!("is {}; text in quotes is right", kind_of(kind))),
    }
}

pub fn boolean(value: &Value) -> Read<bool> {
    match &value.kind {
        ValueKind::Boolean(b) => Ok(*b),
        ValueKind::String(s) if from_environment(value) && s == "true" => Ok(true),
        ValueKind::String(s) if from_environment(value) && s == "false" => Ok(false),
        _ => Err(format!("is {}; true or false is right, without quotes", shown(value))),
    }
}

/// A whole number within limits.
pub fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let number = match &value.kind {
            ValueKind::I64(n) => Some(*n),
            ValueKind::String(s) if from_environment(value) => s.parse().ok(),
            _ => None,
        };
        let inside = number.filter(|n| range.contains(n)).and_then(|n| T::try_from(n).ok());
        let right = || format!("a whole number from {} to {} is right", range.start(), range.end());
        inside.ok_or_else(|| format!("is {}; {}", shown(value), right()))
    }
}

/// A number from 0 to 1, for shares and levels.
pub fn fraction(value: &Value) -> Read<f64> {
    let number = match &value.kind {
        ValueKind::Float(n) => Some(*n),
        ValueKind::I64(n) => Some(*n as f64),
        ValueKind::String(s) if from_environment(value) => s.parse().ok(),
        _ => None,
    };
    let right = "a number from 0 to 1 is right (0.20 is 20 %)";
    number.filter(|n| (0.0..=1.0).contains(n)).ok_or_else(|| format!("is {}; {right}", shown(value)))
}

/// One of a few words.
pub fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let found = match &value.kind {
            ValueKind::String(s) => words.iter().find(|(word, _)| word == s),
            _ => None,
        };
        let right = || words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        found.map(|(_, t)| *t).ok_or_else(|| format!("is {}; {} is right", shown(value), right()))
    }
}

/// A host's name as it is asked for: no scheme, no port.
pub fn host_name(value: &Value) -> Read<String> {
    let name = text(value)?;
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let right = "a name alone is right: \"hub.example.com\"";
    if name.chars().all(sound) { Ok(name) } else { Err(format!("is {}; {right}", shown(value))) }
}

/// A list; in an override from the environment its items are parted by commas.
pub fn list<T>(read: impl Fn(&Value) -> Read<T>) -> impl Fn(&Value) -> Read<Vec<T>> {
    move |value| {
        let origin = value.origin().map(str::to_owned);
        let item = |s: &str| Value::new(origin.as_ref(), ValueKind::String(s.trim().to_owned()));
        match &value.kind {
            ValueKind::Array(items) => items.iter().map(&read).collect(),
            ValueKind::String(s) if from_environment(value) => {
                s.split(',').filter(|s| !s.trim().is_empty()).map(|s| read(&item(s))).collect()
            }
            _ => Err(format!("is {}; a list is right: [\"…\", \"…\"]", shown(value))),
        }
    }
}

pub fn uuid(value: &Value) -> Read<Uuid> {
    let right = "a UUID is right (uuidgen makes one)";
    text(value)?.parse().map_err(|_| format!("is {}; {right}", shown(value)))
}

pub fn address(value: &Value) -> Read<Address> {
    let right = "six hex bytes are right: \"C0:FF:EE:00:00:01\"";
    text(value)?.parse().map_err(|_| format!("is {}; {right}", shown(value)))
}

pub fn time_zone(value: &Value) -> Read<chrono_tz::Tz> {
    let name = text(value)?;
    name.parse().map_err(|_| {
        let near = nearest(&name, chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name())).unwrap_or("Europe/Vienna");
        format!("is {}; an IANA time zone is right: \"{near}\"", quoted(&name))
    })
}

pub fn is_topic_level(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub fn topic_level(value: &Value) -> Read<String> {
    let name = text(value)?;
    if is_topic_level(&name) { Ok(name) } else { Err(format!("is {}; {WORD}", quoted(&name))) }
}

/// One topic level, or several with `/` between.
pub fn topic_prefix(value: &Value) -> Read<String> {
    let prefix = text(value)?;
    match prefix.split('/').all(is_topic_level) {
        true => Ok(prefix),
        false => Err(format!("is {}; topic levels with / between are right, of each {WORD}", quoted(&prefix))),
    }
}

/// `hci0`, or the adapter's own address.
pub fn adapter(value: &Value) -> Read<String> {
    let name = text(value)?;
    let number = name.strip_prefix("hci").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match number.is_some() || name.parse::<Address>().is_ok() {
        true => Ok(name),
        false => Err(format!("is {}; an adapter's name (\"hci0\") or address is right", quoted(&name))),
    }
}

/// A URL of one of `schemes`, with a host, perhaps a port, and a path where `path` allows one.
pub fn url(schemes: &'static [&'static str], path: bool, example: &'static str) -> impl Fn(&Value) -> Read<String> {
    move |value| {
        let url = text(value)?;
        let wrong = |why: &str| Err(format!("{why}; {example:?} would be right"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return wrong(&format!("is {} and names no scheme", quoted(&url)));
        };
        if !schemes.contains(&scheme) {
            return wrong(&format!("has the scheme {} where {} is possible", quoted(scheme), schemes.join(" or ")));
        }
        let (authority, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            // Not shown: it may hold a password.
            return wrong("has a user or password in it; those have keys of their own (username, password_file)");
        }
        if !path && !matches!(tail, "" | "/") || rest.contains(['?', '#']) || rest.contains(char::is_whitespace) {
            return wrong(&format!("is {} and has more than a host and a port", quoted(&url)));
        }
        match host_and_port(authority) {
            Some((host, _)) if !host.is_empty() => Ok(url),
            _ => wrong(&format!("is {} and has no proper host and port", quoted(&url))),
        }
    }
}

/// Splits `host`, `host:port`, `[::1]:port`.
pub fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return None,
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        None => Some((host, None)),
        Some(port) => port.parse().ok().filter(|p| *p > 0).map(|p| (host, Some(p))),
    }
}

/// `HOST` or `HOST:PORT` to connect to.
pub fn host_maybe_port(value: &Value) -> Read<String> {
    let node = text(value)?;
    let plain = !node.contains(['/', '@', '?', '#']) && !node.contains(char::is_whitespace);
    match host_and_port(&node).filter(|(host, _)| plain && !host.is_empty()) {
        Some(_) => Ok(node),
        None => Err(format!(
            "is {}; a host, and a port where it is not the usual one, are right: \"broker-2.lan:8883\"",
            quoted(&node)
        )),
    }
}

/// `HOST:PORT` to listen on; port 0 lets the system choose.
pub fn listen(value: &Value) -> Read<String> {
    let listen = text(value)?;
    match addresses(&listen).is_empty() {
        false => Ok(listen),
        true => {
            Err(format!("is {}; an address of this machine and a port are right: \"127.0.0.1:8470\"", quoted(&listen)))
        }
    }
}

pub fn addresses(listen: &str) -> Vec<SocketAddr> {
    listen.to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

/// A directory by its full path.
pub fn directory(value: &Value) -> Read<PathBuf> {
    let path = PathBuf::from(text(value)?);
    match path.is_absolute() {
        true => Ok(path),
        false => {
            Err(format!("is {}; a full path is right: \"/var/lib/portcullis\"", quoted(&path.display().to_string())))
        }
    }
}

/// A file that can be read now. One without a full path is looked for among systemd's credentials, then beside the configuration.
pub fn file(beside: &Path) -> impl Fn(&Value) -> Read<PathBuf> {
    move |value| {
        let named = PathBuf::from(text(value)?);
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(&named));
        let path = credential.filter(|path| path.is_file()).unwrap_or_else(|| beside.join(&named));
        match std::fs::File::open(&path).and_then(|f| f.metadata()) {
            Ok(meta) if meta.is_file() => Ok(path),
            Ok(_) => Err(format!("{} is no file; a file is right", path.display())),
            Err(e) => Err(format!("{}: {e}; a file that {} can read is right", path.display(), user())),
        }
    }
}

fn user() -> String {
    let name = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|u| u.name);
    name.map_or_else(|| "this user".into(), |name| format!("the user {name}"))
}

/// A model that adverts do not name; the name under which decoders know it.
pub fn ble_model(value: &Value) -> Read<&'static str> {
    let name = text(value)?;
    model_meant_by(&name).ok_or_else(|| {
        format!("is {}; a SwitchBot model is right, as in \"lock_pro\" or \"Motion Sensor\"", quoted(&name))
    })
}

/// A URL that is a secret. Never shown, not even a wrong one.
pub fn secret_url(value: &Value) -> Read<Secret> {
    secret_url_text(&text(value)?)
}

pub fn secret_url_text(text: &str) -> Read<Secret> {
    let text = text.trim();
    let sound = text.parse::<hyper::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'))
    });
    let right = "https:// with a host is right (not shown, for it is a secret)";
    sound.map(|_| Secret::new(text)).ok_or_else(|| format!("is no URL of the web; {right}"))
}

/// 16 bytes in hex (or 12, as legacy MiBeacon has them). Never shown, not even a wrong one.
pub fn bind_key(value: &Value) -> Read<Secret> {
    bind_key_text(&text(value)?)
}

pub fn bind_key_text(text: &str) -> Read<Secret> {
    let text = text.trim();
    let right = "32 hex digits are right (24 for an old MiBeacon device)";
    match hex::decode(text) {
        Ok(bytes) if matches!(bytes.len(), 12 | 16) => Ok(Secret::new(text)),
        Ok(bytes) => Err(format!("has {} hex digits; {right}", bytes.len() * 2)),
        Err(_) if text.bytes().all(|b| b.is_ascii_hexdigit()) => Err(format!("has {} hex digits; {right}", text.len())),
        Err(_) => Err(format!("has characters that are no hex digits; {right}")),
    }
}

/// Slots that the hub may write, `"20-29"` or `"5"`.
pub fn slots(value: &Value) -> Read<RangeInclusive<u16>> {
    let given = text(value)?;
    let (first, last) = given.split_once('-').unwrap_or((&given, &given));
    let number = |s: &str| s.trim().parse::<u16>().ok().filter(|n| *n > 0);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("is {}; a range of slots is right: \"20-29\"", quoted(&given))),
    }
}
