//! `portcullis top`: the hub at work, live in the terminal. It asks over the control socket and changes nothing.

mod frame;
mod screen;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::daemon::{Daemon, block_on};
use super::{Context, Failure};
use screen::Screen;

/// Enough to fill a tall terminal.
const EVENTS: usize = 50;
/// A frame that is printed into a file has no edge.
const PLAIN: (usize, usize) = (160, usize::MAX);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Adverts a second and what became of them, events and what waits for the broker, sources and sinks, the devices by when they were last
heard, the last events. q ends it.

Examples:
  portcullis top
  portcullis top --once                                                one frame, for a script or a report
  portcullis top --once --json | jq '.health.counters.mqtt.backlog'")]
pub struct Args {
    /// Print one frame and end
    #[arg(long)]
    once: bool,
    /// Seconds between two frames
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    every: u64,
}

/// What the hub said of itself at one moment.
struct Sample {
    at: Instant,
    health: Value,
    /// Managed and unmanaged devices, in Seam's shape.
    devices: Vec<Value>,
    /// Seconds since each was heard, by its id; of those whose presence is judged by hearing.
    heard: Value,
    /// Newest first.
    events: Vec<Value>,
}

impl Sample {
    async fn take(daemon: &mut Daemon) -> Result<Sample, Failure> {
        let health = daemon.ask("/health", json!({}), "health").await?;
        let mut devices = Vec::new();
        for path in ["/devices/list", "/devices/unmanaged/list"] {
            devices.extend(daemon.ask(path, json!({}), "devices").await?.as_array().cloned().unwrap_or_default());
        }
        let heard = daemon.ask("/devices/heard", json!({}), "heard_ago_s").await?;
        let ask = json!({"since": "1970-01-01T00:00:00Z", "newest_first": true, "limit": EVENTS});
        let events = daemon.ask("/events/list", ask, "events").await?.as_array().cloned().unwrap_or_default();
        Ok(Sample { at: Instant::now(), health, devices, heard, events })
    }
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let every = Duration::from_secs(args.every);
    if !args.once && !std::io::stdout().is_terminal() {
        return Err(Failure::usage("top wants a terminal; --once prints one frame"));
    }
    block_on(async {
        let mut daemon = Daemon::must(&config).await?;
        let mut before = Sample::take(&mut daemon).await?;
        if args.once {
            // Rates are of the time between two looks.
            tokio::time::sleep(every).await;
            let now = Sample::take(&mut daemon).await?;
            return print(&now, &before, context);
        }
        let screen = Screen::open()?;
        let (mut keys, mut interrupt) = (screen.keys(), signal(SignalKind::interrupt())?);
        let (mut terminate, mut resized) = (signal(SignalKind::terminate())?, signal(SignalKind::window_change())?);
        let mut ticks = tokio::time::interval(every);
        let mut now = Sample::take(&mut daemon).await?;
        loop {
            screen.show(&frame::lines(&now, &before, screen.size()))?;
            tokio::select! {
                _ = ticks.tick() => before = std::mem::replace(&mut now, Sample::take(&mut daemon).await?),
                key = keys.recv() => if matches!(key, None | Some(b'q' | b'Q' | 3)) { return Ok(()) },
                _ = resized.recv() => {}
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
        }
    })
}

fn print(now: &Sample, before: &Sample, context: &Context) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if context.json {
        let rates = frame::rates(now, before);
        let all = json!({
            "health": now.health, "rates": rates, "devices": now.devices, "heard_ago_s": now.heard, "events": now.events,
        });
        return Ok(writeln!(out, "{all}")?);
    }
    for line in frame::lines(now, before, PLAIN) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
