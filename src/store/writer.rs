//! The one thread that writes. What waits when a commit ends goes into the next one: a burst shares its `fdatasync`s.
//!
//! While the disk fails, batches wait here, acknowledged to nobody; past the limit events are lost and counted, and of the state
//! only the youngest of each row is kept. The thread tries again by itself for as long as it lives.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};
use tokio::sync::watch;
use uuid::Uuid;

use super::pack::{self, Columns};
use super::reader::{self, Reader, cursor_sum, place, state_sum};
use super::retention::Retention;
use super::seal::Seal;
use super::snapshot::Snapshots;
use super::{Batch, Head, Options, StoreError, Stored, query, rescue, schema};
use crate::event::Event;
use crate::health::count;
use crate::hub::Row;
use crate::time::Wall;

/// Batches that may wait while the disk fails: about what a building says in a night, some 10 MB.
pub const WAITING_MOST: usize = 10_000;

/// Batches of one transaction: bounds how much is done again after a failure, far above what one `fdatasync` gathers.
const TOGETHER_MOST: usize = 256;

/// Cursors are written with the next append, or by themselves after so long.
const CURSOR_LAZINESS: Duration = Duration::from_secs(1);

/// How soon a failed commit is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How often old events are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// What looks like damage so many times in a row, without a good commit between, is damage, whatever a check of the file says.
const SUSPECTED_MOST: u32 = 3;

/// Workspace, account, device.
type Scope = (Uuid, Uuid, Option<Uuid>);

/// Its part of the health.
const PART: &str = "store";

pub enum Job {
    Append(Batch),
    Cursor { sink: String, seq: u64 },
    NoCursor { sink: String },
    SetAside { sink: String, seq: u64, reason: String },
    Again { sink: String },
    Resolved { sink: String, seq: u64 },
    Retained { topic: String, is: bool },
    Flush(Box<dyn FnOnce() + Send>),
}

pub struct Writer {
    c: Connection,
    reader: Arc<Reader>,
    options: Options,
    head: Head,
    tell: watch::Sender<Head>,
    scopes: HashMap<Scope, i64>,
    types: HashMap<&'static str, i64>,
    last_at: Wall,
    waiting: VecDeque<Job>,
    /// The youngest rows of batches that found no place in `waiting`.
    overflow: BTreeMap<(&'static str, String), Row>,
    cursors: BTreeMap<String, u64>,
    cursors_written: Instant,
    retention: Retention,
    snapshots: Snapshots,
    failing: bool,
    /// Failures since the last good commit that looked like damage.
    suspected: u32,
    /// The connections are not to be trusted: the file may have been replaced under them.
    adrift: bool,
}

impl Writer {
    pub fn new(
        c: Connection,
        reader: Arc<Reader>,
        options: Options,
        tell: watch::Sender<Head>,
    ) -> Result<Writer, StoreError> {
        let retention = Retention::new(options.retention.clone(), RETENTION_EVERY);
        let snapshots = Snapshots::new(reader.path());
        let head = *tell.borrow();
        let mut writer = Writer {
            head,
            c,
            reader,
            options,
            tell,
            scopes: HashMap::new(),
            types: HashMap::new(),
            last_at: Wall::default(),
            waiting: VecDeque::new(),
            overflow: BTreeMap::new(),
            cursors: BTreeMap::new(),
            cursors_written: Instant::now(),
            retention,
            snapshots,
            failing: false,
            suspected: 0,
            adrift: false,
        };
        writer.read_numbers()?;
        Ok(writer)
    }

