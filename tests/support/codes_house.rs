//! A house whose locks have codes: the real daemon and its verbs, a real broker with a subscriber, emulated locks under the real driver.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::daemon::Daemon;
use super::mosquitto::Mosquitto;
use super::subscriber::Subscriber;
use super::zwave::Rig;
use portcullis::signal::DeviceKey;
use serde_json::{Value, json};
use tempfile::TempDir;

const HOME: u32 = 0x7e57_0001;
const NODES: [u16; 7] = [2, 3, 4, 5, 6, 7, 8];
/// For anything that a lock is to do; shorter than the subscriber's own.
const PATIENCE: Duration = Duration::from_secs(59);
/// So long that no number of anything else holds them.
pub const ADA: &str = "52709410";
pub const GRACE: &str = "52709411";
pub const BOB: &str = "52709412";
pub const CAROL: &str = "52709413";
pub const STRANGER: &str = "52709414";
pub const THIEF: &str = "52709415";
pub const DIGITS: [&str; 6] = [ADA, GRACE, BOB, CAROL, STRANGER, THIEF];

pub struct House {
    pub rig: Rig,
    _broker: Mosquitto,
    told: Subscriber,
    pub daemon: Option<Daemon>,
    config: String,
    dir: TempDir,
    nodes: BTreeMap<String, u16>,
    /// The codes that were told of, in their order.
    pub codes: Vec<String>,
    ids: BTreeSet<String>,
    /// The daemon was killed: what the broker had not yet been heard to have is sent again, as the same event.
    pub crashed: bool,
    /// All that was told.
    log: Vec<String>,
    /// All that the verbs said.
    pub said: String,
}

/// A verb that runs.
pub struct Verb(pub Child);

/// How a verb ended.
pub struct Done {
    pub succeeded: bool,
    pub out: String,
    pub err: String,
}

impl House {
    /// Two locks whose codes are managed, in two slots each; the third is observed, which is the default.
    pub async fn new() -> House {
        House::on(Rig::start().await, 6).await
    }

    /// With a fourth, which keeps dates.
    pub async fn dated() -> House {
        House::on(Rig::dated().await, 7).await
    }

    async fn on(rig: Rig, devices: usize) -> House {
        let broker = Mosquitto::start();
        let told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
        let nodes = NODES.map(|node| (DeviceKey::Zwave { home: HOME, node }.device_id(0).to_string(), node)).into();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let lock = |node: u16, name: &str, codes: &str| {
            format!("[[devices]]\nzwave = \"main\"\nnode = {node}\nname = {name:?}\n{codes}")
        };
        let manage = "codes = \"manage\"\nslots = \"4-5\"\n";
        let dated = "codes = \"manage\"\nslots = \"4-7\"\ntime_zone = \"Europe/Vienna\"\n";
        let locks = [
            lock(2, "Front door", manage),
            lock(3, "Back door", manage),
            lock(7, "Cellar", ""),
            lock(8, "Garden", dated),
        ];
        let locks = locks[..devices - 3].concat();
        let config = format!(
            "[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[[zwave]]\nname = \"main\"\nurl = {:?}\n{locks}",
            broker.port, rig.url
        );
        let (codes, log, said) = (Vec::new(), Vec::new(), String::new());
        let mut house = House {
            rig,
            _broker: broker,
            told,
            daemon: None,
            config,
            dir,
            nodes,
            codes,
            ids: BTreeSet::new(),
            crashed: false,
            log,
            said,
        };
        house.start_daemon();
        // Three of the account, two of each device.
        for _ in 0..3 + 2 * devices {
            house.next().await;
        }
        house
    }

    pub fn start_daemon(&mut self) {
        self.daemon = Some(Daemon::with(self.dir.path(), &self.config, &[("RUST_LOG", Path::new("debug"))]));
    }

    /// The next event: `NODE TYPE METHOD CODE DIGITS`, as far as it has them; codes are counted from 1.
    pub async fn next(&mut self) -> String {
        let event = loop {
            let Ok(told) = tokio::time::timeout(PATIENCE, self.told.next()).await else {
                let (log, said) = (&self.log, &self.said);
                panic!(
                    "nothing more is told after {log:#?}; the verbs said\n{said}\nthe daemon\n{}",
                    self.daemon_log()
                );
            };
            let event = told.json();
            if self.ids.insert(event["event_id"].as_str().expect("an id").to_owned()) {
                break event;
            }
            assert!(self.crashed, "told twice: {event}");
        };
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

    pub async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(&self.next().await, expected, "after {:#?}; the verbs said\n{}", self.log, self.said);
        }
    }

    /// Nothing more is to come: proved by an event that is told later than anything that is still under way could be.
    pub async fn nothing_more(&mut self) {
        for (name, told) in [("manual_unlock", "7 lock.unlocked unknown"), ("manual_lock", "7 lock.locked unknown")] {
            self.rig.node(7, "operate", json!({"name": name, "order": "no notification"})).await;
            self.expect(&[told]).await;
        }
    }

    /// Starts `portcullis codes`; `digits` go into the file that `FILE` among the arguments stands for.
    pub fn start(&self, arguments: &[&str], digits: &str) -> Verb {
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

    pub async fn end(&mut self, verb: Verb) -> Done {
        let ended = tokio::task::spawn_blocking(move || verb.0.wait_with_output()).await.expect("it ends");
        let output = ended.expect("its output");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let done = Done { succeeded: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) };
        self.said += &format!("{}{}", done.out, done.err);
        done
    }

    pub async fn codes(&mut self, arguments: &[&str], digits: &str) -> Done {
        let verb = self.start(arguments, digits);
        self.end(verb).await
    }

    pub async fn held(&self, node: u16) -> Value {
        self.rig.inside(node).await["codes"].clone()
    }

    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("a log")
    }

    /// Somebody enters the code of a slot, and locks the door by hand afterwards.
    pub async fn enters(&mut self, node: u16, slot: u16, told: &str) {
        self.rig.node(node, "operate", json!({"name": "keypad_unlock", "user": slot})).await;
        self.expect(&[told]).await;
        self.rig.operate(node, "manual_lock").await;
        self.expect(&[&format!("{node} lock.locked manual")]).await;
    }

    pub fn get(&self, path: &str) -> String {
        let answer = self.ask("GET", path, "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// An answer of the control socket, whole.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("state/control.sock")).expect("a control socket");
        let head = "host: hub\r\nconnection: close\r\ncontent-type: application/json";
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")
            .expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// No digits anywhere but on the events and in the locks.
    pub fn digits_are_nowhere(&self) {
        let mut places = vec![
            ("the daemon's log".to_owned(), self.daemon_log().into_bytes()),
            ("what the verbs said".to_owned(), self.said.clone().into_bytes()),
            ("/metrics".to_owned(), self.get("/metrics").into_bytes()),
            ("/health".to_owned(), self.get("/health").into_bytes()),
            ("the daemon's command line".to_owned(), command_line(self.daemon.as_ref().expect("it runs").id())),
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

pub fn assert_no_digits(place: &str, bytes: &[u8]) {
    let found = DIGITS.iter().find(|digits| bytes.windows(digits.len()).any(|w| w == digits.as_bytes()));
    if let Some(digits) = found {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(digits)).take(3).collect();
        panic!("{digits} in {place}: {lines:#?}");
    }
}

pub fn command_line(id: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{id}/cmdline")).expect("it runs")
}
