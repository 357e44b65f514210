//! `portcullis accounts`: what devices belong to, and Z-Wave networks that come and go while the hub runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::{Daemon, block_on};
use super::devices::stored_rows;
use super::{Context, Failure};
use crate::api;
use crate::api::accounts::Adopts;
use crate::config::Config;

/// Longer than the hub itself waits for a server and its network.
const ADDED_WITHIN: Duration = Duration::from_secs(45);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The accounts are Bluetooth (all adapters together) and each Z-Wave network, by its configuration or added here.
A network is asked what it is before it is kept; then it is there until it is removed, over restarts too. Removing it removes its devices.

Examples:
  portcullis accounts
  portcullis accounts add ws://zwave-pi.local:3000 --name cellar
  portcullis accounts add wss://zwave.example.com/ws --username hub --password-file secret
  portcullis accounts remove cellar")]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the accounts, and how they are (what `accounts` alone does)
    List,
    /// Connect a Z-Wave network by the address of its Z-Wave JS server
    Add {
        /// For example ws://127.0.0.1:3000
        url: String,
        /// What to call it [default: zwave- and its home id]
        #[arg(long)]
        name: Option<String>,
        /// For whoever guards the server
        #[arg(long, value_name = "NAME")]
        username: Option<String>,
        /// Where the password is; `-` is standard input
        #[arg(long, value_name = "FILE", requires = "username")]
        password_file: Option<PathBuf>,
    },
    /// Take a network out that was added, with its devices
    Remove {
        /// Its name or id, as `accounts` shows it
        account: String,
    },
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    match args.verb {
        None | Some(Verb::List) => list(context),
        Some(Verb::Add { url, name, username, password_file }) => {
            let password = password_file.as_deref().map(password).transpose()?;
            add(context, json!({"url": url, "name": name, "username": username, "password": password}))
        }
        Some(Verb::Remove { account }) => remove(context, &account),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let accounts = block_on(async {
        match Daemon::connect(&config).await? {
            Some(mut daemon) => listed(&mut daemon).await,
            None => stopped(&config),
        }
    })?;
    let mut out = std::io::stdout().lock();
    if context.json {
        return Ok(writeln!(out, "{}", Value::Array(accounts))?);
    }
    accounts.iter().try_for_each(|account| Ok(writeln!(out, "{}", line(account))?))
}

/// As they were when the hub stopped.
fn stopped(config: &Config) -> Result<Vec<Value>, Failure> {
    Ok(api::accounts::all(&stored_rows(config)?, Adopts::of(config)).collect())
}

async fn listed(daemon: &mut Daemon) -> Result<Vec<Value>, Failure> {
    let accounts = daemon.ask("/connected_accounts/list", json!({}), "connected_accounts").await?;
    Ok(accounts.as_array().cloned().unwrap_or_default())
}

fn add(context: &Context, body: Value) -> Result<(), Failure> {
    let config = context.config()?;
    let account = block_on(async {
        let mut daemon = Daemon::must(&config).await?;
        daemon.ask_within(ADDED_WITHIN, "/connected_accounts/create", body, "connected_account").await
    })?;
    let text = if context.json { account.to_string() } else { line(&account) };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn remove(context: &Context, account: &str) -> Result<(), Failure> {
    let config = context.config()?;
    let id = block_on(async {
        let mut daemon = Daemon::must(&config).await?;
        let accounts = listed(&mut daemon).await?;
        let is_it = |a: &&Value| a["connected_account_id"] == account || a["display_name"] == account;
        // One that was never met is in no list, but may be named by its id.
        let id = accounts.iter().find(is_it).map_or_else(|| json!(account), |a| a["connected_account_id"].clone());
        daemon.ask("/connected_accounts/delete", json!({"connected_account_id": id}), "ok").await?;
        Ok(id)
    })?;
    let text = format!("removed {account}");
    let text = if context.json { json!({"ok": true, "connected_account_id": id}).to_string() } else { text };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn line(account: &Value) -> String {
    let text = |key: &str| account[key].as_str().unwrap_or("?");
    let trouble: Vec<&str> =
        account["errors"].as_array().into_iter().flatten().filter_map(|e| e["message"].as_str()).collect();
    let state = if trouble.is_empty() { "connected".to_owned() } else { trouble.join(" ") };
    let (id, name, kind) = (text("connected_account_id"), text("display_name"), text("account_type_display_name"));
    format!("{id}  {name:<24} {kind:<14} {state}")
}

/// Never an argument: those are seen by everybody on the machine.
fn password(file: &Path) -> Result<String, Failure> {
    let read =
        if file == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = read.map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
