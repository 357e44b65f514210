//! What delivery costs, each as a ratio in one run: against a raw MQTT client on the same Mosquitto, against `fdatasync` alone.
//! Absolute figures belong to the machine. `cargo bench --bench delivery -- NAME…` measures some only: throughput, latency, bytes,
//! idle, large. `PORTCULLIS_EVENTS` sets the size of the large log (default 1,000,000).

#[path = "../tests/support/daemon.rs"]
mod daemon;
#[path = "../tests/support/delivery.rs"]
mod delivery;
#[path = "../tests/support/logs.rs"]
mod logs;
#[path = "../tests/support/mosquitto.rs"]
mod mosquitto;
#[path = "../tests/support/scripted.rs"]
mod scripted;
#[path = "../tests/support/subscriber.rs"]
mod subscriber;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daemon::Daemon;
use delivery::{Publisher, append, event};
use mosquitto::Mosquitto;
use portcullis::config::Config;
use portcullis::event::{Dialect, Event, EventType};
use portcullis::hub::{Hub, Input, Output, Row, RowKind};
use portcullis::signal::{Address, DeviceKey, Link, LockState, Report, Signal};
use portcullis::sink::mqtt::{Message, Topics};
use portcullis::store::{Batch, Filter, Reader, Store};
use portcullis::time::{Mono, Now};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::{AsyncClient, Incoming, MqttOptions};
use scripted::{Answer, Manners, Scripted};
use uuid::Uuid;

/// Long enough that start and end do not count, short enough that the machine is the same throughout.
const BURST: u64 = 20_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let asked: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
        let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|n| n == name);
        if is_asked("throughput") {
            throughput().await;
        }
        if is_asked("latency") {
            latency().await;
        }
        if is_asked("bytes") {
            bytes_on_disk().await;
        }
        if is_asked("idle") {
            idle().await;
        }
        if is_asked("large") {
            large_log().await;
        }
    });
}

/// As a building has them: 50 devices, each event with its device's state.
fn step(n: u64) -> (Event, Row) {
    let device = Uuid::from_u128(0x9000 + u128::from(n % 50));
    let value = serde_json::json!({"device_id": device, "account_id": Uuid::from_u128(2), "connected": true, "managed": true,
        "name": "Front door", "battery": {"level": 0.8, "status": "good"}, "lock": {"locked": n.is_multiple_of(2)}, "n": n});
    let row = Row { kind: RowKind::Device, key: device.to_string(), value: Some(value) };
    let event = event(n);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    // As the hub makes them: an id begins with its event's time.
    let event_id = uuid::Builder::from_unix_timestamp_millis(event.created_at.0 as u64, &random).into_uuid();
    (Event { event_id, device_id: Some(device), ..event }, row)
}

/// The publishes that `ours` makes, bytes for bytes, by rumqttc alone: the same topics, payloads and properties.
async fn raw(port: u16) -> f64 {
    let mut options = MqttOptions::new("raw", "127.0.0.1", port);
    options.set_outgoing_inflight_upper_limit(100);
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut events) = AsyncClient::new(options, 128);
    let messages: Vec<Message> = messages().await;
    let started = Instant::now();
    tokio::spawn(async move {
        for message in messages {
            let Message { topic, payload, properties, .. } = message;
            let properties = PublishProperties { user_properties: properties, ..PublishProperties::default() };
            let sent = client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties);
            sent.await.expect("it polls");
        }
        std::future::pending::<()>().await;
    });
    let mut acknowledged = 0;
    while acknowledged < BURST {
        if let rumqttc::v5::Event::Incoming(Incoming::PubAck(_)) = events.poll().await.expect("a broker") {
            acknowledged += 1;
        }
    }
    BURST as f64 / started.elapsed().as_secs_f64()
}

/// What a log of the burst is published as.
async fn messages() -> Vec<Message> {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = Store::open(dir.path(), Dialect::Classic).expect("it opens");
    append(&store, (0..BURST).map(|n| step(n).0).collect(), Vec::new()).await;
    let topics = Topics::new("portcullis", "hub-1");
    let log = store.events_after(0, BURST as usize).expect("it reads");
    log.iter().map(|event| topics.event_message(event, store.log_id(), true)).collect()
}

