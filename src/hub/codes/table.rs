//! The table of one lock: one thing at a time is asked of it, what is most urgent first, until it holds what is wanted.
//!
//! A slot is read before it is written, so that what somebody else put there is found before it is touched; and whatever comes back
//! is judged by [`super::learn`]. Nothing here survives a restart but the codes: a lock that was being written is read again.
//! What is asked is in [`super::ask`], what takes too long or fails in [`super::delays`], what is stored and when all is looked at
//! again in [`super::keep`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::code::{Code, Episode, Held, Reported, Why};
use super::draft;
use super::schedule::{self, Keeper, OnLock};
use super::wishes::Limits;
use crate::backoff::Backoff;
use crate::event::{CodeFacts, Details, EventType, Issues};
use crate::hub::rate::Rate;
use crate::hub::tell::Teller;
use crate::hub::{Device, RowKind};
use crate::signal::{DeviceKey, Schedule, Secret};
use crate::time::Mono;

/// Between two tries of one code, and of a lock that does not answer.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1800));

/// Reads for comparison alone, an hour and lock: 250 codes are compared in four hours and a bit, an S0 lock's air stays free.
const CHECKS: usize = 60;

/// A lock tells of what was just written to it, once or twice.
pub const ECHO: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Table {
    pub key: DeviceKey,
    pub entries: BTreeMap<Uuid, Entry>,
    pub op: Option<Op>,
    /// The lock does not answer, or its link is down.
    pub pause: Backoff,
    pub paused_until: Option<Mono>,
    pub asked_at: Option<Mono>,
    pub checks: Rate,
    pub checks_wait: Option<Mono>,
    /// Its clock was set last.
    pub clock: Option<ClockSet>,
    /// And is set again then, if it was wrong all the same.
    pub clock_rests_until: Option<Mono>,
    /// It did not keep dates, or its clock was wrong all the same, so often in a row.
    pub untimely: Backoff,
    /// Slots that the lock says it has not.
    pub missing: BTreeSet<u16>,
    /// Slots are taken in turn: a late word of an earlier guest meets an empty one.
    last_slot: u16,
    drawn: u64,
    pub limits: Limits,
}

#[derive(Debug)]
pub struct Entry {
    pub code: Code,
    pub soft: Soft,
    /// As it is on disk: the code, whether a spare one was there, its status.
    pub stored: Option<(Code, bool, String)>,
}

/// What may be forgotten.
#[derive(Debug)]
pub struct Soft {
    pub failures: Backoff,
    pub retry_at: Option<Mono>,
    /// When its slot was read last.
    pub read_at: Option<Mono>,
    /// There is reason to read it again.
    pub check: bool,
    /// And the dates that the lock keeps for it.
    pub check_dates: bool,
    /// So often in a row the lock showed none where there should be some.
    pub without_dates: u32,
    /// The lock did not erase the dates of its slot: there are none, or it keeps them.
    pub keeps_old_dates: bool,
    /// Since when it is not as it is wanted.
    pub since: Option<Mono>,
    /// Until then the lock may tell of what was just written.
    pub echo_until: Option<Mono>,
    /// It told of something that may be that, or may not: it is read again then.
    pub check_at: Option<Mono>,
}

/// What the lock is being asked.
#[derive(Clone, Debug)]
pub struct Op {
    pub code: Uuid,
    pub slot: u16,
    pub kind: Kind,
    /// What is being written.
    pub digits: Option<Secret>,
    /// The dates that are being written, or should be there, as its clock shows them.
    pub schedule: Option<Schedule>,
    /// What is known if it does.
    pub dates: OnLock,
    /// The lock, or its driver, took it.
    pub accepted: bool,
    pub duplicate: bool,
    /// The lock's clock is that of another place.
    pub misplaced: bool,
    pub until: Mono,
}

/// In the order of urgency of what it is for; see [`Table::ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Read,
    Write,
    Clear,
    /// Sets the dates that the lock keeps for a slot, or erases them.
    Schedule,
    /// Sets its clock, and looks at it.
    Clock,
    /// Reads the dates that it keeps for a slot.
    Dates,
}

/// When a lock's clock was set, and how many seconds it then was ahead of UTC.
#[derive(Clone, Copy, Debug)]
pub struct ClockSet {
    pub at: Mono,
    pub offset: i32,
}

impl Entry {
    pub fn new(code: Code) -> Entry {
        let soft = Soft {
            failures: Backoff::new(RETRY.0, RETRY.1),
            retry_at: None,
            read_at: None,
            check: false,
            check_dates: false,
            without_dates: 0,
            keeps_old_dates: false,
            since: None,
            echo_until: None,
            check_at: None,
        };
        Entry { code, soft, stored: None }
    }
}

