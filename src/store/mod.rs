//! The disk: an append-only log of events, the state they rest on, and each sink's cursor. SQLite, one writer thread.
//!
//! Nothing is shown to any sink, API or command before it is on disk: a [`Batch`] is one transaction, and what depends on it
//! runs in its `then`.

mod query;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;
use uuid::Uuid;

use crate::event::{Dialect, Event, EventType};
use crate::hub::{Row, RowKind};
use crate::time::Wall;
pub use query::{Filter, Reader};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("the store has stopped")]
    Stopped,
}

/// An event with its place in the log. `body` is the frozen rendering, without `seq` and `log_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub seq: u64,
    pub event_id: Uuid,
    pub event_type: EventType,
    pub account_id: Uuid,
    pub device_id: Option<Uuid>,
    pub created_at: Wall,
    pub body: String,
}

/// A row of state with the revision at which it last changed; a deleted one has no value and stays as a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRow {
    pub rev: u64,
    pub kind: RowKind,
    pub key: String,
    pub value: Option<serde_json::Value>,
}

/// How far the log has come. Watch it to learn of news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `seq` of the last event on disk; 0 for an empty log.
    pub seq: u64,
    /// Revision of the youngest state row.
    pub rev: u64,
}

/// One transaction.
pub struct Batch {
    pub events: Vec<Event>,
    pub rows: Vec<Row>,
    /// Runs on the writer thread once the transaction is on disk; must not block.
    pub then: Option<Box<dyn FnOnce() + Send>>,
}

/// What `Store::open` found.
pub struct Restored {
    pub rows: Vec<Row>,
    pub last_created: Wall,
}

enum Job {
    Append(Batch),
    Cursor(String, u64),
    SetAside { sink: String, seq: u64, reason: String },
}

