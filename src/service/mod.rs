//! Starts, supervises and stops the parts.
//!
//! ```text
//! start:  lock the state directory → identity → store → hub → engine → sinks → sources → control socket → READY
//! reload: read the configuration → tell the hub → restart the parts whose section changed
//! stop:   STOPPING → sources → engine (what was handed over is judged and on disk) → sinks (drained briefly)
//! ```
//!
//! Promises: a part that panics or ends is named and started again; a stop takes less than [`STOP_WITHIN`]; a configuration
//! that is wrong at a reload changes nothing.

mod lock;
pub mod logs;
mod networks;
mod notify;
mod parts;
mod supervise;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use lock::{LockError, StateLock};

use crate::api::simulate::Simulator;
use crate::api::{self, App, Names};
use crate::config::Config;
use crate::engine::{Clock, Engine, Hand};
use crate::health::Health;
use crate::hub::{Command, Hub, Input, RowKind, network_account_id};
use crate::identity::{Identity, IdentityError};
use crate::source::ble::adopted;
use crate::source::ble::intake::Intake;
use crate::source::zwave::added::{self, Added};
use crate::store::{self, Reader, Store, StoreError};
use crate::trust;
use parts::{Parts, Shared};

/// From SIGTERM to the end of the process. The shares of the parts add up to less: see [`parts`].
pub const STOP_WITHIN: Duration = Duration::from_secs(5);
/// For the engine's share of a stop: judge what was handed over, and have it on disk.
const ENGINE_GRACE: Duration = Duration::from_millis(1500);

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("the hub's loop broke down ({0}); what was on disk is safe, and a restart goes on from there")]
    Engine(String),
}

/// Runs the hub until SIGTERM or SIGINT. `path` is where a reload reads the configuration again.
pub fn run(path: PathBuf, config: Config) -> Result<(), ServiceError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| ServiceError::Io { what, source }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("starting the runtime"))?;
    let done = runtime.block_on(serve(&path, config));
    // A thread that hangs in a driver must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

async fn serve(path: &Path, config: Config) -> Result<(), ServiceError> {
    let signals = |source| ServiceError::Io { what: "listening to signals".into(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(signals)?;

    let clock = Clock::start();
    // Asked once before the first event may be dated.
    clock.trust.hear(trust::ask().await);
    let trust = clock.trust.clone();
    let watch = tokio::spawn(async move { trust::watch(&trust).await });
    let mut running = Running::start(config, clock).await?;
    notify::ready();
    let broken = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hangup.recv() => running.reload(path).await,
            ended = &mut running.engine => break Some(supervise::why(ended.map(|()| "it ended".to_owned()))),
        }
    };
    notify::stopping();
    watch.abort();
    running.stop(broken.is_none()).await;
    broken.map_or(Ok(()), |why| Err(ServiceError::Engine(why)))
}

/// A hub at work.
pub struct Running {
    pub hand: Hand,
    pub store: Store,
    pub health: Arc<Health>,
    site: Arc<Mutex<Site>>,
    networks: JoinHandle<()>,
    app: App,
    engine: JoinHandle<()>,
    stop_engine: oneshot::Sender<()>,
    watchdog: JoinHandle<()>,
    _lock: StateLock,
}

/// What a reload changes, and a network that comes or goes.
struct Site {
    /// As the file has it.
    file: Config,
    /// Networks that were added at run time.
    added: Vec<Added>,
    parts: Parts,
    workspace_id: Uuid,
    hand: Hand,
}

impl Site {
    /// The judgement learns what the configuration is now.
    async fn tell_hub(&self) {
        let settings = added::with(&self.file, &self.added).settings(Some(self.workspace_id));
        let _ = self.hand.inputs().send(Input::Configure(Box::new(settings))).await;
    }

    /// And the parts; the names of those that were started or stopped.
    async fn reconfigure(&mut self) -> Vec<String> {
        self.parts.reconfigure(&added::with(&self.file, &self.added)).await
    }
}

impl Running {
    /// Starts everything that the configuration asks for, in the time that `clock` tells.
    pub async fn start(config: Config, clock: Clock) -> Result<Running, ServiceError> {
        Running::start_simulated(config, clock, None).await
    }

