//! `portcullis undeliverable`: events that a sink would not take, and another try for them.

use serde_json::json;

use super::daemon::{Daemon, block_on};
use super::{Context, Failure};
use crate::api::undeliverable::shown;
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
An event that a sink refuses for good (too large, a topic it will not have) is set aside after five tries, so that those behind it go on.
Mend the cause, then drive them again:

  portcullis undeliverable
  portcullis undeliverable --again")]
pub struct Args {
    /// Have them tried again; those that are refused once more stay in the list
    #[arg(long)]
    again: bool,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let aside = block_on(async {
        if args.again {
            return Daemon::must(&config).await?.ask("/undeliverable/retry", json!({}), "undeliverable").await;
        }
        match Daemon::connect(&config).await? {
            Some(mut daemon) => daemon.ask("/undeliverable/list", json!({}), "undeliverable").await,
            None => Ok(Reader::open(&config.state_dir)?.undeliverable()?.iter().map(shown).collect()),
        }
    })?;
    if context.json {
        println!("{aside}");
        return Ok(());
    }
    let aside = aside.as_array().map(Vec::as_slice).unwrap_or_default();
    for event in aside {
        let reason = event["reason"].as_str().unwrap_or_default();
        println!("{:<8} seq {:<10} {reason}", event["sink"].as_str().unwrap_or_default(), event["seq"]);
    }
    match (aside.len(), args.again) {
        (0, _) => println!("Nothing was set aside."),
        (n, true) => println!("{n} tried again; portcullis undeliverable shows what is still refused."),
        _ => {}
    }
    Ok(())
}
