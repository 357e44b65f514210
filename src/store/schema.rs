//! The tables, and the steps from each version of them to the next.
//!
//! Lean on purpose, since every page that a commit touches is written to a worn card: numbers for what repeats, no column that
//! another one implies, and only the indexes without which a million events could not be listed in milliseconds. Times need none,
//! `at` never falls with `seq`; nor do ids, their first 48 bits are `at` (where they are not, `odd` has them).

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::pack;
use super::query;
use super::reader;
use super::seal::Seal;
use super::sum::sum;

/// One step: SQL, then what SQL cannot do.
pub struct Step {
    sql: &'static str,
    then: fn(&Transaction<'_>, &Seal) -> Result<(), rusqlite::Error>,
}

/// A step makes version `n + 1` of version `n`; version 0 is an empty file. Steps that were released are never changed.
const STEPS: &[Step] = &[
    Step { sql: FIRST, then: |_, _| Ok(()) },
    Step { sql: "", then: seal_all },
    Step { sql: THIRD, then: index_codes },
    Step { sql: FOURTH, then: |_, _| Ok(()) },
];

const FIRST: &str = "
    -- Facts about the database itself.
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
    -- What an event is about: workspace, account, and the device where there is one.
    CREATE TABLE scope (scope INTEGER PRIMARY KEY, workspace_id BLOB NOT NULL, account_id BLOB NOT NULL, device_id BLOB);
    CREATE TABLE type (type INTEGER PRIMARY KEY, name TEXT NOT NULL);
    -- The log. `body` as store/pack.rs has it.
    CREATE TABLE event (seq INTEGER PRIMARY KEY, scope INTEGER NOT NULL, type INTEGER NOT NULL, at INTEGER NOT NULL,
        event_id BLOB NOT NULL, body BLOB NOT NULL, sum INTEGER NOT NULL);
    CREATE INDEX event_by_scope ON event (scope, seq, type);
    CREATE INDEX event_by_type ON event (type);
    -- Events whose id does not begin with their `at`.
    CREATE TABLE odd (event_id BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    -- The hub's durable state; a row that was deleted keeps its place with no value.
    CREATE TABLE state (kind TEXT NOT NULL, key TEXT NOT NULL, rev INTEGER NOT NULL, value TEXT, sum INTEGER NOT NULL,
        PRIMARY KEY (kind, key)) WITHOUT ROWID;
    CREATE INDEX state_by_rev ON state (rev);
    CREATE TABLE cursor (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
    -- Events that a sink will not take; `again` asks for another try.
    CREATE TABLE undeliverable (sink TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL, again INTEGER NOT NULL,
        PRIMARY KEY (sink, seq)) WITHOUT ROWID;
    -- Topics at which a sink left something retained.
    CREATE TABLE retained (topic TEXT PRIMARY KEY) WITHOUT ROWID;
";

const THIRD: &str = "
    -- Events about an access code, which one may ask for by it.
    CREATE TABLE code_event (seq INTEGER PRIMARY KEY, access_code_id BLOB NOT NULL);
    CREATE INDEX code_event_by_code ON code_event (access_code_id);
";

const FOURTH: &str = "
    -- What is rare at a device or an account has a run of its own; within it places follow each other, as in every index.
    DROP INDEX event_by_scope;
    CREATE INDEX event_by_scope ON event (scope, type);
";

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("schema {found} is from a later version of portcullis than this one, which knows {known}")]
    TooNew { found: usize, known: usize },
    #[error("it holds no portcullis database")]
    Foreign,
}

/// What every connection wants. A reader's cache is small: it serves pages of a log, not a working set.
pub fn prepare(c: &Connection) -> Result<(), rusqlite::Error> {
    c.busy_timeout(std::time::Duration::from_millis(500))?;
    // Damage must surface as an error, not as a wild read; and a cell is checked before it is used.
    c.execute_batch("PRAGMA cell_size_check = ON; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;")?;
    c.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Brings the database to the version that this program knows.
pub fn migrate(c: &mut Connection, seal: &Seal) -> Result<(), SchemaError> {
    migrate_with(c, STEPS, seal)
}

fn migrate_with(c: &mut Connection, steps: &[Step], seal: &Seal) -> Result<(), SchemaError> {
    let found = version(c)?;
    if found > steps.len() {
        return Err(SchemaError::TooNew { found, known: steps.len() });
    }
    for (n, step) in steps.iter().enumerate().skip(found) {
        let t = c.transaction()?;
        t.execute_batch(step.sql)?;
        (step.then)(&t, seal)?;
        set_meta(&t, "schema", &(n + 1).to_string())?;
        if n == 0 {
            set_meta(&t, "log_id", &Uuid::now_v7().to_string())?;
        }
        t.commit()?;
    }
    if found == 1 {
        // Digits that were in the clear are still in pages that nobody uses, and in the log.
        c.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
    }
    Ok(())
}

/// Version 3: events about codes are found by the code.
fn index_codes(t: &Transaction<'_>, seal: &Seal) -> Result<(), rusqlite::Error> {
    let types = "t.name LIKE 'access_code.%' OR t.name LIKE 'lock.%'";
    let mut events = t.prepare(&format!("{} WHERE {types}", reader::EVENT))?;
    for event in events.query_map([], |r| reader::stored(r, seal))? {
        let Some(event) = event? else { continue };
        index_code(t, event.seq, query::access_code_id(&event))?;
    }
    Ok(())
}

/// Notes that the event at `seq` is about this code.
pub fn index_code(c: &Connection, seq: u64, code: Option<Uuid>) -> Result<(), rusqlite::Error> {
    if let Some(code) = code {
        c.prepare_cached("INSERT OR IGNORE INTO code_event VALUES (?1, ?2)")?.execute(params![seq, code.as_bytes()])?;
    }
    Ok(())
}

/// Version 2: digits that are there in the clear are sealed.
pub fn seal_all(t: &Transaction<'_>, seal: &Seal) -> Result<(), rusqlite::Error> {
    let mut events = t.prepare(&format!("{} WHERE t.name LIKE 'access_code.%'", reader::EVENT))?;
    let mut rows = events.query([])?;
    let mut sealed = Vec::new();
    while let Some(r) = rows.next()? {
        let (seq, name): (u64, String) = (r.get(0)?, r.get(2)?);
        let Some(columns) = reader::columns(r, seq, &name) else { continue };
        let (packed, sum): (Vec<u8>, u32) = (r.get(7)?, r.get(8)?);
        sealed.extend(pack::seal_anew(&columns, &packed, sum, seal).map(|fresh| (seq, fresh)));
    }
    for (seq, (packed, sum)) in sealed {
        t.execute("UPDATE event SET body = ?2, sum = ?3 WHERE seq = ?1", params![seq, packed, sum])?;
    }
    let mut state = t.prepare("SELECT kind, key, value, sum FROM state WHERE value IS NOT NULL")?;
    let mut rows = state.query([])?;
    let mut sealed = Vec::new();
    while let Some(r) = rows.next()? {
        let (kind, key, text, written): (String, String, String, u32) = (r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?);
        let is_sound = reader::state_sum(&kind, &key, Some(&text)) == written;
        let Some(value) = serde_json::from_str(&text).ok().filter(|_| is_sound) else { continue };
        let fresh = seal.seal_row(&reader::place(&kind, &key), &value);
        if fresh != text {
            sealed.push((kind, key, fresh));
        }
    }
    for (kind, key, value) in sealed {
        let sum = reader::state_sum(&kind, &key, Some(&value));
        t.execute(
            "UPDATE state SET value = ?3, sum = ?4 WHERE kind = ?1 AND key = ?2",
            params![kind, key, value, sum],
        )?;
    }
    Ok(())
}

/// Whether this is the key that sealed so far; from now on it is. Another one is named in the log.
pub fn knows_the_key(c: &Connection, seal: &Seal) -> Result<bool, rusqlite::Error> {
    let (before, now) = (meta(c, "sealed_with")?, seal.id().unwrap_or_default());
    if before.as_deref() != Some(now) {
        set_meta(c, "sealed_with", now)?;
    }
    let known = before.as_deref().is_none_or(|id| seal.knows(id));
    if !known {
        let what = "store.code_key_changed: digits of codes that were sealed with the key before it are masked; put that key back";
        tracing::error!("{what}");
    }
    Ok(known)
}

fn version(c: &Connection) -> Result<usize, SchemaError> {
    let tables: usize = c.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    meta(c, "schema").map_err(|_| SchemaError::Foreign)?.and_then(|v| v.parse().ok()).ok_or(SchemaError::Foreign)
}

/// A fact, unless it is not what was written.
pub fn meta(c: &Connection, name: &str) -> Result<Option<String>, rusqlite::Error> {
    let row = c
        .query_row("SELECT value, sum FROM meta WHERE name = ?1", [name], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, u32>(1)?))
        })
        .optional()?;
    Ok(row.filter(|(value, written)| sum(&[name.as_bytes(), value.as_bytes()]) == *written).map(|(value, _)| value))
}

