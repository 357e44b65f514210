//! The parts of a running daemon, each under its supervisor: which there are, what each is handed, and what a new
//! configuration means for them.
//!
//! A part rests on a [`Section`]: a value of the configuration. Those of a new configuration that are not running are started,
//! those running that it has not are stopped, and all others are left alone, with their connections.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::supervise::{Part, stopped};
use crate::api::accounts::Adopts;
use crate::api::connect::Networks;
use crate::api::index::Index;
use crate::api::simulate::Simulator;
use crate::api::{self, App};
use crate::config::{Config, ZwaveSection};
use crate::console;
use crate::engine::{Clock, Hand};
use crate::health::Health;
use crate::hub::Action;
use crate::identity::Identity;
use crate::signal::Address;
use crate::sink::{heartbeat, mqtt, webhook};
use crate::source::ble::intake::{Intake, Known};
use crate::source::ble::{adopted, radio};
use crate::source::zwave::{Rules, link};
use crate::store::Store;

/// Sources have nothing to finish: what they handed over is with the engine.
const SOURCE_GRACE: Duration = Duration::from_millis(500);
/// A sink may send what is under way, and its last words.
const SINK_GRACE: Duration = Duration::from_millis(2000);

/// What the hub asks of a source goes to every source; each does what concerns its devices.
type Ask = mpsc::UnboundedSender<Action>;

pub struct Parts {
    shared: Shared,
    running: Vec<(Section, Part)>,
}

/// What parts are made from.
#[derive(Clone)]
pub struct Shared {
    pub identity: Identity,
    pub store: Store,
    pub hand: Hand,
    pub health: Arc<Health>,
    pub clock: Clock,
    own_rows: Arc<tokio::sync::Mutex<()>>,
    pub simulator: Option<Simulator>,
    pub networks: Networks,
    index: Arc<Index>,
    adopts: Arc<watch::Sender<Adopts>>,
    streams: Arc<tokio::sync::Semaphore>,
    asked: Arc<Mutex<Vec<Ask>>>,
    /// What the radio's ear knows of our devices; kept while the radio is restarted.
    intake: Arc<Mutex<Intake>>,
}

/// What a part rests on: when it differs, the part is another one.
#[derive(Clone, Debug, PartialEq)]
enum Section {
    Ble(radio::Settings),
    Mqtt(Box<mqtt::Settings>),
    /// Commands from the same broker.
    Commands(Box<mqtt::Settings>),
    Webhooks(webhook::Settings),
    Heartbeat(heartbeat::Settings),
    Zwave(ZwaveSection, Rules),
    Control(api::Names),
    Http(api::tcp::Settings, api::Names),
}

impl Section {
    fn name(&self) -> String {
        match self {
            Section::Ble(_) => "ble".to_owned(),
            Section::Mqtt(_) => mqtt::SINK.to_owned(),
            Section::Commands(_) => mqtt::command::PART.to_owned(),
            Section::Webhooks(_) => webhook::SINK.to_owned(),
            Section::Heartbeat(_) => heartbeat::SINK.to_owned(),
            Section::Zwave(network, _) => format!("zwave/{}", network.name),
            Section::Control(_) => "control".to_owned(),
            Section::Http(..) => "http".to_owned(),
        }
    }

    /// Sinks are stopped last: they tell what the stop itself brings about.
    fn is_sink(&self) -> bool {
        matches!(self, Section::Mqtt(_) | Section::Webhooks(_))
    }

    /// What a configuration asks for, in the order of starting.
    fn all(config: &Config) -> Vec<Section> {
        let mut sections = Vec::new();
        match mqtt::Settings::new(config) {
            Ok(settings) => {
                let settings = Box::new(settings);
                sections.extend((settings.commands || settings.backfill).then(|| Section::Commands(settings.clone())));
                sections.push(Section::Mqtt(settings));
            }
            // The check of the configuration lets none of these through.
            Err(error) => tracing::error!(%error, "mqtt.not_started"),
        }
        sections.push(Section::Webhooks(webhook::Settings::new(config)));
        sections.extend(heartbeat::Settings::new(config).map(Section::Heartbeat));
        let network = |n: &ZwaveSection| Section::Zwave(n.clone(), config.zwave_rules(&n.name));
        sections.extend(config.zwave.iter().map(network));
        if config.ble.enabled {
            sections.push(Section::Ble(config.radio()));
        }
        sections.push(Section::Control(api::Names::new(config)));
        sections.push(Section::Http(api::tcp::Settings::new(config), api::Names::new(config)));
        sections
    }
}

