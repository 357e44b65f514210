//! What is announced to Home Assistant: against its schemas, against a real broker, and (`make test-home-assistant`) against Home
//! Assistant's own MQTT integration, which makes its entities of it.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use delivery::{Publisher, append, device};
use mosquitto::Mosquitto;
use portcullis::event::{Details, Event, EventType};
use portcullis::hub::{DeviceView, Row, RowKind};
use portcullis::sink::mqtt::Topics;
use portcullis::sink::mqtt::home_assistant::{BIRTH_TOPIC, entities};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::{Value, json};
use subscriber::{PATIENCE, Subscriber};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A lock that can be asked to move, knows everything, and has said it.
fn front_door() -> Value {
    json!({
        "device_id": device(0), "connected_account_id": uuid::Uuid::from_u128(2), "key": "zwave:7e570001:2", "name": "Front door",
        "is_managed": true, "online": true, "errors": [], "warnings": [], "kind": "lock", "manufacturer": "Acme", "model": "L1",
        "firmware": "1.2", "battery": {"level": 0.8, "status": "good"}, "locked": true, "lock_state": "locked", "door_open": false,
        "tampered": false, "noise_level_decibels": 41.5, "can_lock": true,
    })
}

fn row(value: Value) -> Row {
    Row { kind: RowKind::Device, key: value["device_id"].as_str().unwrap().to_owned(), value: Some(value) }
}

fn with(mut value: Value, key: &str, other: Value) -> Value {
    value[key] = other;
    value
}

fn announced(value: &Value, commands: bool) -> Vec<(String, Value)> {
    let view: DeviceView = serde_json::from_value(value.clone()).unwrap();
    let configs = entities(&Topics::new("portcullis", "hub-1"), &view, commands);
    configs.into_iter().map(|(topic, config)| (topic, serde_json::from_slice(&config).unwrap())).collect()
}

/// `sensor/battery` of `homeassistant/sensor/{…}/battery/config`.
fn short(topic: &str) -> String {
    let levels: Vec<&str> = topic.split('/').collect();
    format!("{}/{}", levels[1], levels[3])
}

#[test]
fn every_entity_of_the_issue_is_announced_and_only_for_what_the_device_has() {
    let names = |value: &Value, commands| announced(value, commands).iter().map(|(t, _)| short(t)).collect::<Vec<_>>();
    assert_eq!(
        names(&front_door(), true),
        [
            "binary_sensor/connectivity",
            "binary_sensor/door",
            "binary_sensor/tamper",
            "event/event",
            "lock/lock",
            "sensor/battery",
            "sensor/noise"
        ]
    );
    assert!(
        names(&front_door(), false).contains(&"binary_sensor/bolt".to_owned()),
        "a lock that nobody may ask to move"
    );
    let plain = json!({"device_id": device(1), "connected_account_id": uuid::Uuid::from_u128(2), "key": "ble:C0:FF:EE:00:00:01",
        "name": "Thing", "is_managed": true, "online": false, "errors": [], "warnings": []});
    assert_eq!(names(&plain, true), ["binary_sensor/connectivity", "event/event"]);
    assert_eq!(names(&with(plain, "is_managed", false.into()), true), [""; 0], "a neighbour's");
}

#[test]
fn every_announcement_keeps_to_home_assistants_schemas() {
    let schema: Value = serde_json::from_str(include_str!("data/home_assistant.json")).unwrap();
    let list = |value: &Value| -> BTreeSet<String> {
        value.as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned()).collect()
    };
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let low = with(front_door(), "battery", json!({"status": "low"}));
    let mut ids = BTreeSet::new();
    for (value, commands) in [(front_door(), true), (front_door(), false), (low, false)] {
        for (topic, config) in announced(&value, commands) {
            let component = &schema[topic.split('/').nth(1).unwrap()];
            let used = keys(&config);
            assert!(
                used.is_subset(&list(&component["keys"])),
                "{topic}: {:?}",
                used.difference(&list(&component["keys"]))
            );
            assert!(list(&component["required"]).is_subset(&used), "{topic}");
            assert!(keys(&config["device"]).is_subset(&list(&schema["device"])), "{topic}");
            assert!(keys(&config["origin"]).is_subset(&list(&schema["origin"])), "{topic}");
            if let Some(class) = config["device_class"].as_str() {
                assert!(list(&component["device_classes"]).contains(class), "{topic}: {class}");
            }
            assert!(
                topic.split('/').all(|l| l.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))),
                "{topic}"
            );
            ids.insert((topic, config["unique_id"].as_str().unwrap().to_owned()));
        }
    }
    let unique: BTreeSet<&String> = ids.iter().map(|(_, id)| id).collect();
    assert_eq!(unique.len(), ids.len(), "each entity has an id of its own");
}

