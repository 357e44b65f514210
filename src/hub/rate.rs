//! So many within so long, and no more.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Mono;

#[derive(Clone, Debug)]
pub struct Rate {
    most: usize,
    window: Duration,
    admitted: VecDeque<Mono>,
}

impl Rate {
    pub fn new(most: usize, window: Duration) -> Rate {
        Rate { most, window, admitted: VecDeque::new() }
    }

    /// Admits one more, or says how long to wait for that.
    pub fn admit(&mut self, now: Mono) -> Result<(), Duration> {
        while self.admitted.front().is_some_and(|at| now.since(*at) >= self.window) {
            self.admitted.pop_front();
        }
        match self.admitted.front() {
            Some(first) if self.admitted.len() >= self.most => Err(self.window.saturating_sub(now.since(*first))),
            _ => {
                self.admitted.push_back(now);
                Ok(())
            }
        }
    }
}
