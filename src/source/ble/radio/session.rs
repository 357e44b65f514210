//! One connection to the bus, for as long as it holds: the loop between signals, calls and timers.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use zbus::{Message, MessageStream};

use super::adapter::{Adapter, Do};
use super::adverts::{AdapterProperties, Reader, Said};
use super::bus::{Bus, BusError, Signal};
use super::poll::{self, Schedule};
use super::{Ear, Settings};
use crate::backoff::dice;
use crate::engine::Clock;
use crate::health::{Health, count};
use crate::hub::Action;
use crate::signal::{Address, Link};
use crate::source::ble::Advert;
use crate::time::Mono;

/// Signals handled before timers and calls get their turn again.
const BURST: usize = 64;
/// bluetoothd that did not answer when asked for its adapters.
const LIST_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Names asked for at once, of devices that were there before us.
const NAMES_AT_ONCE: usize = 4;
/// btleplug lists every device object to find one, at 10 kB each in its memory: not while a flood has filled bluetoothd.
const OBJECTS_MAX_FOR_POLL: usize = 500;

/// A call that came back.
enum Done {
    Listed(zbus::Result<Vec<(Arc<str>, AdapterProperties)>>),
    ListAgain,
    Scan(Arc<str>, Do, Result<(), String>),
    Name(Arc<str>, Address, Option<String>),
    Polled(Arc<str>, Address, Result<poll::Values, poll::ReadError>),
}

type Calls = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>;

pub struct Session<E> {
    settings: Settings,
    ear: E,
    actions: mpsc::UnboundedReceiver<Action>,
    health: Arc<Health>,
    clock: Clock,
    schedule: Schedule,
    adapters: BTreeMap<Arc<str>, Adapter>,
    /// What the ear was told of each adapter: `(powered, scanning)`.
    told: BTreeMap<Arc<str>, (bool, bool)>,
    /// What `health` was told of each adapter, and of the whole.
    reported: BTreeMap<String, (bool, String)>,
    owner: Option<String>,
    reader: Reader,
    naming: HashSet<(Arc<str>, Address)>,
    /// Something happened that others may have to be told.
    news: bool,
}

impl<E: Ear> Session<E> {
    pub fn new(
        settings: Settings,
        ear: E,
        actions: mpsc::UnboundedReceiver<Action>,
        health: Arc<Health>,
        clock: Clock,
    ) -> Session<E> {
        Session {
            schedule: Schedule::new(settings.poll.clone()),
            settings,
            ear,
            actions,
            health,
            clock,
            adapters: BTreeMap::new(),
            told: BTreeMap::new(),
            reported: BTreeMap::new(),
            owner: None,
            reader: Reader::default(),
            naming: HashSet::new(),
            news: true,
        }
    }

    /// Until the bus is lost; says why, and whether there ever was one.
    pub async fn run(&mut self) -> (BusError, bool) {
        let (bus, messages) = match Bus::connect(self.settings.bus.as_deref()).await {
            Ok(connected) => connected,
            Err(error) => return (error, false),
        };
        self.reader = Reader::default();
        self.naming.clear();
        self.schedule.all_abandoned();
        (self.listen(&bus, messages).await, true)
    }

    /// Everything that hangs on the bus is gone, and everybody is told.
    pub fn bus_lost(&mut self, why: &str) {
        self.bluez_gone(why);
        self.tell(Some(why));
    }

    async fn listen(&mut self, bus: &Bus, mut messages: MessageStream) -> BusError {
        let mut calls = Calls::new();
        match bus.owner().await {
            Ok(owner) => self.owner_is(owner, bus, &calls),
            Err(error) => return error,
        }
        loop {
            self.turn(bus, &calls);
            let wake = self.wake_in();
            tokio::select! {
                message = messages.next() => {
                    if let Err(error) = self.burst(message, &mut messages, bus, &calls) {
                        return error;
                    }
                }
                Some(done) = calls.next(), if !calls.is_empty() => self.done(done, bus, &calls),
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
                Some(action) = self.actions.recv() => self.action(action),
                () = self.ear.relieve() => {}
            }
        }
    }

    /// A message, and those that are there already.
    fn burst(
        &mut self,
        first: Option<zbus::Result<Message>>,
        messages: &mut MessageStream,
        bus: &Bus,
        calls: &Calls,
    ) -> Result<(), BusError> {
        let mut next = Some(first);
        for left in (0..BURST).rev() {
            match next {
                Some(Some(Ok(message))) => self.message(message, bus, calls),
                Some(Some(Err(error))) => return Err(BusError::Lost(error.to_string())),
                Some(None) => return Err(BusError::Lost("the connection ended".into())),
                None => break,
            }
            next = if left > 0 { messages.next().now_or_never() } else { None };
        }
        Ok(())
    }

