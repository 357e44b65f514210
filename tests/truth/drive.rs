//! Plays a trace to the judge: alone, which is quick, or as a capture on the whole path from advert to event.

use std::collections::BTreeMap;
use std::fmt::Write;

use portcullis::config::Config;
use portcullis::event::{ErrorCode, EventType};
use portcullis::hub::presence::Judge;
use portcullis::signal::{Address, DeviceKey, Link};
use portcullis::source::replay::replay;
use portcullis::time::Mono;

use super::score::{Said, Told};
use super::trace::{Trace, What};

fn address(device: usize) -> Address {
    Address([0xC0, 0xFF, 0xEE, 0, (device >> 8) as u8, device as u8])
}

fn key(device: usize) -> DeviceKey {
    DeviceKey::Ble(address(device))
}

/// The judge alone, with what it would find on disk after a restart.
struct Hub<'a> {
    judge: Judge,
    booted: u64,
    present: Vec<bool>,
    disk: BTreeMap<String, serde_json::Value>,
    devices: BTreeMap<DeviceKey, usize>,
    said: Vec<Said>,
    trace: &'a Trace,
}

impl Hub<'_> {
    fn tell(&mut self, at: u64, device: usize, told: Told) {
        self.present[device] = told == Told::Connected;
        self.said.push((at as f64 / 1000.0, device, told));
    }

    fn advance(&mut self, at: u64) {
        while let Some(due) = self.judge.wake_at().map(|due| due.0 + self.booted).filter(|due| *due <= at) {
            let mut verdicts = Vec::new();
            self.judge.judge(Mono(due - self.booted), &mut verdicts, &mut Vec::new());
            for (key, code) in verdicts {
                let told = match code {
                    None => Told::Connected,
                    Some(ErrorCode::HubDisconnected) => Told::HubDisconnected,
                    Some(_) => Told::Disconnected,
                };
                self.show_why(due, self.devices[&key], told);
                self.tell(due, self.devices[&key], told);
            }
        }
    }

    /// With `TRUTH_WHY` set: why a device was lost, and after how long; or that it is there.
    fn show_why(&self, at: u64, device: usize, told: Told) {
        if told != Told::Disconnected || std::env::var_os("TRUTH_WHY").is_none() {
            return;
        }
        let (t, truth) = (at as f64 / 1000.0, &self.trace.devices[device]);
        let left = truth.here.iter().map(|here| here.1).rfind(|left| *left <= t);
        let after = match left {
            Some(left) if !truth.here.iter().any(|here| here.0 <= t && t < here.1) => {
                format!("{:.0} s after", t - left)
            }
            _ => "FALSE".into(),
        };
        let why = self.judge.explain(&key(device), Mono(at - self.booted));
        let (name, seed) = (self.trace.regime.name, self.trace.seed);
        println!("{name}/{seed} {t:.0}: device {device} {after}: {truth:?}\n  {why:?}");
    }

    fn watch_all(&mut self) {
        for device in 0..self.trace.devices.len() {
            self.judge.watch(key(device), None, self.present[device], Mono(0));
        }
    }
}

pub fn judge(trace: &Trace) -> Vec<Said> {
    let links: Vec<Link> = (0..trace.regime.ears).map(|n| Link::Adapter(format!("hci{n}").into())).collect();
    let count = trace.devices.len();
    let devices = (0..count).map(|n| (key(n), n)).collect();
    let mut hub = Hub {
        judge: Judge::default(),
        booted: 0,
        present: vec![false; count],
        disk: BTreeMap::new(),
        devices,
        said: Vec::new(),
        trace,
    };
    hub.watch_all();
    for &(at, what) in trace.log.iter().filter(|l| l.0 as f64 <= trace.end * 1000.0) {
        if at < hub.booted {
            continue;
        }
        hub.advance(at);
        let now = Mono(at - hub.booted);
        match what {
            What::Heard { device, ear } => {
                let device = usize::from(device);
                if hub.judge.heard(key(device), &links[usize::from(ear)], false, now) {
                    hub.tell(at, device, Told::Connected);
                }
            }
            What::Able { ear, able } => hub.judge.adapter(&links[usize::from(ear)], able, now),
            What::Restart { away } => {
                let rows = hub.judge.model();
                hub.disk.extend(rows);
                hub.judge = Judge::default();
                hub.booted = at + away;
                hub.disk.iter().for_each(|(row, value)| hub.judge.restore(row, &value.to_string()));
                hub.watch_all();
            }
        }
    }
    hub.advance((trace.end * 1000.0) as u64);
    hub.said
}

/// The same as a capture, as `portcullis record` would have written it.
fn capture(trace: &Trace) -> String {
    let mut text = String::from("{\"portcullis_capture\":1,\"start\":\"2026-01-01T00:00:00Z\"}\n");
    let mut packet = vec![0u8; 1 << 16];
    for (at, what) in &trace.log {
        let at = *at as f64 / 1000.0;
        let line = match *what {
            What::Heard { device, ear } => {
                let device = usize::from(device);
                packet[device] = packet[device].wrapping_add(1);
                // BTHome v2, in the clear: packet id, battery 80 %, lock closed.
                writeln!(
                    text,
                    r#"{{"at":{at:.3},"ble":{{"adapter":"hci{ear}","address":"{}","rssi":-70,"service_data":{{"fcd2":"4000{:02x}01501f00"}}}}}}"#,
                    address(device),
                    packet[device]
                )
            }
            What::Able { ear, able } => {
                writeln!(text, r#"{{"at":{at:.3},"adapter":{{"adapter":"hci{ear}","powered":{able}}}}}"#)
            }
            What::Restart { away } => writeln!(text, r#"{{"at":{at:.3},"restart":{:.3}}}"#, away as f64 / 1000.0),
        };
        line.expect("a string takes all");
    }
    writeln!(text, r#"{{"at":{:.3},"end":true}}"#, trace.end).expect("a string takes all");
    text
}

/// The whole path: capture, decoder, hub, events.
pub fn whole(trace: &Trace) -> Vec<Said> {
    let listed: String = (0..trace.devices.len())
        .map(|n| format!("[[devices]]\naddress = \"{}\"\nid = \"{}\"\n", address(n), key(n).device_id(0)))
        .collect();
    let config = Config::parse(&listed, "/".as_ref(), Default::default()).expect("a configuration");
    let devices: BTreeMap<_, _> = (0..trace.devices.len()).map(|n| (key(n).device_id(0), n)).collect();
    let mut said = Vec::new();
    // 2026-01-01T00:00:00Z
    let start = 1_767_225_600_000;
    replay(&config, capture(trace).as_bytes(), |event| {
        let told = match (event.event_type, event.details.error_code) {
            (EventType::DeviceConnected, _) => Told::Connected,
            (EventType::DeviceDisconnected, Some(ErrorCode::HubDisconnected)) => Told::HubDisconnected,
            (EventType::DeviceDisconnected, _) => Told::Disconnected,
            _ => return,
        };
        let device = event.device_id.expect("a device's event");
        said.push(((event.created_at.0 - start) as f64 / 1000.0, devices[&device], told));
    })
    .expect("a capture that plays");
    said
}
