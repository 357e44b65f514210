//! Plays a capture in virtual time on the real path from decoder to hub.
//!
//! Promises: same settings and same capture, same events, byte for byte; time never runs back; a line that cannot be read ends
//! the replay with its number and what would be right, after everything before it was told.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use super::ble::gatt;
use super::ble::intake::{Intake, Known};
use super::capture::{Header, Record, What};
use super::zwave::{Bridge, Rules};
use crate::config::Config;
use crate::event::Event;
use crate::hub::{Hub, Input, Output, Row, RowKind, Settings};
use crate::signal::{Address, DeviceKey, DownReason, Link, LinkNews};
use crate::time::{Mono, Now, Wall};
use crate::trust::{self, Service, Vouch};

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("line {line}: {what}")]
    Line { line: usize, what: String },
    #[error("reading the capture: {0}")]
    Io(#[from] std::io::Error),
}

/// Plays `capture`; `tell` gets each event as it comes.
pub fn replay(config: &Config, mut capture: impl BufRead, tell: impl FnMut(&Event)) -> Result<(), ReplayError> {
    let mut text = String::new();
    let mut line = 0;
    // Trims in place: a line of a day's capture is read into the same buffer.
    let mut next = |text: &mut String| {
        text.clear();
        line += 1;
        let bad = |what: String| ReplayError::Line { line, what };
        match capture.read_line(text) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                Err(bad("not UTF-8; a capture is JSON Lines".into()))
            }
            Err(e) => Err(ReplayError::Io(e)),
        }
    };
    let bad = |line| move |what| ReplayError::Line { line, what };
    next(&mut text)?;
    let header = Header::parse(text.trim_end()).map_err(bad(1))?;
    let mut player = Player::new(config, header.start.into(), tell);
    while let Some(line) = next(&mut text)? {
        if !text.trim_ascii().is_empty() {
            let record = Record::parse(text.trim_end()).map_err(bad(line))?;
            player.play(record).map_err(bad(line))?;
        }
    }
    Ok(())
}

/// A hub with the clocks, the dice and the disk of a daemon, all made of the capture.
struct Player<T> {
    settings: Settings,
    known: Vec<(Address, Known)>,
    hub: Hub,
    intake: Intake,
    bridges: BTreeMap<Arc<str>, Bridge>,
    /// The mapping rules of each network.
    rules: BTreeMap<Arc<str>, Rules>,
    disk: Disk,
    clocks: Clocks,
    tell: T,
}

/// What a store would hold.
#[derive(Default)]
struct Disk {
    rows: BTreeMap<(RowKind, String), Row>,
    last_created: Wall,
}

impl Disk {
    fn write(&mut self, rows: Vec<Row>) {
        for row in rows {
            let place = (row.kind, row.key.clone());
            match row.value {
                Some(_) => self.rows.insert(place, row),
                None => self.rows.remove(&place),
            };
        }
    }
}

/// Milliseconds of the capture, and what the daemon's clocks show then.
struct Clocks {
    /// The daemon's start: its monotonic clock counts from there.
    booted: u64,
    /// The wall clock at the capture's start, moved by each `wall` record.
    wall_base: i64,
    /// Where the capture has come to.
    at: u64,
    steps: u64,
    seed: u64,
    /// A capture has no time service: a `wall` record that leaps is a clock that somebody moved.
    vouch: Vouch,
}

impl Clocks {
    fn mono(&self, at: u64) -> Mono {
        Mono(at - self.booted)
    }

    fn now(&mut self, at: u64) -> Now {
        self.steps += 1;
        // Odd multipliers: distinct steps have distinct entropy. The hub mixes it before use.
        let entropy = u128::from(self.steps).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let wall = Wall(self.wall_base.saturating_add_unsigned(at));
        Now {
            mono: self.mono(at),
            wall,
            synchronized: self.vouch.synchronized(Mono(at), wall, Service::None),
            entropy: entropy ^ u128::from(self.seed),
        }
    }
}

impl<T: FnMut(&Event)> Player<T> {
    fn new(config: &Config, start: Wall, tell: T) -> Player<T> {
        let (settings, known) = (config.settings(None), config.known());
        let mut clocks = Clocks {
            booted: 0,
            wall_base: start.0,
            at: 0,
            steps: 0,
            seed: start.0 as u64,
            vouch: Vouch::new(trust::EVER),
        };
        let now = clocks.now(0);
        Player {
            hub: Hub::new(settings.clone(), now),
            intake: Intake::new(known.clone()),
            bridges: BTreeMap::new(),
            rules: config.zwave.iter().map(|n| (n.name.as_str().into(), config.zwave_rules(&n.name))).collect(),
            settings,
            known,
            disk: Disk::default(),
            clocks,
            tell,
        }
    }

