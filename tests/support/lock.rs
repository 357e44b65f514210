//! A lock as it is behind its radio: a table of codes, and ways to misbehave.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use portcullis::hub::Action;
use portcullis::signal::{CodeNotice, Outcome, Schedule, Secret};

/// What becomes of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Obedient,
    /// Says yes, and does nothing.
    Ignoring,
    /// Says no.
    Refusing,
    /// Does it, and is never heard of again.
    DyingAfter,
    /// Does nothing, and is never heard of again.
    DyingBefore,
    /// The driver gives it up after a while; the lock may have done it.
    Unreachable,
    /// Says everything twice, and by notifications too.
    Doubling,
    /// The link to the driver is lost.
    LinkLost,
    /// Keeps other digits than it was given.
    Garbling,
}

#[derive(Debug, Default)]
pub struct Lock {
    pub table: BTreeMap<u16, String>,
    /// The dates that it keeps for slots.
    pub dates: BTreeMap<u16, Schedule>,
    /// Minutes that its clock is wrong, however often it is set.
    pub clock_off: i64,
    /// Minutes that it was told to be ahead of UTC, in standard and in summer time; nothing where it cannot say.
    pub place: Option<(i16, i16)>,
    /// Answers `****`.
    pub hides: bool,
    /// It is not there: nothing is done, nothing is answered.
    pub away: bool,
    /// Slots that were written or emptied, and what was in them before.
    pub touched: Vec<(u16, Option<String>)>,
    pub commands: usize,
}

impl Lock {
    /// Does what it is told, as far as its mood lets it, and what is then heard of it.
    pub fn act(&mut self, action: &Action, mood: Mood) -> Vec<CodeNotice> {
        self.commands += 1;
        let (slot, digits) = match action {
            Action::SetCode { slot, digits, .. } => (*slot, Some(Some(digits.reveal().to_owned()))),
            Action::ClearCode { slot, .. } => (*slot, Some(None)),
            Action::ReadCode { slot, .. } => (*slot, None),
            Action::SetSchedule { slot, schedule, .. } => return self.keep(*slot, *schedule, mood),
            _ => return Vec::new(),
        };
        let gave_up = |reason| vec![CodeNotice::Refused { slot, reason }];
        match mood {
            _ if self.away => return gave_up(Outcome::Unreachable),
            Mood::DyingBefore => return Vec::new(),
            Mood::Unreachable => return gave_up(Outcome::Unreachable),
            Mood::LinkLost => return gave_up(Outcome::LinkDown),
            Mood::Refusing => return gave_up(Outcome::Refused),
            _ => {}
        }
        let Some(digits) = digits else {
            return if mood == Mood::DyingAfter { Vec::new() } else { self.read(slot, mood) };
        };
        if digits.is_some() && self.table.iter().any(|(s, d)| *s != slot && Some(d) == digits.as_ref()) {
            return gave_up(Outcome::Duplicate);
        }
        if mood != Mood::Ignoring {
            self.touched.push((slot, self.table.get(&slot).cloned()));
            match digits.clone() {
                Some(digits) if mood == Mood::Garbling => drop(self.table.insert(slot, format!("{digits}9"))),
                Some(digits) => drop(self.table.insert(slot, digits)),
                None => drop(self.table.remove(&slot)),
            }
        }
        let mut said = vec![CodeNotice::Accepted { slot }];
        match mood {
            Mood::DyingAfter => return Vec::new(),
            Mood::Doubling => {
                let notice = if digits.is_some() { CodeNotice::Added { slot } } else { CodeNotice::Deleted { slot } };
                said.extend([notice.clone(), notice.clone(), CodeNotice::Accepted { slot }]);
                said.extend(self.read(slot, mood));
                said.push(notice);
            }
            _ => said.extend(self.read(slot, mood)),
        }
        said
    }

    /// Takes dates, as far as its mood lets it.
    fn keep(&mut self, slot: u16, schedule: Option<Schedule>, mood: Mood) -> Vec<CodeNotice> {
        let gave_up = |reason| vec![CodeNotice::Refused { slot, reason }];
        match mood {
            _ if self.away => return gave_up(Outcome::Unreachable),
            Mood::DyingBefore => return Vec::new(),
            Mood::Unreachable => return gave_up(Outcome::Unreachable),
            Mood::LinkLost => return gave_up(Outcome::LinkDown),
            Mood::Refusing => return gave_up(Outcome::Refused),
            Mood::Ignoring => {}
            _ => match schedule {
                Some(schedule) => drop(self.dates.insert(slot, schedule)),
                None => drop(self.dates.remove(&slot)),
            },
        }
        let kept = CodeNotice::Schedule { slot, schedule: self.dates.get(&slot).copied() };
        match mood {
            Mood::DyingAfter => Vec::new(),
            Mood::Doubling => vec![kept.clone(), kept],
            _ => vec![kept],
        }
    }

    /// Whether these digits open it when its clock shows this.
    pub fn opens(&self, digits: &str, at: NaiveDateTime) -> bool {
        let open = |slot: &u16| self.dates.get(slot).is_none_or(|dates| dates.from <= at && at < dates.until);
        self.table.iter().any(|(slot, held)| held == digits && open(slot))
    }

    fn read(&self, slot: u16, mood: Mood) -> Vec<CodeNotice> {
        let notice = match self.table.get(&slot) {
            None => CodeNotice::Slot { slot, digits: None },
            Some(_) if self.hides => CodeNotice::Hidden { slot },
            Some(digits) => CodeNotice::Slot { slot, digits: Some(Secret::new(digits.clone())) },
        };
        let times = if mood == Mood::Doubling { 2 } else { 1 };
        vec![notice; times]
    }
}