impl Table {
    pub fn new(key: DeviceKey) -> Table {
        Table {
            key,
            entries: BTreeMap::new(),
            op: None,
            pause: Backoff::new(RETRY.0, RETRY.1),
            paused_until: None,
            asked_at: None,
            checks: Rate::new(CHECKS, Duration::from_secs(3600)),
            checks_wait: None,
            clock: None,
            clock_rests_until: None,
            untimely: Backoff::new(RETRY.0, RETRY.1),
            missing: BTreeSet::new(),
            last_slot: 0,
            drawn: 0,
            limits: Limits::default(),
        }
    }

    /// From the store, with what its row says beside it: it need not be written again.
    pub fn restore(&mut self, code: Code, spare: bool, status: String) {
        self.last_slot = self.last_slot.max(code.slot.unwrap_or(0));
        let stored = Some((code.clone(), spare && code.uses_pool, status));
        self.entries.insert(code.access_code_id, Entry { stored, ..Entry::new(code) });
    }

    pub fn insert(&mut self, code: Code) {
        self.entries.insert(code.access_code_id, Entry::new(code));
    }

    /// The code that has this slot.
    pub fn at(&mut self, slot: u16) -> Option<&mut Entry> {
        self.entries.values_mut().find(|e| e.code.slot == Some(slot))
    }

    /// Random bits that are never the same within a step.
    pub fn draw(&mut self, teller: &Teller<'_>) -> u128 {
        self.drawn += 1;
        Uuid::new_v5(&teller.new_id(), format!("{}:{}", self.key, self.drawn).as_bytes()).as_u128()
    }

    pub fn new_id(&mut self, teller: &Teller<'_>) -> Uuid {
        uuid::Builder::from_random_bytes(self.draw(teller).to_be_bytes()).into_uuid()
    }

    /// Digits that no code of the lock has.
    pub fn free_digits(&mut self, preferred: Option<u8>, device: &Device, teller: &Teller<'_>) -> Option<Secret> {
        let lengths = device.codes.lengths(&device.description);
        (0..100).find_map(|_| {
            let digits = draft::make_up(self.draw(teller), preferred, &lengths);
            self.entries.values().all(|e| !e.code.has(&digits)).then_some(digits)
        })
    }

    /// A slot that nothing is known of.
    fn free_slot(&self, device: &Device) -> Option<u16> {
        let slots = device.codes.slots(&device.description);
        let free =
            |slot: &u16| !self.missing.contains(slot) && self.entries.values().all(|e| e.code.slot != Some(*slot));
        slots.clone().filter(free).find(|slot| *slot > self.last_slot).or_else(|| slots.clone().find(free))
    }

    /// Everything that may have to be done by now.
    pub fn pump(&mut self, device: &mut Device, teller: &mut Teller<'_>) {
        if self.op.as_ref().is_some_and(|op| op.until <= teller.now.mono) {
            self.unanswered(device, teller);
        }
        // What ends may end another.
        for _ in 0..2 {
            let ids: Vec<Uuid> = self.entries.keys().copied().collect();
            for id in ids {
                self.settle(id, device, teller);
            }
        }
        self.fill_pool(device, teller);
        self.ask(device, teller);
        self.tell_delays(device, teller);
        self.store(device, teller);
        self.arm(device, teller);
    }

