//! Webhooks against real HTTP receivers: each event that one asks for reaches it, signed so that Seam's own SDK believes it.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use delivery::{append, device, event};
use portcullis::event::{Dialect, EventType};
use portcullis::health::Health;
use portcullis::hub::{Row, RowKind};
use portcullis::sink::webhook::{self, Pace, Settings, Webhook, new_secret, sink_of};
use portcullis::store::Store;
use portcullis::time::Wall;
use receiver::{Answer, PATIENCE, Posted, Receiver};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A store and the sink on it, with tries that follow each other quickly.
struct Hub {
    dir: TempDir,
    store: Store,
    health: Arc<Health>,
    settings: Settings,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Hub {
    fn new() -> Hub {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Dialect::Classic).unwrap();
        let pace = Pace {
            delays: vec![Duration::from_millis(50); 7],
            answer: Duration::from_secs(2),
            dead_after: Duration::from_secs(3600),
        };
        let settings = Settings { private_addresses: true, ca_file: None, pace };
        let mut hub = Hub { dir, store, health: Arc::default(), settings, running: None };
        hub.start();
        hub
    }

    fn start(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let run = webhook::run(self.settings.clone(), self.store.clone(), self.health.clone(), stopped);
        self.running = Some((stop, tokio::spawn(async move { run.await.expect("it runs until it is stopped") })));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    /// Stops everything and opens the state directory again.
    async fn restart(&mut self, change: impl FnOnce(&mut Settings)) {
        self.stop().await;
        self.store.flush().await.unwrap();
        let (spare, _) = Store::open(tempfile::tempdir().unwrap().path(), Dialect::Classic).unwrap();
        drop(std::mem::replace(&mut self.store, spare));
        self.store = Store::open(self.dir.path(), Dialect::Classic).unwrap().0;
        change(&mut self.settings);
        self.start();
    }

    /// A webhook from now on.
    async fn add(&self, url: &str, event_types: Option<Vec<EventType>>) -> Webhook {
        let webhook = Webhook {
            never_told: Vec::new(),
            webhook_id: Uuid::new_v4(),
            url: url.to_owned(),
            event_types,
            secret: new_secret(),
            created_at: Wall(0),
            after: self.store.head().borrow().seq,
            turn: 0,
        };
        self.write(&webhook).await;
        webhook
    }

    async fn write(&self, webhook: &Webhook) {
        self.row(webhook.webhook_id, Some(json!(webhook))).await;
    }

    async fn row(&self, id: Uuid, value: Option<serde_json::Value>) {
        append(&self.store, vec![], vec![Row { kind: RowKind::Webhook, key: id.to_string(), value }]).await;
    }

    async fn tell(&self, numbers: std::ops::Range<u64>) {
        append(&self.store, numbers.map(event).collect(), vec![]).await;
    }

    async fn until(&self, what: &str, is: impl Fn(&Hub) -> bool) {
        let wait = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}: {:?}", self.health.parts());
    }

    fn state(&self, webhook: &Webhook) -> String {
        let parts = self.health.parts();
        parts.get(&sink_of(webhook.webhook_id)).map(|p| p.detail.clone()).unwrap_or_default()
    }
}