pub fn set_meta(t: &Connection, name: &str, value: &str) -> Result<(), rusqlite::Error> {
    let sum = sum(&[name.as_bytes(), value.as_bytes()]);
    t.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)", params![name, value, sum])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn and(sql: &'static str) -> Vec<Step> {
        let known = STEPS.iter().map(|s| Step { sql: s.sql, then: s.then });
        known.chain([Step { sql, then: |_, _| Ok(()) }]).collect()
    }

    #[test]
    fn each_version_becomes_the_next_one_with_what_it_holds() {
        let grown = and("ALTER TABLE retained ADD COLUMN since INTEGER");
        for released in 1..grown.len() {
            let mut c = Connection::open_in_memory().unwrap();
            migrate_with(&mut c, &grown[..released], &Seal::default()).unwrap();
            let log = meta(&c, "log_id").unwrap();
            c.execute("INSERT INTO retained (topic) VALUES ('a/b')", []).unwrap();
            migrate_with(&mut c, &grown, &Seal::default()).unwrap();
            assert_eq!(meta(&c, "schema").unwrap(), Some(grown.len().to_string()));
            assert_eq!(meta(&c, "log_id").unwrap(), log, "it is the same log");
            assert_eq!(c.query_row("SELECT count(*) FROM retained", [], |r| r.get::<_, u32>(0)).unwrap(), 1);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate(&mut c, &Seal::default()).unwrap();
        let broken = and("CREATE TABLE half (a); SELECT nonsense;");
        assert!(migrate_with(&mut c, &broken, &Seal::default()).is_err());
        assert_eq!(meta(&c, "schema").unwrap(), Some(STEPS.len().to_string()));
        assert_eq!(
            c.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |r| r.get::<_, u32>(0)),
            Ok(0)
        );
    }

    #[test]
    fn a_later_version_and_a_foreign_file_are_told_apart() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate_with(&mut c, &and("CREATE TABLE later (a)"), &Seal::default()).unwrap();
        let later = migrate(&mut c, &Seal::default());
        assert!(matches!(later, Err(SchemaError::TooNew { found, known }) if found == known + 1));
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE contacts (name)").unwrap();
        assert!(matches!(migrate(&mut foreign, &Seal::default()), Err(SchemaError::Foreign)));
    }
}
