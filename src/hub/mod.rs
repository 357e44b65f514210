//! The judgement: what is heard goes in, what is told comes out.
//!
//! [`Hub::step`] is the whole of it: `(state, now, input) -> output`. It does no IO, reads no clock, rolls no dice and knows
//! no tokio. Timers are data ([`Hub::wake_at`]); state that must survive is written as [`Row`]s in the same output as the
//! events that rest on it, and [`Hub::restore`] starts from those rows.

mod accounts;
mod battery;
mod device;
mod lock;
pub mod presence;
mod settings;
mod tell;

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

pub use accounts::Account;
pub use battery::Battery;
pub use device::Device;
pub use lock::Lock;
pub use settings::{Adopt, DeviceSettings, Place, Settings};

use crate::event::{ErrorCode, Event, EventType};
use crate::signal::{DeviceKey, Link, LinkNews, Report, Signal};
use crate::time::{Mono, Now, Wall};
use tell::Teller;

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

/// Pairs a command with its [`Reply`]; chosen by whoever commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// What a user asks of the hub.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Adopt an unmanaged device: from now on it is managed.
    Adopt {
        device_id: Uuid,
        name: Option<String>,
    },
    /// The opposite: it stays known, unmanaged.
    Release {
        device_id: Uuid,
    },
    /// Forget a device altogether.
    Delete {
        device_id: Uuid,
    },
    Rename {
        device_id: Uuid,
        name: Option<String>,
    },
}

/// The answer to a [`Command`], shown only after the step that made it is on disk.
pub type Reply = Result<Value, CommandError>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no device with id {0}")]
    NoSuchDevice(Uuid),
    #[error("{0}")]
    Refused(String),
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
    settings: Settings,
    devices: HashMap<DeviceKey, Device>,
    accounts: accounts::Accounts,
    presence: presence::Judge,
    /// The youngest `created_at` in the log: none is ever older than the one before it.
    last_created: Wall,
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
            devices: HashMap::new(),
            settings,
            last_created,
        };
        for row in rows {
            let Some(value) = row.value else { continue };
            match row.kind {
                RowKind::Device => {
                    if let Ok(device) = serde_json::from_value::<Device>(value) {
                        hub.presence.watch(device.key, None, device.connected, now.mono);
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
        self.presence.wake_at()
    }

    /// The soft state, for a stop and once a minute.
    pub fn soft_rows(&self) -> Vec<Row> {
        Vec::new()
    }

    /// One input judged.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        self.wake(now, out);
        match input {
            Input::Report(report) => self.report(now, report, out),
            Input::Link(link, news) => self.link(now, &link, news, out),
            Input::Command(id, command) => {
                let reply = self.command(now, command, out);
                out.replies.push((id, reply));
            }
            Input::Configure(settings) => self.settings = *settings,
            Input::Wake => {}
        }
        if let Some(last) = out.events.last() {
            self.last_created = self.last_created.max(last.created_at);
        }
    }

    fn wake(&mut self, now: Now, out: &mut Output) {
        let mut lost = Vec::new();
        self.presence.judge(now.mono, &mut lost);
        for (key, code) in lost {
            self.lose(now, key, code, out);
        }
    }

    fn lose(&mut self, now: Now, key: DeviceKey, code: ErrorCode, out: &mut Output) {
        let mut teller = Teller::new(&self.settings, self.last_created, now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && device.connected
        {
            device.disconnected(code, &mut teller);
            teller.keep(device);
        }
    }

    fn report(&mut self, now: Now, report: Report, out: &mut Output) {
        let Some(place) = self.accounts.place(&report.device) else { return };
        if !self.devices.contains_key(&report.device) {
            let listed = self.settings.device(&place);
            let adopt = self.settings.adopts(&report.device, report.family);
            if listed.is_none() && !adopt {
                return;
            }
            let account_id = self.accounts.account_id(&report.device, &self.settings);
            let device = Device::new(report.device, account_id, listed);
            self.presence.watch(device.key, None, false, now.mono);
            self.devices.insert(report.device, device);
        }
        let news = self.presence.heard(report.device, &report.link, report.irregular, now.mono);
        let mut teller = Teller::new(&self.settings, self.last_created, now, out);
        teller.occurred_at = report.occurred_at;
        let Some(device) = self.devices.get_mut(&report.device) else { return };
        let mut changed = false;
        if device.account_told(&mut self.accounts, &mut teller) {
            changed = true;
        }
        if news || !device.connected {
            device.connected(&mut teller);
            changed = true;
        }
        for signal in report.signals {
            changed |= device.signal(signal, &mut teller);
        }
        if changed {
            device.counter = report.counter.or(device.counter);
            teller.keep(device);
        }
    }

    fn link(&mut self, now: Now, link: &Link, news: LinkNews, out: &mut Output) {
        if let LinkNews::Adapter { powered, scanning } = news {
            self.presence.adapter(link, powered && scanning, now.mono);
        }
        let mut teller = Teller::new(&self.settings, self.last_created, now, out);
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
            Signal::Battery { percent } => battery::reading(self, percent, teller),
            Signal::Lock(state) => lock::state(self, state, teller),
            Signal::LockOperation { locked, method, user } => lock::operation(self, locked, method, user, teller),
            Signal::Tamper(tampered) => {
                let news = self.tampered != Some(tampered);
                if news && tampered {
                    teller.tell(self, EventType::DeviceTampered, |_| {});
                }
                self.tampered = Some(tampered);
                news
            }
            _ => false,
        }
    }
}
