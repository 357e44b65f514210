//! The heartbeat: as long as the hub works, somebody outside is told so. Whoever watches that URL raises the alarm when it stays
//! away: for a hub without power, network or life there is nobody else who could.
//!
//! A beat says that the whole hub works: before each, a question goes through its loop and over the disk. The URL is a secret, since
//! whoever knows it can keep a dead hub alive for its watcher: nothing here shows more of it than the host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::watch;
use uuid::Uuid;

use super::webhook::client::Client;
use crate::config::Config;
use crate::engine::Hand;
use crate::health::{Health, count};
use crate::hub::Command;
use crate::signal::Secret;

/// Its part of the health.
pub const SINK: &str = "heartbeat";

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub url: Secret,
    pub pace: Pace,
    /// An authority beside the system's: that of webhooks.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    pub every: Duration,
    /// One that failed is tried again so soon: a watcher's grace is often no longer than one beat.
    pub retry: Duration,
    /// An answer that takes longer is none; so is the hub's own.
    pub answer: Duration,
}

impl Pace {
    pub fn every(every: Duration) -> Pace {
        Pace { every, retry: (every / 4).min(Duration::from_secs(30)), answer: Duration::from_secs(10).min(every) }
    }
}

impl Settings {
    /// `None` where nobody is to be told.
    pub fn new(config: &Config) -> Option<Settings> {
        Some(Settings {
            url: config.hub.heartbeat_url.clone()?,
            pace: Pace::every(Duration::from_secs(u64::from(config.hub.heartbeat_every_s))),
            ca_file: config.webhooks.ca_file.clone(),
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    #[error("[webhooks] ca_file: {0}")]
    Tls(String),
    #[error("hub.heartbeat_url is no URL")]
    Url,
}

/// Beats until `stop` turns true.
pub async fn run(
    settings: Settings,
    hand: Hand,
    health: Arc<Health>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), HeartbeatError> {
    let Settings { url, pace, ca_file } = settings;
    // A private address is allowed: who writes the configuration is master of the hub, and a watcher in the house is a good one.
    let client = Client::new(ca_file.as_deref(), true, pace.answer).map_err(HeartbeatError::Tls)?;
    let url: Uri = url.reveal().parse().map_err(|_| HeartbeatError::Url)?;
    let host = url.host().ok_or(HeartbeatError::Url)?.to_owned();
    let mut said = None;
    health.set(SINK, false, format!("{host} has not been told yet"));
    loop {
        let told = match tokio::time::timeout(pace.answer, lives(&hand)).await {
            Ok(()) => client.get(url.clone()).await.map_err(|e| e.to_string()),
            Err(_) => Err(format!("the hub itself has not answered within {} s", pace.answer.as_secs())),
        };
        let wait = if told.is_ok() { pace.every } else { pace.retry };
        match &told {
            Ok(()) => {
                count(&health.heartbeat.sent);
                health.set(SINK, true, format!("{host} is told every {} s", pace.every.as_secs()));
            }
            Err(why) => {
                count(&health.heartbeat.failed);
                health.set(SINK, false, format!("{host}: {why}"));
            }
        }
        // One line a change, not a line a beat.
        if said.as_ref() != Some(&told) {
            match &told {
                Ok(()) => tracing::info!(host, "heartbeat.told"),
                Err(why) => tracing::warn!(host, why, "heartbeat.failed"),
            }
            said = Some(told);
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // An error says that the sender is gone: a stop too.
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// Comes back when the hub's loop has answered and its answer went over the disk: a question about no device of anybody.
async fn lives(hand: &Hand) {
    let _ = hand.command(Command::Explain { device_id: Uuid::nil() }).await;
}
