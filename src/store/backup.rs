//! A copy of the state that is whole, taken while the hub runs, and its way back.
//!
//! A backup is a directory with the database and the identity. A restored database is a log of its own: its `log_id` is new, so
//! that a subscriber does not take its `seq`s for those it knows.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::schema;
use super::{DATABASE, StoreError};
use crate::identity;

/// Copies database and identity of the state in `from` into the directory `to`, which must not hold a backup yet.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = to.join(DATABASE);
    let file = |source| StoreError::File { path: copy.clone(), source };
    fs::create_dir_all(to).map_err(file)?;
    if copy.exists() {
        return Err(file(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a backup already; name another directory",
        )));
    }
    let path = from.join(DATABASE);
    let c = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|source| StoreError::Open { path, source })?;
    schema::prepare(&c)?;
    // One read transaction: a point in time, whatever is written meanwhile.
    c.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    for name in [DATABASE, identity::FILE] {
        if name == identity::FILE {
            fs::copy(from.join(name), to.join(name)).map_err(file)?;
        }
        File::open(to.join(name)).and_then(|f| f.sync_all()).map_err(file)?;
    }
    sync_dir(to).map_err(file)
}

/// Puts a backup in the place of the state in `to`, whose hub must not be running. What was there is kept beside it, as `.before-restore`.
pub fn restore(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (copy, fresh, place) = (from.join(DATABASE), to.join("portcullis.db.restoring"), to.join(DATABASE));
    let file = |source| StoreError::File { path: place.clone(), source };
    fs::create_dir_all(to).map_err(file)?;
    fs::copy(&copy, &fresh).map_err(|source| StoreError::File { path: copy.clone(), source })?;
    let mut c = Connection::open(&fresh).map_err(|source| StoreError::Open { path: copy.clone(), source })?;
    schema::migrate(&mut c)?;
    let sound: String = c.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if sound != "ok" {
        return Err(StoreError::Damaged("the backup"));
    }
    let t = c.transaction()?;
    schema::set_meta(&t, "log_id", &Uuid::now_v7().to_string())?;
    t.commit()?;
    c.close().map_err(|(_, e)| StoreError::Sql(e))?;
    File::open(&fresh).and_then(|f| f.sync_all()).map_err(file)?;
    for name in [DATABASE, "portcullis.db-wal", "portcullis.db-shm", identity::FILE] {
        match fs::rename(to.join(name), to.join(format!("{name}.before-restore"))) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(file(e)),
            _ => {}
        }
    }
    fs::copy(from.join(identity::FILE), to.join(identity::FILE)).map_err(file)?;
    File::open(to.join(identity::FILE)).and_then(|f| f.sync_all()).map_err(file)?;
    fs::rename(&fresh, &place).map_err(file)?;
    sync_dir(to).map_err(file)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
