//! A fleet on a real NATS cluster of three nodes: what hubs tell is in the stream, what the stream lost is named and had again, and
//! no hub speaks for another. The long faults are in `tests/fleet_faults.rs`.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use cluster::Cluster;
use delivery::{append, event};
use mosquitto::Mosquitto;
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::service::Running;
use portcullis::sink::mqtt::{SINK, Settings};
use rusqlite::Connection;
use serde_json::{Value, json};
use subscriber::PATIENCE;
use tempfile::TempDir;

/// A whole hub in this process, without a radio: what it tells is put into its log.
struct Hub {
    name: &'static str,
    running: Running,
    settings: Settings,
    _dir: TempDir,
}

impl Hub {
    async fn start(name: &'static str, mqtt: &str) -> Hub {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{mqtt}[ble]\nenabled = false\n[http]\nlisten = \"127.0.0.1:0\"\n");
        let mut config = Config::parse(&text, Path::new("/"), HashMap::new()).unwrap();
        config.state_dir = dir.path().into();
        let settings = Settings::new(&config).unwrap();
        Hub { name, running: Running::start(config, Clock::start()).await.unwrap(), settings, _dir: dir }
    }

    async fn tell(&self, events: u64) {
        append(&self.running.store, (0..events).map(event).collect(), Vec::new()).await;
    }

    fn head(&self) -> u64 {
        self.running.store.head().borrow().seq
    }

    fn log_id(&self) -> String {
        self.running.store.log_id().to_string()
    }

    fn state(&self, part: &str) -> String {
        self.running.health.parts().get(part).map(|p| p.detail.clone()).unwrap_or_default()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Hub) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(held.is_ok(), "{what}: {} / {}", self.state(SINK), self.state("mqtt/commands"));
    }

    /// Until the broker has acknowledged everything; whether a stream kept it is another question.
    async fn all_acknowledged(&self) {
        self.until("all acknowledged", |hub| hub.running.store.cursor(SINK).unwrap() >= hub.head()).await;
    }

    async fn takes_backfills(&self) {
        self.until("backfills", |hub| hub.state("mqtt/commands").contains("taking commands")).await;
    }

    /// That the consumer's book has this hub's log, byte for byte.
    fn is_in(&self, book: &Path) {
        let db = Connection::open(book).unwrap();
        let mut query = db.prepare("SELECT body FROM event WHERE hub = ? AND log_id = ? ORDER BY seq").unwrap();
        let bodies = query.query_map([self.name, &self.log_id()], |row| row.get::<_, String>(0)).unwrap();
        let told: Vec<String> = bodies.map(Result::unwrap).collect();
        let log_id = self.running.store.log_id();
        let topics = &self.settings.topics;
        let kept = self.running.store.events_after(0, usize::MAX >> 1).unwrap();
        let frozen = kept.iter().map(|e| String::from_utf8(topics.event_message(e, log_id, true).payload).unwrap());
        assert_eq!(told, frozen.collect::<Vec<_>>(), "{}", self.name);
    }
}

