//! The life of a device: met, adopted, renamed, released, removed, deleted.
//!
//! The configuration wins over what was adopted by hand; taking a device out of it releases the device, never deletes it.
//! What was deleted by hand stays silent until it is adopted or configured again.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::device::kind_of;
use super::strangers::UNMANAGED;
use super::tell::Teller;
use super::{Accounts, Device, Hub, Origin, Output, Row, RowKind, Settings, battery, flaky};
use crate::event::EventType;
use crate::signal::{DeviceKey, DeviceKind, Report, Signal};
use crate::time::Now;

/// What is remembered of a key whose device is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    key: DeviceKey,
    /// How many devices had this node number before.
    generation: u32,
    /// Deleted by hand: what is heard of it is nobody's business.
    pub(super) deleted: bool,
}

impl Past {
    fn row(&self) -> Row {
        let value = (self.deleted || self.generation > 0).then(|| json!(self));
        Row { kind: RowKind::Past, key: self.key.to_string(), value }
    }
}

impl Hub {
    /// Makes devices, accounts and configuration agree: at the start, after a reload, and when a network is met.
    pub(super) fn reconcile(&mut self, now: Now, out: &mut Output) {
        let mut gone = Vec::new();
        self.accounts.reconcile(&mut Teller::new(&mut self.world, None, now, out), &mut gone);
        for key in self.keys(|d| matches!(d.key, DeviceKey::Zwave { home, .. } if gone.contains(&home))) {
            self.drop_device(now, key, Some(EventType::DeviceDeleted), out);
        }
        let mut listed: Vec<DeviceKey> =
            self.world.settings.devices.keys().filter_map(|place| self.accounts.key(place)).collect();
        listed.sort_unstable();
        for key in listed {
            self.take_in(now, key, out);
        }
        for key in self.keys(|_| true) {
            if self.accounts.place(&key).is_some_and(|place| self.world.settings.device(&place).is_none()) {
                self.apply_policy(now, key, out);
            }
        }
    }

    /// The configuration was read again.
    pub(super) fn configure(&mut self, now: Now, settings: Settings, out: &mut Output) {
        let before = std::mem::replace(&mut self.world.settings, settings);
        self.reconcile(now, out);
        for key in self.keys(|_| true) {
            self.pump_codes(now, key, out);
        }
        if before.battery != self.world.settings.battery {
            self.judge_batteries(now, out);
        }
        // A device whose declared interval is another is judged anew; the others keep what was learned.
        for key in self.keys(|d| d.origin == Origin::Config) {
            let Some(place) = self.accounts.place(&key) else { continue };
            let interval = |settings: &Settings| settings.device(&place).and_then(|d| d.interval);
            if interval(&before) != interval(&self.world.settings)
                && let Some(device) = self.devices.remove(&key)
            {
                self.watch(&device, now.mono);
                self.devices.insert(key, device);
            }
        }
    }

    /// A device of the configuration: it is known from now on, and managed.
    fn take_in(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        let Some(listed) = self.accounts.place(&key).and_then(|p| self.world.settings.device(&p)).cloned() else {
            return;
        };
        let new = !self.devices.contains_key(&key);
        if new {
            self.create(now, key, Origin::Config, out);
        }
        let Some(device) = self.devices.get_mut(&key) else { return };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let mut changed = new;
        if let Some(id) = listed.id.filter(|id| *id != device.device_id) {
            teller.drop_device(device);
            device.device_id = id;
            changed = true;
        }
        if !device.managed {
            convert(device, Origin::Config, &mut teller);
            changed = true;
        }
        changed |= device.configure(&listed, &mut teller);
        if changed {
            teller.keep(device);
        }
    }

