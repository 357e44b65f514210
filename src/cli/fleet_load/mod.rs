//! `portcullis fleet-load`: many simulated hubs at a broker, to see what it carries. What they are on the wire is the publisher's own
//! code; what they tell is seeded and can be told apart from what it is not.

mod hub;
mod log;
mod reader;
mod tally;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Context, Failure};
use crate::config::Config;
use crate::service;
use crate::sink::mqtt::Settings;
use crate::source::demo::Dice;
use crate::time::Wall;
use hub::{Phase, SimHub, World, live};
use log::SimLog;
use reader::Reading;
use tally::Tally;

/// A simulated hub is `sim-00001` and so on.
const NAME: &str = "sim-";

/// How often it is looked at how far they are, and told.
const LOOK: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The broker, its version, the authority and the prefix are those of [mqtt] in the configuration. Each hub is sim-00001 … under that
prefix, with a session, a will, retained state and a window of its own, as `portcullis run` has them. How far they are is told on
standard error, with --json in JSON too. Ctrl-C ends what happens, and what happened until then is told.

Examples:
  portcullis fleet-load --config fleet.toml --hubs 5000 --seconds 120 --credentials fleet/hubs
  portcullis fleet-load --config fleet.toml --hubs 1000 --backlog 200              how fast a backlog drains
  portcullis fleet-load --config fleet.toml --hubs 5000 --outage 30:60 --reader    what an outage does, and whether all arrived")]
