//! Commands over a real Mosquitto to a hub with Z-Wave locks: each is done once and answered, or refused with a reason.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use mosquitto::Mosquitto;
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::event::EventType;
use portcullis::hub::RowKind;
use portcullis::service::Running;
use portcullis::sink::mqtt::command::PART;
use portcullis::source::demo::bridge::Bridge;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::{Value, json};
use subscriber::{PATIENCE, Subscriber};
use tempfile::TempDir;
use uuid::Uuid;

/// A hub in this process, and somebody who commands it over the broker.
struct Rig {
    broker: Mosquitto,
    bridge: Bridge,
    dir: TempDir,
    hub: Option<Running>,
    answers: Subscriber,
    client: AsyncClient,
}

impl Rig {
    async fn new() -> Rig {
        let broker = Mosquitto::start();
        let bridge = Bridge::start(10.0).await.unwrap();
        let answers = Subscriber::new(broker.port, "answers/#").await;
        let (client, mut events) = AsyncClient::new(MqttOptions::new("commander", "127.0.0.1", broker.port), 16);
        tokio::spawn(async move { while events.poll().await.is_ok() {} });
        Rig { broker, bridge, dir: tempfile::tempdir().unwrap(), hub: None, answers, client }
    }

    /// With a hub that takes commands, in MQTT 5.
    async fn started() -> Rig {
        let mut rig = Rig::new().await;
        rig.start("commands = true").await;
        rig
    }

    async fn start(&mut self, mqtt: &str) {
        let text = format!(
            "[ble]\nenabled = false\n[http]\nlisten = \"127.0.0.1:0\"\n[[zwave]]\nname = \"main\"\nurl = {:?}\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n{mqtt}\n",
            self.bridge.url(),
            self.broker.port
        );
        let mut config = Config::parse(&text, Path::new("/"), HashMap::new()).unwrap();
        config.state_dir = self.dir.path().into();
        self.hub = Some(Running::start(config, Clock::start()).await.unwrap());
        if mqtt.contains("commands = true") {
            self.until(|rig| rig.detail().contains("taking commands")).await;
        }
        self.until(|rig| rig.devices().len() == 3).await;
    }

    async fn stop(&mut self) {
        self.hub.take().unwrap().stop(true).await;
    }

    async fn until(&self, holds: impl Fn(&Rig) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{} {:?}", self.detail(), self.devices());
    }

    /// What the hub says of its commands.
    fn detail(&self) -> String {
        let parts = self.hub.as_ref().unwrap().health.parts();
        parts.get(PART).map(|p| p.detail.clone()).unwrap_or_default()
    }

    fn devices(&self) -> Vec<Value> {
        let rows = self.hub.as_ref().unwrap().store.state().unwrap();
        rows.into_iter().filter(|r| r.kind == RowKind::Device).filter_map(|r| r.value).collect()
    }

    fn device(&self, name: &str) -> Uuid {
        let devices = self.devices();
        let device = devices.iter().find(|d| d["name"] == name).unwrap_or_else(|| panic!("{name} in {devices:?}"));
        device["device_id"].as_str().unwrap().parse().unwrap()
    }

    /// How often such an event is in the log.
    fn told(&self, event_type: EventType) -> usize {
        let log = self.hub.as_ref().unwrap().store.events_after(0, usize::MAX >> 1).unwrap();
        log.iter().filter(|e| e.event_type == event_type).count()
    }

    async fn send(&self, verb: &str, body: impl Into<Vec<u8>>, retain: bool) {
        let properties = PublishProperties {
            response_topic: Some("answers/5".into()),
            correlation_data: Some("mine".into()),
            ..PublishProperties::default()
        };
        let topic = format!("portcullis/hub-1/command/{verb}");
        self.client.publish_with_properties(topic, QoS::AtLeastOnce, retain, body.into(), properties).await.unwrap();
    }

    async fn ask(&mut self, verb: &str, body: &Value) -> Value {
        self.send(verb, body.to_string(), false).await;
        let answer = self.answers.next().await;
        assert_eq!(answer.correlation.as_deref(), Some(&b"mine"[..]));
        answer.json()
    }
}

