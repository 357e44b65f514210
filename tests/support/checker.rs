//! A subscriber that follows `seq` and `event_id`: what it holds in the end must be exactly the log.
#![allow(dead_code)]

use std::collections::BTreeMap;

use portcullis::store::Stored;
use uuid::Uuid;

use super::subscriber::Told;

#[derive(Default)]
pub struct Checker {
    /// The first message of each `seq`.
    held: BTreeMap<u64, Told>,
    /// The last `seq` of each device or account, in the order of first arrival.
    last: BTreeMap<String, u64>,
    pub doubles: usize,
    wrong: Option<String>,
}

impl Checker {
    pub fn take(&mut self, told: Told) {
        let seq = told.json()["seq"].as_u64().expect("a seq");
        if let Some(first) = self.held.get(&seq) {
            self.doubles += 1;
            if first.payload != told.payload {
                self.wrong.get_or_insert(format!("a double of {seq} has other bytes"));
            }
            return;
        }
        let owner = told.topic.split('/').nth(3).expect("an id in the topic").to_owned();
        let last = self.last.insert(owner.clone(), seq).unwrap_or(0);
        if last > seq {
            self.wrong.get_or_insert(format!("{owner}: {seq} came after {last}"));
        }
        self.held.insert(seq, told);
    }

    /// How many events it holds.
    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// What is wrong with what was told, given the whole log.
    pub fn compare(&self, log: &[Stored], log_id: Uuid) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        for event in log {
            let Some(told) = self.held.get(&event.seq) else {
                return Err(format!("event {} was accepted and never told", event.seq));
            };
            let body = event.body.trim_end_matches('}');
            if told.text() != format!(r#"{body},"seq":{},"log_id":"{log_id}"}}"#, event.seq) {
                return Err(format!("event {} was told with other bytes than the log has", event.seq));
            }
        }
        let logged: std::collections::BTreeSet<u64> = log.iter().map(|e| e.seq).collect();
        match self.held.keys().find(|seq| !logged.contains(seq)) {
            Some(seq) => Err(format!("event {seq} was told and is not in the log")),
            None => Ok(()),
        }
    }
}
