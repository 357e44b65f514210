//! `portcullis demo`: a simulated building on the very path of a real one, and a readable account of what it tells.

mod account;
#[cfg(feature = "embedded-broker")]
mod broker;
mod simulate;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::daemon::Daemon;
use super::{Context, Failure};
use crate::api::keys::{Keys, Scope};
use crate::config::Config;
use crate::engine::Clock;
use crate::health::{Health, count};
use crate::hub::{Input, RowKind};
use crate::service::{self, Running};
use crate::signal::{Link, LinkNews, Report};
use crate::source::Inputs;
use crate::source::ble::intake::Intake;
use crate::source::ble::{Advert, adopted};
use crate::source::demo::bridge::Bridge;
use crate::source::demo::building::{Building, Happening};
use crate::source::demo::devices::{FITTINGS, Fitting, KEY, Model};
use crate::store::Store;
use crate::time::{Mono, Wall};
use account::Account;

/// Where the API is unless another program is there.
const USUAL_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8470);

/// The demo's configuration, in its state directory: with it, every verb works on the demo.
const CONFIG: &str = "config.toml";

/// Every device of the building is heard within 3 virtual seconds.
const MEETING_MOST: Duration = Duration::from_secs(5);

/// Its network is on this machine, and small.
const CONNECTED_WITHIN: Duration = Duration::from_secs(45);

/// Lines of the account that may wait for a slow terminal; what is beyond is told by the events anyway.
const STORIES: usize = 256;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The building has locks, a keypad, sensors, people who come and go, a battery that fails and a radio that stalls.
Adverts enter as bytes and Z-Wave messages on a socket, so all behind them is what `portcullis run` runs.

Examples:
  portcullis demo                                     watch it; Ctrl-C ends it
  portcullis demo --speed 60 --seed 7                 an hour in a minute, of another building
  portcullis demo --mqtt mqtt://127.0.0.1:1883        on a broker of your own
  mosquitto_sub -t 'portcullis/demo/event/#' -v       in a second terminal: the events as others get them")]
pub struct Args {
    /// Which building: the same seed does the same things
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Virtual seconds in a second
    #[arg(long, default_value_t = 10.0, value_name = "X")]
    speed: f64,
    /// Publish to this broker instead of starting one
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,
    /// Serve the API here [default: 127.0.0.1:8470, or another port where that is taken]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Let this key in instead of making one (it begins with seam_)
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// End by itself after this many (real) seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    // Faster than this, a day would pass while a broker connects.
    if !(0.1..=1000.0).contains(&args.speed) {
        return Err(Failure::usage(format!("--speed {}: use 0.1 to 1000", args.speed)));
    }
    // rumqttd takes every closed connection for an error.
    let quiet = context.log.as_deref().unwrap_or("warn,rumqttd=off");
    service::logs::start(Some(quiet)).map_err(Failure::usage)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(demo(args, context.json))
}

