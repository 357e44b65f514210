//! What the hub asks of Z-Wave locks, on the real zwave-js driver and server: doors are locked and unlocked, codes are written, read and
//! erased, and each way in which a lock fails or misbehaves is told as what it is.

#[path = "support/zwave.rs"]
mod zwave;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::{Config, ZwaveSection};
use portcullis::engine::Clock;
use portcullis::health::Health;
use portcullis::hub::{Action, CodeDraft, Command, Input, RowKind};
use portcullis::service::Running;
use portcullis::signal::{CodeNotice, DeviceKey, LinkNews, Outcome, Secret, Signal};
use portcullis::source::zwave::{Rules, link};
use portcullis::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use zwave::Rig;

const HOME: u32 = 0x7e57_0001;
/// For anything that a real driver is to say.
const PATIENCE: Duration = Duration::from_secs(60);

fn node(node: u16) -> DeviceKey {
    DeviceKey::Zwave { home: HOME, node }
}

/// The link to the network, without a hub: what is asked goes in, what nodes said of their codes comes out.
struct Link {
    rig: Rig,
    actions: mpsc::UnboundedSender<Action>,
    inputs: mpsc::Receiver<Input>,
}

impl Link {
    async fn new() -> Link {
        let rig = Rig::start().await;
        let (actions, asked) = mpsc::unbounded_channel();
        let (hand, inputs) = mpsc::channel(4096);
        tokio::spawn(link::run(link::Network {
            server: ZwaveSection {
                name: "main".into(),
                url: rig.url.clone(),
                username: None,
                password_file: None,
                ca_file: None,
            },
            rules: Rules::new(),
            inputs: hand,
            actions: asked,
            clock: Clock::start(),
            health: Arc::new(Health::default()),
            tap: None,
        }));
        let mut link = Link { rig, actions, inputs };
        while !matches!(link.input().await, Input::Link(_, LinkNews::BridgeSynced { .. })) {}
        link
    }

    async fn input(&mut self) -> Input {
        tokio::time::timeout(PATIENCE, self.inputs.recv()).await.expect("something is said").expect("the link lives")
    }

    fn ask(&self, action: Action) {
        self.actions.send(action).expect("the link lives");
    }

    fn set(&self, on: u16, slot: u16, digits: &str) {
        self.ask(Action::SetCode { device: node(on), slot, digits: Secret::new(digits) });
    }

    fn clear(&self, on: u16, slot: u16) {
        self.ask(Action::ClearCode { device: node(on), slot });
    }

    fn read(&self, on: u16, slot: u16) {
        self.ask(Action::ReadCode { device: node(on), slot });
    }

    /// The next that is said of a code of this node, other than that it was taken.
    async fn told(&mut self, of: u16) -> CodeNotice {
        loop {
            let Input::Report(report) = self.input().await else { continue };
            let codes = report.signals.into_iter().filter_map(|s| if let Signal::Code(c) = s { Some(c) } else { None });
            let mut codes = codes.filter(|c| !matches!(c, CodeNotice::Accepted { .. }));
            if report.device == node(of)
                && let Some(code) = codes.next()
            {
                return code;
            }
        }
    }

    /// Waits for this to be said; whatever else is said of this node's codes before must be of another slot, or the same.
    async fn expect(&mut self, of: u16, expected: CodeNotice) {
        let mut before = Vec::new();
        loop {
            let told = self.told(of).await;
            if told == expected {
                return;
            }
            before.push(told);
            assert!(before.len() < 10, "{expected:?} does not come, but {before:?}");
        }
    }
}

fn held(slot: u16, digits: &str) -> CodeNotice {
    CodeNotice::Slot { slot, digits: Some(Secret::new(digits)) }
}

fn empty(slot: u16) -> CodeNotice {
    CodeNotice::Slot { slot, digits: None }
}

