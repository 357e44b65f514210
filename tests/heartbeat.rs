//! The heartbeat: somebody outside is told as long as the whole hub works, and hears nothing when it does not. Its URL is a secret.
//!
//! The real daemon against a real HTTP receiver.

#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/unit.rs"]
mod unit;

use std::sync::Arc;
use std::time::Duration;

use portcullis::engine::{Clock, Engine, Hand};
use portcullis::event::Dialect;
use portcullis::health::Health;
use portcullis::hub::{Hub, Settings as HubSettings};
use portcullis::signal::Secret;
use portcullis::sink::heartbeat::{self, Pace, SINK, Settings};
use portcullis::store::Store;
use receiver::{Answer, PATIENCE, Receiver};
use tokio::sync::{mpsc, watch};
use unit::Home;

/// A hub's loop on a store, and its heartbeat, quickly.
struct Hearted {
    _dir: tempfile::TempDir,
    health: Arc<Health>,
    hand: Hand,
    engine: Option<Engine>,
    stop: watch::Sender<bool>,
}

impl Hearted {
    fn new() -> Hearted {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Dialect::Classic).unwrap();
        let (clock, health) = (Clock::start(), Arc::<Health>::default());
        let hub = Hub::restore(settings(), Vec::new(), Default::default(), clock.now());
        let (actions, _) = mpsc::unbounded_channel();
        let (engine, hand) = Engine::new(hub, clock, store, health.clone(), actions);
        Hearted { _dir: dir, health, hand, engine: Some(engine), stop: watch::channel(false).0 }
    }

    fn turn(&mut self) {
        tokio::spawn(self.engine.take().unwrap().run(std::future::pending(), || {}));
    }

    fn beat(&self, url: &str, ca_file: Option<std::path::PathBuf>) {
        let pace = Pace {
            every: Duration::from_millis(50),
            retry: Duration::from_millis(20),
            answer: Duration::from_millis(500),
        };
        let settings = Settings { url: Secret::new(url), pace, ca_file };
        let run = heartbeat::run(settings, self.hand.clone(), self.health.clone(), self.stop.subscribe());
        tokio::spawn(async move { run.await.expect("it beats until it is stopped") });
    }

    async fn until(&self, up: bool, says: &str) {
        let is = || self.health.parts().get(SINK).is_some_and(|part| part.up == up && part.detail.contains(says));
        let wait = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{says}: {:?}", self.health.parts());
    }
}

fn settings() -> HubSettings {
    portcullis::config::Config::default().settings(None)
}

#[tokio::test]
async fn it_beats_again_and_again_and_failures_are_shown_without_the_secret() {
    let mut receiver = Receiver::start([]).await;
    let url = receiver.url.replace("/hook?from=hub", "/ping/very-secret");
    let mut hub = Hearted::new();
    hub.turn();
    hub.beat(&url, None);
    for _ in 0..3 {
        let beat = receiver.next().await;
        assert_eq!((beat.method.as_str(), beat.path.as_str(), beat.body.as_str()), ("GET", "/ping/very-secret", ""));
    }
    hub.until(true, "127.0.0.1 is told").await;
    for (answer, says) in [
        (Answer::Status(404), "answers 404"),
        (Answer::Redirect, "those are not followed"),
        (Answer::Never, "no answer within"),
    ] {
        receiver.answer(answer);
        hub.until(false, says).await;
        let shown = serde_json::to_string(&hub.health.parts()).unwrap();
        assert!(!shown.contains("very-secret") && !shown.contains("ping"), "{shown}");
    }
    receiver.answer(Answer::Status(200));
    hub.until(true, "is told").await;
}

#[tokio::test]
async fn a_hub_whose_loop_does_not_turn_beats_for_nobody() {
    let mut receiver = Receiver::start([]).await;
    let mut hub = Hearted::new();
    hub.beat(&receiver.url, None);
    hub.until(false, "the hub itself has not answered").await;
    assert!(receiver.has_nothing(), "a dead hub was called alive");
    hub.turn();
    receiver.next().await;
    hub.until(true, "is told").await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_and_reached_once_it_can() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut hub = Hearted::new();
    hub.turn();
    hub.beat(&format!("http://{free}/x"), None);
    hub.until(false, "cannot connect").await;
    assert!(hub.health.heartbeat.failed.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_beats_and_neither_its_log_nor_its_health_shows_the_url() {
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    let url = receiver.url.replace("/hook?from=hub", "/ping/very-secret");
    let home =
        Home::new("[hub]\nheartbeat_url_file = \"hb\"\nheartbeat_every_s = 10\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"");
    std::fs::write(home.path().join("hb"), &url).unwrap();
    let daemon = home.start();
    // Refused, and tried again sooner than the next was due.
    assert_eq!(receiver.next().await.path, "/ping/very-secret");
    receiver.next().await;
    let doctor = home.run(&["doctor"]);
    assert!(doctor.out.contains("hub: heartbeat"), "{doctor:?}");
    let (status, _) = daemon.stop();
    assert!(status.success());
    let told = home.log() + &doctor.out + &doctor.err;
    assert!(told.contains("heartbeat.failed") && told.contains("heartbeat.told"), "{told}");
    assert!(!told.contains("very-secret"), "{told}");
}
