//! How much is on its way at once. Pure: moments are handed in.
//!
//! A broker at which many hubs drain a long backlog takes from each of them in its turn. What a hub has on its way beyond that only lies in
//! the broker's queue, and before everything that comes after it: the next acknowledgement, and the answer to a ping. So a connection begins
//! with little, doubles it with each round of prompt acknowledgements, and halves it when they come late.

use std::time::{Duration, Instant};

/// With which a connection begins: a round of it is nothing even to a broker at which thousands of hubs begin together.
const FIRST: usize = 4;

/// An acknowledgement is prompt: from around the world, with the broker's disk. Between it and a late one the window is right.
const PROMPT: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub struct Window {
    most: usize,
    now: usize,
    halved: Option<Instant>,
}

impl Window {
    pub fn new(most: usize) -> Window {
        let most = most.max(1);
        Window { most, now: FIRST.min(most), halved: None }
    }

    pub fn size(&self) -> usize {
        self.now
    }

    /// Something that left at `left` was acknowledged.
    pub fn acknowledged(&mut self, left: Instant, now: Instant) {
        let waited = now.saturating_duration_since(left);
        if waited <= PROMPT {
            self.now = (self.now + 1).min(self.most);
        } else if waited >= LATE && self.halved.is_none_or(|halved| left >= halved) {
            // What left before says nothing of the window as it is now.
            self.now = (self.now / 2).max(1);
            self.halved = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round: everything that is on its way is acknowledged after `waited`.
    fn round(window: &mut Window, left: Instant, waited: Duration) -> usize {
        for _ in 0..window.size() {
            window.acknowledged(left, left + waited);
        }
        window.size()
    }

    #[test]
    fn it_doubles_with_prompt_rounds_to_the_most_and_halves_once_with_a_late_one() {
        let (mut window, start) = (Window::new(100), Instant::now());
        assert_eq!(window.size(), 4);
        let prompt = Duration::from_millis(100);
        let sizes: Vec<usize> = (0..5).map(|_| round(&mut window, start, prompt)).collect();
        assert_eq!(sizes, [8, 16, 32, 64, 100]);
        let late = Duration::from_secs(6);
        let sizes: Vec<usize> = (1..9).map(|n| round(&mut window, start + 10 * n * late, late)).collect();
        assert_eq!(sizes, [50, 25, 12, 6, 3, 1, 1, 1]);
        let fair = Duration::from_secs(2);
        assert_eq!(round(&mut window, start + 100 * late, fair), 1, "neither prompt nor late: it is right");
        assert_eq!(round(&mut window, start + 101 * late, prompt), 2);
        assert_eq!(Window::new(0).size(), 1);
    }

    /// Hubs that share one broker, which takes so many a second, one of each hub in turn.
    fn shared(hubs: usize, a_second: usize, backlog: usize) -> (f64, Duration) {
        let start = Instant::now();
        let at = |served: usize| start + Duration::from_secs_f64(served as f64 / a_second as f64);
        let mut windows: Vec<Window> = (0..hubs).map(|_| Window::new(100)).collect();
        let mut lines: Vec<std::collections::VecDeque<Instant>> = vec![Default::default(); hubs];
        let mut left = vec![backlog; hubs];
        let (mut served, mut longest) = (0, Duration::ZERO);
        while left.iter().any(|left| *left > 0) || lines.iter().any(|line| !line.is_empty()) {
            for hub in 0..hubs {
                let now = at(served);
                while left[hub] > 0 && lines[hub].len() < windows[hub].size() {
                    lines[hub].push_back(now);
                    left[hub] -= 1;
                }
                if let Some(sent) = lines[hub].pop_front() {
                    served += 1;
                    longest = longest.max(at(served) - sent);
                    windows[hub].acknowledged(sent, at(served));
                }
            }
        }
        (served as f64 / a_second as f64, longest)
    }

    #[test]
    fn fifteen_hundred_hubs_drain_at_the_brokers_pace_and_none_waits_long_for_an_acknowledgement() {
        let (took, longest) = shared(1500, 2000, 150);
        assert!((took - 112.5).abs() < 0.1, "{took}: the broker has always something to do");
        assert!(longest < Duration::from_secs(12), "{longest:?}");
        let (_, longest) = shared(5000, 2000, 50);
        assert!(longest < Duration::from_secs(40), "{longest:?}");
        let (took, longest) = shared(1, 2000, 4000);
        assert!(
            (took - 2.0).abs() < 0.1 && longest < Duration::from_millis(100),
            "{took} {longest:?}: alone, it is quick"
        );
    }
}
