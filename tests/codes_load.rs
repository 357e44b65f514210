//! Many codes at once on the real zwave-js driver and server: a lock that comes back to a table of codes that it has to be given, and locks
//! beside it that want some, too. No code gets into a wrong slot, no lock waits for another, and a person at a door for none of them.
//!
//! 30 codes and 5 locks; `make codes-load` has 250 codes and 20 locks, which takes minutes.

#[path = "support/logs.rs"]
mod logs;
#[path = "support/zwave.rs"]
mod zwave;
#[path = "support/zwave_hub.rs"]
mod zwave_hub;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use portcullis::engine::Hand;
use portcullis::hub::{CodeDraft, Command, CommandError};
use portcullis::signal::Secret;
use serde_json::{Value, json};
use zwave::Rig;
use zwave_hub::{Hub, node};

/// Seam's limits let ten codes a minute and lock be made: minutes are seconds here.
const SPEED: f64 = 10.0;

/// The lock with many codes; those beside it have the next numbers.
const BIG: u16 = 20;
const OF_EACH: usize = 5;

/// Digits that are no others': of a lock, and of one of its codes.
fn digits(lock: u16, n: usize) -> String {
    format!("527094{:04}", n * 25 + usize::from(lock - BIG))
}

/// Makes codes on a lock as fast as that is allowed.
async fn make(hand: Hand, lock: u16, codes: std::ops::Range<usize>) {
    for n in codes {
        let draft = CodeDraft { code: Some(Secret::new(digits(lock, n))), ..CodeDraft::default() };
        let create = || Command::CreateCode { device_id: node(lock).device_id(0), draft: draft.clone() };
        loop {
            match hand.command(create()).await {
                Ok(_) => break,
                Err(CommandError::TooMany { retry_after_s }) => {
                    let wait = Duration::from_secs(retry_after_s).div_f64(SPEED);
                    tokio::time::sleep(wait.max(Duration::from_millis(50))).await;
                }
                Err(other) => panic!("code {n} of node {lock}: {other:?}"),
            }
        }
    }
}

/// The lock on which this says that a code is set.
fn set_on(event: &Value) -> Option<u16> {
    let of = |lock: &u16| json!(node(*lock).device_id(0)) == event["device_id"];
    (BIG..BIG + 100).find(of).filter(|_| event["event_type"] == "access_code.set_on_device")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_full_of_codes_and_many_locks_at_once_get_what_is_wanted_and_nothing_else() {
    let full = std::env::var_os("PORTCULLIS_CODES_LOAD").is_some();
    let (locks, codes): (u16, usize) = if full { (20, 250) } else { (5, 30) };
    let begun = Instant::now();
    let all: Vec<u16> = (BIG..=BIG + locks).collect();
    let entry = |n: &u16| format!("[[devices]]\nzwave = \"main\"\nnode = {n}\ncodes = \"manage\"\n");
    let config: String = all.iter().map(entry).collect();
    let mut hub = Hub::on(Rig::with_locks(locks + 1).await, &config, SPEED).await;
    let hand = hub.running.hand.clone();

    // The big one is away while its codes are made; those beside it are given theirs meanwhile.
    hub.rig.node(BIG, "die", json!({})).await;
    let many = tokio::spawn(make(hand.clone(), BIG, 0..codes));
    let few = all[1..].iter().map(|lock| tokio::spawn(make(hand.clone(), *lock, 0..OF_EACH)));
    let few: Vec<_> = few.collect();
    let mut by = Vec::new();
    while by.len() < usize::from(locks) * OF_EACH {
        by.extend(set_on(&hub.event().await));
    }
    assert!(!by.contains(&BIG), "it is away");
    for made in few {
        made.await.expect("they are made");
    }
    many.await.expect("they are made");
    println!("{} codes on {locks} locks while another was away, after {:?}", by.len(), begun.elapsed());

    // It is back: all of its codes are to be written, and one more on each of the others, and somebody is at a door.
    by.clear();
    let back = Instant::now();
    hub.rig.node(BIG, "revive", json!({})).await;
    hub.rig.operate(BIG, "manual_unlock").await;
    while by.is_empty() {
        by.extend(set_on(&hub.event().await));
    }
    for lock in &all[1..] {
        make(hand.clone(), *lock, OF_EACH..OF_EACH + 1).await;
    }
    let attempt = hub.ask(BIG, true).await;
    let mut answered = None;
    while by.len() < codes + usize::from(locks) {
        let event = hub.event().await;
        if let Some(lock) = set_on(&event) {
            by.push(lock);
            // What is told can be seen.
            let set = hub.codes().iter().filter(|code| code["status"] == "set").count();
            assert!(set >= by.len() + usize::from(locks) * OF_EACH, "{set} are shown as set");
        }
        if event["action_attempt_id"] == attempt["action_attempt_id"] && event["event_type"] != "lock.locked" {
            answered = Some((event["event_type"].clone(), by.len()));
        }
    }
    println!("{codes} codes on one lock in {:?}; at its door after {answered:?}", back.elapsed());
    let (answer, after) = answered.expect("the door is locked");
    assert_eq!(answer, "action_attempt.lock_door.succeeded");
    assert!(after < by.len() / 2, "a door waited for {after} codes");
    let last_of_others = by.iter().rposition(|lock| *lock != BIG).expect("they have theirs");
    assert!(last_of_others < by.len() * 3 / 4, "others waited until {last_of_others} of {}", by.len());

    // Every code is where its row says, and nothing else is anywhere.
    let rows = hub.codes();
    assert_eq!(rows.len(), codes + usize::from(locks) * (OF_EACH + 1));
    for lock in all {
        let device = json!(node(lock).device_id(0));
        let rows = rows.iter().filter(|row| row["device_id"] == device);
        let shown: BTreeMap<String, Value> = rows.map(|row| (row["slot"].to_string(), row["code"].clone())).collect();
        let inside = hub.rig.inside(lock).await;
        let held: BTreeMap<String, Value> = serde_json::from_value(inside["codes"].clone()).expect("codes");
        assert_eq!(held, shown, "node {lock}");
        let number = if lock == BIG { codes } else { OF_EACH + 1 };
        let wanted: BTreeSet<String> = (0..number).map(|n| digits(lock, n)).collect();
        let held: BTreeSet<String> = held.values().filter_map(|c| c.as_str().map(str::to_owned)).collect();
        assert_eq!(held, wanted, "node {lock}");
    }
    println!("all in {:?}", begun.elapsed());
    hub.running.stop(true).await;
}
