//! `portcullis devices`, and what is done with one (`adopt`, `release`, `delete`).

use std::io::Write;

use serde_json::{Value, json};
use uuid::Uuid;

use super::daemon::{Daemon, block_on};
use super::{Context, Failure, troubles};
use crate::api;
use crate::config::Config;
use crate::identity::Identity;
use crate::store::{Reader, StateRow};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Managed devices come first; unmanaged ones are heard, but nobody adopted them (portcullis adopt DEVICE_ID).
Without a running hub, the devices are shown as they were when it stopped.
A Bluetooth device that is heard and not understood (bind key missing or wrong, counter stale) is shown with what to do about it.

Examples:
  portcullis devices
  portcullis devices --json | jq -r '.[] | select(.properties.online | not) | .properties.name'
  portcullis devices --json | jq -r '.[] | select(.trouble) | [.properties.name, .trouble.code] | @tsv'
  portcullis devices --explain 0b1f6a52-7c55-5a7e-9d35-6a1f3d3f2a10")]
pub struct Args {
    /// Everything that is known of one device, and why it is judged to be here or gone
    #[arg(long, value_name = "DEVICE_ID")]
    explain: Option<Uuid>,
}

/// A verb about one device.
#[derive(Debug, clap::Args)]
pub struct OneArgs {
    /// As `portcullis devices` shows it
    device_id: Uuid,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis adopt 0b1f6a52-7c55-5a7e-9d35-6a1f3d3f2a10 --name 'Front door'")]
pub struct AdoptArgs {
    /// As `portcullis devices` shows it
    device_id: Uuid,
    /// What to call it
    #[arg(long)]
    name: Option<String>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    match args.explain {
        Some(id) => explain(id, context),
        None => list(context),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let devices = block_on(async {
        let Some(mut daemon) = Daemon::connect(&config).await? else { return stopped_devices(&config) };
        let mut all = Vec::new();
        for path in ["/devices/list", "/devices/unmanaged/list"] {
            all.extend(daemon.ask(path, json!({}), "devices").await?.as_array().cloned().unwrap_or_default());
        }
        let troubles = troubles::of_health(&daemon.ask("/health", json!({}), "health").await?);
        for device in &mut all {
            if let Some(trouble) = troubles.get(device["properties"]["key"].as_str().unwrap_or_default()) {
                device["trouble"] = json!(trouble);
            }
        }
        Ok(all)
    })?;
    let mut out = std::io::stdout().lock();
    if context.json {
        return Ok(writeln!(out, "{}", Value::Array(devices))?);
    }
    if devices.is_empty() {
        let how = "name one in the configuration ([[devices]]), or wait until one is heard; portcullis doctor checks the radio";
        writeln!(out, "No devices yet: {how}.")?;
    }
    for device in &devices {
        writeln!(out, "{}", line(device))?;
        if let (Some(what), Some(fix)) = (device["trouble"]["what"].as_str(), device["trouble"]["fix"].as_str()) {
            writeln!(out, "{:38}{what}\n{:38}→ {fix}", "", "")?;
        }
    }
    Ok(())
}

/// As they were when the hub stopped; managed ones first.
fn stopped_devices(config: &Config) -> Result<Vec<Value>, Failure> {
    let rows = stored_rows(config)?;
    let workspace = Identity::read(&config.state_dir).map_or(Uuid::nil(), |identity| identity.workspace_id);
    let mut devices: Vec<Value> = api::device_shape::all(&rows, workspace).collect();
    devices.sort_by_key(|device| device["is_managed"] != true);
    Ok(devices)
}

pub(super) fn stored_rows(config: &Config) -> Result<Vec<StateRow>, Failure> {
    let none = |e| Failure::failed(format!("no hub runs, and its state cannot be read: {e}"));
    Ok(Reader::open(&config.state_dir).map_err(none)?.state()?)
}

/// `online, locked, battery 85 %`
pub(super) fn notes(device: &Value) -> String {
    let properties = &device["properties"];
    let mut notes = vec![if properties["online"] == true { "online" } else { "offline" }.to_owned()];
    if device["is_managed"] != true {
        notes.push("unmanaged".into());
    }
    if let Some(state) = properties["lock_state"].as_str() {
        notes.push(state.replace('_', " "));
    }
    if let Some(open) = properties["door_open"].as_bool() {
        notes.push(if open { "door open" } else { "door closed" }.into());
    }
    if let Some(level) = properties["battery_level"].as_f64() {
        notes.push(format!("battery {:.0} %", level * 100.0));
    }
    if properties["tampered"] == true {
        notes.push("tampered".into());
    }
    notes.join(", ")
}

/// `ID  front door  ble:C0:FF:EE:00:00:01  online, locked, battery 85 %`
fn line(device: &Value) -> String {
    let text = |key: &str| device["properties"][key].as_str().unwrap_or("?");
    let (id, name, key) = (device["device_id"].as_str().unwrap_or("?"), text("name"), text("key"));
    format!("{id}  {name:<24} {key:<22} {}", notes(device))
}

fn explain(id: Uuid, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let explanation = block_on(async {
        match Daemon::connect(&config).await? {
            Some(mut daemon) => daemon.ask("/devices/explain", json!({"device_id": id}), "explanation").await,
            None => {
                let missing = || Failure::failed(format!("no device {id}; portcullis devices shows all"));
                api::devices::explanation(&stored_rows(&config)?, &id.to_string()).ok_or_else(missing)
            }
        }
    })?;
    let text = if context.json { explanation.to_string() } else { in_words(&explanation)? };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Why a device is judged as it is, then everything that is known of it.
fn in_words(explanation: &Value) -> Result<String, serde_json::Error> {
    let mut text = api::explained::presence_in_words(&explanation["presence"]).join("\n");
    if !text.is_empty() {
        text += "\n\n";
    }
    Ok(text + &serde_json::to_string_pretty(explanation)?)
}

pub fn adopt(args: AdoptArgs, context: &Context) -> Result<(), Failure> {
    let body = json!({"device_id": args.device_id, "is_managed": true, "name": args.name});
    tell(context, "/devices/unmanaged/update", body, "adopted")
}

pub fn release(args: OneArgs, context: &Context) -> Result<(), Failure> {
    tell(context, "/devices/update", json!({"device_id": args.device_id, "is_managed": false}), "released")
}

pub fn delete(args: OneArgs, context: &Context) -> Result<(), Failure> {
    tell(context, "/devices/delete", json!({"device_id": args.device_id}), "deleted")
}

fn tell(context: &Context, path: &str, body: Value, done: &str) -> Result<(), Failure> {
    let config = context.config()?;
    let device_id = body["device_id"].clone();
    block_on(async { Daemon::must(&config).await?.ask(path, body, "ok").await })?;
    let text = format!("{done} {}", device_id.as_str().unwrap_or_default());
    let text = if context.json { json!({"ok": true, "device_id": device_id}).to_string() } else { text };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