    /// Draws the conclusions of what is known of a code.
    pub fn settle(&mut self, id: Uuid, device: &Device, teller: &mut Teller<'_>) {
        let busy = self.op.as_ref().is_some_and(|op| op.code == id);
        let Some(entry) = self.entries.get_mut(&id).filter(|e| e.code.managed) else { return };
        let (wall, date) = (teller.now.wall, teller.date());
        if entry.code.waits_for_clock(date) {
            return;
        }
        let place = device.place(teller.settings);
        // One without dates has none to be kept to: whether old ones are in its way needs no clock.
        if !busy && (date.is_some() || !entry.code.is_dated()) {
            let keeper = schedule::keeper(&entry.code, device, place, wall);
            // What is on a lock stays as it is, unless the lock can take its dates over.
            if !entry.code.is_set() || keeper == Keeper::Lock {
                entry.code.keeper = keeper;
                if entry.code.place.replace(place) != Some(place) {
                    entry.code.schedule = OnLock::Unknown;
                }
            }
        }
        entry.soft.check |= entry.soft.check_at.take_if(|at| *at <= teller.now.mono).is_some();
        let wanted = entry.code.is_wanted(date);
        if wanted != entry.code.episode.wants {
            entry.code.episode = Episode { wants: wanted, ..Episode::default() };
            if !entry.code.left_alone {
                entry.code.problem = None;
            }
            entry.soft.failures.reset();
            (entry.soft.retry_at, entry.soft.since) = (None, None);
        }
        if wanted {
            if entry.code.is_set() {
                entry.tell_there(device, teller);
                entry.is_settled();
                return;
            }
            // Until it begins, a code that is not there yet keeps nobody out.
            if entry.code.has_begun(date) && entry.soft.since.is_none() {
                // From now on somebody may stand at the door.
                (entry.soft.since, entry.soft.retry_at) = (Some(teller.now.mono), None);
            }
            if entry.code.slot.is_none() && device.codes.writes() {
                self.give_slot(id, device, teller);
            }
            return;
        }
        if entry.code.slot.is_some() && !busy {
            let gone = entry.code.reported == Reported::Empty;
            // Whoever was told that it is there, or that it would not go.
            let trouble = entry.code.episode.delay_told.is_some() || entry.code.episode.failed_told;
            if gone && (entry.code.told.is_some() || trouble) {
                entry.tell(EventType::AccessCodeRemovedFromDevice, device, teller, |_, _| {});
            }
            if gone || !entry.code.may_be_on_lock() {
                entry.code.lose_slot();
            }
        }
        if entry.code.slot.is_some() {
            entry.soft.since.get_or_insert(teller.now.mono);
            return;
        }
        entry.is_settled();
        if entry.code.deleting || entry.code.has_ended(date) {
            self.forget(id, Some(EventType::AccessCodeDeleted), device, teller);
        }
    }

    fn give_slot(&mut self, id: Uuid, device: &Device, teller: &mut Teller<'_>) {
        let slot = self.free_slot(device);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.code.slot = slot;
        match slot {
            Some(slot) => {
                self.last_slot = slot;
                entry.code.problem.take_if(|p| p.why == Why::NoSpace);
            }
            None => {
                entry.complain(Why::NoSpace, true, device, teller);
                self.missing.clear();
            }
        }
    }

    /// A code is no more; what is told of it is the last.
    pub fn forget(&mut self, id: Uuid, told: Option<EventType>, device: &Device, teller: &mut Teller<'_>) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(told) = told {
            entry.tell(told, device, teller, |d, code| {
                d.code = code.digits.clone().filter(|_| told == EventType::AccessCodeDeleted);
            });
        }
        teller.row(RowKind::Code, id.to_string(), None);
        // A spare one that stood in for it goes with it.
        for other in self.entries.values_mut().filter(|e| e.code.stands_in_for == Some(id)) {
            other.code.deleting = true;
        }
    }
}

impl Entry {
    /// What is wanted is on the lock: told once for the same digits; ahead of its time, once for the same dates.
    fn tell_there(&mut self, device: &Device, teller: &mut Teller<'_>) {
        let now = Held { digits: self.code.digits.clone() };
        let ahead = self.code.frame().filter(|_| !self.code.has_begun(teller.date()));
        if self.code.told.as_ref() == Some(&now) && self.code.told_ahead == ahead {
            return;
        }
        let told = match ahead {
            Some(_) => EventType::AccessCodeScheduledOnDevice,
            None => EventType::AccessCodeSetOnDevice,
        };
        let before = self.code.told.take().filter(|before| *before != now);
        if let Some(before) = before {
            self.tell_new_digits(before.digits, device, teller);
        }
        self.tell(told, device, teller, |d, code| d.code = code.digits.clone());
        (self.code.told, self.code.told_ahead) = (Some(now), ahead);
    }

    pub fn tell_new_digits(&self, from: Option<Secret>, device: &Device, teller: &mut Teller<'_>) {
        self.tell(EventType::AccessCodeCodeChanged, device, teller, |d, code| {
            d.description = Some("The code has other digits now.".into());
            d.from = Some(CodeFacts::Digits { code: from });
            d.to = Some(CodeFacts::Digits { code: code.digits.clone() });
        });
    }

    pub fn tell(
        &self,
        event_type: EventType,
        device: &Device,
        teller: &mut Teller<'_>,
        fill: impl FnOnce(&mut Details, &Code),
    ) {
        teller.tell(device, event_type, |d| {
            d.access_code_id = Some(self.code.access_code_id);
            if event_type.issues() == Issues::AccessCode {
                d.access_code_errors = Some(self.code.errors());
                d.access_code_warnings = Some(self.code.warnings());
            }
            fill(d, &self.code);
        });
    }
}
