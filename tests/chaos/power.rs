//! Goal: wherever the power goes, what was acknowledged is there, nothing else is, and the hub goes on.
//!
//! Method: a run is recorded, write by write and sync by sync. After each of these the disk is made as it may be found then
//! (disk.rs) and the store is opened on it. `PORTCULLIS_POINTS` says how many such moments there are in all.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis::event::Dialect;
use portcullis::source::demo::Dice;
use portcullis::store::Store;

use crate::disk::{Cut, Disk};
use crate::number;
use crate::scratch::scratch;
use crate::shim::{self, Faults, Op, Watched};
use crate::work::{self, ACKS, CURSOR, EVENTS, MOVES, SINK, State};

/// What was acknowledged up to a moment of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    events: u64,
    cursor: u64,
    moves: u64,
}

impl Acknowledged {
    fn hear(&mut self, op: &Op) {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        match op.data.split_first() {
            Some((&EVENTS, n)) => self.events = number(n),
            Some((&CURSOR, n)) => self.cursor = number(n),
            Some((&MOVES, n)) => self.moves = number(n),
            _ => panic!("no acknowledgement: {op:?}"),
        }
    }
}

#[tokio::test]
async fn wherever_the_power_goes_what_was_acknowledged_is_there() {
    let (points, seed) = (number("PORTCULLIS_POINTS", 150), number("PORTCULLIS_SEED", 1));
    let (seen, runs) = lose_power(points, seed, Faults::default()).await;
    println!("seed {seed}: {seen} moments of power loss in {runs} runs");
}

#[tokio::test]
async fn the_same_on_a_disk_whose_syncs_and_writes_fail_now_and_then() {
    let (points, seed) = (number("PORTCULLIS_POINTS", 150) / 3, number("PORTCULLIS_SEED", 1));
    for faults in [Faults { sync: 2, ..Faults::default() }, Faults { write: 3, ..Faults::default() }] {
        let (seen, runs) = lose_power(points, seed ^ 0xfa17, faults).await;
        println!("seed {seed}: {seen} moments of power loss in {runs} runs, with {faults:?}");
    }
}

/// So many moments, a quarter of those of each run.
async fn lose_power(points: u64, seed: u64, faults: Faults) -> (u64, u64) {
    let mut dice = Dice::new(seed);
    let (mut seen, mut runs) = (0, 0);
    while seen < points {
        let seed = dice.roll();
        let place = scratch();
        let watched = Watched::new(place.path());
        watched.set(faults);
        watched.run("power::a_recorded_run", seed);
        runs += 1;
        let harmless = faults.sync == 0 && faults.write == 0;
        assert_eq!(watched.met() == 0, harmless, "run {seed}: {} faults", watched.met());
        let (log, states) = work::meant(&work::plan(seed));
        let (mut disk, mut acknowledged) = (Disk::default(), Acknowledged::default());
        for (n, op) in watched.ops().iter().enumerate() {
            if op.name == ACKS {
                if op.kind == b'W' {
                    acknowledged.hear(op);
                }
                continue;
            }
            disk.apply(op, &mut dice);
            if seen < points && dice.roll().is_multiple_of(4) {
                seen += 1;
                let cut = *dice.pick(&[Cut::All, Cut::Nothing, Cut::Some, Cut::Some]);
                let found = disk.after_power_loss(cut, &mut dice);
                let moment = format!("run {seed}, after operation {n} ({}), {cut:?}", op.kind as char);
                judge(&found, &log, &states, acknowledged, &moment).await;
            }
        }
        assert_eq!(acknowledged.events, log.len() as u64, "run {seed}: all was acknowledged in the end");
    }
    (seen, runs)
}

async fn judge(
    found: &BTreeMap<String, Vec<u8>>,
    log: &[String],
    states: &BTreeMap<u64, State>,
    acknowledged: Acknowledged,
    moment: &str,
) {
    let place = scratch();
    for (name, bytes) in found {
        std::fs::write(place.path().join(name), bytes).expect("it is written");
    }
    let (store, _) = Store::open(place.path(), Dialect::Current).unwrap_or_else(|e| panic!("{moment}: {e}"));
    assert!(!was_set_aside(place.path()), "{moment}: taken for damage");
    let there = store.events_after(0, usize::MAX >> 1).expect("it reads");
    let last = there.len() as u64;
    assert!(last >= acknowledged.events, "{moment}: {last} events, {} were acknowledged", acknowledged.events);
    for (event, seq) in there.iter().zip(1..) {
        assert_eq!((event.seq, Some(&event.body)), (seq, log.get(seq as usize - 1)), "{moment}: an untruth");
    }
    let state: State = store.state().expect("it reads").into_iter().map(|r| (r.key, r.value)).collect();
    assert_eq!(Some(&state), states.get(&last), "{moment}: the state is not that of event {last}");
    let cursor = store.cursor(SINK).expect("it reads");
    let right = acknowledged.cursor..=acknowledged.moves;
    assert!(right.contains(&cursor) && cursor <= last, "{moment}: cursor {cursor} of {last}, {right:?}");
    // And on it goes.
    let fresh = work::event(last, &mut Dice::new(last));
    let (kept, on_disk) = tokio::sync::oneshot::channel();
    let then = Box::new(move || kept.send(()).unwrap_or(()));
    let batch = portcullis::store::Batch { events: vec![fresh], rows: Vec::new(), then: Some(then) };
    store.append(batch).expect("it runs");
    on_disk.await.unwrap_or_else(|_| panic!("{moment}: it does not go on"));
    assert_eq!(store.head().borrow().seq, last + 1, "{moment}");
    work::close(store).await;
}

pub fn was_set_aside(dir: &Path) -> bool {
    let files = std::fs::read_dir(dir).expect("a directory");
    files.flatten().any(|f| f.file_name().to_string_lossy().contains("damaged"))
}

#[tokio::test]
#[ignore = "a part of the others, on the shim"]
async fn a_recorded_run() {
    if let Some(watched) = Watched::of_part() {
        work::run(&watched.dir, shim::seed_of_part()).await;
    }
}
