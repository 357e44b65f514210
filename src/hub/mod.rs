//! The judgement: what is heard goes in, what is told comes out.
//!
//! [`Hub::step`] is the whole of it: `(state, now, input) -> output`. It does no IO, reads no clock, rolls no dice and knows
//! no tokio. Timers are data ([`Hub::wake_at`]); state that must survive is written as [`Row`]s in the same output as the
//! events that rest on it, and [`Hub::restore`] starts from those rows.

mod accounts;
mod battery;
mod clock;
mod command;
mod device;
mod edges;
mod flaky;
mod life;
mod lock;
mod nodes;
mod noise;
pub mod presence;
mod settings;
mod strangers;
mod tell;
mod timers;
mod view;

use std::collections::HashMap;

use serde_json::Value;

pub use accounts::Account;
pub use battery::{Battery, BatterySettings};
pub use command::{Command, CommandError, CommandId, Reply};
pub use device::{Device, Mark, Origin};
pub use flaky::{Flaky, FlakySettings};
pub use lock::Lock;
pub use noise::{DailyTime, Noise, Threshold, ThresholdDraft, Window};
pub use settings::{Adopt, DeviceSettings, Place, Settings};
pub use view::{AccountView, BatteryView, DeviceView, Known};

use crate::event::{ErrorCode, Event};
use crate::signal::{Description, DeviceKey, Link, LinkNews, Report, Signal};
use crate::time::{Mono, Now, Wall};
use accounts::Accounts;
use clock::Correction;
use tell::{Teller, World};
use timers::{Concern, Timer};

/// Everything that can happen to a hub.
#[derive(Debug)]
pub enum Input {
    Report(Report),
    Link(Link, LinkNews),
    Command(CommandId, Command),
    /// The configuration was read again.
    Configure(Box<Settings>),
    /// [`Hub::wake_at`] has come (or any other moment: waking too often is harmless).
    Wake,
}

/// What the hub asks of a source. Doing one twice must be harmless.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read the state of the bolt from the lock itself.
    PollLock { device: DeviceKey },
    /// See whether a node answers.
    Ping { device: DeviceKey },
    /// Stop and start the scan of an adapter that seems deaf.
    RestartScan { link: Link },
}

/// A durable piece of the hub's state: upserted, or deleted where `value` is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub kind: RowKind,
    /// `device_id` or `account_id`, or a name within the kind.
    pub key: String,
    pub value: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    Device,
    Account,
    /// The presence model of a device: soft, written once a minute at most.
    Presence,
    /// What is remembered of a device that is gone.
    Past,
    /// An event that waits for the clock to be set.
    Held,
}

impl RowKind {
    pub const ALL: &[RowKind] = &[RowKind::Device, RowKind::Account, RowKind::Presence, RowKind::Past, RowKind::Held];

    pub fn as_str(self) -> &'static str {
        match self {
            RowKind::Device => "device",
            RowKind::Account => "account",
            RowKind::Presence => "presence",
            RowKind::Past => "past",
            RowKind::Held => "held",
        }
    }
}

/// What a step came to. `events` and `rows` are one transaction; `actions` and `replies` leave after it.
#[derive(Debug, Default)]
pub struct Output {
    pub events: Vec<Event>,
    pub rows: Vec<Row>,
    pub actions: Vec<Action>,
    pub replies: Vec<(CommandId, Reply)>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.rows.is_empty() && self.actions.is_empty() && self.replies.is_empty()
    }
}

/// The state of the judgement.
pub struct Hub {
    world: World,
    devices: HashMap<DeviceKey, Device>,
    accounts: Accounts,
    presence: presence::Judge,
    nodes: nodes::Nodes,
    strangers: strangers::Strangers,
    /// Of devices that are gone.
    past: HashMap<DeviceKey, life::Past>,
    /// The first step has been made.
    started: bool,
}

impl Hub {
    pub fn new(settings: Settings, now: Now) -> Hub {
        Hub::restore(settings, Vec::new(), Wall::default(), now)
    }

