//! The long faults of a fleet, with real hub processes and thousands of simulated ones: `make test-fleet`. A node dies, another is
//! cut off, all are gone for a while; what every hub's broker acknowledged is in the stream, in order, with doubles only of the same
//! `event_id`.
//!
//! FLEET_REAL, FLEET_SIMULATED, FLEET_DRAINING and FLEET_RAMP (50, 5000, 1500 and 180 s) are for a smaller machine.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/network.rs"]
mod network;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::Cluster;
use mosquitto::free_port;
use network::Network;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis::sink::mqtt::SINK;
use portcullis::store::Reader;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// For five thousand handshakes on two busy processors, and then some.
const PATIENCE: Duration = Duration::from_secs(900);

fn wanted(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Seconds over which the simulated hubs come up.
fn ramp() -> String {
    wanted("FLEET_RAMP", 180).to_string()
}

/// `portcullis demo` as one hub of the fleet; its state outlives it.
struct RealHub {
    name: String,
    state: PathBuf,
    child: Child,
}

impl RealHub {
    fn start(cluster: &Cluster, n: usize) -> RealHub {
        let name = format!("hub-{n}");
        let state = cluster.path("state").join(&name);
        std::fs::create_dir_all(&state).unwrap();
        let url = format!("mqtts://{}", cluster.mqtt(n % 3));
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["demo", "--speed", "4", "--seed", &n.to_string(), "--mqtt", &url])
            .args(["--http", &format!("127.0.0.1:{}", free_port())])
            .env("PORTCULLIS__HUB__NAME", &name)
            .env("PORTCULLIS__STATE_DIR", &state)
            .env("PORTCULLIS__MQTT__URL", &url)
            .env(
                "PORTCULLIS__MQTT__OTHER_NODES",
                format!("{},{}", cluster.mqtt((n + 1) % 3), cluster.mqtt((n + 2) % 3)),
            )
            .env("PORTCULLIS__MQTT__VERSION", "4")
            .env("PORTCULLIS__MQTT__USERNAME", &name)
            .env("PORTCULLIS__MQTT__PASSWORD_FILE", cluster.path("hubs").join(&name).join("mqtt_password"))
            .env("PORTCULLIS__MQTT__CA_FILE", cluster.path("ca.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        RealHub { name, state, child }
    }

    /// Ends it, and says what its log has and its broker acknowledged.
    fn end(mut self) -> (String, Reader) {
        signal(&self.child, Signal::SIGTERM);
        self.child.wait().unwrap();
        (self.name.clone(), Reader::open(&self.state).unwrap())
    }
}

impl Drop for RealHub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How far the simulated hubs are, as they say it.
#[derive(Clone, Copy, Debug, Default)]
struct Far {
    at_s: f64,
    online: u64,
}

/// `portcullis fleet-load`, under way.
struct Load {
    child: Child,
    ledger: PathBuf,
    far: watch::Receiver<Vec<Far>>,
}

impl Load {
    fn start(cluster: &Cluster, hubs: usize, arguments: &[&str]) -> Load {
        let config = cluster.path("load.toml");
        std::fs::write(&config, cluster.hub_config_as("load", "desk").replace("/hubs/desk/", "/readers/desk/"))
            .unwrap();
        let ledger = cluster.path("ledger");
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["fleet-load", "--json", "--hubs", &hubs.to_string(), "--drain", "600", "--devices", "2", "--config"])
            .arg(config)
            .arg("--credentials")
            .arg(cluster.path("hubs"))
            .arg("--ledger")
            .arg(&ledger)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, far) = watch::channel(Vec::new());
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let far: Option<Value> = serde_json::from_str(&line).ok();
                let far = far.and_then(|f| Some(Far { at_s: f["at_s"].as_f64()?, online: f["online"].as_u64()? }));
                match far {
                    Some(far) => told.send_modify(|all| all.push(far)),
                    None => eprintln!("{line}"),
                }
            }
        });
        Load { child, ledger, far }
    }

    /// Comes back when so many are online, with how far they were on the way.
    async fn until(&mut self, what: &str, holds: impl Fn(u64) -> bool) -> Vec<Far> {
        println!("until {what}");
        let from = self.far.borrow().len();
        let holds = |all: &Vec<Far>| all.len() > from && holds(all.last().map_or(0, |far| far.online));
        let waited = timeout(PATIENCE, self.far.wait_for(holds)).await.is_ok();
        let all = self.far.borrow();
        assert!(waited, "{what}: not within {PATIENCE:?}, but {:?}", all.last());
        all[from..].to_vec()
    }

    /// Nothing happens any more; what did is told, and it ends.
    fn end(self) -> (Value, PathBuf) {
        signal(&self.child, Signal::SIGINT);
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        (serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")), self.ledger)
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
}

/// What the machine was doing, beside a figure.
fn say(what: &str, report: &Value) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{what} (load {}): {report}", load.trim());
}

