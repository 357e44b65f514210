//! What the demo prints: what a bystander saw, and beneath it what the hub told of it.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::super::Failure;
use crate::store::{Store, Stored};
use crate::time::Wall;

/// Events read at a time.
const PAGE: usize = 200;

pub struct Account {
    json: bool,
    colours: bool,
    /// The last event printed.
    seq: u64,
    /// The last state revision read.
    rev: u64,
    /// Device and account ids in plain words.
    names: HashMap<String, String>,
}

impl Account {
    pub fn open(store: &Store, json: bool) -> Result<Account, Failure> {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let seq = store.head().borrow().seq;
        Ok(Account { json, colours, seq, rev: 0, names: HashMap::new() })
    }

    /// What was seen.
    pub fn story(&self, at: Wall, line: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let (on, off) = if self.colours { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        writeln!(io::stdout(), "{on}{}  · {line}{off}", clock(at))
    }

    /// What was told since the last call.
    pub fn events(&mut self, store: &Store) -> Result<(), Failure> {
        for row in store.state_since(self.rev)? {
            self.rev = row.rev;
            let Some(value) = row.value else { continue };
            let name = value["name"].as_str().map(str::to_owned);
            self.names.extend(name.map(|n| (row.key, n)));
        }
        loop {
            let page = store.events_after(self.seq, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            self.seq = last.seq;
            page.iter().try_for_each(|event| self.event(event))?;
        }
    }

    fn event(&self, event: &Stored) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{}", event.body);
        }
        let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
        let subject = event.device_id.unwrap_or(event.account_id).to_string();
        let subject = self.names.get(&subject).cloned().unwrap_or(subject);
        let name = event.event_type.as_str();
        let (on, off) = if self.colours { (colour(name), "\x1b[0m") } else { ("", "") };
        writeln!(out, "{}  {on}{name:<42}{off} {subject:<22} {}", clock(event.created_at), details(&body))
    }
}

/// The options with which mosquitto_sub reaches a broker; none where it is on the usual port of this machine.
pub fn mosquitto_options(url: &str) -> String {
    let address = url.rsplit('/').next().unwrap_or(url);
    match address.rsplit_once(':') {
        Some(("127.0.0.1" | "localhost", port)) => format!("-p {port}"),
        Some((host, port)) => format!("-h {host} -p {port}"),
        None => format!("-h {address}"),
    }
}

fn clock(at: Wall) -> String {
    at.utc().format("%H:%M:%S").to_string()
}

/// What of an event a reader wants beside its type.
fn details(body: &Value) -> String {
    const SHOWN: &[&str] =
        &["method", "error_code", "battery_level", "battery_status", "noise_level_decibels", "noise_threshold_name"];
    let shown = SHOWN.iter().filter_map(|key| match &body[key] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(n) if *key == "battery_level" => Some(format!("{:.0} %", n.as_f64().unwrap_or_default() * 100.0)),
        Value::Number(n) if *key == "noise_level_decibels" => Some(format!("{n} dB")),
        other => Some(other.to_string()),
    });
    shown.chain(body["reason"]["reason_code"].as_str().map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

fn colour(event_type: &str) -> &'static str {
    match event_type {
        t if t.starts_with("lock.access_denied") => "\x1b[31m",
        t if t.starts_with("lock.") => "\x1b[32m",
        t if t.contains("disconnected") || t.contains("tampered") || t.contains("low_battery") => "\x1b[31m",
        t if t.starts_with("noise") => "\x1b[33m",
        _ => "\x1b[36m",
    }
}
