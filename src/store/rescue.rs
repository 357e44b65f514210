//! A damaged database is set aside under a name that says so, and what is sound of it goes on in a fresh one: the state, what
//! no sink has taken yet, and the youngest of the rest. A bad card is never a reason not to start.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::StoreError;
use super::query;
use super::reader;
use super::schema::{self, SchemaError};
use super::seal::Seal;

/// Of events that every sink has, so many of the youngest are carried over; the others stay in the file that was set aside.
const HISTORY: u64 = 10_000;

/// Whether it is the file that is wrong, not the disk that is full or somebody who holds it.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => {
            matches!(e.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SchemaChanged)
        }
        // Text that is no text, a number that is none: no column of ours holds such.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        rusqlite::Error::SqlInputError { .. } => true,
        _ => false,
    }
}

pub fn is_damaged(error: &StoreError) -> bool {
    match error {
        StoreError::Sql(e) | StoreError::Open { source: e, .. } => is_damage(e),
        StoreError::Schema(SchemaError::Sql(e)) => is_damage(e),
        StoreError::Schema(SchemaError::Foreign) | StoreError::Damaged(_) => true,
        _ => false,
    }
}

/// Renames the damaged file and makes a new one of what is sound in it.
pub fn set_aside(path: &Path, seal: &Seal) -> Result<Connection, StoreError> {
    let aside = free_name(path);
    let file = |source| StoreError::File { path: path.to_owned(), source };
    std::fs::rename(path, &aside).map_err(file)?;
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(file(e)),
            _ => {}
        }
    }
    let mut fresh = super::connect(path)?;
    schema::migrate(&mut fresh, seal)?;
    let saved = carry_over(&mut fresh, &aside, seal);
    let (events, rows) = saved.as_ref().map_or((0, 0), |s| (s.events, s.rows));
    tracing::error!(
        aside = %aside.display(),
        events,
        rows,
        error = saved.err().map(tracing::field::display),
        "store.damaged: the database was set aside; a fresh one goes on with what is sound of it"
    );
    Ok(fresh)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn free_name(path: &Path) -> PathBuf {
    let names = (1u32..).map(|n| with_suffix(path, &format!(".damaged-{n}")));
    names.into_iter().find(|name| !name.exists()).expect("there are endless numbers")
}

#[derive(Debug, Default)]
struct Saved {
    events: u64,
    rows: u64,
}

fn carry_over(fresh: &mut Connection, aside: &Path, seal: &Seal) -> Result<Saved, rusqlite::Error> {
    // It may have to play back its log, so it is opened for writing; nothing is written to it.
    let old = Connection::open_with_flags(aside, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::prepare(&old)?;
    let t = fresh.transaction()?;
    let mut saved = Saved { rows: state(&old, &t, seal).unwrap_or_default(), events: 0 };
    let _ = retained(&old, &t);
    let least = cursors(&old, &t).unwrap_or_default().into_iter().min().unwrap_or(0);
    let mut seq = last(&old);
    let first = least.min(seq.saturating_sub(HISTORY));
    // Each is read by itself, since a damaged page hides its own rows only: from the young end to the old one, or a dead one.
    let mut missed = 0;
    while seq > first && missed < HISTORY {
        match event(&old, &t, seal, seq) {
            Ok(true) => (saved.events, missed) = (saved.events + 1, 0),
            Ok(false) | Err(_) => missed += 1,
        }
        seq -= 1;
    }
    // It may have been of a version that sealed nothing.
    schema::seal_all(&t, seal)?;
    t.commit()?;
    Ok(saved)
}

fn state(old: &Connection, t: &Connection, seal: &Seal) -> Result<u64, rusqlite::Error> {
    let mut saved = 0;
    // Once by each tree that holds them, since either may be the damaged one.
    for order in ["", "INDEXED BY state_by_rev"] {
        let sql = format!("SELECT rev, kind, key, value, sum FROM state {order} WHERE rev > 0");
        let Ok(mut statement) = old.prepare(&sql) else { continue };
        let Ok(mut rows) = statement.query([]) else { continue };
        while let Ok(Some(r)) = rows.next() {
            let Ok(Some(_)) = reader::state_row(r, seal) else { continue };
            let (rev, kind, key): (u64, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
            let (value, sum): (Option<String>, u32) = (r.get(3)?, r.get(4)?);
            saved += t.execute(
                "INSERT OR IGNORE INTO state VALUES (?1, ?2, ?3, ?4, ?5)",
                params![kind, key, rev, value, sum],
            )? as u64;
        }
    }
    Ok(saved)
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
