//! The real `portcullis run` with a broker of its own, and what it tells.
#![allow(dead_code)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::mosquitto::Mosquitto;
use super::subscriber::{PATIENCE, Subscriber};

pub struct Daemon {
    pub child: Child,
    pub broker: Mosquitto,
    pub events: Subscriber,
    dir: TempDir,
}

impl Daemon {
    /// `config` is added to a state directory and a broker of its own; `bus` is its system bus.
    pub async fn start(bus: &str, config: &str) -> Daemon {
        let broker = Mosquitto::start();
        let events = Subscriber::new(broker.port, "portcullis/+/event/#").await;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("config.toml");
        let state = dir.path().join("state");
        let text = format!(
            "state_dir = {state:?}\n{config}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
            broker.port
        );
        std::fs::write(&path, text).expect("the configuration is written");
        let child = Daemon::spawn(bus, &path);
        Daemon { child, broker, events, dir }
    }

    /// Stops it in good order and starts it again on what it kept.
    pub async fn restart(&mut self, bus: &str) {
        self.stop().await;
        self.child = Daemon::spawn(bus, &self.dir.path().join("config.toml"));
    }

    fn spawn(bus: &str, config: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("run")
            .arg("--config")
            .arg(config)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary is built")
    }

    /// The next event of this type.
    pub async fn event(&mut self, event_type: &str) -> Value {
        let is = |json: &Value| json["event_type"] == event_type;
        let told = tokio::time::timeout(3 * PATIENCE, self.events.until(|told| is(&told.json()))).await;
        told.unwrap_or_else(|_| panic!("no {event_type}")).json()
    }

    /// Types of the events told by now.
    pub fn told_so_far(&mut self) -> Vec<String> {
        let all = self.events.so_far();
        all.iter().map(|told| told.json()["event_type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What `portcullis` with these arguments and `--json` answers while the hub runs.
    pub async fn ask(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(arguments).arg("--json").arg("--config").arg(self.dir.path().join("config.toml"));
        let answer = command.output().await.expect("the binary is built");
        serde_json::from_slice(&answer.stdout).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
    }

    /// Resident memory in kB.
    pub fn rss_kb(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a process with memory");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Sends SIGTERM and says how long the end took.
    pub async fn stop(&mut self) -> Duration {
        let pid = nix::unistd::Pid::from_raw(self.child.id().expect("it runs") as i32);
        let start = std::time::Instant::now();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self.child.wait().await.expect("it ends");
        start.elapsed()
    }
}
