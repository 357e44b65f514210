//! What `scan` and `record` share: radio and bridges without a daemon, until a time or a signal ends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{Context, Failure};
use crate::config::Config;
use crate::engine::Clock;
use crate::health::{Health, PartState};
use crate::source::ble::radio::{self, Ear};

/// How often the terminal is kept up to date.
const TICK: Duration = Duration::from_secs(1);

/// The configuration, or the defaults where there is none at the default place: listening needs no installation.
pub fn config(context: &Context) -> Result<Config, Failure> {
    let none = context.config_path == std::path::Path::new(super::DEFAULT_CONFIG) && !context.config_path.exists();
    if none { Ok(Config::default()) } else { context.config() }
}

/// Listens with `ear`; `beside` starts what else is to run, and `tick` is called about once a second and may end it with an error.
pub fn listen<E: Ear + 'static>(
    config: &Config,
    seconds: Option<u64>,
    clock: Clock,
    ear: E,
    beside: impl FnOnce(Arc<Health>),
    mut tick: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        let health = Arc::new(Health::default());
        let (_nobody_asks, actions) = mpsc::unbounded_channel();
        // Side by side with a daemon and with others: a scan of our own, and nobody's power is touched.
        let settings = radio::Settings { shared: true, ..config.radio() };
        let enabled = config.ble.enabled;
        let radio = radio::run(settings, ear, actions, health.clone(), clock);
        tokio::pin!(radio);
        beside(health.clone());
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let end = async {
            match seconds {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut ticks = tokio::time::interval(TICK);
        let mut told = BTreeMap::new();
        loop {
            tokio::select! {
                never = &mut radio, if enabled => match never {},
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = &mut end => break,
                _ = ticks.tick() => {
                    tell_troubles(&health, &mut told);
                    tick()?;
                }
            }
        }
        tell_troubles(&health, &mut told);
        match health.parts().get("ble") {
            Some(ble) if !ble.up && !told.values().any(|state: &PartState| state.up) => {
                Err(Failure::failed(format!("nothing could be heard: {}", ble.detail)))
            }
            _ => Ok(()),
        }
    });
    // A reading in the middle of a connection ends it by itself.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

/// Says on standard error what keeps the radio from hearing, once each.
fn tell_troubles(health: &Health, told: &mut BTreeMap<String, PartState>) {
    for (part, state) in health.parts() {
        let before = told.get(&part);
        if before != Some(&state) {
            let recovered = state.up && before.is_some_and(|before| !before.up);
            if !state.up || recovered {
                eprintln!("{part}: {}", state.detail);
            }
            told.insert(part, state);
        }
    }
}