fn command(id: &str, device: Uuid) -> Value {
    json!({"id": id, "sent_at": Utc::now().to_rfc3339(), "device_id": device})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_done_and_answered_where_it_asks_with_what_it_gave() {
    let mut rig = Rig::started().await;
    let door = rig.device("Front door");
    let released = rig.ask("release", &command("a", door)).await;
    assert_eq!((&released["id"], &released["verb"], &released["ok"]), (&json!("a"), &json!("release"), &json!(true)));
    assert_eq!(released["result"]["is_managed"], false);
    let mut adopt = command("b", door);
    adopt["name"] = "Gate".into();
    let adopted = rig.ask("adopt", &adopt).await;
    assert_eq!((&adopted["result"]["is_managed"], &adopted["result"]["name"]), (&json!(true), &json!("Gate")));
    assert_eq!(rig.told(EventType::DeviceUnmanagedConvertedToManaged), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_is_locked_and_unlocked_and_the_attempt_is_answered() {
    let mut rig = Rig::started().await;
    let door = rig.device("Front door");
    let answer = rig.ask("unlock", &command("a", door)).await;
    assert_eq!(answer["result"]["action_type"], "UNLOCK_DOOR", "{answer}");
    rig.until(|rig| rig.told(EventType::LockUnlocked) == 1).await;
    let mut lock = command("b", door);
    lock["locked"] = true.into();
    assert_eq!(rig.ask("set_lock", &lock).await["result"]["action_type"], "LOCK_DOOR");
    rig.until(|rig| rig.told(EventType::LockLocked) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_twice_is_done_once_even_after_a_restart() {
    let mut rig = Rig::started().await;
    let door = rig.device("Front door");
    let (release, adopt) = (command("a", door), command("b", door));
    for body in [("release", &release), ("adopt", &adopt)] {
        assert_eq!(rig.ask(body.0, body.1).await["ok"], true);
    }
    let again = rig.ask("release", &release).await;
    assert_eq!((&again["ok"], &again["result"]["done_before"]), (&json!(true), &json!(true)));
    rig.stop().await;
    rig.start("commands = true").await;
    assert_eq!(rig.ask("release", &release).await["result"]["done_before"], true);
    assert_eq!(rig.told(EventType::DeviceConvertedToUnmanaged), 1);
    assert_eq!(rig.devices().iter().filter(|d| d["is_managed"] == true).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_while_the_daemon_is_away_waits_at_the_broker() {
    let mut rig = Rig::started().await;
    let door = rig.device("Front door");
    rig.stop().await;
    let mut late = command("old", door);
    late["sent_at"] = (Utc::now() - TimeDelta::seconds(31)).to_rfc3339().into();
    rig.send("release", late.to_string(), false).await;
    rig.send("release", command("new", door).to_string(), false).await;
    rig.start("commands = true").await;
    assert_eq!(rig.answers.next().await.json()["error"]["type"], "stale");
    assert_eq!(rig.answers.next().await.json()["result"]["is_managed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_done_is_refused_with_a_reason_and_changes_nothing() {
    let mut rig = Rig::started().await;
    let door = rig.device("Front door");
    let mut stale = command("a", door);
    stale["sent_at"] = (Utc::now() - TimeDelta::seconds(40)).to_rfc3339().into();
    let mut large = command("b", door);
    large["name"] = "x".repeat(9_000).into();
    let cases = [
        ("release", stale, "stale"),
        ("adopt", large, "oversize"),
        ("explode", command("c", door), "unknown"),
        ("release", json!({"id": "d"}), "malformed"),
        ("release", command("e", Uuid::from_u128(5)), "not_allowed"),
        ("unlock", command("f", rig.device("Stairwell loudness")), "not_allowed"),
    ];
    for (verb, body, kind) in cases {
        let answer = rig.ask(verb, &body).await;
        assert_eq!((&answer["ok"], &answer["error"]["type"]), (&json!(false), &json!(kind)), "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|why| why.len() > 10), "{answer}");
    }
    assert!(rig.devices().iter().all(|d| d["is_managed"] == true));
    let health = &rig.hub.as_ref().unwrap().health.mqtt;
    assert_eq!(health.commands_refused.load(std::sync::atomic::Ordering::Relaxed), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_command_is_ignored() {
    let mut rig = Rig::new().await;
    rig.start("").await;
    let door = rig.device("Front door");
    rig.stop().await;
    rig.send("release", command("a", door).to_string(), true).await;
    rig.start("commands = true").await;
    assert_eq!(rig.ask("adopt", &command("b", door)).await["id"], "b", "nothing was answered before it");
    assert_eq!(rig.told(EventType::DeviceConvertedToUnmanaged), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_3_1_1_the_answer_goes_to_reply_to_and_never_where_the_hub_itself_is_heard() {
    let mut rig = Rig::new().await;
    rig.start("version = 4\ncommands = true").await;
    let door = rig.device("Front door");
    for (id, reply_to) in [("a", "portcullis/hub-1/status"), ("b", "answers/4")] {
        let mut body = command(id, door);
        body["reply_to"] = reply_to.into();
        rig.send("adopt", body.to_string(), false).await;
    }
    let answer = rig.answers.next().await;
    assert_eq!((answer.topic.as_str(), &answer.json()["id"]), ("answers/4", &json!("b")));
    let mut status = Subscriber::new(rig.broker.port, "portcullis/hub-1/status").await;
    assert_eq!(status.next().await.text(), "online");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_to_read_does_not_come_again_and_again() {
    let mut rig = Rig::new().await;
    rig.start("version = 4\ncommands = true").await;
    let door = rig.device("Front door");
    rig.send("adopt", vec![b' '; 300_000], false).await;
    rig.until(|rig| rig.detail().contains("cannot be read")).await;
    rig.until(|rig| rig.detail().contains("taking commands")).await;
    let mut body = command("a", door);
    body["reply_to"] = "answers/4".into();
    rig.send("adopt", body.to_string(), false).await;
    assert_eq!(rig.answers.next().await.json()["ok"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_off_unless_asked_for() {
    let mut rig = Rig::new().await;
    rig.start("").await;
    let door = rig.device("Front door");
    rig.send("release", command("a", door).to_string(), false).await;
    // Behind it on the same connection: when this has come back, that one has been everywhere it goes.
    rig.client.publish("answers/after", QoS::AtLeastOnce, false, "{}").await.unwrap();
    assert_eq!(rig.answers.next().await.topic, "answers/after");
    assert_eq!(rig.detail(), "");
    assert!(rig.devices().iter().all(|d| d["is_managed"] == true));
}
