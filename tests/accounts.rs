//! Z-Wave networks are connected by the address of their server while the hub runs: looked at first, kept, told, and taken out again.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/unit.rs"]
mod unit;
#[path = "support/zwave.rs"]
mod zwave;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use futures_util::SinkExt;
use mosquitto::Mosquitto;
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::service::Running;
use portcullis::source::demo::bridge::Bridge;
use serde_json::{Value, json};
use subscriber::Subscriber;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use unit::{Done, Home};
use zwave::Rig;

/// A bound on a hanging test, not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

const NOTHING: [Value; 0] = [];

/// A verb, beside what runs in this process.
async fn verb(home: &Home, arguments: &[&str], input: &str) -> Done {
    let mut command = home.command(arguments);
    let file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut &file, input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut &file).unwrap();
    command.stdin(file);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the binary is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

async fn listed(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let done = verb(home, &[arguments, &["--json"]].concat(), "").await;
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.out).expect("JSON")
}

/// The events of these types, as words.
async fn told(home: &Home, types: &[&str]) -> Vec<Value> {
    let filter: Vec<&str> = types.iter().flat_map(|t| ["--type", t]).collect();
    let done = verb(home, &[&["events", "list", "--json"], &filter[..]].concat(), "").await;
    done.out.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
}

const ACCOUNT: [&str; 5] = [
    "connected_account.created",
    "connected_account.connected",
    "connected_account.successful_login",
    "connected_account.disconnected",
    "connected_account.deleted",
];

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["event_type"].as_str().unwrap().trim_start_matches("connected_account.")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_added_by_its_address_told_kept_over_a_restart_and_taken_out_with_its_devices() {
    let (broker, rig) = (Mosquitto::start(), Rig::start().await);
    let mut events = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let mut devices = Subscriber::new(broker.port, "portcullis/hub-1/device/#").await;
    let home = Home::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"", broker.port));
    let daemon = home.start();
    let done = verb(&home, &["accounts", "add", &rig.url, "--name", "cellar", "--json"], "").await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let account: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&account["display_name"], &account["errors"]), (&"cellar".into(), &json!([])));
    assert_eq!(account["automatically_manage_new_devices"], true);
    let synced = events.until(|told| told.topic.ends_with("/completed_first_sync")).await.json();
    assert_eq!(synced["connected_account_id"], account["connected_account_id"]);
    let of_account = told(&home, &ACCOUNT).await;
    assert_eq!(types(&of_account), ["created", "connected", "successful_login"]);
    assert_eq!(of_account[0]["connect_webview_id"], of_account[2]["connect_webview_id"]);
    let met = listed(&home, &["devices"]).await;
    assert!(met.len() >= 5 && met.iter().all(|d| d["is_managed"] == true), "{met:#?}");

    let again = verb(&home, &["accounts", "add", &rig.url], "").await;
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("connected already") && again.err.contains("cellar"), "{}", again.err);

    daemon.stop();
    let daemon = home.start();
    // Only a link that is up hears this.
    let hears = async {
        loop {
            rig.operate(7, "manual_unlock").await;
            rig.operate(7, "manual_lock").await;
            if events.so_far().iter().any(|told| told.topic.ends_with("/lock/unlocked")) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, hears).await.expect("the network is there again");
    assert_eq!(types(&told(&home, &ACCOUNT).await), ["created", "connected", "successful_login"], "told once");

    let removed = verb(&home, &["accounts", "remove", "cellar"], "").await;
    assert_eq!((removed.code, removed.out.as_str()), (Some(0), "removed cellar\n"), "{removed:?}");
    let gone: BTreeSet<String> =
        told(&home, &["device.deleted"]).await.iter().map(|e| e["device_id"].to_string()).collect();
    assert_eq!(gone, met.iter().map(|d| d["device_id"].to_string()).collect(), "on disk before the answer");
    assert_eq!(types(&told(&home, &ACCOUNT).await).last(), Some(&"deleted"));
    assert_eq!(listed(&home, &["devices"]).await, NOTHING);
    // What stood retained is taken back.
    let mut ghosts = gone;
    while !ghosts.is_empty() {
        let cleared = devices.until(|told| told.payload.is_empty()).await;
        ghosts.remove(&format!("{:?}", cleared.topic.rsplit('/').next().unwrap()));
    }
    daemon.stop();
    let daemon = home.start();
    assert_eq!(listed(&home, &["accounts"]).await, NOTHING, "it stays out");

    let back = verb(&home, &["accounts", "add", &rig.url, "--json"], "").await;
    let back: Value = serde_json::from_str(&back.out).unwrap_or_else(|e| panic!("{e}: {back:?}"));
    assert_eq!(back["connected_account_id"], account["connected_account_id"]);
    assert_eq!(back["display_name"], "zwave-7e570001");
    daemon.stop();
}

/// A hub in this process.
async fn hub(home: &Home) -> Running {
    let text = std::fs::read_to_string(home.config()).unwrap();
    let config = Config::parse(&text, home.path(), HashMap::new()).unwrap();
    Running::start(config, Clock::start()).await.unwrap()
}

fn alone() -> Home {
    Home::new("[mqtt]\nurl = \"mqtt://127.0.0.1:1\"")
}

/// Accepts connections and does with each what `serve` does.
async fn server<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    url
}