impl Parts {
    /// `met` are the managed Bluetooth devices that the hub knows already.
    pub fn start(
        config: &Config,
        shared: Shared,
        mut actions: mpsc::UnboundedReceiver<Action>,
        met: Vec<adopted::Met>,
    ) -> Parts {
        let asked = shared.asked.clone();
        tokio::spawn(async move {
            while let Some(action) = actions.recv().await {
                let mut asked = asked.lock().unwrap_or_else(|e| e.into_inner());
                asked.retain(|ask| ask.send(action.clone()).is_ok());
            }
        });
        let mut parts = Parts { shared, running: Vec::new() };
        parts.learn(config, met);
        for section in Section::all(config) {
            parts.start_one(section);
        }
        parts
    }

    /// Starts, stops and restarts what a new configuration changes; returns the names of those parts.
    pub async fn reconfigure(&mut self, config: &Config) -> Vec<String> {
        let store = &self.shared.store;
        let met = adopted::keys(store)
            .and_then(|keys| store.restore(|rows| adopted::met(rows.filter_map(|row| row.device()), &keys)));
        self.learn(config, met.unwrap_or_default());
        let wanted = Section::all(config);
        let (stay, go): (Vec<_>, Vec<_>) = self.running.drain(..).partition(|(section, _)| wanted.contains(section));
        self.running = stay;
        let mut changed: Vec<String> = go.iter().map(|(section, _)| section.name()).collect();
        stop(go).await;
        for gone in changed.iter().filter(|name| !wanted.iter().any(|section| section.name() == **name)) {
            self.shared.health.forget(gone);
        }
        for section in wanted {
            if !self.running.iter().any(|(running, _)| *running == section) {
                changed.push(section.name());
                self.start_one(section);
            }
        }
        changed.sort();
        changed.dedup();
        changed
    }

    pub async fn stop_sources(&mut self) {
        let (sinks, sources) = self.running.drain(..).partition(|(section, _)| section.is_sink());
        self.running = sinks;
        stop(sources).await;
    }

    pub async fn stop_sinks(&mut self) {
        stop(std::mem::take(&mut self.running)).await;
    }

    fn start_one(&mut self, section: Section) {
        let part = match section.clone() {
            Section::Ble(settings) => self.ble(&section, settings),
            Section::Mqtt(settings) => self.mqtt(&section, settings),
            Section::Commands(settings) => self.commands(&section, settings),
            Section::Webhooks(settings) => self.webhooks(&section, settings),
            Section::Heartbeat(settings) => self.heartbeat(&section, settings),
            Section::Zwave(network, rules) => self.zwave(&section, network, rules),
            Section::Control(names) => self.control(&section, names),
            Section::Http(settings, names) => self.http(&section, settings, names),
        };
        self.running.push((section, part));
    }

    /// Tells the radio's ear which devices are ours: the configured ones, and those adopted at run time. The API learns of `[adopt]`.
    fn learn(&self, config: &Config, met: Vec<adopted::Met>) {
        self.shared.adopts.send_replace(Adopts::of(config));
        let mut known: HashMap<Address, Known> = config.known().into_iter().collect();
        for adopted::Met { address, counter, bindkey } in met {
            let known = known.entry(address).or_default();
            known.counter = counter;
            // The key of the configuration wins.
            known.bindkey = known.bindkey.take().or(bindkey);
        }
        self.shared.intake.lock().unwrap_or_else(|e| e.into_inner()).know(known);
    }

    fn ble(&self, section: &Section, settings: radio::Settings) -> Part {
        let Shared { store, health, hand, clock, intake, asked, .. } = self.shared.clone();
        Part::start(section.name(), health.clone(), move |_stop| {
            let ear = radio::HubEar::new(intake.clone(), hand.inputs(), health.clone());
            let (ask, actions) = mpsc::unbounded_channel();
            asked.lock().unwrap_or_else(|e| e.into_inner()).push(ask);
            let (settings, health, clock) = (settings.clone(), health.clone(), clock.clone());
            let adopted = adopted::follow(store.clone(), intake.clone());
            async move {
                tokio::select! {
                    ended = adopted => ended.map(|never| match never {}),
                    never = radio::run(settings, ear, actions, health, clock) => match never {},
                }
            }
        })
    }

    fn mqtt(&self, section: &Section, settings: Box<mqtt::Settings>) -> Part {
        let Shared { store, health, .. } = self.shared.clone();
        Part::start(section.name(), health.clone(), move |stop| {
            let (settings, store, health) = (*settings.clone(), store.clone(), health.clone());
            async move {
                mqtt::run(settings, store, health, stop).await;
                Ok::<_, io::Error>(())
            }
        })
    }

