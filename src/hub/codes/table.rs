//! The table of one lock: one thing at a time is asked of it, what is most urgent first, until it holds what is wanted.
//!
//! A slot is read before it is written, so that what somebody else put there is found before it is touched; and whatever comes back
//! is judged by [`super::learn`]. Nothing here survives a restart but the codes: a lock that was being written is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use uuid::Uuid;

use super::code::{Code, Episode, Held, Problem, Reported, Why};
use super::wishes::Limits;
use super::{Confirmation, draft};
use crate::backoff::Backoff;
use crate::event::{CodeFacts, Details, EventType, Issues};
use crate::hub::rate::Rate;
use crate::hub::tell::Teller;
use crate::hub::timers::Concern;
use crate::hub::{Action, Device, RowKind};
use crate::signal::{DeviceKey, Secret};
use crate::time::{Mono, Wall};

/// What a lock is asked comes back by now: a driver gives a command up after 30 s, a task has three, and other locks may be before it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(180);

/// Between two things that one lock is asked: its battery and the radio are not ours alone.
const PACE: Duration = Duration::from_millis(250);

/// A slot that was read so recently need not be read again before it is written.
const FRESH: Duration = Duration::from_secs(5);

/// A lock takes a code within seconds; one that has not within this is told as late.
pub const DELAY: Duration = Duration::from_secs(180);

/// So many failures in a row are told: one or two are radio.
const FAILURES: u32 = 3;

/// Between two tries of one code, and of a lock that does not answer.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1800));

/// What is set is read again so often, where nothing else gives reason to.
pub const COMPARED: Duration = Duration::from_secs(24 * 3600);

/// Reads for comparison alone, an hour and lock: 250 codes are compared in four hours and a bit, an S0 lock's air stays free.
const CHECKS: usize = 60;

/// The wall clock is looked at so often while a code waits for a date: it may be set.
const LOOK: Duration = Duration::from_secs(60);

/// A lock tells of what was just written to it, once or twice.
pub const ECHO: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Table {
    pub key: DeviceKey,
    pub entries: BTreeMap<Uuid, Entry>,
    pub op: Option<Op>,
    /// The lock does not answer, or its link is down.
    pause: Backoff,
    paused_until: Option<Mono>,
    asked_at: Option<Mono>,
    checks: Rate,
    checks_wait: Option<Mono>,
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
    stored: Option<(Code, bool, String)>,
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
    /// Since when it is not as it is wanted.
    since: Option<Mono>,
    pub echo_until: Option<Mono>,
}

/// What the lock is being asked.
#[derive(Clone, Debug)]
pub struct Op {
    pub code: Uuid,
    pub slot: u16,
    pub kind: Kind,
    /// What is being written.
    pub digits: Option<Secret>,
    /// The lock, or its driver, took it.
    pub accepted: bool,
    pub duplicate: bool,
    pub until: Mono,
}

/// In the order of urgency of what it is for; see [`Table::ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Read,
    Write,
    Clear,
}

impl Entry {
    pub fn new(code: Code) -> Entry {
        let soft = Soft {
            failures: Backoff::new(RETRY.0, RETRY.1),
            retry_at: None,
            read_at: None,
            check: false,
            since: None,
            echo_until: None,
        };
        Entry { code, soft, stored: None }
    }

