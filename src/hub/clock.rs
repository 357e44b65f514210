//! The hub's own date: the wall clock as far as it can be believed.
//!
//! - `created_at` never runs back.
//! - Once a time service has vouched for the clock, the monotonic clock carries the date on; a wall clock that then leaps away
//!   without a service's word is not followed.
//! - Until then events are *held*: stored as rows in their own transaction, so that a crash loses none, and told when the clock
//!   is set, with their dates corrected, or after a while as they are, marked `clock_unsynchronized`.

use std::time::Duration;

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use super::{Output, Row, RowKind};
use crate::event::{Event, Issue};
use crate::time::{Mono, Now, Wall};

/// A wall clock that nobody vouches for may wander so far from the hub's reckoning and still be followed (DESIGN: 5 min).
const LEAP_MS: i64 = 5 * 60 * 1000;

/// So long events wait for the clock to be set (DESIGN): a Pi that can reach a time server has found it by then.
const WAIT: Duration = Duration::from_secs(120);

/// Events that may wait. A building tells a few an hour; beyond this the wait is given up rather than memory.
const HELD: usize = 10_000;

#[derive(Debug)]
pub struct Clock {
    /// The youngest `created_at`: none is ever older than the one before it.
    last_created: Wall,
    /// When the date was last believed.
    anchor: Option<(Mono, Wall)>,
    /// The first guess, and when it was made.
    guess: (Mono, Wall),
    /// The last guess, likewise.
    guessed: (Mono, Wall),
    given_up: bool,
    held: Vec<Held>,
    /// The number of the next held event.
    next: u64,
}

#[derive(Debug)]
struct Held {
    number: u64,
    /// Unknown for one that another run of the daemon left.
    made: Option<Mono>,
    event: Event,
}

#[derive(Serialize, Deserialize)]
struct HeldRow {
    number: u64,
    event: Event,
}

/// By how much dates were wrong that the hub made from `from` to `to`.
#[derive(Clone, Copy, Debug)]
pub struct Correction {
    from: Wall,
    to: Wall,
    by: i64,
}

impl Correction {
    pub fn mend(&self, date: &mut Wall) -> bool {
        let wrong = (self.from..=self.to).contains(date);
        if wrong {
            date.0 += self.by;
        }
        wrong
    }

    fn mend_text(&self, text: &mut String) {
        if let Ok(date) = DateTime::parse_from_rfc3339(text) {
            let mut wall = Wall(date.timestamp_millis());
            if self.mend(&mut wall) {
                *text = wall.to_string();
            }
        }
    }
}

impl Clock {
    pub fn new(last_created: Wall, now: Now) -> Clock {
        let guess = (now.mono, now.wall.max(last_created));
        Clock { last_created, anchor: None, guess, guessed: guess, given_up: false, held: Vec::new(), next: 0 }
    }

    pub fn restore(&mut self, row: &str) {
        if let Ok(HeldRow { number, event }) = serde_json::from_str(row) {
            self.next = self.next.max(number + 1);
            self.held.push(Held { number, made: None, event });
            self.held.sort_by_key(|h| h.number);
        }
    }

    /// `now` with the date that the hub believes, or its best guess; and where this moment is the first to be believed, what
    /// was wrong until now.
    pub fn date(&mut self, now: Now) -> (Now, Option<Correction>) {
        self.given_up |= now.mono >= self.wait_ends();
        let mut correction = None;
        let wall = match self.anchor {
            _ if now.synchronized => {
                if self.anchor.is_none() {
                    let (at, last) = self.guessed;
                    let to = Wall(last.0 + millis(now.mono.since(at)));
                    correction = Some(Correction { from: self.guess.1, to, by: now.wall.0 - to.0 });
                }
                self.anchor = Some((now.mono, now.wall));
                now.wall
            }
            None => {
                self.guessed = (now.mono, self.guess_at(now));
                self.guessed.1
            }
            Some((mono, wall)) => {
                let reckoned = Wall(wall.0 + millis(now.mono.since(mono)));
                if (now.wall.0 - reckoned.0).abs() <= LEAP_MS {
                    self.anchor = Some((now.mono, now.wall));
                    now.wall
                } else {
                    reckoned
                }
            }
        };
        (Now { wall, ..now }, correction)
    }

    /// Never before what the log ends with, and going on while the wall clock stands in 1970.
    fn guess_at(&self, now: Now) -> Wall {
        let (since, first) = self.guess;
        now.wall.max(Wall(first.0 + millis(now.mono.since(since))))
    }

    /// Whether events wait for the clock.
    pub fn holds(&self) -> bool {
        self.anchor.is_none() && !self.given_up
    }