    fn play(&mut self, record: Record) -> Result<(), String> {
        // A record dated before the one that it follows happened with it. What came while the daemon was away, nobody heard.
        let at = Duration::from_secs_f64(record.at).as_millis() as u64;
        let missed = at < self.clocks.booted;
        let at = at.max(self.clocks.at);
        match record.what {
            What::Wall(wall) => {
                self.advance(at);
                self.clocks.wall_base = wall.timestamp_millis().saturating_sub_unsigned(at);
            }
            What::Restart(away) => self.restart(at, Duration::from_secs_f64(away)),
            What::End => self.step(at, Input::Wake),
            _ if missed => {}
            What::Ble(ble) => {
                let advert = ble.advert()?;
                let mono = self.clocks.mono(at);
                if let Some(report) = self.intake.advert(mono, &ble.adapter, &advert) {
                    self.step(at, Input::Report(report));
                }
            }
            What::Adapter(a) => {
                let news = LinkNews::Adapter { powered: a.powered, scanning: a.scanning.unwrap_or(a.powered) };
                self.step(at, Input::Link(Link::Adapter(a.adapter), news));
            }
            What::Gatt(read) => {
                let value = hex::decode(&read.value).map_err(|e| format!("{:?}: {e}", read.value))?;
                match gatt::report(&read.adapter, read.address, &gatt::name(&read.characteristic), &value) {
                    Some(report) => self.step(at, Input::Report(report)),
                    None => self.advance(at),
                }
            }
            What::Link(link) => {
                let bridge = self.bridge(at, Some(link.network));
                let inputs = if link.up { bridge.linked() } else { bridge.down(DownReason::Unreachable) };
                self.steps(at, inputs);
            }
            What::Zwave { network, message } => {
                let mono = self.clocks.mono(at);
                let inputs = self.bridge(at, network).message(mono, &message);
                self.steps(at, inputs);
            }
        }
        Ok(())
    }

    /// The bridge of a network. A capture need not name the only one, and a configuration that names none is no reason not to play it.
    fn bridge(&mut self, at: u64, network: Option<Arc<str>>) -> &mut Bridge {
        let name = network.or_else(|| self.settings.networks.first().cloned()).unwrap_or_else(|| "main".into());
        if !self.settings.networks.contains(&name) {
            self.settings.networks.push(name.clone());
            self.step(at, Input::Configure(Box::new(self.settings.clone())));
        }
        let rules = self.rules.get(&name).cloned().unwrap_or_default();
        self.bridges.entry(name.clone()).or_insert_with(|| Bridge::new(name).with_rules(rules))
    }

    /// Fires the timers that are due before `at`, each at its own moment.
    fn advance(&mut self, at: u64) {
        while let Some(due) = self.hub.wake_at().map(|due| due.0 + self.clocks.booted).filter(|due| *due < at) {
            self.turn(due.max(self.clocks.at), Input::Wake);
        }
        self.clocks.at = at;
    }

    fn step(&mut self, at: u64, input: Input) {
        self.advance(at);
        self.turn(at, input);
    }

    fn steps(&mut self, at: u64, inputs: Vec<Input>) {
        self.advance(at);
        for input in inputs {
            self.turn(at, input);
        }
    }

    fn turn(&mut self, at: u64, input: Input) {
        self.clocks.at = at;
        let mut out = Output::default();
        self.hub.step(self.clocks.now(at), input, &mut out);
        for event in &out.events {
            self.disk.last_created = event.created_at;
            (self.tell)(event);
        }
        self.disk.write(out.rows);
    }