pub struct Args {
    /// How many hubs
    #[arg(long, default_value_t = 100)]
    hubs: u64,
    /// Events of a hub in a day
    #[arg(long, default_value_t = 500.0, value_name = "N")]
    events_per_day: f64,
    /// Seconds in which things happen; then what is left is told
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// Seconds over which the hubs come up
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    ramp: f64,
    /// Events that each hub has waiting when it comes up
    #[arg(long, default_value_t = 0, value_name = "N")]
    backlog: u64,
    /// Devices of each hub, which it says again with every connection
    #[arg(long, default_value_t = 8, value_name = "N")]
    devices: u64,
    /// Cut all hubs off after AT seconds, for so many
    #[arg(long, value_name = "AT:SECONDS", value_parser = outage)]
    outage: Option<(u64, u64)>,
    /// Most seconds that may pass until everything is told
    #[arg(long, default_value_t = 120, value_name = "N")]
    drain: u64,
    /// The same seed tells the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A directory with DIR/sim-00001/mqtt_password and so on; the user is the hub's name [default: the configuration's user for all]
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,
    /// Read what arrives with the configuration's user, and count doubles and gaps
    #[arg(long)]
    reader: bool,
    /// Write what each hub's broker acknowledged: {"hub","log_id","acknowledged"}, a line a hub
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

fn outage(text: &str) -> Result<(u64, u64), String> {
    let parted = text.split_once(':').and_then(|(at, lasts)| Some((at.parse().ok()?, lasts.parse().ok()?)));
    parted.ok_or_else(|| "write AT:SECONDS, as in 30:60".to_owned())
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    if args.hubs == 0 || args.hubs > 99_999 || args.events_per_day.is_nan() || args.events_per_day < 0.0 {
        return Err(Failure::usage("--hubs is to be 1 to 99999, --events-per-day 0 or more"));
    }
    if args.outage.is_some_and(|(at, lasts)| at + lasts >= args.seconds) {
        return Err(Failure::usage("--outage is to end before --seconds are over"));
    }
    service::logs::start(Some(context.log.as_deref().unwrap_or("warn"))).map_err(Failure::usage)?;
    let config = context.config()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(load(args, &config, context.json))
}

async fn load(args: Args, config: &Config, as_json: bool) -> Result<(), Failure> {
    let world = Arc::new(World {
        start: Instant::now(),
        started: Wall::from(chrono::Utc::now()),
        tally: Tally::default(),
        phase: watch::Sender::new(Phase::Running),
    });
    let reading = args.reader.then(|| Arc::new(Reading::new(args.seed)));
    if let Some(reading) = &reading {
        start_reading(config, reading.clone(), world.clone()).await?;
    }
    let mut hubs = JoinSet::new();
    let mut dice = Dice::new(args.seed);
    for n in 1..=args.hubs {
        let hub = sim(&args, config, n, &world)?;
        let first = Duration::from_secs_f64(args.ramp.max(0.0) * dice.chance());
        let world = world.clone();
        hubs.spawn(async move { (n, live(hub, world, first).await) });
    }
    world.tally.made.fetch_add(args.hubs * args.backlog, Relaxed);
    let ended = Arc::new(AtomicBool::new(false));
    tokio::spawn(end_on_signal(ended.clone())?);
    let mut tell = Progress { world: &world, hubs: args.hubs, ended, as_json, told: Instant::now() };

    // Up, and a while of life.
    let all_up = tell.until(Duration::from_secs(args.seconds), |w, hubs| w.tally.online.load(Relaxed) >= hubs).await;
    let outage = match args.outage {
        Some((at, lasts)) => Some(tell.outage(Duration::from_secs(at), Duration::from_secs(lasts)).await),
        None => None,
    };
    let rest = Duration::from_secs(args.seconds).saturating_sub(world.elapsed());
    tell.until(rest, |_, _| false).await;
    tell.ended.store(false, Relaxed);
    world.phase.send_replace(Phase::Draining);
    let drained = tell.until(Duration::from_secs(args.drain), all_told).await;
    if let Some(reading) = &reading {
        let acknowledged = world.tally.acknowledged.load(Relaxed);
        tell.until(Duration::from_secs(args.drain), |_, _| reading.events() >= acknowledged).await;
    }
    let took = world.elapsed();
    world.phase.send_replace(Phase::Over);
    let mut logs: Vec<(u64, SimLog)> = hubs.join_all().await;
    logs.sort_by_key(|(n, _)| *n);
    if let Some(path) = &args.ledger {
        write_ledger(path, &logs)?;
    }

    let tally = &world.tally;
    let acknowledged: Vec<(u64, u64)> = logs.iter().map(|(n, log)| (*n, log.acknowledged())).collect();
    let got: u64 = acknowledged.iter().map(|(_, n)| n).sum();
    let left: u64 = logs.iter().map(|(_, log)| log.head() - log.acknowledged()).sum();
    let seconds = |d: Duration| (d.as_secs_f64() * 10.0).round() / 10.0;
    let report = json!({
        "hubs": args.hubs, "seed": args.seed, "seconds": seconds(took),
        "all_up_s": all_up.map(seconds),
        "connects_per_second_most": tally.connects.most(Duration::ZERO),
        "events": {"made": got + left, "acknowledged": got, "left": left, "sent_again": tally.sent.load(Relaxed).saturating_sub(got)},
        "acknowledged_per_second": {
            "mean": (got as f64 / took.as_secs_f64() * 10.0).round() / 10.0,
            "most": tally.acknowledgements.most(Duration::ZERO),
        },
        "ack_ms": tally.ack.report(), "told_ms": tally.told.report(),
        "outage": outage,
        "drained_s": drained.map(seconds),
        "reader": reading.as_ref().map(|reading| reading.report(&acknowledged)),
        "failures": tally.failures(),
    });
    print(&report, as_json)?;
    let lost = report["reader"]["gaps"].as_u64().unwrap_or(0) + report["reader"]["wrong"].as_u64().unwrap_or(0);
    match (left, lost) {
        (0, 0) => Ok(()),
        _ => {
            Err(Failure::failed(format!("{left} events were not taken, {lost} taken ones did not arrive as they were")))
        }
    }
}

fn end_on_signal(ended: Arc<AtomicBool>) -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        ended.store(true, Relaxed);
    })
}

fn all_told(world: &World, hubs: u64) -> bool {
    let tally = &world.tally;
    tally.online.load(Relaxed) >= hubs && tally.acknowledged.load(Relaxed) >= tally.made.load(Relaxed)
}

fn sim(args: &Args, config: &Config, n: u64, world: &World) -> Result<SimHub, Failure> {
    let mut config = config.clone();
    config.hub.name = format!("{NAME}{n:05}");
    config.mqtt.commands = false;
    if let Some(dir) = &args.credentials {
        config.mqtt.password_file = Some(dir.join(&config.hub.name).join("mqtt_password"));
        config.mqtt.username = Some(config.hub.name.clone());
    }
    let mean = (args.events_per_day > 0.0).then(|| Duration::from_secs_f64(86_400.0 / args.events_per_day));
    Ok(SimHub {
        settings: Settings::new(&config).map_err(|e| Failure::usage(e.to_string()))?,
        log: SimLog::new(args.seed, n, mean, world.started, args.backlog),
        devices: args.devices,
        dice: Dice::new(args.seed.wrapping_mul(31) ^ n),
    })
}

