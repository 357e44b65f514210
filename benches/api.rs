//! The API on a log of a million events (`PORTCULLIS_EVENTS` makes it another number): `events/list` by each filter with limit=50, `events/get` by id,
//! and a thousand clients of the stream, in this process and through the whole router. Prints plain figures of one run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use hyper::service::Service;
use hyper::{Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use portcullis::api::STREAMS_MOST;
use portcullis::api::keys::Scope;
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::event::{Details, Dialect, Event, EventType};
use portcullis::service::Running;
use portcullis::store::{Batch, Store};
use portcullis::time::Wall;
use uuid::Uuid;

/// Devices of the building.
const DEVICES: u64 = 200;
/// Of each question so many: enough for a p99.
const ASKED: usize = 300;
/// Between two events: a million of them are the last 28 hours, which no retention takes out.
const APART_MS: i64 = 100;

/// The `n`th event: one in ten is a lock's, the others say what happens most.
fn event(start: i64, n: u64) -> Event {
    let event_type = match n % 10 {
        0 => EventType::LockUnlocked,
        1..6 => EventType::DeviceConnected,
        _ => EventType::DeviceDisconnected,
    };
    let at = Wall(start + n as i64 * APART_MS);
    Event {
        // As the hub makes them: an id begins with its time.
        event_id: Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            (at.0 / 1000) as u64,
            (at.0 % 1000) as u32 * 1_000_000,
        )),
        event_type,
        workspace_id: Uuid::from_u128(1),
        created_at: at,
        occurred_at: at,
        connected_account_id: Uuid::from_u128(2),
        device_id: Some(device(n)),
        details: Details::default(),
    }
}

fn device(n: u64) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(n % DEVICES))
}

async fn append(store: &Store, events: Vec<Event>) {
    store.append(Batch { events, rows: Vec::new(), then: None }).expect("it runs");
    store.flush().await.expect("it keeps");
}

async fn ask(router: &Router, path: &str) -> Body {
    let request = Request::builder().uri(path).header("host", "localhost").extension(Scope::Admin);
    let request = request.body(Body::empty()).expect("a request");
    let answer = TowerToHyperService::new(router.clone()).call(request).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.into_body()
}

async fn listed(router: &Router, name: &str, path: impl Fn(usize) -> String) {
    let mut took = Vec::new();
    for n in 0..ASKED {
        let (path, start) = (path(n), Instant::now());
        axum::body::to_bytes(ask(router, &path).await, usize::MAX).await.expect("a body");
        took.push(start.elapsed());
    }
    took.sort();
    println!("{name:<36} p50 {:>9.3?}  p99 {:>9.3?}", took[ASKED / 2], took[ASKED * 99 / 100]);
}

#[tokio::main]
async fn main() {
    let events: u64 = std::env::var("PORTCULLIS_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let start_at = chrono::Utc::now().timestamp_millis() - events as i64 * APART_MS;
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = Store::open(dir.path(), Dialect::Classic).expect("a fresh store");
    let mut ids = Vec::new();
    for from in (0..events).step_by(10_000) {
        let batch: Vec<Event> = (from..events.min(from + 10_000)).map(|n| event(start_at, n)).collect();
        ids.extend(batch.first().map(|e| e.event_id));
        append(&store, batch).await;
    }
    drop(store);

    let text = format!(
        "state_dir = {:?}\n[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        dir.path()
    );
    let config = Config::parse(&text, dir.path(), HashMap::new()).expect("a configuration");
    let hub = Running::start(config, Clock::start()).await.expect("it starts");
    let router = hub.api();

    println!("events/list, limit=50, of {events} events");
    let at = |n: usize| Wall(start_at + (n as i64 * 7919 % events as i64) * APART_MS);
    listed(&router, "since", |n| format!("/events/list?limit=50&since={}", at(n))).await;
    listed(&router, "between", |n| {
        format!("/events/list?limit=50&between={}&between={}", at(n), Wall(at(n).0 + 60_000))
    })
    .await;
    listed(&router, "device_id", |n| format!("/events/list?limit=50&device_id={}", device(n as u64))).await;
    listed(&router, "event_type", |_| "/events/list?limit=50&event_type=lock.unlocked".into()).await;
    listed(&router, "device_id and event_type", |n| {
        format!("/events/list?limit=50&event_type=lock.unlocked&device_id={}", device(n as u64 * 10))
    })
    .await;
    let account = Uuid::from_u128(2);
    listed(&router, "connected_account_id", |_| format!("/events/list?limit=50&connected_account_id={account}")).await;
    listed(&router, "event_ids", |n| format!("/events/list?limit=50&event_ids={}", ids[n % ids.len()])).await;
    listed(&router, "event_type, newest first", |_| {
        "/events/list?limit=50&event_type=lock.unlocked&newest_first=true".into()
    })
    .await;

    let (start, mut got) = (Instant::now(), 0u64);
    while start.elapsed() < Duration::from_secs(3) {
        let path = format!("/events/get?event_id={}", ids[got as usize % ids.len()]);
        axum::body::to_bytes(ask(&router, &path).await, usize::MAX).await.expect("a body");
        got += 1;
    }
    println!("events/get, one after the other        {:.0} a second", got as f64 / start.elapsed().as_secs_f64());

    let mut clients: Vec<BodyDataStream> = Vec::new();
    for _ in 0..STREAMS_MOST {
        clients.push(ask(&router, "/events/stream").await.into_data_stream());
    }
    let start = Instant::now();
    append(&hub.store, vec![event(start_at, events)]).await;
    let on_disk = start.elapsed();
    let first = |mut client: BodyDataStream| async move { client.next().await.expect("it goes on").expect("a chunk") };
    futures_util::future::join_all(clients.into_iter().map(first)).await;
    println!(
        "an event to {STREAMS_MOST} stream clients       {:.3?} after it was handed over ({on_disk:.3?} until on disk)",
        start.elapsed()
    );
    hub.stop(true).await;
}