fn refused(slot: u16, reason: Outcome) -> CodeNotice {
    CodeNotice::Refused { slot, reason }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_written_changed_erased_and_read_back_on_each_kind_of_lock() {
    let mut link = Link::new().await;
    // User Code version 2, User Credential, User Code version 1.
    for lock in [2, 3, 7] {
        link.set(lock, 4, "0815");
        link.expect(lock, held(4, "0815")).await;
        assert_eq!(link.rig.inside(lock).await["codes"], json!({"4": "0815"}), "node {lock}");
        link.set(lock, 4, "471100");
        link.expect(lock, held(4, "471100")).await;
        link.set(lock, 5, "0000");
        link.expect(lock, held(5, "0000")).await;
        assert_eq!(link.rig.inside(lock).await["codes"], json!({"4": "471100", "5": "0000"}), "node {lock}");
        link.clear(lock, 4);
        link.expect(lock, empty(4)).await;
        link.clear(lock, 4);
        link.expect(lock, empty(4)).await;
        link.read(lock, 5);
        link.expect(lock, held(5, "0000")).await;
        assert_eq!(link.rig.inside(lock).await["codes"], json!({"5": "0000"}), "node {lock}");
    }
    // A credential may be held only once.
    link.set(3, 6, "0000");
    link.expect(3, refused(6, Outcome::Duplicate)).await;
    // More slots than there are.
    link.set(7, 9, "1234");
    link.expect(7, refused(9, Outcome::Refused)).await;
    // What no keypad can type never reaches the lock.
    let writes = link.rig.inside(2).await["writes"].clone();
    link.set(2, 6, "12");
    link.expect(2, refused(6, Outcome::Refused)).await;
    assert_eq!(link.rig.inside(2).await["writes"], writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_misbehaves_with_codes_is_found_out() {
    let mut link = Link::new().await;
    link.set(2, 3, "1111");
    link.expect(2, held(3, "1111")).await;

    // It takes the frame, and does nothing.
    link.rig.node(2, "behave", json!({"codes": "ignored"})).await;
    link.set(2, 3, "2222");
    link.expect(2, held(3, "1111")).await;
    link.set(2, 4, "2222");
    link.expect(2, empty(4)).await;
    link.rig.node(3, "behave", json!({"codes": "ignored"})).await;
    link.set(3, 4, "2222");
    link.expect(3, refused(4, Outcome::Refused)).await;

    // It shows asterisks.
    link.rig.node(2, "behave", json!({"codes": "hidden"})).await;
    link.set(2, 5, "3333");
    link.expect(2, CodeNotice::Hidden { slot: 5 }).await;
    link.read(2, 6);
    link.expect(2, empty(6)).await;
    link.rig.node(2, "behave", json!({"codes": null})).await;
    link.read(2, 5);
    link.expect(2, held(5, "3333")).await;

    // It is programmed and erased at its keypad.
    link.rig.node(2, "program", json!({"slot": 8, "code": "7777"})).await;
    link.expect(2, CodeNotice::Added { slot: 8 }).await;
    link.read(2, 8);
    link.expect(2, held(8, "7777")).await;
    link.rig.node(2, "program", json!({"slot": 8})).await;
    link.expect(2, CodeNotice::Deleted { slot: 8 }).await;
    link.read(2, 8);
    link.expect(2, empty(8)).await;

    // It dies midway, and takes nobody along: the other lock's codes are written meanwhile.
    link.rig.node(3, "behave", json!({"codes": null})).await;
    link.rig.node(2, "behave", json!({"codes": "dies"})).await;
    link.set(2, 9, "9999");
    let begun = Instant::now();
    for slot in 1..=5 {
        link.set(7, slot, &format!("700{slot}"));
    }
    link.set(3, 1, "3001");
    let (mut of_dead, mut of_others) = (Vec::new(), BTreeSet::new());
    while of_dead.is_empty() || of_others.len() < 6 {
        let Input::Report(report) = link.input().await else { continue };
        for signal in report.signals {
            match signal {
                Signal::Code(notice @ CodeNotice::Refused { .. }) => of_dead.push((report.device, notice)),
                Signal::Code(CodeNotice::Slot { slot, digits: Some(_) }) if report.device != node(2) => {
                    of_others.insert((report.device, slot));
                }
                _ => {}
            }
        }
    }
    assert_eq!(of_dead, [(node(2), refused(9, Outcome::Unreachable))]);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());

    // It is back: what it took before it died is there.
    link.rig.node(2, "behave", json!({"codes": null})).await;
    link.rig.node(2, "revive", json!({})).await;
    link.read(2, 9);
    link.expect(2, held(9, "9999")).await;

    // The bridge goes away in the middle of things: everything that was asked is answered.
    link.rig.kill_bridge().await;
    for slot in 1..=20 {
        link.read(2, slot);
    }
    for slot in 1..=20 {
        link.expect(2, refused(slot, Outcome::LinkDown)).await;
    }
}

/// A whole hub on the network; its hand is ours.
struct Hub {
    rig: Rig,
    running: Running,
    seq: u64,
    _dir: TempDir,
}

/// Virtual seconds in a second: time-outs of the hub are waited for.
const SPEED: f64 = 4.0;

impl Hub {
    async fn new() -> Hub {
        Hub::with("").await
    }

    /// With this beside the network in its configuration.
    async fn with(devices: &str) -> Hub {
        let rig = Rig::start().await;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "state_dir = {:?}\n[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[zwave]]\nname = \"main\"\nurl = {:?}\n{devices}",
            dir.path(),
            rig.url
        );
        let config = Config::parse(&config, Path::new("/"), HashMap::new()).expect("a configuration");
        let running = Running::start(config, Clock::at_speed(SPEED)).await.expect("a hub");
        let mut hub = Hub { rig, running, seq: 0, _dir: dir };
        while hub.event().await["event_type"] != "connected_account.completed_first_sync" {}
        hub.nothing_is_waited_for().await;
        hub
    }

    fn store(&self) -> &Store {
        &self.running.store
    }

    async fn event(&mut self) -> Value {
        let mut head = self.store().head();
        let next = async {
            loop {
                if let Some(stored) = self.store().events_after(self.seq, 1).expect("a log").pop() {
                    return stored;
                }
                head.changed().await.expect("a store");
            }
        };
        let stored = tokio::time::timeout(PATIENCE, next).await.expect("an event in time");
        self.seq = stored.seq;
        serde_json::from_str(&stored.body).expect("JSON")
    }

    /// Whatever is told until a lock says something that it was made to say.
    async fn nothing_is_waited_for(&mut self) {
        self.rig.operate(7, "manual_unlock").await;
        while self.event().await["event_type"] != "lock.unlocked" {}
    }

    async fn ask(&self, on: u16, lock: bool) -> Value {
        let device_id = node(on).device_id(0);
        self.running.hand.command(Command::Lock { device_id, lock }).await.expect("an attempt")
    }

    /// What is told until this attempt has ended, as words; and how it ended.
    async fn end_of(&mut self, attempt: &Value) -> (Vec<String>, Value) {
        let id = attempt["action_attempt_id"].clone();
        let mut told = Vec::new();
        loop {
            let event = self.event().await;
            let ours = event["action_attempt_id"] == id;
            let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let line = [
                word("event_type"),
                word("method"),
                word("error_code"),
                if ours { "ours".into() } else { String::new() },
            ];
            told.push(line.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "));
            if ours && word("event_type").starts_with("action_attempt.") {
                let rows = self.store().state().expect("a state");
                let row = rows.into_iter().find(|r| r.kind == RowKind::Attempt && json!(r.key) == id);
                return (told, row.and_then(|r| r.value).expect("remembered"));
            }
        }
    }

    /// The next event of this type; whatever else is told before is passed over.
    async fn told(&mut self, event_type: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["event_type"] == event_type {
                return event;
            }
        }
    }

    async fn command(&self, command: Command) -> Value {
        self.running.hand.command(command).await.expect("the hub does it")
    }

    async fn word(&mut self) -> String {
        let event = self.event().await;
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("event_type"), word("method")).trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_are_locked_and_unlocked_and_each_failure_has_its_type() {
    let mut hub = Hub::new().await;

    let attempt = hub.ask(2, false).await;
    assert_eq!(attempt["status"], "pending");
    let (mut told, end) = hub.end_of(&attempt).await;
    while !told.iter().any(|t| t.starts_with("lock.")) {
        told.push(hub.word().await);
    }
    told.sort();
    assert_eq!(end["status"], "success", "{end}");
    assert_eq!(told.iter().filter(|t| t.starts_with("lock.")).count(), 1, "{told:?}");
    assert!(told.iter().any(|t| t.starts_with("lock.unlocked seamapi")), "{told:?}");
    assert_eq!(hub.rig.inside(2).await["mode"], 0);

    // It is there already: the lock is asked, and says so again by notification and report.
    let attempt = hub.ask(2, false).await;
    let (_, end) = hub.end_of(&attempt).await;
    assert_eq!(end["status"], "success", "{end}");

    // It moves, and says nothing: it is asked.
    hub.rig.node(3, "behave", json!({"mute": true})).await;
    let attempt = hub.ask(3, false).await;
    let (_, end) = hub.end_of(&attempt).await;
    assert_eq!(end["status"], "success", "{end}");
    while hub.word().await != "lock.unlocked seamapi" {}

    // It jams; once more, it jams once more.
    hub.rig.node(2, "behave", json!({"jams": true})).await;
    for _ in 0..2 {
        let attempt = hub.ask(2, true).await;
        let (told, end) = hub.end_of(&attempt).await;
        assert_eq!((end["status"].as_str(), end["error"]["type"].as_str()), (Some("error"), Some("lock_jammed")));
        assert!(!told.iter().any(|t| t.starts_with("lock.locked")), "{told:?}");
    }
    hub.rig.node(2, "behave", json!({"jams": false})).await;
    let attempt = hub.ask(2, true).await;
    let (_, end) = hub.end_of(&attempt).await;
    assert_eq!(end["status"], "success", "{end}");

    // It takes the command and does nothing.
    hub.rig.node(3, "behave", json!({"mute": false, "stands": true})).await;
    let before = hub.rig.inside(3).await["operations"].as_u64().unwrap();
    let attempt = hub.ask(3, true).await;
    let (told, end) = hub.end_of(&attempt).await;
    assert_eq!(end["error"]["type"], "timed_out", "{told:?} {end}");
    assert_eq!(hub.rig.inside(3).await["operations"].as_u64().unwrap() - before, 1, "asked once");

    // It is dead.
    hub.rig.node(2, "die", json!({})).await;
    let attempt = hub.ask(2, false).await;
    let (told, end) = hub.end_of(&attempt).await;
    assert_eq!(end["error"]["type"], "device_disconnected", "{told:?} {end}");

    // The bridge is gone.
    hub.rig.kill_bridge().await;
    let attempt = hub.ask(3, false).await;
    let (told, end) = hub.end_of(&attempt).await;
    assert_eq!(end["error"]["type"], "hub_disconnected", "{told:?} {end}");
    hub.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codes_life_is_told_from_what_a_real_lock_did() {
    let manage =
        |node: u16| format!("[[devices]]\nzwave = \"main\"\nnode = {node}\ncodes = \"manage\"\nslots = \"4-5\"\n");
    let mut hub = Hub::with(&[2, 3, 7].map(manage).concat()).await;
    let digits = |digits: &str| CodeDraft { code: Some(Secret::new(digits)), ..CodeDraft::default() };
    // User Code version 2, User Credential, User Code version 1.
    for lock in [2, 3, 7] {
        let device_id = node(lock).device_id(0);
        let code = hub.command(Command::CreateCode { device_id, draft: digits("4711") }).await;
        let access_code_id = code["access_code_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let set = hub.told("access_code.set_on_device").await;
        assert_eq!((&set["access_code_id"], &set["code"]), (&code["access_code_id"], &json!("4711")), "node {lock}");
        let inside = hub.rig.inside(lock).await["codes"].as_object().cloned().expect("codes");
        let (slot, held) = inside.iter().next().expect("one code");
        assert_eq!((inside.len(), held), (1, &json!("4711")), "node {lock}");

        // Whoever enters it is named.
        let user: u16 = slot.parse().expect("a slot");
        hub.rig.node(lock, "operate", json!({"name": "keypad_unlock", "user": user, "short": true})).await;
        let unlocked = hub.told("lock.unlocked").await;
        assert_eq!((&unlocked["method"], &unlocked["access_code_id"]), (&json!("keycode"), &code["access_code_id"]));

        hub.command(Command::ChangeCode { access_code_id, draft: digits("08150") }).await;
        hub.told("access_code.code_changed").await;
        let changed = async { while hub.rig.inside(lock).await["codes"] != json!({slot: "08150"}) {} };
        tokio::time::timeout(PATIENCE, changed).await.expect("the lock has the new digits");

        hub.command(Command::DeleteCode { access_code_id }).await;
        hub.told("access_code.removed_from_device").await;
        assert_eq!(hub.rig.inside(lock).await["codes"], json!({}), "node {lock}");
    }

    // A code of somebody else.
    hub.rig.node(2, "program", json!({"slot": 9, "code": "9999"})).await;
    hub.told("access_code.unmanaged.created").await;
    hub.rig.node(2, "program", json!({"slot": 9})).await;
    hub.told("access_code.unmanaged.removed").await;

    // A lock that ignores a code is not believed; once it obeys, it is told.
    hub.rig.node(2, "behave", json!({"codes": "ignored"})).await;
    let device_id = node(2).device_id(0);
    hub.command(Command::CreateCode { device_id, draft: digits("2468") }).await;
    while hub.rig.inside(2).await["writes"].as_u64() < Some(4) {
        tokio::task::yield_now().await;
    }
    hub.rig.node(2, "behave", json!({"codes": null})).await;
    hub.told("access_code.set_on_device").await;
    let inside = hub.rig.inside(2).await["codes"].as_object().cloned().expect("codes");
    assert!(inside.values().any(|held| held == "2468"), "{inside:?}");
    hub.running.stop(true).await;
}
