//! What we left retained at the broker, so that nothing stays there as a ghost: under an old name of the hub, of a device that a
//! lost database no longer knows.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Ledger {
    topics: BTreeMap<String, Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// From earlier, and not yet seen to be still wanted.
    Old,
    Wanted,
    /// Its removal is on the way.
    Going,
}

impl Ledger {
    pub fn new(topics: Vec<String>) -> Ledger {
        Ledger { topics: topics.into_iter().map(|topic| (topic, Standing::Old)).collect() }
    }

    /// Something is retained there from now on; true where that is new to the ledger.
    pub fn met(&mut self, topic: &str) -> bool {
        match self.topics.get_mut(topic) {
            Some(standing) => {
                *standing = Standing::Wanted;
                false
            }
            None => self.topics.insert(topic.to_owned(), Standing::Wanted).is_none(),
        }
    }

    /// A topic that nothing wants any more. Ask only when everything wanted was met.
    pub fn ghost(&mut self) -> Option<String> {
        let (topic, standing) = self.topics.iter_mut().find(|(_, standing)| **standing == Standing::Old)?;
        *standing = Standing::Going;
        Some(topic.clone())
    }

    /// Its removal is on the way.
    pub fn leaves(&mut self, topic: &str) {
        if let Some(standing) = self.topics.get_mut(topic) {
            *standing = Standing::Going;
        }
    }

    /// The broker took the removal; true where nothing came to stand there meanwhile.
    pub fn cleared(&mut self, topic: &str) -> bool {
        let gone = self.topics.get(topic) == Some(&Standing::Going);
        if gone {
            self.topics.remove(topic);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nothing_wants_is_a_ghost_and_each_only_once() {
        let mut ledger = Ledger::new(vec!["p/old/status".into(), "p/h/device/1".into()]);
        assert!(!ledger.met("p/h/device/1"), "it is in the ledger already");
        assert!(ledger.met("p/h/status"));
        assert_eq!(ledger.ghost().as_deref(), Some("p/old/status"));
        assert_eq!(ledger.ghost(), None);
        assert!(ledger.cleared("p/old/status"));
        assert!(ledger.met("p/old/status"), "it is new again");
    }

    #[test]
    fn what_comes_back_while_its_removal_is_on_the_way_stays_in_the_ledger() {
        let mut ledger = Ledger::default();
        ledger.met("p/h/device/1");
        ledger.leaves("p/h/device/1");
        assert!(!ledger.met("p/h/device/1"));
        assert!(!ledger.cleared("p/h/device/1"), "the device stands there again");
    }
}