    fn message(&mut self, message: Message, bus: &Bus, calls: &Calls) {
        match Bus::sort(message, self.owner.as_deref()) {
            Some(Signal::Bluez(message)) => match self.reader.signal(&message) {
                Ok(Some(said)) => self.said(said, bus, calls),
                Ok(None) => {}
                Err(error) => {
                    count(&self.health.ble.malformed);
                    tracing::debug!(%error, "ble.signal_malformed");
                }
            },
            Some(Signal::Owner(owner)) => self.owner_is(owner, bus, calls),
            None => {}
        }
    }

    fn owner_is(&mut self, owner: Option<String>, bus: &Bus, calls: &Calls) {
        if owner.is_none() || (self.owner.is_some() && owner != self.owner) {
            self.bluez_gone("bluetoothd stopped");
        }
        self.owner = owner;
        self.news = true;
        if self.owner.is_some() {
            calls.push(list(bus.clone()));
        }
    }

    fn bluez_gone(&mut self, why: &str) {
        self.owner = None;
        self.reader = Reader::default();
        let gone: Vec<Arc<str>> = std::mem::take(&mut self.adapters).into_keys().collect();
        gone.iter().for_each(|adapter| self.adapter_gone(adapter, why));
    }

    fn adapter_gone(&mut self, adapter: &Arc<str>, why: &str) {
        self.adapters.remove(adapter);
        self.news = true;
        self.report(format!("ble/{adapter}"), false, why.to_owned());
    }

    fn said(&mut self, said: Said, bus: &Bus, calls: &Calls) {
        let now = self.clock.mono();
        match said {
            Said::Advert { adapter, advert } => self.advert(now, &adapter, advert, bus, calls),
            Said::Adapter { adapter, properties } => {
                if let Some(known) = self.adapter(adapter, &properties, now) {
                    known.changed(now, properties, dice());
                }
            }
            Said::AdapterGone { adapter } if self.adapters.contains_key(&adapter) => {
                self.adapter_gone(&adapter, "unplugged");
            }
            Said::AdapterGone { .. } => {}
        }
    }

    /// The adapter of this name, if it is one of ours.
    fn adapter(&mut self, name: Arc<str>, properties: &AdapterProperties, now: Mono) -> Option<&mut Adapter> {
        if !self.wanted(&name, properties.address()) {
            return None;
        }
        self.news = true;
        let shared = self.settings.shared;
        Some(self.adapters.entry(name).or_insert_with(|| Adapter::new(shared, now)))
    }

    fn advert(&mut self, now: Mono, adapter: &Arc<str>, advert: Advert, bus: &Bus, calls: &Calls) {
        let Some(known) = self.adapters.get_mut(adapter) else { return };
        self.news |= known.heard(now);
        let (address, nameless, services) = (advert.address, advert.name.is_none(), advert.service_uuids.clone());
        let heard = self.ear.advert(now, adapter, advert);
        if heard.managed {
            self.schedule.heard(now, adapter, address, heard.battery, &services);
        }
        let key = (adapter.clone(), address);
        if nameless && heard.wants_name && self.naming.len() < NAMES_AT_ONCE && !self.reader.introduced(&key) {
            self.naming.insert(key);
            let (bus, adapter) = (bus.clone(), adapter.clone());
            calls.push(Box::pin(async move {
                let name = bus.name(&adapter, address).await;
                Done::Name(adapter, address, name)
            }));
        }
    }

    /// Whether the configuration lets us use an adapter: all, or by name or address.
    fn wanted(&self, name: &str, address: Option<Address>) -> bool {
        let listed = &self.settings.adapters;
        let is = |wanted: &String| wanted == name || (address.is_some() && wanted.parse().ok() == address);
        listed.is_empty() || self.adapters.contains_key(name) || listed.iter().any(is)
    }

    fn action(&mut self, action: Action) {
        if let Action::RestartScan { link: Link::Adapter(name) } = action
            && let Some(adapter) = self.adapters.get_mut(&name)
        {
            adapter.restart(self.clock.mono());
            self.news = true;
        }
    }

    fn done(&mut self, done: Done, bus: &Bus, calls: &Calls) {
        let now = self.clock.mono();
        self.news = true;
        match done {
            Done::Listed(Ok(listed)) => {
                for (name, properties) in listed {
                    if let Some(adapter) = self.adapter(name, &properties, now) {
                        adapter.described(now, properties, dice());
                    }
                }
            }
            Done::Listed(Err(error)) => {
                self.report("ble".into(), false, format!("bluetoothd does not list its adapters: {error}"));
                calls.push(Box::pin(async {
                    tokio::time::sleep(LIST_AGAIN_AFTER).await;
                    Done::ListAgain
                }));
            }
            Done::ListAgain if self.owner.is_some() => calls.push(list(bus.clone())),
            Done::ListAgain => {}
            Done::Scan(name, what, result) => {
                if let Some(adapter) = self.adapters.get_mut(&name) {
                    adapter.done(now, what, result, dice());
                }
            }
            Done::Name(adapter, address, name) => {
                self.reader.named(&adapter, address, name.as_deref());
                self.naming.remove(&(adapter, address));
            }
            Done::Polled(name, address, result) => {
                if let Some(adapter) = self.adapters.get_mut(&name) {
                    adapter.connecting(now, false);
                }
                match &result {
                    Ok(values) => {
                        tracing::debug!(adapter = &*name, %address, values = values.len(), "ble.gatt_read");
                        for (characteristic, value) in values {
                            self.ear.gatt(now, &name, address, *characteristic, value);
                        }
                    }
                    Err(error) => {
                        count(&self.health.ble.gatt_failures);
                        tracing::debug!(adapter = &*name, %address, %error, "ble.gatt_failed");
                    }
                }
                self.schedule.done(now, &name, address, result.is_ok(), dice());
            }
        }
    }

