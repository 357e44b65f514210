//! The end of the log in memory: who follows it closely is told at once, without a way over the disk and two threads.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::Stored;

/// What one commit may bring that is still news to somebody.
const EVENTS_MOST: usize = 64;

/// Of bodies, in bytes. A body is some hundred bytes.
const BYTES_MOST: usize = 128 * 1024;

/// The last events on disk, without a gap.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Stored>>);

impl Recent {
    /// What a commit put on disk, in order.
    pub fn append(&self, events: Vec<Stored>) {
        let mut recent = self.0.lock().unwrap_or_else(|e| e.into_inner());
        for event in events {
            if recent.back().is_some_and(|last| last.seq + 1 != event.seq) {
                recent.clear();
            }
            recent.push_back(event);
        }
        let mut bytes: usize = recent.iter().map(|event| event.body.len()).sum();
        while recent.len() > EVENTS_MOST || bytes > BYTES_MOST {
            let Some(oldest) = recent.pop_front() else { break };
            bytes -= oldest.body.len();
        }
    }

    /// The log is another one, or its end must be read from the disk.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clear();
    }

    /// All after `seq`; nothing where the first of them is not here.
    pub fn after(&self, seq: u64) -> Vec<Stored> {
        let recent = self.0.lock().unwrap_or_else(|e| e.into_inner());
        match recent.front() {
            Some(first) if first.seq <= seq + 1 => recent.iter().filter(|event| event.seq > seq).cloned().collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::EventType;
    use crate::time::Wall;

    fn event(seq: u64) -> Stored {
        Stored {
            seq,
            event_id: Uuid::from_u128(seq.into()),
            event_type: EventType::LockLocked,
            account_id: Uuid::nil(),
            device_id: None,
            created_at: Wall(0),
            body: "x".repeat(1000),
        }
    }

    fn after(recent: &Recent, seq: u64) -> Vec<u64> {
        recent.after(seq).iter().map(|event| event.seq).collect()
    }

    #[test]
    fn the_end_of_the_log_is_given_without_a_gap_or_not_at_all() {
        let recent = Recent::default();
        assert!(after(&recent, 0).is_empty());
        recent.append(vec![event(5), event(6)]);
        recent.append(vec![event(7)]);
        assert_eq!(after(&recent, 4), [5, 6, 7]);
        assert_eq!(after(&recent, 6), [7]);
        assert!(after(&recent, 7).is_empty() && after(&recent, 3).is_empty(), "4 may be on disk");
        recent.append(vec![event(9)]);
        assert_eq!(after(&recent, 8), [9]);
        assert!(after(&recent, 6).is_empty(), "8 is not here");
        recent.clear();
        assert!(after(&recent, 8).is_empty());
    }

    #[test]
    fn it_holds_a_bounded_part() {
        let recent = Recent::default();
        recent.append((1..=1000).map(event).collect());
        assert_eq!(after(&recent, 1000 - EVENTS_MOST as u64).len(), EVENTS_MOST);
        assert!(after(&recent, 1).is_empty());
        recent.append(vec![Stored { body: "x".repeat(BYTES_MOST), ..event(1001) }]);
        assert_eq!(after(&recent, 1000), [1001]);
        recent.append(vec![Stored { body: "x".repeat(BYTES_MOST + 1), ..event(1002) }]);
        assert!(after(&recent, 1001).is_empty(), "one that is too large is on disk");
    }
}
