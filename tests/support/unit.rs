//! Plays systemd for the real `portcullis run`: a notify socket of its own, a watchdog, signals; ends it with its guard.
#![allow(dead_code)]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than anything takes here; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a hub lives: its configuration and its state. Outlives the daemons that run on it.
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// With a configuration that needs no radio and no broker; `config` is added to it.
    pub fn new(config: &str) -> Home {
        let home = Home { dir: tempfile::tempdir().expect("a temporary directory") };
        home.configure(config);
        home
    }

    pub fn configure(&self, config: &str) {
        let text = format!(
            "state_dir = {:?}\n{config}\n[ble]\nenabled = false\n[http]\nlisten = \"127.0.0.1:0\"\n",
            self.state()
        );
        std::fs::write(self.config(), text).expect("the configuration is written");
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What daemons on it have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Runs another verb on this configuration to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        let done = self.command(arguments).output().expect("the binary is built");
        Done {
            code: done.status.code(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(arguments).arg("--config").arg(self.config()).env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn start(&self) -> Unit {
        self.start_watched(None)
    }

    pub fn start_watched(&self, watchdog: Option<Duration>) -> Unit {
        let path = self.dir.path().join("notify");
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).expect("a socket");
        let log =
            std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).expect("a log file");
        let mut command = self.command(&["run"]);
        command.env("NOTIFY_SOCKET", path).stdout(Stdio::null()).stderr(log);
        if let Some(limit) = watchdog {
            command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        }
        let child = command.spawn().expect("the binary is built");
        let unit = Unit { child, notify };
        unit.wait_for("READY=1");
        unit
    }
}

/// How a verb ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub struct Unit {
    child: Child,
    notify: UnixDatagram,
}

impl Unit {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it tells systemd `word`; returns what it told on the way there.
    pub fn wait_for(&self, word: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut told = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.notify.set_read_timeout(Some(left)).expect("a timeout");
            let mut buffer = [0; 4096];
            let n = self.notify.recv(&mut buffer).unwrap_or_else(|e| panic!("{word} was not told ({e}), but {told:?}"));
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            let there = text.lines().any(|line| line == word);
            told.push(text);
            if there {
                return told;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// SIGTERM; how it ended and how long that took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("a child of ours");
        (status, start.elapsed())
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child of ours");
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
