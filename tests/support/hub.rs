//! A hub on a bench: simulated clocks, a disk that can fail, and everything that it told.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use portcullis::config::Config;
use portcullis::event::{Event, EventType};
use portcullis::hub::{Action, Command, CommandId, Hub, Input, KeptRow, Output, Reply, RowKind, Settings};
use portcullis::signal::{Address, DeviceKey, Link, LinkNews, Report, Signal};
use portcullis::time::{Mono, Now, Wall};
use serde_json::Value;
use uuid::Uuid;

pub const HOME: u32 = 0x7e57_0001;

/// 2026-01-15T12:00:00Z.
pub const NOON: i64 = 1_768_478_400_000;

/// The configuration of a hub with a Z-Wave network.
pub const NETWORK: &str = "[[zwave]]\nname = \"main\"\nurl = \"ws://127.0.0.1:3000\"\n";

pub struct Rig {
    pub hub: Option<Hub>,
    settings: Settings,
    /// Milliseconds since the bench was set up; what the hub sees of it starts anew with each run of the daemon.
    pub at: u64,
    run_started: u64,
    /// What the wall clock shows beyond `at`.
    pub wall_offset: i64,
    pub synchronized: bool,
    /// Faults to plant: the wall clock in the place of the monotonic one.
    pub wall_for_monotonic: bool,
    entropy: u128,
    /// Wakes in a row at one moment.
    spins: u32,
    rows: BTreeMap<(RowKind, String), Value>,
    /// What the disk has not taken yet.
    waiting: Vec<Output>,
    pub disk_fails: bool,
    /// The log, as it is on disk.
    pub log: Vec<Event>,
    /// How many outputs are on disk, with those that were empty.
    pub committed: usize,
    pub row_writes: usize,
    pub reply: Option<Reply>,
    /// What the sources were asked, once it was on disk.
    pub asked: Vec<Action>,
}

pub fn settings(toml: &str) -> Settings {
    Config::parse(toml, Path::new("/"), HashMap::new()).unwrap().settings(None)
}

pub fn ble(n: u8) -> DeviceKey {
    DeviceKey::Ble(Address([0xC0, 0xFF, 0xEE, 0, 0, n]))
}

pub fn node(node: u16) -> DeviceKey {
    DeviceKey::Zwave { home: HOME, node }
}

pub fn report(device: DeviceKey, signals: Vec<Signal>) -> Report {
    let (link, family) = match device {
        DeviceKey::Ble(_) => (Link::Adapter("hci0".into()), "bthome_v2"),
        DeviceKey::Zwave { .. } => (network(), "zwave"),
    };
    Report { device, link, rssi: None, name: None, family, irregular: false, counter: None, occurred_at: None, signals }
}

pub fn network() -> Link {
    Link::Network(Arc::from("main"))
}

impl Rig {
    pub fn new(toml: &str) -> Rig {
        Rig::on(settings(toml))
    }

    pub fn on(settings: Settings) -> Rig {
        let mut rig = Rig {
            hub: None,
            settings,
            at: 0,
            run_started: 0,
            wall_offset: NOON,
            synchronized: true,
            wall_for_monotonic: false,
            entropy: 1,
            spins: 0,
            rows: BTreeMap::new(),
            waiting: Vec::new(),
            disk_fails: false,
            log: Vec::new(),
            committed: 0,
            row_writes: 0,
            reply: None,
            asked: Vec::new(),
        };
        rig.start();
        rig
    }

    fn now(&mut self) -> Now {
        // Any odd multiplier spreads a counter well enough to be told from chance.
        self.entropy = self.entropy.wrapping_mul(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15).wrapping_add(1);
        let wall = self.wall();
        let mono = if self.wall_for_monotonic { (wall.0 - NOON).max(0) as u64 } else { self.at - self.run_started };
        Now { mono: Mono(mono), wall, synchronized: self.synchronized, entropy: self.entropy }
    }

    fn start(&mut self) {
        self.run_started = self.at;
        let rows = self.rows.iter().map(|((kind, key), value)| KeptRow {
            kind: *kind,
            key: key.clone(),
            text: value.to_string(),
        });
        let rows: Vec<_> = rows.collect();
        let last = self.log.last().map_or(Wall::default(), |e| e.created_at);
        let now = self.now();
        self.hub = Some(Hub::restore(self.settings.clone(), rows, last, now));
    }

    /// The daemon stops (with its soft state stored) and starts again `away` seconds later.
    pub fn restart(&mut self, away: u64) {
        let rows = self.hub.as_mut().map(Hub::soft_rows).unwrap_or_default();
        self.commit(Output { rows, ..Output::default() });
        self.crash(away);
    }

    /// The power goes: what the disk has not taken is lost.
    pub fn crash(&mut self, away: u64) {
        self.hub = None;
        self.waiting.clear();
        self.disk_fails = false;
        self.at += away * 1000;
        self.start();
    }

