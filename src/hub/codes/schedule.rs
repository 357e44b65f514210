//! Dates that a lock keeps itself: from when until when it opens to a code, on its own clock.
//!
//! A lock's clock shows the time of the place where the lock is, in whole minutes; the driver sets it. It is set before dates are
//! written, and anew when the place changes between winter and summer time, so that what was written stays right.

use chrono::{Duration, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::code::Code;
use crate::hub::Device;
use crate::signal::{LockTime, Schedule};
use crate::time::Wall;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 3600 * 1000;

/// Milliseconds before its start that a code is written to a lock that keeps its dates, as Seam does it.
pub const AHEAD: i64 = 3 * DAY;

/// Of a code without an end: 2099-12-30T00:00:00Z. Locks count the years of a century.
const FOR_EVER: Wall = Wall(4_102_272_000_000);

/// A lock's clock may be off by so many minutes: what it shows is cut to minutes, and a minute may pass on its way.
const CLOCK_OFF: u16 = 2;

/// Who keeps a code to its dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeper {
    /// The hub: it writes and clears the code when the time has come.
    #[default]
    Hub,
    /// The hub, on a lock that could: what it keeps for the slot from earlier has to go.
    Beside,
    /// The lock: the code is there ahead of its time, and does not open before.
    Lock,
}

/// What dates a lock keeps for a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLock {
    #[default]
    Unknown,
    None,
    Frame(Frame),
}

/// From when until when a lock opens to a code, by whole minutes: never before the code begins, and not until it ends only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    pub from: Wall,
    pub until: Wall,
}

impl Frame {
    /// Of a code with these dates, if it has any. One that has begun already may be used at once, even if the lock's clock is behind.
    pub fn of(starts_at: Option<Wall>, ends_at: Option<Wall>, created_at: Wall) -> Option<Frame> {
        if starts_at.is_none() && ends_at.is_none() {
            return None;
        }
        let from = starts_at.unwrap_or(Wall(created_at.0 - DAY));
        Some(Frame { from: whole_minute(from), until: ends_at.map_or(FOR_EVER, whole_minute) })
    }

    /// As a clock of that place shows it; `None` where it shows the same time twice, so that a lock could take it for the other.
    pub fn on_clock(self, place: Tz) -> Option<Schedule> {
        Some(Schedule { from: shown(self.from, place)?, until: shown(self.until, place)? })
    }
}

/// The first whole minute that is not before it.
fn whole_minute(at: Wall) -> Wall {
    Wall(at.0.div_euclid(MINUTE) * MINUTE + if at.0.rem_euclid(MINUTE) > 0 { MINUTE } else { 0 })
}

fn shown(at: Wall, place: Tz) -> Option<NaiveDateTime> {
    let local = at.utc().with_timezone(&place).naive_local();
    place.from_local_datetime(&local).single().map(|_| local)
}

/// Seconds that the clocks of a place are ahead of UTC.
pub fn offset(at: Wall, place: Tz) -> i32 {
    place.offset_from_utc_datetime(&at.utc().naive_utc()).fix().local_minus_utc()
}

/// Whether a lock's clock shows what it should.
pub fn is_right(time: LockTime, now: Wall, place: Tz) -> bool {
    const DAY: u16 = 24 * 60;
    let seconds = if time.utc { 0 } else { offset(now, place) };
    let there = now.utc().naive_utc() + Duration::seconds(seconds.into());
    let expected = (there.hour() * 60 + there.minute()) as u16;
    let off = (time.minute_of_day % DAY).abs_diff(expected);
    off.min(DAY - off) <= CLOCK_OFF
}

/// Who is to keep a code to its dates.
pub fn keeper(code: &Code, device: &Device, place: Tz, now: Wall) -> Keeper {
    let knows_dates = device.description.code_schedules == Some(true);
    // UTC is what nobody said: a lock's clock is that of a place where people live.
    let placed = place != Tz::UTC;
    let can_show = code.frame().is_some_and(|frame| frame.on_clock(place).is_some());
    match knows_dates {
        false => Keeper::Hub,
        true if can_show && placed && device.codes.lock_keeps_dates(now) => Keeper::Lock,
        true => Keeper::Beside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIENNA: Tz = chrono_tz::Europe::Vienna;

    fn wall(text: &str) -> Wall {
        Wall(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_millis())
    }

    fn frame(from: &str, until: &str) -> Frame {
        Frame::of(Some(wall(from)), Some(wall(until)), Wall(0)).unwrap()
    }

    #[test]
    fn a_lock_never_opens_before_a_code_begins_and_does_so_until_it_ends() {
        let exact = frame("2026-07-01T13:00:00Z", "2026-07-03T09:00:00Z");
        assert_eq!(exact, Frame { from: wall("2026-07-01T13:00:00Z"), until: wall("2026-07-03T09:00:00Z") });
        let between = frame("2026-07-01T13:00:00.001Z", "2026-07-03T09:00:59Z");
        assert_eq!(between, Frame { from: wall("2026-07-01T13:01:00Z"), until: wall("2026-07-03T09:01:00Z") });
        let created = wall("2026-07-01T13:00:30Z");
        let no_start = Frame::of(None, Some(wall("2026-07-03T09:00:00Z")), created).unwrap();
        assert!(no_start.from <= Wall(created.0 - DAY + MINUTE), "though its clock is hours behind");
        assert_eq!(Frame::of(Some(created), None, created).unwrap().until, FOR_EVER);
        assert_eq!(Frame::of(None, None, created), None);
    }

    #[test]
    fn dates_are_shown_by_the_clock_of_the_place_in_winter_and_in_summer() {
        let text = |frame: Frame| frame.on_clock(VIENNA).map(|s| format!("{} {}", s.from, s.until));
        let winter = frame("2026-01-15T14:00:00Z", "2026-01-16T10:00:00Z");
        assert_eq!(text(winter).as_deref(), Some("2026-01-15 15:00:00 2026-01-16 11:00:00"));
        // Over the night in which the clocks go forward.
        let spring = frame("2026-03-28T14:00:00Z", "2026-03-29T09:00:00Z");
        assert_eq!(text(spring).as_deref(), Some("2026-03-28 15:00:00 2026-03-29 11:00:00"));
        // And back: half past two comes twice in that night.
        let autumn = frame("2026-10-24T13:00:00Z", "2026-10-25T10:00:00Z");
        assert_eq!(text(autumn).as_deref(), Some("2026-10-24 15:00:00 2026-10-25 11:00:00"));
        assert_eq!(text(frame("2026-10-25T00:30:00Z", "2026-10-25T10:00:00Z")), None);
        assert_eq!(text(frame("2026-10-24T13:00:00Z", "2026-10-25T01:30:00Z")), None);
    }

    #[test]
    fn a_clock_is_right_within_two_minutes_also_over_midnight() {
        let now = wall("2026-07-01T21:59:30Z");
        let right = |minute_of_day, utc| is_right(LockTime { minute_of_day, utc }, now, VIENNA);
        assert!(right(21 * 60 + 59, true) && right(22 * 60 + 1, true) && !right(22 * 60 + 2, true));
        assert!(right(23 * 60 + 59, false) && right(0, false) && right(1, false) && !right(2, false));
        assert!(!right(21 * 60 + 59, false), "it is in another place");
    }
}
