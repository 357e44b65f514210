//! How a step says what it came to: one place that dates events, makes their ids, writes rows and sets timers.

use uuid::{Builder, Uuid};

use super::accounts::Accounts;
use super::clock::Clock;
use super::codes::Codes;
use super::timers::{Concern, Timer, Timers};
use super::{Account, Action, Device, Output, Row, RowKind, Settings};
use crate::event::{Details, Event, EventType, Issues};
use crate::time::{Mono, Now, Wall};

/// What every judgement needs beside the thing it judges.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub clock: Clock,
    pub timers: Timers,
}

pub struct Teller<'a> {
    /// Its `wall` is the date that the hub believes.
    pub now: Now,
    pub settings: &'a Settings,
    /// The device's or bridge's own time of what is being judged.
    pub occurred_at: Option<Wall>,
    /// Who has which code, where that is of interest.
    pub codes: Option<&'a Codes>,
    accounts: Option<&'a Accounts>,
    clock: &'a mut Clock,
    timers: &'a mut Timers,
    out: &'a mut Output,
}

impl<'a> Teller<'a> {
    /// `accounts` is what events say of the account of their device; without it they can only be told of accounts.
    pub fn new(world: &'a mut World, accounts: Option<&'a Accounts>, now: Now, out: &'a mut Output) -> Teller<'a> {
        let World { settings, clock, timers } = world;
        Teller { now, settings, occurred_at: None, codes: None, accounts, clock, timers, out }
    }

    /// Tells an event of a device, where it is one that is told of such a device. `fill` adds what this type carries; errors and
    /// warnings are added to the types that carry them.
    pub fn tell(&mut self, device: &Device, event_type: EventType, fill: impl FnOnce(&mut Details)) {
        if !device.managed && !event_type.is_told_of_unmanaged() {
            return;
        }
        let mut details = Details::default();
        let issues = event_type.issues();
        if issues >= Issues::Device {
            let account = self.accounts.and_then(|a| a.of(&device.key));
            details.connected_account_errors = Some(account.map(Account::errors).unwrap_or_default());
            details.connected_account_warnings = Some(Vec::new());
            details.device_errors = Some(device.errors());
            details.device_warnings = Some(device.warnings());
        }
        if issues == Issues::AccessCode {
            details.access_code_errors = Some(Vec::new());
            details.access_code_warnings = Some(Vec::new());
        }
        fill(&mut details);
        self.push(device.account_id, Some(device.device_id), event_type, details);
    }

    /// Tells a `connected_account.*` event.
    pub fn tell_account(&mut self, account_id: Uuid, event_type: EventType, fill: impl FnOnce(&mut Details)) {
        let mut details = Details::default();
        fill(&mut details);
        self.push(account_id, None, event_type, details);
    }

    fn push(&mut self, account: Uuid, device: Option<Uuid>, event_type: EventType, mut details: Details) {
        let created_at = self.clock.created_at(self.now.wall);
        details.clock_unsynchronized = self.clock.is_unsynchronized();
        let event = Event {
            event_id: self.event_id(created_at),
            event_type,
            workspace_id: self.settings.workspace_id,
            created_at,
            // The hub's own date is not held back by the log's order.
            occurred_at: self.occurred_at.unwrap_or(self.now.wall),
            connected_account_id: account,
            device_id: device,
            details,
        };
        self.out.events.push(event);
    }

    /// What day and time it is, where anybody vouches for that.
    pub fn date(&self) -> Option<Wall> {
        (!self.clock.is_unsynchronized()).then_some(self.now.wall)
    }

    /// While the clock may still be set: when it is no longer waited for, and a guess has to do.
    pub fn date_waits(&self) -> Option<Mono> {
        self.clock.holds().then(|| self.clock.wait_ends())
    }

    /// A random id for something that is made in this step.
    pub fn new_id(&self) -> Uuid {
        Builder::from_random_bytes(self.now.entropy.to_be_bytes()).into_uuid()
    }

    /// UUIDv7 of the creation time; its random bits come from the step's entropy and the event's place in the step.
    fn event_id(&self, created_at: Wall) -> Uuid {
        let n = self.out.events.len() as u64;
        let (high, low) = ((self.now.entropy >> 64) as u64, self.now.entropy as u64);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&mix(low.wrapping_add(n)).to_be_bytes());
        random[8..].copy_from_slice(&mix(high ^ n).to_be_bytes()[..2]);
        Builder::from_unix_timestamp_millis(created_at.0.max(0) as u64, &random).into_uuid()
    }

    /// Asks something of a source, once what was told is on disk.
    pub fn act(&mut self, action: Action) {
        self.out.actions.push(action);
    }

    /// Comes back to this concern of the device at `at`; the concern's `due` is called then. One deadline a concern.
    pub fn wake(&mut self, device: &Device, concern: Concern, at: Mono) {
        self.timers.set(Timer::Device(device.key, concern), at);
    }

    pub fn cancel(&mut self, device: &Device, concern: Concern) {
        self.timers.cancel(Timer::Device(device.key, concern));
    }

    pub fn set(&mut self, timer: Timer, at: Mono) {
        self.timers.set(timer, at);
    }

    pub fn cancel_timer(&mut self, timer: Timer) {
        self.timers.cancel(timer);
    }

    /// Writes the device's state with what was told.
    pub fn keep(&mut self, device: &mut Device) {
        device.soft.dirty = false;
        self.row(RowKind::Device, device.device_id.to_string(), device.row());
    }

    /// The device is no more.
    pub fn drop_device(&mut self, device: &Device) {
        self.timers.forget(device.key);
        self.row(RowKind::Device, device.device_id.to_string(), None);
    }

    pub fn keep_account(&mut self, account: &Account) {
        self.row(RowKind::Account, account.account_id.to_string(), account.row());
    }

    pub fn drop_account(&mut self, account: &Account) {
        self.row(RowKind::Account, account.account_id.to_string(), None);
    }

    pub fn row(&mut self, kind: RowKind, key: String, value: Option<serde_json::Value>) {
        self.out.rows.retain(|r| !(r.kind == kind && r.key == key));
        self.out.rows.push(Row { kind, key, value });
    }
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): spreads a counter over 64 bits.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
