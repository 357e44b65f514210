//! What a lock's answers and notices mean for its codes.

use super::code::{Code, Reported, Why};
use super::schedule::{self, Keeper, OnLock};
use super::table::{ECHO, Kind, Op, Table};
use super::{Confirmation, Content};
use crate::event::EventType;
use crate::hub::Device;
use crate::hub::tell::Teller;
use crate::signal::{CodeNotice, Outcome, Secret};

/// Somebody else changed or erased a code so often: after that it is left alone.
pub const FOUGHT: u8 = 2;

/// What is to be done about what was found in a slot.
enum Found {
    /// It is ours, and as it should be.
    Right,
    /// The lock did not do what it was asked.
    Wrong(Why),
    /// It is not ours, and never was.
    Foreign,
    /// It was ours, and somebody changed it.
    Modified,
    /// It was ours, and somebody erased it.
    Erased,
}

impl Table {
    /// A notice of the lock, or the answer to what it was asked.
    pub fn heard(&mut self, notice: &CodeNotice, device: &mut Device, teller: &mut Teller<'_>) {
        match notice {
            CodeNotice::Clock(time) => return self.clock_shows(*time, device, teller),
            CodeNotice::Place { standard, summer } => {
                let ahead = schedule::offset(teller.now.wall, device.place(teller.settings)) / 60;
                if let Some(op) = self.op.as_mut().filter(|op| op.kind == Kind::Clock) {
                    op.misplaced = ![*standard, *summer].map(i32::from).contains(&ahead);
                }
                return;
            }
            _ => {}
        }
        let Some(op) = self.op.as_mut().filter(|op| Some(op.slot) == slot_of(notice)) else {
            return self.told_by_lock(notice, device, teller);
        };
        match (notice, op.kind) {
            (CodeNotice::Accepted { .. }, _)
            | (CodeNotice::Added { .. }, Kind::Write)
            | (CodeNotice::Deleted { .. }, Kind::Clear) => op.accepted = true,
            (CodeNotice::Duplicate { .. }, Kind::Write) => op.duplicate = true,
            (CodeNotice::Refused { reason, .. }, _) => {
                let reason = if op.duplicate { Outcome::Duplicate } else { *reason };
                self.refused(reason, device, teller);
            }
            (CodeNotice::Schedule { schedule, .. }, Kind::Schedule) => self.dates_are(*schedule, device, teller),
            (CodeNotice::Schedule { schedule, .. }, Kind::Dates) => self.dates_found(*schedule, device, teller),
            // Of what is written only the reading after it counts.
            (CodeNotice::Slot { .. } | CodeNotice::Hidden { .. }, kind) if kind == Kind::Read || op.accepted => {
                self.read(&Content::of(notice), device, teller);
            }
            _ => self.told_by_lock(notice, device, teller),
        }
    }

    /// Nothing came back.
    pub fn unanswered(&mut self, device: &mut Device, teller: &mut Teller<'_>) {
        self.refused(Outcome::Unreachable, device, teller);
    }

    /// What the lock was asked came to nothing, as far as anybody knows.
    fn refused(&mut self, reason: Outcome, device: &mut Device, teller: &mut Teller<'_>) {
        let Some(op) = self.op.take() else { return };
        let confirmation = device.codes.confirmation();
        // It took what was written, and cannot be read: that is its confirmation.
        if op.accepted && confirmation != Confirmation::ReadBack {
            let content = if op.kind == Kind::Clear { Content::Empty } else { Content::Hidden };
            self.op = Some(op);
            return self.read(&content, device, teller);
        }
        if matches!(reason, Outcome::Unreachable | Outcome::Busy | Outcome::LinkDown) {
            self.rest(teller);
        }
        let dice = self.draw(teller);
        let Some(entry) = self.entries.get_mut(&op.code) else { return };
        entry.soft.read_at = None;
        let unread = op.kind == Kind::Read && reason == Outcome::Refused;
        match reason {
            Outcome::LinkDown => {}
            Outcome::Refused if matches!(op.kind, Kind::Schedule | Kind::Clock) => {
                self.keeps_no_dates(&op, Why::Refused, device, teller);
            }
            Outcome::Refused if op.kind == Kind::Dates => entry.shows_no_dates(dice, device, teller),
            _ if !entry.code.managed => self.cannot_convert(op.code, Why::Unreachable, device, teller),
            Outcome::Refused if unread && confirmation != Confirmation::ReadBack => {
                entry.soft.read_at = Some(teller.now.mono);
                entry.soft.check = false;
                if entry.code.reported == Reported::Unknown {
                    let ours = entry.code.may_be_on_lock();
                    entry.code.reported = if ours { Reported::Full } else { Reported::Empty };
                }
            }
            Outcome::Refused if unread && !entry.code.may_be_on_lock() => {
                entry.code.lose_slot();
                entry.fail(Why::Refused, dice, device, teller);
                self.missing.insert(op.slot);
            }
            Outcome::Refused => entry.fail(Why::Refused, dice, device, teller),
            Outcome::Duplicate => entry.fail(Why::Duplicate, dice, device, teller),
            Outcome::Unreachable | Outcome::Busy => entry.fail(Why::Unreachable, dice, device, teller),
        }
    }

