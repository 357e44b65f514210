//! A damaged database is set aside under a name that says so, and what is sound of it goes on in a fresh one: the state, what
//! no sink has taken yet, and the youngest of the rest; state that cannot be read comes from the last snapshot. A bad card is never
//! a reason not to start, and a disk that fails never a reason to give up a sound file.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::carry::carry_over;
use super::schema::{self, SchemaError};
use super::seal::Seal;
use super::snapshot;

/// Whether it is the file that is wrong, not the disk that is full or somebody who holds it.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        // 1 is SQLite's word for SQL that makes no sense: ours does, so a table has vanished.
        rusqlite::Error::SqliteFailure(e, _) => {
            matches!(e.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SchemaChanged)
                || e.extended_code == 1
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

/// Whether the file is to blame: a disk that fails now and then is taken for damage by SQLite, too.
pub fn is_confirmed(path: &Path) -> Result<bool, rusqlite::Error> {
    let look = || -> Result<String, rusqlite::Error> {
        let c = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::prepare(&c)?;
        c.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))
    };
    match look() {
        Ok(said) => Ok(said != "ok"),
        Err(error) if is_damage(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Makes a new database of what is sound in the damaged one, and then puts it in its place. Where that fails, or the power goes in
/// the middle of it, nothing has changed, or it is finished by the next call.
pub fn set_aside(path: &Path, seal: &Seal) -> Result<(), StoreError> {
    if !finish(path)? {
        build(path, seal)?;
        finish(path)?;
    }
    Ok(())
}

/// A database that is gone altogether begins with the state of the last snapshot, where there is one.
pub fn begin(path: &Path, seal: &Seal) -> Result<(), StoreError> {
    if !finish(path)? && !path.exists() && snapshot::beside(path).exists() {
        tracing::error!(path = %path.display(), "store.missing: the database is gone");
        build(path, seal)?;
        finish(path)?;
    }
    Ok(())
}

/// Complete, and on its way to the database's place.
fn rescued(path: &Path) -> PathBuf {
    with_suffix(path, ".rescued")
}

fn build(path: &Path, seal: &Seal) -> Result<(), StoreError> {
    let half = with_suffix(path, ".half");
    let file = |source| StoreError::File { path: half.clone(), source };
    for suffix in ["", "-wal", "-shm"] {
        gone(std::fs::remove_file(with_suffix(&half, suffix))).map_err(file)?;
    }
    let mut fresh = super::connect(&half)?;
    schema::migrate(&mut fresh, seal)?;
    let saved = carry_over(&mut fresh, path, seal)?;
    fresh.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    fresh.close().map_err(|(_, e)| StoreError::Sql(e))?;
    std::fs::File::open(&half).and_then(|f| f.sync_all()).map_err(file)?;
    std::fs::rename(&half, rescued(path)).map_err(file)?;
    tracing::error!(
        events = saved.events,
        rows = saved.rows,
        from_snapshot = saved.from_snapshot,
        error = saved.error.map(tracing::field::display),
        "store.damaged: a fresh database goes on with what is sound"
    );
    Ok(())
}

/// True where there was something to finish.
pub fn finish(path: &Path) -> Result<bool, StoreError> {
    if !rescued(path).exists() {
        return Ok(false);
    }
    let aside = free_name(path);
    let file = |source| StoreError::File { path: path.to_owned(), source };
    for suffix in ["", "-wal", "-shm"] {
        gone(std::fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix))).map_err(file)?;
    }
    std::fs::rename(rescued(path), path).map_err(file)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(file)?;
    if aside.exists() {
        tracing::error!(aside = %aside.display(), "store.set_aside: the damaged database is kept here");
    }
    Ok(true)
}

