//! The parts of a running daemon, each under its supervisor: which there are, what each is handed, and what a new
//! configuration means for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::supervise::{Part, stopped};
use crate::api::{self, App};
use crate::config::Config;
use crate::engine::{Clock, Hand};
use crate::health::Health;
use crate::hub::Action;
use crate::identity::Identity;
use crate::store::Store;

/// Sources have nothing to finish: what they handed over is with the engine.
const SOURCE_GRACE: Duration = Duration::from_millis(500);
/// A sink may send what is under way, and its last words.
const SINK_GRACE: Duration = Duration::from_millis(2000);

/// What the hub asks of a source goes to every source; each does what concerns its devices.
type Ask = mpsc::UnboundedSender<Action>;

pub struct Parts {
    config: Arc<Config>,
    shared: Shared,
    sources: Vec<(Section, Part)>,
    sinks: Vec<(Section, Part)>,
}

/// What parts are made from.
#[derive(Clone)]
#[allow(dead_code)] // Until the first source is wired.
struct Shared {
    identity: Identity,
    store: Store,
    hand: Hand,
    health: Arc<Health>,
    clock: Clock,
    asked: Arc<Mutex<Vec<Ask>>>,
}

/// The piece of the configuration that a part rests on: when it differs, the part is restarted.
#[derive(Clone, Debug, PartialEq)]
enum Section {
    /// Nothing that may change while the hub runs.
    Control,
}

impl Parts {
    pub async fn start(
        config: Config,
        identity: Identity,
        store: Store,
        hand: Hand,
        mut asked: mpsc::UnboundedReceiver<Action>,
        health: Arc<Health>,
        clock: Clock,
    ) -> Parts {
        let sources_asked = Arc::new(Mutex::new(Vec::<Ask>::new()));
        let shared = Shared { identity, store, hand, health, clock, asked: sources_asked.clone() };
        tokio::spawn(async move {
            while let Some(action) = asked.recv().await {
                let mut asks = sources_asked.lock().unwrap_or_else(|e| e.into_inner());
                asks.retain(|ask| ask.send(action.clone()).is_ok());
            }
        });
        let mut parts = Parts { config: Arc::new(config), shared, sources: Vec::new(), sinks: Vec::new() };
        parts.start_control();
        parts
    }

    fn start_control(&mut self) {
        let Shared { identity, store, hand, health, .. } = self.shared.clone();
        let state_dir = self.config.state_dir.clone();
        let app = App { identity, hub_name: self.config.hub.name.as_str().into(), store, hand, health: health.clone() };
        let part = Part::start("control", health.clone(), move |stop| {
            let (app, state_dir, health) = (app.clone(), state_dir.clone(), health.clone());
            async move {
                let (listener, path) = api::control::bind(&state_dir)?;
                health.set("control", true, format!("listening on {}", path.display()));
                tokio::select! {
                    ended = api::control::serve(listener, api::router(app)) => ended,
                    () = stopped(stop) => Ok(()),
                }
            }
        });
        self.sources.push((Section::Control, part));
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes a new configuration and restarts the parts that it changes; returns their names.
    pub async fn reconfigure(&mut self, config: Config) -> Vec<String> {
        self.config = Arc::new(config);
        Vec::new()
    }

    pub async fn stop_sources(&mut self) {
        let stops = self.sources.drain(..).map(|(_, part)| part.stop(SOURCE_GRACE));
        futures_util::future::join_all(stops).await;
    }

    pub async fn stop_sinks(&mut self) {
        let stops = self.sinks.drain(..).map(|(_, part)| part.stop(SINK_GRACE));
        futures_util::future::join_all(stops).await;
    }
}