    /// Stops the daemon in good order and starts it again from what it stored.
    fn restart(&mut self, at: u64, away: Duration) {
        self.step(at, Input::Wake);
        self.disk.write(self.hub.soft_rows());
        let back = at + away.as_millis() as u64;
        self.clocks.booted = back;
        self.clocks.at = back;
        let counters: BTreeMap<DeviceKey, u32> =
            self.hub.devices().filter_map(|device| Some((device.key, device.counter?))).collect();
        let known = self.known.iter().cloned().map(|(address, known)| {
            let counter = counters.get(&DeviceKey::Ble(address)).copied().or(known.counter);
            (address, Known { counter, ..known })
        });
        self.intake = Intake::new(known);
        for bridge in self.bridges.values_mut() {
            *bridge = bridge.anew();
        }
        let now = self.clocks.now(back);
        let rows = self.disk.rows.values().filter_map(Row::kept).collect::<Vec<_>>();
        self.hub = Hub::restore(self.settings.clone(), rows, self.disk.last_created, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Dialect;

    const HEADER: &str = "{\"portcullis_capture\":1,\"start\":\"2026-01-01T00:00:00Z\"}\n";

    fn config() -> Config {
        let toml = "[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\n[[devices]]\naddress = \"C0:FF:EE:00:00:02\"\n";
        crate::config::Config::parse(toml, "".as_ref(), Default::default()).unwrap()
    }

    fn advert(at: f64, device: u8, lock: u8) -> String {
        format!(
            r#"{{"at":{at},"ble":{{"address":"C0:FF:EE:00:00:{device:02X}","rssi":-60,"service_data":{{"fcd2":"401f{lock:02x}"}}}}}}"#
        ) + "\n"
    }

    fn play(lines: &str) -> Result<Vec<String>, ReplayError> {
        let mut told = Vec::new();
        let capture = format!("{HEADER}{lines}");
        replay(&config(), capture.as_bytes(), |e| told.push(e.render(Dialect::Classic)))?;
        Ok(told)
    }

    /// (created_at, event_type) of each.
    fn told(lines: &str) -> Vec<(String, String)> {
        let word = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap().to_owned();
        let events = play(lines).unwrap();
        let events = events.iter().map(|e| serde_json::from_str(e).unwrap());
        events.map(|e| (word(&e, "created_at"), word(&e, "event_type"))).collect()
    }

    #[test]
    fn the_same_capture_gives_the_same_bytes() {
        let lines: String = (0..500).map(|n| advert(f64::from(n) * 1.5, n as u8 % 2 + 1, n as u8 / 7 % 2)).collect();
        let lines = format!("{lines}{{\"at\":900,\"restart\":10}}\n{{\"at\":5000,\"end\":true}}\n");
        let once = play(&lines).unwrap();
        assert!(once.len() > 50, "{once:?}");
        assert_eq!(once, play(&lines).unwrap());
    }

    #[test]
    fn an_event_is_dated_with_its_place_in_the_capture() {
        let told = told(&(advert(1.25, 1, 0) + &advert(61.5, 1, 1)));
        assert_eq!(told.first().unwrap().0, "2026-01-01T00:00:01.250Z");
        assert_eq!(told.last().unwrap(), &("2026-01-01T00:01:01.500Z".into(), "lock.unlocked".into()));
    }

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_make_time_run_back() {
        let back = "{\"at\":20,\"wall\":\"2025-12-31T23:00:00Z\"}\n";
        let told = told(&(advert(10.0, 1, 0) + back + &advert(30.0, 1, 1) + &advert(31.0, 2, 0)));
        assert!(told.is_sorted_by_key(|(at, _)| at.clone()), "{told:?}");
    }

    #[test]
    fn a_restart_tells_nothing_twice_and_hears_nothing_while_it_lasts() {
        let before = advert(1.0, 1, 0) + &advert(2.0, 1, 0) + &advert(3.0, 1, 0);
        let restart = "{\"at\":4,\"restart\":30}\n";
        let away = advert(10.0, 1, 1);
        let after = advert(35.0, 1, 0);
        assert_eq!(told(&(before.clone() + restart + &away + &after)), told(&before));
    }

    #[test]
    fn a_z_wave_capture_is_played_through_the_same_bridge_as_the_live_link() {
        let notification = r#"{"at":2,"zwave":{"type":"event","event":{"source":"node","event":"notification","nodeId":2,"ccId":113,"args":{"type":6,"event":6,"parameters":{"userId":3}}}}}"#;
        let down = r#"{"at":3,"link":{"network":"main","up":false}}"#;
        let up = r#"{"at":9,"link":{"network":"main","up":true}}"#;
        let told = told(&format!("{notification}\n{down}\n{up}\n{}\n", notification.replace("\"at\":2", "\"at\":10")));
        let types: Vec<&str> =
            told.iter().map(|(_, e)| e.as_str()).filter(|e| !e.starts_with("device.added")).collect();
        let met = ["connected_account.created", "connected_account.connected", "device.connected", "lock.unlocked"];
        let lost = ["connected_account.disconnected", "device.disconnected"];
        let back = ["connected_account.connected", "device.connected", "lock.unlocked"];
        assert_eq!(types, [&met[..], &lost, &back].concat());
    }

    #[test]
    fn a_bad_line_is_named_after_what_came_before_it_was_told() {
        let capture = format!("{HEADER}{}oops\n", advert(1.0, 1, 0));
        let mut told = 0;
        let error = replay(&config(), capture.as_bytes(), |_| told += 1).unwrap_err();
        assert!(error.to_string().starts_with("line 3: "), "{error}");
        assert!(told > 0);
        let error = play("{\"at\":1,\"ble\":{\"address\":\"C0:FF:EE:00:00:01\",\"service_data\":{\"fcd2\":\"4\"}}}\n");
        assert!(error.unwrap_err().to_string().starts_with("line 2: \"4\""));
    }
}
