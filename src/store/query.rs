//! Questions to the log: events by what they are about, an event by its id; from a running daemon's store, or from the file.
//!
//! `at` never goes down along the log, and an `event_id` begins with it (UUIDv7): so a time is found by bisection, and an id by
//! its time. Devices and types have an index. Only places are gathered from it; what is read are the events that are asked for.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet, VecDeque};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::Stored;
use super::reader::event_at;
use super::seal::Seal;
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

/// So many events of a type are looked through for those of a scope; where that does not do, each scope for its own. Tests take both
/// ways.
const LOOKED_AT: usize = if cfg!(test) { 10 } else { 1000 };

/// So many places of a scope are read at once, at the most.
const AHEAD_MOST: usize = 256;

type Sql<T> = Result<T, rusqlite::Error>;

/// Up to `limit` events that fit, oldest first unless asked otherwise.
pub(super) fn find(c: &Connection, seal: &Seal, filter: &Filter, limit: usize) -> Sql<Vec<Stored>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let wanted = filter.offset.saturating_add(limit);
    let (first, last) = (seq_after(c, filter.after)?, seq_before(c, filter.before)?);
    let scopes = scopes(c, filter)?;
    let mut seqs = Vec::new();
    let span = Span { first, last, newest_first: filter.newest_first };
    if !filter.event_ids.is_empty() {
        for id in &filter.event_ids {
            seqs.extend(seq_of(c, *id)?);
        }
    } else if !filter.access_code_ids.is_empty() {
        for id in &filter.access_code_ids {
            of_code(c, *id, span, &mut seqs)?;
        }
    } else if let Some(scopes) = scopes {
        let types = types(c, &filter.event_types)?;
        let found = types.as_deref().map_or(Ok(None), |types| of_types(c, types, &scopes, span, wanted))?;
        seqs = found.map_or_else(|| merge(c, &scopes, types.as_deref(), span, wanted), Ok)?;
    } else if !filter.event_types.is_empty() {
        for event_type in types(c, &filter.event_types)?.into_iter().flatten() {
            of_type(c, event_type, span, wanted, &mut seqs)?;
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

/// Where in the log is looked, and from which end.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
    newest_first: bool,
}

impl Span {
    /// The question, which ends with its order, from the right end.
    fn ordered(self, sql: &str) -> String {
        format!("{sql}{}", if self.newest_first { " DESC" } else { "" })
    }
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

/// The scopes of the devices and accounts that are asked for; `None` where neither is.
fn scopes(c: &Connection, filter: &Filter) -> Sql<Option<Vec<i64>>> {
    if filter.device_ids.is_empty() && filter.account_ids.is_empty() {
        return Ok(None);
    }
    let mut statement = c.prepare_cached("SELECT scope, account_id, device_id FROM scope")?;
    let rows = statement.query_map([], |r| {
        let device: Option<[u8; 16]> = r.get(2)?;
        Ok((r.get::<_, i64>(0)?, Uuid::from_bytes(r.get(1)?), device.map(Uuid::from_bytes)))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (scope, account, device) = row?;
        let devices = filter.device_ids.is_empty() || device.is_some_and(|d| filter.device_ids.contains(&d));
        let accounts = filter.account_ids.is_empty() || filter.account_ids.contains(&account);
        if devices && accounts {
            found.push(scope);
        }
    }
    Ok(Some(found))
}

/// The numbers of the types that are asked for; `None` where none is.
fn types(c: &Connection, asked: &BTreeSet<EventType>) -> Sql<Option<Vec<i64>>> {
    if asked.is_empty() {
        return Ok(None);
    }
    let mut statement = c.prepare_cached("SELECT type, name FROM type")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)))?;
    let all: Vec<(i64, String)> = rows.collect::<Sql<_>>()?;
    Ok(Some(all.into_iter().filter(|(_, name)| asked.iter().any(|t| t.as_str() == name)).map(|(n, _)| n).collect()))
}

/// The first `wanted` events of all these scopes together, in the order asked for: of each only as many are read as it takes.
fn merge(c: &Connection, scopes: &[i64], types: Option<&[i64]>, span: Span, wanted: usize) -> Sql<Vec<u64>> {
    let few = (wanted / scopes.len().max(1)).clamp(1, AHEAD_MOST);
    let mut ahead: Vec<Ahead> =
        scopes.iter().map(|scope| Ahead { scope: *scope, left: span, read: VecDeque::new(), chunk: few }).collect();
    // The next event of each scope; negated where the last one comes first.
    let place = |seq: u64| if span.newest_first { Reverse(-(seq as i64)) } else { Reverse(seq as i64) };
    let mut heads = BinaryHeap::new();
    for (n, scope) in ahead.iter_mut().enumerate() {
        heads.extend(scope.next(c, types)?.map(|seq| (place(seq), n, seq)));
    }
    let mut seqs = Vec::new();
    while seqs.len() < wanted
        && let Some((_, n, seq)) = heads.pop()
    {
        seqs.push(seq);
        heads.extend(ahead[n].next(c, types)?.map(|seq| (place(seq), n, seq)));
    }
    Ok(seqs)
}

