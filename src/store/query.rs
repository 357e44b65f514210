//! Questions to the log: events by what they are about, an event by its id; from a running daemon's store, or from the file.
//!
//! `at` never goes down along the log, and an `event_id` begins with it (UUIDv7): so a time is found by bisection, and an id by
//! its time. Devices and types have an index. Only places are gathered from it; what is read are the events that are asked for.

mod places;

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::Stored;
use super::reader::event_at;
use super::seal::Seal;
use crate::event::EventType;
use crate::time::Wall;
use places::Span;

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
    /// From the end of the log backwards.
    pub newest_first: bool,
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

pub(super) fn access_code_id(event: &Stored) -> Option<Uuid> {
    let body: serde_json::Value = serde_json::from_str(&event.body).ok()?;
    body["access_code_id"].as_str()?.parse().ok()
}

type Sql<T> = Result<T, rusqlite::Error>;

/// Up to `limit` events that fit, oldest first unless asked otherwise.
pub(super) fn find(c: &Connection, seal: &Seal, filter: &Filter, limit: usize) -> Sql<Vec<Stored>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let wanted = filter.offset.saturating_add(limit);
    let (first, last) = (seq_after(c, filter.after)?, seq_before(c, filter.before)?);
    let types = places::types(c, &filter.event_types)?;
    let mut seqs = Vec::new();
    let span = Span { first, last, newest_first: filter.newest_first };
    if !filter.event_ids.is_empty() {
        for id in &filter.event_ids {
            seqs.extend(seq_of(c, *id)?);
        }
    } else if !filter.access_code_ids.is_empty() {
        for id in &filter.access_code_ids {
            places::of_code(c, *id, span, &mut seqs)?;
        }
    } else if let Some(scopes) = places::scopes(c, filter)? {
        seqs = places::of_scopes(c, &scopes, types.as_deref(), span, wanted)?;
    } else if let Some(types) = types {
        for event_type in types {
            places::of_type(c, event_type, span, wanted, &mut seqs)?;
        }
    } else {
        return walk((c, seal), filter, limit, span);
    }
    seqs.sort_unstable();
    seqs.dedup();
    seqs.retain(|seq| (first..=last).contains(seq));
    if filter.newest_first {
        seqs.reverse();
    }
    let mut events = Vec::new();
    let mut passed = 0;
    for seq in seqs {
        let Some(event) = event_at(c, seal, seq)?.filter(|e| filter.fits(e)) else { continue };
        passed += 1;
        if passed > filter.offset {
            events.push(event);
        }
        if events.len() >= limit {
            break;
        }
    }
    Ok(events)
}

/// Over the log between these places, event by event, in the order asked for.
fn walk((c, seal): (&Connection, &Seal), filter: &Filter, limit: usize, span: Span) -> Sql<Vec<Stored>> {
    let places = "SELECT seq FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
    let mut places = c.prepare_cached(&span.ordered(places))?;
    let mut rows = places.query(params![span.first, span.last])?;
    let (mut events, mut passed) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let Some(event) = event_at(c, seal, row.get(0)?)?.filter(|e| filter.fits(e)) else { continue };
        passed += 1;
        if passed > filter.offset {
            events.push(event);
        }
        if events.len() >= limit {
            break;
        }
    }
    Ok(events)
}

/// An event's place by its id: the first 48 bits of the id are its time, and time finds the place.
pub(super) fn seq_of(c: &Connection, event_id: Uuid) -> Sql<Option<u64>> {
    let odd = "SELECT seq FROM odd WHERE event_id = ?1";
    if let Some(seq) = c.prepare_cached(odd)?.query_row([event_id.as_bytes()], |r| r.get(0)).optional()? {
        return Ok(Some(seq));
    }
    let at = time_of(event_id);
    let first = lower_bound(c, at)?;
    // `at` never falls: the walk ends with the first event of a later moment.
    let mut statement = c.prepare_cached("SELECT seq, at, event_id FROM event WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = statement.query([first])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? != at.0 {
            break;
        }
        if row.get::<_, Vec<u8>>(2)? == event_id.as_bytes() {
            return row.get(0).map(Some);
        }
    }
    Ok(None)
}

/// The moment that an event's id begins with.
pub(super) fn time_of(event_id: Uuid) -> Wall {
    Wall((event_id.as_u128() >> 80) as i64)
}

fn seq_after(c: &Connection, after: Option<Wall>) -> Sql<u64> {
    after.map_or(Ok(0), |after| lower_bound(c, Wall(after.0.saturating_add(1))))
}