/// What is read between two looks.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send) -> T {
    tokio::task::block_in_place(work)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_full_stream_refuses_is_named_by_the_consumer_and_had_again_from_the_hub() {
    let cluster = blocking(|| {
        let cluster = Cluster::start();
        cluster.provision(&["hub", "hub-1", "hub-2"]);
        cluster
    });
    let (one, two) = (
        Hub::start("hub-1", &cluster.hub_config("hub-1")).await,
        Hub::start("hub-2", &cluster.hub_config("hub-2")).await,
    );
    for hub in [&one, &two] {
        hub.tell(120).await;
        hub.all_acknowledged().await;
        hub.takes_backfills().await;
    }
    let report = blocking(|| cluster.consume(&[]));
    assert_eq!((&report["hubs"], &report["gaps"], &report["late"]), (&json!(2), &json!([]), &json!(0)), "{report}");
    assert_eq!(report["events"], one.head() + two.head());

    // Full: the broker acknowledges, as MQTT 3.1.1 has it, and the stream takes nothing.
    let kept = report["events"].as_u64().unwrap() + report["doubles"].as_u64().unwrap();
    blocking(|| cluster.streams(&["--full", &format!("EVENTS={kept}")]));
    let first = one.head() + 1;
    one.tell(70).await;
    one.all_acknowledged().await;
    let last = one.head();
    let looked_at_all = || cluster.streams(&["--full", &format!("EVENTS={kept}")])["EVENTS"] == (kept, 0);
    let mut looks = (0..100).map(|_| blocking(looked_at_all));
    assert!(looks.any(|all| all), "{:?}", cluster.streams(&[]));
    blocking(|| cluster.streams(&[]));
    one.tell(5).await;
    two.tell(5).await;
    one.all_acknowledged().await;
    two.all_acknowledged().await;

    let report = blocking(|| cluster.consume(&[]));
    assert_eq!(report["gaps"], json!([["hub-1", one.log_id(), first, last]]), "{report}");
    let report = blocking(|| cluster.consume(&["--backfill"]));
    assert_eq!((&report["gaps"], &report["lost"], &report["late"]), (&json!([]), &json!([]), &json!(0)), "{report}");
    for hub in [&one, &two] {
        hub.is_in(&cluster.path("desk.db"));
        hub.running.health.parts();
    }
    one.running.stop(true).await;
    two.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hub_with_another_hubs_credential_or_topic_is_refused_and_loses_nothing_by_it() {
    let cluster = blocking(|| {
        let cluster = Cluster::start();
        cluster.provision(&["hub", "hub-1"]);
        cluster
    });
    let password = cluster.path("hubs/hub-1/mqtt_password");

    // hub-1's password under another name.
    let stranger = cluster.hub_config_as("hub-2", "hub-2").replace("hubs/hub-2", "hubs/hub-1");
    let stranger = Hub::start("hub-2", &stranger).await;
    stranger.until("refused", |hub| hub.state(SINK).contains("check mqtt.username")).await;
    stranger.running.stop(true).await;

    // hub-1's credential, rightly presented, at the topics of hub-2.
    let wrong = Hub::start("hub-2", &cluster.hub_config_as("hub-2", "hub-1")).await;
    wrong.tell(10).await;
    wrong.until("held back", |hub| hub.state(SINK).contains("does not come back")).await;
    wrong.until("no commands", |hub| hub.state("mqtt/commands").contains("refuses the subscription")).await;
    assert_eq!(wrong.running.store.cursor(SINK).unwrap(), 0, "nothing counts as told");

    // Whoever does not ask first: acknowledged, and thrown away.
    let secret = std::fs::read_to_string(&password).unwrap();
    let (host, port) = cluster.mqtt(0).split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    let forged = std::process::Command::new("mosquitto_pub")
        .args([
            "-V",
            "mqttv311",
            "-q",
            "1",
            "-i",
            "forger",
            "-u",
            "hub-1",
            "-P",
            secret.trim(),
            "-h",
            &host,
            "-p",
            &port,
        ])
        .args(["-t", "portcullis/hub-2/event/d/lock/unlocked", "-m", "{}", "--cafile"])
        .arg(cluster.path("ca.pem"))
        .status();
    assert!(forged.unwrap().success(), "3.1.1 has no other answer");
    let streams = blocking(|| cluster.streams(&[]));
    assert_eq!(streams["EVENTS"].0, 0, "{streams:?}");
    assert!(cluster.log().contains("Publish Violation"));

    // With a credential of its own everything that waited is told.
    wrong.running.stop(false).await;
    blocking(|| cluster.provision(&["hub", "hub-2"]));
    let right = Hub::start("hub-2", &cluster.hub_config("hub-2")).await;
    right.tell(10).await;
    right.all_acknowledged().await;
    let report = blocking(|| cluster.consume(&[]));
    assert_eq!((&report["events"], &report["gaps"]), (&json!(right.head()), &json!([])), "{report}");
    right.is_in(&cluster.path("desk.db"));
    right.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_hubs_of_a_site_are_heard_through_its_mosquitto_and_can_be_asked_through_it() {
    let (cluster, broker) = blocking(|| {
        let cluster = Cluster::start();
        cluster.provision(&["site", "site-7", "house-a", "house-b"]);
        cluster.provision(&["reader", "late"]);
        let bridge = std::fs::read_to_string(cluster.path("sites/site-7/bridge.conf")).unwrap();
        // The guard's configuration has these two already.
        let bridge = bridge.replace("persistence true\n", "").replace("max_inflight_messages 100\n", "");
        let broker =
            Mosquitto::with(&format!("allow_anonymous true\n{}", bridge.replace("max_queued_messages 0\n", "")));
        (cluster, broker)
    });
    let mqtt = |name: &str| {
        format!("[hub]\nname = {name:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nbackfill = true\n", broker.port)
    };
    let (a, b) = (Hub::start("house-a", &mqtt("house-a")).await, Hub::start("house-b", &mqtt("house-b")).await);
    for hub in [&a, &b] {
        hub.tell(60).await;
        hub.all_acknowledged().await;
        hub.takes_backfills().await;
    }
    // A bridge hands on when it has a connection: what it took before may still be on its way.
    let mut report = Value::Null;
    for _ in 0..20 {
        report = blocking(|| cluster.consume(&["--backfill"]));
        if report["events"] == a.head() + b.head() {
            break;
        }
    }
    assert_eq!(report["events"], a.head() + b.head(), "{report}");
    assert_eq!((&report["gaps"], &report["late"]), (&json!([]), &json!(0)), "{report}");

    // What the bridge's way lost is had again through it.
    let lost = Connection::open(cluster.path("desk.db")).unwrap();
    assert_eq!(lost.execute("DELETE FROM event WHERE hub = 'house-a' AND seq BETWEEN 11 AND 30", []).unwrap(), 20);
    drop(lost);
    let report = blocking(|| cluster.consume(&["--backfill"]));
    assert_eq!((&report["gaps"], &report["lost"]), (&json!([]), &json!([])), "{report}");
    a.is_in(&cluster.path("desk.db"));
    b.is_in(&cluster.path("desk.db"));

    // Whoever reads from the beginning finds these twice in the stream, and keeps them once.
    let report = blocking(|| cluster.consume_as("late", &[]));
    assert_eq!((&report["events"], &report["gaps"]), (&json!(a.head() + b.head()), &json!([])), "{report}");
    assert!(report["doubles"].as_u64() >= Some(20), "{report}");
    a.is_in(&cluster.path("late.db"));
    a.running.stop(true).await;
    b.running.stop(true).await;
}
