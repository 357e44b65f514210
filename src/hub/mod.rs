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
mod lock;
#[allow(dead_code)] // until the first concern puts something off
mod nodes;
pub mod presence;
mod settings;
#[allow(dead_code)]
mod tell;
#[allow(dead_code)]
mod timers;

use std::collections::HashMap;

use serde_json::Value;

pub use accounts::Account;
pub use battery::Battery;
pub use command::{Command, CommandError, CommandId, Reply};
pub use device::Device;
pub use lock::Lock;
pub use settings::{Adopt, DeviceSettings, Place, Settings};

use crate::event::{ErrorCode, Event};
use crate::signal::{DeviceKey, Link, LinkNews, Report, Signal};
use crate::time::{Mono, Now, Wall};
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
}

impl RowKind {
    pub const ALL: &[RowKind] = &[RowKind::Device, RowKind::Account, RowKind::Presence];

    pub fn as_str(self) -> &'static str {
        match self {
            RowKind::Device => "device",
            RowKind::Account => "account",
            RowKind::Presence => "presence",
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
    accounts: accounts::Accounts,
    presence: presence::Judge,
    nodes: nodes::Nodes,
}

impl Hub {
    pub fn new(settings: Settings, now: Now) -> Hub {
        Hub::restore(settings, Vec::new(), Wall::default(), now)
    }

    /// Starts from what was stored. `last_created` is the `created_at` of the log's last event.
    pub fn restore(settings: Settings, rows: Vec<Row>, last_created: Wall, now: Now) -> Hub {
        let mut hub = Hub {
            accounts: accounts::Accounts::new(&settings),
            presence: presence::Judge::default(),
            nodes: nodes::Nodes::default(),
            devices: HashMap::new(),
            world: World { settings, clock: clock::Clock::new(last_created), timers: timers::Timers::default() },
        };
        for row in rows {
            let Some(value) = row.value else { continue };
            match row.kind {
                RowKind::Device => {
                    if let Ok(device) = serde_json::from_value::<Device>(value) {
                        hub.watch(&device, now.mono);
                        hub.devices.insert(device.key, device);
                    }
                }
                RowKind::Account => hub.accounts.restore(value),
                RowKind::Presence => {}
            }
        }
        hub
    }

    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// When the next timer is due; `step` with [`Input::Wake`] then.
    pub fn wake_at(&self) -> Option<Mono> {
        [self.world.timers.wake_at(), self.presence.wake_at(), self.nodes.wake_at()].into_iter().flatten().min()
    }

    /// The soft state, for a stop and once a minute.
    pub fn soft_rows(&self) -> Vec<Row> {
        Vec::new()
    }

    /// One input judged.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        let now = self.world.clock.date(now);
        self.wake(now, out);
        match input {
            Input::Report(report) => self.report(now, report, out),
            Input::Link(link, news) => self.link(now, &link, news, out),
            Input::Command(id, command) => {
                let reply = self.command(now, command, out);
                out.replies.push((id, reply));
            }
            Input::Configure(settings) => self.world.settings = *settings,
            Input::Wake => {}
        }
    }

    /// All that is due at `now`.
    fn wake(&mut self, now: Now, out: &mut Output) {
        if self.presence.wake_at().is_some_and(|at| at <= now.mono) {
            let mut lost = Vec::new();
            self.presence.judge(now.mono, &mut lost);
            for (key, code) in lost {
                self.lose(now, key, code, out);
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
                let mut teller = Teller::new(&mut self.world, now, out);
                if device.due(concern, &mut teller) {
                    teller.keep(device);
                }
            }
            Timer::Account(_) | Timer::Clock => {}
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

    fn lose(&mut self, now: Now, key: DeviceKey, code: ErrorCode, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && device.connected
        {
            device.disconnected(code, &mut teller);
            teller.keep(device);
        }
    }

    fn find(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && !device.connected
        {
            device.connected(&mut teller);
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
        if !self.devices.contains_key(&key) && !self.meet(now, &report) {
            return;
        }
        self.accounts.meet(&key, &mut Teller::new(&mut self.world, now, out));
        match key {
            DeviceKey::Ble(_) => {
                if self.presence.heard(key, &report.link, report.irregular, now.mono) {
                    self.find(now, key, out);
                }
            }
            DeviceKey::Zwave { .. } => {
                self.hear_node(now, &report);
                self.judge_nodes(now, out);
            }
        }
        let Some(device) = self.devices.get_mut(&key) else { return };
        let mut teller = Teller::new(&mut self.world, now, out);
        teller.occurred_at = report.occurred_at;
        let mut changed = false;
        for signal in report.signals {
            changed |= device.signal(signal, &mut teller);
        }
        if changed {
            device.counter = report.counter.or(device.counter);
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

    /// A device that is not known: true where it now is.
    fn meet(&mut self, now: Now, report: &Report) -> bool {
        let key = report.device;
        let Some(place) = self.accounts.place(&key) else { return false };
        let listed = self.world.settings.device(&place);
        if listed.is_none() && !self.world.settings.adopts(&key, report.family) {
            return false;
        }
        let account_id = self.accounts.account_id(&key, &self.world.settings);
        let device = Device::new(key, account_id, listed);
        self.watch(&device, now.mono);
        self.devices.insert(key, device);
        true
    }

    fn link(&mut self, now: Now, link: &Link, news: LinkNews, out: &mut Output) {
        match news {
            LinkNews::Adapter { powered, scanning } => self.presence.adapter(link, powered && scanning, now.mono),
            LinkNews::BridgeUp { home } => self.nodes.bridge(home, true, now.mono),
            LinkNews::BridgeSynced { .. } | LinkNews::BridgeDown(_) | LinkNews::Nodes { .. } => {}
        }
        let mut teller = Teller::new(&mut self.world, now, out);
        self.accounts.link(link, &news, &mut teller);
    }

    fn command(&mut self, _now: Now, command: Command, _out: &mut Output) -> Reply {
        match command {
            Command::Adopt { device_id, .. }
            | Command::Release { device_id }
            | Command::Delete { device_id }
            | Command::Rename { device_id, .. } => Err(CommandError::NoSuchDevice(device_id)),
        }
    }
}

impl Device {
    /// One signal judged; true where the device's durable state changed.
    fn signal(&mut self, signal: Signal, teller: &mut Teller<'_>) -> bool {
        match signal {
            Signal::Lock(state) => lock::state(self, state, teller),
            Signal::LockOperation { locked, method, user } => lock::operation(self, locked, method, user, teller),
            Signal::AccessDenied { reason, user } => lock::denied(self, reason, user, teller),
            Signal::Battery { percent } => battery::reading(self, percent, teller),
            Signal::Tamper(tampered) => edges::tamper(self, tampered, teller),
            Signal::Moved => edges::moved(self, teller),
            Signal::Remembered(state) => match *state {
                Signal::Lock(state) => lock::remembered(self, state, teller),
                Signal::Tamper(tampered) if self.tampered.is_none() => self.tampered.replace(tampered).is_none(),
                state => self.signal(state, teller),
            },
            _ => false,
        }
    }

    /// A judgement that was put off is due; true where the device's durable state changed.
    fn due(&mut self, concern: Concern, teller: &mut Teller<'_>) -> bool {
        match concern {
            Concern::Lock => lock::due(self, teller),
            Concern::Node | Concern::Battery | Concern::Flaky | Concern::Noise => false,
        }
    }
}