    /// What is kept in memory of the database: it never changes but by this thread.
    fn read_numbers(&mut self) -> Result<(), StoreError> {
        self.scopes.clear();
        self.types.clear();
        let mut scopes = self.c.prepare("SELECT scope, workspace_id, account_id, device_id FROM scope")?;
        let mut rows = scopes.query([])?;
        while let Some(r) = rows.next()? {
            let device: Option<[u8; 16]> = r.get(3)?;
            let key = (Uuid::from_bytes(r.get(1)?), Uuid::from_bytes(r.get(2)?), device.map(Uuid::from_bytes));
            self.scopes.insert(key, r.get(0)?);
        }
        let mut types = self.c.prepare("SELECT type, name FROM type")?;
        let mut rows = types.query([])?;
        while let Some(r) = rows.next()? {
            // A type of a later version stays in the table and out of the map.
            if let Ok(event_type) = r.get::<_, String>(1)?.parse::<crate::event::EventType>() {
                self.types.insert(event_type.as_str(), r.get(0)?);
            }
        }
        self.last_at = Wall(self.c.query_row(
            "SELECT coalesce(max(at), 0) FROM (SELECT at FROM event ORDER BY seq DESC LIMIT 1)",
            [],
            |r| r.get(0),
        )?);
        Ok(())
    }

