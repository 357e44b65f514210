//! Who is compared: our judge, one that knows each device's interval and losses, and Home Assistant's.

use super::score::{Said, Told};
use super::trace::{Device, Lasts, Trace, What};

/// The knowing judge's chance of calling one silent gap a departure.
const MISS: f64 = 1e-9;

/// How long the knowing judge waits for a device.
pub fn patience(trace: &Trace, device: &Device) -> f64 {
    let misses = (MISS.ln() / (1.0 - device.heard).ln()).ceil();
    let fade = trace.regime.fade.or(trace.regime.dark).map_or(0.0, |(often, _)| match often.lasts {
        Lasts::Exponential(mean) => 6.0 * mean,
        Lasts::Uniform(_, most) => most,
    });
    misses * device.slow + fade + trace.regime.once_in
}

/// Knows every device's slowest interval and average loss, the fades' length, and when the hub was deaf.
pub fn oracle(trace: &Trace) -> Vec<Said> {
    let mut said = Vec::new();
    for (n, device) in trace.devices.iter().enumerate() {
        let timeout = patience(trace, device);
        let heard: Vec<f64> = heard(trace, n).collect();
        let Some(first) = heard.first() else { continue };
        said.push((*first, n, Told::Connected));
        for (i, t) in heard.iter().enumerate() {
            let next = heard.get(i + 1).copied().unwrap_or(f64::INFINITY);
            if next - t < timeout {
                continue;
            }
            let mut due = t + timeout;
            for (from, to) in &trace.deaf {
                if to > t && *from < due {
                    due += to - from.max(*t);
                }
            }
            if due < next.min(trace.end) {
                said.push((due, n, Told::Disconnected));
                if next < f64::INFINITY {
                    said.push((next, n, Told::Connected));
                }
            }
        }
    }
    said.sort_by(|a, b| a.0.total_cmp(&b.0));
    said
}

fn heard(trace: &Trace, n: usize) -> impl Iterator<Item = f64> {
    trace.log.iter().filter_map(move |(at, what)| match what {
        What::Heard { device, .. } if usize::from(*device) == n => Some(*at as f64 / 1000.0),
        _ => None,
    })
}

/// Home Assistant's judge, restated from habluetooth's description of itself: the longest of the first 15 gaps and 5 s, or
/// 900 s until then; it is asked every 300 s.
pub fn home_assistant(trace: &Trace) -> Vec<Said> {
    const SAMPLES: usize = 16;
    const WOBBLE_S: f64 = 5.0;
    const FALLBACK_S: f64 = 900.0;
    const ASKED_EVERY_S: f64 = 300.0;
    let mut said = Vec::new();
    for n in 0..trace.devices.len() {
        let mut samples = Vec::new();
        let mut interval = None;
        let mut last: Option<f64> = None;
        let end = [f64::INFINITY];
        for t in heard(trace, n).chain(end) {
            if let Some(last) = last {
                let timeout = interval.map_or(FALLBACK_S, |i| i + WOBBLE_S);
                // The first question after the timeout.
                let asked = ((last + timeout) / ASKED_EVERY_S).floor() * ASKED_EVERY_S + ASKED_EVERY_S;
                if asked < t.min(trace.end) {
                    said.push((asked, n, Told::Disconnected));
                    (interval, samples) = (None, Vec::new());
                    if t < f64::INFINITY {
                        said.push((t, n, Told::Connected));
                    }
                }
            } else if t < f64::INFINITY {
                said.push((t, n, Told::Connected));
            }
            last = Some(t);
            if interval.is_none() {
                samples.push(t);
                if samples.len() == SAMPLES {
                    interval = samples.windows(2).map(|w: &[f64]| w[1] - w[0]).reduce(f64::max);
                }
            }
        }
    }
    said.sort_by(|a, b| a.0.total_cmp(&b.0));
    said
}
