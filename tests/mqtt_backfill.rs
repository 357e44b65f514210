//! Events asked for again over a real Mosquitto: the same bytes, at a pace of their own, or a reason why not.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use delivery::{append, event};
use mosquitto::Mosquitto;
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::service::Running;
use portcullis::sink::mqtt::command::PART;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::{Value, json};
use subscriber::{PATIENCE, Subscriber, Told};
use tempfile::TempDir;
use uuid::Uuid;

struct Rig {
    broker: Mosquitto,
    hub: Running,
    _dir: TempDir,
    /// Events as they were told first.
    live: Subscriber,
    again: Subscriber,
    answers: Subscriber,
    client: AsyncClient,
}

impl Rig {
    /// A hub with so many events in its log, all told.
    async fn new(mqtt: &str, events: u64) -> Rig {
        let broker = Mosquitto::start();
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[ble]\nenabled = false\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n{mqtt}\n",
            broker.port
        );
        let mut config = Config::parse(&text, Path::new("/"), HashMap::new()).unwrap();
        config.state_dir = dir.path().into();
        let live = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
        let again = Subscriber::new(broker.port, "portcullis/hub-1/backfill/#").await;
        let answers = Subscriber::new(broker.port, "answers").await;
        let (client, mut polled) = AsyncClient::new(MqttOptions::new("asker", "127.0.0.1", broker.port), 16);
        tokio::spawn(async move { while polled.poll().await.is_ok() {} });
        let hub = Running::start(config, Clock::start()).await.unwrap();
        append(&hub.store, (0..events).map(event).collect(), Vec::new()).await;
        let rig = Rig { broker, hub, _dir: dir, live, again, answers, client };
        rig.until(|rig| rig.detail().contains("taking commands")).await;
        rig
    }

    async fn until(&self, holds: impl Fn(&Rig) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{}", self.detail());
    }

    fn detail(&self) -> String {
        self.hub.health.parts().get(PART).map(|p| p.detail.clone()).unwrap_or_default()
    }

    fn head(&self) -> u64 {
        self.hub.store.head().borrow().seq
    }

    fn range(&self, id: &str, from: u64, to: u64) -> Value {
        let now = Utc::now().to_rfc3339();
        json!({"id": id, "sent_at": now, "reply_to": "answers", "log_id": self.hub.store.log_id(), "from": from, "to": to})
    }

    async fn send(&self, verb: &str, body: &Value) {
        let topic = format!("portcullis/hub-1/command/{verb}");
        self.client.publish(topic, QoS::AtLeastOnce, false, body.to_string()).await.unwrap();
    }

    async fn answer(&mut self) -> Value {
        self.answers.next().await.json()
    }

    /// Events told first, by `seq`.
    async fn told(&mut self, to: u64) -> HashMap<u64, Told> {
        let mut told = HashMap::new();
        while told.len() < to as usize {
            let message = self.live.next().await;
            told.insert(message.json()["seq"].as_u64().unwrap(), message);
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_told_again_byte_for_byte_and_live_events_go_on_meanwhile() {
    let mut rig = Rig::new("backfill = true", 700).await;
    let first = rig.told(rig.head()).await;
    rig.send("backfill", &rig.range("a", 101, 600)).await;
    let begun = rig.answer().await;
    assert_eq!((&begun["id"], &begun["result"]["state"]), (&json!("a"), &json!("begun")), "{begun}");
    // Ten seconds of it: while they come, what happens now is told now.
    rig.again.next().await;
    append(&rig.hub.store, vec![event(700)], Vec::new()).await;
    let news = rig.live.next().await.json();
    assert_eq!(news["seq"], rig.head());
    let so_far = rig.again.so_far().len();
    assert!(so_far < 499, "all of the backfill went before what happened meanwhile");
    for seq in 101 + 1 + so_far as u64..=600 {
        let (told, again) = (&first[&seq], rig.again.next().await);
        assert_eq!(again.text(), told.text());
        assert_eq!(again.topic, told.topic.replace("/event/", "/backfill/"));
        assert_eq!(again.properties, told.properties);
    }
    let done = rig.answer().await;
    assert_eq!(done["result"], json!({"state": "done", "sent": 500, "missing": []}), "{done}");
    assert!(rig.live.so_far().is_empty(), "nobody is told an old event as a new one");
    rig.hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_again_is_refused_with_what_there_is() {
    let mut rig = Rig::new("backfill = true", 50).await;
    let head = rig.head();
    let mut other = rig.range("d", 1, 2);
    other["log_id"] = Uuid::from_u128(1).to_string().into();
    let mut stale = rig.range("e", 1, 2);
    stale["sent_at"] = "2026-01-01T00:00:00Z".into();
    let cases = [
        (rig.range("a", 1, head + 1), "out_of_range"),
        (rig.range("b", 0, 1), "malformed"),
        (rig.range("c", 3, 2), "malformed"),
        (other, "other_log"),
        (stale, "stale"),
        (json!({"id": "f", "sent_at": Utc::now().to_rfc3339(), "reply_to": "answers"}), "malformed"),
    ];
    for (body, kind) in cases {
        rig.send("backfill", &body).await;
        let answer = rig.answer().await;
        assert_eq!((&answer["ok"], &answer["error"]["type"]), (&json!(false), &json!(kind)), "{answer}");
        if matches!(kind, "out_of_range" | "other_log") {
            let log = json!({"log_id": rig.hub.store.log_id(), "first": 1, "last": head});
            assert_eq!(answer["error"]["log"], log, "{answer}");
        }
    }
    assert!(rig.again.so_far().is_empty());
    rig.hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_asked_for_and_opens_no_door() {
    let mut rig = Rig::new("commands = true", 5).await;
    rig.send("backfill", &rig.range("a", 1, 2)).await;
    assert_eq!(rig.answer().await["error"]["type"], "not_allowed");
    assert!(rig.again.so_far().is_empty());
    rig.hub.stop(true).await;

    let mut rig = Rig::new("backfill = true", 5).await;
    assert!(rig.detail().ends_with("command/backfill"), "{}", rig.detail());
    let door = Uuid::from_u128(5);
    let unlock = json!({"id": "b", "sent_at": Utc::now().to_rfc3339(), "reply_to": "answers", "device_id": door});
    rig.send("unlock", &unlock).await;
    rig.send("backfill", &rig.range("c", 1, 2)).await;
    assert_eq!(rig.answer().await["id"], "c", "the other was never heard");
    rig.hub.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_twice_is_done_once_and_goes_on_where_a_lost_broker_stopped_it() {
    let mut rig = Rig::new("backfill = true", 500).await;
    let range = rig.range("a", 1, 500);
    rig.send("backfill", &range).await;
    assert_eq!(rig.answer().await["result"]["state"], "begun");
    rig.send("backfill", &range).await;
    assert_eq!(rig.answer().await["result"]["state"], "under_way");
    for _ in 0..20 {
        rig.again.next().await;
    }
    rig.broker.restart();
    let done = rig.answer().await;
    assert_eq!(done["result"]["state"], "done", "{done}");
    assert_eq!(done["result"]["missing"], json!([]));
    let sent = done["result"]["sent"].as_u64().unwrap();
    assert_eq!(sent, 500, "each counts once, however often it had to be sent");
    rig.hub.stop(true).await;
}
