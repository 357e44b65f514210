//! A whole hub in this process, on the rig's network: its hand is ours, and what it tells is read from its log.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::hub::{Command, RowKind};
use portcullis::service::Running;
use portcullis::signal::DeviceKey;
use portcullis::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::logs;
use super::zwave::Rig;

const HOME: u32 = 0x7e57_0001;
/// For anything that a real driver is to say.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn node(node: u16) -> DeviceKey {
    DeviceKey::Zwave { home: HOME, node }
}

pub struct Hub {
    pub rig: Rig,
    pub running: Running,
    seq: u64,
    /// Told, and not yet asked for by [`Hub::told_of`].
    before: Vec<Value>,
    config: String,
    speed: f64,
    _dir: TempDir,
}

/// Virtual seconds in a second: time-outs of the hub are waited for.
const SPEED: f64 = 4.0;

async fn start(config: &str, speed: f64, later: Duration) -> Running {
    let config = Config::parse(config, Path::new("/"), HashMap::new()).expect("a configuration");
    Running::start(config, Clock::at_speed(speed).ahead(later)).await.expect("a hub")
}

impl Hub {
    pub async fn new() -> Hub {
        Hub::with("").await
    }

    /// With this beside the network in its configuration.
    pub async fn with(devices: &str) -> Hub {
        Hub::on(Rig::start().await, devices, SPEED).await
    }

    /// With so many virtual seconds in a second.
    pub async fn on(rig: Rig, devices: &str, speed: f64) -> Hub {
        logs::keep_ours();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "state_dir = {:?}\n[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[zwave]]\nname = \"main\"\nurl = {:?}\n{devices}",
            dir.path(),
            rig.url
        );
        let running = start(&config, speed, Duration::ZERO).await;
        let mut hub = Hub { rig, running, seq: 0, before: Vec::new(), config, speed, _dir: dir };
        while hub.event().await["event_type"] != "connected_account.completed_first_sync" {}
        hub.nothing_is_waited_for().await;
        hub
    }

    /// The hub stops, and is started again so much later.
    pub async fn restart(self, later: Duration) -> Hub {
        self.running.stop(true).await;
        let running = start(&self.config, self.speed, later).await;
        Hub { running, ..self }
    }

    fn store(&self) -> &Store {
        &self.running.store
    }

    pub async fn event(&mut self) -> Value {
        let mut head = self.store().head();
        let next = async {
            loop {
                if let Some(stored) = self.store().events_after(self.seq, 1).expect("a log").pop() {
                    return stored;
                }
                head.changed().await.expect("a store");
            }
        };
        let stored = tokio::time::timeout(PATIENCE, next).await.expect("an event in time");
        self.seq = stored.seq;
        serde_json::from_str(&stored.body).expect("JSON")
    }

    /// Whatever is told until a lock says something that it was made to say.
    async fn nothing_is_waited_for(&mut self) {
        self.rig.operate(7, "manual_unlock").await;
        while self.event().await["event_type"] != "lock.unlocked" {}
    }

    pub async fn ask(&self, on: u16, lock: bool) -> Value {
        let device_id = node(on).device_id(0);
        self.running.hand.command(Command::Lock { device_id, lock }).await.expect("an attempt")
    }

    /// What is told until this attempt has ended, as words; and how it ended.
    pub async fn end_of(&mut self, attempt: &Value) -> (Vec<String>, Value) {
        let id = attempt["action_attempt_id"].clone();
        let mut told = Vec::new();
        loop {
            let event = self.event().await;
            let ours = event["action_attempt_id"] == id;
            let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let line = [
                word("event_type"),
                word("method"),
                word("error_code"),
                if ours { "ours".into() } else { String::new() },
            ];
            told.push(line.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "));
            if ours && word("event_type").starts_with("action_attempt.") {
                let rows = self.store().state().expect("a state");
                let row = rows.into_iter().find(|r| r.kind == RowKind::Attempt && json!(r.key) == id);
                return (told, row.and_then(|r| r.value).expect("remembered"));
            }
        }
    }

    /// The next event of this type; whatever else is told before is passed over.
    pub async fn told(&mut self, event_type: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["event_type"] == event_type {
                return event;
            }
        }
    }

    /// The next event of this type of this node; what is told of others before keeps until it is asked for.
    pub async fn told_of(&mut self, of: u16, event_type: &str) -> Value {
        let id = json!(node(of).device_id(0));
        let is = |event: &Value| event["device_id"] == id && event["event_type"] == event_type;
        if let Some(n) = self.before.iter().position(is) {
            return self.before.remove(n);
        }
        loop {
            let event = self.event().await;
            if is(&event) {
                return event;
            }
            self.before.push(event);
        }
    }

    /// What was told while something else was waited for.
    pub fn untold(&self) -> &[Value] {
        &self.before
    }

    /// The codes as they are on disk.
    pub fn codes(&self) -> Vec<Value> {
        let rows = self.store().state().expect("a state").into_iter().filter(|r| r.kind == RowKind::Code);
        rows.filter_map(|r| r.value).collect()
    }

    pub async fn command(&self, command: Command) -> Value {
        self.running.hand.command(command).await.expect("the hub does it")
    }

    pub async fn word(&mut self) -> String {
        let event = self.event().await;
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("event_type"), word("method")).trim().to_owned()
    }
}