async fn demo(args: Args, json: bool) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let state = Scratch::make()?;
    // rumqttd breaks a 3.1.1 subscriber's connection over a message with MQTT 5's properties.
    let (mqtt, version) = match args.mqtt {
        Some(url) => (url, 5),
        None => (embedded_broker().await?, 4),
    };
    let http = match args.http {
        // The system chooses the port, and it is said.
        Some(address) if address.ends_with(":0") => TcpListener::bind(&address)?.local_addr()?.to_string(),
        Some(address) => address,
        None => free_address(USUAL_HTTP)?.to_string(),
    };
    let keys = Keys::of(&state.0);
    let made_at = Wall::from(chrono::Utc::now()).to_string();
    let (_, api_key) = match &args.api_key {
        Some(key) => keys.add(key, "demo", Scope::Admin, made_at).map_err(|e| Failure::usage(e.to_string()))?,
        None => keys.create("demo", Scope::Admin, made_at)?,
    };
    let bridge = Bridge::start(args.speed).await?;
    let config = config(&state, &mqtt, version, &http)?;
    let topics = format!("{}/{}", config.mqtt.prefix, config.hub.name);
    let clock = Clock::at_speed(args.speed);
    let (simulator, asked) = mpsc::channel(simulate::AT_ONCE);
    let reached = config.clone();
    let running = Running::start_simulated(config, clock.clone(), Some(simulator)).await?;
    let (air, inputs) = (simulate::Air::default(), running.hand.inputs());
    let told =
        simulate::Building { bridge: bridge.clone(), air: air.clone(), inputs: inputs.clone(), clock: clock.clone() };
    let simulated = tokio::spawn(told.obey(asked));

    reachable(&http).await?;
    let mut account = Account::open(&running.store, json)?;
    connect(&reached, bridge.url()).await?;
    let (story, mut stories) = mpsc::channel(STORIES);
    let everybody = named().count() + bridge.size();
    let ear = Ear { intake: running.intake(), inputs, health: running.health.clone() };
    let adopted = tokio::spawn(adopted::follow(running.store.clone(), running.intake()));
    let life = tokio::spawn(live(Building::new(args.seed), ear, clock, (bridge, air), story));
    met(&running.store, everybody).await;
    if json {
        let http = format!("http://{http}");
        let config = state.0.join(CONFIG);
        let api_key = api_key.reveal();
        println!("{}", json!({ "ready": true, "http": http, "mqtt": mqtt, "api_key": api_key, "config": config }));
    } else {
        println!("A simulated building, seed {}, {} times as fast as life. Ctrl-C ends it.", args.seed, args.speed);
        println!("Events go to {mqtt} under {topics}/event/…; another terminal shows them with");
        println!("    mosquitto_sub {} -t '{topics}/event/#' -v", account::mosquitto_options(&mqtt));
        println!("The console is at http://{http}/; sign in with the key {}", api_key.reveal());
        println!("The API answers on http://{http}; for example");
        println!("    curl -sH 'Authorization: Bearer {}' http://{http}/devices/list\n", api_key.reveal());
    }
    let over = async {
        match args.seconds {
            Some(n) => tokio::time::sleep(Duration::from_secs(n)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut head = running.store.head();
    // What came before it was ready.
    head.mark_changed();
    let told = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            () = &mut over => break Ok(()),
            Some((at, line)) = stories.recv() => if let Err(failure) = account.story(at, &line) { break Err(failure.into()) },
            changed = head.changed() => match changed {
                Ok(()) => if let Err(failure) = account.events(&running.store) { break Err(failure) },
                Err(_) => break Err(Failure::failed("the store has stopped")),
            },
        }
    };
    life.abort();
    adopted.abort();
    simulated.abort();
    running.stop(true).await;
    told
}

/// What hears the adverts; they are counted as the radio counts its own.
struct Ear {
    intake: Arc<Mutex<Intake>>,
    inputs: Inputs,
    health: Arc<Health>,
}

impl Ear {
    /// False where the hub has stopped.
    async fn hear(&self, at: Mono, adapter: &Arc<str>, advert: &Advert) -> bool {
        match self.read(at, adapter, advert) {
            Some(report) => self.inputs.send(Input::Report(report)).await.is_ok(),
            None => true,
        }
    }

    fn read(&self, at: Mono, adapter: &Arc<str>, advert: &Advert) -> Option<Report> {
        let mut intake = self.intake.lock().unwrap_or_else(|e| e.into_inner());
        count(&self.health.ble.adverts);
        let report = intake.advert(at, adapter, advert);
        let problem = || (advert.address, intake.problem(advert.address).map(|p| p.reject));
        self.health.ble.heard(intake.refused(), intake.knows(advert.address).then(problem));
        report
    }
}

