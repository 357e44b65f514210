//! `portcullis backup` and `restore`: the state, whole, as a directory.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Failure};
use crate::service::StateLock;
use crate::store;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Safe while the hub runs: what it takes is the state at one moment. The directory has the database, the hub's identity, the API keys and
the key that opens the digits of codes: keep it like a key. A credential code_key is not in it; keep that one yourself.

Example:
  portcullis backup /mnt/usb/portcullis-$(date +%F)")]
pub struct BackupArgs {
    /// A directory that is made, or holds no backup yet
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The hub must be stopped. What was there stays beside it, under names that end in .before-restore. The restored log has a new log_id, and
what the backup's hub had not delivered is delivered.

Example:
  systemctl stop portcullis && portcullis restore /mnt/usb/portcullis-2026-01-31 && systemctl start portcullis")]
pub struct RestoreArgs {
    /// What `portcullis backup` made
    dir: PathBuf,
}

pub fn backup(args: BackupArgs, context: &Context) -> Result<(), Failure> {
    let state = context.config()?.state_dir;
    store::backup(&state, &args.dir)?;
    tell(context, &args.dir, "is the backup")
}

pub fn restore(args: RestoreArgs, context: &Context) -> Result<(), Failure> {
    let state = context.config()?.state_dir;
    let _lock = StateLock::take(&state)?;
    store::restore(&args.dir, &state)?;
    tell(context, &state, "is as the backup has it; what was there ends in .before-restore")
}

/// What the log of a directory holds now.
fn tell(context: &Context, dir: &std::path::Path, what: &str) -> Result<(), Failure> {
    let reader = store::Reader::open(dir)?;
    let (head, log_id) = (reader.extent()?, reader.log_id());
    if context.json {
        println!("{}", json!({ "dir": dir, "last_seq": head.seq, "log_id": log_id }));
    } else {
        println!("{} {what}: events up to {}, log {log_id}", dir.display(), head.seq);
    }
    Ok(())
}