    /// Ends with the last handle, once everything handed over is on disk (or cannot be).
    pub fn run(mut self, queue: &Receiver<Job>) {
        let mut again = Instant::now();
        loop {
            let pause = if self.failing { RETRY } else { CURSOR_LAZINESS };
            let ended = match queue.recv_timeout(pause) {
                Ok(job) => {
                    self.take(job);
                    while self.failing || self.waiting.len() < TOGETHER_MOST {
                        let Ok(job) = queue.try_recv() else { break };
                        self.take(job);
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if !self.failing || Instant::now() >= again || ended {
                self.write(ended);
                again = Instant::now() + RETRY;
            }
            if ended {
                // The log goes into the database file while there is time.
                let _ = self.c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
                return;
            }
            if !self.failing {
                self.retention.tend(&mut self.c, &self.options.health);
                self.snapshots.tend(&self.c);
            }
        }
    }

    /// Keeps a job until it is on disk; past the limit its events are lost, and of its rows the youngest stay.
    fn take(&mut self, job: Job) {
        match job {
            Job::Cursor { sink, seq } => {
                self.cursors.insert(sink, seq);
            }
            Job::NoCursor { sink } => {
                self.cursors.remove(&sink);
                self.waiting.push_back(Job::NoCursor { sink });
            }
            Job::Append(batch) if self.waiting.len() >= WAITING_MOST => {
                let lost = batch.events.len() as u64;
                self.options.health.store.lost.fetch_add(lost, Ordering::Relaxed);
                for row in batch.rows {
                    self.overflow.insert((row.kind.as_str(), row.key.clone()), row);
                }
            }
            job => self.waiting.push_back(job),
        }
    }

    fn write(&mut self, last: bool) {
        while !self.waiting.is_empty() || self.owes_a_cursor(last) || !self.overflow.is_empty() {
            match self.land().and_then(|()| Ok(self.commit()?)) {
                Ok(()) => self.recovered(),
                Err(error) => return self.failed(&error),
            }
        }
    }

    fn owes_a_cursor(&self, last: bool) -> bool {
        !self.cursors.is_empty() && (last || self.cursors_written.elapsed() >= CURSOR_LAZINESS)
    }

    /// One transaction; only when it is on disk anybody is told.
    fn commit(&mut self) -> Result<(), rusqlite::Error> {
        let (health, seal) = (self.options.health.clone(), self.reader.seal().clone());
        let together = self.waiting.len().min(TOGETHER_MOST);
        let (mut head, mut last_at) = (self.head, self.last_at);
        let t = self.c.transaction()?;
        let mut numbers = Numbers { scopes: &mut self.scopes, types: &mut self.types, fresh: Vec::new() };
        let mut appended = Vec::new();
        let mut write = || -> Result<(), rusqlite::Error> {
            for job in self.waiting.iter().take(together) {
                match job {
                    Job::Append(batch) => {
                        for event in &batch.events {
                            head.seq += 1;
                            last_at = last_at.max(event.created_at);
                            let body = event.render(self.options.dialect);
                            appended.push(append(&t, &mut numbers, &seal, event, (head.seq, last_at), body)?);
                        }
                        keep(&t, &seal, batch.rows.iter(), &mut head)?;
                    }
                    other => {
                        note(&t, other)?;
                        head.again += u64::from(matches!(other, Job::Again { .. }));
                    }
                }
            }
            if together == self.waiting.len() {
                keep(&t, &seal, self.overflow.values(), &mut head)?;
            }
            for (sink, seq) in &self.cursors {
                t.prepare_cached("INSERT OR REPLACE INTO cursor VALUES (?1, ?2, ?3)")?.execute(params![
                    sink,
                    seq,
                    cursor_sum(sink, *seq)
                ])?;
            }
            Ok(())
        };
        let written = write().and_then(|()| t.commit());
        if let Err(error) = written {
            numbers.forget();
            return Err(error);
        }
        health.store.events.fetch_add(head.seq - self.head.seq, Ordering::Relaxed);
        count(&health.store.commits);
        self.cursors.clear();
        self.cursors_written = Instant::now();
        if together == self.waiting.len() {
            self.overflow.clear();
        }
        self.last_at = last_at;
        self.reader.recent().append(appended);
        if head != self.head {
            self.head = head;
            self.tell.send_replace(head);
        }
        for job in self.waiting.drain(..together) {
            match job {
                Job::Append(Batch { then: Some(then), .. }) | Job::Flush(then) => then(),
                _ => {}
            }
        }
        Ok(())
    }

    fn recovered(&mut self) {
        self.suspected = 0;
        if std::mem::take(&mut self.failing) {
            tracing::warn!("store.recovered");
            self.options.health.set(PART, true, "writing");
        }
    }

    fn failed(&mut self, error: &StoreError) {
        count(&self.options.health.store.write_errors);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, waiting_most = WAITING_MOST, "store.failing: nothing is acknowledged until it writes again");
        }
        let mut detail = format!("the disk fails ({error}); {} batches wait in memory", self.waiting.len());
        if rescue::is_damaged(error)
            && let Err(error) = self.suspect()
        {
            detail += &format!("; the damaged file cannot be set aside yet: {error}");
        }
        self.options.health.set(PART, false, detail);
    }

    /// What looks like damage is looked at once more.
    fn suspect(&mut self) -> Result<(), StoreError> {
        let path = self.reader.path().to_owned();
        // Whatever comes of it, the connections are made anew.
        self.adrift = true;
        if !rescue::is_confirmed(&path)? {
            self.suspected += 1;
            if self.suspected < SUSPECTED_MOST {
                return Ok(());
            }
        }
        // Whoever lets go of a database may tidy up its log: that must not be the fresh one's.
        self.c = Connection::open_in_memory()?;
        rescue::set_aside(&path, self.reader.seal())
    }

    /// After a suspicion: on whatever file is there now.
    fn land(&mut self) -> Result<(), StoreError> {
        if !self.adrift {
            return Ok(());
        }
        let path = self.reader.path().to_owned();
        rescue::finish(&path)?;
        self.c = super::connect(&path)?;
        self.reader.reopen()?;
        self.reader.recent().clear();
        self.read_numbers()?;
        let fresh = reader::extent(&self.c)?;
        self.head = Head { again: self.head.again, ..fresh };
        self.tell.send_replace(self.head);
        self.adrift = false;
        Ok(())
    }
}

/// What stands in rows instead of what repeats. New ones belong to the transaction that first uses them.
struct Numbers<'a> {
    scopes: &'a mut HashMap<Scope, i64>,
    types: &'a mut HashMap<&'static str, i64>,
    fresh: Vec<Fresh>,
}

enum Fresh {
    Scope(Scope),
    Type(&'static str),
}

impl Numbers<'_> {
    fn scope(&mut self, t: &Transaction<'_>, scope: Scope) -> Result<i64, rusqlite::Error> {
        if let Some(number) = self.scopes.get(&scope) {
            return Ok(*number);
        }
        let (workspace, account, device) = &scope;
        t.prepare_cached("INSERT INTO scope (workspace_id, account_id, device_id) VALUES (?1, ?2, ?3)")?
            .execute(params![workspace.as_bytes(), account.as_bytes(), device.as_ref().map(|d| d.as_bytes())])?;
        self.scopes.insert(scope, t.last_insert_rowid());
        self.fresh.push(Fresh::Scope(scope));
        Ok(t.last_insert_rowid())
    }