/// What is not there need not be moved or removed.
fn gone(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Details, Dialect, Event, EventType};
    use crate::hub::{Row, RowKind};
    use crate::store::{Batch, DATABASE, Store};
    use crate::time::Wall;
    use serde_json::json;
    use uuid::Uuid;

    fn event(n: i64) -> Event {
        Event {
            event_id: Uuid::now_v7(),
            event_type: EventType::LockLocked,
            workspace_id: Uuid::from_u128(1),
            created_at: Wall(1_767_225_600_000 + n),
            occurred_at: Wall(1_767_225_600_000 + n),
            connected_account_id: Uuid::from_u128(2),
            device_id: Some(Uuid::from_u128(3)),
            details: Details::default(),
        }
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, Dialect::Classic).unwrap().0
    }

    fn keys(store: &Store) -> Vec<String> {
        let mut keys: Vec<String> = store.state().unwrap().into_iter().map(|row| row.key).collect();
        keys.sort();
        keys
    }

    /// Ends the writer, so that everything is in the one file.
    async fn close(store: Store) {
        let mut head = store.head();
        store.flush().await.unwrap();
        drop(store);
        while head.changed().await.is_ok() {}
    }

    /// A closed store with 50 events and the rows a, b, c, of which the last snapshot has a and b.
    async fn left() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let row = |key: &str| Row { kind: RowKind::Account, key: key.into(), value: Some(json!({"is": key})) };
        let batch = |events, rows| Batch { events, rows, then: None };
        store.append(batch((0..50).map(event).collect(), vec![row("a"), row("b")])).unwrap();
        store.flush().await.unwrap();
        snapshot::write(&store.connection(), &dir.path().join(snapshot::FILE)).unwrap();
        store.append(batch(Vec::new(), vec![row("c")])).unwrap();
        close(store).await;
        dir
    }

    /// Overwrites the first page of each of these trees.
    fn overwrite(database: &Path, trees: &[&str]) {
        let c = Connection::open(database).unwrap();
        let root = |tree: &&str| {
            c.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [tree], |r| r.get::<_, u64>(0)).unwrap()
        };
        let pages: Vec<u64> = trees.iter().map(root).collect();
        drop(c);
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(database).unwrap();
        for page in pages {
            file.write_all_at(&[0xa5; 4096], (page - 1) * 4096).unwrap();
        }
    }

    #[tokio::test]
    async fn state_that_cannot_be_read_comes_from_the_snapshot_and_the_log_goes_on() {
        let dir = left().await;
        overwrite(&dir.path().join(DATABASE), &["state", "state_by_rev"]);
        let store = open(dir.path());
        assert_eq!(keys(&store), ["a", "b"], "what the last snapshot had");
        assert_eq!(store.events_after(0, 100).unwrap().len(), 50);
        assert!(with_suffix(&dir.path().join(DATABASE), ".damaged-1").exists());
    }

    #[tokio::test]
    async fn where_the_state_is_whole_the_snapshot_has_no_say() {
        let dir = left().await;
        overwrite(&dir.path().join(DATABASE), &["event_by_type", "meta"]);
        std::fs::write(dir.path().join(snapshot::FILE), "[\"account\",\"old\",1,null,0]\n").unwrap();
        let store = open(dir.path());
        assert_eq!(keys(&store), ["a", "b", "c"]);
        assert_eq!(store.events_after(0, 100).unwrap().len(), 50);
    }

    #[tokio::test]
    async fn a_database_that_is_gone_begins_with_the_snapshot_whatever_of_that_is_sound() {
        let dir = left().await;
        std::fs::remove_file(dir.path().join(DATABASE)).unwrap();
        let path = dir.path().join(snapshot::FILE);
        let mut snapshot = std::fs::read(&path).unwrap();
        let at = snapshot.windows(9).position(|w| w == b"{\\\"is\\\":\\").expect("a row");
        snapshot[at + 2] ^= 1;
        std::fs::write(&path, snapshot).unwrap();
        assert_eq!(keys(&open(dir.path())), ["b"], "the damaged line costs itself alone");
    }

    /// Goal: the power may go at any moment of a rescue; the next start ends it.
    #[tokio::test]
    async fn a_rescue_that_was_cut_short_is_ended_by_the_next_start() {
        for moved in 0..=3 {
            let dir = left().await;
            let path = dir.path().join(DATABASE);
            // Left behind by a hub that was killed: a log that belongs to the damaged file alone.
            std::fs::write(with_suffix(&path, "-wal"), b"of the damaged one").unwrap();
            overwrite(&path, &["meta"]);
            build(&path, &Seal::of(dir.path())).unwrap();
            let aside = free_name(&path);
            for suffix in ["", "-wal", "-shm"].iter().take(moved) {
                gone(std::fs::rename(with_suffix(&path, suffix), with_suffix(&aside, suffix))).unwrap();
            }
            let store = open(dir.path());
            assert_eq!((keys(&store).len(), store.events_after(0, 100).unwrap().len()), (3, 50), "{moved} moved");
            assert!(!rescued(&path).exists() && aside.exists());
        }
    }
}
