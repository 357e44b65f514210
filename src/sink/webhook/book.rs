//! What one webhook owes: events under way, events to be tried again, and whether the endpoint is given up. Pure: time is an argument.
//!
//! An event's tries go by Svix's schedule. One that fails waits beside the others and holds up none of them; the cursor moves over
//! it, since it is in the book. The book is a row of state, so its tries go on after a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Pace;
use crate::time::Wall;

/// Events of one webhook that may wait for another try. With more, the webhook takes no new ones: those stay in the log.
pub const OWED_MOST: usize = 1000;

/// An event that is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    pub seq: u64,
    /// Tries so far.
    pub tries: usize,
    pub due: Wall,
}

/// Why nothing is sent to an endpoint any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub at: Wall,
    pub why: String,
    /// The webhook's [`super::Webhook::turn`] at that time: a later one enables it again.
    pub turn: u32,
    /// Events up to this one are told or owed; known once nothing is under way any more.
    pub through: Option<u64>,
}

/// The durable part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    pub owed: Vec<Owed>,
    /// Since when no try has succeeded.
    pub failing_since: Option<Wall>,
    pub disabled: Option<Disabled>,
}

/// What became of an event's try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is told, or it waits for its next try.
    Settled,
    /// The schedule is at its end.
    GivenUp,
}

impl Book {
    /// The first event that is due at `now` and not busy.
    pub fn due(&self, now: Wall, busy: &BTreeSet<u64>) -> Option<&Owed> {
        self.owed.iter().filter(|o| o.due <= now && !busy.contains(&o.seq)).min_by_key(|o| (o.due, o.seq))
    }

    /// How long until the next one is due.
    pub fn wait(&self, now: Wall, busy: &BTreeSet<u64>) -> Option<Duration> {
        let next = self.owed.iter().filter(|o| !busy.contains(&o.seq)).map(|o| o.due.0).min()?;
        Some(Duration::from_millis(u64::try_from(next - now.0).unwrap_or(0)))
    }

    pub fn has_room(&self) -> bool {
        self.owed.len() < OWED_MOST
    }

    pub fn told(&mut self, seq: u64) {
        self.owed.retain(|o| o.seq != seq);
        self.failing_since = None;
    }

    /// A try failed. The first one puts the event into the book.
    pub fn failed(&mut self, seq: u64, now: Wall, pace: &Pace) -> Next {
        self.failing_since.get_or_insert(now);
        let tries = self.owed.iter().find(|o| o.seq == seq).map_or(0, |o| o.tries) + 1;
        self.owed.retain(|o| o.seq != seq);
        let Some(delay) = pace.delays.get(tries - 1) else { return Next::GivenUp };
        self.owed.push(Owed { seq, tries, due: Wall(now.0 + delay.as_millis() as i64) });
        Next::Settled
    }

    /// Whether it has failed for so long that it is dead.
    pub fn is_dead(&self, now: Wall, pace: &Pace) -> bool {
        self.failing_since.is_some_and(|since| now.0 - since.0 >= pace.dead_after.as_millis() as i64)
    }

    /// A clock that was set back must not make anything wait for longer than its delay.
    pub fn mend(&mut self, now: Wall, pace: &Pace) {
        for owed in &mut self.owed {
            let delay = pace.delays.get(owed.tries.saturating_sub(1)).copied().unwrap_or_default();
            owed.due = owed.due.min(Wall(now.0 + delay.as_millis() as i64));
        }
        self.failing_since = self.failing_since.map(|since| since.min(now));
    }

    /// Enabled again: a fresh start, and what was owed is due.
    pub fn enable(&mut self, now: Wall) {
        self.disabled = None;
        self.failing_since = None;
        for owed in &mut self.owed {
            *owed = Owed { due: now, tries: 1, seq: owed.seq };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: BTreeSet<u64> = BTreeSet::new();

    #[test]
    fn an_event_is_tried_at_the_documented_times_and_then_given_up() {
        let (pace, mut book, mut now) = (Pace::default(), Book::default(), Wall(0));
        let mut tried_at = vec![0];
        while book.failed(7, now, &pace) == Next::Settled {
            now = Wall(now.0 + book.wait(now, &NONE).unwrap().as_millis() as i64);
            assert_eq!(book.due(now, &NONE).unwrap().seq, 7);
            assert!(book.due(Wall(now.0 - 1), &NONE).is_none());
            tried_at.push(now.0 / 1000);
        }
        let hour = 3600;
        let gaps: Vec<i64> = tried_at.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(gaps, [5, 300, 1800, 2 * hour, 5 * hour, 10 * hour, 10 * hour]);
        assert!(book.owed.is_empty());
    }

    #[test]
    fn an_endpoint_is_dead_after_days_without_a_success_and_one_success_begins_anew() {
        let (pace, mut book) = (Pace::default(), Book::default());
        let day = 24 * 3_600_000;
        book.failed(1, Wall(0), &pace);
        assert!(!book.is_dead(Wall(5 * day - 1), &pace) && book.is_dead(Wall(5 * day), &pace));
        book.told(2);
        book.failed(3, Wall(6 * day), &pace);
        assert!(!book.is_dead(Wall(7 * day), &pace));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing_for_longer_than_the_schedule() {
        let (pace, mut book) = (Pace::default(), Book::default());
        book.failed(1, Wall(1_000_000_000), &pace);
        book.mend(Wall(0), &pace);
        assert_eq!(book.wait(Wall(0), &NONE), Some(Duration::from_secs(5)));
    }
}
