//! What the parts count and how they are: shown by `/health`, the retained health topic, `/metrics` and `doctor`.
//!
//! Counters are plain atomics so that counting costs nothing on the way of an advert; a part adds a field here and counts it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::event::{ErrorCode, Event, EventType};
use crate::signal::Address;
use crate::source::ble::decode::Reject;

#[derive(Debug, Default, Serialize)]
pub struct Health {
    pub hub: HubCounters,
    pub ble: BleCounters,
    pub zwave: ZwaveCounters,
    pub store: StoreCounters,
    pub mqtt: MqttCounters,
    pub webhooks: WebhookCounters,
    pub heartbeat: HeartbeatCounters,
    /// State of each source and sink by name (`ble/hci0`, `zwave/main`, `mqtt`).
    parts: Mutex<BTreeMap<String, PartState>>,
}

#[derive(Debug, Default, Serialize)]
pub struct HubCounters {
    /// Unmanaged devices that were turned away because there are too many.
    pub strangers_refused: AtomicU64,
    /// What was judged of the presence of managed devices, and told.
    pub presence: Judgements,
}

/// `{"connected":12,"device_disconnected":1,"hub_disconnected":0,"account_disconnected":0}`.
#[derive(Debug, Default, Serialize)]
pub struct Judgements {
    connected: AtomicU64,
    device_disconnected: AtomicU64,
    hub_disconnected: AtomicU64,
    account_disconnected: AtomicU64,
}

impl Judgements {
    /// Counts an event, if it is about presence.
    pub fn told(&self, event: &Event) {
        let counter = match (event.event_type, event.details.error_code) {
            (EventType::DeviceConnected, _) => &self.connected,
            (EventType::DeviceDisconnected, Some(ErrorCode::HubDisconnected)) => &self.hub_disconnected,
            (EventType::DeviceDisconnected, Some(ErrorCode::AccountDisconnected)) => &self.account_disconnected,
            (EventType::DeviceDisconnected, _) => &self.device_disconnected,
            _ => return,
        };
        count(counter);
    }
}

/// How long something took, by the bounds of [`Histogram::BOUNDS`].
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many took up to each bound and longer than the one before; behind them, those that took longer than all.
    counts: [AtomicU64; Histogram::BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// In seconds: from a broker on this machine to one that hardly lives.
    pub const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

    pub fn observe(&self, took: Duration) {
        let place = Histogram::BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        count(&self.counts[place.unwrap_or(Histogram::BOUNDS.len())]);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

/// `{"buckets":[["0.001",3],…,["+Inf",9]],"sum":0.01,"count":9}`; each bucket counts those before it, too, as Prometheus has it.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut sum = 0;
        let counts = self.counts.iter().map(|n| n.load(Ordering::Relaxed));
        let bounds = Histogram::BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let buckets: Vec<(String, u64)> = bounds
            .zip(counts)
            .map(|(bound, n)| {
                sum += n;
                (bound, sum)
            })
            .collect();
        let mut map = s.serialize_map(Some(3))?;
        map.serialize_entry("buckets", &buckets)?;
        map.serialize_entry("sum", &(self.micros.load(Ordering::Relaxed) as f64 / 1e6))?;
        map.serialize_entry("count", &sum)?;
        map.end()
    }
}

#[derive(Debug, Default, Serialize)]
pub struct BleCounters {
    pub adverts: AtomicU64,
    /// Adverts refused by a decoder (wrong key, malformed, replay …).
    pub rejected: AtomicU64,
    /// The same by reason.
    pub refused: Refusals,
    /// Addresses of strangers that were forgotten to make room for others.
    pub strangers_forgotten: AtomicU64,
    /// Devices of ours that cannot be understood, by address, and why.
    pub problems: Mutex<BTreeMap<Address, Reject>>,
    /// Adverts dropped because a queue or table was full.
    pub dropped: AtomicU64,
    pub scan_restarts: AtomicU64,
    /// Signals of bluetoothd that could not be read.
    pub malformed: AtomicU64,
    /// Connections for a battery that failed.
    pub gatt_failures: AtomicU64,
}