    /// A device that the configuration does not name: `[adopt]` decides.
    fn apply_policy(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        let Some(device) = self.devices.get_mut(&key) else { return };
        let adopts = self.world.settings.adopts(&key, &device.family);
        let codes = self.world.settings.adopt_codes.clone();
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        match (device.origin, adopts) {
            (Origin::Config, true) => device.origin = Origin::Known,
            (Origin::Stranger, true) => convert(device, Origin::Known, &mut teller),
            (Origin::Config | Origin::Known, false) => release(device, Origin::Stranger, &mut teller),
            _ if device.codes.settings != codes => {}
            _ => return,
        }
        device.codes.settings = codes;
        teller.keep(device);
    }

    /// A report of a device that is not known: true where it now is.
    pub(super) fn meet(&mut self, now: Now, report: &Report, out: &mut Output) -> bool {
        let key = report.device;
        // Every BLE device of the configuration is known from the start: the adverts of a neighbourhood end here.
        if report.family.is_empty() && matches!(key, DeviceKey::Ble(_)) {
            return false;
        }
        let Some(place) = self.accounts.place(&key) else { return false };
        if self.world.settings.device(&place).is_some() {
            self.take_in(now, key, out);
            return true;
        }
        if self.past.get(&key).is_some_and(|p| p.deleted) || report.signals.contains(&Signal::Removed) {
            return false;
        }
        if self.world.settings.adopts(&key, report.family) {
            self.create(now, key, Origin::Known, out);
            return true;
        }
        if !is_of_interest(report) {
            return false;
        }
        let believed = matches!(key, DeviceKey::Zwave { .. }) || self.strangers.heard(key, now.mono);
        if !believed || !self.room_for_stranger(now, out) {
            return false;
        }
        self.create(now, key, Origin::Stranger, out);
        true
    }

    /// Whether another unmanaged device may be known; the one that has been away longest makes room.
    fn room_for_stranger(&mut self, now: Now, out: &mut Output) -> bool {
        let strangers = self.keys(|d| d.origin == Origin::Stranger);
        if strangers.len() < UNMANAGED {
            return true;
        }
        let away = strangers.iter().filter_map(|key| self.devices.get(key).filter(|d| !d.connected));
        match away.min_by_key(|d| (d.since, d.key)).map(|d| d.key) {
            Some(key) => {
                self.drop_device(now, key, None, out);
                true
            }
            None => {
                self.strangers.refused += 1;
                false
            }
        }
    }

    fn create(&mut self, now: Now, key: DeviceKey, origin: Origin, out: &mut Output) {
        let generation = self.past.get(&key).map_or(0, |p| p.generation);
        if let Some(past) = self.past.get_mut(&key).filter(|p| p.deleted) {
            past.deleted = false;
            out.rows.push(past.row());
        }
        let mut device = Device::new(key, generation, Accounts::account_id(&key, &self.world.settings), origin);
        device.codes.settings.clone_from(&self.world.settings.adopt_codes);
        self.strangers.forget(&key);
        self.watch(&device, now.mono);
        self.devices.insert(key, device);
    }

    /// A device is no more; what is told of it is the last.
    pub(super) fn drop_device(&mut self, now: Now, key: DeviceKey, told: Option<EventType>, out: &mut Output) {
        let Some(device) = self.devices.remove(&key) else { return };
        self.presence.forget(&key, now.mono);
        out.rows.push(Row { kind: RowKind::Presence, key: key.to_string(), value: None });
        self.nodes.forget(&key);
        self.codes_gone(now, &device, out);
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        self.attempts.gone(&device, &mut teller);
        teller.drop_device(&device);
        if let Some(told) = told {
            teller.tell(&device, told, |d| {
                d.device_name = (told == EventType::DeviceDeleted).then(|| device.display_name());
            });
        }
    }

    /// The bridge says that the device is gone for good: whatever gets its number next is another device.
    pub(super) fn removed(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        self.drop_device(now, key, Some(EventType::DeviceRemoved), out);
        let past = self.past.entry(key).or_insert(Past { key, generation: 0, deleted: false });
        past.deleted = false;
        if matches!(key, DeviceKey::Zwave { .. }) {
            past.generation += 1;
        }
        out.rows.push(past.row());
    }

