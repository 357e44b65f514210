//! Goal: on a disk that is full or fails, the hub keeps judging, acknowledges and tells nothing that is not kept, says so in its
//! health, and recovers by itself with everything in order.
//!
//! Method: the store, and then the whole daemon with a broker and a Z-Wave bridge, on a disk that shim.c breaks and mends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use portcullis::event::Dialect;
use portcullis::health::Health;
use portcullis::source::demo::Dice;
use portcullis::source::demo::bridge::Bridge;
use portcullis::source::demo::building::{FRONT_DOOR, Zwave};
use portcullis::store::{Batch, Options, Reader, Store};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::mosquitto::Mosquitto;
use crate::power::was_set_aside;
use crate::scratch::scratch;
use crate::shim::{self, Faults, Watched};
use crate::subscriber::{PATIENCE, Subscriber};
use crate::work;

const FULL: Faults = Faults { sync: 0, write: 1, read: 0 };
const NO_SYNC: Faults = Faults { sync: 1, write: 0, read: 0 };
const NO_WRITE: Faults = Faults { sync: 0, write: 2, read: 0 };
const NOTHING: Faults = Faults { sync: 1, write: 2, read: 1 };
const SOUND: Faults = Faults { sync: 0, write: 0, read: 0 };

const KINDS: [Faults; 4] = [FULL, NO_SYNC, NO_WRITE, NOTHING];

/// So long a failure is watched for anything that should not happen meanwhile.
const FAILING: Duration = Duration::from_millis(1200);

#[test]
fn a_disk_that_fails_is_acknowledged_to_nobody_alarmed_and_recovered_from() {
    for kind in 0..KINDS.len() as u64 {
        let place = scratch();
        Watched::new(place.path()).run("faults::a_store_on_a_disk_that_fails", kind);
    }
}

#[tokio::test]
#[ignore = "a part of the one above, on the shim"]
async fn a_store_on_a_disk_that_fails() {
    let Some(watched) = Watched::of_part() else { return };
    let faults = KINDS[shim::seed_of_part() as usize];
    let health = Arc::new(Health::default());
    let options = Options { health: health.clone(), ..Options::new(Dialect::Current) };
    let (store, _) = Store::open_with(&watched.dir, options, |_, _| Ok(())).expect("it opens");
    let events: Vec<_> = (0..60).map(|n| work::event(n, &mut Dice::new(n))).collect();
    let append = |n: usize| {
        let (kept, on_disk) = tokio::sync::oneshot::channel();
        let then = Box::new(move || kept.send(()).unwrap_or(()));
        store.append(Batch { events: vec![events[n].clone()], rows: Vec::new(), then: Some(then) }).expect("it runs");
        on_disk
    };
    for n in 0..30 {
        append(n).await.expect("a sound disk");
    }
    watched.set(faults);
    let mut waiting: Vec<_> = (30..60).map(append).collect();
    let alarms = || health.parts().get("store").is_some_and(|p| !p.up && p.detail.contains("wait in memory"));
    until("the health alarms", alarms).await;
    tokio::time::sleep(FAILING).await;
    assert!(waiting.iter_mut().all(|on_disk| on_disk.try_recv().is_err()), "{faults:?}: acknowledged and not kept");
    assert_eq!(store.head().borrow().seq, 30, "{faults:?}: shown and not kept");
    if faults.read == 0 {
        assert_eq!(store.events_after(0, 100).expect("what is there can be read").len(), 30);
    }
    watched.set(SOUND);
    for on_disk in waiting {
        let kept = tokio::time::timeout(PATIENCE, on_disk).await;
        kept.unwrap_or_else(|_| panic!("it recovers by itself: {:?}", health.parts())).expect("it lives");
    }
    assert!(watched.met() > 0 && health.store.write_errors.load(Ordering::Relaxed) > 0);
    assert_eq!(health.store.lost.load(Ordering::Relaxed), 0);
    until("the alarm ends", || health.parts()["store"].up).await;
    assert!(!was_set_aside(&watched.dir), "{faults:?}: a failing disk is no damaged file");
    work::close(store).await;
    let there = Reader::open(&watched.dir).expect("it opens").events_after(0, 100).expect("it reads");
    let bodies: Vec<_> = there.iter().map(|e| (e.seq, e.body.clone())).collect();
    let meant: Vec<_> = events.iter().zip(1..).map(|(e, seq)| (seq, e.render(Dialect::Current))).collect();
    assert_eq!(bodies, meant, "{faults:?}");
}

/// The health, as the control socket tells it.
fn health(state: &Path) -> Value {
    let mut stream = UnixStream::connect(state.join("control.sock")).expect("the daemon answers");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("an answer").1;
    serde_json::from_str::<Value>(body).expect("JSON")["health"].take()
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn operate(bridge: &Bridge, n: u32) {
    bridge.happen(FRONT_DOOR, Zwave::Keypad { locked: n.is_multiple_of(2), user: 3 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_hub_keeps_judging_on_a_full_and_on_a_failing_disk_and_tells_it_all_afterwards() {
    for faults in [FULL, NO_SYNC] {
        let place = scratch();
        let watched = Watched::new(place.path());
        let (bridge, broker) = (Bridge::start(1.0).await.unwrap(), Mosquitto::start());
        let mut subscriber = Subscriber::new(broker.port, "portcullis/hub-1/event/+/lock/#").await;
        let config = format!(
            "[ble]\nenabled = false\n[[zwave]]\nname = \"main\"\nurl = {:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n",
            bridge.url(),
            broker.port
        );
        let daemon = Daemon::with(place.path(), &config, &watched.environment());
        until("the bridge is met", || {
            operate(&bridge, 0);
            operate(&bridge, 1);
            Reader::open(&watched.dir).and_then(|r| r.extent()).is_ok_and(|head| head.seq > 8)
        })
        .await;
        // Until nothing is under way, so that what comes now is from a failing disk.
        let sent = |state: &Path| health(state)["counters"]["mqtt"]["backlog"] == 0;
        until("all so far is told", || sent(&watched.dir)).await;
        let before = Reader::open(&watched.dir).unwrap().extent().unwrap().seq;

        watched.set(faults);
        (0..200).for_each(|n| operate(&bridge, n));
        let store_is = |up: bool| health(&watched.dir)["parts"]["store"]["up"] == up;
        until("the health alarms", || store_is(false)).await;
        let _ = subscriber.so_far();
        tokio::time::sleep(FAILING).await;
        let told: Vec<u64> = subscriber.so_far().iter().filter_map(|t| t.json()["seq"].as_u64()).collect();
        let kept = Reader::open(&watched.dir).unwrap().extent().unwrap().seq;
        assert!(told.iter().all(|seq| *seq <= kept), "{faults:?}: {told:?} told, {kept} kept");
        assert!(kept < before + 200, "{faults:?}: the disk did not fail");
        let mended_at = chrono::Utc::now();

        watched.set(SOUND);
        until("it recovers by itself", || store_is(true)).await;
        until("all is kept", || Reader::open(&watched.dir).unwrap().extent().unwrap().seq >= before + 200).await;
        until("all is told", || sent(&watched.dir)).await;
        assert!(daemon.stop(), "a clean end");
        let log = Reader::open(&watched.dir).unwrap().events_after(before, 1000).unwrap();
        let judged_late = log.iter().filter(|e| e.created_at >= portcullis::time::Wall::from(mended_at)).count();
        assert_eq!(judged_late, 0, "{faults:?}: each was judged when it happened");
        assert!(!was_set_aside(&watched.dir));
    }
}
