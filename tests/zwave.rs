//! The whole path on Z-Wave: emulated nodes under the real zwave-js driver and server, the real `portcullis run`, a real Mosquitto, and
//! what a subscriber there is told. Exactly the events that should be, none twice.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/logs.rs"]
mod logs;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/zwave.rs"]
mod zwave;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daemon::Daemon;
use mosquitto::Mosquitto;
use portcullis::hub::RowKind;
use portcullis::signal::DeviceKey;
use portcullis::store::Reader;
use serde_json::{Value, json};
use subscriber::Subscriber;
use tempfile::TempDir;
use zwave::Rig;

const HOME: u32 = 0x7e57_0001;
const NODES: [u16; 6] = [2, 3, 4, 5, 6, 7];
/// The longest that an event may take here: a driver that was killed early reads its whole network again, on two busy cores. Shorter
/// than the subscriber's own.
const PATIENCE: Duration = Duration::from_secs(170);

struct House {
    rig: Rig,
    broker: Mosquitto,
    told: Subscriber,
    daemon: Option<Daemon>,
    dir: TempDir,
    nodes: BTreeMap<String, u16>,
    /// Node 6 wakes now and then: a driver that was killed may have to read it again, and it only lets itself be read when it wakes.
    sleeper_wakes: bool,
    /// All that was told, as `NODE TYPE DETAIL`.
    log: Vec<String>,
}

impl House {
    /// Everything up, and its first events told.
    async fn new(rig: Rig) -> House {
        let broker = Mosquitto::start();
        let told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
        let nodes = NODES.map(|node| (DeviceKey::Zwave { home: HOME, node }.device_id(0).to_string(), node)).into();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut house = House { rig, broker, told, daemon: None, dir, nodes, sleeper_wakes: false, log: Vec::new() };
        house.start_daemon();
        let account = ["created", "connected", "completed_first_sync"].map(|t| format!("- connected_account.{t}"));
        let met = NODES.map(|node| ["added", "connected"].map(|t| format!("{node} device.{t}")));
        house.expect_in_any_order(account.into_iter().chain(met.into_iter().flatten())).await;
        house
    }

    fn start_daemon(&mut self) {
        let config = format!(
            "[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[[zwave]]\nname = \"main\"\nurl = \"{}\"\n",
            self.broker.port, self.rig.url
        );
        self.daemon = Some(Daemon::start(self.dir.path(), &config));
    }

    /// A device as the stopped daemon has left it on disk: readings that are told to nobody are written then.
    fn row(&mut self, node: u16) -> Value {
        assert!(self.daemon.take().expect("it runs").stop());
        let id = DeviceKey::Zwave { home: HOME, node }.device_id(0).to_string();
        let rows = Reader::open(&self.dir.path().join("state")).and_then(|store| store.state()).expect("a store");
        let row = rows.into_iter().find(|row| row.kind == RowKind::Device && row.key == id);
        row.and_then(|row| row.value).expect("the device is known")
    }

    /// The next event, in short.
    async fn next(&mut self) -> String {
        let mut wakes = tokio::time::interval(Duration::from_secs(3));
        let told = tokio::time::timeout(PATIENCE, async {
            loop {
                tokio::select! {
                    told = self.told.next() => break told,
                    _ = wakes.tick(), if self.sleeper_wakes => self.rig.node(6, "wake", json!({})).await,
                }
            }
        });
        let Ok(told) = told.await else {
            let said = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            panic!("nothing more is told after {:#?}; the daemon says\n{said}", self.log);
        };
        let event = told.json();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let node = self.nodes.get(&text("device_id")).map_or("-".into(), u16::to_string);
        let details = ["method", "error_code", "battery_status"].map(text);
        let reason = event["reason"]["reason_code"].as_str().unwrap_or_default().to_owned();
        let level = event["battery_level"].as_f64().map(|l| l.to_string()).unwrap_or_default();
        let words = [node, text("event_type")].into_iter().chain(details).chain([reason, level]);
        let line = words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        self.log.push(line.clone());
        line
    }

