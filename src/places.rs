//! Values by their keys, close together: an index of small entries, and values that stay in their places.
//!
//! An advert of one of 100,000 devices costs what memory it touches. A map that holds values of hundreds of bytes scatters them
//! over as many pages as there are devices; here those that were met one after the other, and so speak one after the other, lie
//! side by side.

use std::collections::HashMap;
use std::hash::Hash;

/// A map whose hash nobody foresees who does not see it: each map has a secret of its own. Quicker than the standard library's on
/// keys of a word, and no defence against one who could read the hashes: for keys that come by radio or from a bridge.
pub type KeyMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Clone, Debug)]
pub struct Places<K, V> {
    index: KeyMap<K, u32>,
    places: Vec<Option<V>>,
    free: Vec<u32>,
}

impl<K, V> Default for Places<K, V> {
    fn default() -> Self {
        Places { index: KeyMap::default(), places: Vec::new(), free: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Places<K, V> {
    /// Where the value of a key is, for as long as it is there.
    pub fn place(&self, key: &K) -> Option<u32> {
        self.index.get(key).copied()
    }

    pub fn at(&self, place: u32) -> Option<&V> {
        self.places.get(place as usize)?.as_ref()
    }

    pub fn at_mut(&mut self, place: u32) -> Option<&mut V> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.index.contains_key(key)
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.at(self.place(key)?)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.at_mut(self.place(key)?)
    }

    /// Puts a value in the place of its key, or in a new one; says where that is.
    pub fn insert(&mut self, key: K, value: V) -> u32 {
        let place = self.place(&key).or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = Some(value);
        self.index.insert(key, place);
        place
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.index.remove(key)?;
        self.free.push(place);
        self.places[place as usize].take()
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.index.iter().filter_map(|(key, place)| Some((key, self.at(*place)?)))
    }

    /// In the order of their places.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.places.iter().flatten()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.places.iter_mut().flatten()
    }

    /// Places that are or were taken: all are below this.
    pub fn places(&self) -> u32 {
        self.places.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_in_its_place_and_a_place_that_is_left_is_taken_again() {
        let mut places = Places::default();
        let of: Vec<u32> = ["a", "b", "c"].map(|key| places.insert(key, key.to_uppercase())).into();
        assert_eq!(places.insert("b", "b again".into()), of[1]);
        assert_eq!(places.remove(&"a").as_deref(), Some("A"));
        assert_eq!(places.remove(&"a"), None);
        assert_eq!((places.place(&"a"), places.at(of[0])), (None, None));
        assert_eq!(places.insert("d", "D".into()), of[0]);
        assert_eq!(places.values().collect::<Vec<_>>(), ["D", "b again", "C"]);
        assert_eq!((places.get(&"c").map(String::as_str), places.places()), (Some("C"), 3));
        let mut all: Vec<_> = places.iter().map(|(key, value)| (*key, value.as_str())).collect();
        all.sort();
        assert_eq!(all, [("b", "b again"), ("c", "C"), ("d", "D")]);
    }
}