    pub fn give(&mut self, input: Input) {
        let now = self.now();
        let mut out = Output::default();
        self.hub.as_mut().unwrap().step(now, input, &mut out);
        if let Some((_, reply)) = out.replies.pop() {
            self.reply = Some(reply);
        }
        self.commit(out);
    }

    fn commit(&mut self, out: Output) {
        self.waiting.push(out);
        if self.disk_fails {
            return;
        }
        for out in std::mem::take(&mut self.waiting) {
            self.committed += 1;
            self.row_writes += out.rows.len();
            self.log.extend(out.events);
            self.asked.extend(out.actions);
            for row in out.rows {
                match row.value {
                    Some(value) => drop(self.rows.insert((row.kind, row.key), value)),
                    None => drop(self.rows.remove(&(row.kind, row.key))),
                }
            }
        }
    }

    /// Time passes; timers fire at their own moment.
    pub fn wait(&mut self, seconds: f64) {
        let end = self.at + (seconds * 1000.0) as u64;
        if self.wall_for_monotonic {
            self.at = end;
            return self.give(Input::Wake);
        }
        while let Some(due) = self.hub.as_ref().unwrap().wake_at().map(|due| (due.0 + self.run_started).max(self.at)) {
            if due > end {
                break;
            }
            self.spins = if self.at == due { self.spins + 1 } else { 0 };
            assert!(self.spins < 1000, "the hub wakes again and again at one moment");
            self.at = due;
            self.give(Input::Wake);
        }
        self.at = end;
        self.give(Input::Wake);
    }

    /// Time passes until the hub has something to do, or has asked for something. False where it has nothing to do until `end`.
    pub fn wait_for_something(&mut self, end: u64) -> bool {
        if !self.asked.is_empty() {
            return true;
        }
        let due = self.hub.as_ref().unwrap().wake_at().map(|due| (due.0 + self.run_started).max(self.at));
        let next = due.filter(|at| *at <= end);
        if let Some(at) = next {
            self.wait((at - self.at) as f64 / 1000.0);
        }
        next.is_some()
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> Wall {
        Wall(self.at as i64 + self.wall_offset)
    }

    pub fn hear(&mut self, device: DeviceKey, signals: impl Into<Vec<Signal>>) {
        self.give(Input::Report(report(device, signals.into())));
    }

    /// Hears devices every `every` seconds for `seconds`, with nothing new to say.
    pub fn listen(&mut self, devices: &[DeviceKey], every: f64, seconds: f64) {
        let mut left = seconds;
        while left > 0.0 {
            devices.iter().for_each(|device| self.hear(*device, []));
            self.wait(every.min(left));
            left -= every;
        }
    }

    pub fn link(&mut self, link: Link, news: LinkNews) {
        self.give(Input::Link(link, news));
    }

    pub fn adapter(&mut self, hears: bool) {
        self.link(Link::Adapter("hci0".into()), LinkNews::Adapter { powered: hears, scanning: hears });
    }

    /// The network is up and read.
    pub fn bridge_up(&mut self) {
        self.link(network(), LinkNews::BridgeUp { home: HOME });
        self.link(network(), LinkNews::BridgeSynced { home: HOME });
    }

    pub fn command(&mut self, command: Command) -> Reply {
        self.give(Input::Command(CommandId(1), command));
        self.reply.take().expect("a command is answered")
    }

    /// The number of the output that the next input makes; see `committed`.
    pub fn next_output(&self) -> usize {
        self.committed + self.waiting.len() + 1
    }

    pub fn configure(&mut self, toml: &str) {
        self.configure_with(toml, |_| {});
    }

    /// The file is changed; the daemon does not know.
    pub fn configure_offline(&mut self, toml: &str) {
        self.settings = settings(toml);
    }

    pub fn configure_with(&mut self, toml: &str, change: impl FnOnce(&mut Settings)) {
        self.settings = settings(toml);
        change(&mut self.settings);
        self.give(Input::Configure(Box::new(self.settings.clone())));
    }

    pub fn id(&self, key: DeviceKey) -> Uuid {
        self.hub.as_ref().unwrap().devices().find(|d| d.key == key).map(|d| d.device_id).expect("the device is known")
    }

    pub fn types(&self) -> Vec<&'static str> {
        self.log.iter().map(|e| e.event_type.as_str()).collect()
    }

    /// What was told since the last call, as type names.
    pub fn told(&mut self) -> Vec<&'static str> {
        let types = self.types();
        self.log.clear();
        types
    }

    pub fn last(&self, event_type: EventType) -> Option<&Event> {
        self.log.iter().rev().find(|e| e.event_type == event_type)
    }

    pub fn row(&self, kind: RowKind, key: &str) -> Option<&Value> {
        self.rows.get(&(kind, key.to_owned()))
    }

    /// All rows of a kind, by their keys.
    pub fn rows(&self, kind: RowKind) -> impl Iterator<Item = (&str, &Value)> {
        self.rows.iter().filter(move |((k, _), _)| *k == kind).map(|((_, key), value)| (key.as_str(), value))
    }

    pub fn rows_of(&self, kind: RowKind) -> usize {
        self.rows(kind).count()
    }
}
