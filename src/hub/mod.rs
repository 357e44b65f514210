//! The judgement: what is heard goes in, what is told comes out.
//!
//! [`Hub::step`] is the whole of it: `(state, now, input) -> output`. It does no IO, reads no clock, rolls no dice and knows
//! no tokio. Timers are data ([`Hub::wake_at`]); state that must survive is written as [`Row`]s in the same output as the
//! events that rest on it, and [`Hub::restore`] starts from those rows.

mod accounts;
mod attempts;
mod battery;
mod clock;
mod codes;
mod command;
mod device;
mod edges;
mod flaky;
mod heard;
mod life;
mod lock;
mod nodes;
mod noise;
mod once;
pub mod presence;
mod rate;
mod reach;
mod settings;
mod strangers;
mod tell;
mod timers;
mod view;
mod words;

use std::collections::{BTreeMap, HashMap};

pub use accounts::{Account, network_account_id};
pub use battery::{Battery, BatterySettings};
pub use codes::{CodeDraft, CodeSettings, Confirmation};
pub use command::{Command, CommandError, CommandId, Reply};
pub use device::{Device, Mark, Origin};
pub use flaky::{Flaky, FlakySettings};
pub use lock::Lock;
pub use noise::{DailyTime, Noise, Threshold, ThresholdDraft, Window};
pub use settings::{Adopt, DeviceSettings, Place, Settings};
pub use view::{AccountView, BatteryView, DeviceView, Known};
pub use words::{Action, Input, KeptRow, Output, Row, RowKind};

use crate::event::ErrorCode;
use crate::places::Places;
use crate::signal::{DeviceKey, Report, Signal};
use crate::time::{Mono, Now, Wall};
use accounts::Accounts;
use clock::Correction;
use tell::{Teller, World};
use timers::{Concern, Timer};

/// The state of the judgement.
pub struct Hub {
    world: World,
    devices: Places<DeviceKey, Device>,
    accounts: Accounts,
    presence: presence::Judge,
    nodes: nodes::Nodes,
    strangers: strangers::Strangers,
    attempts: attempts::Attempts,
    codes: codes::Codes,
    /// Of devices that are gone.
    past: HashMap<DeviceKey, life::Past>,
    once: once::Once,
    /// The first step has been made.
    started: bool,
}

impl Hub {
    pub fn new(settings: Settings, now: Now) -> Hub {
        Hub::restore(settings, Vec::new(), Wall::default(), now)
    }