/// What Seam's SDK says to each of these.
fn judged(secret: &str, posts: &[Posted]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/sdk/bin/python");
    assert!(python.exists(), "{}: make prepare installs it", python.display());
    let mut sdk = Command::new(python)
        .arg(root.join("tests/sdk/verify_webhooks.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = sdk.stdin.take().unwrap();
    for posted in posts {
        let headers: serde_json::Map<_, _> =
            posted.headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().into())).collect();
        writeln!(lines, "{}", json!({"secret": secret, "headers": headers, "body": posted.body})).unwrap();
    }
    drop(lines);
    let out = sdk.wait_with_output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn seams_sdk_verifies_what_is_posted_and_refuses_what_was_changed() {
    let hub = Hub::new();
    let mut endpoint = Receiver::start([]).await;
    let webhook = hub.add(&endpoint.url, None).await;
    // Two of one device: only those come in order.
    append(&hub.store, vec![event(0), event(5)], vec![]).await;
    let (first, second) = (endpoint.next().await, endpoint.next().await);
    assert_eq!(first.header("content-type"), "application/json");
    let mut forged = first.clone();
    forged.body = forged.body.replace("unlocked", "locked");
    let secret = webhook.secret.unwrap();
    let said = judged(secret.reveal(), &[first, second, forged.clone()]);
    assert_eq!(said, ["lock.unlocked", "lock.locked", "WebhookVerificationError"]);
    assert_eq!(judged(new_secret().unwrap().reveal(), &[forged]), ["WebhookVerificationError"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_the_frozen_event_and_only_events_that_are_asked_for_come() {
    let hub = Hub::new();
    hub.tell(0..4).await;
    let mut all = Receiver::start([]).await;
    let mut some = Receiver::start([]).await;
    hub.add(&all.url, None).await;
    hub.add(&some.url, Some(vec![EventType::LockLocked])).await;
    let mine = event(5);
    append(&hub.store, vec![event(4), mine.clone()], vec![]).await;
    let one = some.next().await;
    assert_eq!(one.body, mine.render(Dialect::Classic));
    assert_eq!(one.header("svix-id"), format!("msg_{}", mine.event_id.simple()));
    let two = [all.next().await, all.next().await];
    assert!(two.iter().all(|p| p.json()["event_type"] == "lock.unlocked" || p.body == mine.render(Dialect::Classic)));
    assert!(all.has_nothing() && some.has_nothing(), "events from before it are not its");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_event_is_tried_again_with_its_id_signed_afresh_and_holds_up_no_other() {
    let mut hub = Hub::new();
    hub.settings.pace.delays = vec![Duration::from_millis(1100); 7];
    hub.restart(|_| {}).await;
    let mut endpoint = Receiver::start([Answer::Status(500)]).await;
    let webhook = hub.add(&endpoint.url, None).await;
    hub.tell(0..1).await;
    let failed = endpoint.next().await;
    hub.tell(1..3).await;
    let mut others = [endpoint.next().await, endpoint.next().await].map(|p| p.json()["device_id"].to_string());
    others.sort();
    assert_eq!(others, [1, 2].map(|n| json!(device(n)).to_string()));
    let again = endpoint.next().await;
    assert_eq!(again.body, failed.body);
    assert_eq!(again.header("svix-id"), failed.header("svix-id"));
    assert_ne!(again.header("svix-timestamp"), failed.header("svix-timestamp"));
    assert_eq!(judged(webhook.secret.unwrap().reveal(), &[again]), ["lock.unlocked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_go_on_after_a_restart_and_what_was_told_is_not_told_again() {
    let mut hub = Hub::new();
    let mut endpoint = Receiver::start([Answer::Status(200), Answer::Status(503)]).await;
    hub.settings.pace.delays = vec![Duration::from_secs(3600); 7];
    hub.restart(|_| {}).await;
    hub.add(&endpoint.url, None).await;
    hub.tell(0..1).await;
    endpoint.next().await;
    hub.tell(1..2).await;
    let failed = endpoint.next().await;
    hub.until("it is in the book", |hub| hub.health.parts().values().any(|p| p.detail.starts_with("1 events wait")))
        .await;
    // The book says in an hour; a shorter schedule holds for what waits as well.
    hub.restart(|settings| settings.pace.delays = vec![Duration::from_millis(50); 7]).await;
    let again = endpoint.next().await;
    assert_eq!(again.header("svix-id"), failed.header("svix-id"));
    hub.tell(2..3).await;
    assert_eq!(endpoint.next().await.json()["device_id"], device(2).to_string());
    assert!(endpoint.has_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_last_try_an_event_is_set_aside_and_can_be_driven_again() {
    let hub = Hub::new();
    let mut endpoint = Receiver::start([Answer::Status(500); 8]).await;
    let webhook = hub.add(&endpoint.url, None).await;
    hub.tell(0..1).await;
    for _ in 0..8 {
        endpoint.next().await;
    }
    let sink = sink_of(webhook.webhook_id);
    hub.until("it is set aside", |hub| hub.store.undeliverable().unwrap().iter().any(|u| u.sink == sink)).await;
    assert!(endpoint.has_nothing(), "eight tries are all");
    hub.store.drive_again(&sink).unwrap();
    assert_eq!(endpoint.next().await.json()["device_id"], device(0).to_string());
    hub.until("it is no longer set aside", |hub| hub.store.undeliverable().unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_costs_the_others_nothing_and_redirects_are_not_followed() {
    let mut hub = Hub::new();
    hub.restart(|settings| settings.pace.answer = Duration::from_secs(300)).await;
    let mut dead = Receiver::start([]).await;
    dead.answer(Answer::Never);
    let mut elsewhere = Receiver::start([Answer::Redirect]).await;
    let mut fine = Receiver::start([]).await;
    for endpoint in [&dead, &elsewhere, &fine] {
        hub.add(&endpoint.url, None).await;
    }
    hub.tell(0..100).await;
    for _ in 0..100 {
        fine.next().await;
    }
    // A device's events go one after the other, and there are five devices: of those at most four are under way.
    dead.next().await;
    let first = elsewhere.next().await;
    let mut tries = vec![first];
    for _ in 0..100 {
        tries.push(elsewhere.next().await);
    }
    let same = tries.iter().filter(|p| p.header("svix-id") == tries[0].header("svix-id")).count();
    assert_eq!(same, 2, "the redirected one was tried again, at the same place");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_devices_events_arrive_in_order_while_the_endpoint_takes_them() {
    let hub = Hub::new();
    let mut endpoint = Receiver::start([]).await;
    hub.add(&endpoint.url, None).await;
    hub.tell(0..200).await;
    let mut last = std::collections::HashMap::new();
    for _ in 0..200 {
        let event = endpoint.next().await.json();
        let at = event["created_at"].as_str().unwrap().to_owned();
        if let Some(before) = last.insert(event["device_id"].to_string(), at.clone()) {
            assert!(before < at, "{before} before {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_also_behind_a_name() {
    let mut hub = Hub::new();
    hub.restart(|settings| settings.private_addresses = false).await;
    let mut endpoint = Receiver::start([]).await;
    let named = endpoint.url.replace("127.0.0.1", "localhost");
    let webhooks = [hub.add(&endpoint.url, None).await, hub.add(&named, None).await];
    hub.tell(0..1).await;
    for webhook in &webhooks {
        hub.until("it says why", |hub| hub.state(webhook).contains("private")).await;
    }
    assert!(endpoint.has_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_disabled_told_and_goes_on_where_it_was_once_it_is_enabled() {
    let mut hub = Hub::new();
    let mut endpoint = Receiver::start([Answer::Status(410)]).await;
    let mut webhook = hub.add(&endpoint.url, None).await;
    hub.tell(0..1).await;
    endpoint.next().await;
    hub.until("it is disabled", |hub| hub.state(&webhook).starts_with("disabled since")).await;
    hub.tell(1..4).await;
    hub.until("the log is not held for it", |hub| hub.store.cursor(&sink_of(webhook.webhook_id)).unwrap() == 0).await;
    hub.restart(|_| {}).await;
    hub.until("it is still disabled", |hub| hub.state(&webhook).starts_with("disabled since")).await;
    assert!(endpoint.has_nothing());
    webhook.turn += 1;
    hub.write(&webhook).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(endpoint.next().await.json()["device_id"].as_str().unwrap().to_owned());
    }
    told.sort();
    assert_eq!(told, (0..4).map(|n| device(n).to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_spell_without_success_disables_too() {
    let mut hub = Hub::new();
    hub.restart(|settings| settings.pace.dead_after = Duration::from_millis(100)).await;
    let mut endpoint = Receiver::start([]).await;
    endpoint.answer(Answer::Status(500));
    let webhook = hub.add(&endpoint.url, None).await;
    hub.tell(0..1).await;
    endpoint.next().await;
    hub.until("it is disabled", |hub| hub.state(&webhook).contains("no event was taken")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_webhook_ends_its_tries_and_leaves_nothing_behind() {
    let hub = Hub::new();
    let mut endpoint = Receiver::start([]).await;
    endpoint.answer(Answer::Status(500));
    let webhook = hub.add(&endpoint.url, None).await;
    hub.tell(0..1).await;
    endpoint.next().await;
    hub.row(webhook.webhook_id, None).await;
    let sink = sink_of(webhook.webhook_id);
    hub.until("its part is gone", |hub| !hub.health.parts().contains_key(&sink)).await;
    hub.store.flush().await.unwrap();
    while !endpoint.has_nothing() {}
    let mut other = Receiver::start([]).await;
    hub.add(&other.url, None).await;
    hub.tell(1..2).await;
    other.next().await;
    assert!(endpoint.has_nothing());
    assert_eq!(hub.store.cursor(&sink).unwrap(), 0);
    assert!(
        hub.store
            .rows_after(RowKind::Delivery, "", 10)
            .unwrap()
            .iter()
            .all(|r| r.key != webhook.webhook_id.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn its_secret_is_nowhere_on_disk_in_the_clear() {
    let hub = Hub::new();
    let endpoint = Receiver::start([]).await;
    let secret = hub.add(&endpoint.url, None).await.secret.unwrap();
    hub.store.flush().await.unwrap();
    let held = |dir: &Path| {
        std::fs::read_dir(dir).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(secret.reveal().len()).any(|w| w == secret.reveal().as_bytes())
        })
    };
    assert!(!held(hub.dir.path()));
}