    /// What the lock should be asked next, and how urgent that is: what must go, what must come, what is to be looked at.
    /// Where digits are not shown, others are written into an empty slot only: that it is in use again is all that will be seen.
    fn next(&self, confirmation: Confirmation, wall: Wall, now: Mono) -> Option<(u8, Kind)> {
        let code = &self.code;
        code.slot?;
        if !code.managed {
            return (code.converting || self.soft.check).then_some((if code.converting { 2 } else { 3 }, Kind::Read));
        }
        let wanted = code.is_wanted(wall);
        let (urgency, aim) = match (wanted, code.reported) {
            (true, _) if code.is_set() => return self.soft.check.then_some((3, Kind::Read)),
            (true, Reported::Set | Reported::Full) if confirmation == Confirmation::Accepted => (1, Kind::Clear),
            (true, _) => (1, Kind::Write),
            (false, Reported::Empty) => return None,
            (false, _) => (0, Kind::Clear),
        };
        let fresh = code.reported != Reported::Unknown && self.soft.read_at.is_some_and(|at| now.since(at) <= FRESH);
        Some((urgency, if fresh { aim } else { Kind::Read }))
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
        let wall = teller.now.wall;
        let wanted = entry.code.is_wanted(wall);
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
                entry.tell_set(device, teller);
                entry.is_settled();
                return;
            }
            entry.soft.since.get_or_insert(teller.now.mono);
            if entry.code.slot.is_none() && device.codes.writes() {
                self.give_slot(id, device, teller);
            }
            return;
        }
        if entry.code.slot.is_some() && !busy {
            let gone = entry.code.reported == Reported::Empty;
            if gone && (entry.code.told.is_some() || !entry.code.tried.is_empty()) {
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
        if entry.code.deleting || entry.code.has_ended(wall) && !teller.dates_are_guesses() {
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

    /// Asks the lock for what is most urgent, where it can be asked.
    fn ask(&mut self, device: &mut Device, teller: &mut Teller<'_>) {
        let (now, wall) = (teller.now.mono, teller.now.wall);
        self.checks_wait = None;
        let ready = device.connected && device.managed && device.codes.writes();
        let resting =
            self.paused_until.is_some_and(|until| now < until) || self.asked_at.is_some_and(|at| now.since(at) < PACE);
        if !ready || self.op.is_some() || resting {
            return;
        }
        let slots = device.codes.slots(&device.description);
        let mut best: Option<(u8, Wall, Uuid, Kind)> = None;
        let mut duplicates = Vec::new();
        for (id, entry) in &self.entries {
            let code = &entry.code;
            if entry.soft.retry_at.is_some_and(|at| now < at) || code.slot.is_none_or(|slot| !slots.contains(&slot)) {
                continue;
            }
            let Some((urgency, kind)) = entry.next(device.codes.confirmation(), wall, now) else { continue };
            if kind == Kind::Write {
                match self.same_digits(code) {
                    Some(true) => continue,
                    Some(false) => {
                        duplicates.push(*id);
                        continue;
                    }
                    None => {}
                }
            }
            let since = if urgency == 1 { code.starts_at.unwrap_or(code.created_at) } else { code.created_at };
            let this = (urgency, since, *id, kind);
            if best.is_none_or(|best| this < best) {
                best = Some(this);
            }
        }
        for id in duplicates {
            let dice = self.draw(teller);
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.fail(Why::Duplicate, dice, device, teller);
            }
        }
        let Some((urgency, _, id, kind)) = best else { return };
        if urgency == 3
            && let Err(wait) = self.checks.admit(now)
        {
            self.checks_wait = Some(now + wait);
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(slot) = entry.code.slot else { return };
        let key = self.key;
        let digits = entry.code.digits.clone();
        let action = match (kind, digits.clone()) {
            (Kind::Write, Some(digits)) => {
                entry.code.try_to_write(wall);
                Action::SetCode { device: key, slot, digits }
            }
            (Kind::Clear, _) => Action::ClearCode { device: key, slot },
            (Kind::Read | Kind::Write, _) => Action::ReadCode { device: key, slot },
        };
        // Until it answers nobody knows.
        if kind != Kind::Read {
            entry.code.reported = Reported::Unknown;
        }
        teller.act(action);
        self.asked_at = Some(now);
        self.op =
            Some(Op { code: id, slot, kind, digits, accepted: false, duplicate: false, until: now + ANSWERED_WITHIN });
    }

    /// Whether another code that the lock holds has these digits: one of ours (which will go), or somebody else's.
    fn same_digits(&self, code: &Code) -> Option<bool> {
        let digits = code.digits.as_ref()?;
        let others = self.entries.values().map(|e| &e.code).filter(|c| c.access_code_id != code.access_code_id);
        let same = others.filter(|c| c.slot.is_some() && c.has(digits)).map(|c| c.managed);
        same.min()
    }

    /// The lock answers again.
    pub fn answered(&mut self) {
        self.pause.reset();
        self.paused_until = None;
    }

    /// It does not: everything that it is to be asked waits.
    pub fn rest(&mut self, teller: &Teller<'_>) {
        let dice = self.draw(teller) as u64;
        self.paused_until = Some(teller.now.mono + self.pause.pause(dice));
    }

    fn tell_delays(&mut self, device: &Device, teller: &mut Teller<'_>) {
        for entry in self.entries.values_mut() {
            let late = entry.soft.since.is_some_and(|since| teller.now.mono.since(since) >= DELAY);
            if late && entry.code.episode.delay_told.is_none() {
                entry.code.episode.delay_told = Some(teller.now.wall);
                let told = match entry.code.episode.wants {
                    true => EventType::AccessCodeDelayInSettingOnDevice,
                    false => EventType::AccessCodeDelayInRemovingFromDevice,
                };
                entry.tell(told, device, teller, |_, _| {});
            }
        }
    }

    /// Writes what differs from what is on disk.
    fn store(&mut self, device: &Device, teller: &mut Teller<'_>) {
        let spare = self.spare().is_some();
        for (id, entry) in &mut self.entries {
            entry.code.device_id = device.device_id;
            let status = entry.code.status(teller.now.wall);
            let new = (&entry.code, spare && entry.code.uses_pool, status);
            if entry.stored.as_ref().is_some_and(|(code, spare, status)| (code, *spare, status.as_str()) == new) {
                continue;
            }
            let mut row = entry.code.view(teller.settings.workspace_id, spare, teller.now.wall);
            row["state"] = serde_json::to_value(&entry.code).unwrap_or_default();
            teller.row(RowKind::Code, id.to_string(), Some(row));
            entry.stored = Some((entry.code.clone(), spare && entry.code.uses_pool, status.to_owned()));
        }
    }

    /// Comes back when something may have to be done.
    fn arm(&self, device: &Device, teller: &mut Teller<'_>) {
        let (now, wall) = (teller.now.mono, teller.now.wall);
        let slots = device.codes.slots(&device.description);
        let mut at = self.op.as_ref().map(|op| op.until);
        let mut by = |when: Mono| at = Some(at.map_or(when, |at| at.min(when)));
        let dated = |date: Wall| {
            let left = Duration::from_millis(date.0.saturating_sub(wall.0).max(0) as u64);
            now + left.min(LOOK)
        };
        for entry in self.entries.values() {
            let code = &entry.code;
            code.starts_at.into_iter().chain(code.ends_at).filter(|date| *date > wall).for_each(|date| by(dated(date)));
            if code.managed && code.has_ended(wall) {
                by(now + LOOK);
            }
            if let Some(since) = entry.soft.since.filter(|_| code.episode.delay_told.is_none()) {
                by(since + DELAY);
            }
            if self.op.is_some() || !device.connected || !device.codes.writes() {
                continue;
            }
            if let Some((urgency, _)) = entry.next(device.codes.confirmation(), wall, now) {
                let pace = self.asked_at.map(|at| at + PACE);
                let checks = self.checks_wait.filter(|_| urgency == 3);
                let waits = [entry.soft.retry_at, self.paused_until, pace, checks];
                let last = waits.into_iter().flatten().max();
                // What could be asked and was not waits for something else to happen; and that is looked for, too.
                by(last.filter(|at| *at > now).unwrap_or(now + LOOK));
            } else if entry.is_comparable(&slots) {
                by(self.compare_at(code, now, wall));
            }
        }
        match at {
            Some(at) => teller.wake(device, Concern::Codes, at),
            None => teller.cancel(device, Concern::Codes),
        }
    }

    fn compare_at(&self, code: &Code, now: Mono, wall: Wall) -> Mono {
        let age = wall.0.saturating_sub(code.compared_at.unwrap_or(wall).0).max(0) as u64;
        now + COMPARED.saturating_sub(Duration::from_millis(age))
    }

    /// What is known and was not looked at for a day is read again; not where that tells nothing.
    pub fn compare(&mut self, device: &Device, teller: &Teller<'_>) {
        if device.codes.confirmation() == Confirmation::Unverified {
            return;
        }
        let wall = teller.now.wall;
        let old = |at: Wall| wall.0.saturating_sub(at.0) >= COMPARED.as_millis() as i64;
        let slots = device.codes.slots(&device.description);
        for entry in self.entries.values_mut().filter(|e| e.is_comparable(&slots)) {
            entry.soft.check |= entry.code.compared_at.is_none_or(old);
        }
    }
}

impl Entry {
    /// What is set, and what somebody else has in a slot that may be read.
    fn is_comparable(&self, slots: &RangeInclusive<u16>) -> bool {
        if self.code.managed { self.code.is_set() } else { self.code.slot.is_some_and(|slot| slots.contains(&slot)) }
    }

    fn is_settled(&mut self) {
        if !self.code.left_alone {
            self.code.problem = None;
        }
        (self.code.episode.delay_told, self.code.episode.failed_told) = (None, false);
        self.soft.failures.reset();
        (self.soft.since, self.soft.retry_at) = (None, None);
    }

    /// It did not work: once more after a while, and told when that does not help either.
    pub fn fail(&mut self, why: Why, dice: u128, device: &Device, teller: &mut Teller<'_>) {
        self.soft.retry_at = Some(teller.now.mono + self.soft.failures.pause(dice as u64));
        let at_once = matches!(why, Why::Duplicate | Why::Conflict);
        self.complain(why, at_once || self.soft.failures.failures() >= FAILURES, device, teller);
    }

    /// Something keeps it from being as it is wanted; told once where it is serious.
    fn complain(&mut self, why: Why, serious: bool, device: &Device, teller: &mut Teller<'_>) {
        let before = self.code.problem.filter(|p| p.why == why);
        self.code.problem = Some(before.unwrap_or(Problem { why, since: teller.now.wall }));
        if serious && !self.code.episode.failed_told {
            self.code.episode.failed_told = true;
            let told = match self.code.episode.wants {
                true => EventType::AccessCodeFailedToSetOnDevice,
                false => EventType::AccessCodeFailedToRemoveFromDevice,
            };
            self.tell(told, device, teller, |_, _| {});
        }
    }

    /// The digits that are wanted are on the lock: told once for each.
    fn tell_set(&mut self, device: &Device, teller: &mut Teller<'_>) {
        let now = Held { digits: self.code.digits.clone() };
        if self.code.told.as_ref() == Some(&now) {
            return;
        }
        if let Some(before) = self.code.told.take() {
            self.tell_new_digits(before.digits, device, teller);
        }
        self.tell(EventType::AccessCodeSetOnDevice, device, teller, |d, code| d.code = code.digits.clone());
        self.code.told = Some(now);
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
