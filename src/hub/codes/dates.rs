//! What a lock's answers mean for the dates that it keeps, and for its clock.

use super::code::Why;
use super::delays::FAILURES;
use super::learn::FOUGHT;
use super::schedule::{self, Keeper, OnLock};
use super::table::{ClockSet, ECHO, Entry, Kind, Op, Table};
use crate::event::EventType;
use crate::hub::Device;
use crate::hub::tell::Teller;
use crate::signal::{LockTime, Schedule};

impl Table {
    /// The dates of a slot were written and read.
    pub fn dates_are(&mut self, schedule: Option<Schedule>, device: &mut Device, teller: &mut Teller<'_>) {
        let Some(op) = self.op.take() else { return };
        self.answered();
        if schedule != op.schedule {
            return self.keeps_no_dates(&op, Why::Ignored, device, teller);
        }
        if schedule.is_some() {
            self.untimely.reset();
            device.codes.untimely_until = None;
        }
        if let Some(entry) = self.entries.get_mut(&op.code) {
            entry.code.schedule = op.dates;
        }
    }

    /// They were only read: what the hub thinks to be there, or not.
    pub fn dates_found(&mut self, schedule: Option<Schedule>, device: &mut Device, teller: &mut Teller<'_>) {
        let Some(op) = self.op.take() else { return };
        if schedule.is_some() {
            self.answered();
        }
        let dice = self.draw(teller);
        let Some(entry) = self.entries.get_mut(&op.code) else { return };
        entry.soft.check_dates = false;
        if schedule == op.schedule {
            (entry.soft.without_dates, entry.soft.keeps_old_dates) = (0, false);
            entry.code.schedule = op.dates;
        } else if entry.soft.keeps_old_dates {
            entry.shows_no_dates(dice, device, teller);
        } else if schedule.is_none() && entry.soft.without_dates + 1 < FAILURES {
            // A driver says the same of a lock that did not answer.
            entry.soft.without_dates += 1;
            entry.soft.check_at = Some(teller.now.mono + ECHO);
        } else {
            entry.soft.without_dates = 0;
            entry.dates_drifted(device, teller);
        }
    }

    /// The lock's clock was set and looked at.
    pub fn clock_shows(&mut self, time: Option<LockTime>, device: &mut Device, teller: &mut Teller<'_>) {
        let Some(op) = self.op.take_if(|op| op.kind == Kind::Clock) else { return };
        let (now, wall) = (teller.now.mono, teller.now.wall);
        let place = device.place(teller.settings);
        if !op.misplaced && time.is_some_and(|time| schedule::is_right(time, wall, place)) {
            self.answered();
            self.untimely.reset();
            self.clock = Some(ClockSet { at: now, offset: schedule::offset(wall, place) });
        } else {
            self.keeps_no_dates(&op, Why::Ignored, device, teller);
        }
    }

    /// The lock did not take dates, or its clock is wrong. When that does not end, the hub keeps them.
    pub fn keeps_no_dates(&mut self, op: &Op, why: Why, device: &mut Device, teller: &mut Teller<'_>) {
        let dice = self.draw(teller);
        let Some(entry) = self.entries.get_mut(&op.code) else { return };
        match op.kind == Kind::Schedule && op.schedule.is_none() {
            // A slot without dates has none to erase; whether it is one is looked at.
            true if why == Why::Refused => entry.soft.keeps_old_dates = true,
            true => entry.fail(why, dice, device, teller),
            false => {
                let until = teller.now.mono + self.untimely.pause(dice as u64);
                entry.soft.retry_at = Some(until);
                if op.kind == Kind::Clock {
                    self.clock_rests_until = Some(until);
                }
                if self.untimely.failures() >= FAILURES {
                    self.untimely.reset();
                    device.codes.is_untimely(teller.now.wall);
                    entry.soft.retry_at = None;
                }
            }
        }
    }
}

impl Entry {
    /// It lets nobody see what dates it keeps; or there are some that it does not let go of.
    pub fn shows_no_dates(&mut self, dice: u128, device: &Device, teller: &mut Teller<'_>) {
        self.soft.check_dates = false;
        if std::mem::take(&mut self.soft.keeps_old_dates) {
            self.fail(Why::Refused, dice, device, teller);
        }
    }

    /// The lock, or somebody else, changed or dropped the dates. Unlike digits they are never left to others: a code that opens too
    /// long is worse than a quarrel. When it happens again, the hub keeps them.
    fn dates_drifted(&mut self, device: &mut Device, teller: &mut Teller<'_>) {
        self.code.schedule = OnLock::Unknown;
        self.code.overwritten = self.code.overwritten.saturating_add(1);
        self.tell(EventType::AccessCodeModifiedExternalToSeam, device, teller, |_, _| {});
        if self.code.keeper == Keeper::Lock && self.code.overwritten >= FOUGHT {
            device.codes.is_untimely(teller.now.wall);
        } else {
            // That it is put right will be told.
            (self.code.told, self.code.told_ahead) = (None, None);
        }
    }
}