fn seq_before(c: &Connection, before: Option<Wall>) -> Sql<u64> {
    before.map_or(Ok(i64::MAX as u64), |before| Ok(lower_bound(c, before)?.saturating_sub(1)))
}

/// The first `seq` whose `at` is no earlier than this; one past the end where there is none.
fn lower_bound(c: &Connection, at: Wall) -> Sql<u64> {
    let (mut low, mut high): (u64, u64) = (
        c.prepare_cached("SELECT coalesce(min(seq), 1) FROM event")?.query_row([], |r| r.get(0))?,
        c.prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM event")?.query_row([], |r| r.get(0))?,
    );
    let mut statement = c.prepare_cached("SELECT seq, at FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found = statement.query_row([middle], |r| Ok((r.get::<_, u64>(0)?, r.get::<_, i64>(1)?))).optional()?;
        match found {
            Some((seq, found)) if found < at.0 => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::event::{Details, Dialect, Event};
    use crate::store::{Batch, Reader, Store};

    fn event(n: u64, at: i64) -> Event {
        let random = [n as u8; 10];
        Event {
            event_id: uuid::Builder::from_unix_timestamp_millis(at as u64, &random).into_uuid(),
            event_type: if n.is_multiple_of(2) { EventType::LockLocked } else { EventType::LockUnlocked },
            workspace_id: Uuid::from_u128(1),
            created_at: Wall(at),
            occurred_at: Wall(at),
            connected_account_id: Uuid::from_u128(if n % 7 == 3 { 3 } else { 2 }),
            device_id: Some(Uuid::from_u128(u128::from(n % 3))),
            details: Details {
                access_code_id: n.is_multiple_of(4).then(|| Uuid::from_u128(u128::from(n % 8))),
                ..Details::default()
            },
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
            Filter { account_ids: [Uuid::from_u128(2)].into(), ..Filter::default() },
            Filter { account_ids: [Uuid::from_u128(2)].into(), after: time(7), before: time(31), ..Filter::default() },
            Filter {
                account_ids: [Uuid::from_u128(2)].into(),
                event_types: [EventType::LockUnlocked].into(),
                before: time(50),
                ..Filter::default()
            },
            // Both are frequent, and together rare.
            Filter {
                account_ids: [Uuid::from_u128(3)].into(),
                event_types: [EventType::LockLocked].into(),
                after: time(3),
                ..Filter::default()
            },
            Filter {
                account_ids: [Uuid::from_u128(3)].into(),
                event_types: [EventType::LockLocked, EventType::LockUnlocked, EventType::DeviceTampered].into(),
                ..Filter::default()
            },
            Filter {
                account_ids: [Uuid::from_u128(3)].into(),
                event_types: [EventType::DeviceTampered].into(),
                ..Filter::default()
            },
            Filter {
                account_ids: [Uuid::from_u128(3)].into(),
                device_ids: [Uuid::from_u128(0), Uuid::from_u128(2)].into(),
                ..Filter::default()
            },
            Filter { event_ids: [events[3].event_id, events[41].event_id].into(), ..Filter::default() },
            Filter { event_ids: [Uuid::new_v4()].into(), ..Filter::default() },
            Filter { access_code_ids: [Uuid::from_u128(4)].into(), after: time(9), ..Filter::default() },
            Filter {
                access_code_ids: [Uuid::from_u128(0), Uuid::from_u128(4)].into(),
                device_ids: [Uuid::from_u128(1)].into(),
                ..Filter::default()
            },
        ];
        for filter in filters {
            let wanted: Vec<Uuid> =
                store.events_after(0, 1000).unwrap().iter().filter(|e| filter.fits(e)).map(|e| e.event_id).collect();
            assert_eq!(store.find(&filter, 0).unwrap(), [], "{filter:?}");
            let found: Vec<Uuid> = store.find(&filter, 1000).unwrap().iter().map(|e| e.event_id).collect();
            assert_eq!(found, wanted, "{filter:?}");
            let paged: Vec<Uuid> = [0, 5]
                .into_iter()
                .flat_map(|offset| store.find(&Filter { offset, ..filter.clone() }, 5).unwrap())
                .map(|e| e.event_id)
                .collect();
            assert_eq!(paged, wanted.iter().copied().take(10).collect::<Vec<_>>(), "{filter:?}");
            let backwards = store.find(&Filter { newest_first: true, ..filter.clone() }, 1000).unwrap();
            assert_eq!(backwards.iter().rev().map(|e| e.event_id).collect::<Vec<_>>(), wanted, "{filter:?}");
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
