//! `portcullis events`: list, fetch or follow events.

use std::io::Write;

use serde_json::{Value, json};
use uuid::Uuid;

use super::daemon::{Daemon, block_on};
use super::{Context, Failure};
use crate::event::EventType;
use crate::store::{Filter, Reader};
use crate::time::Wall;

/// Events that one question to the log brings, as at Seam.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a running hub, list and get read the state directory themselves.

Examples:
  portcullis events list                           the last 20
  portcullis events list --type lock.unlocked --limit 5
  portcullis events list --since 2026-01-31T00:00:00Z --json | jq -r .event_type
  portcullis events get 01930b2c-4f3e-7c1a-9d2e-5b6a7c8d9e0f
  portcullis events tail --device 0b1f6a52-7c55-5a7e-9d35-6a1f3d3f2a10")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The last events, oldest of them first
    List {
        #[command(flatten)]
        about: About,
        /// Only events created since then (RFC 3339: 2026-01-31T12:00:00Z); the first ones from there on
        #[arg(long, value_name = "TIME")]
        since: Option<chrono::DateTime<chrono::Utc>>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// One event, whole
    Get { event_id: Uuid },
    /// Events as they come, until it is interrupted
    Tail {
        #[command(flatten)]
        about: About,
        /// Stop after so many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
}

#[derive(Debug, clap::Args)]
struct About {
    /// Only events of this device (may be repeated)
    #[arg(long = "device", value_name = "DEVICE_ID")]
    devices: Vec<Uuid>,
    /// Only events of this type (may be repeated): lock.unlocked, device.disconnected …
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<EventType>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    match args.what {
        What::List { about, since, limit } => {
            let since = since.map(Wall::from);
            let events = block_on(async { Log::open(context).await?.list(&about, since, limit).await })?;
            events.iter().try_for_each(|event| print(context, event))
        }
        What::Get { event_id } => {
            let event = block_on(async { Log::open(context).await?.get(event_id).await })?;
            let text = if context.json { event.to_string() } else { serde_json::to_string_pretty(&event)? };
            Ok(writeln!(std::io::stdout(), "{text}")?)
        }
        What::Tail { about, limit } => block_on(tail(context, &about, limit)),
    }
}

/// The log, through the running hub, or from the file of one that does not run.
enum Log {
    Daemon(Daemon),
    File(Box<Reader>),
}

impl Log {
    async fn open(context: &Context) -> Result<Log, Failure> {
        let config = context.config()?;
        if let Some(daemon) = Daemon::connect(&config).await? {
            return Ok(Log::Daemon(daemon));
        }
        let none = |e| Failure::failed(format!("no hub runs, and its log cannot be read: {e}"));
        Reader::open(&config.state_dir).map(|reader| Log::File(Box::new(reader))).map_err(none)
    }

    /// From `since` on the first that fit; without it the last that fit. Oldest first either way.
    async fn list(&mut self, about: &About, since: Option<Wall>, limit: usize) -> Result<Vec<Value>, Failure> {
        let mut events = Vec::new();
        while events.len() < limit {
            let page = self.page(about, since, events.len(), PAGE.min(limit - events.len())).await?;
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        if since.is_none() {
            events.reverse();
        }
        Ok(events)
    }

    async fn page(
        &mut self,
        about: &About,
        since: Option<Wall>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        match self {
            Log::Daemon(daemon) => {
                let mut ask = json!({"since": since.unwrap_or_default().to_string(), "newest_first": since.is_none()});
                ask["unstable_offset"] = offset.into();
                ask["limit"] = limit.into();
                if !about.devices.is_empty() {
                    ask["device_ids"] = json!(about.devices);
                }
                if !about.types.is_empty() {
                    ask["event_types"] = json!(about.types);
                }
                match daemon.ask("/events/list", ask, "events").await? {
                    Value::Array(events) => Ok(events),
                    _ => Err(Failure::failed("the hub's answer has no events: is it of another version?")),
                }
            }
            Log::File(reader) => {
                let filter = Filter {
                    event_types: about.types.iter().copied().collect(),
                    device_ids: about.devices.iter().copied().collect(),
                    after: since.map(|t| Wall(t.0 - 1)),
                    newest_first: since.is_none(),
                    offset,
                    ..Filter::default()
                };
                reader.find(&filter, limit)?.iter().map(|event| Ok(serde_json::from_str(&event.body)?)).collect()
            }
        }
    }

    async fn get(&mut self, event_id: Uuid) -> Result<Value, Failure> {
        match self {
            Log::Daemon(daemon) => daemon.ask("/events/get", json!({"event_id": event_id}), "event").await,
            Log::File(reader) => {
                let found = reader.find(&Filter { event_ids: [event_id].into(), ..Filter::default() }, 1)?;
                let missing = || Failure::failed(format!("the log has no event {event_id} (any more?)"));
                Ok(serde_json::from_str(&found.first().ok_or_else(missing)?.body)?)
            }
        }
    }
}

async fn tail(context: &Context, about: &About, limit: Option<usize>) -> Result<(), Failure> {
    let daemon = Daemon::must(&context.config()?).await?;
    let devices = about.devices.iter().map(|id| format!("device_ids={id}"));
    let types = about.types.iter().map(|t| format!("event_types={t}"));
    let query = devices.chain(types).chain(["_strict=true".to_owned()]).collect::<Vec<_>>().join("&");
    let mut left = limit.unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(());
    }
    let tell = |event: &str| {
        print(context, &serde_json::from_str(event)?)?;
        left -= 1;
        Ok(left > 0)
    };
    daemon.follow(&query, tell).await
}

/// One event, a line.
fn print(context: &Context, event: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if context.json {
        writeln!(out, "{event}")?;
        return Ok(());
    }
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let about = if event["device_id"].is_null() { text("connected_account_id") } else { text("device_id") };
    let notes: Vec<String> = ["method", "error_code", "battery_level", "battery_status", "noise_level_decibels"]
        .iter()
        .filter(|key| !event[**key].is_null())
        .map(|key| format!("{key}={}", event[*key].as_str().map_or_else(|| event[*key].to_string(), str::to_owned)))
        .collect();
    writeln!(out, "{}  {:<32} {about}  {}", text("created_at"), text("event_type"), notes.join(" "))?;
    Ok(())
}
