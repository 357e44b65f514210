//! Events that a broker refuses: when to try again, when to give up. Pure: moments are handed in.
//!
//! A refused event stops those behind it, or a device's events would change their order. While one is in trouble events go out
//! one at a time, so that it is known whose fault it is.

use std::time::{Duration, Instant};

/// Tries of an event that the broker will never take, before it is set aside.
pub const TRIES: u32 = 5;

/// The wait before a refused event is tried again; it doubles up to the most.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MOST: Duration = Duration::from_secs(60);

/// Outlives the connection.
#[derive(Debug, Default)]
pub struct Trouble {
    /// The oldest event that is in trouble.
    case: Option<Case>,
    /// Refused in this line: nothing passes from here on until the log is read again.
    rewind: bool,
}

#[derive(Debug)]
struct Case {
    seq: u64,
    reason: String,
    /// Refusals of any kind: they set the pace.
    refusals: u32,
    /// Those that say never: they are counted up to [`TRIES`].
    nevers: u32,
    after: Option<Instant>,
    /// It was set aside by the time it passes.
    given_up: bool,
}

impl Trouble {
    /// Refused, though perhaps not for ever.
    pub fn not_now(&mut self, seq: u64, reason: &str, now: Instant) {
        self.refused(seq, reason, false, now);
    }

    /// Refused for good, says the broker.
    pub fn never(&mut self, seq: u64, reason: &str, now: Instant) {
        self.refused(seq, reason, true, now);
    }

    /// The broker closed the connection while `seq` was the oldest on its way: `alone`, or with others.
    pub fn hung_up(&mut self, seq: u64, alone: bool) {
        self.rewind = false;
        let case = self.case(seq);
        if alone {
            case.nevers += 1;
            case.reason = "the broker closes the connection at it".to_owned();
            case.given_up = case.nevers >= TRIES;
        }
    }

    /// It cannot be sent at all.
    pub fn give_up(&mut self, seq: u64, reason: String) {
        let case = self.case(seq);
        case.reason = reason;
        case.given_up = true;
    }

    fn refused(&mut self, seq: u64, reason: &str, never: bool, now: Instant) {
        if self.rewind && self.case.as_ref().is_some_and(|c| c.seq < seq) {
            return; // It will be sent again with the one before it.
        }
        let case = self.case(seq);
        let wait = WAIT_FIRST.saturating_mul(1 << case.refusals.min(16)).min(WAIT_MOST);
        case.refusals += 1;
        case.nevers += u32::from(never);
        case.reason = reason.to_owned();
        case.after = Some(now + wait);
        case.given_up = case.nevers >= TRIES;
        self.rewind = !self.case.as_ref().is_some_and(|c| c.given_up);
    }

    fn case(&mut self, seq: u64) -> &mut Case {
        let fresh = Case { seq, reason: String::new(), refusals: 0, nevers: 0, after: None, given_up: false };
        let known = self.case.take().filter(|c| c.seq == seq);
        self.case.insert(known.unwrap_or(fresh))
    }

    /// Why this event is set aside, where it is.
    pub fn given_up(&self, seq: u64) -> Option<String> {
        self.case
            .as_ref()
            .filter(|c| c.seq == seq && c.given_up)
            .map(|c| format!("{} ({} tries)", c.reason, c.nevers.max(1)))
    }

    /// Whether the cursor may not move over this event.
    pub fn holds(&self, seq: u64) -> bool {
        self.rewind && self.case.as_ref().is_some_and(|c| c.seq <= seq)
    }

    /// Whether the log must be read again from the cursor.
    pub fn wants_rewind(&self) -> bool {
        self.rewind
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.case.as_ref().is_none_or(|c| c.after.is_none_or(|after| now >= after))
    }

    pub fn rewound(&mut self) {
        self.rewind = false;
    }

    /// Whether events go out one at a time.
    pub fn is_careful(&self) -> bool {
        self.case.is_some()
    }

    /// The cursor moved over this event.
    pub fn passed(&mut self, seq: u64) {
        if self.case.as_ref().is_some_and(|c| c.seq <= seq) {
            self.case = None;
        }
    }

    /// What is refused, for the health.
    pub fn told(&self) -> Option<String> {
        let case = self.case.as_ref().filter(|c| c.refusals > 0)?;
        Some(format!("event {} refused {} times: {}", case.seq, case.refusals, case.reason))
    }
}
