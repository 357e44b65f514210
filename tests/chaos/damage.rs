//! Goal: whatever single bit flips, the hub starts, tells nothing that was not written, keeps what is sound, names what is not, and
//! goes on.
//!
//! Method: a small closed database, every so manieth byte of it (all with `PORTCULLIS_EVERY=1`), one bit of each.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use portcullis::event::Dialect;
use portcullis::hub::{Row, RowKind};
use portcullis::source::demo::Dice;
use portcullis::store::{Batch, DATABASE, Store};
use serde_json::json;

use crate::number;
use crate::power::was_set_aside;
use crate::scratch::scratch;
use crate::work::{self, SINK};

const EVENTS: u64 = 12;

/// What was logged on this thread: opening, rescue and reading are on it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn names_damage(&self) -> bool {
        let text = String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned();
        text.contains("damaged") || text.contains("store.code_")
    }
}

fn row(n: u64) -> Row {
    let value = json!({"n": n, "code": format!("{:04}", n * 1111)});
    Row { kind: RowKind::Device, key: format!("device-{n}"), value: Some(value) }
}

async fn append(store: &Store, batch: Batch) {
    store.append(batch).expect("it runs");
    store.flush().await.expect("it runs");
}

#[tokio::test]
async fn no_flipped_bit_keeps_it_from_starting_or_makes_it_tell_an_untruth() {
    let every = number("PORTCULLIS_EVERY", 211) as usize;
    let place = scratch();
    let events: Vec<_> = (0..EVENTS).map(|n| work::event(n, &mut Dice::new(n))).collect();
    let (store, _) = Store::open(place.path(), Dialect::Current).expect("it opens");
    append(&store, Batch { events: events.clone(), rows: (0..3).map(row).collect(), then: None }).await;
    store.move_cursor(SINK, 5).expect("it runs");
    work::close(store).await;
    let sound = std::fs::read(place.path().join(DATABASE)).expect("it is there");
    let key = std::fs::read(place.path().join("code.key")).expect("it is there");
    let truth: Vec<String> = events.iter().map(|e| e.render(Dialect::Current)).collect();
    let (mut flips, mut kept) = (0, 0);
    for at in (0..sound.len()).step_by(every) {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        let place = scratch();
        std::fs::write(place.path().join(DATABASE), flipped).expect("it is written");
        std::fs::write(place.path().join("code.key"), &key).expect("it is written");
        flips += 1;
        kept += judge(place.path(), &truth, at).await;
    }
    println!("{flips} flipped bits, {kept} of {} events kept", flips * EVENTS);
    assert!(kept * 100 >= flips * EVENTS * 95, "what is sound is kept");
}

/// How many of the old events are still there.
async fn judge(dir: &Path, truth: &[String], at: usize) -> u64 {
    let log = Log::default();
    let writer = log.clone();
    let named = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _here = tracing::subscriber::set_default(named);
    let opened = Store::open(dir, Dialect::Current);
    let (store, _) = opened.unwrap_or_else(|e| panic!("byte {at}: {e}"));
    let fresh = work::event(77, &mut Dice::new(77));
    append(&store, Batch { events: vec![fresh.clone()], rows: vec![row(4)], then: None }).await;
    let there = store.events_after(0, 100).expect("it reads");
    let (new, old): (Vec<_>, Vec<_>) = there.into_iter().partition(|e| e.event_id == fresh.event_id);
    assert_eq!(new.len(), 1, "byte {at}: what is new is kept");
    for e in &old {
        assert_eq!(truth.get(e.seq as usize - 1), Some(&e.body), "byte {at}: an untruth");
    }
    let cursor = store.cursor(SINK).expect("it reads");
    assert!(cursor == 5 || cursor == 0, "byte {at}: the cursor is {cursor}");
    assert!(new[0].seq > cursor, "byte {at}: it would never be sent");
    let rows = store.state().expect("it reads");
    for found in &rows {
        let written = [0, 1, 2, 4].map(row).iter().any(|r| r.key == found.key && r.value == found.value);
        assert!(written, "byte {at}: {found:?}");
    }
    if old.len() < truth.len() || rows.len() < 4 || cursor == 0 {
        let lost = (old.len(), rows.len(), cursor);
        assert!(log.names_damage() || was_set_aside(dir), "byte {at}: {lost:?} are left, and nobody was told");
    }
    old.len() as u64
}
