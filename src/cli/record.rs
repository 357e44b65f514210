//! `portcullis record`: record what radios and bridges say into a capture, for `replay`.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Context, Failure, listen};
use crate::config::Config;
use crate::engine::Clock;
use crate::health::Health;
use crate::signal::Address;
use crate::source::ble::radio::{Ear, Heard};
use crate::source::ble::{Advert, gatt};
use crate::source::capture::{AdapterRecord, BleRecord, GattRecord, Header, LinkRecord, Record, What};
use crate::source::zwave::added;
use crate::source::zwave::link::{self, Tapped};
use crate::store::Reader;
use crate::time::Mono;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Listens by itself, beside a running hub or without one. What devices send is written as it came: encrypted payloads stay
encrypted, and no bind key is in the capture. Z-Wave messages can show access codes as they are typed and set: the file is
made for you alone, and is not for passing on unread. Batteries are read over a connection where the configuration asks for it.

Examples:
  portcullis record evening.capture --seconds 3600
  portcullis record - | head -20
  portcullis replay evening.capture")]
pub struct Args {
    /// The capture to write; `-` is standard output
    file: PathBuf,
    /// End after so many seconds instead of with Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = listen::config(context)?;
    let to_file = args.file.to_str() != Some("-");
    let out: Box<dyn Write + Send> = if to_file {
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&args.file);
        Box::new(file.map_err(|e| Failure::failed(format!("{}: {e}", args.file.display())))?)
    } else {
        Box::new(std::io::stdout())
    };
    let clock = Clock::start();
    let tape = Arc::new(Mutex::new(Tape { out: BufWriter::new(out), records: 0, broken: None }));
    let header = Header { portcullis_capture: 1, start: chrono::Utc::now() };
    writeln!(lock(&tape).out, "{}", serde_json::to_string(&header)?)?;
    let polled =
        config.radio().poll.devices.into_iter().filter(|(_, poll)| *poll).map(|(address, _)| address).collect();
    let recorder = Recorder { tape: tape.clone(), polled };
    let networks = |health| bridges(&config, &clock, &tape, health);
    let done = listen::listen(&config, args.seconds, clock.clone(), recorder, networks, || lock(&tape).flush());
    let mut tape = lock(&tape);
    tape.write(clock.mono(), What::End);
    tape.flush()?;
    if to_file {
        eprintln!("{} records in {}", tape.records, args.file.display());
    }
    done
}

/// Writes down what every network says, of the configuration or added at run time. Nothing is asked of the nodes but what the link itself asks on connecting.
fn bridges(config: &Config, clock: &Clock, tape: &Arc<Mutex<Tape>>, health: Arc<Health>) {
    let added = Reader::open(&config.state_dir).and_then(|store| added::all(&store)).unwrap_or_default();
    for network in &added::with(config, &added).zwave {
        let tape = tape.clone();
        let tap: link::Tap = Arc::new(move |at, network, what| {
            let network = network.clone();
            let what = match what {
                Tapped::Message(message) => What::Zwave { network: Some(network), message: message.clone() },
                Tapped::Lost => What::Link(LinkRecord { network, up: false }),
            };
            lock(&tape).write(at, what);
        });
        let (inputs, mut heard) = mpsc::channel(64);
        let (ask, actions) = mpsc::unbounded_channel();
        let network = link::Network {
            server: network.clone(),
            rules: Default::default(),
            inputs,
            actions,
            clock: clock.clone(),
            health: health.clone(),
            tap: Some(tap),
        };
        tokio::spawn(async move {
            // Judging is the replay's business; the ear for what the hub asks stays open, or the link would end.
            let _nobody_asks = ask;
            let unheard = async { while heard.recv().await.is_some() {} };
            tokio::join!(link::run(network), unheard)
        });
    }
}

fn lock(tape: &Mutex<Tape>) -> std::sync::MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(|e| e.into_inner())
}

struct Tape {
    out: BufWriter<Box<dyn Write + Send>>,
    records: u64,
    broken: Option<std::io::Error>,
}

impl Tape {
    fn write(&mut self, at: Mono, what: What) {
        if self.broken.is_some() {
            return;
        }
        let record = Record { at: at.0 as f64 / 1000.0, what };
        let written = serde_json::to_writer(&mut self.out, &record).map_err(std::io::Error::from);
        self.broken = written.and_then(|()| self.out.write_all(b"\n")).err();
        self.records += 1;
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self.broken.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.out.flush()?),
        }
    }
}

struct Recorder {
    tape: Arc<Mutex<Tape>>,
    /// Devices that the configuration wants to be connected to; no others are, for they are not ours to disturb.
    polled: HashSet<Address>,
}

impl Ear for Recorder {
    fn advert(&mut self, at: Mono, adapter: &Arc<str>, advert: Advert) -> Heard {
        lock(&self.tape).write(at, What::Ble(BleRecord::new(adapter, &advert)));
        Heard { managed: self.polled.contains(&advert.address), battery: false, wants_name: true }
    }

    fn adapter(&mut self, at: Mono, adapter: &Arc<str>, powered: bool, scanning: bool) {
        let record = AdapterRecord { adapter: adapter.clone(), powered, scanning: Some(scanning) };
        lock(&self.tape).write(at, What::Adapter(record));
    }

    fn gatt(&mut self, at: Mono, adapter: &Arc<str>, address: Address, characteristic: Uuid, value: &[u8]) {
        let record = GattRecord {
            adapter: adapter.clone(),
            address,
            characteristic: gatt::short(characteristic),
            value: hex::encode(value),
        };
        lock(&self.tape).write(at, What::Gatt(record));
    }
}
