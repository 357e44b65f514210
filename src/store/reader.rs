//! The reading side: the log, the state and the cursors, as they are on disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row as SqlRow};
use uuid::Uuid;

use super::pack::{self, Columns};
use super::query::{self, Filter};
use super::recent::Recent;
use super::schema::{self, meta};
use super::seal::Seal;
use super::sum::sum;
use super::{DATABASE, Head, StateRow, StoreError, Stored, Undeliverable};
use crate::hub::{KeptRow, RowKind};
use crate::time::Wall;

/// Readers at once: a sink and the API do not wait for each other.
const READERS: usize = 2;

/// A view of the database that never writes.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connections: [Mutex<Connection>; READERS],
    log_id: RwLock<Uuid>,
    seal: Arc<Seal>,
    /// Where the log is written by this process.
    recent: Recent,
}

pub(super) const EVENT: &str = "SELECT e.seq, e.event_id, t.name, s.workspace_id, s.account_id, s.device_id, e.at, \
     e.body, e.sum FROM event e LEFT JOIN type t USING (type) LEFT JOIN scope s USING (scope)";

impl Reader {
    /// The database of a hub that need not be running. Who may not read its key sees digits masked.
    pub fn open(dir: &Path) -> Result<Reader, StoreError> {
        Reader::at(&dir.join(DATABASE), Arc::new(Seal::of(dir)))
    }

    pub(super) fn at(path: &Path, seal: Arc<Seal>) -> Result<Reader, StoreError> {
        let [a, b] = connect(path)?;
        let log_id = RwLock::new(log_id(&a)?);
        Ok(Reader {
            path: path.to_owned(),
            connections: [Mutex::new(a), Mutex::new(b)],
            log_id,
            seal,
            recent: Recent::default(),
        })
    }

    /// Another file has taken the place of the one that was open.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let fresh = connect(&self.path)?;
        let id = log_id(&fresh[0])?;
        for (stale, fresh) in self.connections.iter().zip(fresh) {
            *stale.lock().unwrap_or_else(|e| e.into_inner()) = fresh;
        }
        *self.log_id.write().unwrap_or_else(|e| e.into_inner()) = id;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// The events after `seq`, as far as they are still in memory and the first of them is: a way without the disk.
    pub fn recent_after(&self, seq: u64) -> Vec<Stored> {
        self.recent.after(seq)
    }

    pub(super) fn seal(&self) -> &Arc<Seal> {
        &self.seal
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        let free = self.connections.iter().find_map(|r| r.try_lock().ok());
        free.unwrap_or_else(|| self.connections[0].lock().unwrap_or_else(|e| e.into_inner()))
    }

    /// The log's name; another one after a database was lost or restored.
    pub fn log_id(&self) -> Uuid {
        *self.log_id.read().unwrap_or_else(|e| e.into_inner())
    }

    /// How far the log has come.
    pub fn extent(&self) -> Result<Head, StoreError> {
        Ok(extent(&self.connection())?)
    }

