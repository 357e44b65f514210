//! The tables, and the steps from each version of them to the next.
//!
//! Lean on purpose, since every page that a commit touches is written to a worn card: numbers for what repeats, no column that
//! another one implies, and only the indexes without which a million events could not be listed in milliseconds. Times need none,
//! `at` never falls with `seq`; nor do ids, their first 48 bits are `at` (where they are not, `odd` has them).

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::sum::sum;

/// A step makes version `n + 1` of version `n`; version 0 is an empty file. Steps that were released are never changed.
pub const STEPS: &[&str] = &["
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
"];

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
pub fn migrate(c: &mut Connection) -> Result<(), SchemaError> {
    migrate_with(c, STEPS)
}

fn migrate_with(c: &mut Connection, steps: &[&str]) -> Result<(), SchemaError> {
    let found = version(c)?;
    if found > steps.len() {
        return Err(SchemaError::TooNew { found, known: steps.len() });
    }
    for (n, step) in steps.iter().enumerate().skip(found) {
        let t = c.transaction()?;
        t.execute_batch(step)?;
        set_meta(&t, "schema", &(n + 1).to_string())?;
        if n == 0 {
            set_meta(&t, "log_id", &Uuid::now_v7().to_string())?;
        }
        t.commit()?;
    }
    Ok(())
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

pub fn set_meta(t: &Transaction<'_>, name: &str, value: &str) -> Result<(), rusqlite::Error> {
    let sum = sum(&[name.as_bytes(), value.as_bytes()]);
    t.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)", params![name, value, sum])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_becomes_the_next_one_with_what_it_holds() {
        let grown: Vec<&str> = STEPS.iter().copied().chain(["ALTER TABLE retained ADD COLUMN since INTEGER"]).collect();
        for released in 1..grown.len() {
            let mut c = Connection::open_in_memory().unwrap();
            migrate_with(&mut c, &grown[..released]).unwrap();
            let log = meta(&c, "log_id").unwrap();
            c.execute("INSERT INTO retained (topic) VALUES ('a/b')", []).unwrap();
            migrate_with(&mut c, &grown).unwrap();
            assert_eq!(meta(&c, "schema").unwrap().as_deref(), Some("2"));
            assert_eq!(meta(&c, "log_id").unwrap(), log, "it is the same log");
            assert_eq!(c.query_row("SELECT count(*) FROM retained", [], |r| r.get::<_, u32>(0)).unwrap(), 1);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate(&mut c).unwrap();
        assert!(migrate_with(&mut c, &[STEPS[0], "CREATE TABLE half (a); SELECT nonsense;"]).is_err());
        assert_eq!(meta(&c, "schema").unwrap().as_deref(), Some("1"));
        assert_eq!(
            c.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |r| r.get::<_, u32>(0)),
            Ok(0)
        );
    }

    #[test]
    fn a_later_version_and_a_foreign_file_are_told_apart() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate_with(&mut c, &[STEPS[0], "CREATE TABLE later (a)"]).unwrap();
        assert!(matches!(migrate(&mut c), Err(SchemaError::TooNew { found: 2, known: 1 })));
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE contacts (name)").unwrap();
        assert!(matches!(migrate(&mut foreign), Err(SchemaError::Foreign)));
    }
}
