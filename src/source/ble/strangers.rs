//! What is remembered of devices that nobody adopted: bounded, whoever sends whatever.
//!
//! Promise: at most [`PASSERS_BY`] + [`REGULARS`] entries, twice, however many addresses there are. An address that was heard a
//! few times is a regular, and no number of addresses that are heard once (a flood of random ones, a street of phones) drives a
//! regular out.

use crate::places::KeyMap;
use crate::signal::Address;

/// Addresses heard once or twice: as many as a busy street has at a time.
const PASSERS_BY: usize = 2048;

/// Addresses heard more often: more than the channels of a building have room for.
const REGULARS: usize = 2048;

/// Heard this often, a device is a regular.
const REGULAR_AFTER: u8 = 3;

#[derive(Default)]
pub struct Strangers<V> {
    passers_by: Generations<(u8, V)>,
    regulars: Generations<V>,
}

impl<V: Default> Strangers<V> {
    /// What is remembered of a device that was heard now.
    pub fn heard(&mut self, address: Address) -> &mut V {
        if self.regulars.touch(address, REGULARS) {
            return self.regulars.young.entry(address).or_default();
        }
        self.passers_by.touch(address, PASSERS_BY);
        let (times, _) = self.passers_by.young.entry(address).or_default();
        *times += 1;
        if *times < REGULAR_AFTER {
            return &mut self.passers_by.young.entry(address).or_default().1;
        }
        let (_, value) = self.passers_by.young.remove(&address).unwrap_or_default();
        self.regulars.make_room(REGULARS);
        self.regulars.young.entry(address).insert_entry(value).into_mut()
    }

    pub fn get(&self, address: Address) -> Option<&V> {
        let passer_by = self.passers_by.get(address).map(|(_, value)| value);
        self.regulars.get(address).or(passer_by)
    }

    /// Takes out what is remembered, for a device that is adopted now.
    pub fn take(&mut self, address: Address) -> Option<V> {
        let passer_by = self.passers_by.take(address).map(|(_, value)| value);
        self.regulars.take(address).or(passer_by)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.passers_by.len() + self.regulars.len()
    }

    /// Addresses forgotten to make room.
    pub fn forgotten(&self) -> u64 {
        self.passers_by.forgotten + self.regulars.forgotten
    }
}

/// A table that forgets by the half: when the young half is full, the old one goes and the young one is old. What is heard
/// meanwhile moves back to the young. Cheaper than an order of use, and close enough to one.
struct Generations<V> {
    young: KeyMap<Address, V>,
    old: KeyMap<Address, V>,
    forgotten: u64,
}

impl<V> Default for Generations<V> {
    fn default() -> Self {
        Generations { young: KeyMap::default(), old: KeyMap::default(), forgotten: 0 }
    }
}

impl<V> Generations<V> {
    /// Makes sure that an address, where it is known, is among the young, and that there is room for it; true where it is known.
    fn touch(&mut self, address: Address, limit: usize) -> bool {
        if self.young.contains_key(&address) {
            return true;
        }
        let old = self.old.remove(&address);
        self.make_room(limit);
        match old {
            Some(value) => {
                self.young.insert(address, value);
                true
            }
            None => false,
        }
    }

    fn make_room(&mut self, limit: usize) {
        if self.young.len() >= limit {
            self.forgotten += self.old.len() as u64;
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
    }

    fn get(&self, address: Address) -> Option<&V> {
        self.young.get(&address).or_else(|| self.old.get(&address))
    }

    fn take(&mut self, address: Address) -> Option<V> {
        self.young.remove(&address).or_else(|| self.old.remove(&address))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u64) -> Address {
        let bytes = n.to_be_bytes();
        Address(bytes[2..].try_into().unwrap())
    }

    #[test]
    fn a_million_addresses_cost_bounded_memory_and_no_regular() {
        let mut strangers = Strangers::<u32>::default();
        let regulars: Vec<Address> = (0..1000).map(|n| address(1 << 40 | n)).collect();
        for round in 1..=3 {
            regulars.iter().for_each(|a| *strangers.heard(*a) = round);
        }
        for n in 0..1_000_000 {
            strangers.heard(address(n));
            assert!(strangers.len() <= 2 * (PASSERS_BY + REGULARS));
        }
        assert!(regulars.iter().all(|a| *strangers.heard(*a) == 3), "what a regular said is still known");
        assert!(strangers.forgotten() > 900_000);
    }

    #[test]
    fn a_device_is_remembered_from_the_first_advert_on() {
        let mut strangers = Strangers::<u32>::default();
        for n in 0..10 {
            let seen = strangers.heard(address(7));
            assert_eq!(*seen, n);
            *seen += 1;
        }
        assert_eq!(strangers.take(address(7)), Some(10));
        assert_eq!(*strangers.heard(address(7)), 0);
    }
}
