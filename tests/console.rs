//! The console, by what a person does and sees: headless Chromium on the real daemon with a real Mosquitto, the real Z-Wave driver and a
//! lock that advertises on a real D-Bus.
//!
//! The checks themselves are in `tests/console/check.mjs`; `scripts/prepare` installs the browser and what drives it.

#[path = "support/bthome.rs"]
mod bthome;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fakebluez.rs"]
mod fakebluez;
#[path = "support/logs.rs"]
mod logs;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/zwave.rs"]
mod zwave;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use daemon::Daemon;
use fakebluez::{Bluez, Bus, properties, service_data};
use mosquitto::Mosquitto;
use serde_json::Value;
use zwave::Rig;

/// For the daemon to be there.
const PATIENCE: Duration = Duration::from_secs(120);

/// A lock that nobody adopted yet, and the key of what it says.
const GARDEN: &str = "C0:FF:EE:00:00:41";
const GARDEN_KEY: &str = "231d39c1d7cc1ab1aee224cd096db932";
const OTHER_KEY: &str = "00112233445566778899aabbccddeeff";
/// Of the family that `scripts/digits` looks for.
const DIGITS: &str = "52709417";

/// What a verb on this hub prints with `--json`; nothing where it fails.
fn ask(dir: &Path, arguments: &[&str]) -> Option<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).args(["--json", "--config"]).arg(dir.join("config.toml"));
    let done = command.output().expect("the binary is built");
    done.status.success().then(|| serde_json::from_slice(&done.stdout).expect("JSON"))
}

/// Asked again and again until it is there; each asking is a process, so this does not spin.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} in time");
    }
}

/// Where the daemon listens, as its health says.
fn address(dir: &Path) -> Option<String> {
    let mut curl = Command::new("curl");
    curl.args(["-s", "--unix-socket"]).arg(dir.join("state/control.sock")).arg("http://localhost/health");
    let health: Value = serde_json::from_slice(&curl.output().expect("curl is installed").stdout).ok()?;
    let detail = health["health"]["parts"]["http"]["detail"].as_str()?;
    detail.strip_prefix("listening on ").map(|address| format!("http://{address}"))
}

fn key(dir: &Path, scope: &str) -> String {
    let made = ask(dir, &["keys", "create", "--name", scope, "--scope", scope]).expect("a key");
    made["api_key"].as_str().expect("the key itself").to_owned()
}

/// Says every second that it is locked.
async fn locked_garden(bluez: Bluez) {
    for counter in 1.. {
        let mut advert = service_data(0xFCD2, &bthome::sealed_lock(GARDEN, GARDEN_KEY, counter, false), -60);
        advert.extend(properties([("Name", "Garden lock".into())]));
        bluez.advertise("hci0", GARDEN, advert).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_and_sees() {
    let (bus, broker, dir) = (Bus::start().await, Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let bluez = Bluez::start(&bus).await;
    let config = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[http]\nrequests_per_second = 1000\n[webhooks]\nprivate_addresses = true\n\
         [adopt]\ncodes = \"manage\"\nslots = \"4-9\"\n",
        broker.port
    );
    let environment =
        [("DBUS_SYSTEM_BUS_ADDRESS", Path::new(&bus.address)), ("RUST_LOG", Path::new("portcullis=trace"))];
    let daemon = Daemon::with(dir.path(), &config, &environment);
    // It is shown once it was heard for a minute, while all else happens.
    let garden = tokio::spawn(locked_garden(bluez));
    let rig = Rig::start().await;
    let url = until("the daemon listens", || address(dir.path()));
    let (admin, read) = (key(dir.path(), "admin"), key(dir.path(), "read"));
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console");
    let (network, control) = (rig.url.clone(), format!("http://{}", rig.control()));
    let done = tokio::task::spawn_blocking(move || {
        let mut node = Command::new("node");
        node.arg("check.mjs").current_dir(checks);
        node.env("CONSOLE_URL", url).env("ADMIN_KEY", admin).env("READ_KEY", read);
        node.env("RIG_URL", network).env("RIG_CONTROL", control);
        node.env("BIND_KEY", GARDEN_KEY).env("OTHER_BIND_KEY", OTHER_KEY).env("DIGITS", DIGITS);
        node.output().expect("node is installed (scripts/prepare)")
    });
    let done = done.await.expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{out}");
    assert!(done.status.success() && out.contains("holds"), "{out}\n{err}");
    garden.abort();
    assert!(daemon.stop());
    let log = std::fs::read_to_string(dir.path().join("log")).expect("a log").to_lowercase();
    assert!(log.contains("service.stopped"), "it logs");
    for (what, secret) in [("a bind key", GARDEN_KEY), ("a wrong bind key", OTHER_KEY), ("digits of a code", DIGITS)] {
        assert!(!log.contains(secret), "{what} is in the log");
    }
}