/// Adverts refused, by reason: `{"wrong_key":2}`. Reasons that never came up are left out.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Reject::ALL.len()]);

impl Refusals {
    pub fn count(&self, reject: Reject) {
        count(&self.0[reject as usize]);
    }

    pub fn get(&self, reject: Reject) -> u64 {
        self.0[reject as usize].load(Ordering::Relaxed)
    }
}

impl Serialize for Refusals {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let counts = Reject::ALL.into_iter().map(|reject| (reject.as_str(), self.get(reject)));
        s.collect_map(counts.filter(|(_, count)| *count > 0))
    }
}

impl BleCounters {
    /// Counts what became of an advert; `problem` is what now stands between us and a device of ours.
    pub fn heard(&self, refused: Option<Reject>, ours: Option<(Address, Option<Reject>)>) {
        if let Some(reject) = refused {
            count(&self.rejected);
            self.refused.count(reject);
        }
        let Some((address, problem)) = ours else { return };
        let mut problems = self.problems.lock().unwrap_or_else(|e| e.into_inner());
        match problem {
            Some(reject) => {
                problems.insert(address, reject);
            }
            None if problems.is_empty() => {}
            None => {
                problems.remove(&address);
            }
        }
    }
}

#[derive(Debug, Default, Serialize)]
pub struct ZwaveCounters {
    pub messages: AtomicU64,
    pub malformed: AtomicU64,
    pub reconnects: AtomicU64,
}

#[derive(Debug, Default, Serialize)]
pub struct StoreCounters {
    pub events: AtomicU64,
    pub commits: AtomicU64,
    pub write_errors: AtomicU64,
    /// Events lost because the disk failed for longer than memory lasted.
    pub lost: AtomicU64,
    /// Events that went because they were too old, or the log too large.
    pub expired: AtomicU64,
    /// Those of them that some sink had not taken.
    pub expired_unsent: AtomicU64,
}

#[derive(Debug, Default, Serialize)]
pub struct MqttCounters {
    pub published: AtomicU64,
    pub acknowledged: AtomicU64,
    /// From the hand-over to the socket to the broker's word.
    pub acknowledgement_seconds: Histogram,
    pub reconnects: AtomicU64,
    pub undeliverable: AtomicU64,
    /// Events that the log lost (expired, damaged) before they were acknowledged.
    pub missed: AtomicU64,
    pub backlog: AtomicU64,
    /// Events told again because somebody asked for them.
    pub backfilled: AtomicU64,
    /// Commands that were done, and that were not.
    pub commands: AtomicU64,
    pub commands_refused: AtomicU64,
}

#[derive(Debug, Default, Serialize)]
pub struct WebhookCounters {
    pub delivered: AtomicU64,
    /// Tries that failed.
    pub failed: AtomicU64,
    /// Events whose last try failed.
    pub undeliverable: AtomicU64,
    /// Events that the log lost (expired, damaged) before they were told.
    pub missed: AtomicU64,
    /// Endpoints that were given up.
    pub disabled: AtomicU64,
}

#[derive(Debug, Default, Serialize)]
pub struct HeartbeatCounters {
    pub sent: AtomicU64,
    pub failed: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartState {
    pub up: bool,
    /// Why it is down, or what it is doing, in plain words.
    pub detail: String,
}

impl Health {
    /// Says how a part is; the change is logged by whoever says it.
    pub fn set(&self, part: &str, up: bool, detail: impl Into<String>) {
        let mut parts = self.parts.lock().unwrap_or_else(|e| e.into_inner());
        parts.insert(part.to_owned(), PartState { up, detail: detail.into() });
    }

    /// A part that is no more.
    pub fn forget(&self, part: &str) {
        self.parts.lock().unwrap_or_else(|e| e.into_inner()).remove(part);
    }

    pub fn parts(&self) -> BTreeMap<String, PartState> {
        self.parts.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

/// Adds one to a counter.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
