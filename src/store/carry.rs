//! Reads of a damaged database what is sound, event by event and row by row, each verified by its sum.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::seal::Seal;
use super::{StoreError, query, reader, schema, snapshot};

/// Of events that every sink has, so many of the youngest are carried over; the others stay in the file that was set aside.
const HISTORY: u64 = 10_000;

#[derive(Debug, Default)]
pub struct Saved {
    pub events: u64,
    pub rows: u64,
    pub from_snapshot: u64,
    /// Why nothing at all could be read.
    pub error: Option<rusqlite::Error>,
}

/// `None` for what is damaged; an error where the disk is to blame: then this is no time to decide what is sound.
fn unless_damaged<T>(read: Result<T, rusqlite::Error>) -> Result<Option<T>, rusqlite::Error> {
    use ErrorCode::*;
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.sqlite_error_code() {
            Some(SystemIoFailure | DiskFull | CannotOpen | DatabaseBusy | DatabaseLocked | OutOfMemory | ReadOnly) => {
                Err(error)
            }
            _ => Ok(None),
        },
    }
}

/// From the database at `old`, if it is there, and the snapshot beside it.
pub fn carry_over(fresh: &mut Connection, old: &Path, seal: &Seal) -> Result<Saved, StoreError> {
    let t = fresh.transaction()?;
    let mut saved = Saved::default();
    let mut whole = false;
    if old.exists() {
        // It may have to play back its log, so it is opened for writing; nothing else is written to it.
        let opened = Connection::open_with_flags(old, OpenFlags::SQLITE_OPEN_READ_WRITE);
        match opened.and_then(|old| schema::prepare(&old).map(|()| old)) {
            Ok(old) => whole = from_damaged(&old, &t, seal, &mut saved)?,
            Err(error) => saved.error = Some(unless_damaged::<()>(Err(error)).map(|_| rusqlite::Error::InvalidQuery)?),
        }
    }
    if !whole {
        match snapshot::bring_back(&snapshot::beside(old), &t) {
            Ok(rows) => saved.from_snapshot = rows,
            Err(error) => tracing::error!(%error, "store.snapshot_unreadable"),
        }
    }
    // It may have been of a version that sealed nothing.
    schema::seal_all(&t, seal)?;
    t.commit()?;
    Ok(saved)
}

/// True where the state was read to its end, and no row of it was damaged.
fn from_damaged(old: &Connection, t: &Connection, seal: &Seal, saved: &mut Saved) -> Result<bool, rusqlite::Error> {
    let whole = state(old, t, &mut saved.rows)?;
    unless_damaged(retained(old, t))?;
    let least = unless_damaged(cursors(old, t))?.unwrap_or_default().into_iter().min().unwrap_or(0);
    let mut seq = last(old);
    let first = least.min(seq.saturating_sub(HISTORY));
    // Each is read by itself, since a damaged page hides its own rows only: from the young end to the old one, or a dead one.
    let mut missed = 0;
    while seq > first && missed < HISTORY {
        match unless_damaged(event(old, t, seal, seq))? {
            Some(true) => (saved.events, missed) = (saved.events + 1, 0),
            Some(false) | None => missed += 1,
        }
        seq -= 1;
    }
    Ok(whole)
}

fn state(old: &Connection, t: &Connection, saved: &mut u64) -> Result<bool, rusqlite::Error> {
    let mut whole = true;
    // Once by each tree that holds them, since either may be the damaged one.
    for order in ["", "INDEXED BY state_by_rev"] {
        let sql = format!("SELECT rev, kind, key, value, sum FROM state {order} WHERE rev > 0");
        let mut read = || -> Result<(), rusqlite::Error> {
            let mut statement = old.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(r) = rows.next()? {
                let (rev, kind, key): (u64, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
                let (value, sum): (Option<String>, u32) = (r.get(3)?, r.get(4)?);
                if reader::state_sum(&kind, &key, value.as_deref()) != sum {
                    whole = false;
                    continue;
                }
                let sql = "INSERT OR IGNORE INTO state VALUES (?1, ?2, ?3, ?4, ?5)";
                *saved += t.execute(sql, params![kind, key, rev, value, sum])? as u64;
            }
            Ok(())
        };
        let read = read();
        whole &= unless_damaged(read)?.is_some();
    }
    Ok(whole)
}

fn cursors(old: &Connection, t: &Connection) -> Result<Vec<u64>, rusqlite::Error> {
    let all = reader::cursors(old)?;
    for (sink, seq) in &all {
        let sum = reader::cursor_sum(sink, *seq);
        t.execute("INSERT OR IGNORE INTO cursor VALUES (?1, ?2, ?3)", params![sink, seq, sum])?;
    }
    Ok(all.into_iter().map(|(_, seq)| seq).collect())
}

fn retained(old: &Connection, t: &Connection) -> Result<(), rusqlite::Error> {
    let mut topics = old.prepare("SELECT topic FROM retained")?;
    let mut rows = topics.query([])?;
    while let Some(r) = rows.next()? {
        t.execute("INSERT OR IGNORE INTO retained VALUES (?1)", [r.get::<_, String>(0)?])?;
    }
    Ok(())
}

/// The last `seq`, by either tree that has it.
fn last(old: &Connection) -> u64 {
    let of = |sql| old.query_row(sql, [], |r| r.get::<_, Option<u64>>(0)).ok().flatten();
    of("SELECT max(seq) FROM event").or_else(|| of("SELECT max(seq) FROM event INDEXED BY event_by_scope")).unwrap_or(0)
}

/// True where the event was there and sound.
fn event(old: &Connection, t: &Connection, seal: &Seal, seq: u64) -> Result<bool, rusqlite::Error> {
    let Some(event) = reader::event_at(old, seal, seq)? else { return Ok(false) };
    schema::index_code(t, seq, query::access_code_id(&event))?;
    let mut statement = old.prepare_cached(
        "SELECT e.scope, s.workspace_id, s.account_id, s.device_id, e.type, t.name, e.at, e.event_id, e.body, e.sum
         FROM event e JOIN scope s USING (scope) JOIN type t USING (type) WHERE e.seq = ?1",
    )?;
    let row = statement
        .query_row([seq], |r| {
            let [workspace, account, id]: [[u8; 16]; 3] = [r.get(1)?, r.get(2)?, r.get(7)?];
            let device: Option<[u8; 16]> = r.get(3)?;
            let (scope, event_type, at): (i64, i64, i64) = (r.get(0)?, r.get(4)?, r.get(6)?);
            let (name, body, sum): (String, Vec<u8>, u32) = (r.get(5)?, r.get(8)?, r.get(9)?);
            t.execute(
                "INSERT OR IGNORE INTO scope VALUES (?1, ?2, ?3, ?4)",
                params![scope, workspace, account, device],
            )?;
            t.execute("INSERT OR IGNORE INTO type VALUES (?1, ?2)", params![event_type, name])?;
            t.execute(
                "INSERT OR IGNORE INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![seq, scope, event_type, at, id, body, sum],
            )?;
            if query::time_of(uuid::Uuid::from_bytes(id)).0 != at {
                t.execute("INSERT OR IGNORE INTO odd VALUES (?1, ?2)", params![id, seq])?;
            }
            Ok(())
        })
        .optional()?;
    Ok(row.is_some())
}
