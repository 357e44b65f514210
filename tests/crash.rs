//! Goal: every event that the daemon accepted reaches the subscriber, per device in order, doubles only as the same bytes; and
//! what the subscriber was told is in the log.
//!
//! Method: the real binary is killed with SIGKILL in the middle of bursts of lock operations that a Z-Wave bridge sends, while a
//! real Mosquitto goes up and down. At the end the log on disk and what a subscriber with a persistent session got are compared.
//! `PORTCULLIS_KILLS` sets the number of kills (`make chaos` wants many), `PORTCULLIS_SEED` the seed.

#[path = "support/checker.rs"]
mod checker;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/logs.rs"]
mod logs;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checker::Checker;
use daemon::Daemon;
use mosquitto::Mosquitto;
use portcullis::source::demo::Dice;
use portcullis::source::demo::bridge::Bridge;
use portcullis::source::demo::building::{FRONT_DOOR, OFFICE, Zwave};
use portcullis::store::Reader;
use subscriber::{PATIENCE, Subscriber};

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

/// Comes back when the subscriber holds as many events as the log has, or the time is up.
async fn until_all_is_told(subscriber: &mut Subscriber, checker: &mut Checker, state: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        subscriber.so_far().into_iter().for_each(|told| checker.take(told));
        if checker.count() as u64 >= last_seq(state) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn config(bridge: &Bridge, broker: &Mosquitto) -> String {
    format!(
        "[ble]\nenabled = false\n[[zwave]]\nname = \"main\"\nurl = {:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n",
        bridge.url(),
        broker.port
    )
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
    let config = config(&bridge, &broker);
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
    let mut checker = Checker::default();
    until_all_is_told(&mut subscriber, &mut checker, &state).await;
    assert!(daemon.stop(), "a clean end");
    subscriber.so_far().into_iter().for_each(|told| checker.take(told));
    let reader = Reader::open(&state).unwrap();
    let log = reader.events_after(0, usize::MAX >> 1).unwrap();
    assert!(log.len() as u64 > kills * 20, "only {} events were accepted: the kills came too early", log.len());
    println!("{} events in the log, {} told twice", log.len(), checker.doubles);
    assert_eq!(reader.undeliverable().unwrap(), [], "none was refused, so none may be set aside");
    assert_eq!(checker.compare(&log, reader.log_id()), Ok(()));
}

/// Debian's libfaketime, which shows a process another wall clock; its monotonic one goes on.
fn faketime() -> std::path::PathBuf {
    let places = std::fs::read_dir("/usr/lib").expect("a Linux").flatten();
    let library = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    library.expect("libfaketime is installed (apt-get install libfaketime)")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_clock_may_jump_and_nothing_is_lost_doubled_or_out_of_order() {
    const JUMPS: [&str; 6] = ["+0d", "+1d", "-2d", "+3650d", "-18000d", "+800d"];
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let bridge = Bridge::start(1.0).await.unwrap();
    let broker = Mosquitto::start();
    let mut subscriber = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let clock = dir.path().join("clock");
    let environment = [
        ("LD_PRELOAD", &*faketime()),
        ("FAKETIME_TIMESTAMP_FILE", &*clock),
        ("FAKETIME_NO_CACHE", Path::new("1")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
    ];
    std::fs::write(&clock, JUMPS[0]).unwrap();
    let daemon = Daemon::with(dir.path(), &config(&bridge, &broker), &environment);
    let mut checker = Checker::default();
    for jump in JUMPS {
        // In one piece: a file that is half written says nothing.
        std::fs::write(dir.path().join("next"), jump).unwrap();
        std::fs::rename(dir.path().join("next"), &clock).unwrap();
        let before = last_seq(&state);
        let deadline = Instant::now() + PATIENCE;
        let mut n = 0;
        while last_seq(&state) < before + 20 {
            assert!(Instant::now() < deadline, "nothing is accepted after a jump of {jump}");
            happen(&bridge, n);
            n += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        until_all_is_told(&mut subscriber, &mut checker, &state).await;
    }
    assert!(daemon.stop(), "a clean end");
    subscriber.so_far().into_iter().for_each(|told| checker.take(told));
    let reader = Reader::open(&state).unwrap();
    let log = reader.events_after(0, usize::MAX >> 1).unwrap();
    assert_eq!(checker.compare(&log, reader.log_id()), Ok(()));
    assert_eq!(checker.doubles, 0, "no connection was lost");
    assert!(log.windows(2).all(|pair| pair[0].created_at <= pair[1].created_at), "dates never fall with seq");
    // The daemon dates the lines of its own log by the clock that it is shown: without jumps nothing would have been tested.
    let said = std::fs::read_to_string(dir.path().join("log")).unwrap();
    let years: std::collections::BTreeSet<&str> = said.lines().filter_map(|line| line.get(..4)).collect();
    println!("{} events; the clock showed the years {years:?}", log.len());
    assert!(years.len() > 1, "{said}");
}