    fn commands(&self, section: &Section, settings: Box<mqtt::Settings>) -> Part {
        let Shared { store, hand, clock, health, .. } = self.shared.clone();
        Part::start(section.name(), health.clone(), move |stop| {
            let (settings, store, hand) = (*settings.clone(), store.clone(), hand.clone());
            let (clock, health) = (clock.clone(), health.clone());
            async move {
                mqtt::command::run(settings, store, hand, clock, health, stop).await;
                Ok::<_, io::Error>(())
            }
        })
    }

    fn webhooks(&self, section: &Section, settings: webhook::Settings) -> Part {
        let Shared { store, health, .. } = self.shared.clone();
        Part::start(section.name(), health.clone(), move |stop| {
            webhook::run(settings.clone(), store.clone(), health.clone(), stop)
        })
    }

    fn heartbeat(&self, section: &Section, settings: heartbeat::Settings) -> Part {
        let Shared { hand, health, .. } = self.shared.clone();
        Part::start(section.name(), health.clone(), move |stop| {
            heartbeat::run(settings.clone(), hand.clone(), health.clone(), stop)
        })
    }

    fn zwave(&self, section: &Section, network: ZwaveSection, rules: Rules) -> Part {
        let shared = self.shared.clone();
        Part::start(section.name(), shared.health.clone(), move |_stop| {
            let (ask, actions) = mpsc::unbounded_channel();
            shared.asked.lock().unwrap_or_else(|e| e.into_inner()).push(ask);
            link::run(link::Network {
                server: network.clone(),
                rules: rules.clone(),
                inputs: shared.hand.inputs(),
                actions,
                clock: shared.clock.clone(),
                health: shared.health.clone(),
                tap: None,
            })
        })
    }

    /// What the API works with.
    pub fn app(&self, names: api::Names) -> App {
        let Shared {
            identity, store, hand, health, simulator, networks, index, adopts, own_rows, streams, intake, ..
        } = self.shared.clone();
        let (names, tail, adopts) = (Arc::new(names), Arc::default(), adopts.subscribe());
        App {
            identity,
            names,
            store,
            hand,
            health,
            own_rows,
            index,
            networks,
            adopts,
            intake,
            simulator,
            streams,
            tail,
        }
    }

    fn http(&self, section: &Section, settings: api::tcp::Settings, names: api::Names) -> Part {
        let app = self.app(names);
        let health = app.health.clone();
        Part::start(section.name(), health.clone(), move |stop| {
            let (app, health, settings) = (app.clone(), health.clone(), settings.clone());
            async move {
                let ready = |address| {
                    tracing::info!(%address, tls = settings.tls.is_some(), "http.listening");
                    health.set("http", true, format!("listening on {address}"));
                };
                tokio::select! {
                    ended = api::tcp::serve(&settings, console::beside(api::router(app.clone()), app), ready) => ended,
                    () = stopped(stop) => Ok(()),
                }
            }
        })
    }

    fn control(&self, section: &Section, names: api::Names) -> Part {
        let app = self.app(names);
        let health = app.health.clone();
        // Bound before the daemon says that it is ready, so that whoever waited for that finds it.
        let mut bound = api::control::bind(&app.names.state_dir).ok();
        Part::start(section.name(), health.clone(), move |stop| {
            let (app, health, bound) = (app.clone(), health.clone(), bound.take());
            async move {
                let (listener, path) = bound.map_or_else(|| api::control::bind(&app.names.state_dir), Ok)?;
                health.set("control", true, format!("listening on {}", path.display()));
                tokio::select! {
                    ended = api::control::serve(listener, api::router(app)) => ended,
                    () = stopped(stop) => Ok(()),
                }
            }
        })
    }
}

impl Shared {
    pub fn new(
        identity: Identity,
        store: Store,
        hand: Hand,
        health: Arc<Health>,
        clock: Clock,
        networks: Networks,
    ) -> Shared {
        let adopts = Adopts::of(&Config::default());
        Shared {
            identity,
            store,
            hand,
            health,
            clock,
            simulator: None,
            networks,
            index: Arc::default(),
            adopts: Arc::new(watch::channel(adopts).0),
            own_rows: Arc::default(),
            streams: Arc::new(tokio::sync::Semaphore::new(api::STREAMS_MOST)),
            asked: Arc::default(),
            intake: Arc::default(),
        }
    }
}

async fn stop(parts: Vec<(Section, Part)>) {
    let stops =
        parts.into_iter().map(|(section, part)| part.stop(if section.is_sink() { SINK_GRACE } else { SOURCE_GRACE }));
    futures_util::future::join_all(stops).await;
}
