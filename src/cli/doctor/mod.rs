//! `portcullis doctor`: check everything the hub needs and say how to mend what is missing.
//!
//! Each check answers with findings in plain words; one that is wrong says what to do. Nothing is changed by looking.

mod broker;
pub mod links;
mod machine;

use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::daemon::block_on;
use super::{Context, Failure};
use crate::config::{Config, ConfigError};
use crate::source::zwave::added;
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It looks at the configuration, the state directory, the clock, the Bluetooth adapters, the Z-Wave servers, the broker (with a
message to itself and back) and at the running hub. Exit code 0: all is well, perhaps with notes; 1: something is wrong.
What the hub may do depends on its user; as that user: sudo -u portcullis portcullis doctor

Examples:
  portcullis doctor
  portcullis doctor --json | jq -r '.findings[] | select(.state == \"wrong\") | .what'")]
pub struct Args {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Fine,
    /// It works, and there is something to know.
    Note,
    Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `mqtt`, `ble/hci0` … as in `health`.
    pub part: String,
    pub state: State,
    /// What was found, in plain words.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn fine(part: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { part: part.into(), state: State::Fine, what: what.into(), fix: None }
    }

    fn note(part: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { part: part.into(), state: State::Note, what: what.into(), fix: Some(fix.into()) }
    }

    fn wrong(part: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { part: part.into(), state: State::Wrong, what: what.into(), fix: Some(fix.into()) }
    }
}

pub fn run(_args: Args, context: &Context) -> Result<(), Failure> {
    let findings = findings(context)?;
    let well = all_well(&findings);
    if context.json {
        writeln!(std::io::stdout(), "{}", json!({"ok": well, "findings": findings}))?;
    } else {
        print(&findings)?;
    }
    if well { Ok(()) } else { Err(Failure::told(1)) }
}

/// Everything that was looked at.
pub fn findings(context: &Context) -> Result<Vec<Finding>, Failure> {
    let config = Config::load(&context.config_path);
    block_on(async { Ok(findings_of(&config, context).await) })
}

/// The same with a configuration that was read already.
pub async fn findings_of(config: &Result<Config, ConfigError>, context: &Context) -> Vec<Finding> {
    match config {
        Ok(config) => all(config, context).await,
        // Nothing else can be looked at: it says where everything is.
        Err(error) => wrong_configuration(error),
    }
}

/// Notes are no trouble.
pub fn all_well(findings: &[Finding]) -> bool {
    !findings.iter().any(|f| f.state == State::Wrong)
}

/// For people: what was found, and below what is not well the way to mend it.
pub fn print(findings: &[Finding]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for finding in findings {
        let mark = match finding.state {
            State::Fine => "ok   ",
            State::Note => "note ",
            State::Wrong => "WRONG",
        };
        writeln!(out, "{mark}  {:<14} {}", finding.part, finding.what)?;
        if let Some(fix) = &finding.fix {
            writeln!(out, "{:22} → {fix}", "")?;
        }
    }
    Ok(())
}

async fn all(config: &Config, context: &Context) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("config", format!("{} is good", context.config_path.display()))];
    findings.extend(machine::state(config));
    findings.push(machine::clock().await);
    findings.extend(links::ble(config).await);
    // Those that were added at run time too, where this user may read the state.
    let added = Reader::open(&config.state_dir).and_then(|store| added::all(&store)).unwrap_or_default();
    for network in &added::with(config, &added).zwave {
        findings.push(links::zwave(network).await);
    }
    findings.push(broker::round_trip(config).await);
    findings.extend(machine::hub(config).await);
    findings
}

fn wrong_configuration(error: &ConfigError) -> Vec<Finding> {
    let fix = format!("mend {}; portcullis check-config looks again", error.path.display());
    error.problems.iter().map(|problem| Finding::wrong("config", problem.to_string(), fix.clone())).collect()
}