    /// Starts from what was stored. `last_created` is the `created_at` of the log's last event.
    pub fn restore(settings: Settings, rows: Vec<Row>, last_created: Wall, now: Now) -> Hub {
        let clock = clock::Clock::new(last_created, now);
        let mut hub = Hub {
            world: World { settings, clock, timers: timers::Timers::default() },
            devices: HashMap::new(),
            accounts: Accounts::default(),
            presence: presence::Judge::default(),
            nodes: nodes::Nodes::default(),
            strangers: strangers::Strangers::default(),
            past: HashMap::new(),
            started: false,
        };
        let mut devices = Vec::new();
        for row in rows {
            let Some(value) = row.value else { continue };
            match row.kind {
                RowKind::Device => devices.extend(Device::from_row(value)),
                RowKind::Account => hub.accounts.restore(value),
                RowKind::Presence => hub.presence.restore(&row.key, value),
                RowKind::Past => hub.restore_past(value),
                RowKind::Held => hub.world.clock.restore(value),
            }
        }
        // After the accounts: they say where a device is in the configuration.
        for device in devices {
            hub.watch(&device, now.mono);
            hub.devices.insert(device.key, device);
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
        self.wake(now, out);
        match input {
            Input::Report(report) => self.report(now, report, out),
            Input::Link(link, news) => self.link(now, &link, news, out),
            Input::Command(id, command) => {
                let reply = self.command(now, command, out);
                out.replies.push((id, reply));
            }
            Input::Configure(settings) => {
                self.world.settings = *settings;
                self.reconcile(now, out);
            }
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
        if self.presence.wake_at().is_some_and(|at| at <= now.mono) {
            let mut verdicts = Vec::new();
            self.presence.judge(now.mono, &mut verdicts, &mut out.actions);
            for (key, verdict) in verdicts {
                match verdict {
                    Some(code) => self.lose(now, key, code, out),
                    None => self.find(now, key, out),
                }
            }
        }
        if self.nodes.wake_at().is_some_and(|at| at <= now.mono) {
            self.judge_nodes(now, out);
        }
        while let Some(timer) = self.world.timers.due(now.mono) {
            self.due(now, timer, out);
        }
    }

    fn due(&mut self, now: Now, timer: Timer, out: &mut Output) {
        match timer {
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
            // The step began with it.
            Timer::Clock => {}
        }
    }

    fn judge_nodes(&mut self, now: Now, out: &mut Output) {
        let mut verdicts = Vec::new();
        self.nodes.judge(now.mono, &mut verdicts, &mut out.actions);
        for (key, verdict) in verdicts {
            match verdict {
                Some(code) => self.lose(now, key, code, out),
                None => self.find(now, key, out),
            }
        }
    }

    /// Everything that an account reaches is lost with it, each device once.
    fn lose_all(&mut self, now: Now, home: Option<u32>, out: &mut Output) {
        let of_account = |d: &Device| match d.key {
            DeviceKey::Ble(_) => home.is_none(),
            DeviceKey::Zwave { home: h, .. } => home == Some(h),
        };
        for key in self.keys(|d| d.connected && of_account(d)) {
            let code = self.accounts.of(&key).map_or(ErrorCode::HubDisconnected, Account::error_code);
            self.presence.lost_with_hub(&key, now.mono);
            self.lose(now, key, code, out);
        }
        if let Some(home) = home {
            self.nodes.bridge(home, false, now.mono);
        }
    }

    fn lose(&mut self, now: Now, key: DeviceKey, code: ErrorCode, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && device.connected
        {
            device.disconnected(code, &mut teller);
            teller.keep(device);
            self.tell_lock_of_keypad(now, key, out);
        }
    }

    fn find(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && !device.connected
        {
            device.connected(&mut teller);
            teller.keep(device);
            self.tell_lock_of_keypad(now, key, out);
        }
    }

    /// A keypad that the configuration calls a lock's accessory came or went.
    fn tell_lock_of_keypad(&mut self, now: Now, keypad: DeviceKey, out: &mut Output) {
        let connected = self.devices.get(&keypad).is_some_and(|d| d.connected);
        let listed = self.accounts.place(&keypad).and_then(|place| self.world.settings.device(&place));
        let lock = listed.and_then(|l| l.accessory_of.as_ref()).and_then(|lock| self.accounts.key(lock));
        let Some(device) = lock.and_then(|lock| self.devices.get_mut(&lock)) else { return };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        if edges::keypad(device, connected, &mut teller) {
            teller.keep(device);
        }
    }

    /// Starts to judge a device's presence.
    fn watch(&mut self, device: &Device, now: Mono) {
        match device.key {
            DeviceKey::Ble(_) => {
                let listed = self.accounts.place(&device.key).and_then(|p| self.world.settings.device(&p));
                let declared = listed.and_then(|l| l.interval);
                self.presence.watch(device.key, declared, device.connected, now);
            }
            DeviceKey::Zwave { .. } => self.nodes.watch(device.key, &device.description, device.connected, now),
        }
    }

    fn report(&mut self, now: Now, report: Report, out: &mut Output) {
        let key = report.device;
        self.accounts.meet(&key, &report.link, &mut Teller::new(&mut self.world, None, now, out));
        let known = self.devices.contains_key(&key) || self.meet(now, &report, out);
        // A stranger's advert too shows that the adapter hears.
        if self.presence.heard(key, &report.link, report.irregular, now.mono) {
            self.find(now, key, out);
        }
        if !known {
            return;
        }
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
        let Some(device) = self.devices.get_mut(&key) else { return };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        teller.occurred_at = report.occurred_at;
        if device.heard(report, &mut teller) {
            teller.keep(device);
        }
    }

    /// What a report says of a node's presence.
    fn hear_node(&mut self, now: Now, report: &Report) {
        let mut heard = report.signals.is_empty();
        for signal in &report.signals {
            match signal {
                Signal::Node(status) => self.nodes.status(report.device, *status, now.mono),
                Signal::Described(description) => self.nodes.described(report.device, description),
                Signal::Remembered(_) => {}
                _ => heard = true,
            }
        }
        if heard {
            self.nodes.heard(report.device, now.mono);
        }
    }

    fn link(&mut self, now: Now, link: &Link, news: LinkNews, out: &mut Output) {
        if let LinkNews::Adapter { powered, scanning } = news {
            self.presence.adapter(link, powered && scanning, now.mono);
        }
        let mut lost = Vec::new();
        self.accounts.link(link, &news, &mut Teller::new(&mut self.world, None, now, out), &mut lost);
        for home in lost {
            self.lose_all(now, home, out);
        }
        match news {
            LinkNews::BridgeUp { home } => {
                self.nodes.bridge(home, true, now.mono);
                self.reconcile(now, out);
            }
            LinkNews::Nodes { home, nodes } => self.nodes_are(now, home, &nodes, out),
            LinkNews::Adapter { .. } | LinkNews::BridgeSynced { .. } | LinkNews::BridgeDown(_) => {}
        }
    }
}

impl Device {
    /// What a report says of the device; true where its durable state changed.
    fn heard(&mut self, report: Report, teller: &mut Teller<'_>) -> bool {
        // The same frame, heard again: a sign of life, and that is all.
        if report.counter.is_some() && report.counter == self.soft.counter.or(self.counter) {
            return false;
        }
        let mut changed = false;
        if self.family.is_empty() && !report.family.is_empty() {
            report.family.clone_into(&mut self.family);
            changed = true;
        }
        if self.description.name.is_none()
            && let Some(name) = &report.name
        {
            changed |= self.described(Description { name: Some(name.to_string()), ..Description::default() }, teller);
        }
        for signal in report.signals {
            changed |= self.guess_kind(&signal);
            changed |= self.signal(signal, teller);
        }
        self.soft.counter = report.counter.or(self.soft.counter);
        if changed {
            self.counter = report.counter.or(self.counter);
        }
        changed
    }

    /// One signal judged; true where the device's durable state changed. A new concern is an arm here and a file.
    fn signal(&mut self, signal: Signal, teller: &mut Teller<'_>) -> bool {
        match signal {
            Signal::Lock(state) => lock::state(self, state, teller),
            Signal::LockOperation { locked, method, user } => lock::operation(self, locked, method, user, teller),
            Signal::AccessDenied { reason, user } => lock::denied(self, reason, user, teller),
            Signal::Door { open } => edges::door(self, open),
            Signal::Battery { percent } => battery::reading(self, percent, teller),
            Signal::BatteryLow(low) => battery::says_low(self, low, teller),
            Signal::BatteryCharging(charging) => battery::charging(self, charging),
            Signal::Tamper(tampered) => edges::tamper(self, tampered, teller),
            Signal::Moved => edges::moved(self, teller),
            Signal::SoundLevel { decibels } => noise::level(self, decibels, teller),
            Signal::Doorbell => edges::doorbell(self, teller),
            Signal::Privacy(on) => edges::privacy(self, on, teller),
            Signal::ThirdParty(there) => edges::third_party(self, there, teller),
            Signal::Keypad { connected } => edges::keypad(self, connected, teller),
            Signal::Described(said) => self.described(*said, teller),
            Signal::Remembered(state) => match *state {
                Signal::Lock(state) => lock::remembered(self, state, teller),
                Signal::Tamper(tampered) => edges::tamper_remembered(self, tampered, teller),
                state => self.signal(state, teller),
            },
            Signal::Measured { name, value } => self.measured(name, value),
            Signal::SoundDetected(on) => self.measured("sound_detected", f64::from(on)),
            Signal::Motion(on) => self.measured("motion", f64::from(on)),
            Signal::Vacation(on) => self.measured("vacation", f64::from(on)),
            Signal::Vibration(on) => self.measured("vibration", f64::from(on)),
            // Judged before: the node's presence, the device's end. Codes are the access codes' business.
            Signal::Node(_) | Signal::Removed | Signal::Connectivity(_) | Signal::Code(_) => false,
        }
    }

    /// A reading that nothing is told about: shown, but not worth a write of its own.
    fn measured(&mut self, name: &'static str, value: f64) -> bool {
        self.soft.dirty |= self.soft.measured.insert(name, value) != Some(value);
        false
    }

    /// A judgement that was put off is due; true where the device's durable state changed.
    fn due(&mut self, concern: Concern, teller: &mut Teller<'_>) -> bool {
        match concern {
            Concern::Lock => lock::due(self, teller),
            Concern::Battery => battery::due(self, teller),
            Concern::Flaky => flaky::due(self, teller),
            Concern::Noise => noise::due(self, teller),
        }
    }
}
