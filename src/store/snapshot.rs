//! Once a day the state (not the log) is written to a small file beside the database: what was wanted outlives a database that
//! cannot be read. An expired guest's code must not outlive a bad card.
//!
//! Each line is one row with its check sum, digits sealed as in the database: a damaged line costs itself alone.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, params};

use super::reader::state_sum;
use crate::hub::RowKind;

/// Its name in the state directory.
pub const FILE: &str = "portcullis.snapshot";

const EVERY: Duration = Duration::from_secs(24 * 3600);

/// Not in the rush of a start.
const FIRST: Duration = Duration::from_secs(60);

/// kind, key, rev, value, sum
type Line = (String, String, u64, Option<String>, u32);

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// When the next one is due.
pub struct Snapshots {
    path: PathBuf,
    next: Instant,
}

pub fn beside(database: &Path) -> PathBuf {
    database.with_file_name(FILE)
}

impl Snapshots {
    pub fn new(database: &Path) -> Snapshots {
        let path = beside(database);
        let made = std::fs::metadata(&path).and_then(|m| m.modified());
        // A clock that was set back makes it seem to be from the future: then it is made anew.
        let age = made.ok().and_then(|made| SystemTime::now().duration_since(made).ok()).unwrap_or(EVERY);
        Snapshots { path, next: Instant::now() + EVERY.saturating_sub(age).max(FIRST) }
    }

    pub fn tend(&mut self, c: &Connection) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        match write(c, &self.path) {
            Ok(rows) => tracing::debug!(rows, "store.snapshot"),
            Err(error) => tracing::warn!(%error, "store.snapshot_failed: the last one stays"),
        }
    }
}

/// All rows but those that are learned anew by themselves.
pub fn write(c: &Connection, path: &Path) -> Result<usize, SnapshotError> {
    let fresh = path.with_extension("snapshot.new");
    let file = File::options().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    let mut out = BufWriter::new(file);
    let mut statement = c.prepare("SELECT kind, key, rev, value, sum FROM state WHERE kind <> ?1 ORDER BY rev")?;
    let mut rows = statement.query([RowKind::Presence.as_str()])?;
    let mut written = 0;
    while let Some(r) = rows.next()? {
        let line: Line = (r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?);
        serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        written += 1;
    }
    out.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(written)
}

/// Takes from it the rows that the database lacks; returns how many.
pub fn bring_back(path: &Path, t: &Connection) -> Result<u64, SnapshotError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut brought = 0;
    for line in BufReader::new(file).split(b'\n') {
        let Ok((kind, key, rev, value, sum)) = serde_json::from_slice::<Line>(&line?) else { continue };
        if state_sum(&kind, &key, value.as_deref()) == sum {
            let sql = "INSERT OR IGNORE INTO state VALUES (?1, ?2, ?3, ?4, ?5)";
            brought += t.execute(sql, params![kind, key, rev, value, sum])? as u64;
        }
    }
    Ok(brought)
}
