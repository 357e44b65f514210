//! Access codes: what is wanted of each lock's table of codes, and what the lock reports of it.
//!
//! ```text
//! wish ──► created ──► its time has come ──► slot read ──► written ──► read back ──► set
//!                                                 ▲            │ ignored, refused, no answer: again, ever more seldom
//!                                                 └────────────┘
//! end or deletion ──► slot read ──► cleared ──► read back ──► removed ──► deleted
//! ```
//!
//! What it promises: in the end the lock holds what is wanted; what nobody here wrote is never touched; each step is told once,
//! when the lock has confirmed it; no lock waits for another. One file a concern: [`code`] is a code and [`view`] what is seen of it,
//! [`schedule`] and [`dates`] those that a lock keeps itself, [`table`] drives a lock, [`learn`] judges its answers, [`found`] has the codes of
//! others, [`pool`] the spare ones, [`wishes`] the users.

mod ask;
mod code;
mod dates;
mod delays;
mod draft;
mod found;
mod keep;
mod learn;
mod pool;
mod schedule;
mod table;
mod view;
mod wishes;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::clock::Correction;
use super::tell::Teller;
use super::{Device, Hub, Output};
use crate::event::EventType;
use crate::signal::{CodeNotice, Description, DeviceKey, LockUser, Secret, Signal};
use crate::time::{Now, Wall};
use code::Code;
pub use draft::CodeDraft;
use table::Table;
pub use wishes::Wish;

/// What a lock's word for a code being set or gone is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// The slot is read, and holds the digits.
    #[default]
    ReadBack,
    /// The lock took what was written, and says that the slot is in use; it shows no digits.
    Accepted,
    /// Nothing: what was sent is taken for done.
    Unverified,
}

/// What the configuration says of a lock's codes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeSettings {
    /// The hub writes codes; else it only tells what it hears of them.
    pub manage: bool,
    /// The slots that it may read and write; all, if absent.
    pub slots: Option<(u16, u16)>,
    /// In place of what the lock shows of itself.
    pub confirmation: Option<Confirmation>,
    /// Spare codes that are kept on the lock.
    pub backup: u8,
    /// Dates are the hub's business, also on a lock that could keep them.
    pub dates_by_hub: bool,
}

/// What is known of how a lock keeps codes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockCodes {
    pub settings: CodeSettings,
    /// It was seen to answer with a mask.
    pub hidden: bool,
    /// It did not keep dates that it was given: until then the hub does.
    pub untimely_until: Option<Wall>,
}

/// Slots of a lock that does not say how many it has.
const SLOTS: u16 = 20;

impl LockCodes {
    pub fn writes(&self) -> bool {
        self.settings.manage
    }

    pub fn confirmation(&self) -> Confirmation {
        let detected = if self.hidden { Confirmation::Accepted } else { Confirmation::ReadBack };
        self.settings.confirmation.unwrap_or(detected)
    }

    fn hides(&mut self) {
        self.hidden = true;
    }

    /// Whether a lock that could keep dates is given any.
    fn lock_keeps_dates(&self, now: Wall) -> bool {
        !self.settings.dates_by_hub && self.untimely_until.is_none_or(|until| until <= now)
    }

    /// It does not keep dates: the hub does, for a day.
    fn is_untimely(&mut self, now: Wall) {
        const DAY: i64 = 24 * 3600 * 1000;
        self.untimely_until = Some(Wall(now.0 + DAY));
    }

    /// The slots that the hub may read and write.
    pub fn slots(&self, description: &Description) -> RangeInclusive<u16> {
        let (first, last) = self.settings.slots.unwrap_or((1, description.code_slots.unwrap_or(SLOTS)));
        first..=last.min(description.code_slots.unwrap_or(u16::MAX))
    }

    fn lengths(&self, description: &Description) -> RangeInclusive<u8> {
        description.code_digits.map_or(draft::LENGTHS, |(least, most)| least..=most)
    }

    /// As devices show it.
    pub fn view(&self, description: &Description) -> Option<Value> {
        let (slots, lengths) = (self.slots(description), self.lengths(description));
        // Until it keeps dates again, it is one that does not.
        let by_lock = description.code_schedules == Some(true) && self.lock_keeps_dates(Wall::default());
        self.writes().then(|| {
            serde_json::json!({
                "codes": "manage",
                "slots": format!("{}-{}", slots.start(), slots.end()),
                "lengths": [lengths.start(), lengths.end()],
                "confirmation": self.confirmation(),
                "schedules": if by_lock { "lock" } else { "hub" },
            })
        })
    }
}

/// What a slot was found to hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Empty,
    Digits(Secret),
    /// In use, and the lock does not show by what.
    Hidden,
    /// In use, and not read yet.
    Unread,
}

