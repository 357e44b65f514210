//! A copy of the state that is whole, taken while the hub runs, and its way back.
//!
//! A backup is a directory with the database, the identity, the API keys and the key of the codes: keep it like a key. A restored
//! database is a log of its own: its `log_id` is new, so that a subscriber does not take its `seq`s for those it knows.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::schema;
use super::seal::{self, Seal};
use super::snapshot;
use super::{DATABASE, StoreError};
use crate::api::keys;
use crate::identity;

/// What is copied beside the database, where it is there.
const BESIDE: [&str; 3] = [identity::FILE, seal::FILE, keys::FILE];

/// Copies the state in `from` into the directory `to`, which must not hold a backup yet.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = to.join(DATABASE);
    let file = |source| StoreError::File { path: copy.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(file)?;
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
    for name in BESIDE {
        copy_durably(&from.join(name), &to.join(name))?;
    }
    // The database last: what lies there with it is whole. One read transaction: a point in time, whatever is written meanwhile.
    let half = to.join("portcullis.db.half");
    let _ = fs::remove_file(&half);
    c.execute("VACUUM INTO ?1", [half.to_string_lossy()])?;
    fs::set_permissions(&half, Permissions::from_mode(0o600)).map_err(file)?;
    File::open(&half).and_then(|f| f.sync_all()).map_err(file)?;
    fs::rename(&half, &copy).map_err(file)?;
    sync_dir(to).map_err(file)
}

/// Puts a backup in the place of the state in `to`, whose hub must not be running. What was there is kept beside it, as `.before-restore`.
pub fn restore(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (copy, fresh, place) = (from.join(DATABASE), to.join("portcullis.db.restoring"), to.join(DATABASE));
    let file = |source| StoreError::File { path: place.clone(), source };
    fs::create_dir_all(to).map_err(file)?;
    fs::copy(&copy, &fresh).map_err(|source| StoreError::File { path: copy.clone(), source })?;
    let mut c = Connection::open(&fresh).map_err(|source| StoreError::Open { path: copy.clone(), source })?;
    let with_the_backup = Seal::of(from);
    let seal = if with_the_backup.id().is_some() { with_the_backup } else { Seal::of_hub(to)? };
    schema::migrate(&mut c, &seal)?;
    let sound: String = c.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if sound != "ok" {
        return Err(StoreError::Damaged("the backup"));
    }
    schema::set_meta(&c, "log_id", &Uuid::now_v7().to_string())?;
    c.close().map_err(|(_, e)| StoreError::Sql(e))?;
    File::open(&fresh).and_then(|f| f.sync_all()).map_err(file)?;
    for name in [DATABASE, "portcullis.db-wal", "portcullis.db-shm", snapshot::FILE] {
        keep_beside(to, name).map_err(file)?;
    }
    for name in BESIDE {
        if from.join(name).exists() {
            keep_beside(to, name).map_err(file)?;
            copy_durably(&from.join(name), &to.join(name))?;
        }
    }
    fs::rename(&fresh, &place).map_err(file)?;
    // Whoever restores may be another user than the hub.
    let owner = fs::metadata(to).map_err(file)?;
    for name in BESIDE.iter().chain(&[DATABASE, "lock"]).filter(|name| to.join(name).exists()) {
        chown(to.join(name), Some(owner.uid()), Some(owner.gid())).map_err(file)?;
    }
    sync_dir(to).map_err(file)
}

fn keep_beside(dir: &Path, name: &str) -> io::Result<()> {
    match fs::rename(dir.join(name), dir.join(format!("{name}.before-restore"))) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// With its mode, where it is there at all.
fn copy_durably(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copied = fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
    match copied {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied.map_err(|source| StoreError::File { path: from.to_owned(), source }),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
