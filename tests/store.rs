//! The store as a user of the library meets it: reopened, damaged, on a disk that fails, copied while it runs.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use delivery::{append, device_row, event};
use portcullis::event::{Dialect, Event};
use portcullis::health::Health;
use portcullis::hub::Row;
use portcullis::identity::Identity;
use portcullis::source::demo::Dice;
use portcullis::store::{self, Batch, DATABASE, Options, Reader, Store, StoreError};
use serde_json::json;

fn open(dir: &Path) -> Store {
    Store::open(dir, Dialect::Classic).expect("it opens").0
}

/// Closed, with everything in the one file.
async fn close(store: Store) {
    let mut head = store.head();
    store.flush().await.unwrap();
    drop(store);
    // The writer ends after its last handle.
    while head.changed().await.is_ok() {}
}

fn bodies(store: &Reader) -> Vec<(u64, String)> {
    store.events_after(0, usize::MAX >> 1).unwrap().into_iter().map(|e| (e.seq, e.body)).collect()
}

fn frozen(events: &[Event]) -> Vec<(u64, String)> {
    events.iter().enumerate().map(|(n, e)| (n as u64 + 1, e.render(Dialect::Classic))).collect()
}

/// Goal: after any sequence of appends, cursors and reopenings the store says what a plain list and a map say.
#[tokio::test]
async fn it_says_what_a_list_and_a_map_would_say_however_often_it_is_reopened() {
    let seed = std::env::var("PORTCULLIS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(11);
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let (mut events, mut rows, mut cursor) = (Vec::new(), BTreeMap::new(), 0);
    for _ in 0..120 {
        match dice.roll() % 6 {
            0..=2 => {
                let fresh: Vec<Event> = (0..dice.roll() % 5).map(|_| event(events.len() as u64)).collect();
                let n = dice.roll();
                let row = Row { value: (!n.is_multiple_of(4)).then(|| json!({ "n": n })), ..device_row(n, true) };
                events.extend(fresh.clone());
                rows.insert(row.key.clone(), row.value.clone());
                append(&store, fresh, vec![row]).await;
            }
            3 => {
                cursor = dice.roll() % (events.len() as u64 + 1);
                store.move_cursor("sink", cursor).unwrap();
            }
            4 => store.flush().await.unwrap(),
            _ => {
                let id = store.log_id();
                store.flush().await.unwrap();
                drop(store);
                store = open(dir.path());
                assert_eq!(store.log_id(), id);
                assert_eq!(store.cursor("sink").unwrap(), cursor);
            }
        }
    }
    store.flush().await.unwrap();
    assert_eq!(bodies(&store), frozen(&events));
    assert_eq!(store.head().borrow().seq, events.len() as u64);
    let kept: BTreeMap<_, _> = store.state().unwrap().into_iter().map(|r| (r.key, r.value)).collect();
    assert_eq!(kept, rows);
    let revisions: Vec<u64> = store.state().unwrap().iter().map(|r| r.rev).collect();
    assert!(revisions.is_sorted() && revisions.last() == Some(&store.head().borrow().rev), "{revisions:?}");
}

#[tokio::test]
async fn while_the_disk_fails_nothing_is_acknowledged_and_afterwards_all_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let health = Arc::new(Health::default());
    let options = Options { health: health.clone(), ..Options::new(Dialect::Classic) };
    let (store, _) = Store::open_with(dir.path(), options, |_, _| Ok(())).unwrap();
    append(&store, vec![event(0)], Vec::new()).await;
    // Somebody holds the database: no write succeeds until he lets go.
    let holder = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (kept, mut on_disk) = tokio::sync::oneshot::channel();
    let then = Box::new(move || kept.send(()).unwrap());
    store.append(Batch { events: vec![event(1), event(2)], rows: Vec::new(), then: Some(then) }).unwrap();
    let failing = async {
        while !health.parts().get("store").is_some_and(|p| !p.up && p.detail.contains("wait in memory")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(subscriber::PATIENCE, failing).await.expect("the health tells of it");
    assert!(on_disk.try_recv().is_err(), "nothing is acknowledged that is not kept");
    assert_eq!(store.head().borrow().seq, 1);
    holder.execute_batch("ROLLBACK").unwrap();
    tokio::time::timeout(subscriber::PATIENCE, on_disk).await.expect("it recovers by itself").unwrap();
    assert_eq!(bodies(&store).len(), 3);
    assert!(health.store.write_errors.load(Ordering::Relaxed) > 0);
    assert_eq!(health.store.lost.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_memory_cannot_hold_is_lost_counted_and_the_state_stays_true() {
    let dir = tempfile::tempdir().unwrap();
    let health = Arc::new(Health::default());
    let options = Options { health: health.clone(), ..Options::new(Dialect::Classic) };
    let (store, _) = Store::open_with(dir.path(), options, |_, _| Ok(())).unwrap();
    store.flush().await.unwrap();
    let holder = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    const OVER: u64 = 700;
    for n in 0..10_000 + OVER {
        let rows = vec![device_row(0, n.is_multiple_of(2))];
        store.append(Batch { events: vec![event(n)], rows, then: None }).unwrap();
    }
    let counted = async {
        while health.store.lost.load(Ordering::Relaxed) < OVER {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(subscriber::PATIENCE, counted).await.expect("the loss is counted");
    holder.execute_batch("ROLLBACK").unwrap();
    tokio::time::timeout(subscriber::PATIENCE, store.flush()).await.expect("it recovers").unwrap();
    append(&store, vec![event(99_999)], Vec::new()).await;
    let (log, lost) = (bodies(&store), health.store.lost.load(Ordering::Relaxed));
    assert_eq!(log.len() as u64 + lost, 10_000 + OVER + 1, "each is kept or counted");
    assert_eq!(log.last().unwrap().1, event_body_like(99_999, &log.last().unwrap().1));
    let last = (10_000 + OVER - 1).is_multiple_of(2);
    assert_eq!(store.state().unwrap()[0].value.as_ref().unwrap()["connected"], last);
}

/// Ids are made afresh by `event`, so only the time is compared.
fn event_body_like(n: u64, body: &str) -> String {
    assert!(body.contains(&event(n).created_at.to_string()), "{body}");
    body.to_owned()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside_and_named_and_the_hub_starts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE), b"not a database at all, but long enough to be looked at ".repeat(100))
        .unwrap();
    let store = open(dir.path());
    append(&store, vec![event(0)], Vec::new()).await;
    assert_eq!(bodies(&store).len(), 1);
    assert!(dir.path().join(format!("{DATABASE}.damaged-1")).exists());
}

#[tokio::test]
async fn of_a_damaged_database_the_sound_part_goes_on_under_a_new_name_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let events: Vec<Event> = (0..400).map(event).collect();
    append(&store, events.clone(), vec![device_row(0, true)]).await;
    store.move_cursor("mqtt", 150).unwrap();
    let old = store.log_id();
    close(store).await;
    // The schema's first page is lost: nothing of it can be trusted, and yet the rows are there.
    let c = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    c.execute("UPDATE meta SET value = 'x' WHERE name = 'log_id'", []).unwrap();
    drop(c);
    let store = open(dir.path());
    assert_ne!(store.log_id(), old);
    assert_eq!(bodies(&store), frozen(&events));
    assert_eq!(store.cursor("mqtt").unwrap(), 150);
    assert_eq!(store.state().unwrap().len(), 1);
    append(&store, vec![event(400)], Vec::new()).await;
    assert_eq!(store.head().borrow().seq, 401, "no seq is given twice");
}

#[tokio::test]
async fn a_torn_write_costs_no_more_than_what_was_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut lengths = Vec::new();
    let wal = dir.path().join(format!("{DATABASE}-wal"));
    for n in 0..20 {
        append(&store, vec![event(n)], Vec::new()).await;
        lengths.push(std::fs::metadata(&wal).unwrap().len());
    }
    let (database, log) = (std::fs::read(dir.path().join(DATABASE)).unwrap(), std::fs::read(&wal).unwrap());
    for cut in (0..log.len()).step_by(509) {
        let place = scratch::scratch();
        std::fs::write(place.path().join(DATABASE), &database).unwrap();
        std::fs::write(place.path().join(format!("{DATABASE}-wal")), &log[..cut]).unwrap();
        let acknowledged = lengths.iter().filter(|l| **l <= cut as u64).count();
        let store = open(place.path());
        let seqs: Vec<u64> = bodies(&store).iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=acknowledged as u64).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_later_versions_database_is_left_alone_and_said_so() {
    let dir = tempfile::tempdir().unwrap();
    close(open(dir.path())).await;
    let c = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    // The sum is that of src/store/sum.rs over ("schema", "99").
    c.execute("UPDATE meta SET value = '99', sum = 915976395 WHERE name = 'schema'", []).unwrap();
    drop(c);
    let refused = Store::open(dir.path(), Dialect::Classic).err().expect("it is refused");
    assert!(matches!(refused, StoreError::Schema(_)) && refused.to_string().contains("later version"), "{refused}");
    assert!(!dir.path().join(format!("{DATABASE}.damaged-1")).exists());
}

#[tokio::test]
async fn a_backup_taken_while_it_runs_comes_back_whole_as_a_log_of_its_own() {
    let (dir, copy, elsewhere) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let identity = Identity::load_or_make(dir.path(), None).unwrap();
    let store = open(dir.path());
    let events: Vec<Event> = (0..50).map(event).collect();
    append(&store, events.clone(), vec![device_row(0, true)]).await;
    store::backup(dir.path(), copy.path()).unwrap();
    append(&store, vec![event(50)], Vec::new()).await;
    assert!(store::backup(dir.path(), copy.path()).is_err(), "a backup is not overwritten");
    store::restore(copy.path(), elsewhere.path()).unwrap();
    let restored = open(elsewhere.path());
    assert_eq!(bodies(&restored), frozen(&events));
    assert_eq!(restored.state().unwrap().len(), 1);
    assert_ne!(restored.log_id(), store.log_id());
    assert_eq!(Identity::load_or_make(elsewhere.path(), None).unwrap(), identity);
    drop(restored);
    store::restore(copy.path(), elsewhere.path()).unwrap();
    assert!(elsewhere.path().join(format!("{DATABASE}.before-restore")).exists(), "what was there is kept");
}
