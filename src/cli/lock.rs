//! `portcullis lock` and `portcullis unlock`: operate a door, and see what became of it.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::daemon::{Daemon, block_on};
use super::{Context, Failure};

/// How often the hub is asked what became of it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It is done when the lock itself reports it. Exit code 0: it is; 1: it is not, and why is said.

Examples:
  portcullis unlock 'Front door'
  portcullis lock 0b1f6a52-7c55-5a7e-9d35-6a1f3d3f2a10 --json
  portcullis lock 'Front door' --wait 0           do not wait for the lock")]
pub struct Args {
    /// Its id or its name, as `portcullis devices` shows it
    device: String,
    /// Wait so many seconds for the lock's report
    #[arg(long, value_name = "SECONDS", default_value_t = 60, num_args = 0..=1, default_missing_value = "60")]
    wait: u64,
}

pub fn lock(args: Args, context: &Context) -> Result<(), Failure> {
    operate(args, context, true)
}

pub fn unlock(args: Args, context: &Context) -> Result<(), Failure> {
    operate(args, context, false)
}

fn operate(args: Args, context: &Context, lock: bool) -> Result<(), Failure> {
    let config = context.config()?;
    block_on(async {
        let mut daemon = Daemon::must(&config).await?;
        let (device_id, name) = find(&mut daemon, &args.device).await?;
        let begun = Instant::now();
        let path = if lock { "/locks/lock_door" } else { "/locks/unlock_door" };
        let mut attempt = daemon.ask(path, json!({"device_id": device_id}), "action_attempt").await?;
        let id = attempt["action_attempt_id"].clone();
        let mut out = std::io::stdout();
        if !context.json {
            writeln!(out, "{name}: {} …", if lock { "locking" } else { "unlocking" })?;
        }
        while attempt["status"] == "pending" && begun.elapsed() < Duration::from_secs(args.wait) {
            tokio::time::sleep(LOOK_EVERY).await;
            attempt = daemon.ask("/action_attempts/get", json!({"action_attempt_id": id}), "action_attempt").await?;
        }
        if context.json {
            writeln!(out, "{attempt}")?;
        }
        end(&attempt, &name, lock, args.wait, begun.elapsed(), context.json)
    })
}

/// Says how it ended, where nothing has said it yet.
fn end(attempt: &Value, name: &str, lock: bool, wait: u64, took: Duration, said: bool) -> Result<(), Failure> {
    let text = |pointer: &str| attempt.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    match attempt["status"].as_str() {
        Some("success") => {
            if !said {
                let state = if lock { "locked" } else { "unlocked" };
                writeln!(std::io::stdout(), "{name}: {state} after {:.1} s", took.as_secs_f64())?;
            }
            Ok(())
        }
        Some("pending") if wait == 0 => {
            if !said {
                writeln!(std::io::stdout(), "attempt {} goes on", text("/action_attempt_id"))?;
            }
            Ok(())
        }
        _ if said => Err(Failure::told(1)),
        Some("pending") => {
            Err(Failure::failed(format!("{name}: nothing was reported within {wait} s; the attempt goes on")))
        }
        _ => Err(Failure::failed(format!("{name}: {} ({})", text("/error/message"), text("/error/type")))),
    }
}

/// The device's id and name, by either.
pub(super) async fn find(daemon: &mut Daemon, wanted: &str) -> Result<(Value, String), Failure> {
    let by = match wanted.parse::<Uuid>() {
        Ok(id) => json!({"device_id": id}),
        Err(_) => json!({"name": wanted}),
    };
    let device = daemon.ask("/devices/get", by, "device").await?;
    let name = device["properties"]["name"].as_str().unwrap_or(wanted).to_owned();
    Ok((device["device_id"].clone(), name))
}
