//! Daily windows: from one time of day to another, in a place's own time, across midnight and the change of clocks.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::time::Wall;

/// A time of day, with its own zone where one was given: `22:00`, `22:00:00`, `22:00:00[Europe/Vienna]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyTime {
    pub time: NaiveTime,
    pub zone: Option<Tz>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of day (22:00, 22:00:00 or 22:00:00[Europe/Vienna])")]
pub struct BadTime(String);

impl FromStr for DailyTime {
    type Err = BadTime;
    fn from_str(s: &str) -> Result<DailyTime, BadTime> {
        let bad = || BadTime(s.chars().take(40).collect());
        let (time, zone) = match s.split_once('[') {
            Some((time, zone)) => {
                let zone = zone.strip_suffix(']').and_then(|z| z.parse().ok());
                (time, Some(zone.ok_or_else(bad)?))
            }
            None => (s, None),
        };
        let time = NaiveTime::parse_from_str(time, "%H:%M:%S").or_else(|_| NaiveTime::parse_from_str(time, "%H:%M"));
        Ok(DailyTime { time: time.map_err(|_| bad())?, zone })
    }
}

impl fmt::Display for DailyTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time.format("%H:%M:%S"))?;
        self.zone.map_or(Ok(()), |zone| write!(f, "[{zone}]"))
    }
}

impl Serialize for DailyTime {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DailyTime {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<DailyTime, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// From `starts` until before `ends`; the whole day where they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub starts: DailyTime,
    pub ends: DailyTime,
}

impl Window {
    /// Read off the wall clock of the place, so the hour that a change of clocks repeats counts twice and the one that it
    /// skips does not come.
    pub fn contains(&self, at: Wall, place: Tz) -> bool {
        let (starts, ends) = (self.starts.time, self.ends.time);
        let now = at.utc().with_timezone(&self.starts.zone.unwrap_or(place)).time();
        match starts.cmp(&ends) {
            std::cmp::Ordering::Less => starts <= now && now < ends,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => starts <= now || now < ends,
        }
    }

    pub fn is_always(&self) -> bool {
        self.starts.time == self.ends.time
    }

    /// The next start or end after `at`.
    pub fn next_edge(&self, at: Wall, place: Tz) -> Wall {
        let zone = self.starts.zone.unwrap_or(place);
        let edge = |daily: DailyTime| next(at.utc(), daily.time, zone);
        Wall::from(edge(self.starts).min(edge(self.ends)))
    }
}

/// The next moment after `at` when a clock in `zone` shows `time`. A skipped time comes when the clocks have been changed.
fn next(at: DateTime<Utc>, time: NaiveTime, zone: Tz) -> DateTime<Utc> {
    let today = at.with_timezone(&zone).date_naive();
    let moments = (0..=2).filter_map(|days| {
        let local = today.checked_add_days(Days::new(days))?.and_time(time);
        let found = zone.from_local_datetime(&local);
        let skipped = || zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest();
        // A repeated time comes twice: the first that is still ahead counts.
        let both = [found.earliest().or_else(skipped), found.latest()];
        both.into_iter().flatten().map(|t| t.with_timezone(&Utc)).find(|t| *t > at)
    });
    moments.min().unwrap_or(at + TimeDelta::days(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(starts: &str, ends: &str) -> Window {
        Window { starts: starts.parse().unwrap(), ends: ends.parse().unwrap() }
    }

    fn at(text: &str) -> Wall {
        Wall::from(text.parse::<DateTime<Utc>>().unwrap())
    }

    const VIENNA: Tz = chrono_tz::Europe::Vienna;

    #[test]
    fn a_window_across_midnight_holds_on_both_sides_of_it_and_not_at_its_end() {
        let quiet = window("22:00", "08:00");
        for (time, inside) in [("T20:59:59Z", false), ("T21:00:00Z", true), ("T23:30:00Z", true), ("T06:59:59Z", true)]
        {
            assert_eq!(quiet.contains(at(&format!("2026-01-15{time}")), VIENNA), inside, "{time}");
        }
        assert!(!quiet.contains(at("2026-01-15T07:00:00Z"), VIENNA));
    }

    #[test]
    fn a_window_follows_daylight_saving_time() {
        let quiet = window("22:00", "08:00");
        // 2026-03-29: Vienna goes from UTC+1 to UTC+2.
        assert!(quiet.contains(at("2026-03-28T21:00:00Z"), VIENNA));
        assert!(quiet.contains(at("2026-03-29T20:00:00Z"), VIENNA));
        assert!(!quiet.contains(at("2026-03-29T06:00:00Z"), VIENNA));
        assert_eq!(quiet.next_edge(at("2026-03-28T21:00:00Z"), VIENNA), at("2026-03-29T06:00:00Z"));
        // 2026-10-25: and back; the night has ten hours and one more.
        assert_eq!(quiet.next_edge(at("2026-10-24T20:00:00Z"), VIENNA), at("2026-10-25T07:00:00Z"));
    }

    #[test]
    fn an_edge_in_the_skipped_hour_comes_when_the_clocks_have_changed() {
        let odd = window("02:30", "05:00");
        assert_eq!(odd.next_edge(at("2026-03-29T00:00:00Z"), VIENNA), at("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn a_window_with_its_own_zone_is_read_there() {
        let la = window("20:00:00[America/Los_Angeles]", "08:00:00[America/Los_Angeles]");
        assert!(la.contains(at("2026-07-01T04:00:00Z"), VIENNA));
        assert!(!la.contains(at("2026-07-01T19:00:00Z"), VIENNA));
        assert_eq!(la.starts.to_string(), "20:00:00[America/Los_Angeles]");
    }

    #[test]
    fn nonsense_is_no_time_of_day() {
        for bad in ["25:99", "nope", "", "12:00[", "12:00[Nowhere/City]", "12:00:00[Europe/Vienna"] {
            assert!(bad.parse::<DailyTime>().is_err(), "{bad:?}");
        }
    }
}
