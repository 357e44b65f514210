//! What goes into a step of the hub and what comes out of it.

use serde_json::Value;
use uuid::Uuid;

use super::{Command, CommandId, Device, Reply, Settings};
use crate::event::Event;
use crate::signal::{DeviceKey, Link, LinkNews, Report, Schedule, Secret};

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
    PollLock {
        device: DeviceKey,
    },
    /// Lock or unlock. Success is the lock's own report; a failure comes as [`crate::signal::Signal::Attempted`].
    SetLock {
        device: DeviceKey,
        attempt: Uuid,
        lock: bool,
    },
    /// Write a code to a slot, then read it back; the answers are [`crate::signal::CodeNotice`]s.
    SetCode {
        device: DeviceKey,
        slot: u16,
        digits: Secret,
    },
    /// Empty a slot, then read it back.
    ClearCode {
        device: DeviceKey,
        slot: u16,
    },
    ReadCode {
        device: DeviceKey,
        slot: u16,
    },
    /// Give the lock the dates to which it is to keep a slot's code, or take them away; then read them back.
    SetSchedule {
        device: DeviceKey,
        slot: u16,
        schedule: Option<Schedule>,
    },
    /// Read the dates that the lock keeps for a slot.
    ReadSchedule {
        device: DeviceKey,
        slot: u16,
    },
    /// Set the lock's clock for the sake of a slot's dates, and look at it.
    SetClock {
        device: DeviceKey,
        slot: u16,
    },
    /// See whether a node answers.
    Ping {
        device: DeviceKey,
    },
    /// Stop and start the scan of an adapter that seems deaf.
    RestartScan {
        link: Link,
    },
}

/// A durable piece of the hub's state: upserted, or deleted where `value` is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub kind: RowKind,
    /// `device_id` or `account_id`, or a name within the kind.
    pub key: String,
    /// Digits of codes stand under the names `code` and `digits` only, other secrets under `secret`: there the store seals them.
    pub value: Option<Value>,
}

impl Row {
    /// As a start finds it; `None` for one that deletes.
    pub fn kept(&self) -> Option<KeptRow> {
        let text = self.value.as_ref()?.to_string();
        Some(KeptRow { kind: self.kind, key: self.key.clone(), text })
    }
}

/// A row as a start finds it: JSON text, read only by who knows what it is. Thousands of them as [`Value`]s would be most of the
/// memory and of the time of a start.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRow {
    pub kind: RowKind,
    pub key: String,
    pub text: String,
}

impl KeptRow {
    /// The device that it is of.
    pub fn device(&self) -> Option<Device> {
        (self.kind == RowKind::Device).then(|| Device::from_row(&self.text)).flatten()
    }
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
    /// An attempt to operate a lock; the key is its `action_attempt_id`.
    Attempt,
    /// An access code; the key is its `access_code_id`, the value Seam's shape.
    Code,
    /// A command that was done: see [`super::once`]. The key is a place in a ring.
    Command,
    /// Not the hub's, and passed over by it: a webhook, what one still owes, a network that was added at run time, and the bind key of
    /// a Bluetooth device that was adopted with one.
    Webhook,
    Delivery,
    Network,
    BindKey,
}

impl RowKind {
    pub const ALL: &[RowKind] = &[
        RowKind::Device,
        RowKind::Account,
        RowKind::Presence,
        RowKind::Past,
        RowKind::Held,
        RowKind::Attempt,
        RowKind::Code,
        RowKind::Command,
        RowKind::Webhook,
        RowKind::Delivery,
        RowKind::Network,
        RowKind::BindKey,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            RowKind::Device => "device",
            RowKind::Account => "account",
            RowKind::Presence => "presence",
            RowKind::Past => "past",
            RowKind::Held => "held",
            RowKind::Attempt => "attempt",
            RowKind::Code => "code",
            RowKind::Command => "command",
            RowKind::Webhook => "webhook",
            RowKind::Delivery => "delivery",
            RowKind::Network => "network",
            RowKind::BindKey => "bind_key",
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
