//! One request for events that were told before: what of it may be, and how far it has come. Pure.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::super::request::Refusal;

/// Events that one request may ask for: at the pace of a backfill, three and a half minutes of it.
pub const EVENTS_MOST: u64 = 10_000;

/// Holes that one answer names; beyond them the last one takes in all that follows.
const HOLES_MOST: usize = 100;

/// Events `from` to `to` of a log, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub log_id: Uuid,
    pub from: u64,
    pub to: u64,
}

/// What of the log is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub log_id: Uuid,
    pub first: u64,
    pub last: u64,
}

impl Range {
    /// All of it can be told, or none of it is: whoever asks learns what there is and asks again.
    pub fn check(&self, log: &Extent) -> Result<(), Refusal> {
        let Range { log_id, from, to } = *self;
        let refusal = if log_id != log.log_id {
            Refusal::new(
                "other_log",
                "the hub's log is another one now; its places say nothing of the one that is asked for",
            )
        } else if from == 0 || from > to {
            Refusal::new("malformed", "from is to be 1 or more, and to no less than from")
        } else if to > log.last {
            Refusal::new("out_of_range", format!("the log ends at {}", log.last))
        } else if from < log.first {
            Refusal::new("pruned", format!("the log begins at {}; what was before it is gone", log.first))
        } else if to - from >= EVENTS_MOST {
            Refusal::new("too_many", format!("{} events; {EVENTS_MOST} at once are the most", to - from + 1))
        } else {
            return Ok(());
        };
        let detail = json!({"log_id": log.log_id, "first": log.first, "last": log.last});
        Err(Refusal { detail: Some(detail), ..refusal })
    }
}

/// How far a request has come.
#[derive(Debug)]
pub struct Progress {
    pub range: Range,
    /// Everything up to it was taken by the broker, or is not there.
    pub passed: u64,
    pub sent: u64,
    /// What the log does not have.
    pub missing: Vec<(u64, u64)>,
}

impl Progress {
    pub fn new(range: Range) -> Progress {
        Progress { range, passed: range.from - 1, sent: 0, missing: Vec::new() }
    }

    /// The broker has this event, and all that were sent before it.
    pub fn taken(&mut self, seq: u64) {
        self.skipped(seq.saturating_sub(1));
        self.passed = self.passed.max(seq);
        self.sent += 1;
    }

    /// Nothing is left to send: what was not sent up to here is not there.
    pub fn ends(&mut self) {
        self.skipped(self.range.to);
    }

    fn skipped(&mut self, to: u64) {
        if to <= self.passed {
            return;
        }
        let full = self.missing.len() >= HOLES_MOST;
        match self.missing.last_mut() {
            Some(last) if full => last.1 = to,
            _ => self.missing.push((self.passed + 1, to)),
        }
        self.passed = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Uuid = Uuid::from_u128(1);

    fn kind(log_id: Uuid, from: u64, to: u64) -> &'static str {
        let log = Extent { log_id: LOG, first: 100, last: 90_000 };
        match (Range { log_id, from, to }).check(&log) {
            Ok(()) => "taken",
            Err(refusal) => {
                assert_eq!(refusal.detail, Some(json!({"log_id": LOG, "first": 100, "last": 90_000})));
                refusal.kind
            }
        }
    }

    #[test]
    fn what_cannot_be_told_whole_is_refused_with_what_there_is() {
        assert_eq!(kind(LOG, 100, 100), "taken");
        assert_eq!(kind(LOG, 80_001, 90_000), "taken");
        assert_eq!(kind(LOG, 80_000, 90_000), "too_many");
        assert_eq!(kind(LOG, 99, 200), "pruned");
        assert_eq!(kind(LOG, 90_000, 90_001), "out_of_range");
        assert_eq!(kind(LOG, 1, u64::MAX), "out_of_range");
        assert_eq!(kind(LOG, 300, 299), "malformed");
        assert_eq!(kind(LOG, 0, 299), "malformed");
        assert_eq!(kind(Uuid::from_u128(2), 100, 100), "other_log");
    }

    #[test]
    fn holes_are_named_and_so_is_what_is_missing_at_the_end() {
        let mut progress = Progress::new(Range { log_id: LOG, from: 10, to: 20 });
        for seq in [10, 11, 15] {
            progress.taken(seq);
        }
        assert_eq!((progress.passed, progress.sent), (15, 3));
        progress.ends();
        assert_eq!((progress.passed, progress.missing), (20, vec![(12, 14), (16, 20)]));
    }

    #[test]
    fn what_is_sent_again_after_a_lost_connection_opens_no_hole() {
        let mut progress = Progress::new(Range { log_id: LOG, from: 1, to: 3 });
        for seq in [1, 2, 2, 3] {
            progress.taken(seq);
        }
        progress.ends();
        assert_eq!((progress.passed, progress.missing), (3, vec![]));
    }

    #[test]
    fn holes_have_an_end() {
        let mut progress = Progress::new(Range { log_id: LOG, from: 1, to: 10_000 });
        (1..=5000).for_each(|n| progress.taken(2 * n));
        assert_eq!(progress.missing.len(), HOLES_MOST);
        assert_eq!(progress.missing.last(), Some(&(199, 9999)));
    }
}
