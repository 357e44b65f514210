//! The control socket and the verbs that talk through it: the same answers from a running hub and from its files.

#[path = "support/unit.rs"]
mod unit;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::hub::{Command as Ask, Input};
use portcullis::service::Running;
use portcullis::signal::{Address, DeviceKey, Link, LockState, Method, Report, Signal};
use serde_json::Value;
use unit::Home;

const LOCK: Address = Address([0xC0, 0xFF, 0xEE, 0, 0, 1]);
const STRANGER: Address = Address([0xC0, 0xFF, 0xEE, 0, 0, 2]);

/// A hub in this process, on `home`'s configuration, so that a test can say what its sources heard.
async fn hub(home: &Home) -> Running {
    let text = std::fs::read_to_string(home.config()).unwrap();
    let config = Config::parse(&text, home.path(), HashMap::new()).unwrap();
    Running::start(config, Clock::start()).await.unwrap()
}

fn home() -> Home {
    Home::new(
        "[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nname = \"Front door\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"",
    )
}

async fn hear(hub: &Running, address: Address, signals: Vec<Signal>) {
    let report = Report {
        device: DeviceKey::Ble(address),
        link: Link::Adapter("hci0".into()),
        rssi: Some(-60),
        name: None,
        family: "bthome_v2",
        irregular: false,
        counter: None,
        occurred_at: None,
        signals,
    };
    hub.hand.inputs().send(Input::Report(report)).await.unwrap();
}

async fn operate(hub: &Running, locked: bool) {
    hear(hub, LOCK, vec![Signal::LockOperation { locked, method: Method::Manual, user: None }]).await;
}

/// Waits until so many events are on disk.
async fn events(hub: &Running, n: u64) {
    let mut head = hub.store.head();
    let there = head.wait_for(|head| head.seq >= n);
    tokio::time::timeout(Duration::from_secs(10), there).await.expect("events in time").expect("a store that runs");
}