/// A handle; clones share the writer thread, which ends with the last of them.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::SyncSender<Job>,
    head: watch::Receiver<Head>,
    log_id: Uuid,
    reader: Arc<Mutex<Connection>>,
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id BLOB NOT NULL, type TEXT NOT NULL,
        account_id BLOB NOT NULL, device_id BLOB, created_at INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS state (kind TEXT NOT NULL, key TEXT NOT NULL, rev INTEGER NOT NULL, value TEXT,
        PRIMARY KEY (kind, key)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS undeliverable (sink TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (sink, seq)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cursor (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
";

impl Store {
    /// Opens or makes `DIR/portcullis.db`. Events are rendered in `dialect` as they are appended.
    pub fn open(dir: &Path, dialect: Dialect) -> Result<(Store, Restored), StoreError> {
        let path = dir.join("portcullis.db");
        let opened = Connection::open(&path).and_then(|c| c.execute_batch(SCHEMA).map(|()| c));
        let writer = opened.map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let log_id = log_id(&writer)?;
        let head = Head {
            seq: writer.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |r| r.get(0))?,
            rev: writer.query_row("SELECT coalesce(max(rev), 0) FROM state", [], |r| r.get(0))?,
        };
        let last_created =
            writer.query_row("SELECT coalesce(max(created_at), 0) FROM event", [], |r| r.get(0)).map(Wall)?;
        let rows =
            state_since(&writer, 0)?.into_iter().map(|r| Row { kind: r.kind, key: r.key, value: r.value }).collect();
        let reader = Connection::open(&path)?;
        let (jobs, queue) = mpsc::sync_channel(10_000);
        let (tell, watch) = watch::channel(head);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || write_all(writer, &queue, &tell, dialect))
            .expect("a thread can be started");
        Ok((Store { jobs, head: watch, log_id, reader: Arc::new(Mutex::new(reader)) }, Restored { rows, last_created }))
    }

    /// Hands a batch to the writer; returns before it is on disk.
    pub fn append(&self, batch: Batch) -> Result<(), StoreError> {
        self.jobs.send(Job::Append(batch)).map_err(|_| StoreError::Stopped)
    }

    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    pub fn log_id(&self) -> Uuid {
        self.log_id
    }

    /// Up to `limit` events after `seq`, oldest first.
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let reader = self.reader.lock().unwrap_or_else(|e| e.into_inner());
        let sql = format!("SELECT {} FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2", query::COLUMNS);
        let mut statement = reader.prepare_cached(&sql)?;
        let rows = statement.query_map(params![seq, limit], query::stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// State rows changed after `rev`, oldest change first, tombstones too.
    pub fn state_since(&self, rev: u64) -> Result<Vec<StateRow>, StoreError> {
        state_since(&self.reader.lock().unwrap_or_else(|e| e.into_inner()), rev)
    }

    /// A sink's position: every event up to it is acknowledged.
    pub fn cursor(&self, sink: &str) -> Result<u64, StoreError> {
        let reader = self.reader.lock().unwrap_or_else(|e| e.into_inner());
        let seq = reader.query_row("SELECT seq FROM cursor WHERE sink = ?1", [sink], |r| r.get(0)).optional()?;
        Ok(seq.unwrap_or(0))
    }

    /// Moves a sink's cursor, lazily: with the next append, or within a second.
    pub fn move_cursor(&self, sink: &str, seq: u64) -> Result<(), StoreError> {
        self.jobs.send(Job::Cursor(sink.to_owned(), seq)).map_err(|_| StoreError::Stopped)
    }

    /// Notes that a sink will not take an event, for somebody to look at.
    pub fn set_aside(&self, sink: &str, seq: u64, reason: String) -> Result<(), StoreError> {
        self.jobs.send(Job::SetAside { sink: sink.to_owned(), seq, reason }).map_err(|_| StoreError::Stopped)
    }
}

fn log_id(c: &Connection) -> Result<Uuid, StoreError> {
    c.execute("INSERT OR IGNORE INTO meta VALUES ('log_id', ?1)", [Uuid::now_v7().to_string()])?;
    let text: String = c.query_row("SELECT value FROM meta WHERE name = 'log_id'", [], |r| r.get(0))?;
    Ok(text.parse().unwrap_or_default())
}

fn state_since(c: &Connection, rev: u64) -> Result<Vec<StateRow>, StoreError> {
    let mut statement = c.prepare_cached("SELECT rev, kind, key, value FROM state WHERE rev > ?1 ORDER BY rev")?;
    let rows = statement.query_map([rev], |r| {
        let (rev, kind, key): (u64, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
        let value = r.get::<_, Option<String>>(3)?.and_then(|v| serde_json::from_str(&v).ok());
        // A kind of a later version is left alone.
        Ok(RowKind::ALL.iter().find(|k| k.as_str() == kind).map(|kind| StateRow { rev, kind: *kind, key, value }))
    })?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

fn write_all(mut c: Connection, queue: &mpsc::Receiver<Job>, tell: &watch::Sender<Head>, dialect: Dialect) {
    while let Ok(first) = queue.recv() {
        let jobs: Vec<Job> = std::iter::once(first).chain(queue.try_iter().take(255)).collect();
        let mut head = *tell.borrow();
        match write(&mut c, &jobs, &mut head, dialect) {
            Ok(()) => {
                tell.send_replace(head);
                for job in jobs {
                    if let Job::Append(Batch { then: Some(then), .. }) = job {
                        then();
                    }
                }
            }
            Err(error) => tracing::error!(%error, "store.write_failed"),
        }
    }
}

fn write(c: &mut Connection, jobs: &[Job], head: &mut Head, dialect: Dialect) -> Result<(), rusqlite::Error> {
    let t = c.transaction()?;
    for job in jobs {
        match job {
            Job::Append(batch) => {
                for e in &batch.events {
                    head.seq += 1;
                    t.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
                        head.seq,
                        e.event_id.as_bytes(),
                        e.event_type.as_str(),
                        e.connected_account_id.as_bytes(),
                        e.device_id.as_ref().map(|d| d.as_bytes()),
                        e.created_at.0,
                        e.render(dialect)
                    ])?;
                }
                for row in &batch.rows {
                    head.rev += 1;
                    t.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                        row.kind.as_str(),
                        row.key,
                        head.rev,
                        row.value.as_ref().map(|v| v.to_string())
                    ])?;
                }
            }
            Job::SetAside { sink, seq, reason } => {
                t.prepare_cached("INSERT OR REPLACE INTO undeliverable VALUES (?1, ?2, ?3)")?
                    .execute(params![sink, seq, reason])?;
            }
            Job::Cursor(sink, seq) => {
                t.prepare_cached("INSERT OR REPLACE INTO cursor VALUES (?1, ?2)")?.execute(params![sink, seq])?;
            }
        }
    }
    t.commit()
}
