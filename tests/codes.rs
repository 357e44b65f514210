//! Access codes from the command line to the keypad and back: the real `portcullis run` and `portcullis codes`, a real Mosquitto, and
//! emulated locks under the real zwave-js driver and server. What a subscriber is told is what the locks did, in its order, none
//! twice; and no digits are where they need not be.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/zwave.rs"]
mod zwave;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use daemon::Daemon;
use mosquitto::Mosquitto;
use portcullis::signal::DeviceKey;
use serde_json::{Value, json};
use subscriber::Subscriber;
use tempfile::TempDir;
use zwave::Rig;

const HOME: u32 = 0x7e57_0001;
const NODES: [u16; 6] = [2, 3, 4, 5, 6, 7];
/// For anything that a lock is to do; shorter than the subscriber's own.
const PATIENCE: Duration = Duration::from_secs(59);
/// For so long the hub takes a lock's word of a slot that it has just written for an echo of that.
const ECHO: Duration = Duration::from_millis(5500);

/// So long that no number of anything else holds them.
const ADA: &str = "90417362";
const GRACE: &str = "58260914";
const BOB: &str = "37195048";
const CAROL: &str = "61820375";
const STRANGER: &str = "82736405";
const THIEF: &str = "14793058";
const DIGITS: [&str; 6] = [ADA, GRACE, BOB, CAROL, STRANGER, THIEF];

struct House {
    rig: Rig,
    _broker: Mosquitto,
    told: Subscriber,
    daemon: Daemon,
    dir: TempDir,
    nodes: BTreeMap<String, u16>,
    /// The codes that were told of, in their order.
    codes: Vec<String>,
    /// All that was told.
    log: Vec<String>,
    /// All that the verbs said.
    said: String,
}

/// A verb that runs.
struct Verb(Child);

/// How a verb ended.
struct Done {
    succeeded: bool,
    out: String,
    err: String,
}

impl House {
    /// Two locks whose codes are managed, in two slots each; the third is observed, which is the default.
    async fn new() -> House {
        let rig = Rig::start().await;
        let broker = Mosquitto::start();
        let told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
        let nodes = NODES.map(|node| (DeviceKey::Zwave { home: HOME, node }.device_id(0).to_string(), node)).into();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let lock = |node: u16, name: &str, codes: &str| {
            format!("[[devices]]\nzwave = \"main\"\nnode = {node}\nname = {name:?}\n{codes}")
        };
        let manage = "codes = \"manage\"\nslots = \"4-5\"\n";
        let locks = [lock(2, "Front door", manage), lock(3, "Back door", manage), lock(7, "Cellar", "")].concat();
        let config = format!(
            "[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[[zwave]]\nname = \"main\"\nurl = {:?}\n{locks}",
            broker.port, rig.url
        );
        let daemon = Daemon::with(dir.path(), &config, &[("RUST_LOG", Path::new("debug"))]);
        let (codes, log, said) = (Vec::new(), Vec::new(), String::new());
        let mut house = House { rig, _broker: broker, told, daemon, dir, nodes, codes, log, said };
        // Three of the account, two of each device.
        for _ in 0..3 + 2 * NODES.len() {
            house.next().await;
        }
        house
    }

    /// The next event: `NODE TYPE METHOD CODE DIGITS`, as far as it has them; codes are counted from 1.
    async fn next(&mut self) -> String {
        let Ok(told) = tokio::time::timeout(PATIENCE, self.told.next()).await else {
            panic!(
                "nothing more is told after {:#?}; the verbs said\n{}\nthe daemon\n{}",
                self.log,
                self.said,
                self.daemon_log()
            );
        };
        let event = told.json();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let node = self.nodes.get(&text("device_id")).map_or("-".into(), u16::to_string);
        let id = text("access_code_id");
        if !id.is_empty() && !self.codes.contains(&id) {
            self.codes.push(id.clone());
        }
        let code = self.codes.iter().position(|known| *known == id).map(|n| format!("#{}", n + 1)).unwrap_or_default();
        let words = [node, text("event_type"), text("method"), code, text("code")];
        let line = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        self.log.push(line.clone());
        line
    }

