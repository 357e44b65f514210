//! `portcullis support-bundle`: all that somebody needs who is to find out what is wrong, and nothing that opens a door.
//!
//! Two nets, one behind the other. What goes in is chosen by name (a key, a field, a column), so that what nobody thought of stays
//! out; and whatever went in is searched for the secrets that are known here, and for names, before it is written.

mod gather;
mod redact;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::Utc;
use serde_json::Value;
use uuid::Uuid;

use super::daemon::block_on;
use super::{Context, Failure};
use redact::Scrubber;

const README: &str = "\
What `portcullis support-bundle` gathered of a hub, for whoever helps with it.

config.json    the configuration without comments, keys, passwords, user names and (unless --names was given) names of devices
doctor.json    what `portcullis doctor` finds
devices.json   devices, with addresses and node numbers, without what is in their access codes
health.json    what the running hub says of its parts, and its counters
metrics.txt    the same for Prometheus
store.json     the database: its schema, how much is in it, how far each sink has come; no content
versions.json  of the hub and of what it works with
journal.txt    what the hub logged last, a JSON object a line

In none of them are digits of access codes, bind keys, passwords, API keys or secrets of webhooks. Please look through it all the same.
";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The configuration is in it without secrets; digits of codes, keys and passwords are in none of its files, and names of devices, networks
and codes are replaced (name-1, name-2 …) unless you say --names. Bluetooth addresses and the home id of Z-Wave networks are in it.

Examples:
  sudo portcullis support-bundle
  sudo portcullis support-bundle --names --output /tmp/hub.tar.gz
  tar -xzOf portcullis-support-*.tar.gz --wildcards '*/doctor.json' | jq .      look what is in it")]
pub struct Args {
    /// Where to [default: portcullis-support-DATE.tar.gz, here]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave the names of devices, networks and codes as they are
    #[arg(long)]
    names: bool,
    /// Take the log from the end of this file, where the hub does not log to the journal
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let name = format!("portcullis-support-{}", Utc::now().format("%Y%m%dT%H%M%SZ"));
    let output = args.output.unwrap_or_else(|| format!("{name}.tar.gz").into());
    let gathered = block_on(async { Ok(gather::all(context, args.log_file.as_deref()).await) })?;
    let mut scrubber = Scrubber::default();
    gathered.secrets.iter().for_each(|secret| scrubber.secret(secret));
    gathered.digits.iter().for_each(|digits| scrubber.word(digits, "(digits)"));
    if !args.names {
        for (n, name) in gathered.names.iter().enumerate() {
            scrubber.word(name, &format!("name-{}", n + 1));
        }
    }
    let dir = Scratch::make()?;
    let inner = dir.0.join(&name);
    std::fs::DirBuilder::new().mode(0o700).create(&inner)?;
    std::fs::write(inner.join("README.txt"), README)?;
    for (file, content) in &gathered.files {
        let text = match content {
            gather::Content::Json(value) => serde_json::to_string_pretty(&scrubber.json(value.clone()))?,
            gather::Content::Lines(text) => scrubber.text(text),
        };
        std::fs::write(inner.join(file), text)?;
    }
    pack(&dir.0, &name, &output)?;
    if context.json {
        let files: Vec<&str> = gathered.files.iter().map(|(file, _)| *file).collect();
        println!("{}", serde_json::json!({"ok": true, "output": output, "files": files}));
    } else {
        println!("{} (look through it before you hand it on: tar -tzf {0})", output.display());
    }
    Ok(())
}

/// tar and gzip are on every Debian: their formats need no library of ours.
fn pack(dir: &Path, name: &str, output: &Path) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| Failure::failed(format!("{}: {e}", output.display()));
    // Its owner's alone, and not in the place of something that is there.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(output).map_err(cannot)?;
    let packed = Command::new("tar")
        .args(["--create", "--gzip", "--owner=0", "--group=0", "--directory"])
        .arg(dir)
        .arg(name)
        .stdin(Stdio::null())
        .stdout(file)
        .status();
    match packed {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::failed(format!("tar: {status}"))),
        Err(e) => Err(Failure::failed(format!("tar: {e}; it is Debian's package tar"))),
    }
}

/// A directory of its owner alone, which goes with this.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Scratch> {
        let dir = std::env::temp_dir().join(format!("portcullis-support-{}", Uuid::new_v4()));
        std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What of an object is wanted, by name.
fn only(value: &Value, keys: &[&str]) -> Value {
    let kept = keys.iter().filter(|key| !value[**key].is_null()).map(|key| ((*key).to_owned(), value[*key].clone()));
    Value::Object(kept.collect())
}
