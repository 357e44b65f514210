//! Pauses between attempts: doubling, bounded, and never the same for two hubs. Pure: the dice are handed in.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max, failures: 0 }
    }

    /// The pause after one more failure: between half and all of `min`, `2 min`, `4 min` … `max`. `dice` are random bits.
    pub fn pause(&mut self, dice: u64) -> Duration {
        let whole = self.min.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1).min(31);
        let half = whole / 2;
        half + half.mul_f64((dice >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// It worked: the next pause is a short one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// Random bits for [`Backoff::pause`], for those who are not pure.
pub fn dice() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1 << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_start_again_after_success() {
        let s = Duration::from_secs;
        let mut backoff = Backoff::new(s(1), s(60));
        let longest: Vec<_> = (0..40).map(|_| backoff.pause(u64::MAX).as_secs_f64().round()).collect();
        assert_eq!(longest[..8], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(longest[39], 60.0);
        backoff.reset();
        assert_eq!(backoff.pause(0), Duration::from_millis(500), "jitter takes at most half");
    }
}
