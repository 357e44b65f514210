//! A three-node NATS cluster on the loopback, made by `deploy/fleet/provision.py` as an operator would; ends with its guard.
#![allow(dead_code)]

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The interpreter that has the engine's own client; `scripts/prepare` makes it.
pub const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/fleet/bin/python");

/// In which network a node lives.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is reached.
    pub host: String,
    /// A network namespace; `None` is this one.
    pub namespace: Option<String>,
}

impl Place {
    pub fn here() -> Place {
        Place { host: "127.0.0.1".into(), namespace: None }
    }
}

pub struct Cluster {
    dir: TempDir,
    places: Vec<Place>,
    ports: Vec<[u16; 4]>,
    nodes: Vec<Option<Child>>,
}

impl Cluster {
    /// Three nodes that have a leader, and the streams of `deploy/fleet/streams`.
    pub fn start() -> Cluster {
        Cluster::at(vec![Place::here(); 3])
    }

    pub fn at(places: Vec<Place>) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Held all at once, so that none is given twice.
        let held: Vec<TcpListener> = (0..12).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = held.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        drop(held);
        let ports: Vec<[u16; 4]> = ports.chunks(4).map(|p| [p[0], p[1], p[2], p[3]]).collect();
        let cluster = Cluster { dir, places, ports, nodes: vec![None, None, None] };
        let nodes: Vec<String> = (0..3)
            .map(|n| {
                let [client, route, mqtt, monitor] = cluster.ports[n];
                format!("node-{}@{}:{client}:{route}:{mqtt}:{monitor}", n + 1, cluster.places[n].host)
            })
            .collect();
        let mut arguments = vec!["cluster"];
        arguments.extend(nodes.iter().map(String::as_str));
        arguments.extend(["--max-file", "2GB"]);
        cluster.provision(&arguments);
        cluster.provision(&["reader", "desk"]);
        let mut cluster = cluster;
        (0..3).for_each(|n| cluster.start_node(n));
        cluster.streams(&[]);
        cluster
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Comes back when provisioning is done; running nodes are told.
    pub fn provision(&self, arguments: &[&str]) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/fleet/provision.py");
        told(Command::new("python3").arg(script).arg(self.dir()).args(arguments));
        self.nodes.iter().flatten().for_each(|node| signal(node, Signal::SIGHUP));
    }

    /// Makes or changes the streams; comes back with how many messages each has, and how many the streams before it have that it has
    /// not looked at.
    pub fn streams(&self, arguments: &[&str]) -> HashMap<String, (u64, u64)> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/fleet/streams.py");
        let output = told(
            Command::new(PYTHON)
                .arg(script)
                .arg(self.dir())
                .args(["--bytes", "700000000", "--patience", "600"])
                .args(arguments),
        );
        let lines: Vec<Value> =
            output.stdout.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let of = |line: &Value| {
            let counts = (line["state"]["messages"].as_u64()?, line["behind"].as_u64()?);
            Some((line["stream"].as_str()?.to_owned(), counts))
        };
        lines.iter().filter_map(of).collect()
    }

    pub fn start_node(&mut self, n: usize) {
        let name = format!("node-{}", n + 1);
        let mut command = match &self.places[n].namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "nats-server"]);
                command
            }
            None => Command::new("nats-server"),
        };
        command.arg("-c").arg(self.path(&format!("{name}.conf"))).arg("-l").arg(self.path(&format!("{name}.log")));
        let node =
            command.stdin(Stdio::null()).spawn().expect("nats-server is installed (apt-get install nats-server)");
        self.nodes[n] = Some(node);
    }

    /// `kill -9`.
    pub fn kill_node(&mut self, n: usize) {
        if let Some(mut node) = self.nodes[n].take() {
            node.kill().expect("it runs");
            node.wait().expect("it ends");
        }
    }

    /// Makes a node do nothing, or go on.
    pub fn halt_node(&self, n: usize, halt: bool) {
        self.nodes[n].iter().for_each(|node| signal(node, if halt { Signal::SIGSTOP } else { Signal::SIGCONT }));
    }

    pub fn mqtt(&self, n: usize) -> String {
        format!("{}:{}", self.places[n].host, self.ports[n][2])
    }

    /// `[hub]` and `[mqtt]` of a hub, with full paths.
    pub fn hub_config(&self, name: &str) -> String {
        self.hub_config_as(name, name)
    }

    /// The same with the credential of `user`.
    pub fn hub_config_as(&self, name: &str, user: &str) -> String {
        let home = self.path("hubs");
        let others = [1, 2].map(|n| format!("{:?}", self.mqtt(n))).join(", ");
        format!(
            "[hub]\nname = {name:?}\n[mqtt]\nurl = \"mqtts://{}\"\nother_nodes = [{others}]\nversion = 4\nusername = {user:?}\n\
             password_file = {:?}\nca_file = {:?}\nbackfill = true\n",
            self.mqtt(0),
            home.join(user).join("mqtt_password"),
            self.path("ca.pem"),
        )
    }

    /// Has the consumer read what there is; comes back with its report.
    pub fn consume(&self, arguments: &[&str]) -> Value {
        self.consume_as("desk", arguments)
    }

    /// Each reader has a book of its own.
    pub fn consume_as(&self, reader: &str, arguments: &[&str]) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fleet/consumer.py");
        let mut command = Command::new(PYTHON);
        command.arg(script).arg(self.dir()).arg(reader).arg(self.path(&format!("{reader}.db"))).args(arguments);
        let output = command.stdin(Stdio::null()).output().expect("scripts/prepare has made .tools/fleet");
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// What the nodes have logged.
    pub fn log(&self) -> String {
        (1..=3).filter_map(|n| std::fs::read_to_string(self.path(&format!("node-{n}.log"))).ok()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().filter(|l| l.contains("[ERR]") || l.contains("[WRN]")).collect();
            eprintln!("{}", tail[tail.len().saturating_sub(20)..].join("\n"));
        }
        (0..3).for_each(|n| self.kill_node(n));
    }
}

fn signal(child: &Child, signal: Signal) {
    let _ = kill(Pid::from_raw(child.id() as i32), signal);
}

/// Fails with what a program said where it fails.
fn told(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