    async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(&self.next().await, expected, "after {:#?}; the verbs said\n{}", self.log, self.said);
        }
    }

    /// Nothing more is to come: proved by an event that is told later than anything that is still under way could be.
    async fn nothing_more(&mut self) {
        for (name, told) in [("manual_unlock", "7 lock.unlocked unknown"), ("manual_lock", "7 lock.locked unknown")] {
            self.rig.node(7, "operate", json!({"name": name, "order": "no notification"})).await;
            self.expect(&[told]).await;
        }
    }

    /// Starts `portcullis codes`; `digits` go into the file that `FILE` among the arguments stands for.
    fn start(&self, arguments: &[&str], digits: &str) -> Verb {
        let file = self.dir.path().join("digits");
        std::fs::write(&file, format!("{digits}\n")).expect("a file");
        let file = file.to_str().expect("a path");
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("codes")
            .args(arguments.iter().map(|a| if *a == "FILE" { file } else { a }))
            .arg("--config")
            .arg(self.dir.path().join("config.toml"))
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built");
        Verb(child)
    }

    async fn end(&mut self, verb: Verb) -> Done {
        let ended = tokio::task::spawn_blocking(move || verb.0.wait_with_output()).await.expect("it ends");
        let output = ended.expect("its output");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let done = Done { succeeded: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) };
        self.said += &format!("{}{}", done.out, done.err);
        done
    }

    async fn codes(&mut self, arguments: &[&str], digits: &str) -> Done {
        let verb = self.start(arguments, digits);
        self.end(verb).await
    }

    async fn held(&self, node: u16) -> Value {
        self.rig.inside(node).await["codes"].clone()
    }

    fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("a log")
    }

    /// Somebody enters the code of a slot, and locks the door by hand afterwards.
    async fn enters(&mut self, node: u16, slot: u16, told: &str) {
        self.rig.node(node, "operate", json!({"name": "keypad_unlock", "user": slot})).await;
        self.expect(&[told]).await;
        self.rig.operate(node, "manual_lock").await;
        self.expect(&[&format!("{node} lock.locked manual")]).await;
    }

    /// An answer of the control socket, whole.
    fn get(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("state/control.sock")).expect("a control socket");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// No digits anywhere but on the events and in the locks.
    fn digits_are_nowhere(&self) {
        let mut places = vec![
            ("the daemon's log".to_owned(), self.daemon_log().into_bytes()),
            ("what the verbs said".to_owned(), self.said.clone().into_bytes()),
            ("/metrics".to_owned(), self.get("/metrics").into_bytes()),
            ("/health".to_owned(), self.get("/health").into_bytes()),
            ("the daemon's command line".to_owned(), command_line(self.daemon.id())),
        ];
        for file in std::fs::read_dir(self.dir.path().join("state")).expect("a state directory") {
            let path = file.expect("a file").path();
            // A socket, or a directory, is not a file to read.
            if let Ok(bytes) = std::fs::read(&path) {
                places.push((path.display().to_string(), bytes));
            }
        }
        assert!(self.daemon_log().contains(" DEBUG "), "all that there is to log is logged");
        for (place, bytes) in places {
            assert_no_digits(&place, &bytes);
        }
    }
}

fn assert_no_digits(place: &str, bytes: &[u8]) {
    let found = DIGITS.iter().find(|digits| bytes.windows(digits.len()).any(|w| w == digits.as_bytes()));
    if let Some(digits) = found {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(digits)).take(3).collect();
        panic!("{digits} in {place}: {lines:#?}");
    }
}

