//! Goal: every event that the daemon accepted reaches the subscriber, per device in order, doubles only as the same bytes; and
//! what the subscriber was told is in the log.
//!
//! Method: the real binary is killed with SIGKILL in the middle of bursts of lock operations that a Z-Wave bridge sends, while a
//! real Mosquitto goes up and down. At the end the log on disk and what a subscriber with a persistent session got are compared.
//! `PORTCULLIS_KILLS` sets the number of kills (`make chaos` wants many), `PORTCULLIS_SEED` the seed.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daemon::Daemon;
use mosquitto::Mosquitto;
use portcullis::source::demo::Dice;
use portcullis::source::demo::bridge::Bridge;
use portcullis::source::demo::building::{FRONT_DOOR, OFFICE, Zwave};
use portcullis::store::{Reader, Stored};
use subscriber::{PATIENCE, Subscriber, Told};

/// Operations in a burst.
const BURST: u32 = 1_000;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// The `n`th operation: two locks, in turn locked and unlocked, by changing users.
fn happen(bridge: &Bridge, n: u32) {
    let node = if n.is_multiple_of(2) { FRONT_DOOR } else { OFFICE };
    bridge.happen(node, Zwave::Keypad { locked: (n / 2).is_multiple_of(2), user: 3 + (n % 3) as u16 });
}

fn last_seq(state: &Path) -> u64 {
    Reader::open(state).and_then(|r| r.extent()).map_or(0, |head| head.seq)
}

/// Sends a burst; once its first events are on disk, the daemon is killed at some moment of the rest of it.
async fn burst_and_kill(bridge: &Bridge, daemon: Daemon, state: &Path, dice: &mut Dice) {
    let before = last_seq(state);
    let mut killed_at = None;
    for n in 0..BURST {
        happen(bridge, n);
        // The bridge's clients are never far behind: some 3,000 operations a second, more than a radio can say in a minute.
        tokio::time::sleep(Duration::from_micros(300)).await;
        if killed_at.is_none() && n % 8 == 0 && last_seq(state) > before {
            killed_at = Some(Instant::now() + Duration::from_micros(dice.roll() % 250_000));
        }
        if killed_at.is_some_and(|at| Instant::now() >= at) {
            break;
        }
    }
    daemon.kill();
}

/// Takes the broker away and brings it back, at random moments, until it is told to leave it be.
async fn shake(mut broker: Mosquitto, mut dice: Dice, enough: Arc<AtomicBool>) -> Mosquitto {
    while !enough.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(200 + dice.roll() % 1500)).await;
        tokio::task::block_in_place(|| broker.stop());
        tokio::time::sleep(Duration::from_millis(dice.roll() % 400)).await;
        tokio::task::block_in_place(|| broker.restart());
    }
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_event_is_told_though_daemon_and_broker_die_in_the_middle_of_it() {
    let (kills, seed) = (number("PORTCULLIS_KILLS", 50), number("PORTCULLIS_SEED", 7));
    println!("seed {seed}, {kills} kills");
    let mut dice = Dice::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let bridge = Bridge::start(1.0).await.unwrap();
    let broker = Mosquitto::start();
    let mut subscriber = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let config = format!(
        "[ble]\nenabled = false\n[[zwave]]\nname = \"main\"\nurl = {:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n",
        bridge.url(),
        broker.port
    );
    let enough = Arc::new(AtomicBool::new(false));
    let (shaken, shaking_dice) = (enough.clone(), Dice::new(dice.roll()));
    let shaking = tokio::spawn(shake(broker, shaking_dice, shaken));
    for _ in 0..kills {
        let daemon = Daemon::start(dir.path(), &config);
        burst_and_kill(&bridge, daemon, &state, &mut dice).await;
    }
    enough.store(true, Ordering::Relaxed);
    let _broker = shaking.await.unwrap();

    // A last one, in peace, sends what is left; nothing more happens at the bridge.
    let daemon = Daemon::start(dir.path(), &config);
    let mut told = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        told.extend(subscriber.so_far());
        let log = Reader::open(&state).unwrap().events_after(0, usize::MAX >> 1).unwrap();
        let heard: std::collections::HashSet<u64> = told.iter().filter_map(|t| t.json()["seq"].as_u64()).collect();
        if log.iter().all(|e| heard.contains(&e.seq)) || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(daemon.stop(), "a clean end");
    told.extend(subscriber.so_far());
    let reader = Reader::open(&state).unwrap();
    let log = reader.events_after(0, usize::MAX >> 1).unwrap();
    assert!(log.len() as u64 > kills * 20, "only {} events were accepted: the kills came too early", log.len());
    println!("{} events in the log, {} messages", log.len(), told.len());
    assert_eq!(reader.undeliverable().unwrap(), [], "none was refused, so none may be set aside");
    compare(&log, &told, reader.log_id());
}

/// The two promises, as far as the subscriber can see them.
fn compare(log: &[Stored], told: &[Told], log_id: uuid::Uuid) {
    let mut first_told: BTreeMap<u64, &Told> = BTreeMap::new();
    let mut last_by_topic_owner: BTreeMap<&str, u64> = BTreeMap::new();
    for message in told {
        let seq = message.json()["seq"].as_u64().expect("a seq");
        let owner = message.topic.split('/').nth(3).expect("an id in the topic");
        match first_told.get(&seq) {
            Some(first) => assert_eq!(first.payload, message.payload, "a double of {seq} has other bytes"),
            None => {
                let last = last_by_topic_owner.insert(owner, seq).unwrap_or(0);
                assert!(last < seq, "{owner}: {seq} came after {last}");
                first_told.insert(seq, message);
            }
        }
    }
    for event in log {
        let message = first_told.remove(&event.seq);
        let message = message.unwrap_or_else(|| panic!("event {} was accepted and never told", event.seq));
        let body = event.body.trim_end_matches('}');
        assert_eq!(message.text(), format!(r#"{body},"seq":{},"log_id":"{log_id}"}}"#, event.seq));
    }
    assert!(first_told.is_empty(), "told, and not in the log: {:?}", first_told.keys());
}
