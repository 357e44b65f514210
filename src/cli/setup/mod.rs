//! `portcullis setup`: find what is there, ask what cannot be found, write a configuration that harms nobody, and end in `doctor`.
//!
//! Promises: nothing is written before it was shown and agreed to; a configuration that is there keeps its settings and its comments,
//! and a copy of it stays beside it; no lock is operated or coded, no neighbour's device adopted, no adapter switched by what it writes.

mod ask;
mod edit;
mod find;
mod keep;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::daemon::block_on;
use super::{Context, Failure, doctor};
use crate::config::{Config, ConfigError, Problem, check};
use ask::Asker;
use edit::{Change, NewNetwork};
use find::{Broker, Found, Places};
use keep::Secret;

/// What a new file is made from: every key with its default and what it means.
const EXAMPLE: &str = include_str!("../../../config.toml.example");
/// Beside the configuration, as its reference names it.
const PASSWORD_FILE: &str = "mqtt_password";
/// Wrong passwords before it gives up, as login does.
const TRIES: usize = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It looks for Bluetooth adapters, for a Z-Wave JS server (port 3000), an MQTT broker (ports 1883 and 8883) and Home Assistant (port 8123)
on this machine. What it writes is a commented configuration; an earlier one keeps its settings, and is copied beside it first.
Exit code 0: written, and the doctor finds all well; 1: the doctor found something wrong, or it was given up; 2: the configuration that
is there is wrong.

Examples:
  sudo portcullis setup
  sudo portcullis setup --yes                                        for scripts: what it would suggest
  sudo portcullis setup --mqtt mqtt://broker.lan:1883 --zwave ws://zwave.lan:3000
  portcullis setup --config ./try/config.toml --state-dir ./try/state")]
pub struct Args {
    /// Ask nothing: take what would be suggested
    #[arg(long, short)]
    yes: bool,
    /// What to call this hub: a topic level
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The broker, instead of looking for one on this machine
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,
    /// The hub's user name at the broker
    #[arg(long, value_name = "NAME", requires = "mqtt_password_file")]
    mqtt_username: Option<String>,
    /// A file with the hub's password at the broker alone in it
    #[arg(long, value_name = "FILE", requires = "mqtt_username")]
    mqtt_password_file: Option<PathBuf>,
    /// Look for a Z-Wave JS server here, not on this machine (may be repeated)
    #[arg(long, value_name = "URL")]
    zwave: Vec<String>,
    /// Look for Home Assistant here
    #[arg(long, value_name = "HOST:PORT", default_value = find::HOME_ASSISTANT)]
    home_assistant: String,
    /// Where the hub is to keep its state, if not in /var/lib/portcullis
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    if context.json && !args.yes {
        return Err(Failure::usage("--json asks nothing, so it needs --yes"));
    }
    let path = &context.config_path;
    let (text, earlier) = match std::fs::read_to_string(path) {
        Ok(text) => (text, true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (EXAMPLE.to_owned(), false),
        Err(e) => return Err(Failure::failed(format!("{}: {e}; run this as root", path.display()))),
    };
    // A wrong one is the user's to mend: what it means cannot be kept.
    let now = if earlier { Config::load(path).map_err(|e| Failure::usage(e.to_string()))? } else { Config::default() };
    let mut asker = Asker::new(args.yes, context.json);
    asker.say("Looking around …");
    let places = Places::new(&args, &now);
    let found = block_on(async { Ok(find::look(&now, &places).await) })?;
    for line in found.lines() {
        asker.say(&format!("  {line}"));
    }
    asker.say("");
    let mut plan = Plan { beside: keep::directory(path), changes: Vec::new(), password: None };
    // As the package installs it, and nobody has changed it: nothing that was chosen is in it.
    let fresh = !earlier || now == Config::default();
    plan.settle(&args, &now, fresh, &found, &mut asker)?;
    let wrote = write(&plan, &text, earlier, path, &mut asker)?;
    let findings = doctor::findings(context)?;
    if context.json {
        let changes: Vec<String> = plan.changes.iter().map(Change::to_string).collect();
        let ok = doctor::all_well(&findings);
        let wrote = wrote.as_ref().map(|backup| json!({"config": path, "backup": backup}));
        println!(
            "{}",
            json!({"ok": ok, "found": found.lines(), "changes": changes, "wrote": wrote, "findings": findings})
        );
    } else {
        asker.say("\nThe doctor looks at it:");
        doctor::print(&findings)?;
        asker.say(&next_steps(path));
    }
    if doctor::all_well(&findings) { Ok(()) } else { Err(Failure::told(1)) }
}

/// What is to be written.
struct Plan {
    beside: PathBuf,
    changes: Vec<Change>,
    password: Option<Secret>,
}

impl Plan {
    fn settle(
        &mut self,
        args: &Args,
        now: &Config,
        fresh: bool,
        found: &Found,
        asker: &mut Asker,
    ) -> Result<(), Failure> {
        if let Some(dir) = &args.state_dir {
            let dir = std::path::absolute(dir)?;
            self.set(dir != now.state_dir, Change::text("", "state_dir", &dir.display().to_string()));
        }
        self.name(args, now, fresh, asker)?;
        if fresh && let Some(zone) = find::time_zone().filter(|zone| *zone != now.hub.time_zone) {
            self.changes.push(Change::text("hub", "time_zone", zone.name()));
        }
        self.radio(now, fresh, found, asker)?;
        self.networks(now, found, asker)?;
        self.broker(args, now, fresh, found, asker)?;
        if found.home_assistant && !now.mqtt.home_assistant {
            // Who had a choice before, and has not taken it, is asked and not overruled.
            let question = "Show managed devices in Home Assistant (MQTT discovery)?";
            if asker.agrees(question, fresh)? {
                self.changes.push(Change::yes("mqtt", "home_assistant", true));
            }
        }
        Ok(())
    }