fn command_line(id: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{id}/cmdline")).expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_from_the_command_line_to_the_keypad_and_back_and_each_step_is_told_once() {
    let mut house = House::new().await;

    let done = house.codes(&["set", "Front door", "--name", "Ada", "--code-file", "FILE", "--wait"], ADA).await;
    assert!(
        done.succeeded && done.out.contains("****") && done.out.contains("set, slot 4"),
        "{}{}",
        done.out,
        done.err
    );
    house.expect(&["2 access_code.created #1", &format!("2 access_code.set_on_device #1 {ADA}")]).await;
    assert_eq!(house.held(2).await, json!({"4": ADA}));
    house.enters(2, 4, "2 lock.unlocked keycode #1").await;

    // Other digits, another name.
    let ada = house.codes[0].clone();
    let done = house.codes(&["change", &ada, "--name", "Grace", "--code-file", "FILE", "--wait"], GRACE).await;
    assert!(done.succeeded && done.out.contains("Grace"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.changed #1", "2 access_code.name_changed #1", "2 access_code.code_changed #1"]).await;
    house.expect(&[&format!("2 access_code.set_on_device #1 {GRACE}")]).await;
    assert_eq!(house.held(2).await, json!({"4": GRACE}));

    // The same digits twice on one lock: refused before the lock hears of it.
    let writes = house.rig.inside(2).await["writes"].clone();
    let done = house.codes(&["set", "Front door", "--code-file", "FILE", "--wait"], GRACE).await;
    assert!(!done.succeeded && done.err.contains("same digits"), "{}{}", done.out, done.err);
    assert_eq!(house.rig.inside(2).await["writes"], writes);

    // A code that somebody programs at the keypad, outside our slots.
    house.rig.node(2, "program", json!({"slot": 9, "code": STRANGER})).await;
    house.expect(&["2 access_code.unmanaged.created #2"]).await;
    house.enters(2, 9, "2 lock.unlocked keycode #2").await;
    house.rig.node(2, "program", json!({"slot": 9})).await;
    house.expect(&["2 access_code.unmanaged.removed #2"]).await;

    // On User Credential, too.
    let done = house.codes(&["set", "Back door", "--name", "Bob", "--code-file", "FILE", "--wait"], BOB).await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    house.expect(&["3 access_code.created #3", &format!("3 access_code.set_on_device #3 {BOB}")]).await;
    assert_eq!(house.held(3).await, json!({"4": BOB}));
    let bob = house.codes[2].clone();
    let done = house.codes(&["remove", &bob, "--wait"], "").await;
    assert!(done.succeeded && done.out.contains("gone"), "{}{}", done.out, done.err);
    house.expect(&["3 access_code.removed_from_device #3", "3 access_code.deleted #3"]).await;
    assert_eq!(house.held(3).await, json!({}));

    let done = house.codes(&["list"], "").await;
    assert!(done.out.lines().count() == 1 && done.out.contains("Grace"), "{}{}", done.out, done.err);
    let done = house.codes(&["remove", &ada, "--wait"], "").await;
    assert!(done.succeeded && done.out.contains("gone"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.removed_from_device #1", "2 access_code.deleted #1"]).await;
    assert_eq!(house.held(2).await, json!({}));
    house.nothing_more().await;
    house.digits_are_nowhere();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_codes_and_locks_that_do_not_obey_are_told_and_an_observed_lock_is_never_written() {
    let mut house = House::new().await;
    // The driver writes once when it gets to know a lock.
    let before = house.rig.inside(7).await["writes"].clone();
    let set = |name: &'static str| ["set", "Front door", "--name", name, "--code-file", "FILE", "--wait"];
    assert!(house.codes(&set("Ada"), ADA).await.succeeded, "{}", house.said);
    let ada_set = format!("2 access_code.set_on_device #1 {ADA}");
    house.expect(&["2 access_code.created #1", &ada_set]).await;

    // Somebody changes it at the keypad: it is put back. Again, by erasing it: it is left to them, until a user says otherwise.
    tokio::time::sleep(ECHO).await;
    house.rig.node(2, "program", json!({"slot": 4, "code": THIEF})).await;
    house.expect(&["2 access_code.modified_external_to_seam #1", &ada_set]).await;
    assert_eq!(house.held(2).await, json!({"4": ADA}));
    tokio::time::sleep(ECHO).await;
    house.rig.node(2, "program", json!({"slot": 4})).await;
    house.expect(&["2 access_code.deleted_external_to_seam #1", "2 access_code.failed_to_set_on_device #1"]).await;
    assert_eq!(house.held(2).await, json!({}));
    let done = house.codes(&["list", "Front door"], "").await;
    assert!(done.out.contains("it is left alone"), "{}", done.out);
    let ada = house.codes[0].clone();
    let done = house.codes(&["change", &ada, "--name", "Grace", "--wait"], "").await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    house.expect(&["2 access_code.changed #1", "2 access_code.name_changed #1", &ada_set]).await;
    assert_eq!(house.held(2).await, json!({"5": ADA}), "in another slot");

    // One that is erased once is put back.
    tokio::time::sleep(ECHO).await;
    house.rig.node(2, "program", json!({"slot": 5})).await;
    house.expect(&["2 access_code.deleted_external_to_seam #1", &ada_set]).await;
    assert_eq!(house.held(2).await, json!({"5": ADA}));

    // A lock that ignores what it takes is not believed; once it obeys, the code is set.
    house.rig.node(2, "behave", json!({"codes": "ignored"})).await;
    let verb = house.start(&set("Carol"), CAROL);
    assert_no_digits("a verb's command line", &command_line(verb.0.id()));
    house.expect(&["2 access_code.created #2", "2 access_code.failed_to_set_on_device #2"]).await;
    assert_eq!(house.held(2).await, json!({"5": ADA}));
    house.rig.node(2, "behave", json!({"codes": null})).await;
    house.expect(&[&format!("2 access_code.set_on_device #2 {CAROL}")]).await;
    let done = house.end(verb).await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    assert!(done.out.contains("did not"), "it says why it takes so long: {}", done.out);
    assert_eq!(house.held(2).await, json!({"4": CAROL, "5": ADA}));

    // No third slot: told, and never written elsewhere.
    let done = house.codes(&["set", "Front door", "--code-file", "FILE", "--wait", "2"], BOB).await;
    assert!(!done.succeeded && done.out.contains("All slots"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.created #3", "2 access_code.failed_to_set_on_device #3"]).await;
    assert_eq!(house.held(2).await, json!({"4": CAROL, "5": ADA}));

    // A lock that is only observed: nothing is written, all is told.
    let done = house.codes(&["set", "Cellar", "--code-file", "FILE", "--wait"], BOB).await;
    assert!(!done.succeeded && done.err.contains("only observed"), "{}{}", done.out, done.err);
    house.rig.node(7, "program", json!({"slot": 2, "code": STRANGER})).await;
    house.expect(&["7 access_code.unmanaged.created #4"]).await;
    house.enters(7, 2, "7 lock.unlocked keycode #4").await;
    let inside = house.rig.inside(7).await;
    assert_eq!((&inside["writes"], &inside["codes"]), (&before, &json!({"2": STRANGER})));
    house.nothing_more().await;
    house.digits_are_nowhere();
}
