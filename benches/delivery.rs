//! What delivery costs, each as a ratio in one run: against a raw MQTT client on the same Mosquitto, against `fdatasync` alone.
//! Absolute figures belong to the machine. `PORTCULLIS_EVENTS` sets the size of the large log (default 1,000,000).

#[path = "../tests/support/delivery.rs"]
mod delivery;
#[path = "../tests/support/mosquitto.rs"]
mod mosquitto;
#[path = "../tests/support/scripted.rs"]
mod scripted;
#[path = "../tests/support/subscriber.rs"]
mod subscriber;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use delivery::{Publisher, append, event};
use mosquitto::Mosquitto;
use portcullis::event::{Dialect, Event, EventType};
use portcullis::hub::{Row, RowKind};
use portcullis::sink::mqtt::{Message, Topics};
use portcullis::store::{Batch, Filter, Reader, Store};
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
        throughput().await;
        latency().await;
        bytes_on_disk().await;
        large_log().await;
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
            let (alone, published) = (alone(per_second).await, published(per_second).await);
            let ((a50, a99), (b50, b99)) = (percentiles(alone), percentiles(published));
            println!(
                "latency at {per_second}/s: fdatasync p50 {a50:?} p99 {a99:?}; to PUBLISH p50 {b50:?} p99 {b99:?}"
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

async fn published(per_second: u64) -> Vec<Duration> {
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
    for n in 0..times(per_second) {
        pace.tick().await;
        let (event, row) = step(n);
        handed.push(Instant::now());
        publisher.store.append(Batch { events: vec![event], rows: vec![row], then: None }).expect("it writes");
    }
    while (arrived.lock().expect("it lives").len() as u64) < times(per_second) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let arrived = arrived.lock().expect("it lives");
    handed.iter().zip(arrived.iter()).map(|(handed, arrived)| *arrived - *handed).collect()
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

async fn fill(dir: &Path, events: u64) {
    let (store, _) = Store::open(dir, Dialect::Classic).expect("it opens");
    for first in (0..events).step_by(2_000) {
        let (events, rows) = (first..first + 2_000).map(step).unzip();
        append(&store, events, rows).await;
    }
    store.move_cursor("mqtt", events - 1).expect("it writes");
    store.flush().await.expect("it writes");
}

async fn large_log() {
    let events = std::env::var("PORTCULLIS_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::Builder::new().tempdir_in(".").expect("a directory on a disk");
    fill(dir.path(), events).await;
    let broker = Mosquitto::start();
    let mut told = subscriber::Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let mut publisher = Publisher::at(broker.port);
    let started = Instant::now();
    publisher.store = Store::open(dir.path(), Dialect::Classic).expect("it opens").0;
    let opened = started.elapsed();
    publisher.start();
    told.next().await;
    println!("{events} events: opened in {opened:?}, first publish after {:?} (at most 150 ms)", started.elapsed());
    let reader = Reader::open(dir.path()).expect("it opens");
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
    let size = std::fs::metadata(dir.path().join("portcullis.db")).expect("it is there").len();
    println!("database: {} bytes an event", size / events);
}
