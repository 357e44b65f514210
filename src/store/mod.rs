//! The disk: an append-only log of events, the state they rest on, and each sink's cursor. SQLite, one writer thread.
//!
//! Nothing is shown to any sink, API or command before it is on disk: a [`Batch`] is one transaction, and what depends on it
//! runs in its `then`.

mod backup;
mod carry;
mod outline;
mod pack;
mod query;
mod reader;
mod recent;
mod rescue;
mod retention;
mod schema;
mod seal;
mod snapshot;
mod sum;
mod writer;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::event::{Dialect, Event, EventType};
use crate::health::Health;
use crate::hub::{Row, RowKind};
use crate::time::Wall;
pub use backup::{backup, restore};
pub use query::Filter;
pub use reader::Reader;
pub use retention::Keep;
pub use schema::SchemaError;
use seal::Seal;
use writer::{Job, Writer};

/// The database's name in the state directory.
pub const DATABASE: &str = "portcullis.db";

/// The key of the codes, as a part of the health: there where it is not the right one.
const CODE_KEY: &str = "code_key";

/// Jobs on their way to the writer. It takes them even while the disk fails, so this fills only during one long commit.
const QUEUE: usize = 10_000;

/// Of the youngest events so many are looked at for the time at which the log ends.
const TAIL: u64 = 64;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}", path = path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("{0}")]
    Schema(#[from] SchemaError),
    #[error("{0} is damaged")]
    Damaged(&'static str),
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
    /// Counts the times that somebody asked for what was set aside to be tried again.
    pub again: u64,
}

/// One transaction.
pub struct Batch {
    pub events: Vec<Event>,
    pub rows: Vec<Row>,
    /// Runs on the writer thread once the transaction is on disk; must not block.
    pub then: Option<Box<dyn FnOnce() + Send>>,
}

/// An event that a sink will not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeliverable {
    pub sink: String,
    pub seq: u64,
    pub reason: String,
    /// Somebody asked for another try.
    pub again: bool,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// The wording in which events are frozen as they are appended.
    pub dialect: Dialect,
    pub retention: Keep,
    pub health: Arc<Health>,
}

impl Options {
    pub fn new(dialect: Dialect) -> Options {
        Options { dialect, retention: Keep::default(), health: Arc::default() }
    }
}

/// A handle; clones share the writer thread, which ends with the last of them. Reads are those of [`Reader`].
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::SyncSender<Job>,
    head: watch::Receiver<Head>,
    reader: Arc<Reader>,
}

impl Deref for Store {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Store {
    /// Opens or makes the database in `dir`. A damaged one is set aside; see the log for its name. With the store comes the
    /// `created_at` of the log's last event. Every row is looked at, as a start of the hub does.
    pub fn open(dir: &Path, dialect: Dialect) -> Result<(Store, Wall), StoreError> {
        Store::open_with(dir, Options::new(dialect), |reader, last_created| {
            reader.restore(|rows| rows.for_each(drop))?;
            Ok(last_created)
        })
    }

    /// The same; `restore` makes of that time and of what can be read what rests on it. Where that turns out to be damaged it is
    /// called anew.
    pub fn open_with<T>(
        dir: &Path,
        options: Options,
        restore: impl Fn(&Reader, Wall) -> Result<T, StoreError>,
    ) -> Result<(Store, T), StoreError> {
        let path = dir.join(DATABASE);
        let seal = Arc::new(Seal::of_hub(dir)?);
        rescue::begin(&path, &seal)?;
        let opened = match open_once(&path, &seal, &options, &restore) {
            Err(error) if rescue::is_damaged(&error) => {
                tracing::error!(%error, path = %path.display(), "store.damage_found");
                rescue::set_aside(&path, &seal)?;
                open_once(&path, &seal, &options, &restore)?
            }
            opened => opened?,
        };
        let Opened { writer, reader, head, restored } = opened;
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(&queue))
            .map_err(|source| StoreError::File { path, source })?;
        Ok((Store { jobs, head, reader }, restored))
    }

