//! What is counted while simulated hubs run: by many of them at once, without anybody waiting.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};

/// Seconds of a run that are counted one by one: four hours.
const SECONDS: usize = 4 * 3600;

/// Buckets of a histogram: each is 5 % wider than the one before, from 0.1 ms on; the last is at 20 minutes.
const BUCKETS: usize = 320;
const GROWTH: f64 = 1.05;

pub struct Tally {
    pub made: AtomicU64,
    pub acknowledged: AtomicU64,
    pub sent: AtomicU64,
    pub online: AtomicU64,
    pub connects: Timeline,
    pub acknowledgements: Timeline,
    /// From sending to PUBACK.
    pub ack: Histogram,
    /// From happening to PUBACK.
    pub told: Histogram,
    failures: Mutex<BTreeMap<String, u64>>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            made: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            online: AtomicU64::new(0),
            connects: Timeline::default(),
            acknowledgements: Timeline::default(),
            ack: Histogram::default(),
            told: Histogram::default(),
            failures: Mutex::default(),
        }
    }
}

impl Tally {
    /// Reasons are few: addresses and names in them would not be.
    pub fn failed(&self, reason: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(|e| e.into_inner());
        *failures.entry(reason.chars().take(100).collect()).or_default() += 1;
    }

    pub fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

/// How often something happened in each second of the run.
pub struct Timeline(Vec<AtomicU64>);

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline((0..SECONDS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Timeline {
    pub fn count(&self, at: Duration) {
        self.0[(at.as_secs() as usize).min(SECONDS - 1)].fetch_add(1, Relaxed);
    }

    /// The most in one second, from a second on.
    pub fn most(&self, from: Duration) -> u64 {
        self.0.iter().skip(from.as_secs() as usize).map(|n| n.load(Relaxed)).max().unwrap_or(0)
    }
}

/// Durations, to 5 %.
pub struct Histogram {
    buckets: Vec<AtomicU64>,
    most_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), most_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub fn count(&self, took: Duration) {
        let ratio = (took.as_secs_f64() * 10_000.0).max(1.0);
        let bucket = (ratio.ln() / GROWTH.ln()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.most_us.fetch_max(took.as_micros() as u64, Relaxed);
    }

    /// Milliseconds under which `share` of them are.
    fn quantile(&self, share: f64) -> Option<f64> {
        let counts: Vec<u64> = self.buckets.iter().map(|n| n.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut so_far = 0;
        let bucket = counts.iter().position(|n| {
            so_far += n;
            wanted > 0 && so_far >= wanted
        })?;
        Some(0.1 * GROWTH.powi(bucket as i32 + 1))
    }

    pub fn report(&self) -> Value {
        let rounded = |ms: f64| (ms * 10.0).round() / 10.0;
        let quantile = |share| self.quantile(share).map(rounded);
        let most = rounded(self.most_us.load(Relaxed) as f64 / 1000.0);
        json!({"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": most})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_five_percent() {
        let histogram = Histogram::default();
        (1..=1000).for_each(|ms| histogram.count(Duration::from_millis(ms)));
        for (share, ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let told = histogram.quantile(share).unwrap();
            assert!((ms * 0.95..=ms * 1.06).contains(&told), "{share}: {told}");
        }
        assert_eq!(histogram.report()["max"], 1000.0);
        assert_eq!(Histogram::default().report()["p50"], Value::Null);
    }

    #[test]
    fn the_busiest_second_is_found_from_a_moment_on() {
        let timeline = Timeline::default();
        (0..5).for_each(|_| timeline.count(Duration::from_secs(1)));
        (0..3).for_each(|_| timeline.count(Duration::from_millis(9_400)));
        assert_eq!((timeline.most(Duration::ZERO), timeline.most(Duration::from_secs(2))), (5, 3));
        timeline.count(Duration::from_secs(1 << 40));
    }
}