/// A verb, beside the hub that runs in this process.
async fn verb(home: &Home, arguments: &[&str]) -> unit::Done {
    let mut command = home.command(arguments);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the binary is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    unit::Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_and_fetched_alike_from_a_running_hub_and_from_a_stopped_one() {
    let home = home();
    let hub = hub(&home).await;
    operate(&hub, true).await;
    operate(&hub, false).await;
    events(&hub, 3).await;
    let list = &["events", "list", "--json", "--type", "lock.locked", "--type", "lock.unlocked"];
    let running = verb(&home, list).await;
    assert_eq!(running.code, Some(0), "{}", running.err);
    let types: Vec<Value> = lines(&running.out).iter().map(|e| e["event_type"].clone()).collect();
    assert_eq!(types, ["lock.locked", "lock.unlocked"]);
    let last = verb(&home, &["events", "list", "--json", "--limit", "1"]).await;
    assert_eq!(lines(&last.out)[0]["event_type"], "lock.unlocked", "the last one, not the first");
    let id = lines(&last.out)[0]["event_id"].as_str().unwrap().to_owned();
    let get = &["events", "get", &id, "--json"];
    let got = verb(&home, get).await;
    assert_eq!(lines(&got.out), lines(&last.out));
    let unknown = verb(&home, &["events", "get", "018f6b0a-0000-7000-8000-00000000000a"]).await;
    assert_eq!(unknown.code, Some(1));

    hub.stop(true).await;
    assert_eq!(verb(&home, list).await.out, running.out);
    assert_eq!(verb(&home, get).await.out, got.out);
    let tail = verb(&home, &["events", "tail"]).await;
    assert_eq!(tail.code, Some(1));
    assert!(tail.err.contains("systemctl start portcullis"), "{}", tail.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_shows_events_as_they_come_and_only_those_asked_for() {
    let home = home();
    let hub = hub(&home).await;
    let mut command = home.command(&["events", "tail", "--json", "--type", "lock.unlocked", "--limit", "2"]);
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(tail.stdout.take().unwrap());
    let told = tokio::task::spawn_blocking(move || out.lines().map_while(Result::ok).collect::<Vec<String>>());
    // It follows from when it is connected; nobody says when that is, so the door keeps moving until it has seen enough.
    while !told.is_finished() {
        operate(&hub, true).await;
        operate(&hub, false).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = lines(&told.await.unwrap().join("\n"));
    assert!(tail.wait().unwrap().success());
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|e| e["event_type"] == "lock.unlocked"), "{told:?}");
    assert_ne!(told[0]["event_id"], told[1]["event_id"]);
    hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_accounts_are_shown_alike_running_and_stopped() {
    let home = home();
    let hub = hub(&home).await;
    hear(&hub, LOCK, vec![Signal::Lock(LockState::Locked), Signal::Battery { percent: 85 }]).await;
    events(&hub, 1).await;
    let devices = &["devices", "--json"];
    // The lock's state is told by a row, which may come a moment after the first event.
    let running = loop {
        let done = verb(&home, devices).await;
        let devices: Value = serde_json::from_str(&done.out).expect("JSON");
        if devices[0]["properties"]["battery_level"] == 0.85 {
            break devices;
        }
    };
    let lock = &running[0];
    assert_eq!(lock["device_id"], DeviceKey::Ble(LOCK).device_id(0).to_string());
    assert_eq!(lock["properties"]["name"], "Front door");
    assert_eq!(lock["properties"]["online"], true);
    assert_eq!(lock["is_managed"], true);
    let text = verb(&home, &["devices"]).await.out;
    assert!(text.contains("Front door") && text.contains("85 %"), "{text}");
    let accounts = verb(&home, &["accounts", "--json"]).await.out;
    assert_eq!(serde_json::from_str::<Value>(&accounts).unwrap()[0]["account_type"], "ble");
    let explained = verb(&home, &["devices", "--explain", lock["device_id"].as_str().unwrap(), "--json"]).await;
    assert!(explained.out.contains("\"presence\""), "{explained:?}");

    hub.stop(true).await;
    assert_eq!(serde_json::from_str::<Value>(&verb(&home, devices).await.out).unwrap(), running);
    assert_eq!(verb(&home, &["accounts", "--json"]).await.out, accounts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_adopted_released_and_deleted_by_command_and_each_is_told() {
    let home = Home::new("[adopt]\nble = \"known\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"");
    let hub = hub(&home).await;
    hear(&hub, LOCK, vec![]).await;
    events(&hub, 1).await;
    let id = DeviceKey::Ble(LOCK).device_id(0).to_string();
    for (arguments, event_type) in [
        (vec!["release", &id], "device.converted_to_unmanaged"),
        (vec!["adopt", &id, "--name", "Back door"], "device.unmanaged.converted_to_managed"),
        (vec!["delete", &id], "device.deleted"),
    ] {
        let done = verb(&home, &arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
        let told = verb(&home, &["events", "list", "--json", "--type", event_type]).await;
        assert_eq!(lines(&told.out).len(), 1, "{event_type}: on disk before the answer");
    }
    let nobody = DeviceKey::Ble(STRANGER).device_id(0).to_string();
    let done = verb(&home, &["adopt", &nobody]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains(&nobody), "{}", done.err);
    hub.stop(true).await;
}

/// One request as it stands; status line and headers, and the body.
fn ask(socket: &Path, request: &str) -> (String, Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{}Host: hub\r\nConnection: close\r\n\r\n", request.replace('\n', "\r\n")).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}")))
}

#[test]
fn every_answer_has_seams_envelope() {
    let home = home();
    let daemon = home.start();
    let socket = home.state().join("control.sock");
    let cases = [
        ("GET /health HTTP/1.1\n", 200, "health"),
        ("GET /events/list?since=2020-01-01T00%3A00%3A00Z&_strict=true HTTP/1.1\n", 200, "events"),
        ("GET /devices/list?_strict=true HTTP/1.1\n", 200, "devices"),
        ("GET /connected_accounts/list HTTP/1.1\n", 200, "connected_accounts"),
        ("GET /events/list HTTP/1.1\n", 400, "invalid_input"),
        ("GET /events/list?device_id=x HTTP/1.1\n", 400, "invalid_input"),
        ("GET /events/list?event_type=lock.exploded HTTP/1.1\n", 400, "invalid_event_types"),
        ("GET /events/list?since=a&since=b HTTP/1.1\n", 400, "invalid_query_params"),
        ("GET /devices/get?device_id=018f6b0a-0000-7000-8000-00000000000a HTTP/1.1\n", 404, "device_not_found"),
        ("GET /events/get?event_id=018f6b0a-0000-7000-8000-00000000000a HTTP/1.1\n", 404, "event_not_found"),
        ("GET /nowhere HTTP/1.1\n", 404, "not_found"),
        ("GET /devices/delete?device_id=018f6b0a-0000-7000-8000-00000000000a HTTP/1.1\n", 405, "method_not_allowed"),
    ];
    let mut ids = std::collections::HashSet::new();
    for (request, status, word) in cases {
        let (head, body) = ask(&socket, request);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{request}{head}");
        let id = head.lines().find_map(|l| l.strip_prefix("seam-request-id: ")).expect("a request id");
        assert!(ids.insert(id.to_owned()), "a request id twice");
        assert_eq!(body["ok"], status == 200, "{body}");
        match status {
            200 => assert!(body.get(word).is_some(), "{request}{body}"),
            _ => {
                assert_eq!(body["error"]["type"], word, "{request}{body}");
                assert!(!body["error"]["message"].as_str().unwrap().is_empty());
            }
        }
    }
    let (_, body) = ask(&socket, "GET /events/list HTTP/1.1\n");
    assert!(body["error"]["validation_errors"]["_errors"][0].is_string(), "{body}");
    let (_, body) = ask(&socket, "GET /events/list?event_ids=x HTTP/1.1\n");
    assert!(body["error"]["validation_errors"]["event_ids"]["_errors"][0].is_string(), "{body}");
    let (_, body) = ask(&socket, "GET /events/list?device_id=x HTTP/1.1\n");
    assert!(body["error"]["validation_errors"]["device_id"]["_errors"][0].is_string(), "{body}");
    drop(daemon);
}

#[test]
fn someone_else_on_the_machine_gets_no_answer_even_where_the_files_mode_is_too_open() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("needs root to be somebody else: not run");
        return;
    }
    let home = home();
    let daemon = home.start();
    // Somebody else must be able to run the program, to read the configuration, and to reach the socket at all.
    let program = home.path().join("portcullis");
    std::fs::copy(env!("CARGO_BIN_EXE_portcullis"), &program).unwrap();
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(home.path(), 0o755);
    open(&program, 0o755);
    open(&home.config(), 0o644);
    let as_nobody = || {
        let mut command = Command::new(&program);
        command
            .args(["accounts", "--config"])
            .arg(home.config())
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .stdin(Stdio::null());
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, err) = as_nobody();
    assert_eq!(code, Some(1));
    assert!(err.contains("adduser YOU portcullis"), "{err}");
    open(&home.state(), 0o755);
    open(&home.state().join("control.sock"), 0o666);
    let (code, err) = as_nobody();
    assert_eq!(code, Some(1));
    assert!(err.contains("only root, the hub's own user and members of the group portcullis"), "{err}");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_are_turned_away_are_counted_in_the_health() {
    let home = home();
    let hub = hub(&home).await;
    // The candidates that a hub keeps, and one more.
    for n in 0..1025u16 {
        let [high, low] = n.to_be_bytes();
        hear(&hub, Address([0xC2, 0, 0, 0, high, low]), Vec::new()).await;
    }
    // Answered after all that was handed over before.
    let _ = hub.hand.command(Ask::Delete { device_id: uuid::Uuid::nil() }).await;
    assert_eq!(hub.health.hub.strangers_refused.load(std::sync::atomic::Ordering::Relaxed), 1);
    hub.stop(true).await;
}
