//! The rig of `tests/zwave-rig`: emulated nodes under the real zwave-js driver and server, steered over HTTP. Ends with its guard.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Two cores shared with everything else: the driver interviews six nodes in 7 s when it has one to itself, and 27 in half a minute.
const STARTS_WITHIN: Duration = Duration::from_secs(240);

pub struct Rig {
    /// The server's address.
    pub url: String,
    control: String,
    /// Its standard input is the guard: when that closes, the rig ends with all its children.
    _process: Child,
}

impl Rig {
    pub async fn start() -> Rig {
        Rig::with(&[]).await
    }

    /// With a lock that keeps dates, node 8.
    pub async fn dated() -> Rig {
        Rig::with(&["--dated"]).await
    }

    /// With so many more locks, nodes 20 and up, of 250 codes each.
    pub async fn with_locks(locks: u16) -> Rig {
        Rig::with(&["--locks", &locks.to_string()]).await
    }

    /// With the driver's default of showing a lock as moved before it has moved.
    pub async fn optimistic() -> Rig {
        Rig::with(&["--optimistic"]).await
    }

    async fn with(arguments: &[&str]) -> Rig {
        let dir = install();
        let mut process = Command::new("node")
            .arg("main.mjs")
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(false)
            .spawn()
            .expect("node (20.19 or later) is installed");
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().expect("piped"));
        tokio::time::timeout(STARTS_WITHIN, said.read_line(&mut line))
            .await
            .expect("a rig in time")
            .expect("it speaks");
        let ready: Value =
            serde_json::from_str(&line).expect("the rig starts (try `node main.mjs` in tests/zwave-rig)");
        let text = |name: &str| ready[name].as_str().expect("an address").to_owned();
        Rig { url: text("ws"), control: text("control").replace("http://", ""), _process: process }
    }

    /// Where it is steered.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Something happens to a node.
    pub async fn node(&self, node: u16, stimulus: &str, options: Value) {
        self.post(&format!("node/{node}/{stimulus}"), &options).await;
    }

    /// What is in a lock: `mode`, `operations`, `writes`, `codes` and `dates` by slot.
    pub async fn inside(&self, node: u16) -> Value {
        self.post(&format!("node/{node}/inside"), &json!({})).await
    }

    /// Somebody operates a lock.
    pub async fn operate(&self, node: u16, name: &str) {
        self.node(node, "operate", json!({"name": name})).await;
    }

    pub async fn kill_bridge(&self) {
        self.post("bridge/kill", &json!({})).await;
    }

    pub async fn start_bridge(&self) {
        self.post("bridge/start", &json!({})).await;
    }

    pub async fn hang_stick(&self, hung: bool) {
        self.post("stick/hang", &json!({"hung": hung})).await;
    }

    /// The driver has taken everything that the nodes said so far: its answers come in the same row.
    pub async fn settle(&self) {
        let answer = self.ask(json!({"command": "node.ping", "nodeId": 5})).await;
        assert_eq!(answer["result"]["responded"], true, "{answer}");
    }

    /// A command of another client of the server.
    pub async fn ask(&self, command: Value) -> Value {
        self.post("ask", &command).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nhost: rig\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = TcpStream::connect(&self.control).await.expect("a rig that lives");
        socket.write_all(request.as_bytes()).await.expect("a rig that listens");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("a rig that answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{path} {body}");
        // In chunks, as Node.js answers: the JSON is what stands between the first brace and the last.
        let json = body.find('{').zip(body.rfind('}')).map(|(from, to)| &body[from..=to]);
        serde_json::from_str(json.expect("JSON")).expect("JSON")
    }
}

/// Installs the rig's packages where they are not yet (`make` does it beforehand). Several tests may want them at once.
fn install() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zwave-rig");
    let lock = std::fs::File::create(dir.join(".installing")).expect("a lock file");
    lock.lock().expect("the lock");
    if !dir.join("node_modules/zwave-js").exists() {
        let npm = std::process::Command::new("npm")
            .args(["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&dir)
            .status()
            .expect("npm is installed");
        assert!(npm.success(), "npm ci in tests/zwave-rig failed");
    }
    dir
}
