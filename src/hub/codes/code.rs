//! One access code: what is wanted of it, and what the lock reports of it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::schedule::{AHEAD, Frame, Keeper, OnLock};
use crate::hub::clock::Correction;
use crate::signal::{DeviceKey, Secret};
use crate::time::Wall;

/// Writes of one code that are remembered until one is confirmed: more often nobody changes their mind.
const TRIED_MOST: usize = 8;

/// What day and time it is; nothing where nobody vouches for the clock.
pub type Date = Option<Wall>;

/// The durable part of a code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Code {
    pub access_code_id: Uuid,
    pub device_id: Uuid,
    pub key: DeviceKey,
    /// Ours to write; one that was found on the lock is not.
    pub managed: bool,
    pub name: Option<String>,
    /// What codes that were made together have in common.
    #[serde(default)]
    pub common_code_key: Option<String>,
    /// Those that are wanted, or that were found. `None`: the lock does not show them.
    pub digits: Option<Secret>,
    pub starts_at: Option<Wall>,
    pub ends_at: Option<Wall>,
    /// Who keeps it to its dates.
    #[serde(default)]
    pub keeper: Keeper,
    /// What dates the lock was last seen to keep for its slot.
    #[serde(default)]
    pub schedule: OnLock,
    /// By whose clocks those are.
    #[serde(default)]
    pub place: Option<chrono_tz::Tz>,
    pub created_at: Wall,
    pub allows_external: bool,
    pub uses_pool: bool,
    /// A spare one, or one that was.
    pub is_backup: bool,
    /// The spare one that took over.
    pub pulled: Option<Uuid>,
    /// The one that it took over from.
    pub stands_in_for: Option<Uuid>,
    pub deleting: bool,
    /// Somebody else wants the slot: nothing is written until a user says otherwise.
    pub left_alone: bool,
    /// How often somebody else changed or erased it.
    pub overwritten: u8,
    pub converting: bool,
    pub slot: Option<u16>,
    pub reported: Reported,
    /// What the lock has confirmed last.
    pub held: Option<Held>,
    /// What was written since; each may be there.
    pub tried: Vec<Held>,
    /// When the slot was first written for this code.
    pub written_at: Option<Wall>,
    /// What the world was told to be set, or to be there ahead of its time.
    pub told: Option<Held>,
    /// It was told to be there ahead of its time, within these dates, and not yet to be set.
    #[serde(default)]
    pub told_ahead: Option<Frame>,
    pub problem: Option<Problem>,
    pub episode: Episode,
    /// When the lock was last seen to hold it.
    pub compared_at: Option<Wall>,
}

/// Digits where they may be forgotten: without the key of the store they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub digits: Option<Secret>,
}

/// What the lock is known to hold in a code's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    #[default]
    Unknown,
    Empty,
    /// What is in `held`.
    Set,
    /// Something of ours, and nobody knows what.
    Full,
}

/// Why a code is not as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Refused,
    Unreachable,
    Ignored,
    Duplicate,
    NoSpace,
    Conflict,
    Hidden,
    NotOurs,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub why: Why,
    pub since: Wall,
}

/// From a wish to its fulfilment: delay and failure are told once each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub wants: bool,
    pub delay_told: Option<Wall>,
    pub failed_told: bool,
}

impl Code {
    pub fn new(access_code_id: Uuid, device_id: Uuid, key: DeviceKey, created_at: Wall) -> Code {
        Code {
            access_code_id,
            device_id,
            key,
            managed: true,
            name: None,
            common_code_key: None,
            digits: None,
            starts_at: None,
            ends_at: None,
            keeper: Keeper::Hub,
            schedule: OnLock::Unknown,
            place: None,
            created_at,
            allows_external: false,
            uses_pool: false,
            is_backup: false,
            pulled: None,
            stands_in_for: None,
            deleting: false,
            left_alone: false,
            overwritten: 0,
            converting: false,
            slot: None,
            reported: Reported::Unknown,
            held: None,
            tried: Vec::new(),
            written_at: None,
            told: None,
            told_ahead: None,
            problem: None,
            episode: Episode::default(),
            compared_at: None,
        }
    }

    pub fn is_dated(&self) -> bool {
        self.starts_at.is_some() || self.ends_at.is_some()
    }

    /// Nobody knows whether its time has come or is over: it stays as it is, on the lock or not. A user's word needs no clock.
    pub fn waits_for_clock(&self, now: Date) -> bool {
        now.is_none() && self.managed && self.is_dated() && !self.deleting
    }

    pub fn has_ended(&self, now: Date) -> bool {
        self.ends_at.zip(now).is_some_and(|(end, now)| end <= now)
    }