    /// The slot that the lock was asked for was read.
    fn read(&mut self, content: &Content, device: &mut Device, teller: &mut Teller<'_>) {
        let Some(op) = self.op.take() else { return };
        self.answered();
        if *content == Content::Hidden {
            device.codes.hides();
        }
        let dice = self.draw(teller);
        let now = teller.now;
        let Some(entry) = self.entries.get_mut(&op.code) else { return };
        entry.soft.read_at = Some(now.mono);
        entry.soft.check = false;
        if op.kind != Kind::Read {
            entry.soft.echo_until = Some(now.mono + ECHO);
        }
        // It may have forgotten the dates of a slot that was written: they are not believed to be there any more.
        if op.kind == Kind::Clear || op.kind == Kind::Write && entry.code.keeper == Keeper::Lock {
            entry.code.schedule = OnLock::Unknown;
        }
        if !entry.code.managed {
            entry.code.compared_at = Some(now.wall);
            return self.found_there(op.slot, content, device, teller);
        }
        let found = judge(&mut entry.code, content, &op, device.codes.confirmation(), teller);
        match found {
            // Whoever looks at a code looks at its dates, too.
            Found::Right => {
                let compared = op.kind == Kind::Read && entry.code.is_set();
                entry.soft.check_dates |= compared && entry.code.schedule_aim().is_some();
            }
            Found::Wrong(why) => entry.fail(why, dice, device, teller),
            Found::Foreign => self.belongs_to_another(op.slot, content, device, teller),
            Found::Modified => self.modified(op.slot, content, device, teller),
            Found::Erased => self.erased(op.slot, device, teller),
        }
    }

    /// The lock says something by itself.
    fn told_by_lock(&mut self, notice: &CodeNotice, device: &mut Device, teller: &mut Teller<'_>) {
        let now = teller.now.mono;
        match notice {
            CodeNotice::AllDeleted => {
                let slots: Vec<u16> = self.entries.values().filter_map(|e| e.code.slot).collect();
                for slot in slots {
                    self.told_by_lock(&CodeNotice::Deleted { slot }, device, teller);
                }
            }
            CodeNotice::Added { slot } | CodeNotice::Deleted { slot } => {
                let added = matches!(notice, CodeNotice::Added { .. });
                match self.at(*slot) {
                    Some(entry) if entry.code.managed => {
                        // What was just written, or somebody at the keypad: then, and once, it is read.
                        match entry.soft.echo_until.filter(|until| now <= *until) {
                            Some(until) => entry.soft.check_at = Some(until),
                            None => (entry.soft.check, entry.soft.read_at) = (true, None),
                        }
                    }
                    _ => {
                        let content = if added { Content::Unread } else { Content::Empty };
                        self.found_there(*slot, &content, device, teller);
                    }
                }
            }
            CodeNotice::Slot { slot, .. } | CodeNotice::Hidden { slot } => {
                let content = Content::of(notice);
                match self.at(*slot) {
                    Some(entry) if entry.code.managed => {
                        let known = match (&content, entry.code.reported) {
                            (Content::Empty, Reported::Empty) => true,
                            (Content::Digits(digits), Reported::Set) => entry.code.wrote(digits),
                            (Content::Hidden, Reported::Set | Reported::Full) => true,
                            _ => false,
                        };
                        entry.soft.check |= !known;
                    }
                    _ => self.found_there(*slot, &content, device, teller),
                }
            }
            CodeNotice::Accepted { .. }
            | CodeNotice::Refused { .. }
            | CodeNotice::Duplicate { .. }
            | CodeNotice::Schedule { .. }
            | CodeNotice::Place { .. }
            | CodeNotice::Clock(_)
            | CodeNotice::Typed { .. } => {}
        }
    }

    fn modified(&mut self, slot: u16, content: &Content, device: &mut Device, teller: &mut Teller<'_>) {
        let dice = self.draw(teller);
        let Some(entry) = self.at(slot) else { return };
        let before = entry.code.told.take().and_then(|told| told.digits);
        entry.code.overwritten = entry.code.overwritten.saturating_add(1);
        entry.tell(EventType::AccessCodeModifiedExternalToSeam, device, teller, |_, _| {});
        if let (true, Content::Digits(digits)) = (entry.code.allows_external, content) {
            entry.code.digits = Some(digits.clone());
            entry.code.confirm(Some(digits.clone()), teller.now.wall);
            entry.tell_new_digits(before, device, teller);
            entry.code.told.clone_from(&entry.code.held);
        } else if entry.code.overwritten >= FOUGHT {
            entry.leave_alone(dice, device, teller);
            self.found_there(slot, content, device, teller);
        } else {
            entry.code.overwrite(content);
        }
    }

