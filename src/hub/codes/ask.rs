//! What a lock is asked next: one thing at a time, with a breath between them, what is most urgent first.

use std::time::Duration;

use uuid::Uuid;

use super::Confirmation;
use super::code::{Code, Date, Reported, Why};
use super::schedule::{self, Keeper, OnLock};
use super::table::{Entry, Kind, Op, Table};
use crate::hub::tell::Teller;
use crate::hub::{Action, Device};
use crate::time::{Mono, Wall};

/// What a lock is asked comes back by now: a driver gives a command up after 30 s, a task has three, and other locks may be before it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(180);

/// Between two things that one lock is asked: its battery and the radio are not ours alone.
pub const PACE: Duration = Duration::from_millis(250);

/// A slot that was read so recently need not be read again before it is written.
const FRESH: Duration = Duration::from_secs(5);

/// A lock's clock is set again so often: one that runs a minute a week wrong keeps to the minute.
const CLOCK_SET: Duration = Duration::from_secs(12 * 3600);

/// What the next question depends on, beside the code.
pub struct Moment {
    confirmation: Confirmation,
    date: Date,
    now: Mono,
    /// The lock's clock is to be set before dates are written, or because it was set long ago or to another time of the year.
    clock_is_old: bool,
    /// It was just set, and was wrong all the same.
    clock_rests: bool,
}

impl Entry {
    /// What the lock should be asked next, and how urgent that is: what must go, what must come, what is to be looked at.
    /// Where digits are not shown, others are written into an empty slot only: that it is in use again is all that will be seen.
    pub fn next(&self, at: &Moment) -> Option<(u8, Kind)> {
        let (code, confirmation) = (&self.code, at.confirmation);
        code.slot?;
        if !code.managed {
            return (code.converting || self.soft.check).then_some((if code.converting { 2 } else { 3 }, Kind::Read));
        }
        let wanted = code.is_wanted(at.date);
        let by_lock = code.keeper == Keeper::Lock;
        let (urgency, aim) = match (wanted, code.reported) {
            (true, _) if code.is_set() && by_lock && at.clock_is_old && !at.clock_rests => {
                return Some((3, Kind::Clock));
            }
            (true, _) if code.is_set() && self.soft.check => return Some((3, Kind::Read)),
            (true, _) if code.is_set() => return self.soft.check_dates.then_some((3, Kind::Dates)),
            // Dates first: a code must not open before its time, however short.
            (true, _) if code.lacks_schedule() && by_lock && at.clock_is_old => return Some((1, Kind::Clock)),
            (true, _) if code.lacks_schedule() && self.soft.keeps_old_dates => return Some((1, Kind::Dates)),
            (true, _) if code.lacks_schedule() => (1, Kind::Schedule),
            (true, Reported::Set | Reported::Full) if confirmation == Confirmation::Accepted => (1, Kind::Clear),
            (true, _) => (1, Kind::Write),
            (false, Reported::Empty) => return None,
            (false, _) => (0, Kind::Clear),
        };
        let fresh =
            code.reported != Reported::Unknown && self.soft.read_at.is_some_and(|read| at.now.since(read) <= FRESH);
        Some((urgency, if fresh { aim } else { Kind::Read }))
    }
}

impl Table {
    pub fn moment(&self, device: &Device, teller: &Teller<'_>) -> Moment {
        let (now, wall) = (teller.now.mono, teller.now.wall);
        let offset = schedule::offset(wall, device.place(teller.settings));
        let is_new = self.clock.is_some_and(|set| now.since(set.at) < CLOCK_SET && set.offset == offset);
        let clock_is_old = !is_new && device.codes.lock_keeps_dates(wall);
        let clock_rests = self.clock_rests_until.is_some_and(|until| now < until);
        Moment { confirmation: device.codes.confirmation(), date: teller.date(), now, clock_is_old, clock_rests }
    }

    /// When the lock's clock is to be set again.
    pub fn clock_due(&self) -> Option<Mono> {
        self.clock.map(|set| set.at + CLOCK_SET).max(self.clock_rests_until)
    }

    /// Asks the lock for what is most urgent, where it can be asked.
    pub fn ask(&mut self, device: &mut Device, teller: &mut Teller<'_>) {
        let (now, wall) = (teller.now.mono, teller.now.wall);
        self.checks_wait = None;
        let ready = device.connected && device.managed && device.codes.writes();
        let resting =
            self.paused_until.is_some_and(|until| now < until) || self.asked_at.is_some_and(|at| now.since(at) < PACE);
        if !ready || self.op.is_some() || resting {
            return;
        }
        let slots = device.codes.slots(&device.description);
        let at = self.moment(device, teller);
        let mut best: Option<(u8, Wall, Uuid, Kind)> = None;
        let mut duplicates = Vec::new();
        for (id, entry) in &self.entries {
            let code = &entry.code;
            let waits = entry.soft.retry_at.is_some_and(|at| now < at) || code.waits_for_clock(at.date);
            if waits || code.slot.is_none_or(|slot| !slots.contains(&slot)) {
                continue;
            }
            let Some((urgency, kind)) = entry.next(&at) else { continue };
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
        let aim = entry.code.schedule_aim().unwrap_or_default();
        let place = device.place(teller.settings);
        let op = Op {
            code: id,
            slot,
            kind,
            digits: digits.clone(),
            schedule: if let OnLock::Frame(frame) = aim { frame.on_clock(place) } else { None },
            dates: aim,
            accepted: false,
            duplicate: false,
            misplaced: false,
            until: now + ANSWERED_WITHIN,
        };
        let action = match (kind, digits.clone()) {
            (Kind::Write, Some(digits)) => {
                entry.code.try_to_write(wall);
                Action::SetCode { device: key, slot, digits }
            }
            (Kind::Clear, _) => Action::ClearCode { device: key, slot },
            (Kind::Clock, _) => Action::SetClock { device: key, slot },
            (Kind::Schedule, _) => {
                entry.code.schedule = OnLock::Unknown;
                Action::SetSchedule { device: key, slot, schedule: op.schedule }
            }
            (Kind::Dates, _) => Action::ReadSchedule { device: key, slot },
            (Kind::Read | Kind::Write, _) => Action::ReadCode { device: key, slot },
        };
        // Until it answers nobody knows.
        if matches!(kind, Kind::Write | Kind::Clear) {
            entry.code.reported = Reported::Unknown;
        }
        teller.act(action);
        self.asked_at = Some(now);
        self.op = Some(op);
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

    /// It came back from where nobody could reach it.
    pub fn is_back(&mut self) {
        self.answered();
        let unreached = |e: &&mut Entry| e.code.problem.is_some_and(|p| p.why == Why::Unreachable);
        self.entries.values_mut().filter(unreached).for_each(|entry| entry.soft.retry_at = None);
    }

    /// It does not: everything that it is to be asked waits.
    pub fn rest(&mut self, teller: &Teller<'_>) {
        let dice = self.draw(teller) as u64;
        self.paused_until = Some(teller.now.mono + self.pause.pause(dice));
    }
}
