//! The command line; a file a verb. Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.

mod accounts;
mod backup;
mod check_config;
mod codes;
mod daemon;
mod decode;
mod demo;
mod devices;
mod doctor;
mod events;
mod fleet_load;
mod keys;
mod listen;
mod lock;
mod papers;
mod record;
mod replay;
mod run;
mod scan;
mod setup;
mod support_bundle;
mod top;
mod troubles;
mod undeliverable;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

const DEFAULT_CONFIG: &str = "/etc/portcullis/config.toml";

#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// The configuration [default: /etc/portcullis/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON for machines instead of text for people
    #[arg(long, global = true)]
    json: bool,
    /// What to log: `info`, `debug`, `info,portcullis::source=debug` … [default: $RUST_LOG, or info]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find what is there, ask the rest, and write a configuration
    Setup(setup::Args),
    /// Run the hub (what systemd starts)
    Run(run::Args),
    /// Run a simulated building, with an MQTT broker of its own unless you name one
    Demo(demo::Args),
    /// Show what the Bluetooth adapters hear, decoded
    Scan(scan::Args),
    /// List the devices and how they are
    Devices(devices::Args),
    /// Adopt a device: from now on it is managed, and its events are told
    Adopt(devices::AdoptArgs),
    /// Release a managed device: it stays known, and is told of no more
    Release(devices::OneArgs),
    /// Forget a device altogether
    Delete(devices::OneArgs),
    /// Lock a door, and see whether it is
    Lock(lock::Args),
    /// Unlock a door, and see whether it is
    Unlock(lock::Args),
    /// List, make, change and remove access codes
    Codes(codes::Args),
    /// List the connected accounts: Bluetooth, and each Z-Wave network; add and remove networks
    Accounts(accounts::Args),
    /// List, fetch or follow events
    Events(events::Args),
    /// List events that a sink would not take, and have them tried again
    Undeliverable(undeliverable::Args),
    /// Copy the whole state into a directory, also while the hub runs
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the state; the hub must be stopped
    Restore(backup::RestoreArgs),
    /// Make, list and revoke API keys
    Keys(keys::Args),
    /// Decode adverts given as JSON lines on standard input
    Decode(decode::Args),
    /// Record what radios and bridges say into a capture
    Record(record::Args),
    /// Play a capture in virtual time and print the events that come of it
    Replay(replay::Args),
    /// Simulate many hubs at a broker, to see what it carries
    FleetLoad(fleet_load::Args),
    /// Check a configuration and say all that is wrong with it
    CheckConfig(check_config::Args),
    /// Check everything the hub needs and say how to mend what is missing
    Doctor(doctor::Args),
    /// Show the hub at work, live
    Top(top::Args),
    /// Gather what somebody needs who helps, without secrets
    SupportBundle(support_bundle::Args),
    /// Print a completion script for a shell
    Completions(papers::CompletionsArgs),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(papers::ManArgs),
}

/// What every verb may want to know.
pub struct Context {
    pub config_path: PathBuf,
    /// Whether the user named the configuration: verbs that can do without read it only then.
    pub config_given: bool,
    pub json: bool,
    /// `--log`; a verb that runs for long hands it to [`crate::service::logs::start`].
    pub log: Option<String>,
}

impl Context {
    /// The checked configuration; a missing or wrong one is [`Failure::usage`].
    pub fn config(&self) -> Result<Config, Failure> {
        Config::load(&self.config_path).map_err(|e| Failure::usage(e.to_string()))
    }

    /// For verbs that need none: the configuration where one was named.
    pub fn config_if_given(&self) -> Result<Option<Config>, Failure> {
        self.config_given.then(|| self.config()).transpose()
    }
}

/// Why a verb ends badly: what the user is told, and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// It could not be done (exit code 1).
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 1 }
    }

    /// It was asked for in a wrong way, or the configuration is wrong (exit code 2).
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 2 }
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// What there is to say was said on standard output; only the exit code is left.
    pub fn told(code: u8) -> Failure {
        Failure { message: String::new(), code }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let io = (&error as &dyn std::error::Error).downcast_ref::<std::io::Error>();
        match io.map(std::io::Error::kind) {
            // A reader that has seen enough (`portcullis … | head`) is no failure.
            Some(std::io::ErrorKind::BrokenPipe) => Failure { message: String::new(), code: 0 },
            _ => Failure::failed(error.to_string()),
        }
    }
}

/// What this process knows (digits of codes, keys) goes to no core dump, nor to others who could look into its memory. One without
/// the other is not enough: a program that takes dumps by a pipe heeds no limit. Where a sandbox forbids a call, the unit's
/// `LimitCORE=0` stands.
fn leave_no_core() {
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
}

pub fn main() -> ExitCode {
    leave_no_core();
    let cli = Cli::parse();
    let context = Context {
        config_given: cli.config.is_some(),
        config_path: cli.config.unwrap_or_else(|| "/etc/portcullis/config.toml".into()),
        json: cli.json,
        log: cli.log,
    };
    let done = match cli.verb {
        Verb::Setup(args) => setup::run(args, &context),
        Verb::Run(args) => run::run(args, &context),
        Verb::Demo(args) => demo::run(args, &context),
        Verb::Scan(args) => scan::run(args, &context),
        Verb::Devices(args) => devices::run(args, &context),
        Verb::Adopt(args) => devices::adopt(args, &context),
        Verb::Release(args) => devices::release(args, &context),
        Verb::Delete(args) => devices::delete(args, &context),
        Verb::Lock(args) => lock::lock(args, &context),
        Verb::Unlock(args) => lock::unlock(args, &context),
        Verb::Codes(args) => codes::run(args, &context),
        Verb::Accounts(args) => accounts::run(args, &context),
        Verb::Events(args) => events::run(args, &context),
        Verb::Undeliverable(args) => undeliverable::run(args, &context),
        Verb::Backup(args) => backup::backup(args, &context),
        Verb::Restore(args) => backup::restore(args, &context),
        Verb::Keys(args) => keys::run(args, &context),
        Verb::Decode(args) => decode::run(args, &context),
        Verb::Record(args) => record::run(args, &context),
        Verb::Replay(args) => replay::run(args, &context),
        Verb::FleetLoad(args) => fleet_load::run(args, &context),
        Verb::CheckConfig(args) => check_config::run(args, &context),
        Verb::Doctor(args) => doctor::run(args, &context),
        Verb::Top(args) => top::run(args, &context),
        Verb::SupportBundle(args) => support_bundle::run(args, &context),
        Verb::Completions(args) => papers::completions(args, &context),
        Verb::Man(args) => papers::man(args, &context),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("portcullis: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}