/// Lets the building happen, each thing at its time.
async fn live(
    mut building: Building,
    ear: Ear,
    clock: Clock,
    (bridge, air): (Bridge, simulate::Air),
    story: mpsc::Sender<(Wall, String)>,
) {
    let adapter: Arc<str> = Arc::from(simulate::ADAPTER);
    let up = LinkNews::Adapter { powered: true, scanning: true };
    if ear.inputs.send(Input::Link(Link::Adapter(adapter.clone()), up)).await.is_err() {
        return;
    }
    loop {
        tokio::time::sleep(clock.until(building.next_at())).await;
        let happenings = building.step();
        // Where somebody operates a door from afar, the people of the building let it be for a while.
        let is_attended = |h: &Happening| matches!(h, Happening::Zwave(node, _) if bridge.is_attended(*node));
        let let_be = happenings.iter().any(is_attended);
        for happening in happenings {
            match happening {
                Happening::Advert(advert) => {
                    if air.carries(advert.address) && !ear.hear(clock.mono(), &adapter, &advert).await {
                        return;
                    }
                }
                Happening::Zwave(..) | Happening::Story(_) if let_be => {}
                Happening::Zwave(node, what) => bridge.happen(node, what),
                Happening::Story(line) => {
                    let _ = story.try_send((clock.now().wall, line));
                }
            }
        }
    }
}

/// Comes back when somebody listens there: what is said to be ready must be.
async fn reachable(address: &str) -> Result<(), Failure> {
    let listens = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let none = |_| Failure::failed(format!("--http {address}: nothing listens there; is the port taken?"));
    tokio::time::timeout(Duration::from_secs(5), listens).await.map_err(none)
}

/// The building's network is connected as anybody would connect one: by its address.
async fn connect(config: &Config, url: String) -> Result<(), Failure> {
    let network = json!({"url": url, "name": "demo"});
    let mut daemon = Daemon::must(config).await?;
    daemon.ask_within(CONNECTED_WITHIN, "/connected_accounts/create", network, "connected_account").await?;
    Ok(())
}

/// Comes back when so many devices have been met: who asks at once shall find the building. A slow one is not waited for.
async fn met(store: &Store, everybody: usize) {
    let mut head = store.head();
    let meet = async {
        loop {
            head.borrow_and_update();
            let rows = store.rows_after(RowKind::Device, "", usize::MAX).unwrap_or_default();
            let met = rows.iter().filter_map(|row| row.value.as_ref()).filter(|d| d["online"] == true);
            if met.count() >= everybody || head.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(MEETING_MOST, meet).await;
}

/// The Bluetooth devices that are the building's own.
fn named() -> impl Iterator<Item = &'static Fitting> {
    FITTINGS.iter().filter(|f| !f.name.is_empty())
}

/// The usual address, or another where that is taken.
fn free_address(usual: SocketAddr) -> std::io::Result<SocketAddr> {
    let bound = TcpListener::bind(usual).or_else(|_| TcpListener::bind("127.0.0.1:0"))?;
    bound.local_addr()
}

/// The demo's configuration, as somebody would write it.
fn config(state: &Scratch, mqtt: &str, version: u8, http: &str) -> Result<Config, Failure> {
    let dir = state.0.display();
    let mut text = format!(
        r#"state_dir = "{dir}"
[hub]
name = "demo"
[ble]
enabled = false # The building has a radio of its own; this machine's hears other people's devices.
[mqtt]
url = "{mqtt}"
version = {version}
[http]
listen = "{http}"
[adopt]
codes = "manage"
[webhooks]
private_addresses = true # A receiver on this machine is what one tries first.
"#
    );
    for fitting in named() {
        text += &format!("[[devices]]\naddress = \"{}\"\nname = \"{}\"\n", fitting.address, fitting.name);
        if fitting.model == Model::BthomeLock {
            text += &format!("bindkey = \"{}\"\n", hex::encode(KEY));
        }
    }
    let path = state.0.join(CONFIG);
    std::fs::write(&path, text)?;
    Config::load(&path).map_err(|problems| Failure::usage(problems.to_string()))
}

#[cfg(feature = "embedded-broker")]
async fn embedded_broker() -> Result<String, Failure> {
    let broker = broker::start().await.map_err(|e| Failure::failed(format!("the demo's MQTT broker: {e}")))?;
    Ok(format!("mqtt://{broker}"))
}

#[cfg(not(feature = "embedded-broker"))]
async fn embedded_broker() -> Result<String, Failure> {
    Err(Failure::usage("this build has no broker of its own: name one with --mqtt mqtt://127.0.0.1:1883"))
}

/// A state directory that goes with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Scratch> {
        let dir = std::env::temp_dir().join(format!("portcullis-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir)?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
