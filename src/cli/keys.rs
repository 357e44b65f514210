//! `portcullis keys`: who may use the API over TCP.

use serde_json::json;

use super::{Context, Failure};
use crate::api::keys::{Key, Keys, Scope};
use crate::time::Wall;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Works with or without a running hub; a revoked key is refused at once.

Examples:
  portcullis keys create --name 'booking system' --scope codes
  portcullis keys list
  portcullis keys revoke seam_k1f2e3d4c")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a key and show it, this once
    Create {
        /// Who or what it is for
        #[arg(long)]
        name: String,
        /// What it opens; each holds the ones before it
        #[arg(long, value_enum, default_value_t = Scope::Read)]
        scope: Scope,
    },
    /// Show the keys, without their secrets
    List,
    /// Make a key useless
    Revoke {
        /// As `keys list` shows it
        key_id: String,
    },
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let keys = Keys::of(&context.config()?.state_dir);
    match args.verb {
        Verb::Create { name, scope } => {
            let (key, secret) = keys.create(&name, scope, Wall::from(chrono::Utc::now()).to_string())?;
            if context.json {
                println!("{}", json!({ "key": shown(&key), "api_key": secret.reveal() }));
            } else {
                println!("{}", secret.reveal());
                eprintln!("This is the only time it is shown. Use it as SEAM_API_KEY, or: Authorization: Bearer …");
            }
        }
        Verb::List => {
            let keys = keys.list()?;
            if context.json {
                println!("{}", json!(keys.iter().map(shown).collect::<Vec<_>>()));
            } else if keys.is_empty() {
                println!("No keys. Make one: portcullis keys create --name NAME --scope read|operate|codes|admin");
            }
            for key in keys.iter().filter(|_| !context.json) {
                let scope = format!("{:?}", key.scope).to_lowercase();
                println!("{:<16} {scope:<8} {}  {}", key.key_id, key.created_at, key.name);
            }
        }
        Verb::Revoke { key_id } => {
            keys.revoke(&key_id)?;
            println!("{key_id} is revoked");
        }
    }
    Ok(())
}

fn shown(key: &Key) -> serde_json::Value {
    json!({ "key_id": key.key_id, "name": key.name, "scope": key.scope, "created_at": key.created_at })
}
