//! Logs: structured into the journal under systemd, readable text on a terminal.

use std::os::unix::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// What is logged unless `--log` or `RUST_LOG` say otherwise.
const DEFAULT: &str = "info,rumqttc=warn,rumqttd=warn,zbus=warn,btleplug=warn";

/// Starts logging, once in a process. A filter that cannot be read is an error in plain words.
pub fn start(filter: Option<&str>) -> Result<(), String> {
    let from_env = std::env::var("RUST_LOG").ok().filter(|f| !f.is_empty());
    let filter = filter.map(str::to_owned).or(from_env).unwrap_or_else(|| DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&filter)
        .map_err(|e| format!("log filter {filter:?}: {e}; try `info`, or `info,portcullis::hub=debug`"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let journal = if is_journal() { tracing_journald::layer().ok() } else { None };
    let _ = match journal {
        Some(journal) => registry.with(journal.with_syslog_identifier("portcullis".into())).try_init(),
        None => {
            let colours =
                std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
            registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours)).try_init()
        }
    };
    Ok(())
}

/// Whether standard error goes to the journal: `$JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