    fn event_type(&mut self, t: &Transaction<'_>, name: &'static str) -> Result<i64, rusqlite::Error> {
        if let Some(number) = self.types.get(name) {
            return Ok(*number);
        }
        t.prepare_cached("INSERT INTO type (name) VALUES (?1)")?.execute([name])?;
        self.types.insert(name, t.last_insert_rowid());
        self.fresh.push(Fresh::Type(name));
        Ok(t.last_insert_rowid())
    }

    /// The transaction did not come to be.
    fn forget(self) {
        for fresh in self.fresh {
            match fresh {
                Fresh::Scope(scope) => drop(self.scopes.remove(&scope)),
                Fresh::Type(name) => drop(self.types.remove(name)),
            }
        }
    }
}

fn append(
    t: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    seal: &Seal,
    event: &Event,
    (seq, at): (u64, Wall),
    body: String,
) -> Result<Stored, rusqlite::Error> {
    let scope = numbers.scope(t, (event.workspace_id, event.connected_account_id, event.device_id))?;
    let event_type = numbers.event_type(t, event.event_type.as_str())?;
    let columns = Columns {
        seq,
        event_id: event.event_id,
        event_type: event.event_type.as_str(),
        workspace_id: event.workspace_id,
        account_id: event.connected_account_id,
        device_id: event.device_id,
        created_at: at,
    };
    let (packed, sum) = pack::pack(&columns, event.occurred_at, &body, seal);
    t.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        seq,
        scope,
        event_type,
        at.0,
        event.event_id.as_bytes(),
        packed,
        sum
    ])?;
    schema::index_code(t, seq, event.details.access_code_id)?;
    if query::time_of(event.event_id) != at {
        t.prepare_cached("INSERT OR IGNORE INTO odd VALUES (?1, ?2)")?
            .execute(params![event.event_id.as_bytes(), seq])?;
    }
    Ok(Stored {
        seq,
        event_id: event.event_id,
        event_type: event.event_type,
        account_id: event.connected_account_id,
        device_id: event.device_id,
        created_at: at,
        body,
    })
}

fn keep<'a>(
    t: &Transaction<'_>,
    seal: &Seal,
    rows: impl Iterator<Item = &'a Row>,
    head: &mut Head,
) -> Result<(), rusqlite::Error> {
    for row in rows {
        head.rev += 1;
        let kind = row.kind.as_str();
        let value = row.value.as_ref().map(|v| seal.seal_row(&place(kind, &row.key), v));
        t.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            kind,
            row.key,
            head.rev,
            value,
            state_sum(kind, &row.key, value.as_deref())
        ])?;
    }
    Ok(())
}

/// What sinks note.
fn note(t: &Transaction<'_>, job: &Job) -> Result<(), rusqlite::Error> {
    match job {
        Job::NoCursor { sink } => t.prepare_cached("DELETE FROM cursor WHERE sink = ?1")?.execute([sink])?,
        Job::SetAside { sink, seq, reason } => t
            .prepare_cached("INSERT OR REPLACE INTO undeliverable VALUES (?1, ?2, ?3, 0)")?
            .execute(params![sink, seq, reason])?,
        Job::Resolved { sink, seq } => {
            t.prepare_cached("DELETE FROM undeliverable WHERE sink = ?1 AND seq = ?2")?.execute(params![sink, seq])?
        }
        Job::Again { sink } => {
            t.prepare_cached("UPDATE undeliverable SET again = 1 WHERE sink = ?1")?.execute([sink])?
        }
        Job::Retained { topic, is: true } => {
            t.prepare_cached("INSERT OR IGNORE INTO retained VALUES (?1)")?.execute([topic])?
        }
        Job::Retained { topic, is: false } => {
            t.prepare_cached("DELETE FROM retained WHERE topic = ?1")?.execute([topic])?
        }
        Job::Append(_) | Job::Cursor { .. } | Job::Flush(_) => 0,
    };
    Ok(())
}
