//! What stands retained at the broker: each device as it is now, the hub's health, Home Assistant's configurations. All of it is
//! said on every connection (a broker may have forgotten), and what nothing wants any more is taken away.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::home_assistant;
use super::ledger::Ledger;
use super::settings::Settings;
use super::topics::Message;
use super::wire::Broken;
use crate::health::{Health, PartState};
use crate::hub::{DeviceView, RowKind};
use crate::sink::feed::Feed;
use crate::store::{StateRow, Store, StoreError};

/// Rows read at once. Each is a tree of some kilobytes until it is said.
const PAGE: usize = 64;

/// The mark of nothing that was ever said.
const SAY_AGAIN: u64 = 0;

pub struct Shown<'a> {
    settings: &'a Settings,
    store: &'a Store,
    health: &'a Arc<Health>,
    /// Device rows, from the first on.
    states: Feed<StateRow>,
    ledger: Ledger,
    /// Of the row that was read last.
    ready: VecDeque<Message>,
    /// By device: the entities' topics, with a mark of what was said there.
    entities: HashMap<String, BTreeMap<String, u64>>,
    health_said: Option<(Instant, BTreeMap<String, PartState>)>,
}

impl<'a> Shown<'a> {
    pub fn new(settings: &'a Settings, store: &'a Store, health: &'a Arc<Health>) -> Result<Shown<'a>, StoreError> {
        Ok(Shown {
            settings,
            store,
            health,
            states: Feed::new(0, 1, |s| s.rev),
            ledger: Ledger::new(store.retained()?),
            ready: VecDeque::new(),
            entities: HashMap::new(),
            health_said: None,
        })
    }

    /// Reads on, up to the revision `head`.
    pub fn read_on(&mut self, head: u64) {
        if self.states.wants(head) {
            let store = self.store.clone();
            self.states.read(head, move |after| store.changes(RowKind::Device, after, PAGE));
        }
    }

    /// See [`Feed::page`].
    pub async fn page(&mut self) -> Result<(), StoreError> {
        self.states.page().await
    }

    /// Says everything again: somebody who listens has started anew.
    pub fn again(&mut self) {
        self.states.rewind(0);
        self.entities.values_mut().flat_map(BTreeMap::values_mut).for_each(|mark| *mark = SAY_AGAIN);
    }

    /// The next thing to say or to take away, where there is one.
    pub fn next(&mut self) -> Option<Message> {
        while self.ready.is_empty() {
            let Some(row) = self.states.next() else { return self.ghost() };
            self.show(&row);
        }
        self.ready.pop_front()
    }

    /// Only when all that is was said it is known what is a ghost.
    fn ghost(&mut self) -> Option<Message> {
        let all_said = self.health_said.is_some() && self.states.has_read(self.store.head().borrow().rev);
        let topic = all_said.then(|| self.ledger.ghost()).flatten()?;
        Some(Message::retained(topic, Vec::new()))
    }

    fn show(&mut self, row: &StateRow) {
        let topics = &self.settings.topics;
        let device = topics.device_message(&row.key, row.value.as_ref());
        if !self.settings.home_assistant {
            self.ready.push_back(device);
            return;
        }
        let view = row.value.as_ref().and_then(|v| serde_json::from_value::<DeviceView>(v.clone()).ok());
        let wanted = view.map(|v| home_assistant::entities(topics, &v, self.settings.commands)).unwrap_or_default();
        let said = self.entities.remove(&row.key).unwrap_or_default();
        // Who reads a topic goes before it, and comes after it.
        let gone = said.keys().filter(|topic| !wanted.contains_key(*topic));
        self.ready.extend(gone.map(|topic| Message::retained(topic.clone(), Vec::new())));
        self.ready.push_back(device);
        let mut marks = BTreeMap::new();
        for (topic, config) in wanted {
            let mark = mark(&config);
            if said.get(&topic) != Some(&mark) {
                self.ready.push_back(Message::retained(topic.clone(), config));
            }
            marks.insert(topic, mark);
        }
        if !marks.is_empty() {
            self.entities.insert(row.key.clone(), marks);
        }
    }

    /// The health topic, when something changed and from time to time.
    pub fn health(&mut self, now: Instant) -> Option<Message> {
        let parts = self.health.parts();
        let due = match &self.health_said {
            Some((at, said)) => now - *at >= self.settings.pace.health || *said != parts,
            None => true,
        };
        if !due {
            return None;
        }
        self.health_said = Some((now, parts));
        let health = json!({ "version": env!("CARGO_PKG_VERSION"), "health": &**self.health });
        Some(Message::retained(self.settings.topics.health(), health.to_string().into_bytes()))
    }

    /// Something is about to stand there, or to be taken away.
    pub fn sends(&mut self, message: &Message) -> Result<(), Broken> {
        if message.payload.is_empty() {
            self.ledger.leaves(&message.topic);
        } else if self.ledger.met(&message.topic) {
            self.store.note_retained(message.topic.clone(), true)?;
        }
        Ok(())
    }

    /// The broker took it away.
    pub fn cleared(&mut self, topic: &str) -> Result<(), Broken> {
        if self.ledger.cleared(topic) {
            self.store.note_retained(topic.to_owned(), false)?;
        }
        Ok(())
    }
}

fn mark(config: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    config.hash(&mut hasher);
    hasher.finish().max(SAY_AGAIN + 1)
}
