//! `portcullis run`: run the hub (what systemd starts).

use super::{Context, Failure};
use crate::service;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM stops it within 5 seconds; SIGHUP reads the configuration again (systemctl reload portcullis).

Examples:
  portcullis run                                  with /etc/portcullis/config.toml
  portcullis run --config ./my.toml --log debug   on a terminal, and talkative")]
pub struct Args {}

pub fn run(_args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    service::logs::start(context.log.as_deref()).map_err(Failure::usage)?;
    Ok(service::run(context.config_path.clone(), config)?)
}