    fn erased(&mut self, slot: u16, device: &mut Device, teller: &mut Teller<'_>) {
        let dice = self.draw(teller);
        let Some(entry) = self.at(slot) else { return };
        (entry.code.told, entry.code.told_ahead, entry.code.schedule) = (None, None, OnLock::Unknown);
        entry.code.overwritten = entry.code.overwritten.saturating_add(1);
        entry.tell(EventType::AccessCodeDeletedExternalToSeam, device, teller, |_, _| {});
        if entry.code.allows_external {
            entry.code.deleting = true;
        } else if entry.code.overwritten >= FOUGHT {
            entry.leave_alone(dice, device, teller);
        }
    }

    /// What is in a code's slot is somebody else's: the code goes elsewhere.
    fn belongs_to_another(&mut self, slot: u16, content: &Content, device: &mut Device, teller: &mut Teller<'_>) {
        let Some(entry) = self.at(slot) else { return };
        if entry.code.told.is_some() {
            entry.tell(EventType::AccessCodeRemovedFromDevice, device, teller, |_, _| {});
        }
        entry.code.lose_slot();
        self.found_there(slot, content, device, teller);
    }
}

impl super::table::Entry {
    fn leave_alone(&mut self, dice: u128, device: &Device, teller: &mut Teller<'_>) {
        self.code.lose_slot();
        self.fail(Why::Conflict, dice, device, teller);
        self.code.left_alone = true;
    }
}

impl Code {
    /// Somebody changed it once: it is written over, and what they wrote is known.
    fn overwrite(&mut self, content: &Content) {
        if let Content::Digits(digits) = content {
            self.tried.push(super::code::Held { digits: Some(digits.clone()) });
        }
        (self.reported, self.held, self.schedule) = (Reported::Full, None, OnLock::Unknown);
    }
}

/// What the content of a code's slot means, after it was asked for or written.
fn judge(code: &mut Code, content: &Content, op: &Op, confirmation: Confirmation, teller: &Teller<'_>) -> Found {
    let (wanted, now) = (code.is_wanted(teller.date()), teller.now.wall);
    let was_set = code.reported == Reported::Set;
    let ours = code.may_be_on_lock();
    if confirmation == Confirmation::Unverified && op.kind != Kind::Read {
        match op.kind {
            Kind::Clear => code.is_empty(),
            _ => code.confirm(op.digits.clone(), now),
        }
        return Found::Right;
    }
    match (content, op.kind) {
        (Content::Empty, kind) => {
            code.is_empty();
            match kind {
                Kind::Write => Found::Wrong(Why::Ignored),
                Kind::Read if was_set && wanted => Found::Erased,
                _ => Found::Right,
            }
        }
        (Content::Digits(digits), kind) if code.wrote(digits) => {
            code.confirm(Some(digits.clone()), now);
            match kind {
                Kind::Write if op.digits.as_ref() != Some(digits) => Found::Wrong(Why::Ignored),
                Kind::Clear => Found::Wrong(Why::Ignored),
                _ => Found::Right,
            }
        }
        // The lock made something else of what it took.
        (Content::Digits(digits), Kind::Write) => {
            code.took(digits);
            Found::Wrong(Why::Ignored)
        }
        (Content::Digits(_), Kind::Read) if was_set && wanted => Found::Modified,
        (Content::Digits(_), _) => Found::Foreign,
        (Content::Hidden | Content::Unread, Kind::Write) => {
            code.confirm(op.digits.clone(), now);
            Found::Right
        }
        (Content::Hidden | Content::Unread, Kind::Clear) => {
            code.reported = Reported::Full;
            Found::Wrong(Why::Ignored)
        }
        (Content::Hidden | Content::Unread, _) if ours => {
            if was_set {
                code.compared_at = Some(now);
            } else {
                code.reported = Reported::Full;
            }
            Found::Right
        }
        (Content::Hidden | Content::Unread, _) => Found::Foreign,
    }
}

impl Code {
    fn is_empty(&mut self) {
        (self.reported, self.held) = (Reported::Empty, None);
    }

    fn took(&mut self, digits: &Secret) {
        self.tried.push(super::code::Held { digits: Some(digits.clone()) });
        (self.reported, self.held) = (Reported::Full, None);
    }
}

fn slot_of(notice: &CodeNotice) -> Option<u16> {
    match notice {
        CodeNotice::Added { slot }
        | CodeNotice::Deleted { slot }
        | CodeNotice::Duplicate { slot }
        | CodeNotice::Slot { slot, .. }
        | CodeNotice::Hidden { slot }
        | CodeNotice::Accepted { slot }
        | CodeNotice::Schedule { slot, .. }
        | CodeNotice::Refused { slot, .. } => Some(*slot),
        CodeNotice::AllDeleted | CodeNotice::Place { .. } | CodeNotice::Clock(_) | CodeNotice::Typed { .. } => None,
    }
}
