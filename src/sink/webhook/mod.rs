//! Webhooks: every event that one asks for is posted to its endpoint, signed as Svix does, at least once.
//!
//! Each has a cursor and a book of its own and goes its own way: one that is slow or dead costs the others nothing. Events are told
//! in the order of the log, per device one after the other; one that was not taken is tried again by the schedule, beside those
//! that follow it, as at Svix.

mod address;
mod book;
pub(in crate::sink) mod client;
mod endpoint;
mod sign;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use address::is_public;
pub use book::{Book, Disabled, Owed};
pub use sign::{new_secret, signature};

use crate::config::Config;
use crate::event::EventType;
use crate::health::Health;
use crate::hub::{Row, RowKind};
use crate::signal::Secret;
use crate::store::{Batch, StateRow, Store, StoreError};
use crate::time::Wall;
use client::Client;
use endpoint::Endpoint;

/// Its part of the health; each webhook's is `webhook/ID`, as its cursor is.
pub const SINK: &str = "webhook";

/// A webhook as it was created: a row of [`RowKind::Webhook`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    pub webhook_id: Uuid,
    pub url: String,
    /// Which events; `None` for all, those of later versions too.
    pub event_types: Option<Vec<EventType>>,
    /// What was asked for beside these and no hub tells: shown, so that who compares finds what was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_told: Vec<String>,
    pub secret: Option<Secret>,
    pub created_at: Wall,
    /// Events up to this `seq` were before it.
    pub after: u64,
    /// Counts the times that it was enabled anew.
    #[serde(default)]
    pub turn: u32,
}

impl Webhook {
    pub fn wants(&self, event_type: EventType) -> bool {
        self.event_types.as_ref().is_none_or(|types| types.contains(&event_type))
    }

    /// Digits of codes go over TLS, and to this machine.
    pub(crate) fn takes_digits(&self) -> bool {
        let uri: Uri = self.url.parse().unwrap_or_default();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let local = host == "localhost" || host.parse().is_ok_and(|a: std::net::IpAddr| a.is_loopback());
        uri.scheme_str() == Some("https") || local
    }
}

/// The sink's name of a webhook, in cursors, health and `undeliverable`.
pub fn sink_of(webhook_id: Uuid) -> String {
    format!("{SINK}/{webhook_id}")
}

/// How tries follow each other. The defaults are what Svix documents and Seam's receivers expect.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// After each failed try; after the last one the event is set aside.
    pub delays: Vec<Duration>,
    /// An answer that takes longer is none.
    pub answer: Duration,
    /// With no success for so long, the endpoint is disabled.
    pub dead_after: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let (minute, hour) = (60, 3600);
        let delays = [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour];
        Pace {
            delays: delays.map(Duration::from_secs).to_vec(),
            answer: Duration::from_secs(15),
            dead_after: Duration::from_secs(5 * 24 * hour),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `[webhooks] private_addresses`
    pub private_addresses: bool,
    /// An authority beside the system's, for endpoints with a certificate of one's own.
    pub ca_file: Option<PathBuf>,
    pub pace: Pace,
}

impl Settings {
    pub fn new(config: &Config) -> Settings {
        let webhooks = &config.webhooks;
        Settings {
            private_addresses: webhooks.private_addresses,
            ca_file: webhooks.ca_file.clone(),
            pace: Pace::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("[webhooks] ca_file: {0}")]
    Tls(String),
}

/// What the manager waits for an endpoint's own farewell.
const FAREWELL: Duration = Duration::from_millis(1800);

/// Tells every webhook until `stop` turns true.
pub async fn run(
    settings: Settings,
    store: Store,
    health: Arc<Health>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), WebhookError> {
    let client = Client::new(settings.ca_file.as_deref(), settings.private_addresses, settings.pace.answer)
        .map_err(WebhookError::Tls)?;
    let mut running: HashMap<Uuid, Running> = HashMap::new();
    let mut books: HashMap<Uuid, Book> = HashMap::new();
    let (mut head, mut rev) = (store.head(), 0);
    loop {
        let seen = head.borrow_and_update().rev;
        // A book before its webhook, whose endpoint begins with it.
        for (id, row) in changes(&store, RowKind::Delivery, rev).await? {
            if !running.contains_key(&id) {
                books.insert(id, read_row(&row).unwrap_or_default());
            }
        }
        for (id, row) in changes(&store, RowKind::Webhook, rev).await? {
            match read_row(&row) {
                Some(webhook) => {
                    let book = books.remove(&id).unwrap_or_default();
                    let make = |told| Endpoint::new(told, book, &settings.pace, &client, &store, &health);
                    start_or_change(&mut running, id, webhook, make)?;
                }
                None => {
                    // Its tries end with it.
                    if let Some(gone) = running.remove(&id) {
                        gone.task.end().await;
                    }
                    forget(&store, &health, id)?;
                }
            }
        }
        rev = seen;
        let all = running.len();
        health.set(SINK, true, format!("{all} webhook{}", if all == 1 { "" } else { "s" }));
        tokio::select! {
            changed = head.changed() => changed.map_err(|_| StoreError::Stopped)?,
            () = stopped(&mut stop) => break,
        }
    }
    let goodbyes = running.into_values().map(|r| async move {
        r.stop.send_replace(true);
        let mut task = r.task;
        let _ = tokio::time::timeout(FAREWELL, &mut task.0).await;
    });
    futures_util::future::join_all(goodbyes).await;
    Ok(())
}

struct Running {
    webhook: watch::Sender<Webhook>,
    stop: watch::Sender<bool>,
    task: Dropped,
}

/// A task that does not outlive the sink.
struct Dropped(JoinHandle<()>);

impl Dropped {
    /// Ends it at once.
    async fn end(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Rows of a kind that changed after `rev`, by webhook: few, since webhooks are.
async fn changes(store: &Store, kind: RowKind, rev: u64) -> Result<Vec<(Uuid, StateRow)>, StoreError> {
    let store = store.clone();
    let rows = tokio::task::spawn_blocking(move || store.changes(kind, rev, usize::MAX));
    let rows = rows.await.map_err(|_| StoreError::Stopped)??;
    Ok(rows.into_iter().filter_map(|row| Some((row.key.parse().ok()?, row))).collect())
}

fn read_row<T: serde::de::DeserializeOwned>(row: &StateRow) -> Option<T> {
    serde_json::from_value(row.value.clone()?).ok()
}

fn start_or_change(
    running: &mut HashMap<Uuid, Running>,
    id: Uuid,
    webhook: Webhook,
    make: impl FnOnce(watch::Receiver<Webhook>) -> Result<Endpoint, StoreError>,
) -> Result<(), StoreError> {
    if let Some(known) = running.get(&id) {
        known.webhook.send_replace(webhook);
        return Ok(());
    }
    let (tell, told) = watch::channel(webhook);
    let (stop, stops) = watch::channel(false);
    let task = Dropped(tokio::spawn(make(told)?.run(stops)));
    running.insert(id, Running { webhook: tell, stop, task });
    Ok(())
}

/// Takes away what a webhook leaves behind. Also after a stop that came between: a row that was deleted keeps its place.
fn forget(store: &Store, health: &Health, id: Uuid) -> Result<(), StoreError> {
    let sink = sink_of(id);
    health.forget(&sink);
    store.drop_cursor(&sink)?;
    for aside in store.undeliverable()?.iter().filter(|u| u.sink == sink) {
        store.resolved(&sink, aside.seq)?;
    }
    let book = Row { kind: RowKind::Delivery, key: id.to_string(), value: None };
    store.append(Batch { events: Vec::new(), rows: vec![book], then: None })
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone: a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
