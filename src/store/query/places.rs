//! Where in the log the events of some devices, accounts, types and codes are.
//!
//! One index is by scope and type, one by type. What is frequent is found by looking along the log, or along its type, for a while; what
//! is not has its own run in the index, however rare it is and whatever is around it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet, VecDeque};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Filter, Sql};
use crate::event::EventType;

/// So many events of the log, or of a type, are looked through for those of some scopes. Tests take both ways.
const LOOKED_AT: usize = if cfg!(test) { 10 } else { 3000 };
const LOOKED_AT_OF_TYPE: usize = if cfg!(test) { 10 } else { 200 };

/// The runs of so few scopes are sooner read than looked past.
const SCOPES_FEW: usize = if cfg!(test) { 1 } else { 16 };

/// A scope that has no more events than this is read whole: that costs less than to look for the first of each type.
const WHOLE_MOST: usize = if cfg!(test) { 3 } else { 32 };

/// After so many scopes that have more, nobody expects others that have not.
const WHOLE_TRIES: usize = 8;

/// So few types are asked for scope by scope; of more it is first seen which a scope has.
const TYPES_FEW: usize = if cfg!(test) { 2 } else { 6 };

/// So many places of a run are read at once, at the most.
const AHEAD_MOST: usize = 256;

/// Where in the log is looked, and from which end.
#[derive(Clone, Copy)]
pub struct Span {
    pub first: u64,
    pub last: u64,
    pub newest_first: bool,
}

impl Span {
    const NONE: Span = Span { first: 1, last: 0, newest_first: false };

    /// The question, which ends with its order, from the right end.
    pub fn ordered(self, sql: &str) -> String {
        format!("{sql}{}", if self.newest_first { " DESC" } else { "" })
    }

    /// The question with what is the first one from the right end.
    fn first_of(self, sql: &str) -> String {
        sql.replace("first(", if self.newest_first { "max(" } else { "min(" })
    }

    /// What is left of it behind this place.
    fn behind(self, seq: u64) -> Span {
        match self.newest_first {
            true => Span { last: seq.saturating_sub(1), ..self },
            false => Span { first: seq + 1, ..self },
        }
    }
}

/// The scopes of the devices and accounts that are asked for; `None` where neither is.
pub fn scopes(c: &Connection, filter: &Filter) -> Sql<Option<Vec<i64>>> {
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

/// The numbers of the types that are asked for, upwards; `None` where none is.
pub fn types(c: &Connection, asked: &BTreeSet<EventType>) -> Sql<Option<Vec<i64>>> {
    if asked.is_empty() {
        return Ok(None);
    }
    let mut statement = c.prepare_cached("SELECT type, name FROM type ORDER BY type")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)))?;
    let all: Vec<(i64, String)> = rows.collect::<Sql<_>>()?;
    Ok(Some(all.into_iter().filter(|(_, name)| asked.iter().any(|t| t.as_str() == name)).map(|(n, _)| n).collect()))
}

/// The first `wanted` events of these scopes, in the order asked for.
pub fn of_scopes(c: &Connection, scopes: &[i64], types: Option<&[i64]>, span: Span, wanted: usize) -> Sql<Vec<u64>> {
    if scopes.len() > SCOPES_FEW {
        let set: HashSet<i64> = scopes.iter().copied().collect();
        let found = match types {
            Some(types) => along_types(c, types, &set, span, wanted)?,
            None => along_log(c, &set, span, wanted)?,
        };
        if let Some(seqs) = found {
            return Ok(seqs);
        }
    }
    merge(c, runs(c, scopes, types, span)?, span, wanted)
}

/// `None` where not enough are found among the first [`LOOKED_AT`] events.
fn along_log(c: &Connection, scopes: &HashSet<i64>, span: Span, wanted: usize) -> Sql<Option<Vec<u64>>> {
    let places = "SELECT seq, scope FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
    let mut statement = c.prepare_cached(&span.ordered(places))?;
    let mut rows = statement.query(params![span.first, span.last])?;
    let (mut seqs, mut looked) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if scopes.contains(&row.get(1)?) {
            seqs.push(row.get(0)?);
        }
        looked += 1;
        if seqs.len() >= wanted {
            break;
        }
        if looked == LOOKED_AT {
            return Ok(None);
        }
    }
    Ok(Some(seqs))
}

