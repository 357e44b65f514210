//! Where the radio's words go: to the hub in a daemon ([`HubEar`]), to a file or a terminal in `record` and `scan`.
//!
//! Promise: reading from the bus never waits for the hub. When the hub is slow, strangers are dropped first, and counted; what
//! managed devices and adapters say is kept, up to [`WAITING_MAX`] reports.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::health::{Health, count};
use crate::hub::Input;
use crate::signal::{Address, Link, LinkNews, Signal};
use crate::source::Inputs;
use crate::source::ble::intake::Intake;
use crate::source::ble::{Advert, gatt};
use crate::time::Mono;

/// Reports of managed devices that may wait beside the hub's queue: three seconds of a full channel, some 2 MB.
const WAITING_MAX: usize = 8192;

/// What the radio wants to know of an advert that it told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// A device of ours, not a stranger.
    pub managed: bool,
    /// It carried a battery level.
    pub battery: bool,
    /// Its name is wanted even if that must be asked for.
    pub wants_name: bool,
}

/// Hears what the radio hears.
pub trait Ear: Send {
    fn advert(&mut self, at: Mono, adapter: &Arc<str>, advert: Advert) -> Heard;
    fn adapter(&mut self, at: Mono, adapter: &Arc<str>, powered: bool, scanning: bool);
    fn gatt(&mut self, at: Mono, adapter: &Arc<str>, address: Address, characteristic: Uuid, value: &[u8]);
    /// Works off what could not be handed on at once; never comes back while there is nothing to do.
    fn relieve(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// The daemon's ear: decodes, and hands on to the hub.
pub struct HubEar {
    intake: Arc<Mutex<Intake>>,
    outbox: Outbox,
    health: Arc<Health>,
}

impl HubEar {
    pub fn new(intake: Arc<Mutex<Intake>>, inputs: Inputs, health: Arc<Health>) -> HubEar {
        HubEar { intake, outbox: Outbox { inputs, waiting: VecDeque::new() }, health }
    }
}

impl Ear for HubEar {
    fn advert(&mut self, at: Mono, adapter: &Arc<str>, advert: Advert) -> Heard {
        count(&self.health.ble.adverts);
        let (managed, report) = {
            let mut intake = self.intake.lock().unwrap_or_else(|e| e.into_inner());
            let (managed, report) = (intake.knows(advert.address), intake.advert(at, adapter, &advert));
            let ours = managed.then(|| (advert.address, intake.problem(advert.address).map(|p| p.reject)));
            self.health.ble.heard(intake.refused(), ours);
            self.health.ble.strangers_forgotten.store(intake.forgotten(), Ordering::Relaxed);
            (managed, report)
        };
        let Some(report) = report else { return Heard { managed, ..Heard::default() } };
        let battery = report.signals.iter().any(|s| matches!(s, Signal::Battery { .. }));
        if !self.outbox.offer(Input::Report(report), managed) {
            count(&self.health.ble.dropped);
        }
        Heard { managed, battery, wants_name: true }
    }

    fn adapter(&mut self, _at: Mono, adapter: &Arc<str>, powered: bool, scanning: bool) {
        self.outbox.offer(Input::Link(Link::Adapter(adapter.clone()), LinkNews::Adapter { powered, scanning }), true);
    }

    fn gatt(&mut self, _at: Mono, adapter: &Arc<str>, address: Address, characteristic: Uuid, value: &[u8]) {
        if let Some(report) = gatt::report(adapter, address, &gatt::short(characteristic), value) {
            self.outbox.offer(Input::Report(report), true);
        }
    }

    async fn relieve(&mut self) {
        self.outbox.relieve().await;
    }
}

/// The way to the hub, which may be narrow.
struct Outbox {
    inputs: Inputs,
    /// What waits for room, in order; while there is anything, everything of ours goes through here.
    waiting: VecDeque<Input>,
}

impl Outbox {
    /// Hands on, or keeps for [`Outbox::relieve`]; false where it, or something older, had to be dropped.
    fn offer(&mut self, input: Input, ours: bool) -> bool {
        // Strangers get half of the queue: the other half is there when one of ours speaks.
        let room = self.waiting.is_empty() && (ours || self.inputs.capacity() > self.inputs.max_capacity() / 2);
        let input = match room.then(|| self.inputs.try_reserve()) {
            Some(Ok(permit)) => {
                permit.send(input);
                return true;
            }
            _ if !ours => return false,
            _ => input,
        };
        self.waiting.push_back(input);
        if self.waiting.len() <= WAITING_MAX {
            return true;
        }
        // Signs of life repeat themselves; what was said does not.
        let least = self.waiting.iter().position(|i| matches!(i, Input::Report(r) if r.signals.is_empty()));
        self.waiting.remove(least.unwrap_or(0));
        false
    }

    async fn relieve(&mut self) {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let Ok(permit) = self.inputs.reserve().await else { return std::future::pending().await };
        if let Some(input) = self.waiting.pop_front() {
            permit.send(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::signal::{DeviceKey, Report};

    fn said(n: u8, signals: Vec<Signal>) -> Input {
        let device = DeviceKey::Ble(Address([n; 6]));
        let link = Link::Adapter("hci0".into());
        Input::Report(Report {
            device,
            link,
            rssi: None,
            name: None,
            family: "",
            irregular: false,
            counter: None,
            occurred_at: None,
            signals,
        })
    }

    fn who(input: Input) -> u8 {
        match input {
            Input::Report(Report { device: DeviceKey::Ble(address), .. }) => address.0[0],
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_slow_hub_costs_strangers_and_none_of_ours() {
        let (inputs, mut hub) = mpsc::channel(8);
        let mut outbox = Outbox { inputs, waiting: VecDeque::new() };
        let strangers = (0..100).filter(|_| outbox.offer(said(0, vec![]), false)).count();
        assert_eq!(strangers, 4, "strangers fill half of the queue");
        for n in 1..=100 {
            assert!(outbox.offer(said(n, vec![]), true));
            assert!(!outbox.offer(said(0, vec![]), false) || n < 4);
        }
        let mut heard = Vec::new();
        while heard.len() < 104 {
            tokio::select! {
                biased;
                () = outbox.relieve() => {}
                input = hub.recv() => heard.push(who(input.unwrap())),
            }
        }
        let ours: Vec<u8> = heard.into_iter().filter(|n| *n != 0).collect();
        assert_eq!(ours, (1..=100).collect::<Vec<_>>(), "all of ours, in order");
    }

    #[tokio::test]
    async fn a_hub_that_hangs_costs_signs_of_life_before_statements_and_memory_is_bounded() {
        let (inputs, _hub) = mpsc::channel(1);
        let mut outbox = Outbox { inputs, waiting: VecDeque::new() };
        let statement = || vec![Signal::Battery { percent: 5 }];
        let mut kept = 0;
        for n in 0..3 * WAITING_MAX {
            kept += usize::from(outbox.offer(said(1, if n % 8 == 0 { statement() } else { vec![] }), true));
        }
        assert_eq!(kept, WAITING_MAX + 1);
        assert_eq!(outbox.waiting.len(), WAITING_MAX);
        let statements =
            outbox.waiting.iter().filter(|i| matches!(i, Input::Report(r) if !r.signals.is_empty())).count();
        assert!(statements >= 3 * WAITING_MAX / 8 - 1, "{statements} statements were kept");
    }
}