    async fn expect(&mut self, step: &str, expected: &[&str]) {
        for expected in expected {
            assert_eq!(&self.next().await, expected, "at {step:?} after {:#?}", self.log);
        }
    }

    async fn expect_in_any_order(&mut self, expected: impl IntoIterator<Item = String>) {
        let mut expected: BTreeSet<String> = expected.into_iter().collect();
        while !expected.is_empty() {
            let line = self.next().await;
            assert!(expected.remove(&line), "{line:?} is not among {expected:#?} after {:#?}", self.log);
        }
    }

    /// Nothing more is to come: proved by an event that is told later than anything that is still under way could be (a state without
    /// an operation, which waits for one).
    async fn nothing_more(&mut self) {
        let drift = |locked: bool| json!({"name": if locked { "manual_lock" } else { "manual_unlock" }, "order": "no notification"});
        self.rig.node(7, "operate", drift(false)).await;
        self.expect("the end", &["7 lock.unlocked unknown"]).await;
        self.rig.node(7, "operate", drift(true)).await;
        self.expect("the end", &["7 lock.locked unknown"]).await;
    }
}

/// A step of a scenario: what happens to which node, and what is told of it.
type Step = (&'static str, u16, &'static str, Value, &'static [&'static str]);

fn operate(step: &'static str, node: u16, options: Value, told: &'static [&'static str]) -> Step {
    (step, node, "operate", options, told)
}

fn notify(step: &'static str, kind: u16, event: u16, told: &'static [&'static str]) -> Step {
    (step, 2, "notify", json!({"type": kind, "event": event}), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stimulus_is_told_as_exactly_the_events_that_it_should() {
    let mut house = House::new(Rig::start().await).await;
    let steps: Vec<Step> = vec![
        operate("by user 3", 2, json!({"name": "keypad_unlock", "user": 3}), &["2 lock.unlocked keycode"]),
        operate("relocks", 2, json!({"name": "auto_lock"}), &["2 lock.locked automatic"]),
        operate("by hand", 2, json!({"name": "manual_unlock"}), &["2 lock.unlocked manual"]),
        operate("by hand", 2, json!({"name": "manual_lock"}), &["2 lock.locked manual"]),
        operate("another's command", 2, json!({"name": "rf_unlock"}), &["2 lock.unlocked unknown"]),
        operate("value first", 2, json!({"name": "rf_lock", "order": "value first"}), &["2 lock.locked unknown"]),
        operate(
            "a bare user number, no state report",
            2,
            json!({"name": "keypad_unlock", "user": 4, "short": true, "order": "no value"}),
            &["2 lock.unlocked keycode"],
        ),
        operate(
            "a frame sent three times",
            2,
            json!({"name": "keypad_lock", "user": 5, "repeat": 3, "sequence": 7}),
            &["2 lock.locked keycode"],
        ),
        operate(
            "a state without its operation",
            2,
            json!({"name": "manual_unlock", "order": "no notification"}),
            &["2 lock.unlocked unknown"],
        ),
        operate(
            "a credential",
            3,
            json!({"name": "credential_unlock", "user": 2, "short": true}),
            &["3 lock.unlocked keycode"],
        ),
        operate(
            "and it locks",
            3,
            json!({"name": "credential_lock", "user": 2, "short": true}),
            &["3 lock.locked keycode"],
        ),
        notify("jammed is a state", 6, 0x0b, &[]),
        notify("and stays one", 6, 0x0b, &[]),
        operate("free again", 2, json!({"name": "manual_lock"}), &["2 lock.locked manual"]),
        notify("too many codes", 6, 0x13, &["2 lock.access_denied too_many_attempts"]),
        notify("a wrong code by radio", 6, 0x14, &["2 lock.access_denied unknown_code"]),
        notify("keypad disabled", 6, 0x10, &["2 lock.access_denied too_many_attempts"]),
        notify("and still", 6, 0x10, &[]),
        notify("a wrong code", 7, 0x04, &["2 lock.access_denied unknown_code"]),
        notify("cover off", 7, 0x03, &["2 device.tampered"]),
        notify("and still", 7, 0x03, &[]),
        ("cover on", 2, "notify", json!({"type": 7, "event": 0, "parameters": [3]}), &[]),
        notify("moved", 7, 0x09, &["2 device.tampered"]),
        (
            "the battery falls",
            2,
            "battery",
            json!({"level": 15}),
            &["2 device.battery_status_changed low", "2 device.low_battery 0.15"],
        ),
        ("low once more", 2, "battery", json!({"level": 14}), &[]),
        (
            "low without a level",
            3,
            "battery",
            json!({"low": true, "replace": 1}),
            &["3 device.battery_status_changed low", "3 device.low_battery 0.2"],
        ),
        ("an alarm of version 1", 7, "alarm", json!({"type": 19, "level": 3}), &["7 lock.unlocked keycode"]),
        ("and its opposite", 7, "alarm", json!({"type": 21, "level": 1}), &["7 lock.locked manual"]),
        ("a door opens", 6, "notify", json!({"type": 6, "event": 22}), &[]),
        ("a code is typed", 4, "entry", json!({"event": 2, "digits": "1234"}), &[]),
        ("the bell", 4, "entry", json!({"event": 15}), &["4 device.doorbell_rang"]),
        ("it wakes", 6, "wake", json!({}), &[]),
        ("it is loud", 5, "sensor", json!({"type": 30, "value": 71}), &[]),
        ("it is warm", 5, "sensor", json!({"type": 1, "value": 24.5}), &[]),
    ];
    for (step, node, stimulus, options, told) in steps {
        house.rig.node(node, stimulus, options).await;
        house.expect(step, told).await;
    }
    house.nothing_more().await;
    let sensor = house.row(5);
    assert_eq!((&sensor["noise_level_decibels"], &sensor["measured"]["temperature_c"]), (&json!(71.0), &json!(24.5)));
    // Whatever was typed and programmed: no digits in what the daemon says of itself.
    let log = std::fs::read_to_string(house.dir.path().join("log")).expect("a log");
    assert!(!log.contains("1234"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_killed_and_restarted_and_a_daemon_restarted_tell_each_what_was_missed_once() {
    let mut house = House::new(Rig::start().await).await;

    // The bridge is killed; the lock is used meanwhile.
    house.rig.kill_bridge().await;
    let lost = NODES.map(|node| format!("{node} device.disconnected hub_disconnected"));
    house.expect_in_any_order([String::from("- connected_account.disconnected")].into_iter().chain(lost)).await;
    house.rig.node(2, "drift", json!({"locked": false})).await;
    house.rig.start_bridge().await;
    house.sleeper_wakes = true;
    let back = NODES.map(|node| format!("{node} device.connected"));
    let account = ["connected", "completed_first_sync_after_reconnection"].map(|t| format!("- connected_account.{t}"));
    let missed = [String::from("2 lock.unlocked unknown")];
    house.expect_in_any_order(back.into_iter().chain(account).chain(missed)).await;
    house.sleeper_wakes = false;
    house.nothing_more().await;

    // The daemon is stopped; two locks are used meanwhile, one there and back.
    assert!(house.daemon.take().expect("it runs").stop());
    house.rig.operate(2, "keypad_lock").await;
    house.rig.operate(3, "keypad_unlock").await;
    house.rig.operate(3, "auto_lock").await;
    house.rig.settle().await;
    house.start_daemon();
    house.expect("after the daemon's restart", &["2 lock.locked unknown"]).await;
    house.nothing_more().await;

    // A node dies alone, and is back.
    house.rig.node(2, "die", json!({})).await;
    house.rig.ask(json!({"command": "node.ping", "nodeId": 2})).await;
    house.expect("dead", &["2 device.disconnected device_disconnected"]).await;
    house.rig.node(2, "revive", json!({})).await;
    house.rig.operate(2, "manual_unlock").await;
    house.expect("alive", &["2 device.connected", "2 lock.unlocked manual"]).await;

    // A node is reset.
    house.rig.node(3, "reset", json!({})).await;
    house.expect("reset", &["3 device.removed"]).await;
    house.nothing_more().await;
}
