//! `portcullis setup`: what is there is found, little is asked, what is written harms nobody, and what was there is kept.
//!
//! Against a real Mosquitto and the real Z-Wave driver and server; answered on a real pseudo-terminal or through a pipe.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/zwave.rs"]
mod zwave;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mosquitto::Mosquitto;
use portcullis::config::Config;
use portcullis::hub::Adopt;
use serde_json::Value;
use tempfile::TempDir;

/// Nobody listens there.
const NOBODY: [&str; 6] =
    ["--mqtt", "mqtt://127.0.0.1:1", "--zwave", "ws://127.0.0.1:1", "--home-assistant", "127.0.0.1:1"];

struct Place {
    dir: TempDir,
}

#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.config()).unwrap_or_default()
    }

    fn load(&self) -> Config {
        Config::load(&self.config()).unwrap()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.config(), text).unwrap();
    }

    /// Everything there but the configuration, the state and what it was started with.
    fn others(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| *path != self.config() && path.is_file()).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("setup").args(arguments).arg("--config").arg(self.config());
        command.arg("--state-dir").arg(self.dir.path().join("state"));
        // No Bluetooth of this machine.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus").env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    /// With these answers, a line each, through a pipe.
    fn run(&self, arguments: &[&str], answers: &str) -> Done {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that asks nothing may be gone before it is answered.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        let done = child.wait_with_output().unwrap();
        let out = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
        Done { code: done.status.code(), out }
    }

    /// On a pseudo-terminal: each answer is typed once its question is there. Returns what the terminal showed.
    fn type_in(&self, arguments: &[&str], answers: &[(&str, &str)]) -> Done {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let side = || Stdio::from(terminal.slave.try_clone().unwrap());
        let mut child = self.command(arguments).stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        drop(terminal.slave);
        let mut master = std::fs::File::from(terminal.master);
        let (mut shown, mut seen) = (String::new(), 0);
        let mut answers = answers.iter();
        let mut next = answers.next();
        let mut buffer = [0; 4096];
        // The other side closed is an error here.
        while let Ok(n) = master.read(&mut buffer) {
            if n == 0 {
                break;
            }
            shown += &String::from_utf8_lossy(&buffer[..n]);
            if let Some((question, answer)) = next
                && let Some(at) = shown[seen..].find(question)
            {
                seen += at + question.len();
                master.write_all(format!("{answer}\n").as_bytes()).unwrap();
                next = answers.next();
            }
        }
        assert_eq!(next, None, "not asked:\n{shown}");
        Done { code: child.wait().unwrap().code(), out: shown }
    }
}

/// A broker that lets nobody in but `hub` with `quite-secret`.
fn strict_broker() -> Mosquitto {
    let prepare = |dir: &Path| {
        let file = dir.join("passwd");
        let made =
            Command::new("mosquitto_passwd").args(["-c", "-b"]).arg(&file).args(["hub", "quite-secret"]).status();
        assert!(made.unwrap().success());
    };
    Mosquitto::prepared("allow_anonymous false\npassword_file {dir}/passwd\n", prepare)
}

fn harms_nobody(config: &Config) {
    assert_eq!((config.adopt.ble, config.adopt.zwave), (Adopt::Listed, Adopt::Known));
    assert!(!config.adopt.codes.manage && config.ble.shared && !config.mqtt.commands);
    assert!(config.devices.is_empty() && config.http.listen.starts_with("127.0.0.1:"));
}

