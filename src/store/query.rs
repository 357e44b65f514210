//! Questions to the log: events by what they are about, an event by its id; from a running daemon's store, or from the file.
//!
//! The log has no index but its order. `created_at` never goes down along it, and an `event_id` begins with its time (UUIDv7):
//! so a time is found by bisection, an id by its time, and every other filter is a scan from there, ended by its limit.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, params};
use uuid::Uuid;

use super::{StateRow, Store, StoreError, Stored, state_since};
use crate::event::EventType;
use crate::time::Wall;

/// What is asked for; an empty set asks for everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub event_ids: BTreeSet<Uuid>,
    pub event_types: BTreeSet<EventType>,
    pub device_ids: BTreeSet<Uuid>,
    pub account_ids: BTreeSet<Uuid>,
    pub access_code_ids: BTreeSet<Uuid>,
    /// `created_at` after this, and before that; both exclusive.
    pub after: Option<Wall>,
    pub before: Option<Wall>,
    /// Events that fit and are passed over first.
    pub offset: usize,
}

impl Filter {
    pub fn fits(&self, event: &Stored) -> bool {
        let any = |set: &BTreeSet<Uuid>, id: Option<Uuid>| set.is_empty() || id.is_some_and(|id| set.contains(&id));
        any(&self.event_ids, Some(event.event_id))
            && (self.event_types.is_empty() || self.event_types.contains(&event.event_type))
            && any(&self.device_ids, event.device_id)
            && any(&self.account_ids, Some(event.account_id))
            && self.after.is_none_or(|after| event.created_at > after)
            && self.before.is_none_or(|before| event.created_at < before)
            && (self.access_code_ids.is_empty() || any(&self.access_code_ids, access_code_id(event)))
    }
}

fn access_code_id(event: &Stored) -> Option<Uuid> {
    let body: serde_json::Value = serde_json::from_str(&event.body).ok()?;
    body["access_code_id"].as_str()?.parse().ok()
}

impl Store {
    /// Up to `limit` events that fit, oldest first.
    pub fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<Stored>, StoreError> {
        find(&self.reader.lock().unwrap_or_else(|e| e.into_inner()), filter, limit)
    }
}

/// The store of a hub that is not running (or is: it is only read).
pub struct Reader(Connection);

impl Reader {
    pub fn open(dir: &Path) -> Result<Reader, StoreError> {
        let path = dir.join("portcullis.db");
        let opened = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        opened.map(Reader).map_err(|source| StoreError::Open { path, source })
    }

    pub fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<Stored>, StoreError> {
        find(&self.0, filter, limit)
    }

    pub fn state(&self) -> Result<Vec<StateRow>, StoreError> {
        state_since(&self.0, 0)
    }
}

pub(super) const COLUMNS: &str = "seq, event_id, type, account_id, device_id, created_at, body";

pub(super) fn stored(r: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        seq: r.get(0)?,
        event_id: Uuid::from_bytes(r.get(1)?),
        event_type: r.get::<_, String>(2)?.parse().map_err(|_| rusqlite::Error::InvalidQuery)?,
        account_id: Uuid::from_bytes(r.get(3)?),
        device_id: r.get::<_, Option<[u8; 16]>>(4)?.map(Uuid::from_bytes),
        created_at: Wall(r.get(5)?),
        body: r.get(6)?,
    })
}

fn find(c: &Connection, filter: &Filter, limit: usize) -> Result<Vec<Stored>, StoreError> {
    // An id that no hub made has no time, and is in no log.
    let times: BTreeSet<Wall> = filter.event_ids.iter().filter_map(time_of).collect();
    if times.is_empty() && !filter.event_ids.is_empty() {
        return Ok(Vec::new());
    }
    let last = times.last().copied();
    let after = filter.after.map(|after| Wall(after.0.saturating_add(1)));
    let from = match after.max(times.first().copied()) {
        Some(first) => first_at(c, first)?,
        None => 0,
    };
    let sql = format!("SELECT {COLUMNS} FROM event WHERE seq >= ?1 ORDER BY seq");
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map([from], stored)?;
    let mut skip = filter.offset;
    let mut found = Vec::new();
    for event in rows {
        let event = event?;
        if found.len() == limit
            || filter.before.is_some_and(|before| event.created_at >= before)
            || last.is_some_and(|last| event.created_at > last)
        {
            break;
        }
        if !filter.fits(&event) {
            continue;
        }
        match skip {
            0 => found.push(event),
            _ => skip -= 1,
        }
    }
    Ok(found)
}

