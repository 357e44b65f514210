//! Holds what a judge told against the truth, as the yardstick does.

use super::judges::patience;
use super::trace::Trace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Connected,
    Disconnected,
    /// Lost with its adapter.
    HubDisconnected,
}

/// (seconds, device, what), in order.
pub type Said = (f64, usize, Told);

#[derive(Clone, Debug, Default)]
pub struct Score {
    pub days: f64,
    pub falsely: Vec<(u64, f64, usize)>,
    pub hub: usize,
    pub stutters: usize,
    pub missed: usize,
    /// Of those missed: away for less than twice the knowing judge's patience, so that no bar on delays asks for a word in time.
    pub brief: usize,
    pub delays: Vec<f64>,
    pub back: Vec<f64>,
}

impl Score {
    pub fn of(trace: &Trace, said: &[Said]) -> Score {
        let mut score = Score::default();
        let inside = |spans: &[(f64, f64)], t: f64, more: f64| spans.iter().any(|s| s.0 <= t && t < s.1 + more);
        for (n, device) in trace.devices.iter().enumerate() {
            let mine: Vec<_> = said.iter().filter(|s| s.1 == n).collect();
            score.days += device.here.iter().map(|h| h.1 - h.0).sum::<f64>() / 86_400.0;
            score.stutters += mine.iter().enumerate().filter(|(i, s)| (s.2 == Told::Connected) != (i % 2 == 0)).count();
            for (t, _, told) in &mine {
                if *told == Told::Connected || !inside(&device.here, *t, 0.0) {
                    continue;
                }
                if *told == Told::HubDisconnected && inside(&trace.deaf, *t, 5.0) {
                    score.hub += 1;
                } else {
                    score.falsely.push((trace.seed, *t, n));
                }
            }
            for (i, here) in device.here.iter().enumerate().filter(|(_, h)| h.1 < trace.end - 600.0) {
                let (left, back) = (here.1, device.here.get(i + 1).map_or(f64::INFINITY, |h| h.0));
                match mine.iter().find(|s| s.2 == Told::Disconnected && left - 1.0 <= s.0 && s.0 < back) {
                    Some(told) => score.delays.push(told.0 - left),
                    None => {
                        score.missed += 1;
                        score.brief += usize::from(back - left < 2.0 * patience(trace, device));
                    }
                }
                if back < trace.end {
                    let again = mine.iter().find(|s| s.2 == Told::Connected && s.0 >= back - 1.0);
                    score.back.push(again.map_or(f64::INFINITY, |s| s.0 - back));
                }
            }
        }
        score
    }

    pub fn add(&mut self, other: Score) {
        self.days += other.days;
        self.falsely.extend(other.falsely);
        self.hub += other.hub;
        self.stutters += other.stutters;
        self.missed += other.missed;
        self.brief += other.brief;
        self.delays.extend(other.delays);
        self.back.extend(other.back);
    }

    /// The share `p` of the delays is no longer than this.
    pub fn delay(&self, p: f64) -> f64 {
        quantile(&self.delays, p)
    }

    pub fn back(&self, p: f64) -> f64 {
        quantile(&self.back, p)
    }
}

fn quantile(of: &[f64], p: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((p * sorted.len() as f64) as usize).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