    /// What is due now: calls are started, and what changed is told.
    fn turn(&mut self, bus: &Bus, calls: &Calls) {
        let now = self.clock.mono();
        for (name, adapter) in &mut self.adapters {
            let Some(what) = adapter.due(now) else { continue };
            self.news = true;
            if adapter.restarts_in_vain() > 0 {
                count(&self.health.ble.scan_restarts);
                tracing::warn!(adapter = &**name, ?what, "ble.scan_silent: nothing is heard; starting it anew");
            }
            let (bus, name) = (bus.clone(), name.clone());
            calls.push(Box::pin(async move {
                let done = match what {
                    Do::Scan => bus.scan(&name).await,
                    Do::PowerCycle => bus.power_cycle(&name).await,
                };
                Done::Scan(name, what, done)
            }));
        }
        if self.reader.objects() <= OBJECTS_MAX_FOR_POLL {
            let adapters = &self.adapters;
            let can_connect = |name: &str| adapters.get(name).is_some_and(Adapter::scanning);
            if let Some((name, address)) = self.schedule.due(now, can_connect) {
                if let Some(adapter) = self.adapters.get_mut(&name) {
                    adapter.connecting(now, true);
                    self.news = true;
                }
                calls.push(Box::pin(async move {
                    let read = poll::read(name.clone(), address).await;
                    Done::Polled(name, address, read)
                }));
            }
        }
        if std::mem::take(&mut self.news) {
            self.tell(None);
        }
    }

    fn wake_in(&self) -> Option<Duration> {
        let now = self.clock.mono();
        let adapters = self.adapters.values().filter_map(Adapter::wake_at);
        let at = adapters.chain(self.schedule.wake_at(now)).min()?;
        // A millisecond more than the clock can tell apart, so that it is past when we look.
        Some(at.since(now) + Duration::from_millis(1))
    }

    /// Tells ear and health what changed.
    fn tell(&mut self, bus_lost: Option<&str>) {
        let now = self.clock.mono();
        let changed: Vec<(Arc<str>, (bool, bool))> = {
            let is = self.adapters.iter().map(|(name, a)| (name, (a.powered(), a.scanning())));
            let gone =
                self.told.keys().filter(|name| !self.adapters.contains_key(*name)).map(|name| (name, (false, false)));
            let all = is.chain(gone).filter(|(name, state)| self.told.get(*name) != Some(state));
            all.map(|(name, state)| (name.clone(), state)).collect()
        };
        for (name, state) in changed {
            self.ear.adapter(now, &name, state.0, state.1);
            self.told.insert(name, state);
        }
        let scanning = self.adapters.values().filter(|a| a.scanning()).count();
        let (up, detail) = match (bus_lost, &self.owner, self.adapters.len()) {
            (Some(why), ..) => (false, why.to_owned()),
            (None, None, _) => (false, "bluetoothd is not running; `systemctl start bluetooth`".to_owned()),
            (None, Some(_), 0) if self.settings.adapters.is_empty() => {
                (false, "there is no Bluetooth adapter".to_owned())
            }
            (None, Some(_), 0) => (false, format!("not there: {}", self.settings.adapters.join(", "))),
            (None, Some(_), all) => (scanning > 0, format!("{scanning} of {all} adapters scanning")),
        };
        self.report("ble".into(), up, detail);
        let details: Vec<_> =
            self.adapters.iter().map(|(n, a)| (format!("ble/{n}"), a.scanning(), a.detail())).collect();
        for (part, up, detail) in details {
            self.report(part, up, detail);
        }
    }

    fn report(&mut self, part: String, up: bool, detail: String) {
        if self.reported.get(&part).is_some_and(|(u, d)| (*u, d) == (up, &detail)) {
            return;
        }
        tracing::info!(part, up, detail, "ble.state");
        self.health.set(&part, up, detail.clone());
        self.reported.insert(part, (up, detail));
    }
}

fn list(bus: Bus) -> Pin<Box<dyn Future<Output = Done> + Send>> {
    Box::pin(async move { Done::Listed(bus.adapters().await) })
}