    /// Starts from what was stored. `last_created` is the `created_at` of the log's last event.
    pub fn restore(settings: Settings, rows: impl IntoIterator<Item = KeptRow>, last_created: Wall, now: Now) -> Hub {
        let clock = clock::Clock::new(last_created, now);
        let mut hub = Hub {
            world: World { settings, clock, timers: timers::Timers::default() },
            devices: Places::default(),
            accounts: Accounts::default(),
            presence: presence::Judge::default(),
            nodes: nodes::Nodes::default(),
            strangers: strangers::Strangers::default(),
            attempts: attempts::Attempts::default(),
            codes: codes::Codes::default(),
            past: HashMap::new(),
            once: once::Once::default(),
            started: false,
        };
        for KeptRow { kind, key, text } in rows {
            match kind {
                RowKind::Device => {
                    if let Some(device) = Device::from_row(&text) {
                        hub.devices.insert(device.key, device);
                    }
                }
                RowKind::Account => hub.accounts.restore(&text),
                RowKind::Presence => hub.presence.restore(&key, &text),
                RowKind::Past => hub.restore_past(&text),
                RowKind::Held => hub.world.clock.restore(&text),
                RowKind::Attempt => hub.attempts.restore(&text),
                RowKind::Code => hub.codes.restore(&text),
                RowKind::Command => hub.once.restore(&key, &text),
                RowKind::Webhook | RowKind::Delivery | RowKind::Network | RowKind::BindKey => {}
            }
        }
        // After the accounts: they say where a device is in the configuration.
        // Every radio was deaf as the hub stopped: the first advert takes all back, as it would have without the stop.
        let deaf = !hub.devices.values().any(|d| matches!(d.key, DeviceKey::Ble(_)) && d.connected);
        for key in hub.keys(|_| true) {
            let Some(device) = hub.devices.remove(&key) else { continue };
            hub.watch(&device, now.mono);
            if deaf && !device.connected && device.error_code == Some(ErrorCode::HubDisconnected) {
                hub.presence.lost_with_hub(&key, now.mono);
            }
            hub.devices.insert(key, device);
        }
        hub
    }

    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter()
    }

    /// Unmanaged devices that were turned away because there are too many.
    pub fn strangers_refused(&self) -> u64 {
        self.strangers.refused
    }

    /// When the next timer is due; `step` with [`Input::Wake`] then.
    pub fn wake_at(&self) -> Option<Mono> {
        [self.world.timers.wake_at(), self.presence.wake_at(), self.nodes.wake_at()].into_iter().flatten().min()
    }

    /// The soft state, for a stop and once a minute.
    pub fn soft_rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for key in self.keys(|d| d.soft.dirty) {
            if let Some(device) = self.devices.get_mut(&key) {
                device.soft.dirty = false;
                rows.push(Row { kind: RowKind::Device, key: device.device_id.to_string(), value: device.row() });
            }
        }
        let model = self.presence.model();
        rows.extend(model.into_iter().map(|(key, value)| Row { kind: RowKind::Presence, key, value: Some(value) }));
        rows
    }

    /// Why a device's presence is judged as it is; `None` for one that is not judged by silence.
    pub fn explain(&self, device_id: uuid::Uuid, now: Mono) -> Option<presence::Explanation> {
        self.presence.explain(&self.key_of(device_id)?, now)
    }

    /// Seconds since each device was heard, by its id: of those whose presence is judged by hearing.
    pub fn heard_ago(&self, now: Mono) -> BTreeMap<uuid::Uuid, f64> {
        let ago = |device: &Device| Some((device.device_id, self.presence.heard_ago(&device.key, now)?.as_secs_f64()));
        self.devices().filter_map(ago).collect()
    }

    /// One input judged.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        let (now, correction) = self.world.clock.date(now);
        if self.world.clock.is_ripe() || correction.is_some() {
            self.clock_is_set(now, correction, out);
        }
        let from = out.events.len();
        if !self.started {
            self.started = true;
            self.resume(now, out);
            self.reconcile(now, out);
        }
        if let Some(correction) = correction {
            self.codes_know_the_date(now, correction, out);
        }
        self.wake(now, out);
        match input {
            Input::Report(report) => self.report(now, report, out),
            Input::Link(link, news) => self.link(now, &link, news, out),
            Input::Command(id, command) => {
                let reply = self.command(now, command, out);
                out.replies.push((id, reply));
            }
            Input::Configure(settings) => self.configure(now, *settings, out),
            Input::Wake => {}
        }
        if self.world.clock.holds() && out.events.len() > from {
            self.world.clock.hold(now, from, out);
            self.world.timers.set(Timer::Clock, self.world.clock.wait_ends());
        }
    }

    /// The clock is set, or no longer waited for: what waited is told, and what was dated wrongly is dated anew.
    fn clock_is_set(&mut self, now: Now, correction: Option<Correction>, out: &mut Output) {
        self.world.timers.cancel(Timer::Clock);
        self.world.clock.release(now, correction, out);
        let Some(correction) = correction else { return };
        for key in self.keys(|_| true) {
            let mut teller = Teller::new(&mut self.world, None, now, out);
            if let Some(device) = self.devices.get_mut(&key)
                && device.mend_dates(correction)
            {
                teller.keep(device);
            }
        }
        let mut teller = Teller::new(&mut self.world, None, now, out);
        for account in self.accounts.iter_mut() {
            if correction.mend(&mut account.created_at) | account.since.as_mut().is_some_and(|d| correction.mend(d)) {
                teller.keep_account(account);
            }
        }
    }

    /// All that is due at `now`.
    fn wake(&mut self, now: Now, out: &mut Output) {
        self.judge_presence(now, out);
        while let Some(timer) = self.world.timers.due(now.mono) {
            self.due(now, timer, out);
        }
    }

    fn due(&mut self, now: Now, timer: Timer, out: &mut Output) {
        match timer {
            Timer::Device(key, Concern::Codes) => self.pump_codes(now, key, out),
            Timer::Device(key, concern) => {
                let Some(device) = self.devices.get_mut(&key) else { return };
                let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
                if device.due(concern, &mut teller) {
                    teller.keep(device);
                }
            }
            Timer::Account(home) => {
                if self.accounts.deaf(&mut Teller::new(&mut self.world, None, now, out)) {
                    self.lose_all(now, home, out);
                }
            }
            Timer::Sync => self.accounts.ble_synced(&mut Teller::new(&mut self.world, None, now, out)),
            Timer::Attempts => self.attempts_due(now, out),
            // The step began with it.
            Timer::Clock => {}
        }
    }

    fn report(&mut self, now: Now, report: Report, out: &mut Output) {
        let key = report.device;
        self.accounts.meet(&key, &report.link, &mut Teller::new(&mut self.world, None, now, out));
        if matches!(key, DeviceKey::Zwave { .. }) && self.is_another(&report) {
            self.removed(now, key, out);
        }
        let mut place = self.devices.place(&key);
        if place.is_none() && self.meet(now, &report, out) {
            place = self.devices.place(&key);
        }
        // A stranger's advert too shows that the adapter hears.
        if self.presence.heard(key, &report.link, report.irregular, now.mono) {
            self.find(now, key, out);
        }
        let Some(place) = place else { return };
        match key {
            DeviceKey::Ble(_) => {}
            DeviceKey::Zwave { .. } => {
                self.hear_node(now, &report);
                self.judge_nodes(now, out);
            }
        }
        if report.signals.contains(&Signal::Removed) {
            return self.removed(now, key, out);
        }
        let Some(device) = self.devices.at_mut(place) else { return };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        teller.occurred_at = report.occurred_at;
        teller.codes = Some(&self.codes);
        let (words, notices) = (attempts::words(&report.signals), codes::notices(&report.signals));
        if device.heard(report, &mut teller) {
            teller.keep(device);
        }
        self.attempts.heard(device, &words, &mut teller);
        self.hear_codes(now, key, &notices, out);
    }
}
