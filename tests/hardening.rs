//! Who asks badly is refused rightly, and costs those who ask well nothing: events flow all the while.

#[path = "support/unit.rs"]
mod unit;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use portcullis::api::STREAMS_MOST;
use portcullis::api::connections::{self, Limits};
use portcullis::api::keys::{Keys, Scope};
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::hub::Input;
use portcullis::service::Running;
use portcullis::signal::{Address, DeviceKey, Link, Method, Report, Signal};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use unit::Home;

/// A bound on a hanging test, not a wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of its own with short patience: `/` answers at once, `/endless` never ends and says when its client is gone.
async fn server(limits: Limits) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    struct Gone(mpsc::UnboundedSender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, gone) = mpsc::unbounded_channel();
    let endless = move || {
        let held = Arc::new(Gone(tell.clone()));
        let chunks = futures_util::stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1 << 16]))
        });
        async move { Body::from_stream(chunks) }
    };
    let router = Router::new().route("/", get(|| async { "here" })).route("/endless", get(endless));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { connections::serve(listener, router, &limits).await });
    (address, gone)
}

fn quick() -> Limits {
    Limits { connections: 8, head: Duration::from_millis(300), write: Duration::from_millis(300), ..Limits::default() }
}

/// All that is answered until the connection ends.
async fn say(address: SocketAddr, text: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A server that refuses early may hang up before all is written.
    let _ = socket.write_all(text).await;
    rest(&mut socket).await
}

async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, async {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = socket.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..n]);
        }
    });
    read.await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