async fn ours(port: u16) -> f64 {
    let mut publisher = Publisher::on_disk(&format!("mqtt://127.0.0.1:{port}"));
    publisher.start();
    publisher.until_state("up connected").await;
    let started = Instant::now();
    for n in 0..BURST {
        publisher.store.append(Batch { events: vec![step(n).0], rows: Vec::new(), then: None }).expect("it writes");
    }
    while publisher.health.mqtt.acknowledged.load(Ordering::Relaxed) < BURST {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    BURST as f64 / started.elapsed().as_secs_f64()
}

async fn throughput() {
    let broker = Mosquitto::start();
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let (raw, ours) = (raw(broker.port).await, ours(broker.port).await);
        println!("throughput: raw {raw:.0}/s, through store and publisher {ours:.0}/s, ratio {:.2}", ours / raw);
        ratios.push(ours / raw);
    }
    println!("throughput ratio, median of five: {:.2} (at least 0.85)", median(ratios));
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// From an event and its state being handed to the store until its PUBLISH is read at the other end of a socket, against
/// `fdatasync` of as many bytes alone at the same pace. Ratios of each run; their medians count.
async fn latency() {
    for per_second in [100, 1_000] {
        let mut ratios = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (alone, (kept, published)) = (alone(per_second).await, published(per_second).await);
            let ((a50, a99), (k50, k99), (b50, b99)) = (percentiles(alone), percentiles(kept), percentiles(published));
            println!(
                "latency at {per_second}/s: fdatasync p50 {a50:?} p99 {a99:?}; on disk p50 {k50:?} p99 {k99:?}; \
                 to PUBLISH p50 {b50:?} p99 {b99:?}"
            );
            ratios.0.push(ratio(b50, a50));
            ratios.1.push(ratio(b99, a99));
        }
        let asked = if per_second == 100 { " (at most 2 and 3)" } else { "" };
        let (p50, p99) = (median(ratios.0), median(ratios.1));
        println!("latency ratio at {per_second}/s, medians of five: p50 {p50:.2}, p99 {p99:.2}{asked}");
    }
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Three seconds of it.
fn times(per_second: u64) -> u64 {
    3 * per_second
}

/// The timer's own lateness is in nobody's time: each is measured from when its turn came.
fn pace(per_second: u64) -> tokio::time::Interval {
    tokio::time::interval(Duration::from_secs(1) / per_second as u32)
}

async fn alone(per_second: u64) -> Vec<Duration> {
    let file = tempfile::tempfile_in(".").expect("a file on a disk");
    let mut pace = pace(per_second);
    let mut took = Vec::new();
    for _ in 0..times(per_second) {
        pace.tick().await;
        let started = Instant::now();
        (&file).write_all(&[0; 400]).and_then(|()| file.sync_data()).expect("it writes");
        took.push(started.elapsed());
    }
    took
}

/// Until each is on disk, and until it is read at the other end.
async fn published(per_second: u64) -> (Vec<Duration>, Vec<Duration>) {
    let arrived: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let arrives = arrived.clone();
    let broker = Scripted::start(Manners::default(), move |_, _| {
        arrives.lock().expect("it lives").push(Instant::now());
        Answer::Ack(0)
    })
    .await;
    let mut publisher = Publisher::on_disk(&format!("mqtt://127.0.0.1:{}", broker.port));
    publisher.start();
    publisher.until_state("up connected").await;
    let mut pace = pace(per_second);
    let mut handed = Vec::new();
    let kept: Arc<Mutex<Vec<Instant>>> = Arc::default();
    for n in 0..times(per_second) {
        pace.tick().await;
        let (event, row) = step(n);
        let kept = kept.clone();
        let then = Box::new(move || kept.lock().expect("it lives").push(Instant::now()));
        handed.push(Instant::now());
        publisher.store.append(Batch { events: vec![event], rows: vec![row], then: Some(then) }).expect("it writes");
    }
    while (arrived.lock().expect("it lives").len() as u64) < times(per_second) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let since = |then: &Mutex<Vec<Instant>>| -> Vec<Duration> {
        handed.iter().zip(then.lock().expect("it lives").iter()).map(|(handed, then)| *then - *handed).collect()
    };
    (since(&kept), since(&arrived))
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("Linux");
    io.lines().find_map(|l| l.strip_prefix("write_bytes: ")).and_then(|n| n.parse().ok()).expect("a number")
}

async fn bytes_on_disk() {
    for (together, most) in [(1, 45), (100, 9)] {
        let dir = tempfile::Builder::new().tempdir_in(".").expect("a directory on a disk");
        let (store, _) = Store::open(dir.path(), Dialect::Classic).expect("it opens");
        let before = written();
        for batch in 0..4_000 / together {
            let (events, rows) = (0..together).map(|n| step(batch * together + n)).unzip();
            append(&store, events, rows).await;
        }
        let each = (written() - before) as f64 / 4_000.0;
        println!("bytes on disk an event with its device's state, {together} together: {each:.0} (at most {most} kB)");
    }
}

/// The real daemon with a broker, and no source that could wake it.
fn start(dir: &Path, port: u16) -> Daemon {
    let mqtt = format!("url = \"mqtt://127.0.0.1:{port}\"");
    Daemon::start(dir, &format!("[adopt]\nble = \"known\"\n[ble]\nenabled = false\n[mqtt]\n{mqtt}\n"))
}

/// Resident memory in MB once it has stood still for two seconds.
async fn settled(daemon: &Daemon) -> f64 {
    let mut last = Vec::new();
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
        let kb = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        last.push(kb.expect("a number"));
        let recent: &[f64] = &last[last.len().saturating_sub(10)..];
        let (low, high) = recent.iter().fold((f64::MAX, 0f64), |(low, high), kb| (low.min(*kb), high.max(*kb)));
        if recent.len() == 10 && high - low < 200.0 {
            return high / 1024.0;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn idle() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Mosquitto::start();
    let mut told = subscriber::Subscriber::new(broker.port, "portcullis/hub-1/status").await;
    let daemon = start(dir.path(), broker.port);
    told.next().await;
    println!("resident, idle: {:.1} MB (at most 12)", settled(&daemon).await);
}

/// The rows of a hub that knows 10,000 devices.
fn devices() -> Vec<Row> {
    let config = Config::parse("[adopt]\nble = \"known\"\n", Path::new("/"), HashMap::new()).expect("it is right");
    let now = |at: u64| Now { mono: Mono(at), wall: event(at).created_at, synchronized: true, entropy: at.into() };
    let mut hub = Hub::new(config.settings(None), now(0));
    let mut rows = BTreeMap::new();
    for n in 0..10_000u64 {
        let [.., a, b] = n.to_be_bytes();
        let report = Report {
            device: DeviceKey::Ble(Address([0xC0, 0xFF, 0xEE, 0, a, b])),
            link: Link::Adapter("hci0".into()),
            rssi: Some(-60),
            name: None,
            family: "bthome_v2",
            irregular: false,
            counter: None,
            occurred_at: None,
            signals: vec![Signal::Battery { percent: 80 }, Signal::Lock(LockState::Locked)],
        };
        let mut out = Output::default();
        hub.step(now(n), Input::Report(report), &mut out);
        rows.extend(out.rows.into_iter().map(|row| ((row.kind, row.key.clone()), row)));
    }
    rows.extend(hub.soft_rows().into_iter().map(|row| ((row.kind, row.key.clone()), row)));
    let devices = rows.keys().filter(|(kind, _)| *kind == RowKind::Device).count();
    assert_eq!(devices, 10_000);
    rows.into_values().collect()
}

/// A log of so many events about 50 devices, of which the last is not yet sent, and 10,000 devices.
async fn fill(dir: &Path, events: u64) {
    let (store, _) = Store::open(dir, Dialect::Classic).expect("it opens");
    for first in (0..events).step_by(2_000) {
        let events = (first..first + 2_000).map(|n| step(n).0).collect();
        append(&store, events, Vec::new()).await;
    }
    for rows in devices().chunks(500) {
        append(&store, Vec::new(), rows.to_vec()).await;
    }
    store.move_cursor("mqtt", events - 1).expect("it writes");
    store.flush().await.expect("it writes");
    let mut head = store.head();
    drop(store);
    while head.changed().await.is_ok() {}
}

async fn large_log() {
    let events = std::env::var("PORTCULLIS_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let home = tempfile::Builder::new().tempdir_in(".").expect("a directory on a disk");
    let home = home.path().canonicalize().expect("it is there");
    let dir = home.join("state");
    std::fs::create_dir(&dir).expect("a directory");
    fill(&dir, events).await;
    let broker = Mosquitto::start();
    let mut told = subscriber::Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let started = Instant::now();
    let daemon = start(&home, broker.port);
    told.next().await;
    let first = started.elapsed();
    println!(
        "{events} events, 10,000 devices: from the process's start to its first publish {first:?} (at most 150 ms)"
    );
    println!("resident with them: {:.1} MB (at most 25)", settled(&daemon).await);
    daemon.stop();
    let reader = Reader::open(&dir).expect("it opens");
    let device = |n: u128| BTreeSet::from([Uuid::from_u128(0x9000 + n % 50)]);
    let mut times = Vec::new();
    for n in 0..1_000u64 {
        let at = Some(event(n * (events / 1_000)).created_at);
        let filter = match n % 3 {
            0 => Filter { device_ids: device(n.into()), after: at, ..Filter::default() },
            1 => Filter { event_types: [EventType::LockLocked].into(), after: at, ..Filter::default() },
            _ => Filter {
                device_ids: device(n.into()),
                event_types: [EventType::LockUnlocked].into(),
                ..Filter::default()
            },
        };
        let started = Instant::now();
        reader.find(&filter, 50).expect("it reads");
        times.push(started.elapsed());
    }
    let (p50, p99) = percentiles(times);
    println!("list of 50 by device, type and time: p50 {p50:?}, p99 {p99:?} (at most 5 ms)");
    let size = std::fs::metadata(dir.join("portcullis.db")).expect("it is there").len();
    println!("database: {} bytes an event", size / events);
}
