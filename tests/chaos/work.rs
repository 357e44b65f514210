//! What is done to a store while its disk is watched. From a seed, so that the judge knows what was meant without being told.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use portcullis::event::{Details, Dialect, Event, EventType};
use portcullis::hub::{Row, RowKind};
use portcullis::signal::Secret;
use portcullis::source::demo::Dice;
use portcullis::store::{Batch, Store};
use portcullis::time::Wall;
use serde_json::{Value, json};
use uuid::Uuid;

/// The file in which a run says what was acknowledged, where the shim sees it among the writes of the store.
pub const ACKS: &str = "acks";
/// All events up to this `seq` were acknowledged.
pub const EVENTS: u8 = b'E';
/// The sink was about to move its cursor there.
pub const MOVES: u8 = b'M';
/// The cursor was acknowledged.
pub const CURSOR: u8 = b'C';

pub const SINK: &str = "mqtt";

#[derive(Clone, Debug)]
pub enum Step {
    Append(Vec<Event>, Row),
    /// To this part of what is on disk, in percent.
    Cursor(u64),
    Flush,
    Reopen,
}

/// The state as rows say it.
pub type State = BTreeMap<String, Option<Value>>;

pub fn event(n: u64, dice: &mut Dice) -> Event {
    // Time goes on; the log's does not run backwards, which is the hub's promise.
    let at = 1_767_225_600_000 + n as i64 * 7;
    let details = match dice.roll() % 4 {
        0 => Details { code: Some(Secret::new(format!("{:06}", dice.roll() % 1_000_000))), ..Details::default() },
        1 => Details { device_name: Some("x".repeat(dice.roll() as usize % 3_000)), ..Details::default() },
        _ => Details::default(),
    };
    let random: [u8; 10] = std::array::from_fn(|_| dice.roll() as u8);
    Event {
        event_id: uuid::Builder::from_unix_timestamp_millis(at as u64, &random).into_uuid(),
        event_type: EventType::ALL[dice.roll() as usize % EventType::ALL.len()],
        workspace_id: Uuid::from_u128(1),
        created_at: Wall(at),
        occurred_at: Wall(at - (dice.roll() % 3) as i64),
        connected_account_id: Uuid::from_u128(2),
        device_id: Some(Uuid::from_u128(0x1000 + u128::from(dice.roll() % 5))),
        details,
    }
}

/// Some 40 steps.
pub fn plan(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let (mut steps, mut events) = (Vec::new(), 0);
    for _ in 0..40 {
        steps.push(match dice.roll() % 12 {
            0..=7 => {
                let many = if dice.roll().is_multiple_of(9) { 150 } else { 4 };
                let fresh: Vec<Event> = (0..1 + dice.roll() % many).map(|n| event(events + n, &mut dice)).collect();
                events += fresh.len() as u64;
                let value = json!({"n": events, "code": format!("{:04}", dice.roll() % 10_000)});
                let value = (!dice.roll().is_multiple_of(5)).then_some(value);
                let key = format!("device-{}", dice.roll() % 5);
                Step::Append(fresh, Row { kind: RowKind::Device, key, value })
            }
            8 | 9 => Step::Cursor(dice.roll() % 101),
            10 => Step::Flush,
            _ => Step::Reopen,
        });
    }
    steps
}

/// What the log is after all steps, and the state after each whole batch, by the `seq` that it ends with.
pub fn meant(steps: &[Step]) -> (Vec<String>, BTreeMap<u64, State>) {
    let (mut log, mut state) = (Vec::new(), State::new());
    let mut states = BTreeMap::from([(0, State::new())]);
    for step in steps {
        if let Step::Append(events, row) = step {
            log.extend(events.iter().map(|e| e.render(Dialect::Current)));
            state.insert(row.key.clone(), row.value.clone());
            states.insert(log.len() as u64, state.clone());
        }
    }
    (log, states)
}

/// The run itself; to be called in a process on the shim.
pub async fn run(dir: &Path, seed: u64) {
    let acks = std::fs::File::options().create(true).append(true).open(dir.join(ACKS)).expect("a file");
    let acks = Arc::new(Mutex::new(acks));
    let say = |acks: &Mutex<std::fs::File>, what: u8, number: u64| {
        let record = [&[what][..], &number.to_le_bytes()].concat();
        acks.lock().expect("no panic").write_all(&record).expect("it is written");
    };
    let mut store = open(dir);
    let (mut appended, mut cursor) = (0, 0);
    for step in plan(seed) {
        match step {
            Step::Append(events, row) => {
                appended += events.len() as u64;
                let (acks, last) = (acks.clone(), appended);
                let then = Box::new(move || say(&acks, EVENTS, last));
                store.append(Batch { events, rows: vec![row], then: Some(then) }).expect("it runs");
            }
            Step::Cursor(percent) => {
                cursor = cursor.max(store.head().borrow().seq * percent / 100);
                say(&acks, MOVES, cursor);
                store.move_cursor(SINK, cursor).expect("it runs");
            }
            Step::Flush => {
                store.flush().await.expect("it runs");
                say(&acks, CURSOR, cursor);
            }
            Step::Reopen => {
                close(store).await;
                say(&acks, CURSOR, cursor);
                store = open(dir);
            }
        }
    }
    close(store).await;
}

/// A disk that fails at the start is one that systemd tries again.
fn open(dir: &Path) -> Store {
    let tries = std::iter::repeat_with(|| Store::open(dir, Dialect::Current));
    tries.take(20).find_map(Result::ok).expect("it opens in the end").0
}

/// Drops the last handle and waits until the writer has ended and let go of the files.
pub async fn close(store: Store) {
    let mut head = store.head();
    let _ = store.flush().await;
    drop(store);
    while head.changed().await.is_ok() {}
}
