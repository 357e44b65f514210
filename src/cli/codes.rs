//! `portcullis codes`: the access codes of locks. Digits come in by a file or standard input, never by the command line, which everybody
//! on the machine can read; they go out only where they are asked for.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::daemon::{Daemon, block_on};
use super::lock::find;
use super::{Context, Failure};

/// How often the hub is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(300);

const MASK: &str = "****";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The hub writes codes only to locks with codes = \"manage\" in their [[devices]] entry.

Examples:
  portcullis codes list 'Front door'
  portcullis codes set 'Front door' --name Ada --ends 2026-12-01T10:00:00Z --wait
  echo 4711 | portcullis codes set 'Front door' --code-file -
  portcullis codes remove 0b1f6a52-7c55-5a7e-9d35-6a1f3d3f2a10 --wait")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Show digits in place of ****
    #[arg(long, global = true)]
    show: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List codes, also those that somebody else put on a lock
    List {
        /// Of this lock only: its id or its name
        device: Option<String>,
    },
    /// Make a code; the hub makes up digits where none are given
    Set {
        /// The lock's id or its name
        device: String,
        #[command(flatten)]
        draft: Draft,
        #[command(flatten)]
        wait: Wait,
    },
    /// Change what is given of a code
    Change {
        /// As `portcullis codes list` shows it
        access_code_id: Uuid,
        #[command(flatten)]
        draft: Draft,
        /// From now on without a beginning and an end
        #[arg(long)]
        ongoing: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Take a code from its lock, and forget it
    Remove {
        /// As `portcullis codes list` shows it
        access_code_id: Uuid,
        #[command(flatten)]
        wait: Wait,
    },
    /// Print digits that are free on a lock; nothing is made of them
    Generate {
        /// The lock's id or its name
        device: String,
    },
    /// Have a backup code stand in for a code
    PullBackup {
        /// As `portcullis codes list` shows it
        access_code_id: Uuid,
    },
}

#[derive(Debug, clap::Args)]
struct Draft {
    /// What to call it
    #[arg(long)]
    name: Option<String>,
    /// The digits are the first line of this file, or of standard input (-)
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
    /// Valid from then on (2026-12-01T15:00:00Z)
    #[arg(long, value_name = "TIME")]
    starts: Option<String>,
    /// Valid until then
    #[arg(long, value_name = "TIME")]
    ends: Option<String>,
    /// So many digits, where the hub makes them up
    #[arg(long, value_name = "DIGITS")]
    length: Option<u8>,
    /// Keep a backup code on the lock
    #[arg(long)]
    backup: bool,
}

#[derive(Debug, clap::Args)]
struct Wait {
    /// Show how it goes until the lock has it, for so many seconds at most
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "120")]
    wait: Option<u64>,
}

impl Draft {
    fn body(self) -> Result<Value, Failure> {
        let mut body = json!({});
        let given = [
            ("name", self.name.map(Value::from)),
            ("code", self.code_file.map(digits).transpose()?.map(Value::from)),
            ("starts_at", self.starts.map(Value::from)),
            ("ends_at", self.ends.map(Value::from)),
            ("preferred_code_length", self.length.map(Value::from)),
            ("use_backup_access_code_pool", self.backup.then_some(Value::from(true))),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                body[key] = value;
            }
        }
        Ok(body)
    }
}

/// The first line of a file, or of standard input.
fn digits(path: PathBuf) -> Result<String, Failure> {
    let mut line = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_line(&mut line).map(drop),
        false => std::fs::read_to_string(&path).map(|text| line = text.lines().next().unwrap_or_default().to_owned()),
    };
    read.map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
    Ok(line.trim().to_owned())
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let screen = Screen { json: context.json, show: args.show };
    block_on(async {
        let mut daemon = Daemon::must(&config).await?;
        match args.verb {
            Verb::List { device } => screen.list(&mut daemon, device.as_deref()).await,
            Verb::Set { device, draft, wait } => {
                let mut body = draft.body()?;
                body["device_id"] = find(&mut daemon, &device).await?.0;
                let code = daemon.ask("/access_codes/create", body, "access_code").await?;
                screen.follow(&mut daemon, code, wait).await
            }
            Verb::Change { access_code_id, draft, ongoing, wait } => {
                let mut body = draft.body()?;
                body["access_code_id"] = json!(access_code_id);
                if ongoing {
                    body["type"] = "ongoing".into();
                }
                daemon.ask("/access_codes/update", body, "ok").await?;
                let code = get(&mut daemon, &json!(access_code_id)).await?.unwrap_or_default();
                screen.follow(&mut daemon, code, wait).await
            }
            Verb::Remove { access_code_id, wait } => {
                let code = get(&mut daemon, &json!(access_code_id)).await?.unwrap_or_default();
                daemon.ask("/access_codes/delete", json!({"access_code_id": access_code_id}), "ok").await?;
                let now = get(&mut daemon, &json!(access_code_id)).await?;
                screen.follow(&mut daemon, now.unwrap_or_else(|| gone(code)), wait).await
            }
            Verb::Generate { device } => {
                let device_id = find(&mut daemon, &device).await?.0;
                let path = "/access_codes/generate_code";
                let code = daemon.ask(path, json!({"device_id": device_id}), "generated_code").await?;
                let text = if screen.json { code.to_string() } else { code["code"].as_str().unwrap_or("?").to_owned() };
                Ok(writeln!(std::io::stdout(), "{text}")?)
            }
            Verb::PullBackup { access_code_id } => {
                let path = "/access_codes/pull_backup_access_code";
                let code = daemon.ask(path, json!({"access_code_id": access_code_id}), "access_code").await?;
                screen.print(&code)
            }
        }
    })
}

