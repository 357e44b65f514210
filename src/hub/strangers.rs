//! Devices that nobody adopted, before they are believed: heard at least three times over a minute. Forged adverts must not
//! become a flood, so everything here is bounded and what is turned away is counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::signal::DeviceKey;
use crate::time::Mono;

/// DESIGN: heard at least 3 times over 60 s.
const HEARD: u32 = 3;
const OVER: Duration = Duration::from_secs(60);

/// A candidate silent for so long begins anew: the slowest sensors of the known families speak every ten minutes.
const FORGET: Duration = Duration::from_secs(30 * 60);

/// Candidates at once. The oldest makes room: with new addresses coming slower than 17 a second, a real device is believed first.
const CANDIDATES: usize = 1024;

/// Unmanaged devices at once (DESIGN).
pub const UNMANAGED: usize = 256;

#[derive(Debug)]
struct Candidate {
    number: u64,
    first: Mono,
    last: Mono,
    heard: u32,
}

#[derive(Debug, Default)]
pub struct Strangers {
    candidates: HashMap<DeviceKey, Candidate>,
    by_age: BTreeMap<u64, DeviceKey>,
    next: u64,
    /// Devices turned away because [`UNMANAGED`] others were there, and candidates that made room for others.
    pub refused: u64,
}

impl Strangers {
    /// A stranger was heard; true where it may now be believed.
    pub fn heard(&mut self, key: DeviceKey, now: Mono) -> bool {
        match self.candidates.get_mut(&key) {
            Some(c) if now.since(c.last) <= FORGET => {
                c.last = now;
                c.heard = c.heard.saturating_add(1);
                let believed = c.heard >= HEARD && now.since(c.first) >= OVER;
                if believed {
                    self.forget(&key);
                }
                believed
            }
            _ => {
                self.forget(&key);
                self.remember(key, now);
                false
            }
        }
    }

    pub fn forget(&mut self, key: &DeviceKey) {
        if let Some(candidate) = self.candidates.remove(key) {
            self.by_age.remove(&candidate.number);
        }
    }

    fn remember(&mut self, key: DeviceKey, now: Mono) {
        if self.candidates.len() >= CANDIDATES
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.candidates.remove(&oldest);
            self.refused += 1;
        }
        self.next += 1;
        self.candidates.insert(key, Candidate { number: self.next, first: now, last: now, heard: 1 });
        self.by_age.insert(self.next, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Address;

    fn key(n: u32) -> DeviceKey {
        let [a, b, c, d] = n.to_be_bytes();
        DeviceKey::Ble(Address([0xC0, 0, a, b, c, d]))
    }

    #[test]
    fn a_stranger_is_believed_after_three_adverts_over_a_minute_and_not_for_a_burst() {
        let mut strangers = Strangers::default();
        let heard: Vec<bool> = [0, 100, 200, 59_000, 60_000].map(|t| strangers.heard(key(1), Mono(t))).into();
        assert_eq!(heard, [false, false, false, false, true]);
        assert!(!strangers.heard(key(2), Mono(0)));
        assert!(!strangers.heard(key(2), Mono(61_000)));
    }

    #[test]
    fn a_flood_of_forged_addresses_stays_bounded_and_is_counted() {
        let mut strangers = Strangers::default();
        for n in 0..10_000 {
            strangers.heard(key(n), Mono(n.into()));
        }
        assert_eq!((strangers.candidates.len(), strangers.by_age.len()), (CANDIDATES, CANDIDATES));
        assert_eq!(strangers.refused, 10_000 - CANDIDATES as u64);
    }
}
