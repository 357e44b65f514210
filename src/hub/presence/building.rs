//! What devices of one building have in common: how often and how long they fade, and whether they slow down.
//!
//! A device that was never seen to fade would be lost at its first fade, if its own past were all. Its neighbours' past says what
//! to expect of this building.

use serde::{Deserialize, Serialize};

use super::rhythm::{FADE_LONGEST_S, Run, SURPRISE_NATS};

/// False losses by fades that are accepted, a device and day: one in three years.
const FADE_RISK_PER_DAY: f64 = 1e-3;

/// Fades are believed when chance alone makes as many of the gaps heard with less than this probability.
const CHANCE_FADES: f64 = 0.01;

/// What a fade is before any was seen: as if these had been, of so many seconds each. Somebody in the way, a door, a lift.
const PRIOR_FADES: f64 = 4.0;
const PRIOR_FADE_S: f64 = 20.0;

/// What is remembered: so many device-days. Fades of last month's furniture are forgotten.
const MEMORY_DEVICE_DAYS: f64 = 60.0;

/// Devices that slow down before the others are expected to.
const SLOW_TO_BELIEVE: u32 = 2;

/// Slow intervals that are kept: as many are expected of others as were seen often enough, and some may be corrected.
const SLOWEST: usize = 8;

/// A device that did not slow down within so many mean times to it is of another kind: e^-6.
const SLOW_MEAN_TIMES: f64 = 6.0;

const DAY_S: f64 = 86_400.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Building {
    /// Seconds since its first advert.
    pub age_s: f64,
    /// Seconds of hearing, of all devices together.
    pub device_s: f64,
    /// Gaps between adverts.
    gaps: f64,
    fades: f64,
    /// Of all fades, the seconds beyond what losses explain; the slots of the whole, and in how many something was heard.
    beyond_s: f64,
    slots: f64,
    heard: f64,
    /// Devices that have slowed down, the time it took them together, and the slowest of their intervals, in order.
    slowed: u32,
    slowed_after_s: f64,
    slowest_s: [f32; SLOWEST],
}

impl Building {
    pub fn restored(self) -> Building {
        let sane = |x: f64| x.is_finite() && x >= 0.0;
        let all = [
            self.age_s,
            self.device_s,
            self.gaps,
            self.fades,
            self.beyond_s,
            self.slots,
            self.heard,
            self.slowed_after_s,
        ];
        if all.into_iter().chain(self.slowest_s.map(f64::from)).all(sane) { self } else { Building::default() }
    }

    /// Whether the difference is worth a write.
    pub fn differs(&self, stored: &Building) -> bool {
        let grown = |now: f64, then: f64| now > then * 1.2 || now < then;
        grown(self.device_s, stored.device_s) || grown(self.fades, stored.fades) || self.slowed != stored.slowed
    }

    pub fn observed(&mut self, seconds: f32) {
        self.device_s += f64::from(seconds);
        self.gaps += 1.0;
        if self.device_s > MEMORY_DEVICE_DAYS * DAY_S {
            let Building { device_s, gaps, fades, beyond_s, slots, heard, .. } = self;
            for sum in [device_s, gaps, fades, beyond_s, slots, heard] {
                *sum /= 2.0;
            }
        }
    }

    /// A run of gaps was a fade: `explained` seconds of it losses explain.
    pub fn faded(&mut self, run: &Run, explained: f32, interval: f32) {
        self.fades += 1.0;
        self.beyond_s += f64::from((run.seconds - explained).max(interval));
        self.slots += f64::from(run.seconds / interval);
        self.heard += f64::from(run.gaps.saturating_sub(1));
    }

    /// A device slowed down for the first time, after so long.
    pub fn slowed(&mut self, interval: f32, after_s: f32) {
        self.slowed += 1;
        self.slowed_after_s += f64::from(after_s);
        if let Some(least) = self.slowest_s.last_mut() {
            *least = least.max(interval);
        }
        self.slowest_s.sort_by(|a, b| b.total_cmp(a));
    }

    /// What was taken for the interval of a device that slowed down was a multiple of it.
    pub fn slow_corrected(&mut self, mistaken: f32, interval: f32) {
        if let Some(place) = self.slowest_s.iter_mut().find(|s| **s == mistaken) {
            *place = interval;
        }
        self.slowest_s.sort_by(|a, b| b.total_cmp(a));
    }

    /// Whether devices fade here, or chance made a few gaps look like it: a Poisson tail, by its first term.
    fn fades(&self) -> bool {
        let by_chance = self.gaps * f64::from(-SURPRISE_NATS).exp();
        let mut tail = 1.0;
        for i in 1..=self.fades as u32 {
            tail *= by_chance / f64::from(i);
            // Each further one is less likely still.
            if f64::from(i) >= by_chance && tail < CHANCE_FADES {
                return true;
            }
        }
        false
    }

    /// Seconds to allow for a fade, beyond what losses explain, to a device that sends every `interval` seconds.
    ///
    /// Fades last exponentially long, and in one something is heard now and then: the silence's tail falls at the sum of both
    /// rates. Their mean is estimated from few, so the tail is the predictive one, n·((1/p)^(1/n) - 1) means.
    pub fn fade_allowance(&self, interval: f32) -> f32 {
        if !self.fades() {
            return 0.0;
        }
        let per_day = self.fades / (self.device_s / DAY_S);
        let p = FADE_RISK_PER_DAY / per_day;
        if p >= 1.0 {
            return 0.0;
        }
        let heard = ((self.heard + 1.0) / (self.slots + 20.0)).min(0.9);
        let n = self.fades + PRIOR_FADES;
        let rate = n / (self.beyond_s + PRIOR_FADES * PRIOR_FADE_S) - (1.0 - heard).ln() / f64::from(interval);
        ((n * (p.powf(-1.0 / n) - 1.0) / rate) as f32).min(FADE_LONGEST_S)
    }

    /// The slower interval to expect (so many devices have had one as slow) of a device that was heard for `seconds` without slowing down.
    pub fn slow_interval(&self, seconds: f32) -> Option<f32> {
        let mean = self.slowed_after_s / f64::from(self.slowed.max(1));
        (self.slowed >= SLOW_TO_BELIEVE && f64::from(seconds) < SLOW_MEAN_TIMES * mean)
            .then_some(self.slowest_s[SLOW_TO_BELIEVE as usize - 1])
    }
}
