//! The console, by what a person does and sees: headless Chromium on the real daemon with a real Mosquitto and the real Z-Wave driver.
//!
//! The checks themselves are in `tests/console/check.mjs`; `scripts/prepare` installs the browser and what drives it.

#[path = "support/daemon.rs"]
mod daemon;
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
use mosquitto::Mosquitto;
use serde_json::Value;
use zwave::Rig;

/// For the daemon to be there, and to know its network.
const PATIENCE: Duration = Duration::from_secs(120);

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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_and_sees() {
    let (rig, broker, dir) = (Rig::start().await, Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let manage =
        |node: u16| format!("[[devices]]\nzwave = \"main\"\nnode = {node}\ncodes = \"manage\"\nslots = \"4-9\"\n");
    let config = format!(
        "[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[http]\nrequests_per_second = 1000\n[[zwave]]\nname = \"main\"\nurl = {:?}\n{}",
        broker.port,
        rig.url,
        manage(2)
    );
    let _daemon = Daemon::start(dir.path(), &config);
    let url = until("the daemon listens", || address(dir.path()));
    until("the network is known", || {
        let devices = ask(dir.path(), &["devices"])?;
        let reached = devices.as_array()?.iter().filter(|d| d["properties"]["online"] == true);
        (reached.count() >= 5).then_some(())
    });
    let (admin, read) = (key(dir.path(), "admin"), key(dir.path(), "read"));
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console");
    let control = format!("http://{}", rig.control());
    let done = tokio::task::spawn_blocking(move || {
        let mut node = Command::new("node");
        node.arg("check.mjs").current_dir(checks);
        node.env("CONSOLE_URL", url).env("ADMIN_KEY", admin).env("READ_KEY", read).env("RIG_CONTROL", control);
        node.output().expect("node is installed (scripts/prepare)")
    });
    let done = done.await.expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{out}");
    assert!(done.status.success() && out.contains("holds"), "{out}\n{err}");
}
