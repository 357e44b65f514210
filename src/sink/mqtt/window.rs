//! How much is on its way at once. Pure.
//!
//! A broker at which many hubs drain a long backlog is slower than they are patient: what comes back too late is sent again, and costs it the
//! same once more. So a connection that ended over a late acknowledgement is followed by one with half as much on its way.

use super::wire::Broken;

/// Below this the way of an acknowledgement sets the pace, and not the broker.
const LEAST: u16 = 4;

#[derive(Debug)]
pub struct Window {
    most: u16,
    now: u16,
}

impl Window {
    pub fn new(most: u16) -> Window {
        Window { most, now: most }
    }

    pub fn size(&self) -> u16 {
        self.now
    }

    /// How a connection ended. Any other end says nothing of the broker's pace: half of what was taken away comes back.
    pub fn ended(&mut self, error: &Broken) {
        self.now = match error {
            Broken::Unacknowledged(_) => (self.now / 2).max(LEAST.min(self.most)),
            _ => self.now + (self.most - self.now).div_ceil(2),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn late_acknowledgements_halve_it_and_other_ends_open_it_again() {
        let mut window = Window::new(100);
        let late = Broken::Unacknowledged(Duration::from_secs(20));
        let mut sizes = Vec::new();
        for _ in 0..6 {
            window.ended(&late);
            sizes.push(window.size());
        }
        assert_eq!(sizes, [50, 25, 12, 6, 4, 4]);
        for _ in 0..8 {
            window.ended(&Broken::Silent);
        }
        assert_eq!(window.size(), 100);
        let mut one = Window::new(1);
        one.ended(&late);
        assert_eq!(one.size(), 1);
    }
}
