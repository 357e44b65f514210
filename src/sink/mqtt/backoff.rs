//! How long to wait before the next try: doubling, with jitter, so that a hundred hubs do not come back at once.

use std::time::Duration;

/// A connection that lived for so long was a good one: the next failure is a first one again. Two daemons that take the same
/// session from each other never get there.
pub const GOOD: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, failures: 0 }
    }

    /// The wait after a connection that lived for `lived`; `dice` is any random number.
    pub fn after(&mut self, lived: Duration, dice: u64) -> Duration {
        if lived >= GOOD {
            self.failures = 0;
        }
        let whole = self.first.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures += 1;
        // Between a half and the whole: never at once, never later than said.
        let share = (dice % 1024) as u32;
        whole / 2 + whole * share / 2048
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(250), Duration::from_secs(60))
    }

    #[test]
    fn each_wait_is_within_half_of_its_step_and_none_exceeds_the_most() {
        let mut backoff = backoff();
        for step in [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000].map(Duration::from_millis) {
            let wait = backoff.after(Duration::ZERO, 0x9e37_79b9);
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
    }

    #[test]
    fn a_good_connection_forgives_the_failures_before_it() {
        let mut backoff = backoff();
        for _ in 0..8 {
            backoff.after(Duration::from_secs(1), 0);
        }
        assert!(backoff.after(Duration::from_secs(11), 0) <= Duration::from_millis(250));
    }

    #[test]
    fn a_hundred_hubs_do_not_come_back_at_once() {
        let waits: std::collections::BTreeSet<_> = (0..100).map(|n| backoff().after(Duration::ZERO, n * 37)).collect();
        assert!(waits.len() > 90);
    }
}