/// `None` where not enough are found among the first [`LOOKED_AT_OF_TYPE`] events of these types.
fn along_types(
    c: &Connection,
    types: &[i64],
    scopes: &HashSet<i64>,
    span: Span,
    wanted: usize,
) -> Sql<Option<Vec<u64>>> {
    let each = (LOOKED_AT_OF_TYPE / types.len().max(1)).max(1);
    let mut found = Vec::new();
    // As far as every type has been looked at.
    let mut sure = span;
    for event_type in types {
        let before = found.len();
        of_type(c, *event_type, span, each, &mut found)?;
        if let Some(last) = found[before..].last().filter(|_| found.len() - before == each) {
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

/// The first place of each run of these scopes and types.
const OF_FEW_TYPES: &str = "
    SELECT s.value, t.value, (SELECT first(seq) FROM event INDEXED BY event_by_scope
        WHERE scope = s.value AND type = t.value AND seq BETWEEN ?3 AND ?4)
    FROM json_each(?1) s, json_each(?2) t";

/// The same from one type that a scope has to the next, since it has few of all.
const OF_MANY_TYPES: &str = "
    WITH RECURSIVE run (scope, type) AS (
        SELECT value, (SELECT min(type) FROM event INDEXED BY event_by_scope WHERE scope = value) FROM json_each(?1)
        UNION ALL
        SELECT scope, (SELECT min(e.type) FROM event e INDEXED BY event_by_scope WHERE e.scope = run.scope AND e.type > run.type)
        FROM run WHERE type IS NOT NULL)
    SELECT scope, type, (SELECT first(e.seq) FROM event e INDEXED BY event_by_scope
        WHERE e.scope = run.scope AND e.type = run.type AND e.seq BETWEEN ?3 AND ?4)
    FROM run WHERE type IS NOT NULL AND (?2 IS NULL OR type IN (SELECT value FROM json_each(?2)))";

/// Those that have something there, each with its first place.
fn runs(c: &Connection, scopes: &[i64], types: Option<&[i64]>, span: Span) -> Sql<Vec<Run>> {
    let few = types.is_some_and(|types| types.len() <= TYPES_FEW);
    let (mut runs, others) = if few { (Vec::new(), scopes.to_vec()) } else { whole(c, scopes, types, span)? };
    let list = |numbers: &[i64]| serde_json::json!(numbers).to_string();
    let sql = if few { OF_FEW_TYPES } else { OF_MANY_TYPES };
    let mut statement = c.prepare_cached(&span.first_of(sql))?;
    let mut rows = statement.query(params![list(&others), types.map(list), span.first, span.last])?;
    while let Some(row) = rows.next()? {
        if let Some(first) = row.get::<_, Option<u64>>(2)? {
            let left = span.behind(first);
            runs.push(Run { scope: row.get(0)?, event_type: row.get(1)?, left, read: [first].into() });
        }
    }
    Ok(runs)
}

/// The places of the scopes that have few; and the scopes that have more.
fn whole(c: &Connection, scopes: &[i64], types: Option<&[i64]>, span: Span) -> Sql<(Vec<Run>, Vec<i64>)> {
    let places = "SELECT seq, type FROM event INDEXED BY event_by_scope WHERE scope = ?1 LIMIT ?2";
    let mut statement = c.prepare_cached(places)?;
    let (mut runs, mut others) = (Vec::new(), Vec::new());
    for (n, scope) in scopes.iter().enumerate() {
        if others.len() == WHOLE_TRIES && runs.is_empty() {
            others.extend(&scopes[n..]);
            break;
        }
        let rows = statement.query_map(params![scope, WHOLE_MOST + 1], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let rows: Vec<(u64, i64)> = rows.collect::<Sql<_>>()?;
        if rows.len() > WHOLE_MOST {
            others.push(*scope);
            continue;
        }
        let asked = |event_type: &i64| types.is_none_or(|types| types.contains(event_type));
        let there = |seq: &u64| (span.first..=span.last).contains(seq);
        let mut seqs: Vec<u64> = rows.iter().filter(|(seq, t)| there(seq) && asked(t)).map(|(seq, _)| *seq).collect();
        seqs.sort_unstable();
        if span.newest_first {
            seqs.reverse();
        }
        if !seqs.is_empty() {
            runs.push(Run { scope: *scope, event_type: 0, left: Span::NONE, read: seqs.into() });
        }
    }
    Ok((runs, others))
}

/// The first `wanted` events of all these runs together, in the order asked for: of each only as many are read as it takes.
fn merge(c: &Connection, mut runs: Vec<Run>, span: Span, wanted: usize) -> Sql<Vec<u64>> {
    let mut chunks = vec![(wanted / runs.len().max(1)).clamp(1, AHEAD_MOST); runs.len()];
    // The next event of each run; negated where the last one comes first.
    let place = |seq: u64| if span.newest_first { Reverse(-(seq as i64)) } else { Reverse(seq as i64) };
    let mut heads = BinaryHeap::new();
    for (n, run) in runs.iter_mut().enumerate() {
        heads.extend(run.read.pop_front().map(|seq| (place(seq), n, seq)));
    }
    let mut seqs = Vec::new();
    while seqs.len() < wanted
        && let Some((_, n, seq)) = heads.pop()
    {
        seqs.push(seq);
        heads.extend(runs[n].next(c, &mut chunks[n])?.map(|seq| (place(seq), n, seq)));
    }
    Ok(seqs)
}

const OF_RUN: &str = "SELECT seq FROM event INDEXED BY event_by_scope WHERE scope = ?1 AND type = ?2 AND seq BETWEEN ?3 AND ?4 ORDER BY seq";

/// A run of the index: a scope's events of one type, read a few ahead; or all that a scope has.
struct Run {
    scope: i64,
    event_type: i64,
    read: VecDeque<u64>,
    /// Where the others are.
    left: Span,
}

impl Run {
    /// The next place; where it takes reading, `chunk` places are read, and twice as many the next time.
    fn next(&mut self, c: &Connection, chunk: &mut usize) -> Sql<Option<u64>> {
        if self.read.is_empty() && self.left.first <= self.left.last {
            self.read_on(c, *chunk)?;
            *chunk = (*chunk * 2).min(AHEAD_MOST);
        }
        Ok(self.read.pop_front())
    }

    fn read_on(&mut self, c: &Connection, chunk: usize) -> Sql<()> {
        let mut statement = c.prepare_cached(&self.left.ordered(OF_RUN))?;
        let rows =
            statement.query_map(params![self.scope, self.event_type, self.left.first, self.left.last], |r| r.get(0))?;
        for seq in rows.take(chunk) {
            self.read.push_back(seq?);
        }
        self.left = match self.read.back() {
            Some(seq) if self.read.len() == chunk => self.left.behind(*seq),
            _ => Span::NONE,
        };
        Ok(())
    }
}

pub fn of_type(c: &Connection, t: i64, span: Span, wanted: usize, seqs: &mut Vec<u64>) -> Sql<()> {
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
pub fn of_code(c: &Connection, code: Uuid, span: Span, seqs: &mut Vec<u64>) -> Sql<()> {
    let mut statement =
        c.prepare_cached("SELECT seq FROM code_event WHERE access_code_id = ?1 AND seq BETWEEN ?2 AND ?3")?;
    let rows = statement.query_map(params![code.as_bytes(), span.first, span.last], |r| r.get(0))?;
    for seq in rows {
        seqs.push(seq?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::schema;
    use crate::store::seal::Seal;

    /// A hundred devices that come and go, and each of them was tampered with twice; at a second account that happens all the time.
    #[test]
    fn what_is_rare_at_an_account_and_frequent_elsewhere_is_found_without_a_look_at_the_rest() {
        let mut c = Connection::open_in_memory().unwrap();
        schema::migrate(&mut c, &Seal::default()).unwrap();
        c.execute_batch(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO event SELECT n, CASE n % 2 WHEN 0 THEN 1000 ELSE 1 + n / 2 % 100 END,
                CASE WHEN n % 2 = 0 THEN 7 WHEN n / 200 % 50 = 0 THEN 7 ELSE 1 + n / 200 % 2 END, n, x'', x'', 0 FROM n",
        )
        .unwrap();
        let scopes: Vec<i64> = (1..=100).collect();
        for newest_first in [false, true] {
            let span = Span { first: 0, last: i64::MAX as u64, newest_first };
            let found = of_scopes(&c, &scopes, Some(&[7]), span, 500).unwrap();
            let mut wanted: Vec<u64> = (1..=20_000).filter(|n| n % 2 == 1 && n / 200 % 50 == 0).collect();
            assert!(wanted.len() >= 200);
            if newest_first {
                wanted.reverse();
            }
            assert_eq!(found, wanted);
            let steps = |sql: &str| c.prepare_cached(sql).unwrap().get_status(StatementStatus::VmStep);
            let steps = steps(&span.ordered(OF_RUN)) + steps(&span.first_of(OF_FEW_TYPES));
            assert!((1000..20_000).contains(&steps), "{steps} for {} of 10,000 events", wanted.len());
        }
    }
}