const GOOD: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_trickle_and_connections_that_idle_are_cut_off_while_others_are_answered() {
    let (address, _) = server(quick()).await;
    let mut trickle = TcpStream::connect(address).await.unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let trickled = tokio::spawn(async move {
        for byte in std::iter::repeat(b"GET / HTTP/1.1\r\nx-a: ").flatten() {
            if trickle.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(say(address, GOOD).await.ends_with("here"));
    tokio::time::timeout(PATIENCE, trickled).await.expect("it is cut off").unwrap();
    rest(&mut silent).await;
    assert!(rest(&mut idle).await.ends_with("here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_what_is_written_is_dropped() {
    let (address, mut gone) = server(quick()).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    tokio::time::timeout(PATIENCE, gone.recv()).await.expect("it is dropped though it never hangs up");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_places_and_one_that_is_left_is_free_again() {
    let (address, _) = server(Limits { head: PATIENCE, ..quick() }).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 256];
        assert!(socket.read(&mut answer).await.unwrap() > 0);
        held.push(socket);
    }
    assert_eq!(say(address, GOOD).await, "", "hung up on");
    held.pop();
    let freed = async { while !say(address, GOOD).await.ends_with("here") {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_and_what_is_no_http_are_refused() {
    let (address, _) = server(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(say(address, long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(2000));
    assert!(say(address, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert!(say(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello").await.starts_with("HTTP/1.1 400"));
}

const LOCK: Address = Address([0xC0, 0xFF, 0xEE, 0, 0, 1]);

/// A hub in this process, its address, and a key that opens everything.
async fn hub(config: &str) -> (Home, Running, SocketAddr, String) {
    let device = "[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nname = \"Front door\"\n";
    let home = Home::new(&format!("{device}[mqtt]\nurl = \"mqtt://127.0.0.1:1\""));
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::create_dir_all(home.state()).unwrap();
    let (_, key) = Keys::of(&home.state()).create("test", Scope::Admin, "now".into()).unwrap();
    let text = std::fs::read_to_string(home.config()).unwrap() + config;
    let environment = HashMap::from([("PORTCULLIS__HTTP__LISTEN".to_owned(), address.to_string())]);
    let config = Config::parse(&text, home.path(), environment).unwrap();
    let running = Running::start(config, Clock::start()).await.unwrap();
    let listens = async { while TcpStream::connect(address).await.is_err() {} };
    tokio::time::timeout(PATIENCE, listens).await.expect("it listens");
    (home, running, address, key.reveal().to_owned())
}

async fn operate(hub: &Running, locked: bool) {
    let report = Report {
        device: DeviceKey::Ble(LOCK),
        link: Link::Adapter("hci0".into()),
        rssi: Some(-60),
        name: None,
        family: "bthome_v2",
        irregular: false,
        counter: None,
        occurred_at: None,
        signals: vec![Signal::LockOperation { locked, method: Method::Manual, user: None }],
    };
    hub.hand.inputs().send(Input::Report(report)).await.unwrap();
}

/// Status, error type and headers of an answer.
async fn ask(address: SocketAddr, request: &str) -> (u16, Value, String) {
    let answer = say(address, request.replace('\n', "\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, serde_json::from_str(body).unwrap_or_default(), head.to_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_the_right_error_while_events_flow() {
    let (_home, hub, address, key) = hub("").await;
    let bearer = format!("authorization: Bearer {key}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let follow = format!("GET /events/stream HTTP/1.1\r\nhost: localhost\r\n{bearer}\r\n\r\n");
    stream.write_all(follow.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");

    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let post = |host: &str, more: &str, length: usize, body: &str| {
        format!(
            "POST /devices/list HTTP/1.1\nhost: {host}\nconnection: close\n{more}\ncontent-length: {length}\n\n{body}"
        )
    };
    let origin = format!("{bearer}\norigin: https://evil.example");
    let get = |path: &str| format!("PUT {path} HTTP/1.1\nhost: localhost\nconnection: close\n{bearer}\n\n");
    for (request, status, kind) in [
        (post("localhost", "x: y", 2, "{}"), 401, "unauthorized"),
        (post("localhost", "authorization: Bearer seam_no_such_key_00", 2, "{}"), 401, "unauthorized"),
        (post("localhost", "authorization: Basic YTpi", 2, "{}"), 401, "unauthorized"),
        (post("evil.example", &bearer, 2, "{}"), 403, "host_not_allowed"),
        (post("localhost", &origin, 2, "{}"), 403, "origin_not_allowed"),
        (post("localhost", &bearer, big.len(), &big), 413, "payload_too_large"),
        (post("localhost", &bearer, 9, "{\"a\": tru"), 400, "invalid_input"),
        (post("localhost", &bearer, 2, "[]"), 400, "invalid_input"),
        (post("localhost", &bearer, 3, "\"\u{c3}\""), 400, "invalid_input"),
        (get("/events/list"), 405, "method_not_allowed"),
        (get("/no/such/path"), 404, "not_found"),
        // Its body never comes.
        (post("localhost", &bearer, 10, "{"), 408, "request_timeout"),
    ] {
        operate(&hub, status % 2 == 0).await;
        let (got, answer, head) = ask(address, &request).await;
        let shown = &request[..request.len().min(200)];
        assert_eq!((got, answer["error"]["type"].as_str()), (status, Some(kind)), "{shown}: {answer}");
        assert_eq!(answer["ok"], false);
        assert!(head.contains("seam-request-id: "), "{head}");
    }
    let (status, ..) = ask(address, &post("localhost", &bearer, 2, "{}")).await;
    assert_eq!(status, 200);
    let mut told = String::new();
    let twelve = async {
        while told.matches("event: lock.").count() < 12 {
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).await.unwrap();
            assert!(n > 0, "the stream goes on");
            told.push_str(&String::from_utf8_lossy(&chunk[..n]));
        }
    };
    tokio::time::timeout(PATIENCE, twelve).await.expect("every event was streamed");
    hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_rate_and_guessers_are_slowed_down_without_touching_it() {
    let (_home, hub, address, key) = hub("requests_per_second = 3\nallowed_hosts = [\"hub.example\"]\n").await;
    let get = |key: &str| {
        format!(
            "GET /events/list?since=2026-01-01T00:00:00Z HTTP/1.1\nhost: hub.example\nconnection: close\nauthorization: Bearer {key}\n\n"
        )
    };
    let mut guesses = Vec::new();
    for _ in 0..40 {
        guesses.push(ask(address, &get("seam_no_such_key_00")).await.0);
    }
    assert_eq!(guesses[0], 401);
    assert!(guesses.contains(&429), "{guesses:?}");
    let mut asked = Vec::new();
    for _ in 0..40 {
        asked.push(ask(address, &get(&key)).await);
    }
    assert_eq!(asked[0].0, 200, "the guesses were not this key's");
    let refused = asked.iter().find(|(status, ..)| *status == 429).expect("forty at once are too many");
    assert!(refused.2.contains("retry-after: 1"), "{}", refused.2);
    assert_eq!(refused.1["error"]["type"], "too_many_requests");
    hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_has_so_many_places_who_finds_none_is_told_when_to_come_again_and_a_place_that_is_left_is_free() {
    let (_home, hub, address, key) = hub("").await;
    let router = hub.api();
    let follow = || {
        let request = Request::builder().uri("/events/stream").header("host", "localhost").extension(Scope::Admin);
        TowerToHyperService::new(router.clone()).call(request.body(Body::empty()).unwrap())
    };
    let mut clients = Vec::new();
    for _ in 0..STREAMS_MOST {
        let answer = follow().await.unwrap();
        assert_eq!(answer.status(), 200);
        clients.push(answer.into_body());
    }
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\nhost: localhost\nconnection: close\nauthorization: Bearer {key}\n\n")
    };
    let (status, answer, head) = ask(address, &get("/events/stream")).await;
    assert_eq!((status, answer["error"]["type"].as_str()), (429, Some("too_many_requests")), "{answer}");
    assert!(head.contains("retry-after: 30"), "{head}");
    assert_eq!(ask(address, &get("/devices/list")).await.0, 200, "it is the stream alone that is full");
    // Everybody who is there is told.
    operate(&hub, false).await;
    for client in &mut clients {
        let mut told = String::new();
        while !told.contains("event: lock.unlocked") {
            let frame = tokio::time::timeout(PATIENCE, client.frame()).await.expect("in time").unwrap().unwrap();
            told.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
        }
    }
    clients.pop();
    assert_eq!(follow().await.unwrap().status(), 200);
    hub.stop(true).await;
}