fn announcing(port: u16, on: bool) -> Publisher {
    Publisher::new(&format!("mqtt://127.0.0.1:{port}"), |c| {
        c.mqtt.home_assistant = on;
        c.mqtt.commands = on;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_announced_unless_it_is_asked_for_and_what_was_is_taken_away() {
    let broker = Mosquitto::start();
    let mut publisher = announcing(broker.port, true);
    append(&publisher.store, Vec::new(), vec![row(front_door())]).await;
    let mut told = Subscriber::new(broker.port, "homeassistant/#").await;
    publisher.start();
    for _ in 0..7 {
        assert!(!told.next().await.payload.is_empty());
    }
    publisher.stop().await;
    publisher.store.flush().await.unwrap();
    publisher.settings.home_assistant = false;
    publisher.start();
    for _ in 0..7 {
        assert!(told.next().await.payload.is_empty());
    }
    assert!(Subscriber::new(broker.port, "homeassistant/#").await.so_far().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_a_device_loses_and_a_device_that_goes_leave_no_ghost() {
    let broker = Mosquitto::start();
    let mut publisher = announcing(broker.port, true);
    let mut told = Subscriber::new(broker.port, "homeassistant/#").await;
    publisher.start();
    append(&publisher.store, Vec::new(), vec![row(front_door())]).await;
    told.until(|m| m.topic.contains("/noise/")).await;
    let mut deaf = front_door();
    deaf.as_object_mut().unwrap().remove("noise_level_decibels");
    append(&publisher.store, Vec::new(), vec![row(deaf.clone())]).await;
    let gone = told.until(|m| m.payload.is_empty()).await;
    assert!(gone.topic.contains("/noise/"), "{}", gone.topic);
    append(&publisher.store, Vec::new(), vec![row(with(deaf, "is_managed", false.into()))]).await;
    for _ in 0..6 {
        assert!(told.next().await.payload.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_said_again_when_home_assistant_starts() {
    let broker = Mosquitto::start();
    let mut publisher = announcing(broker.port, true);
    append(&publisher.store, Vec::new(), vec![row(front_door())]).await;
    let mut told = Subscriber::new(broker.port, "homeassistant/+/+/connectivity/config").await;
    let mut devices = Subscriber::new(broker.port, "portcullis/hub-1/device/+").await;
    publisher.start();
    let first = told.next().await;
    devices.next().await;
    let (client, mut events) = AsyncClient::new(MqttOptions::new("home-assistant", "127.0.0.1", broker.port), 4);
    client.publish(BIRTH_TOPIC, QoS::AtLeastOnce, false, "online").await.unwrap();
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    assert_eq!(told.next().await.payload, first.payload);
    devices.next().await;
}

/// Home Assistant's MQTT integration on a broker: see tests/home_assistant/watch.py.
struct HomeAssistant {
    _child: Child,
    requests: ChildStdin,
    answers: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl HomeAssistant {
    async fn start(port: u16) -> HomeAssistant {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join(".tools/home-assistant/bin/python"))
            .arg(root.join("tests/home_assistant/watch.py"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Home Assistant is installed (make test-home-assistant)");
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut started = HomeAssistant { _child: child, requests, answers };
        assert_eq!(started.answer().await, json!({"ready": true}));
        started
    }

    async fn answer(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await.expect("in time").unwrap();
        serde_json::from_str(&line.expect("it lives")).unwrap()
    }

    async fn ask(&mut self, request: Value) -> Value {
        self.requests.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        self.answer().await
    }

    /// The states by the end of their ids, once `holds` of them.
    async fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        let mut states = Value::Null;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            let all = self.ask(json!({"states": true})).await;
            let ours = all.as_object().unwrap().iter().filter_map(|(_, entity)| {
                let id = entity["unique_id"].as_str()?;
                Some((id.rsplit('_').next()?.to_owned(), entity.clone()))
            });
            states = ours.collect();
            if holds(&states) {
                return states;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{states:#} {}", self.ask(json!({"log": true})).await);
    }
}

fn told(event_type: EventType, details: Details) -> Event {
    Event { event_type, device_id: Some(device(0)), details, ..delivery::event(0) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs Home Assistant: make test-home-assistant"]
async fn home_assistant_makes_entities_of_it_that_show_how_the_device_is() {
    let broker = Mosquitto::start();
    let mut publisher = announcing(broker.port, true);
    append(&publisher.store, Vec::new(), vec![row(front_door())]).await;
    publisher.start();
    let mut home = HomeAssistant::start(broker.port).await;
    let is = |states: &Value, id: &str, state: &str| states[id]["state"] == state;
    let states = home.until(|s| is(s, "noise", "41.5") && is(s, "lock", "locked")).await;
    for (id, state) in [
        ("connectivity", "on"),
        ("battery", "80"),
        ("tamper", "off"),
        ("door", "off"),
        ("lock", "locked"),
        ("event", "unknown"),
    ] {
        assert!(is(&states, id, state), "{id}: {}", states[id]);
        assert_eq!(states[id]["device"], "Front door");
    }

    // The device changes.
    let mut open = front_door();
    for (key, value) in [
        ("locked", json!(false)),
        ("door_open", json!(true)),
        ("tampered", json!(true)),
        ("lock_state", json!("unlocked")),
    ] {
        open[key] = value;
    }
    append(&publisher.store, Vec::new(), vec![row(open.clone())]).await;
    home.until(|s| is(s, "lock", "unlocked") && is(s, "door", "on") && is(s, "tamper", "on")).await;
    append(&publisher.store, Vec::new(), vec![row(with(open.clone(), "lock_state", "jammed".into()))]).await;
    home.until(|s| is(s, "lock", "jammed")).await;

    // An event, without the digits that it carries.
    let details = Details { code: Some(portcullis::signal::Secret::new("4711")), ..Details::default() };
    append(&publisher.store, vec![told(EventType::AccessCodeSetOnDevice, details)], Vec::new()).await;
    let states = home.until(|s| s["event"]["attributes"]["event_type"] == "access_code.set_on_device").await;
    assert!(states["event"]["attributes"]["event_id"].is_string(), "{}", states["event"]);
    assert!(!states.to_string().contains("4711"), "{}", states["event"]);

    // Its lock is a command of ours, whole and fresh.
    let mut commands = Subscriber::new(broker.port, "portcullis/hub-1/command/#").await;
    append(&publisher.store, Vec::new(), vec![row(front_door())]).await;
    let states = home.ask(json!({"states": true})).await;
    let lock = states.as_object().unwrap().keys().find(|id| id.starts_with("lock.")).unwrap().clone();
    for (service, locked) in [("lock.unlock", false), ("lock.lock", true)] {
        home.ask(json!({"call": service, "entity_id": lock})).await;
        let message = commands.next().await;
        assert_eq!(message.topic, "portcullis/hub-1/command/set_lock");
        let now = portcullis::time::Wall::from(chrono::Utc::now());
        let request = portcullis::sink::mqtt::command::read("set_lock", &message.payload, now);
        let command = portcullis::hub::Command::Lock { device_id: device(0), lock: locked };
        let wish = portcullis::sink::mqtt::command::Wish::Hub(command);
        assert_eq!(request.map(|r| r.wish), Ok(wish), "{}", message.text());
    }

    // The device goes silent, the hub goes, the device is removed.
    append(&publisher.store, Vec::new(), vec![row(with(front_door(), "online", false.into()))]).await;
    home.until(|s| is(s, "connectivity", "off") && is(s, "lock", "unavailable") && !is(s, "event", "unavailable"))
        .await;
    publisher.stop().await;
    home.until(|s| is(s, "connectivity", "unavailable") && is(s, "event", "unavailable")).await;
    publisher.start();
    home.until(|s| is(s, "connectivity", "off")).await;
    append(&publisher.store, Vec::new(), vec![Row { value: None, ..row(front_door()) }]).await;
    home.until(|s| s.as_object().is_some_and(|all| all.is_empty())).await;
    assert_eq!(home.ask(json!({"log": true})).await, json!([]), "it complains of nothing");
}