    /// Whether the lock should open to it now, if nothing else is against it. Its schedule begins with a whole minute.
    pub fn has_begun(&self, now: Date) -> bool {
        let from = match self.keeper {
            Keeper::Lock => self.frame().map(|frame| frame.from),
            Keeper::Hub | Keeper::Beside => self.starts_at,
        };
        from.is_none_or(|from| now.map_or(self.told_ahead.is_none(), |now| from <= now))
    }

    /// When it is due on the lock: when it begins, or ahead of that where the lock itself waits for it.
    pub fn due_at(&self) -> Option<Wall> {
        let ahead = if self.keeper == Keeper::Lock { AHEAD } else { 0 };
        self.starts_at.map(|start| Wall(start.0 - ahead))
    }

    /// Whether the lock should hold it now. Without a date, whether it should when there was one.
    pub fn is_wanted(&self, now: Date) -> bool {
        let in_time = match now {
            Some(at) => self.due_at().is_none_or(|due| due <= at) && !self.has_ended(now),
            None => !self.is_dated() || self.episode.wants,
        };
        self.managed && !self.deleting && !self.left_alone && in_time
    }

    /// Whether the lock confirmed what is wanted: the digits, and the dates where it keeps any.
    pub fn is_set(&self) -> bool {
        self.has_digits() && !self.lacks_schedule()
    }

    fn has_digits(&self) -> bool {
        self.reported == Reported::Set && self.held.as_ref().is_some_and(|held| held.digits == self.digits)
    }

    /// The dates that the lock is to keep for it, where it can keep any.
    pub fn schedule_aim(&self) -> Option<OnLock> {
        match self.keeper {
            Keeper::Hub => None,
            Keeper::Beside => Some(OnLock::None),
            Keeper::Lock => Some(self.frame().map_or(OnLock::None, OnLock::Frame)),
        }
    }

    /// Whether the lock has to be told other dates, or none, for its slot.
    pub fn lacks_schedule(&self) -> bool {
        self.schedule_aim().is_some_and(|aim| aim != self.schedule)
    }

    pub fn frame(&self) -> Option<Frame> {
        Frame::of(self.starts_at, self.ends_at, self.created_at)
    }

    /// Whether something of ours is in the slot, or may be.
    pub fn may_be_on_lock(&self) -> bool {
        self.slot.is_some() && (!self.tried.is_empty() || self.held.is_some())
    }

    /// Whether what was read is something that we wrote.
    pub fn wrote(&self, digits: &Secret) -> bool {
        let same = |held: &Held| held.digits.as_ref().is_none_or(|d| d == digits);
        self.tried.iter().any(same) || self.held.as_ref().is_some_and(same)
    }

    /// Whether the lock holds these digits for this code, or may, or should.
    pub fn has(&self, digits: &Secret) -> bool {
        let same = |held: &Held| held.digits.as_ref() == Some(digits);
        self.digits.as_ref() == Some(digits) || self.tried.iter().any(same) || self.held.as_ref().is_some_and(same)
    }

    pub fn try_to_write(&mut self, now: Wall) {
        let held = Held { digits: self.digits.clone() };
        if !self.tried.contains(&held) {
            self.tried.push(held);
            if self.tried.len() > TRIED_MOST {
                self.tried.remove(0);
            }
        }
        self.written_at.get_or_insert(now);
    }

    /// The lock holds these digits of ours.
    pub fn confirm(&mut self, digits: Option<Secret>, now: Wall) {
        if digits == self.digits {
            self.tried.clear();
        }
        (self.reported, self.held) = (Reported::Set, Some(Held { digits }));
        self.compared_at = Some(now);
    }

    /// The slot is not this code's any more.
    pub fn lose_slot(&mut self) {
        (self.slot, self.reported, self.held, self.told) = (None, Reported::Unknown, None, None);
        (self.schedule, self.told_ahead, self.written_at) = (OnLock::Unknown, None, None);
        self.tried.clear();
    }

    pub fn begin_anew(&mut self) {
        (self.left_alone, self.overwritten, self.problem) = (false, 0, None);
        self.episode = Episode { wants: self.episode.wants, ..Episode::default() };
    }

    /// The clock was wrong when some of this was dated. What users said of its time was not said by that clock.
    pub fn mend_dates(&mut self, correction: Correction) {
        let others = [&mut self.written_at, &mut self.compared_at, &mut self.episode.delay_told];
        let since = self.problem.as_mut().map(|problem| &mut problem.since);
        for date in others.into_iter().flatten().chain(since).chain([&mut self.created_at]) {
            correction.mend(date);
        }
    }
}