impl Content {
    fn of(notice: &CodeNotice) -> Content {
        match notice {
            CodeNotice::Slot { digits: Some(digits), .. } => Content::Digits(digits.clone()),
            CodeNotice::Slot { digits: None, .. } => Content::Empty,
            _ => Content::Hidden,
        }
    }
}

/// All codes, by their locks.
#[derive(Debug, Default)]
pub struct Codes {
    tables: BTreeMap<DeviceKey, Table>,
}

impl Codes {
    pub fn restore(&mut self, row: &str) {
        /// What the view says that the code alone does not.
        #[derive(Deserialize)]
        struct Kept {
            state: Code,
            is_backup_access_code_available: Option<bool>,
            status: Option<String>,
        }
        if let Ok(kept) = serde_json::from_str::<Kept>(row) {
            let spare = kept.is_backup_access_code_available == Some(true);
            self.table(kept.state.key).restore(kept.state, spare, kept.status.unwrap_or_default());
        }
    }

    pub fn table(&mut self, key: DeviceKey) -> &mut Table {
        self.tables.entry(key).or_insert_with(|| Table::new(key))
    }

    fn device_of(&self, id: Uuid) -> Option<Uuid> {
        self.tables.values().find_map(|t| t.entries.get(&id)).map(|e| e.code.device_id)
    }

    /// The code that somebody used at this time: its id, and whether it is ours. Not one that was written later than that.
    pub fn used(&self, key: DeviceKey, user: LockUser, at: Wall) -> Option<(Uuid, bool)> {
        let slot = u16::try_from(user.0).ok()?;
        let entries = &self.tables.get(&key)?.entries;
        let code = entries.values().map(|e| &e.code).find(|c| c.slot == Some(slot))?;
        let there = !code.managed || code.may_be_on_lock() && code.written_at.is_none_or(|written| written <= at);
        there.then_some((code.access_code_id, code.managed))
    }
}

/// What a report says of codes, in its order. What a bridge remembers counts too, as something to look at.
pub fn notices(signals: &[Signal]) -> Vec<CodeNotice> {
    let notice = |signal: &Signal| match signal {
        Signal::Code(notice) => Some(notice.clone()),
        Signal::Remembered(signal) => match &**signal {
            Signal::Code(notice) => Some(notice.clone()),
            _ => None,
        },
        _ => None,
    };
    signals.iter().filter_map(notice).collect()
}

impl Hub {
    /// What a lock said of its codes.
    pub(super) fn hear_codes(&mut self, now: Now, key: DeviceKey, notices: &[CodeNotice], out: &mut Output) {
        if notices.is_empty() {
            return;
        }
        self.with_codes(now, key, out, |table, device, teller| {
            notices.iter().for_each(|notice| table.heard(notice, device, teller));
        });
    }

    /// Something about the lock is different: it came back, its time has come, its settings changed.
    pub(super) fn pump_codes(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        let pool = self.devices.get(&key).is_some_and(|d| d.codes.settings.backup > 0);
        if pool || self.codes.tables.contains_key(&key) {
            self.with_codes(now, key, out, |table, device, teller| table.compare(device, teller));
        }
    }

    /// Since when the date is known: first what was dated by another clock is mended, then all codes have their say.
    pub(super) fn codes_know_the_date(&mut self, now: Now, correction: Correction, out: &mut Output) {
        for key in self.codes.tables.keys().copied().collect::<Vec<_>>() {
            self.with_codes(now, key, out, |table, _, _| {
                table.entries.values_mut().for_each(|entry| entry.code.mend_dates(correction));
            });
        }
    }

    /// A lock is there again: nothing waits for it any longer.
    pub(super) fn lock_is_back(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        if let Some(table) = self.codes.tables.get_mut(&key) {
            table.is_back();
        }
        self.pump_codes(now, key, out);
    }

    fn with_codes(
        &mut self,
        now: Now,
        key: DeviceKey,
        out: &mut Output,
        judge: impl FnOnce(&mut Table, &mut Device, &mut Teller<'_>),
    ) {
        let Some(device) = self.devices.get_mut(&key) else { return };
        let table = self.codes.table(key);
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let before = device.codes.clone();
        judge(table, device, &mut teller);
        table.pump(device, &mut teller);
        if device.codes != before {
            teller.keep(device);
        }
    }

    /// The lock is gone, and its codes with it.
    pub(super) fn codes_gone(&mut self, now: Now, device: &Device, out: &mut Output) {
        let Some(mut table) = self.codes.tables.remove(&device.key) else { return };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let all: Vec<(Uuid, bool)> = table.entries.iter().map(|(id, e)| (*id, e.code.managed)).collect();
        for (id, managed) in all {
            let told = if managed { EventType::AccessCodeDeleted } else { EventType::AccessCodeUnmanagedRemoved };
            table.forget(id, Some(told), device, &mut teller);
        }
    }
}