    /// Hands a batch to the writer; returns before it is on disk.
    pub fn append(&self, batch: Batch) -> Result<(), StoreError> {
        self.job(Job::Append(batch))
    }

    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// Moves a sink's cursor, lazily: with the next append, or within a second.
    pub fn move_cursor(&self, sink: &str, seq: u64) -> Result<(), StoreError> {
        self.job(Job::Cursor { sink: sink.to_owned(), seq })
    }

    /// The sink is no more, or waits for nothing: the log need not keep anything for it.
    pub fn drop_cursor(&self, sink: &str) -> Result<(), StoreError> {
        self.job(Job::NoCursor { sink: sink.to_owned() })
    }

    /// Notes that a sink will not take an event, for somebody to look at.
    pub fn set_aside(&self, sink: &str, seq: u64, reason: String) -> Result<(), StoreError> {
        self.job(Job::SetAside { sink: sink.to_owned(), seq, reason })
    }

    /// Asks the sink to try again what it set aside.
    pub fn drive_again(&self, sink: &str) -> Result<(), StoreError> {
        self.job(Job::Again { sink: sink.to_owned() })
    }

    /// What was set aside was taken after all.
    pub fn resolved(&self, sink: &str, seq: u64) -> Result<(), StoreError> {
        self.job(Job::Resolved { sink: sink.to_owned(), seq })
    }

    /// Notes that something is (or no longer is) retained at a topic.
    pub fn note_retained(&self, topic: String, is: bool) -> Result<(), StoreError> {
        self.job(Job::Retained { topic, is })
    }

    /// Returns once everything handed over before is on disk, cursors too.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (kept, on_disk) = tokio::sync::oneshot::channel();
        self.job(Job::Flush(Box::new(move || kept.send(()).unwrap_or(()))))?;
        on_disk.await.map_err(|_| StoreError::Stopped)
    }

    fn job(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.send(job).map_err(|_| StoreError::Stopped)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let opened = Connection::open(path).and_then(|c| {
        schema::prepare(&c)?;
        // FULL: a commit that was told is there after a loss of power.
        c.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -2000;")?;
        let mode: String = c.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
        Ok((c, mode))
    });
    match opened {
        Ok((c, mode)) if mode == "wal" => Ok(c),
        Ok(_) => Err(StoreError::Damaged("the file's header")),
        Err(source) => Err(StoreError::Open { path: path.to_owned(), source }),
    }
}

struct Opened<T> {
    writer: Writer,
    reader: Arc<Reader>,
    head: watch::Receiver<Head>,
    restored: T,
}

/// Looks at everything that a start depends on.
fn open_once<T>(
    path: &Path,
    seal: &Arc<Seal>,
    options: &Options,
    restore: &impl Fn(&Reader, Wall) -> Result<T, StoreError>,
) -> Result<Opened<T>, StoreError> {
    let mut writer = connect(path)?;
    schema::migrate(&mut writer, seal)?;
    let reader = Reader::at(path, seal.clone())?;
    let head = reader.extent()?;
    let tail = reader.events_after(head.seq.saturating_sub(TAIL), TAIL as usize)?;
    if tail.is_empty() && reader.has_events()? {
        return Err(StoreError::Damaged("the end of the log"));
    }
    let last_created = tail.last().map(|e| e.created_at).unwrap_or_default();
    let restored = restore(&reader, last_created)?;
    if seal.lacks_a_key() || !schema::knows_the_key(&writer, seal)? {
        options.health.set(CODE_KEY, false, "the key is another one than before: older codes' digits are masked");
    }
    let reader = Arc::new(reader);
    let (tell, head) = watch::channel(head);
    let writer = Writer::new(writer, reader.clone(), options.clone(), tell)?;
    Ok(Opened { writer, reader, head, restored })
}