    /// `seq` of the oldest event that is still there; `None` in an empty log.
    pub fn first_seq(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.connection().query_row("SELECT min(seq) FROM event", [], |r| r.get(0))?)
    }

    pub(super) fn has_events(&self) -> Result<bool, StoreError> {
        Ok(self.connection().query_row("SELECT EXISTS (SELECT 1 FROM event)", [], |r| r.get(0))?)
    }

    /// Up to `limit` events after `seq`, oldest first. One that is not what was written is told as damage, not as an event.
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let c = self.connection();
        let mut statement = c.prepare_cached(&format!("{EVENT} WHERE e.seq > ?1 ORDER BY e.seq"))?;
        let rows = statement.query_map([seq], |r| stored(r, &self.seal))?;
        Ok(rows.filter_map(Result::transpose).take(limit).collect::<Result<_, _>>()?)
    }

    /// One event by its id.
    pub fn event(&self, event_id: Uuid) -> Result<Option<Stored>, StoreError> {
        let c = self.connection();
        match query::seq_of(&c, event_id)? {
            Some(seq) => Ok(event_at(&c, &self.seal, seq)?),
            None => Ok(None),
        }
    }

    /// Up to `limit` events that fit, oldest first.
    pub fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<Stored>, StoreError> {
        Ok(query::find(&self.connection(), &self.seal, filter, limit)?)
    }

    /// What `with` makes of every row of state that is not deleted, each read as it is asked for, in the table's own order.
    /// Every row is looked at, and so is the order of the changes, in which sinks read them: an entry that is lost there would be
    /// a device that nobody is told of.
    pub fn restore<T>(&self, with: impl FnOnce(&mut dyn Iterator<Item = KeptRow>) -> T) -> Result<T, StoreError> {
        let c = self.connection();
        let mut table = c.prepare_cached("SELECT rev, kind, key, value, sum FROM state NOT INDEXED")?;
        let mut rows = table.query_map([], |r| Ok((mark(r)?, kept_row(r, &self.seal)?)))?;
        let (mut marks, mut failed) = (0u64, None);
        let mut sound = std::iter::from_fn(|| match rows.next()? {
            Ok((mark, row)) => {
                marks = marks.wrapping_add(mark);
                Some(row)
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        })
        .flatten();
        let made = with(&mut sound);
        sound.for_each(drop);
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut order = c.prepare_cached("SELECT rev, kind, key FROM state INDEXED BY state_by_rev WHERE rev > 0")?;
        let mut ordered = 0u64;
        for mark in order.query_map([], mark)? {
            ordered = ordered.wrapping_add(mark?);
        }
        if marks != ordered {
            return Err(StoreError::Damaged("the order of the state"));
        }
        Ok(made)
    }

    /// The whole state, oldest change first, tombstones too: for those who look once.
    pub fn state(&self) -> Result<Vec<StateRow>, StoreError> {
        self.state_since(0)
    }

    /// What of it changed after `rev`.
    pub fn state_since(&self, rev: u64) -> Result<Vec<StateRow>, StoreError> {
        Ok(state_since(&self.connection(), &self.seal, rev)?)
    }

    /// Up to `limit` rows of a kind changed after `rev`, oldest change first, tombstones too.
    pub fn changes(&self, kind: RowKind, rev: u64, limit: usize) -> Result<Vec<StateRow>, StoreError> {
        let c = self.connection();
        let mut statement = c.prepare_cached(
            "SELECT rev, kind, key, value, sum FROM state INDEXED BY state_by_rev WHERE rev > ?1 AND kind = ?2 ORDER BY rev",
        )?;
        let rows = statement.query_map(rusqlite::params![rev, kind.as_str()], |r| state_row(r, &self.seal))?;
        Ok(rows.filter_map(Result::transpose).take(limit).collect::<Result<_, _>>()?)
    }

    /// One row of state as it is now.
    pub fn row(&self, kind: RowKind, key: &str) -> Result<Option<serde_json::Value>, StoreError> {
        let c = self.connection();
        let mut statement =
            c.prepare_cached("SELECT rev, kind, key, value, sum FROM state WHERE kind = ?1 AND key = ?2")?;
        let row = statement.query_row([kind.as_str(), key], |r| state_row(r, &self.seal)).optional()?;
        Ok(row.flatten().and_then(|row| row.value))
    }

    /// Up to `limit` rows of a kind whose key comes after `key`, in the order of their keys, without tombstones.
    pub fn rows_after(&self, kind: RowKind, key: &str, limit: usize) -> Result<Vec<StateRow>, StoreError> {
        let c = self.connection();
        let mut statement = c.prepare_cached(
            "SELECT rev, kind, key, value, sum FROM state WHERE kind = ?1 AND key > ?2 AND value IS NOT NULL ORDER BY key",
        )?;
        let rows = statement.query_map([kind.as_str(), key], |r| state_row(r, &self.seal))?;
        Ok(rows.filter_map(Result::transpose).take(limit).collect::<Result<_, _>>()?)
    }

    /// A sink's position: every event up to it is acknowledged. One that is damaged starts anew: told twice is not lost.
    pub fn cursor(&self, sink: &str) -> Result<u64, StoreError> {
        Ok(cursor(&self.connection(), sink)?)
    }

    /// What sinks would not take.
    pub fn undeliverable(&self) -> Result<Vec<Undeliverable>, StoreError> {
        let c = self.connection();
        let mut statement =
            c.prepare_cached("SELECT sink, seq, reason, again FROM undeliverable ORDER BY sink, seq")?;
        let rows = statement.query_map([], |r| {
            Ok(Undeliverable { sink: r.get(0)?, seq: r.get(1)?, reason: r.get(2)?, again: r.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Topics at which a sink left something retained.
    pub fn retained(&self) -> Result<Vec<String>, StoreError> {
        let c = self.connection();
        let mut statement = c.prepare_cached("SELECT topic FROM retained")?;
        let rows = statement.query_map([], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn connect(path: &Path) -> Result<[Connection; READERS], StoreError> {
    let open = || -> Result<Connection, rusqlite::Error> {
        let c = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        schema::prepare(&c)?;
        Ok(c)
    };
    let opened = || Ok([open()?, open()?]);
    opened().map_err(|source| StoreError::Open { path: path.to_owned(), source })
}

fn log_id(c: &Connection) -> Result<Uuid, StoreError> {
    meta(c, "log_id")?.and_then(|id| id.parse().ok()).ok_or(StoreError::Damaged("the log's id"))
}

/// A `seq` that a sink has passed is never given again, though the event itself was lost.
pub(super) fn extent(c: &Connection) -> Result<Head, rusqlite::Error> {
    let last: u64 = c.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |r| r.get(0))?;
    let passed = cursors(c)?.into_iter().map(|(_, seq)| seq).max().unwrap_or(0);
    let rev = c.query_row("SELECT coalesce(max(rev), 0) FROM state", [], |r| r.get(0))?;
    Ok(Head { seq: last.max(passed), rev, again: 0 })
}

/// Every sink's position.
pub(super) fn cursors(c: &Connection) -> Result<Vec<(String, u64)>, rusqlite::Error> {
    let mut sinks = c.prepare_cached("SELECT sink FROM cursor")?;
    let sinks: Vec<String> = sinks.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    sinks.into_iter().map(|sink| cursor(c, &sink).map(|seq| (sink, seq))).collect()
}

pub(super) fn event_at(c: &Connection, seal: &Seal, seq: u64) -> Result<Option<Stored>, rusqlite::Error> {
    let mut statement = c.prepare_cached(&format!("{EVENT} WHERE e.seq = ?1"))?;
    Ok(statement.query_row([seq], |r| stored(r, seal)).optional()?.flatten())
}

/// `None` for a row that is not what was written.
pub(super) fn stored(r: &SqlRow<'_>, seal: &Seal) -> Result<Option<Stored>, rusqlite::Error> {
    let seq: u64 = r.get(0)?;
    let read = sound(r, seq, seal);
    if read.is_none() {
        tracing::error!(seq, "store.event_damaged");
    }
    Ok(read)
}

fn sound(r: &SqlRow<'_>, seq: u64, seal: &Seal) -> Option<Stored> {
    let name: String = r.get(2).ok()?;
    let columns = columns(r, seq, &name)?;
    let body = pack::unpack(&columns, r.get_ref(7).ok()?.as_blob().ok()?, r.get(8).ok()?, seal)?;
    Some(Stored {
        seq,
        event_id: columns.event_id,
        event_type: name.parse().ok()?,
        account_id: columns.account_id,
        device_id: columns.device_id,
        created_at: columns.created_at,
        body,
    })
}

/// Of a row of [`EVENT`].
pub(super) fn columns<'a>(r: &SqlRow<'_>, seq: u64, event_type: &'a str) -> Option<Columns<'a>> {
    let uuid = |n| r.get::<_, [u8; 16]>(n).map(Uuid::from_bytes).ok();
    Some(Columns {
        seq,
        event_id: uuid(1)?,
        event_type,
        workspace_id: uuid(3)?,
        account_id: uuid(4)?,
        device_id: r.get::<_, Option<[u8; 16]>>(5).ok()?.map(Uuid::from_bytes),
        created_at: Wall(r.get(6).ok()?),
    })
}

/// Rows of a kind that only a later version knows are left alone, and so are those that are not what was written.
fn state_since(c: &Connection, seal: &Seal, rev: u64) -> Result<Vec<StateRow>, rusqlite::Error> {
    let mut statement = c.prepare_cached("SELECT rev, kind, key, value, sum FROM state WHERE rev > ?1 ORDER BY rev")?;
    let rows = statement.query_map([rev], |r| state_row(r, seal))?;
    rows.filter_map(Result::transpose).collect()
}

pub(super) fn state_row(r: &SqlRow<'_>, seal: &Seal) -> Result<Option<StateRow>, rusqlite::Error> {
    let Some((rev, kind, key, text)) = written_row(r)? else { return Ok(None) };
    let value = text.and_then(|v| serde_json::from_str(&v).ok());
    let value = value.map(|v| seal.open_row(&place(kind.as_str(), &key), v));
    Ok(Some(StateRow { rev, kind, key, value }))
}

fn kept_row(r: &SqlRow<'_>, seal: &Seal) -> Result<Option<KeptRow>, rusqlite::Error> {
    let Some((_, kind, key, Some(text))) = written_row(r)? else { return Ok(None) };
    let text = seal.open_text(&place(kind.as_str(), &key), text);
    Ok(Some(KeptRow { kind, key, text }))
}

/// Revision, kind, key and text, if it is not deleted.
type Written = (u64, RowKind, String, Option<String>);

/// `None` for one that is not what was written, or of a kind that is not known.
fn written_row(r: &SqlRow<'_>) -> Result<Option<Written>, rusqlite::Error> {
    let (rev, kind, key): (u64, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
    let (text, written): (Option<String>, u32) = (r.get(3)?, r.get(4)?);
    if state_sum(&kind, &key, text.as_deref()) != written {
        tracing::error!(%kind, %key, "store.state_damaged");
        return Ok(None);
    }
    Ok(RowKind::ALL.iter().find(|k| k.as_str() == kind).map(|kind| (rev, *kind, key, text)))
}

/// Of a revision, a kind and a key: their sum over rows is the same in whatever order they are read.
fn mark(r: &SqlRow<'_>) -> Result<u64, rusqlite::Error> {
    let part = |n| r.get_ref(n).map(|part| part.as_bytes().unwrap_or_default());
    let rev: u64 = r.get(0)?;
    Ok((u64::from(sum(&[&rev.to_le_bytes(), part(1)?, part(2)?])) << 16) + 1)
}

/// Digits are sealed to their row.
pub(super) fn place(kind: &str, key: &str) -> Vec<u8> {
    format!("{kind}\0{key}").into_bytes()
}

pub(super) fn state_sum(kind: &str, key: &str, value: Option<&str>) -> u32 {
    sum(&[kind.as_bytes(), key.as_bytes(), value.unwrap_or_default().as_bytes(), &[u8::from(value.is_some())]])
}

pub(super) fn cursor(c: &Connection, sink: &str) -> Result<u64, rusqlite::Error> {
    let mut statement = c.prepare_cached("SELECT seq, sum FROM cursor WHERE sink = ?1")?;
    let row = statement.query_row([sink], |r| Ok((r.get::<_, u64>(0)?, r.get::<_, u32>(1)?))).optional()?;
    match row {
        Some((seq, written)) if cursor_sum(sink, seq) == written => Ok(seq),
        Some(_) => {
            tracing::error!(sink, "store.cursor_damaged");
            Ok(0)
        }
        None => Ok(0),
    }
}

pub(super) fn cursor_sum(sink: &str, seq: u64) -> u32 {
    sum(&[sink.as_bytes(), &seq.to_le_bytes()])
}