/// What is said to JSON readers.
fn told(done: &Done) -> Value {
    serde_json::from_str(done.out.lines().next().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {done:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_found_and_becomes_a_commented_configuration_that_harms_nobody() {
    let (rig, broker, place) = (zwave::Rig::start().await, Mosquitto::start(), Place::new());
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let places = ["--mqtt", &url, "--zwave", &rig.url, "--home-assistant", "127.0.0.1:1"];
    let done = place.run(&[&["--yes", "--json", "--name", "hotel"], places.as_slice()].concat(), "");
    let told = told(&done);
    assert_eq!((done.code, &told["ok"]), (Some(0), &true.into()), "{told:#}");
    let found = told["found"].to_string();
    assert!(found.contains("home id") && found.contains("takes our messages"), "{found}");
    let config = place.load();
    harms_nobody(&config);
    assert_eq!((config.hub.name.as_str(), config.mqtt.url.as_str()), ("hotel", url.as_str()));
    assert_eq!((config.zwave[0].name.as_str(), &config.zwave[0].url), ("main", &rig.url));
    // There is no adapter, and something else to listen to: its absence is no fault.
    assert!(!config.ble.enabled);
    // Every key is still explained.
    let comments = |text: &str| text.lines().filter(|l| l.starts_with("# ")).map(str::to_owned).collect::<Vec<_>>();
    let all = comments(&place.text());
    for comment in comments(include_str!("../config.toml.example")) {
        assert!(all.contains(&comment), "{comment}");
    }
    assert_eq!(std::fs::metadata(place.config()).unwrap().permissions().mode() & 0o777, 0o640);

    // Again: nothing is new, so nothing is written.
    let before = place.text();
    let again = place.run(&[&["--yes"], places.as_slice()].concat(), "");
    assert!(again.code == Some(0) && again.out.contains("needs no change"), "{again:?}");
    assert!(again.out.contains("is configured: home id"), "{again:?}");
    assert_eq!((place.text(), place.others()), (before, vec![]));
}

#[test]
fn a_broker_that_wants_a_password_gets_one_that_no_terminal_shows() {
    let (broker, place) = (strict_broker(), Place::new());
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let answers = [
        ("Name of this hub", "porch"),
        ("Z-Wave JS server", ""),
        ("user name at mqtt://", "hub"),
        ("Its password", "not-so-secret"),
        ("does not let \"hub\" in", ""),
        ("user name at mqtt://", "hub"),
        ("Its password", "quite-secret"),
        ("Go on? [Y/n]", ""),
    ];
    // An answer to what is no question would be one too many.
    let answers: Vec<_> = answers.into_iter().filter(|(question, _)| !question.starts_with("does")).collect();
    let done =
        place.type_in(&["--mqtt", &url, "--zwave", "ws://127.0.0.1:1", "--home-assistant", "127.0.0.1:1"], &answers);
    assert!(done.out.contains("does not let \"hub\" in"), "{}", done.out);
    assert!(done.out.contains("gave it back"), "the doctor found it: {}", done.out);
    assert!(!done.out.contains("secret"), "{}", done.out);
    let config = place.load();
    harms_nobody(&config);
    let file = place.dir.path().join("mqtt_password");
    assert_eq!((config.mqtt.username.as_deref(), config.mqtt.password_file.as_ref()), (Some("hub"), Some(&file)));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "quite-secret");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o007, 0);
    assert!(!place.text().contains("quite-secret"));
    assert_eq!(place.others(), [file], "nothing is left over");
}

#[test]
fn a_script_gives_the_password_in_a_file_and_a_wrong_one_writes_nothing() {
    let (broker, place) = (strict_broker(), Place::new());
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let given = tempfile::NamedTempFile::new().unwrap();
    let file = given.path().to_str().unwrap();
    let arguments = [
        "--yes",
        "--mqtt",
        &url,
        "--zwave",
        "ws://127.0.0.1:1",
        "--mqtt-username",
        "hub",
        "--mqtt-password-file",
        file,
    ];
    std::fs::write(given.path(), "wrong\n").unwrap();
    let done = place.run(&arguments, "");
    assert!(done.code == Some(1) && done.out.contains("does not let"), "{done:?}");
    assert!(!place.config().exists() && place.others().is_empty(), "{:?}", place.others());
    std::fs::write(given.path(), "quite-secret\n").unwrap();
    let done = place.run(&arguments, "");
    assert!(done.out.contains("gave it back"), "{done:?}");
}

#[test]
fn what_was_configured_stays_with_its_comments_and_a_copy_beside_it() {
    let (place, broker) = (Place::new(), Mosquitto::start());
    let mine = format!(
        "# Mine.\nstate_dir = {:?}\n[hub]\nname = \"old-name\" # never change\ntime_zone = \"Asia/Tokyo\"\n[adopt]\nble = \"known\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:{}\" # ours\nversion = 4\nprefix = \"a/b\"\n[events]\nretention_days = 7\n\
         [[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nbindkey = \"231d39c1d7cc1ab1aee224cd096db932\"\n",
        place.dir.path().join("state"),
        broker.port
    );
    place.write(&mine);
    std::fs::set_permissions(place.config(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = place.load();
    let home_assistant = home_assistant();
    let arguments = ["--zwave", "ws://127.0.0.1:1", "--home-assistant", &home_assistant];
    // A server on another machine, that nobody reaches now; shown in Home Assistant; go on.
    let done = place.run(&arguments, "ws://zwave.lan:3000\ny\ny\n");
    assert!(done.out.contains("Home Assistant  is here"), "{done:?}");
    let mut after = place.load();
    assert_eq!(after.zwave.remove(0).url, "ws://zwave.lan:3000");
    assert!(std::mem::take(&mut after.mqtt.home_assistant));
    assert_eq!(after, before);
    let text = place.text();
    assert!(text.contains("# Mine.") && text.contains("# never change") && text.contains("# ours"), "{text}");
    let copies = place.others();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(std::fs::read_to_string(&copies[0]).unwrap(), mine);
    for file in [&place.config(), &copies[0]] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn who_says_no_or_goes_away_has_changed_nothing() {
    for answers in ["porch\n\nmqtt://127.0.0.1:1\nn\n", "porch\n", ""] {
        let place = Place::new();
        let done = place.run(&NOBODY, answers);
        assert!(done.code == Some(1) && done.out.contains("nothing was written"), "{answers:?}: {done:?}");
        assert!(!place.config().exists() && place.others().is_empty());
    }
}

#[test]
fn nothing_there_is_said_and_a_configuration_is_written_all_the_same() {
    let place = Place::new();
    let done = place.run(&[&["--yes"], NOBODY.as_slice()].concat(), "");
    assert_eq!(done.code, Some(1), "the doctor is not content: {done:?}");
    for word in ["no Z-Wave JS server", "MQTT broker     none", "is not here", "WRONG  mqtt"] {
        assert!(done.out.contains(word), "{word}: {}", done.out);
    }
    let config = place.load();
    harms_nobody(&config);
    assert!(config.ble.enabled, "there is nothing else to listen to");
}

#[test]
fn a_wrong_answer_is_asked_again_with_what_would_be_right() {
    let place = Place::new();
    let answers = "a b\nporch\nhttp://x\n\nbroker\nmqtt://127.0.0.1:2\ny\n";
    let done = place.run(&NOBODY, answers);
    for word in ["letters, digits, _ and -", "ws://zwave.lan:3000", "mqtt://broker.lan:1883"] {
        assert!(done.out.contains(word), "{word}: {}", done.out);
    }
    assert_eq!((place.load().hub.name.as_str(), place.load().mqtt.url.as_str()), ("porch", "mqtt://127.0.0.1:2"));
}

#[test]
fn a_configuration_that_is_wrong_is_left_to_its_owner() {
    let place = Place::new();
    place.write("[mqtt]\nversion = 7\n");
    let done = place.run(&[&["--yes"], NOBODY.as_slice()].concat(), "");
    assert!(done.code == Some(2) && done.out.contains("mqtt.version"), "{done:?}");
    assert_eq!((place.text().as_str(), place.others()), ("[mqtt]\nversion = 7\n", vec![]));
}

/// As much of Home Assistant as says who it is.
fn home_assistant() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut socket = socket;
            let _ = socket.read(&mut [0; 1024]);
            let body = r#"{"name": "Home Assistant", "short_name": "Assistant"}"#;
            let _ = write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}
