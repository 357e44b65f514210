//! The real `portcullis run`, on a state directory and a configuration of its own; ends with its guard.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::logs;

pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it with `DIR/config.toml`, which is written here; `DIR/state` is its state directory.
    pub fn start(dir: &Path, config: &str) -> Daemon {
        Daemon::with(dir, config, &[])
    }

    /// With an environment.
    pub fn with(dir: &Path, config: &str, environment: &[(&str, &Path)]) -> Daemon {
        let settings = dir.join("config.toml");
        let state = dir.join("state");
        std::fs::create_dir_all(&state).expect("a state directory");
        std::fs::write(&settings, format!("state_dir = {state:?}\n{config}")).expect("the configuration is written");
        let log = dir.join("log");
        let is_new = !log.exists();
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log file");
        if is_new {
            logs::keep(&log);
        }
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["run", "--config"])
            .arg(settings)
            .env_remove("NOTIFY_SOCKET")
            .env("PORTCULLIS__HTTP__LISTEN", "127.0.0.1:0")
            .env("RUST_BACKTRACE", "0")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file"))
            .stderr(file)
            .spawn()
            .expect("the daemon starts");
        Daemon { child }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// As systemd stops it; true where it ended well.
    pub fn stop(mut self) -> bool {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self.child.wait().expect("it ends").success()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
