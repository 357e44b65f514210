//! `portcullis scan`: show what the Bluetooth adapters hear, decoded.

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use uuid::Uuid;

use super::{Context, Failure, listen};
use crate::engine::Clock;
use crate::signal::Address;
use crate::source::ble::Advert;
use crate::source::ble::decode::{self, BindKey, Decoded, Memory};
use crate::source::ble::radio::{Ear, Heard};
use crate::source::capture::BleRecord;
use crate::time::Mono;

/// Devices in the table; the strongest are kept.
const DEVICES_MAX: usize = 1000;
/// Lines of the live table, where the terminal does not say how many it has.
const LINES: usize = 40;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Listens by itself, beside a running hub or without one. On a terminal it is a live table, strongest first; elsewhere a line
for each device and for each change of what it says. With --json each advert is a line: the record of a capture, and
`decoded` as `portcullis decode` prints it.

Examples:
  portcullis scan
  portcullis scan --seconds 60 --json | grep bthome")]
pub struct Args {
    /// End after so many seconds instead of with Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = listen::config(context)?;
    let listed =
        config.known().into_iter().map(|(address, known)| (address, (known.bindkey, Memory::default()))).collect();
    let show = match context.json {
        true => Show::Json,
        false if std::io::stdout().is_terminal() => Show::Table,
        false => Show::Lines,
    };
    let seen = Arc::new(Mutex::new(Seen { rows: BTreeMap::new(), adverts: 0, broken: None }));
    let scanner = Scanner { show, listed, memories: HashMap::new(), seen: seen.clone() };
    listen::listen(&config, args.seconds, Clock::start(), scanner, |_| (), || lock(&seen).tick(show))
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(|e| e.into_inner())
}

#[derive(Clone, Copy, PartialEq)]
enum Show {
    Table,
    Lines,
    Json,
}

/// One advert as `--json` prints it.
#[derive(Serialize)]
struct Line {
    at: f64,
    ble: BleRecord,
    listed: bool,
    decoded: Decoded,
}

struct Row {
    name: Option<Arc<str>>,
    rssi: Option<i16>,
    listed: bool,
    says: String,
}

struct Seen {
    rows: BTreeMap<Address, Row>,
    adverts: u64,
    broken: Option<std::io::Error>,
}

impl Seen {
    fn print(&mut self, line: &str) {
        if self.broken.is_none() {
            self.broken = writeln!(std::io::stdout(), "{line}").err();
        }
    }

    fn tick(&mut self, show: Show) -> Result<(), Failure> {
        if show == Show::Table {
            let lines = std::env::var("LINES").ok().and_then(|l| l.parse().ok()).unwrap_or(LINES).max(5);
            let mut rows: Vec<_> = self.rows.iter().collect();
            rows.sort_by_key(|(address, row)| (!row.listed, -row.rssi.unwrap_or(i16::MIN + 1), **address));
            let hidden = rows.len().saturating_sub(lines - 3);
            // Home, the table, and nothing of the one before.
            let mut text = format!("\x1b[H\x1b[2J{} devices, {} adverts\n", rows.len(), self.adverts);
            for (address, row) in rows.into_iter().take(lines - 3) {
                text += &line(address, row);
                text.push('\n');
            }
            if hidden > 0 {
                text += &format!("… and {hidden} more\n");
            }
            self.broken = std::io::stdout().write_all(text.as_bytes()).err();
        }
        match self.broken.take() {
            Some(error) => Err(error.into()),
            None => Ok(std::io::stdout().flush()?),
        }
    }
}

fn line(address: &Address, row: &Row) -> String {
    let rssi = row.rssi.map_or_else(|| "-".into(), |rssi| rssi.to_string());
    // A name is a stranger's text: no escape of it reaches the terminal.
    let name: String = row.name.iter().flat_map(|n| n.chars()).filter(|c| !c.is_control()).take(24).collect();
    format!("{address} {rssi:>4} {:1} {:<24} {}", if row.listed { "*" } else { "" }, name, row.says)
}

/// The family and what it says, for people.
fn says(decoded: &Decoded) -> String {
    let mut text = decoded.family.to_owned();
    if let Some(reject) = decoded.reject {
        text += &format!(" refused: {}", reject.as_str());
    }
    let printed = serde_json::to_value(decoded).unwrap_or_default();
    for (name, value) in printed["signals"].as_object().into_iter().flatten().filter(|(name, _)| *name != "encrypted") {
        text += &format!(" {name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    text
}

struct Scanner {
    show: Show,
    listed: HashMap<Address, (Option<BindKey>, Memory)>,
    memories: HashMap<Address, Memory>,
    seen: Arc<Mutex<Seen>>,
}

impl Ear for Scanner {
    fn advert(&mut self, at: Mono, adapter: &Arc<str>, advert: Advert) -> Heard {
        if self.memories.len() > DEVICES_MAX {
            self.memories.clear();
        }
        let (listed, decoded) = match self.listed.get_mut(&advert.address) {
            Some((key, memory)) => (true, decode::decode(&advert, key.as_ref(), memory, at)),
            None => {
                let memory = self.memories.entry(advert.address).or_default();
                (false, decode::decode(&advert, None, memory, at))
            }
        };
        let decoded = decoded.unwrap_or_else(Decoded::unknown);
        let mut seen = lock(&self.seen);
        seen.adverts += 1;
        if self.show == Show::Json {
            let ble = BleRecord::new(adapter, &advert);
            let line = Line { at: at.0 as f64 / 1000.0, ble, listed, decoded };
            let line = serde_json::to_string(&line).unwrap_or_default();
            seen.print(&line);
        } else {
            self.row(&mut seen, listed, &advert, says(&decoded));
        }
        Heard { managed: false, battery: false, wants_name: true }
    }

    fn adapter(&mut self, _: Mono, _: &Arc<str>, _: bool, _: bool) {}

    fn gatt(&mut self, _: Mono, _: &Arc<str>, _: Address, _: Uuid, _: &[u8]) {}
}

impl Scanner {
    fn row(&self, seen: &mut Seen, listed: bool, advert: &Advert, says: String) {
        if seen.rows.len() >= DEVICES_MAX && !seen.rows.contains_key(&advert.address) {
            let weakest = seen.rows.iter().filter(|(_, r)| !r.listed).min_by_key(|(_, r)| r.rssi).map(|(a, _)| *a);
            weakest.map(|address| seen.rows.remove(&address));
        }
        let before = seen.rows.get(&advert.address);
        let news = before.is_none_or(|before| before.says != says || before.name != advert.name);
        let row = Row { name: advert.name.clone(), rssi: advert.rssi, listed, says };
        if self.show == Show::Lines && news {
            seen.print(&line(&advert.address, &row));
        }
        seen.rows.insert(advert.address, row);
    }
}