    /// Whether dates are guesses.
    pub fn is_unsynchronized(&self) -> bool {
        self.anchor.is_none()
    }

    /// The `created_at` of an event that is made at `wall`. That of one that will be held is not yet final.
    pub fn created_at(&mut self, wall: Wall) -> Wall {
        if self.holds() {
            return wall;
        }
        self.last_created = self.last_created.max(wall);
        self.last_created
    }

    /// When the wait ends.
    pub fn wait_ends(&self) -> Mono {
        self.guess.0 + WAIT
    }

    /// Takes the events of a step that must wait, from the `from`th on, and stores them in its transaction instead.
    pub fn hold(&mut self, now: Now, from: usize, out: &mut Output) {
        for event in out.events.drain(from..) {
            let number = self.next;
            self.next += 1;
            let value = serde_json::to_value(HeldRow { number, event: event.clone() }).ok();
            out.rows.push(Row { kind: RowKind::Held, key: key(number), value });
            self.held.push(Held { number, made: Some(now.mono), event });
        }
        self.given_up |= self.held.len() > HELD;
    }

    /// Tells what waited, now that it need not.
    pub fn release(&mut self, now: Now, correction: Option<Correction>, out: &mut Output) {
        let synchronized = self.anchor.is_some();
        for Held { number, made, mut event } in std::mem::take(&mut self.held) {
            let date = match made.filter(|_| synchronized) {
                Some(made) => Wall(now.wall.0 - millis(now.mono.since(made))),
                None => event.created_at,
            };
            let own = event.occurred_at != event.created_at;
            event.details.clock_unsynchronized = !synchronized || made.is_none();
            event.created_at = self.created_at(date);
            event.occurred_at = if own { event.occurred_at } else { date };
            event.event_id = redated(event.event_id, event.created_at);
            if let Some(correction) = correction {
                issues(&mut event).for_each(|issue| correction.mend_text(&mut issue.created_at));
            }
            out.rows.push(Row { kind: RowKind::Held, key: key(number), value: None });
            out.events.push(event);
        }
    }

    /// Whether something waits that need not.
    pub fn is_ripe(&self) -> bool {
        !self.held.is_empty() && !self.holds()
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// Sorts as it was numbered.
fn key(number: u64) -> String {
    format!("{number:020}")
}

/// The same id, on another date: what is random in it stays. Nobody has seen the id of an event that waits.
fn redated(id: Uuid, created_at: Wall) -> Uuid {
    let mut random = [0; 10];
    random.copy_from_slice(&id.as_bytes()[6..]);
    Builder::from_unix_timestamp_millis(created_at.0.max(0) as u64, &random).into_uuid()
}

fn issues(event: &mut Event) -> impl Iterator<Item = &mut Issue> {
    let d = &mut event.details;
    let arrays = [
        &mut d.connected_account_errors,
        &mut d.connected_account_warnings,
        &mut d.device_errors,
        &mut d.device_warnings,
        &mut d.access_code_errors,
        &mut d.access_code_warnings,
    ];
    arrays.into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono: u64, wall: i64, synchronized: bool) -> Now {
        Now { mono: Mono(mono), wall: Wall(wall), synchronized, entropy: 0 }
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_leap_that_nobody_vouches_for_is_not_followed_and_one_that_is_vouched_for_is() {
        let mut clock = Clock::new(Wall(0), now(0, 1_000_000, true));
        assert_eq!(clock.date(now(0, 1_000_000, true)).0.wall, Wall(1_000_000));
        assert_eq!(clock.date(now(1000, 1_001_000 + HOUR, false)).0.wall, Wall(1_001_000));
        assert_eq!(clock.date(now(2000, 1_002_000 - 24 * HOUR, false)).0.wall, Wall(1_002_000));
        assert_eq!(clock.date(now(3000, 1_003_000 + 60_000, false)).0.wall, Wall(1_063_000));
        assert_eq!(clock.date(now(4000, 1_004_000 + HOUR, true)).0.wall, Wall(1_004_000 + HOUR));
    }

    #[test]
    fn created_at_never_runs_back_though_the_clock_is_set_back() {
        let mut clock = Clock::new(Wall(5_000), now(0, 1_000_000, true));
        let dated = |clock: &mut Clock, at: Now| {
            let wall = clock.date(at).0.wall;
            clock.created_at(wall)
        };
        assert_eq!(dated(&mut clock, now(0, 1_000_000, true)), Wall(1_000_000));
        assert_eq!(dated(&mut clock, now(1000, 500_000, true)), Wall(1_000_000));
        assert_eq!(dated(&mut clock, now(2000, 1_500_000, true)), Wall(1_500_000));
    }
}
