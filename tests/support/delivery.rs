//! A store with events in it, and a publisher on it.
#![allow(dead_code)]

use std::sync::Arc;

use portcullis::config::Config;
use portcullis::event::{Details, Dialect, Event, EventType};
use portcullis::health::Health;
use portcullis::hub::{Row, RowKind};
use portcullis::sink::mqtt::{self, Settings};
use portcullis::store::{Batch, Store};
use portcullis::time::Wall;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The `n`th event of one of five devices.
pub fn event(n: u64) -> Event {
    Event {
        event_id: Uuid::now_v7(),
        event_type: if n.is_multiple_of(2) { EventType::LockUnlocked } else { EventType::LockLocked },
        workspace_id: Uuid::from_u128(1),
        created_at: Wall(1_767_225_600_000 + n as i64),
        occurred_at: Wall(1_767_225_600_000 + n as i64),
        connected_account_id: Uuid::from_u128(2),
        device_id: Some(device(n)),
        details: Details::default(),
    }
}

pub fn device(n: u64) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(n % 5))
}

pub fn device_row(n: u64, connected: bool) -> Row {
    let value = serde_json::json!({"device_id": device(n), "account_id": Uuid::from_u128(2), "connected": connected});
    Row { kind: RowKind::Device, key: device(n).to_string(), value: Some(value) }
}

/// Appends and returns once it is on disk.
pub async fn append(store: &Store, events: Vec<Event>, rows: Vec<Row>) {
    let (kept, on_disk) = tokio::sync::oneshot::channel();
    let then = Box::new(move || kept.send(()).unwrap_or(()));
    store.append(Batch { events, rows, then: Some(then) }).expect("a store that runs");
    on_disk.await.expect("a store that keeps");
}

pub struct Publisher {
    pub store: Store,
    pub health: Arc<Health>,
    pub dir: TempDir,
    pub settings: Settings,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Publisher {
    /// A store of its own and a publisher, not yet running, for the broker at `url`.
    pub fn new(url: &str, change: impl FnOnce(&mut Config)) -> Publisher {
        Publisher::in_dir(tempfile::tempdir().expect("a temporary directory"), url, change)
    }

    /// Where a disk is meant: temporary directories are in memory on some machines.
    pub fn on_disk(url: &str) -> Publisher {
        Publisher::in_dir(tempfile::tempdir_in(".").expect("a directory on a disk"), url, |_| {})
    }

    fn in_dir(dir: TempDir, url: &str, change: impl FnOnce(&mut Config)) -> Publisher {
        let (store, _) = Store::open(dir.path(), Dialect::Classic).expect("a fresh store");
        let mut config = Config::default();
        config.mqtt.url = url.into();
        change(&mut config);
        let settings = Settings::new(&config).expect("good settings");
        Publisher { store, health: Arc::default(), dir, settings, running: None }
    }

    pub fn at(port: u16) -> Publisher {
        Publisher::new(&format!("mqtt://127.0.0.1:{port}"), |_| {})
    }

    pub fn start(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let run = mqtt::run(self.settings.clone(), self.store.clone(), self.health.clone(), stopped);
        self.running = Some((stop, tokio::spawn(run)));
    }

    /// A clean stop.
    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.send_replace(true);
            task.await.expect("it ends without a panic");
        }
    }

    /// As if the process were gone.
    pub async fn kill(&mut self) {
        if let Some((_stop, task)) = self.running.take() {
            task.abort();
            let _ = task.await;
        }
    }

    pub fn state(&self) -> String {
        let parts = self.health.parts();
        parts.get(mqtt::SINK).map(|p| format!("{} {}", if p.up { "up" } else { "down" }, p.detail)).unwrap_or_default()
    }

    /// Waits until the publisher's part of the health contains `words`.
    pub async fn until_state(&self, words: &str) {
        let told = async {
            while !self.state().contains(words) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let patience = super::subscriber::PATIENCE;
        assert!(tokio::time::timeout(patience, told).await.is_ok(), "{words:?} is not in {:?}", self.state());
    }
}
