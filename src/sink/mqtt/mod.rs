//! The MQTT publisher: the log, in order, at least once, to a broker.
//!
//! The log is the only outbox. A connection starts from the cursor, sends what follows it and moves it over what the broker
//! acknowledged; whatever breaks, the connection is thrown away and the next one starts from the cursor again.

mod backoff;
mod feed;
mod ledger;
mod line;
mod probe;
mod session;
mod settings;
mod tls;
mod topics;
mod trouble;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

pub use probe::{Probe, probe};
pub use settings::{Pace, Settings, SettingsError, Version};
pub use topics::{Message, Topics};

use crate::health::{Health, count};
use crate::store::Store;
use backoff::Backoff;
use session::Session;
use trouble::Trouble;
use wire::{Broken, V4, V5};

/// The name of its cursor and of its part of the health.
pub const SINK: &str = "mqtt";

/// Someone else has our session: coming back at once would only take it from them, and they from us.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(30);

/// Publishes until `stop` turns true (or its sender is gone), then says `offline` and returns.
pub async fn run(settings: Settings, store: Store, health: Arc<Health>, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(settings.pace.retry_first, settings.pace.retry_most);
    let mut trouble = Trouble::default();
    let broker = format!("{}:{}", settings.host, settings.port);
    health.set(SINK, false, format!("connecting to {broker}"));
    // From now on the log keeps for us what we have not sent.
    let registered = store.cursor(SINK).and_then(|seq| store.move_cursor(SINK, seq));
    if let Err(error) = registered {
        tracing::error!(%error, "mqtt.no_cursor");
    }
    let mut said = String::new();
    loop {
        let since = Instant::now();
        let ended = connect_once(&settings, &store, &health, &mut trouble, stop.clone()).await;
        let Err(error) = ended else { break };
        count(&health.mqtt.reconnects);
        let mut wait = backoff.after(since.elapsed(), Uuid::new_v4().as_u64_pair().1);
        if matches!(error, Broken::TakenOver) {
            wait += TAKEN_OVER_WAIT;
        }
        let reason = error.to_string();
        // One line a reason, not a line a try.
        if reason == said {
            tracing::debug!(%broker, %reason, wait_ms = wait.as_millis() as u64, "mqtt.down");
        } else {
            tracing::warn!(%broker, %reason, "mqtt.down");
        }
        health.set(SINK, false, format!("{broker}: {reason}"));
        said = reason;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(&mut stop) => break,
        }
    }
    health.set(SINK, false, "stopped");
}

async fn connect_once(
    settings: &Settings,
    store: &Store,
    health: &Arc<Health>,
    trouble: &mut Trouble,
    stop: watch::Receiver<bool>,
) -> Result<(), Broken> {
    let session = Session::new(settings, store, health, trouble, stop)?;
    match settings.version {
        Version::V5 => {
            let (outbox, mut pump) = V5::connect(settings)?;
            session.run(&outbox, &mut pump).await
        }
        Version::V4 => {
            let (outbox, mut pump) = V4::connect(settings)?;
            session.run(&outbox, &mut pump).await
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone: a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
