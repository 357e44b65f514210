//! How much of a device an adapter hears, and for how many of its adverts in a row it may be silent by chance.

/// Slots that the estimate rests on; older ones fade out. The relative error of a loss q is √((1-q)/(q·n)): 400 slots know
/// a loss of 20 % to a tenth of itself, which moves the deadline by 6 %; and an interval of 2 s fills them in 13 minutes.
const MEMORY_SLOTS: f32 = 400.0;

/// The recent slots that are held against the estimate: the bits of a word.
const RECENT_SLOTS: u32 = 64;

/// Standard deviations by which the recent slots must be worse, or better, than the estimate before it is thrown away and
/// learned anew. Overlapping windows are about 6 independent tests per 400 slots; 4 σ is one false alarm in 30,000 of them,
/// and a false alarm only widens the deadline for a while.
const CHANGE_SIGMAS: f32 = 4.0;

/// Silent slots after which a device is counted as lost whatever was learned: the search for a longer one ends here.
pub const NEED_MAX: u32 = 4000;

/// Slots of one device on one adapter: in which it was heard, and in which not. Fades out as time goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    heard: f32,
    missed: f32,
    /// The last slots, youngest in bit 0; 1 is heard.
    recent: u64,
    /// How many of them are filled.
    filled: u8,
}

impl Loss {
    pub fn restored(heard: f32, missed: f32) -> Loss {
        let sane = |n: f32| if n.is_finite() { n.clamp(0.0, MEMORY_SLOTS) } else { 0.0 };
        Loss { heard: sane(heard), missed: sane(missed), recent: 0, filled: 0 }
    }

    pub fn counts(&self) -> (f32, f32) {
        (self.heard, self.missed)
    }

    pub fn slots(&self) -> f32 {
        self.heard + self.missed
    }

    /// Heard, after `missed` slots in which it was not.
    pub fn heard_after(&mut self, missed: u32) {
        self.heard += 1.0;
        self.missed += missed as f32;
        self.recent = if missed < RECENT_SLOTS - 1 { self.recent << (missed + 1) | 1 } else { 1 };
        self.filled = (u32::from(self.filled).saturating_add(missed).saturating_add(1)).min(RECENT_SLOTS) as u8;
        if self.slots() > MEMORY_SLOTS {
            let keep = MEMORY_SLOTS / self.slots();
            self.heard *= keep;
            self.missed *= keep;
        }
        // A change needs an estimate that is older than the recent slots.
        if u32::from(self.filled) == RECENT_SLOTS && self.slots() >= 2.0 * RECENT_SLOTS as f32 {
            let n = RECENT_SLOTS as f32;
            let heard = self.recent.count_ones() as f32;
            let (h, deviation) = (self.share(), heard - n * self.share());
            if deviation * deviation > CHANGE_SIGMAS * CHANGE_SIGMAS * n * h * (1.0 - h) {
                // The younger half of them: the change is somewhere within.
                let heard = (self.recent as u32).count_ones() as f32;
                (self.heard, self.missed) = (heard, n / 2.0 - heard);
            }
        }
    }

    /// The expected share of adverts heard (Laplace's rule: one of each seen before anything was).
    pub fn share(&self) -> f32 {
        (self.heard + 1.0) / (self.slots() + 2.0)
    }

    /// The same were the loss known to be what it is estimated to be.
    pub fn need_if_known(&self, risk: f64) -> u32 {
        (risk.ln() / f64::from(1.0 - self.share()).ln()).ceil().min(f64::from(NEED_MAX)) as u32
    }

    /// Slots of silence that chance explains with probability `risk` at most; `most` where it would be more.
    ///
    /// The loss is not known but estimated, so this is the predictive distribution: of a loss with a Beta(1 + missed, 1 + heard)
    /// posterior, k misses in a row have the probability Π (1 + missed + i) / (2 + slots + i), i < k. With few slots seen it is
    /// wide, and it narrows to the geometric one by itself.
    pub fn need(&self, risk: f64, most: u32) -> u32 {
        let most = most.min(NEED_MAX);
        // Of a device whose interval is not known: no number of slots is that unlikely, and none need be multiplied out.
        if risk <= 0.0 {
            return most;
        }
        let (a, n) = (1.0 + f64::from(self.missed), 2.0 + f64::from(self.slots()));
        let (mut p, mut k) = (1.0, 0);
        while p > risk && k < most {
            p *= (a + f64::from(k)) / (n + f64::from(k));
            k += 1;
        }
        k
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(heard: u32, missed_each: u32) -> Loss {
        let mut loss = Loss::default();
        (0..heard).for_each(|_| loss.heard_after(missed_each));
        loss
    }

    #[test]
    fn with_much_seen_the_need_is_that_of_a_known_loss() {
        // Half lost, known exactly: 2^-30 < 1e-9. Known from 400 slots it is a little more.
        let need = learned(1000, 1).need(1e-9, NEED_MAX);
        assert!((30..=34).contains(&need), "{need}");
    }

    #[test]
    fn with_little_seen_silence_proves_little() {
        let few = learned(4, 0).need(1e-9, NEED_MAX);
        let many = learned(400, 0).need(1e-9, NEED_MAX);
        assert!(few > 100 && many < 6, "{few} {many}");
        assert_eq!(learned(4, 0).need(1e-9, 60), 60, "and no more is counted than is wanted");
        assert_eq!(learned(4, 0).need(0.0, u32::MAX), NEED_MAX);
    }

    #[test]
    fn a_loss_that_changes_is_learned_from_the_recent_slots() {
        let mut loss = learned(400, 0);
        // From none lost to two of three.
        (0..43).for_each(|_| loss.heard_after(2));
        assert!((0.3..0.45).contains(&loss.share()), "{}", loss.share());
        (0..130).for_each(|_| loss.heard_after(0));
        assert!(loss.share() > 0.9, "{}", loss.share());
    }
}
