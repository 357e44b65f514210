//! What of a lock's codes is stored, and when they are looked at again.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Confirmation;
use super::ask::PACE;
use super::code::Code;
use super::delays::DELAY;
use super::schedule::Keeper;
use super::table::{Entry, Table};
use crate::hub::tell::Teller;
use crate::hub::timers::Concern;
use crate::hub::{Device, RowKind, view};
use crate::time::{Mono, Wall};

/// What is set is read again so often, where nothing else gives reason to.
const COMPARED: Duration = Duration::from_secs(24 * 3600);

/// The wall clock is looked at so often while a code waits for a date: it may be set.
const LOOK: Duration = Duration::from_secs(60);

impl Table {
    /// Writes what differs from what is on disk.
    pub fn store(&mut self, device: &Device, teller: &mut Teller<'_>) {
        let spare = self.spare().is_some();
        for (id, entry) in &mut self.entries {
            entry.code.device_id = device.device_id;
            let status = entry.code.status(teller.date());
            let new = (&entry.code, spare && entry.code.uses_pool, status);
            if entry.stored.as_ref().is_some_and(|(code, spare, status)| (code, *spare, status.as_str()) == new) {
                continue;
            }
            let view = entry.code.view(teller.settings.workspace_id, spare, teller.date());
            teller.row(RowKind::Code, id.to_string(), view::row(&view, &entry.code));
            entry.stored = Some((entry.code.clone(), spare && entry.code.uses_pool, status.to_owned()));
        }
    }

    /// Comes back when something may have to be done.
    pub fn arm(&self, device: &Device, teller: &mut Teller<'_>) {
        let (now, wall) = (teller.now.mono, teller.now.wall);
        let slots = device.codes.slots(&device.description);
        let mut at = self.op.as_ref().map(|op| op.until);
        let mut by = |when: Mono| at = Some(at.map_or(when, |at| at.min(when)));
        let dated = |date: Wall| {
            let left = Duration::from_millis(date.0.saturating_sub(wall.0).max(0) as u64);
            now + left.min(LOOK)
        };
        let moment = self.moment(device, teller);
        for entry in self.entries.values() {
            let code = &entry.code;
            let begins = code.frame().map(|frame| frame.from);
            let dates = [code.due_at(), code.starts_at, begins, code.ends_at].into_iter().flatten();
            dates.filter(|date| *date > wall).for_each(|date| by(dated(date)));
            entry.soft.check_at.into_iter().for_each(&mut by);
            if code.managed && code.has_ended(teller.date()) || code.waits_for_clock(teller.date()) {
                by(now + LOOK);
            }
            if let Some(since) = entry.soft.since.filter(|_| code.episode.delay_told.is_none()) {
                by(since + DELAY);
            }
            if self.op.is_some() || !device.connected || !device.codes.writes() {
                continue;
            }
            if let Some((urgency, _)) = entry.next(&moment) {
                let pace = self.asked_at.map(|at| at + PACE);
                let checks = self.checks_wait.filter(|_| urgency == 3);
                let waits = [entry.soft.retry_at, self.paused_until, pace, checks];
                let last = waits.into_iter().flatten().max();
                // What could be asked and was not waits for something else to happen; and that is looked for, too.
                by(last.filter(|at| *at > now).unwrap_or(now + LOOK));
            } else if entry.is_comparable(&slots) {
                by(self.compare_at(code, now, wall));
                let by_lock = code.keeper == Keeper::Lock && device.codes.lock_keeps_dates(wall);
                self.clock_due().filter(|_| by_lock).into_iter().for_each(&mut by);
            }
        }
        match at {
            // All that is due by now was done, or waits for something that will not have happened this instant.
            Some(at) => teller.wake(device, Concern::Codes, at.max(now + PACE)),
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
}
