//! A real Mosquitto on a free port of the loopback, with a configuration of its own; ends with its guard.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub struct Mosquitto {
    pub port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    /// One that lets anybody do anything and forgets nothing over a restart.
    pub fn start() -> Mosquitto {
        Mosquitto::with("allow_anonymous true\n")
    }

    /// `config` is added to a listener on a free port; `{dir}` in it is the broker's own directory.
    pub fn with(config: &str) -> Mosquitto {
        Mosquitto::prepared(config, |_| {})
    }

    /// `prepare` may write files (passwords, certificates) into the broker's directory before it starts.
    pub fn prepared(config: &str, prepare: impl FnOnce(&Path)) -> Mosquitto {
        let dir = tempfile::tempdir().expect("a temporary directory");
        prepare(dir.path());
        let mut broker = Mosquitto { port: 0, dir, child: None };
        // Somebody may take the port between our asking and Mosquitto's listening.
        for _ in 0..20 {
            broker.port = free_port();
            broker.write(config);
            if broker.try_start() {
                return broker;
            }
        }
        panic!("Mosquitto does not start; it is Debian's package mosquitto, in /usr/sbin");
    }

    fn write(&self, config: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            // As root it would become another user, who may not write here.
            "user {}\nlistener {} 127.0.0.1\npersistence true\npersistence_location {dir}/\nmax_inflight_messages 100\n\
             max_queued_messages 1000000\nlog_dest stderr\nlog_type information\n{}",
            nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map_or("root".into(), |user| user.name),
            self.port,
            config.replace("{dir}", &dir.to_string()),
        );
        std::fs::write(self.dir.path().join("mosquitto.conf"), text).expect("the configuration is written");
    }

    fn try_start(&mut self) -> bool {
        let mut child = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("mosquitto is installed (apt-get install mosquitto)");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let running = lines.by_ref().map_while(Result::ok).any(|line| line.contains(" running"));
        // Somebody must read what it says, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
        if !running {
            self.kill();
        }
        running
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends it in an orderly way: it keeps retained messages and sessions.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = nix::unistd::Pid::from_raw(child.id() as i32);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
            child.wait().expect("it ends");
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// What it kept is gone; for one that does not run.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.dir.path().join("mosquitto.db"));
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        assert!((0..50).any(|_| self.try_start()), "the port {} is taken", self.port);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
