//! Commands that are delivered more than once, done once: their ids are remembered, on disk with what they did.
//!
//! The memory is a ring of [`PLACES`], each a row of its own, so that it never grows. An id keeps its place for [`REMEMBERED`];
//! where all are taken by younger ones, a command is refused rather than one forgotten that may come again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Command, CommandError, Hub, Output, Reply, Row, RowKind};
use crate::time::{Now, Wall};

/// Commands within [`REMEMBERED`]: one every second or so, more than people send.
pub const PLACES: u16 = 256;

/// Who sends a command may be half a minute ahead or behind, and brokers deliver again for as long as it is not stale: twice that,
/// and as much again.
pub const REMEMBERED: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub struct Once {
    places: BTreeMap<u16, Done>,
    by_id: HashMap<String, u16>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done {
    id: String,
    at: Wall,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// Ids of what it made: nothing of it is secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    made: BTreeMap<String, Value>,
}

/// What of an answer is kept.
const KEPT: [&str; 3] = ["action_attempt_id", "access_code_id", "device_id"];

impl Done {
    fn new(id: String, at: Wall, reply: &Reply) -> Done {
        let kept =
            |value: &Value| KEPT.iter().filter_map(|key| Some(((*key).to_owned(), value.get(*key)?.clone()))).collect();
        Done {
            id,
            at,
            refused: reply.as_ref().err().map(CommandError::to_string),
            made: reply.as_ref().map(kept).unwrap_or_default(),
        }
    }

    fn again(&self) -> Reply {
        match &self.refused {
            Some(why) => Err(CommandError::Refused(why.clone())),
            None => {
                let mut reply = json!(self.made);
                reply["done_before"] = true.into();
                Ok(reply)
            }
        }
    }
}

impl Once {
    pub fn restore(&mut self, key: &str, row: &str) {
        let (Ok(place), Ok(done)) = (key.parse(), serde_json::from_str(row)) else { return };
        self.put(place, done);
    }

    fn known(&self, id: &str) -> Option<&Done> {
        self.places.get(self.by_id.get(id)?)
    }

    fn put(&mut self, place: u16, done: Done) {
        if let Some(old) = self.places.get(&place) {
            self.by_id.remove(&old.id);
        }
        self.by_id.insert(done.id.clone(), place);
        self.places.insert(place, done);
    }

    /// A place that is free, or whose command is long past.
    fn place(&self, now: Wall) -> Option<u16> {
        let past = |done: &Done| now.0.saturating_sub(done.at.0) > REMEMBERED.as_millis() as i64;
        (0..PLACES).find(|place| self.places.get(place).is_none_or(past))
    }
}

impl Hub {
    pub(super) fn once(&mut self, now: Now, id: String, command: Command, out: &mut Output) -> Reply {
        if let Some(done) = self.once.known(&id) {
            return done.again();
        }
        let Some(place) = self.once.place(now.wall) else {
            return Err(CommandError::TooMany { retry_after_s: REMEMBERED.as_secs() });
        };
        let reply = self.command(now, command, out);
        let done = Done::new(id, now.wall, &reply);
        let value = serde_json::to_value(&done).ok();
        self.once.put(place, done);
        out.rows.push(Row { kind: RowKind::Command, key: place.to_string(), value });
        reply
    }
}