    /// And the API can tell the building of a demo what to do.
    pub async fn start_simulated(
        config: Config,
        clock: Clock,
        simulator: Option<Simulator>,
    ) -> Result<Running, ServiceError> {
        let dir = config.state_dir.clone();
        let lock = StateLock::take(&dir)?;
        let identity = Identity::load_or_make(&dir, config.hub.workspace_id)?;
        let health = Arc::new(Health::default());
        let age = Duration::from_secs(u64::from(config.events.retention_days) * 24 * 3600);
        let retention = store::Keep { age, ..store::Keep::default() };
        let options = store::Options { dialect: config.events.dialect, retention, health: health.clone() };
        let file = config;
        let (store, (hub, added, untold, met)) = Store::open_with(&dir, options, |reader, last_created| {
            let added = added::all(reader)?;
            let untold = untold_logins(&added, reader)?;
            let settings = added::with(&file, &added).settings(Some(identity.workspace_id));
            let hub = reader.restore(|rows| Hub::restore(settings, rows, last_created, clock.now()))?;
            let met = adopted::met(hub.devices(), &adopted::keys(reader)?);
            Ok((hub, added, untold, met))
        })?;
        let config = added::with(&file, &added);
        let (actions, asked) = mpsc::unbounded_channel();
        let (engine, hand) = Engine::new(hub, clock.clone(), store.clone(), health.clone(), actions);

        let heart = notify::Heart::default();
        let beat = heart.clone();
        let (stop_engine, engine_stops) = oneshot::channel::<()>();
        let engine = tokio::spawn(engine.run(
            async {
                let _ = engine_stops.await;
            },
            move || beat.beat(),
        ));
        for login in untold {
            let _ = hand.command(login).await;
        }
        let workspace_id = identity.workspace_id;
        let (networks, changes) = mpsc::channel(networks::WAITING_MOST);
        let mut shared = Shared::new(identity, store.clone(), hand.clone(), health.clone(), clock, networks);
        shared.simulator = simulator;
        let parts = Parts::start(&config, shared, asked, met);
        let app = parts.app(Names::new(&config));
        let site = Arc::new(Mutex::new(Site { file, added, parts, workspace_id, hand: hand.clone() }));
        let networks = networks::Networks { site: site.clone(), store: store.clone(), hand: hand.clone() };
        let networks = tokio::spawn(networks.tend(changes));
        let watchdog = tokio::spawn(notify::watchdog(heart, hand.inputs()));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            hub = config.hub.name,
            %workspace_id,
            state_dir = %dir.display(),
            "service.started"
        );
        Ok(Running { hand, store, health, site, networks, app, engine, stop_engine, watchdog, _lock: lock })
    }

    /// What the radio's ear knows of our devices: a demo hears with one of its own.
    pub fn intake(&self) -> Arc<std::sync::Mutex<Intake>> {
        self.app.intake.clone()
    }

    /// The API as it is served, for those in this process.
    pub fn api(&self) -> axum::Router {
        api::router(self.app.clone())
    }

    /// Reads the configuration again. A wrong one changes nothing.
    async fn reload(&mut self, path: &Path) {
        notify::reloading();
        match Config::load(path) {
            Err(problems) => tracing::error!(%problems, "service.reload_refused: the configuration in use stays"),
            Ok(config) => {
                let mut site = self.site.lock().await;
                site.file = keep_what_needs_a_restart(&site.file, config);
                site.tell_hub().await;
                let restarted = site.reconfigure().await;
                tracing::info!(?restarted, "service.reloaded");
            }
        }
        notify::ready();
    }

    /// Ends it in order. `engine_lives` is false where the engine has ended already.
    pub async fn stop(mut self, engine_lives: bool) {
        tracing::info!("service.stopping");
        // A change under way comes to its end first; none begins after it.
        let mut site = self.site.lock().await;
        self.networks.abort();
        site.parts.stop_sources().await;
        let _ = self.stop_engine.send(());
        if engine_lives && tokio::time::timeout(ENGINE_GRACE, &mut self.engine).await.is_err() {
            tracing::error!(
                waited_ms = ENGINE_GRACE.as_millis() as u64,
                "service.engine_slow: the last seconds may not be on disk"
            );
        }
        site.parts.stop_sinks().await;
        self.watchdog.abort();
        tracing::info!("service.stopped");
    }
}

/// Of networks that were added just before a crash, and not met since.
fn untold_logins(added: &[Added], reader: &Reader) -> Result<Vec<Command>, StoreError> {
    let mut untold = Vec::new();
    for Added { name, home, connect_webview_id, .. } in added {
        if reader.row(RowKind::Account, &network_account_id(*home).to_string())?.is_none() {
            untold.push(Command::Login { network: name.as_str().into(), connect_webview_id: *connect_webview_id });
        }
    }
    Ok(untold)
}

/// Keys that a running hub cannot change under itself stay as they are, and are named.
fn keep_what_needs_a_restart(now: &Config, mut new: Config) -> Config {
    let mut kept = Vec::new();
    let mut keep = |key, differs: bool| differs.then(|| kept.push(key)).is_some();
    if keep("state_dir", new.state_dir != now.state_dir) {
        new.state_dir = now.state_dir.clone();
    }
    // Ids are made from them.
    if keep("hub.name", new.hub.name != now.hub.name) {
        new.hub.name = now.hub.name.clone();
    }
    if keep("hub.workspace_id", new.hub.workspace_id != now.hub.workspace_id) {
        new.hub.workspace_id = now.hub.workspace_id;
    }
    if keep("events.dialect", new.events.dialect != now.events.dialect) {
        new.events.dialect = now.events.dialect;
    }
    if !kept.is_empty() {
        tracing::warn!(keys = ?kept, "service.restart_needed: changes of these keys wait for systemctl restart portcullis");
    }
    new
}