fn provision(cluster: &Cluster, real: usize, simulated: usize) {
    let names: Vec<String> =
        (1..=real).map(|n| format!("hub-{n}")).chain((1..=simulated).map(|n| format!("sim-{n:05}"))).collect();
    let mut arguments = vec!["hub"];
    arguments.extend(names.iter().map(String::as_str));
    cluster.provision(&arguments);
}

/// What the streams have is behind what was acknowledged only by what is on its way.
async fn settled(cluster: &Cluster) {
    let until = Instant::now() + Duration::from_secs(300);
    while cluster.streams(&[])["EVENTS"].1 > 0 {
        assert!(Instant::now() < until, "{:?}", cluster.streams(&[]));
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a quarter of an hour: make test-fleet"]
async fn nothing_is_lost_while_a_node_dies_and_comes_back_and_another_is_cut_off_for_a_minute() {
    let (real, simulated) = (wanted("FLEET_REAL", 50), wanted("FLEET_SIMULATED", 5000));
    let network = Network::new();
    let mut cluster = Cluster::at(network.places());
    provision(&cluster, real, simulated);
    let hubs: Vec<RealHub> = (1..=real).map(|n| RealHub::start(&cluster, n)).collect();
    let all = |online| online == simulated as u64;
    let mut load = Load::start(&cluster, simulated, &["--ramp", &ramp(), "--seconds", "3600", "--backlog", "3"]);
    load.until("all up", all).await;
    cluster.kill_node(0);
    // Its hubs learn of it at once; twenty seconds without it, and until they are all at the others.
    sleep(Duration::from_secs(20)).await;
    load.until("all back at two nodes", all).await;
    cluster.start_node(0);
    network.cut(&cluster);
    sleep(Duration::from_secs(60)).await;
    network.heal(&cluster);
    load.until("all back after the cut", all).await;
    let (report, ledger) = load.end();
    say("50 and 5,000 hubs, a node dead, another cut off", &report);
    assert_eq!(report["events"]["left"], 0, "{report}");

    // What the real ones have, beside the simulated ones'.
    let mut file = std::fs::File::options().append(true).open(&ledger).unwrap();
    let logs: Vec<(String, Reader)> = hubs.into_iter().map(RealHub::end).collect();
    for (hub, log) in &logs {
        let (head, acknowledged) = (log.extent().unwrap().seq, log.cursor(SINK).unwrap());
        assert!(acknowledged > 10 && head - acknowledged < 50, "{hub}: {acknowledged} of {head}");
        writeln!(file, "{}", json!({"hub": hub, "log_id": log.log_id(), "acknowledged": acknowledged})).unwrap();
    }
    settled(&cluster).await;
    let book = cluster.consume(&["--ledger", ledger.to_str().unwrap()]);
    say("the consumer", &book);
    assert_eq!((&book["gaps"], &book["behind"], &book["late"]), (&json!([]), &json!({}), &json!(0)));
    assert_eq!(book["hubs"], real + simulated);
    // Byte for byte what the hubs have: by id, for a book keeps one of each.
    let db = rusqlite::Connection::open(cluster.path("desk.db")).unwrap();
    for (hub, log) in &logs {
        let mut query = db.prepare("SELECT event_id FROM event WHERE hub = ? ORDER BY seq").unwrap();
        let told: Vec<String> = query.query_map([hub], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let kept = log.events_after(0, told.len()).unwrap();
        assert_eq!(told, kept.iter().map(|e| e.event_id.to_string()).collect::<Vec<_>>(), "{hub}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes: make test-fleet"]
async fn after_a_full_outage_all_hubs_come_back_spread_out_and_drain_without_losing_one() {
    let simulated = wanted("FLEET_SIMULATED", 5000);
    let mut cluster = Cluster::start();
    provision(&cluster, 0, simulated);
    let all = |online| online == simulated as u64;
    let arguments = ["--ramp", &ramp(), "--seconds", "3600", "--events-per-day", "2000"];
    let mut load = Load::start(&cluster, simulated, &arguments);
    load.until("all up", all).await;
    (0..3).for_each(|n| cluster.kill_node(n));
    load.until("all lost", |online| online == 0).await;
    sleep(Duration::from_secs(60)).await;
    (0..3).for_each(|n| cluster.start_node(n));
    let way = load.until("all back", all).await;
    let pace = way.windows(2).map(|w| w[1].online.saturating_sub(w[0].online) as f64 / (w[1].at_s - w[0].at_s));
    let half = way.iter().find(|far| far.online * 2 >= simulated as u64).map_or(0.0, |far| far.at_s - way[0].at_s);
    let took = way.last().map_or(0.0, |last| last.at_s - way[0].at_s);
    let back = json!({"half_back_s": half, "all_back_s": took, "most_a_second": pace.fold(0.0, f64::max)});
    say("back", &back);
    let (report, ledger) = load.end();
    say("5,000 hubs after an outage of all nodes for a minute", &report);
    assert_eq!(report["events"]["left"], 0, "{report}");
    // Spread out: had all come at once, they would have been there as soon as the nodes were.
    assert!(took > 5.0, "{back}");
    settled(&cluster).await;
    let book = cluster.consume(&["--ledger", ledger.to_str().unwrap()]);
    say("the consumer", &book);
    assert_eq!((&book["gaps"], &book["behind"], &book["late"]), (&json!([]), &json!({}), &json!(0)));
}

/// More is waiting than the cluster takes within a hub's patience: the hubs wait for it, and do not make it do the same work again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make test-fleet"]
async fn a_long_backlog_at_many_hubs_drains_at_the_clusters_pace_and_next_to_none_is_sent_again() {
    let hubs = wanted("FLEET_DRAINING", 1500);
    let cluster = Cluster::start();
    provision(&cluster, 0, hubs);
    let mut load = Load::start(
        &cluster,
        hubs,
        &["--ramp", "15", "--seconds", "3600", "--events-per-day", "0", "--backlog", "150"],
    );
    load.until("all up", |online| online == hubs as u64).await;
    let (report, ledger) = load.end();
    say("a backlog of 150 events at each of many hubs", &report);
    let of = |what: &str| report["events"][what].as_u64().unwrap();
    assert_eq!((of("made"), of("left")), (150 * hubs as u64, 0), "{report}");
    assert!(of("sent_again") * 20 <= of("made"), "{report}");
    settled(&cluster).await;
    let book = cluster.consume(&["--ledger", ledger.to_str().unwrap()]);
    say("the consumer", &book);
    assert_eq!((&book["gaps"], &book["behind"], &book["late"]), (&json!([]), &json!({}), &json!(0)));
}

/// The other example, in Rust with the engine's own client, reads the same.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds the engine's client: make test-fleet"]
async fn the_consumers_in_rust_and_python_read_the_same() {
    let cluster = Cluster::start();
    provision(&cluster, 0, 20);
    let mut load = Load::start(&cluster, 20, &["--ramp", "1", "--seconds", "60", "--backlog", "40"]);
    load.until("all up", |online| online == 20).await;
    let (report, ledger) = load.end();
    settled(&cluster).await;
    let python = cluster.consume(&["--ledger", ledger.to_str().unwrap()]);
    assert_eq!(python["behind"], json!({}), "{python}");
    let output = Command::new(env!("CARGO"))
        .args(["run", "-q", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fleet/rust/Cargo.toml"))
        .arg("--")
        .arg(cluster.dir())
        .arg("desk")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rust: Value = serde_json::from_slice(&output.stdout).unwrap();
    for what in ["hubs", "events", "doubles", "late", "gaps"] {
        assert_eq!(rust[what], python[what], "{what}: {rust} {python}");
    }
    assert_eq!(rust["events"], report["events"]["acknowledged"]);
}