/// The time that an `event_id` begins with; `None` for one that no hub made.
fn time_of(id: &Uuid) -> Option<Wall> {
    let (seconds, nanos) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    Some(Wall(i64::try_from(seconds).ok()? * 1000 + i64::from(nanos / 1_000_000)))
}

/// The first `seq` at or after a time, by bisection (`seq` may have gaps, where old events were taken out).
fn first_at(c: &Connection, at: Wall) -> Result<u64, StoreError> {
    let mut probe = c.prepare_cached("SELECT seq, created_at FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    let mut low: u64 = c.query_row("SELECT coalesce(min(seq), 0) FROM event", [], |r| r.get(0))?;
    let mut high: u64 = c.query_row("SELECT coalesce(max(seq), 0) + 1 FROM event", [], |r| r.get(0))?;
    while low < high {
        let middle = low + (high - low) / 2;
        let (seq, created): (u64, i64) = probe.query_row(params![middle], |r| Ok((r.get(0)?, r.get(1)?)))?;
        if created < at.0 {
            low = seq + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Details, Dialect, Event};
    use crate::store::Batch;

    fn event(n: u64, at: i64) -> Event {
        let random = [n as u8; 10];
        Event {
            event_id: uuid::Builder::from_unix_timestamp_millis(at as u64, &random).into_uuid(),
            event_type: if n.is_multiple_of(2) { EventType::LockLocked } else { EventType::LockUnlocked },
            workspace_id: Uuid::from_u128(1),
            created_at: Wall(at),
            occurred_at: Wall(at),
            connected_account_id: Uuid::from_u128(2),
            device_id: Some(Uuid::from_u128(u128::from(n % 3))),
            details: Details::default(),
        }
    }

    /// A log of 60 events, two a millisecond.
    fn log(dir: &Path) -> (Store, Vec<Event>) {
        let (store, _) = Store::open(dir, Dialect::Classic).unwrap();
        let events: Vec<Event> = (0..60).map(|n| event(n, 1_767_225_600_000 + n as i64 / 2)).collect();
        let (done, wait) = std::sync::mpsc::channel();
        let then = Box::new(move || done.send(()).unwrap());
        store.append(Batch { events: events.clone(), rows: Vec::new(), then: Some(then) }).unwrap();
        wait.recv().unwrap();
        (store, events)
    }

    #[test]
    fn every_filter_finds_exactly_what_a_look_at_each_event_would() {
        let dir = tempfile::tempdir().unwrap();
        let (store, events) = log(dir.path());
        let time = |n: usize| Some(events[n].created_at);
        let filters = [
            Filter::default(),
            Filter { after: time(20), ..Filter::default() },
            Filter { before: time(20), ..Filter::default() },
            Filter { after: time(7), before: time(31), ..Filter::default() },
            Filter { event_types: [EventType::LockLocked].into(), after: time(9), ..Filter::default() },
            Filter { device_ids: [Uuid::from_u128(1), Uuid::from_u128(2)].into(), ..Filter::default() },
            Filter { account_ids: [Uuid::from_u128(9)].into(), ..Filter::default() },
            Filter { event_ids: [events[3].event_id, events[41].event_id].into(), ..Filter::default() },
            Filter { event_ids: [Uuid::new_v4()].into(), ..Filter::default() },
        ];
        for filter in filters {
            let wanted: Vec<Uuid> =
                store.events_after(0, 1000).unwrap().iter().filter(|e| filter.fits(e)).map(|e| e.event_id).collect();
            let found: Vec<Uuid> = store.find(&filter, 1000).unwrap().iter().map(|e| e.event_id).collect();
            assert_eq!(found, wanted, "{filter:?}");
            let paged: Vec<Uuid> = [0, 5]
                .into_iter()
                .flat_map(|offset| store.find(&Filter { offset, ..filter.clone() }, 5).unwrap())
                .map(|e| e.event_id)
                .collect();
            assert_eq!(paged, wanted.into_iter().take(10).collect::<Vec<_>>(), "{filter:?}");
        }
    }

    #[test]
    fn the_file_answers_like_the_running_store() {
        let dir = tempfile::tempdir().unwrap();
        let (store, events) = log(dir.path());
        let filter = Filter { event_ids: [events[17].event_id].into(), ..Filter::default() };
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.find(&filter, 10).unwrap(), store.find(&filter, 10).unwrap());
        assert_eq!(reader.find(&filter, 10).unwrap().len(), 1);
        assert!(Reader::open(&dir.path().join("nowhere")).is_err());
    }
}