async fn start_reading(config: &Config, reading: Arc<Reading>, world: Arc<World>) -> Result<(), Failure> {
    let mut config = config.clone();
    // Another one each time: what an earlier run left for it is none of ours.
    config.hub.name = format!("load-{}", std::process::id());
    let settings = Settings::new(&config).map_err(|e| Failure::usage(e.to_string()))?;
    let root = format!("{}/", config.mqtt.prefix);
    let filter = format!("{root}+/event/#");
    let mut subscribed = reading.subscribed.subscribe();
    let number = move |topic: &str| {
        let (hub, _) = topic.strip_prefix(&root)?.strip_prefix(NAME)?.split_once('/')?;
        hub.parse().ok()
    };
    tokio::spawn(reader::read(settings, filter, reading, world.clone(), number));
    let waited = tokio::time::timeout(Duration::from_secs(30), subscribed.wait_for(|yes| *yes)).await;
    match waited {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Failure::failed(format!("the reader cannot subscribe: {:?}", world.tally.failures()))),
    }
}

fn write_ledger(path: &Path, logs: &[(u64, SimLog)]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for (n, log) in logs {
        let line = json!({"hub": format!("{NAME}{n:05}"), "log_id": log.log_id, "acknowledged": log.acknowledged()});
        writeln!(file, "{line}")?;
    }
    file.flush()
}

/// Looks at how far they are, and says so on the way.
struct Progress<'a> {
    world: &'a World,
    hubs: u64,
    /// Somebody wants no more to happen.
    ended: Arc<AtomicBool>,
    as_json: bool,
    told: Instant,
}

impl Progress<'_> {
    /// How long it took until it held; `None` where it did not within `most`, or before somebody ended it.
    async fn until(&mut self, most: Duration, holds: impl Fn(&World, u64) -> bool) -> Option<Duration> {
        let since = Instant::now();
        while since.elapsed() < most && !self.ended.load(Relaxed) {
            if holds(self.world, self.hubs) {
                return Some(since.elapsed());
            }
            self.tell();
            sleep(LOOK.min(most)).await;
        }
        holds(self.world, self.hubs).then(|| since.elapsed())
    }

    async fn outage(&mut self, at: Duration, lasts: Duration) -> Value {
        self.until(at.saturating_sub(self.world.elapsed()), |_, _| false).await;
        self.world.phase.send_replace(Phase::Outage);
        self.until(lasts, |_, _| false).await;
        let back = self.world.elapsed();
        self.world.phase.send_replace(Phase::Running);
        // A hub waits a minute at the most between two tries.
        let patience = Duration::from_secs(180);
        let all = self.until(patience, |w, hubs| w.tally.online.load(Relaxed) >= hubs).await;
        let told = self.until(patience, all_told).await;
        json!({
            "lasted_s": lasts.as_secs(),
            "all_back_s": all.map(|d| (d.as_secs_f64() * 10.0).round() / 10.0),
            "connects_per_second_most": self.world.tally.connects.most(back),
            "backlog_told_s": told.and(all).map(|_| ((self.world.elapsed() - back).as_secs_f64() * 10.0).round() / 10.0),
        })
    }

    fn tell(&mut self) {
        if self.told.elapsed() < TELL_EVERY {
            return;
        }
        self.told = Instant::now();
        let (at, tally) = (self.world.elapsed().as_secs_f64(), &self.world.tally);
        let [online, made, taken] = [&tally.online, &tally.made, &tally.acknowledged].map(|n| n.load(Relaxed));
        match self.as_json {
            true => eprintln!("{}", json!({"at_s": at, "online": online, "made": made, "acknowledged": taken})),
            false => {
                eprintln!("{at:6.1} s: {online} of {} hubs online, {made} events made, {taken} acknowledged", self.hubs)
            }
        }
    }
}

fn print(report: &Value, as_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        return writeln!(out, "{report}");
    }
    let Some(lines) = report.as_object() else { return Ok(()) };
    lines
        .iter()
        .filter(|(_, value)| !value.is_null())
        .try_for_each(|(name, value)| writeln!(out, "{name:>26}  {value}"))
}
