//! A lock as it is behind its radio: a table of codes, and ways to misbehave.

use std::collections::BTreeMap;

use portcullis::hub::Action;
use portcullis::signal::{CodeNotice, DeviceKey, LockTime, Outcome, Schedule, Secret, Signal};
use portcullis::time::Wall;

use super::hub::Rig;

/// By whose clocks the locks are that can keep dates.
pub const PLACE: chrono_tz::Tz = chrono_tz::Europe::Vienna;

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

/// All of them; half of the time they do as they are told.
pub const MOODS: [Mood; 12] = [
    Mood::Obedient,
    Mood::Obedient,
    Mood::Obedient,
    Mood::Ignoring,
    Mood::Refusing,
    Mood::DyingAfter,
    Mood::DyingBefore,
    Mood::Unreachable,
    Mood::Doubling,
    Mood::Doubling,
    Mood::LinkLost,
    Mood::Garbling,
];

/// The lock whose codes this is about.
pub fn asked(action: &Action) -> Option<DeviceKey> {
    match action {
        Action::SetCode { device, .. }
        | Action::ClearCode { device, .. }
        | Action::ReadCode { device, .. }
        | Action::SetSchedule { device, .. }
        | Action::ReadSchedule { device, .. }
        | Action::SetClock { device, .. } => Some(*device),
        _ => None,
    }
}

#[derive(Debug, Default)]
pub struct Lock {
    pub table: BTreeMap<u16, String>,
    /// The dates that it keeps for slots.
    pub dates: BTreeMap<u16, Schedule>,
    /// So many answers about dates do not arrive.
    pub lost_answers: u32,
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
    /// Does what it is told, by its mood of this moment if it is to write; a little later the hub hears what it says.
    pub fn obey(&mut self, rig: &mut Rig, action: &Action, moods: &mut Vec<Mood>) {
        let Some(device) = asked(action) else { return };
        let writes = matches!(action, Action::SetCode { .. } | Action::ClearCode { .. } | Action::SetSchedule { .. });
        let mood = if writes && !moods.is_empty() { moods.remove(0) } else { Mood::Obedient };
        let said = match action {
            Action::SetClock { .. } => self.set_clock(rig.wall()),
            _ => self.act(action, mood),
        };
        rig.wait(0.2);
        for notice in said {
            rig.hear(device, [Signal::Code(notice)]);
        }
    }

    /// It shows what the wall clock does, in UTC, where it is not wrong.
    fn set_clock(&self, wall: Wall) -> Vec<CodeNotice> {
        let minutes = wall.0.div_euclid(60_000) + self.clock_off;
        let shows = LockTime { minute_of_day: minutes.rem_euclid(24 * 60) as u16, utc: true };
        let place = self.place.map(|(standard, summer)| CodeNotice::Place { standard, summer });
        place.into_iter().chain([CodeNotice::Clock((!self.away).then_some(shows))]).collect()
    }

    /// Does what it is told, as far as its mood lets it, and what is then heard of it.
    pub fn act(&mut self, action: &Action, mood: Mood) -> Vec<CodeNotice> {
        self.commands += 1;
        let (slot, digits) = match action {
            Action::SetCode { slot, digits, .. } => (*slot, Some(Some(digits.reveal().to_owned()))),
            Action::ClearCode { slot, .. } => (*slot, Some(None)),
            Action::ReadCode { slot, .. } => (*slot, None),
            Action::SetSchedule { slot, schedule, .. } => return self.keep(*slot, *schedule, mood),
            // A driver says the same of a lock that is not there.
            Action::ReadSchedule { slot, .. } => {
                let lost = self.away || self.lost_answers > 0;
                self.lost_answers = self.lost_answers.saturating_sub(1);
                let schedule = self.dates.get(slot).copied().filter(|_| !lost);
                return vec![CodeNotice::Schedule { slot: *slot, schedule }];
            }
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

    /// Whether these digits open it now, if its clock is right.
    pub fn opens(&self, digits: &str, now: Wall) -> bool {
        let at = now.utc().with_timezone(&PLACE).naive_local();
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