    fn set(&mut self, differs: bool, change: Change) {
        if differs {
            self.changes.push(change);
        }
    }

    fn name(&mut self, args: &Args, now: &Config, fresh: bool, asker: &mut Asker) -> Result<(), Failure> {
        let wrong = |name: &str| format!("{name:?} cannot be a topic level: letters, digits, _ and - are right");
        let name = match &args.name {
            Some(name) if !check::is_topic_level(name) => return Err(Failure::usage(wrong(name))),
            Some(name) => name.clone(),
            // Ids are made from it: one that was chosen stays.
            None if !fresh => return Ok(()),
            None => {
                let suggested = find::host_name().unwrap_or_else(|| now.hub.name.clone());
                asker.line("Name of this hub, for its topics", &suggested, |name| {
                    match check::is_topic_level(name) {
                        true => Ok(()),
                        false => Err(wrong(name)),
                    }
                })?
            }
        };
        self.set(name != now.hub.name, Change::text("hub", "name", &name));
        Ok(())
    }

    fn radio(&mut self, now: &Config, fresh: bool, found: &Found, asker: &mut Asker) -> Result<(), Failure> {
        match (found.has_adapter(), now.ble.enabled) {
            // Nothing to hear with, but a network to listen to: the radio's absence is no fault.
            (false, true) if fresh && !found.networks.is_empty() => {
                asker
                    .say("No Bluetooth adapter: the hub is told not to wait for one. Plug one in, and run this again.");
                self.changes.push(Change::yes("ble", "enabled", false));
            }
            (true, false) => {
                let question = "There is a Bluetooth adapter, and [ble] enabled is off. Listen with it?";
                if asker.agrees(question, false)? {
                    self.changes.push(Change::yes("ble", "enabled", true));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn networks(&mut self, now: &Config, found: &Found, asker: &mut Asker) -> Result<(), Failure> {
        let mut names: Vec<String> = now.zwave.iter().map(|n| n.name.clone()).collect();
        let mut urls: Vec<String> = found.networks.iter().map(|n| n.url.clone()).collect();
        if urls.is_empty() && now.zwave.is_empty() {
            let question = "Address of a Z-Wave JS server (ws://host:3000), if you have one";
            let url = asker.line(question, "", |url| edit::sound_url(url, &["ws", "wss"], "ws://zwave.lan:3000"))?;
            urls.extend((!url.is_empty()).then_some(url));
        }
        for url in urls {
            let free = |name: &String| !names.contains(name);
            let name = ["main".to_owned()].into_iter().chain((2..).map(|n| format!("zwave-{n}"))).find(free);
            let name = name.unwrap_or_default();
            names.push(name.clone());
            self.changes.push(Change::Network(NewNetwork { name, url }));
        }
        Ok(())
    }

    fn broker(
        &mut self,
        args: &Args,
        now: &Config,
        fresh: bool,
        found: &Found,
        asker: &mut Asker,
    ) -> Result<(), Failure> {
        let mut broker = found.broker.clone();
        // Who had one before is asked for no other.
        if matches!(broker, Broker::Nobody) && (fresh || args.mqtt.is_some()) {
            let suggested = args.mqtt.as_ref().unwrap_or(&now.mqtt.url);
            let url = asker.line("Address of your MQTT broker (mqtt://host:1883)", suggested, |url| {
                edit::sound_url(url, &["mqtt", "mqtts"], "mqtt://broker.lan:1883")
            })?;
            broker = block_on(async { Ok(find::broker(now, std::slice::from_ref(&url)).await) })?;
            self.set(matches!(broker, Broker::Nobody) && url != now.mqtt.url, Change::text("mqtt", "url", &url));
        }
        if let Broker::Open { url, version } | Broker::Closed { url, version, .. } = &broker {
            self.set(*url != now.mqtt.url, Change::text("mqtt", "url", url));
            self.set(*version != now.mqtt.version, Change::number("mqtt", "version", i64::from(*version)));
        }
        match broker {
            Broker::Closed { url, version, .. } => self.credentials(args, now, (&url, version), asker),
            _ => Ok(()),
        }
    }

    /// A broker that wants to know who we are.
    fn credentials(&mut self, args: &Args, now: &Config, broker: (&str, u8), asker: &mut Asker) -> Result<(), Failure> {
        let mut given = match (&args.mqtt_username, &args.mqtt_password_file) {
            (Some(name), Some(file)) => Some((name.clone(), keep::read_secret(file)?)),
            _ => None,
        };
        for _ in 0..TRIES {
            let from_arguments = given.is_some();
            let (name, password) = match given.take() {
                Some(given) => given,
                None if asker.takes_all() => {
                    asker.say(&format!(
                        "{} wants a name and a password: give --mqtt-username and --mqtt-password-file.",
                        broker.0
                    ));
                    return Ok(());
                }
                None => {
                    let suggested = now.mqtt.username.clone().unwrap_or_default();
                    let name = asker.line(&format!("The hub's user name at {}", broker.0), &suggested, |name| {
                        if name.is_empty() { Err("it wants one".into()) } else { Ok(()) }
                    })?;
                    (name, asker.secret("Its password (not shown)")?)
                }
            };
            let secret = Secret::new(&self.beside, PASSWORD_FILE, &password)?;
            match block_on(async { Ok(find::lets_in(now, broker, &name, secret.path()).await) })? {
                Ok(()) => {
                    self.set(now.mqtt.username.as_deref() != Some(&name), Change::text("mqtt", "username", &name));
                    let file = now.mqtt.password_file.as_deref() == Some(&self.beside.join(PASSWORD_FILE));
                    self.set(!file, Change::text("mqtt", "password_file", PASSWORD_FILE));
                    self.password = Some(secret);
                    return Ok(());
                }
                Err(why) if from_arguments && asker.takes_all() => return Err(Failure::failed(why)),
                Err(why) => asker.say(&why),
            }
        }
        Err(Failure::failed(format!("{} let nobody in; nothing was written", broker.0)))
    }
}

/// Shows the changes, and makes them once they are agreed to. `Some` where something was written, with the copy of what was there.
fn write(
    plan: &Plan,
    text: &str,
    earlier: bool,
    path: &Path,
    asker: &mut Asker,
) -> Result<Option<Option<PathBuf>>, Failure> {
    if plan.changes.is_empty() && plan.password.is_none() && earlier {
        asker.say(&format!("{} needs no change.", path.display()));
        return Ok(None);
    }
    let (verb, from) = if earlier { ("Change", "") } else { ("Write", ", from the commented reference") };
    asker.say(&format!("{verb} {}{from}:", path.display()));
    for change in &plan.changes {
        asker.say(&format!("    {change}"));
    }
    if plan.password.is_some() {
        asker.say(&format!("    and the password, in {}", plan.beside.join(PASSWORD_FILE).display()));
    }
    if !asker.agrees("Go on?", true)? {
        return Err(Failure::failed("nothing was written"));
    }
    let new = edit::apply(text, &plan.changes).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
    if let Some(password) = &plan.password {
        password.keep(path)?;
    }
    // What comes of it is a configuration, or nothing comes of it.
    let wrong = |problems: Vec<Problem>| ConfigError { path: path.to_owned(), problems };
    Config::parse(&new, &plan.beside, std::env::vars().collect()).map_err(wrong)?;
    let backup = keep::replace(path, &new)?;
    let kept = backup.as_ref().map(|b| format!("; the earlier one is {}", b.display())).unwrap_or_default();
    asker.say(&format!("Written{kept}."));
    Ok(Some(backup))
}

fn next_steps(path: &Path) -> String {
    match path == Path::new(super::DEFAULT_CONFIG) {
        true => "\nStart it, or let it take the change:  systemctl restart portcullis\nSee it at work:                       portcullis top".into(),
        false => {
            let path = path.display();
            format!("\nStart it:        portcullis run --config {path}\nSee it at work:  portcullis top --config {path}")
        }
    }
}
