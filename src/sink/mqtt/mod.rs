//! The MQTT publisher: the log, in order, at least once, to a broker.
//!
//! The log is the only outbox. A connection starts from the cursor, sends what follows it and moves it over what the broker
//! acknowledged; whatever breaks, the connection is thrown away and the next one starts from the cursor again.

pub(crate) mod backoff;
pub mod command;
pub mod home_assistant;
mod ledger;
pub(crate) mod life;
pub(crate) mod line;
mod probe;
pub(crate) mod proof;
mod session;
mod settings;
mod shown;
mod tls;
pub(in crate::sink) mod topics;
mod trouble;
mod window;
pub(crate) mod wire;

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
use session::{Reached, Session};
use trouble::Trouble;
use wire::{Broken, Role};

/// The name of its cursor and of its part of the health.
pub const SINK: &str = "mqtt";

/// Someone else has our session: coming back at once would only take it from them, and they from us.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(30);

/// So many connections ended without a reason, one after the other: Mosquitto up to 2.0.11 (Debian 12's), and every broker with
/// MQTT 3.1.1, says no more when two clients take the same session from each other.
const ENDED_OFTEN: u32 = 3;

/// Publishes until `stop` turns true (or its sender is gone), then says `offline` and returns.
pub async fn run(settings: Settings, store: Store, health: Arc<Health>, mut stop: watch::Receiver<bool>) {
    let (mut trouble, mut reached) = (Trouble::default(), None);
    // From now on the log keeps for us what we have not sent.
    let registered = store.cursor(SINK).and_then(|seq| store.move_cursor(SINK, seq));
    if let Err(error) = registered {
        tracing::error!(%error, "mqtt.no_cursor");
    }
    let mut tries = Tries::new(SINK, &settings, &health);
    loop {
        let here = tries.settings(&settings);
        let ended = publish(&here, &store, &health, &mut trouble, &mut reached, stop.clone()).await;
        if !tries.another(ended, &mut stop).await {
            return;
        }
    }
}

async fn publish(
    settings: &Settings,
    store: &Store,
    health: &Arc<Health>,
    trouble: &mut Trouble,
    reached: &mut Option<Reached>,
    stop: watch::Receiver<bool>,
) -> Result<(), Broken> {
    let role = Role { will: Some(settings.topics.status()), ..Role::passing(settings.client_id.clone()) };
    let session = Session::new(settings, store, health, trouble, reached, stop)?;
    let (outbox, mut pump) = wire::connect(settings, &role)?;
    session.run(&outbox, &mut pump).await
}

/// One connection after the other, with a wait between them.
struct Tries<'a> {
    /// Its part of the health.
    part: &'a str,
    /// Counts the connections: each goes to the next node of the broker.
    turn: usize,
    broker: String,
    health: &'a Health,
    backoff: Backoff,
    pace: Pace,
    /// Connections in a row that were young when the broker ended them.
    ended: u32,
    since: Instant,
    said: String,
}

impl<'a> Tries<'a> {
    fn new(part: &'a str, settings: &Settings, health: &'a Health) -> Tries<'a> {
        let turn = settings.first_node();
        health.set(part, false, format!("connecting to {}", settings.at_node(turn).broker()));
        let backoff = Backoff::new(settings.pace.retry_first, settings.pace.retry_most);
        Tries {
            part,
            turn,
            broker: String::new(),
            health,
            backoff,
            pace: settings.pace.clone(),
            ended: 0,
            since: Instant::now(),
            said: String::new(),
        }
    }

    /// For the connection that is next.
    fn settings(&mut self, settings: &Settings) -> Settings {
        let here = settings.at_node(self.turn);
        self.broker = here.broker();
        here
    }

    /// Comes back when it is time for another connection; false where the last one ended well, or a stop came.
    async fn another(&mut self, ended: Result<(), Broken>, stop: &mut watch::Receiver<bool>) -> bool {
        let Err(error) = ended else {
            self.health.set(self.part, false, "stopped");
            return false;
        };
        count(&self.health.mqtt.reconnects);
        let lived = self.since.elapsed().saturating_sub(error.in_vain(&self.pace));
        let mut wait = self.backoff.after(lived, Uuid::new_v4().as_u64_pair().1);
        if matches!(error, Broken::TakenOver) {
            wait += TAKEN_OVER_WAIT;
        }
        let young = matches!(error, Broken::Ended(_)) && self.since.elapsed() < backoff::GOOD;
        self.ended = if young { self.ended + 1 } else { 0 };
        let (part, broker, mut reason) = (self.part, &self.broker, error.to_string());
        if self.ended >= ENDED_OFTEN {
            reason.push_str(", again and again: is there a second daemon with the same hub.name at this broker?");
        }
        // One line a reason, not a line a try.
        if reason == self.said {
            tracing::debug!(part, %broker, %reason, wait_ms = wait.as_millis() as u64, "mqtt.down");
        } else {
            tracing::warn!(part, %broker, %reason, "mqtt.down");
        }
        self.health.set(part, false, format!("{broker}: {reason}"));
        self.said = reason;
        let goes_on = tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = stopped(stop) => false,
        };
        self.since = Instant::now();
        self.turn = self.turn.wrapping_add(1);
        goes_on
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone: a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
