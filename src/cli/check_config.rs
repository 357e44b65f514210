//! `portcullis check-config`: check a configuration and say all that is wrong with it.

use serde_json::json;

use super::{Context, Failure};
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each problem is one line: the key, what is wrong with it, and what would be right. Exit code 0: good; 2: not.

Examples:
  portcullis check-config                            the installed one
  portcullis check-config --config ./my.toml --json  for a script")]
pub struct Args {}

pub fn run(_args: Args, context: &Context) -> Result<(), Failure> {
    let path = &context.config_path;
    match Config::load(path) {
        Ok(config) => {
            if context.json {
                println!("{}", json!({"ok": true, "path": path, "problems": []}));
            } else {
                let (devices, networks) = (config.devices.len(), config.zwave.len());
                println!(
                    "{} is good: hub {:?}, devices listed: {devices}, Z-Wave networks: {networks}",
                    path.display(),
                    config.hub.name
                );
            }
            Ok(())
        }
        Err(error) if context.json => {
            let problem = |p: &crate::config::Problem| json!({"key": p.key, "message": p.what});
            let problems: Vec<_> = error.problems.iter().map(problem).collect();
            println!("{}", json!({"ok": false, "path": path, "problems": problems}));
            Err(Failure::told(2))
        }
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}