    /// Whether a report comes of another product than the one that had this number: it was exchanged while nobody listened.
    pub(super) fn is_another(&self, report: &Report) -> bool {
        let said = report.signals.iter().find_map(|signal| match signal {
            Signal::Described(said) => said.fingerprint.as_ref(),
            _ => None,
        });
        let known = self.devices.get(&report.device).and_then(|d| d.description.fingerprint.as_ref());
        said.is_some() && known.is_some() && said != known
    }

    /// All nodes of a network: whoever was met and is not among them was removed while nobody listened.
    pub(super) fn nodes_are(&mut self, now: Now, network: u32, nodes: &[u16], out: &mut Output) {
        let missing = |key| matches!(key, DeviceKey::Zwave { home, node } if home == network && !nodes.contains(&node));
        for key in self.keys(|d| d.created_at.is_some() && missing(d.key)) {
            self.removed(now, key, out);
        }
    }

    pub(super) fn restore_past(&mut self, row: &str) {
        if let Ok(past) = serde_json::from_str::<Past>(row) {
            self.past.insert(past.key, past);
        }
    }

    /// The timers of what was restored.
    pub(super) fn resume(&mut self, now: Now, out: &mut Output) {
        for key in self.keys(|_| true) {
            let Some(device) = self.devices.get(&key) else { continue };
            let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
            battery::restored(device, &mut teller);
            flaky::begins_to_hold(device, &mut teller);
        }
        self.resume_attempts(now, out);
        for key in self.keys(|_| true) {
            self.pump_codes(now, key, out);
        }
        self.judge_batteries(now, out);
        self.accounts.resume(&mut Teller::new(&mut self.world, None, now, out));
    }

    /// By settings that may be others than those by which they were judged.
    fn judge_batteries(&mut self, now: Now, out: &mut Output) {
        for key in self.keys(|_| true) {
            let Some(device) = self.devices.get_mut(&key) else { continue };
            let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
            if battery::again(device, &mut teller) {
                teller.keep(device);
            }
        }
    }

    /// The keys of some devices, in an order that does not change from run to run.
    pub(super) fn keys(&self, wanted: impl Fn(&Device) -> bool) -> Vec<DeviceKey> {
        let mut keys: Vec<DeviceKey> = self.devices.values().filter(|d| wanted(d)).map(|d| d.key).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn key_of(&self, device_id: Uuid) -> Option<DeviceKey> {
        self.devices.values().find(|d| d.device_id == device_id).map(|d| d.key)
    }

    /// The key of a device that was deleted by hand.
    pub(super) fn deleted_key(&self, device_id: Uuid) -> Option<DeviceKey> {
        self.past.values().find(|p| p.deleted && p.key.device_id(p.generation) == device_id).map(|p| p.key)
    }

    /// A device deleted by hand is back, adopted.
    pub(super) fn readopt(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        self.create(now, key, Origin::User, out);
    }

    /// Deleted by hand.
    pub(super) fn delete(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        self.drop_device(now, key, Some(EventType::DeviceDeleted), out);
        let past = self.past.entry(key).or_insert(Past { key, generation: 0, deleted: false });
        past.deleted = true;
        out.rows.push(past.row());
    }
}

/// An unmanaged device is managed from now on.
pub(super) fn convert(device: &mut Device, origin: Origin, teller: &mut Teller<'_>) {
    (device.managed, device.origin) = (true, origin);
    teller.tell(device, EventType::DeviceUnmanagedConvertedToManaged, |_| {});
    battery::again(device, teller);
}

/// A managed device is managed no longer; it stays known.
pub(super) fn release(device: &mut Device, origin: Origin, teller: &mut Teller<'_>) {
    (device.managed, device.origin) = (false, origin);
    teller.tell(device, EventType::DeviceConvertedToUnmanaged, |_| {});
}

/// A lock, keypad or sensor, as far as a first report shows.
fn is_of_interest(report: &Report) -> bool {
    let kinds = || report.signals.iter().filter_map(kind_of);
    !kinds().any(|kind| matches!(kind, DeviceKind::Beacon | DeviceKind::Bridge))
}