/// The code as it is now; `None` once it is gone.
async fn get(daemon: &mut Daemon, id: &Value) -> Result<Option<Value>, Failure> {
    let mut codes = daemon.ask("/access_codes/list", json!({"access_code_ids": [id]}), "access_codes").await?;
    Ok(codes.as_array_mut().and_then(Vec::pop))
}

fn gone(mut code: Value) -> Value {
    code["status"] = "gone".into();
    code["slot"] = Value::Null;
    code
}

/// What a user sees.
struct Screen {
    json: bool,
    show: bool,
}

impl Screen {
    async fn list(&self, daemon: &mut Daemon, device: Option<&str>) -> Result<(), Failure> {
        let mut all = Vec::new();
        let device = match device {
            Some(device) => find(daemon, device).await?.0,
            None => Value::Null,
        };
        for path in ["/access_codes/list", "/access_codes/unmanaged/list"] {
            let body = if device.is_null() { json!({}) } else { json!({"device_id": device}) };
            all.extend(daemon.ask(path, body, "access_codes").await?.as_array().cloned().unwrap_or_default());
        }
        if self.json {
            let all = all.into_iter().map(|code| self.masked(code)).collect();
            return Ok(writeln!(std::io::stdout(), "{}", Value::Array(all))?);
        }
        all.iter().try_for_each(|code| self.print(code))
    }

    /// Says what becomes of a code until nothing more is to be waited for.
    async fn follow(&self, daemon: &mut Daemon, mut code: Value, wait: Wait) -> Result<(), Failure> {
        let begun = Instant::now();
        let most = Duration::from_secs(wait.wait.unwrap_or(0));
        let mut said = Vec::new();
        while !is_settled(&code) && begun.elapsed() < most {
            self.say(&code, &mut said)?;
            tokio::time::sleep(LOOK_EVERY).await;
            let id = code["access_code_id"].clone();
            code = get(daemon, &id).await?.unwrap_or_else(|| gone(code));
        }
        self.print(&code)?;
        if wait.wait.is_some() && !is_settled(&code) {
            return Err(Failure::failed(format!(
                "the lock has not done it within {} s; the hub goes on",
                most.as_secs()
            )));
        }
        Ok(())
    }

    /// What is new about it.
    fn say(&self, code: &Value, said: &mut Vec<String>) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let status = code["status"].as_str().unwrap_or_default().to_owned();
        let issues = [&code["errors"], &code["warnings"]];
        let issues = issues.into_iter().filter_map(Value::as_array).flatten();
        for text in std::iter::once(status).chain(issues.filter_map(|i| i["message"].as_str().map(str::to_owned))) {
            if !said.contains(&text) {
                writeln!(std::io::stdout(), "{text} …")?;
                said.push(text);
            }
        }
        Ok(())
    }

    fn masked(&self, mut code: Value) -> Value {
        if !self.show && code["code"].is_string() {
            code["code"] = MASK.into();
        }
        code
    }

    fn print(&self, code: &Value) -> Result<(), Failure> {
        let code = self.masked(code.clone());
        if self.json {
            return Ok(writeln!(std::io::stdout(), "{code}")?);
        }
        let text = |key: &str| code[key].as_str();
        let mut notes = vec![text("status").unwrap_or("?").to_owned()];
        if code["is_managed"] == false {
            notes.push("unmanaged".into());
        }
        if code["is_backup"] == true {
            notes.push("backup".into());
        }
        if let Some(slot) = code["slot"].as_u64() {
            notes.push(format!("slot {slot}"));
        }
        if code["is_scheduled_on_device"] == true {
            notes.push("on the lock".into());
        }
        notes.extend(text("starts_at").filter(|_| code["type"] == "time_bound").map(|t| format!("from {t}")));
        notes.extend(text("ends_at").map(|t| format!("until {t}")));
        let (id, name, digits) = (text("access_code_id"), text("name"), text("code"));
        let line = format!(
            "{}  {:<24} {:<10} {}",
            id.unwrap_or("?"),
            name.unwrap_or("-"),
            digits.unwrap_or(MASK),
            notes.join(", ")
        );
        writeln!(std::io::stdout(), "{line}")?;
        for issue in code["errors"].as_array().into_iter().flatten() {
            writeln!(std::io::stdout(), "    {}", issue["message"].as_str().unwrap_or_default())?;
        }
        Ok(())
    }
}

/// One that is to come is, once a lock that keeps dates has it.
fn is_settled(code: &Value) -> bool {
    match code["status"].as_str() {
        Some("unset") => code["slot"].is_null() || code["is_scheduled_on_device"] == true,
        status => matches!(status, Some("set" | "gone")),
    }
}