/// A WebSocket server that greets so, and then listens.
async fn greets(greeting: Value) -> String {
    server(move |socket| {
        let greeting = greeting.to_string();
        async move {
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            socket.send(Message::text(greeting)).await.unwrap();
            futures_util::StreamExt::for_each(socket, |_| async {}).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_network_to_work_with_is_refused_with_what_to_do_and_not_kept() {
    let (home, broker) = (alone(), Mosquitto::start());
    let hub = hub(&home).await;
    let version = |low: u32, high: u32, home: Value| json!({"type": "version", "serverVersion": "9.9", "minSchemaVersion": low, "maxSchemaVersion": high, "homeId": home});
    let answers = |text: &'static str| {
        server(move |mut socket| async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(text.as_bytes()).await;
        })
    };
    for (url, says) in [
        ("ws://127.0.0.1:1".to_owned(), "is zwave-js-server running"),
        (format!("ws://127.0.0.1:{}", broker.port), "no Z-Wave JS server"),
        (greets(json!({"hello": "world"})).await, "no Z-Wave JS server"),
        (answers("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await, "no Z-Wave JS server"),
        (
            answers("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await,
            "check the username and the password",
        ),
        (greets(version(0, 20, json!(1))).await, "update the server"),
        (greets(version(900, 999, json!(1))).await, "update Portcullis"),
        (greets(version(0, 50, Value::Null)).await, "plug it in"),
        (
            server(|socket| async move { drop((socket, std::future::pending::<()>().await)) }).await,
            "has not answered within",
        ),
        ("http://127.0.0.1:3000".to_owned(), "ws or wss"),
        ("ws://hub:secret@127.0.0.1:3000".to_owned(), "keys of their own"),
    ] {
        let done = verb(&home, &["accounts", "add", &url], "").await;
        assert_eq!(done.code, Some(1), "{url}: {done:?}");
        assert!(done.err.contains(says), "{url}: {}", done.err);
    }
    assert_eq!(listed(&home, &["accounts"]).await, NOTHING);
    hub.stop(true).await;
}

/// Lets those in who say this; when that changes, those who are in are cut off.
async fn guard(bridge: &str, admitted: &watch::Sender<String>) -> String {
    let (bridge, admitted) = (bridge.trim_start_matches("ws://").to_owned(), admitted.subscribe());
    server(move |mut socket| {
        let (bridge, mut admitted) = (bridge.clone(), admitted.clone());
        async move {
            let wanted = format!("Basic {}", admitted.borrow_and_update().clone());
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read_exact(&mut byte).await.is_err() {
                    return;
                }
                head.extend(byte);
            }
            if !String::from_utf8_lossy(&head).contains(&wanted) {
                let _ = socket.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
                return;
            }
            let mut onward = TcpStream::connect(bridge).await.unwrap();
            onward.write_all(&head).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut socket, &mut onward) => {}
                _ = admitted.changed() => {}
            }
        }
    })
    .await
}

/// Whether a text is in any file below.
fn holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => holds(&path, text),
        false => std::fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes())),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_network_is_added_with_its_password_and_connected_anew_when_that_changes() {
    // `hub:first password` and `hub:second password`.
    let admitted = watch::Sender::new("aHViOmZpcnN0IHBhc3N3b3Jk".to_owned());
    let bridge = Bridge::start(1.0).await.unwrap();
    let url = guard(&bridge.url(), &admitted).await;
    let home = alone();
    let hub = hub(&home).await;
    let add = ["accounts", "add", &url, "--username", "hub", "--password-file", "-", "--json"];
    let refused = verb(&home, &add, "second password\n").await;
    assert!(refused.code == Some(1) && refused.err.contains("check the username and the password"), "{refused:?}");
    let added = verb(&home, &add, "first password\n").await;
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(!holds(home.path(), "first password"), "sealed at rest");

    admitted.send_replace("aHViOnNlY29uZCBwYXNzd29yZA==".to_owned());
    let mut head = hub.store.head();
    let lost = async {
        while !told(&home, &["connected_account.disconnected"])
            .await
            .iter()
            .any(|e| e["connected_account_errors"][0]["error_code"] == "account_disconnected")
        {
            head.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, lost).await.expect("it is told that we are refused");
    let again = verb(&home, &add, "second password").await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let of_account = told(&home, &ACCOUNT).await;
    let connected_anew = ["created", "connected", "successful_login", "disconnected", "connected", "successful_login"];
    assert_eq!(types(&of_account), connected_anew);
    assert_ne!(of_account[2]["connect_webview_id"], of_account[5]["connect_webview_id"]);
    hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_has_is_its_own_to_change() {
    let bridge = Bridge::start(1.0).await.unwrap();
    let home = Home::new(&format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[[zwave]]\nname = \"main\"\nurl = {:?}",
        bridge.url()
    ));
    let hub = hub(&home).await;
    let mut head = hub.store.head();
    let there = async {
        while !listed(&home, &["accounts"]).await.iter().any(|a| a["display_name"] == "main") {
            head.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, there).await.expect("the network is met");
    let removed = verb(&home, &["accounts", "remove", "main"], "").await;
    assert!(removed.code == Some(1) && removed.err.contains("take it out, and reload"), "{removed:?}");
    let another = Bridge::start(1.0).await.unwrap();
    let added = verb(&home, &["accounts", "add", &another.url()], "").await;
    assert!(added.code == Some(1) && added.err.contains("connected already, as \"main\""), "{added:?}");
    assert_eq!(listed(&home, &["accounts"]).await.len(), 1);
    hub.stop(true).await;
}