/// A scope's events, read a few ahead.
struct Ahead {
    scope: i64,
    /// Where the others are.
    left: Span,
    read: VecDeque<u64>,
    /// How many to read next.
    chunk: usize,
}

impl Ahead {
    fn next(&mut self, c: &Connection, types: Option<&[i64]>) -> Sql<Option<u64>> {
        if self.read.is_empty() && self.left.first <= self.left.last {
            self.read_on(c, types)?;
        }
        Ok(self.read.pop_front())
    }

    fn read_on(&mut self, c: &Connection, types: Option<&[i64]>) -> Sql<()> {
        let places = "SELECT seq, type FROM event INDEXED BY event_by_scope WHERE scope = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq";
        let mut statement = c.prepare_cached(&self.left.ordered(places))?;
        let mut rows = statement.query(params![self.scope, self.left.first, self.left.last])?;
        let mut end = true;
        while let Some(row) = rows.next()? {
            let (seq, of): (u64, i64) = (row.get(0)?, row.get(1)?);
            if types.is_some_and(|types| !types.contains(&of)) {
                continue;
            }
            self.read.push_back(seq);
            if self.read.len() == self.chunk {
                match self.left.newest_first {
                    true => self.left.last = seq.saturating_sub(1),
                    false => self.left.first = seq + 1,
                }
                end = false;
                break;
            }
        }
        if end {
            (self.left.first, self.left.last) = (1, 0);
        }
        self.chunk = (self.chunk * 2).min(AHEAD_MOST);
        Ok(())
    }
}

/// The first `wanted` events of these types in these scopes, looked for among all events of the types. `None` where they are not found
/// among the first [`LOOKED_AT`] of a type.
fn of_types(c: &Connection, types: &[i64], scopes: &[i64], span: Span, wanted: usize) -> Sql<Option<Vec<u64>>> {
    let mut found = Vec::new();
    // As far as every type has been looked at.
    let mut sure = span;
    for event_type in types {
        let before = found.len();
        of_type(c, *event_type, span, LOOKED_AT, &mut found)?;
        if let Some(last) = found[before..].last().filter(|_| found.len() - before == LOOKED_AT) {
            match span.newest_first {
                true => sure.first = sure.first.max(*last),
                false => sure.last = sure.last.min(*last),
            }
        }
    }
    found.retain(|seq| (sure.first..=sure.last).contains(seq));
    found.sort_unstable();
    if span.newest_first {
        found.reverse();
    }
    let scopes: HashSet<i64> = scopes.iter().copied().collect();
    let mut statement = c.prepare_cached("SELECT scope FROM event WHERE seq = ?1")?;
    let mut seqs = Vec::new();
    for seq in found {
        let scope: Option<i64> = statement.query_row([seq], |r| r.get(0)).optional()?;
        seqs.extend(scope.filter(|scope| scopes.contains(scope)).map(|_| seq));
        if seqs.len() >= wanted {
            break;
        }
    }
    let all = (sure.first, sure.last) == (span.first, span.last);
    Ok((all || seqs.len() >= wanted).then_some(seqs))
}

fn of_type(c: &Connection, t: i64, span: Span, wanted: usize, seqs: &mut Vec<u64>) -> Sql<()> {
    let places =
        "SELECT seq FROM event INDEXED BY event_by_type WHERE type = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq";
    let mut statement = c.prepare_cached(&span.ordered(places))?;
    let rows = statement.query_map(params![t, span.first, span.last], |r| r.get(0))?;
    for seq in rows.take(wanted) {
        seqs.push(seq?);
    }
    Ok(())
}

/// All of a code's: they are few beside the log.
fn of_code(c: &Connection, code: Uuid, span: Span, seqs: &mut Vec<u64>) -> Sql<()> {
    let mut statement =
        c.prepare_cached("SELECT seq FROM code_event WHERE access_code_id = ?1 AND seq BETWEEN ?2 AND ?3")?;
    let rows = statement.query_map(params![code.as_bytes(), span.first, span.last], |r| r.get(0))?;
    for seq in rows {
        seqs.push(seq?);
    }
    Ok(())
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
            connected_account_id: Uuid::from_u128(2),
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
