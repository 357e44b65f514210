//! What an advert costs: decoded, and decoded and judged, with few and many devices; and the dearest input that could be found.
//!
//! `cargo bench --bench decode` prints a line a measurement, and fails where a promise is broken: an advert through decoder and hub
//! costs at most 1.5 times as much with 100,000 devices as with 10, and no advert takes more than 50 µs to decode. The peers are
//! measured by `benches/peers/run.sh`, in the same run and on the same adverts.

#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/support/vectors.rs"]
#[allow(dead_code)]
mod vectors;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use portcullis::config::Config;
use portcullis::hub::{Adopt, Hub, Input, Output};
use portcullis::signal::{Address, Link, LinkNews};
use portcullis::source::ble::decode::{BindKey, MAX_PAYLOAD, Memory, decode};
use portcullis::source::ble::intake::Intake;
use portcullis::source::ble::{Advert, uuid16};
use portcullis::time::{Mono, Now, Wall};

/// Each measurement runs for about as long.
const RUN: Duration = Duration::from_millis(400);

/// DESIGN's promise: what many devices may cost.
const FLAT: f64 = 1.5;

/// The longest that one advert may take.
const DEAREST: Duration = Duration::from_micros(50);

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let run = if quick { Duration::from_millis(1) } else { RUN };
    decoding(run);
    let worst = dearest(if quick { 2 } else { 200 });
    let flat = quick || whole_path(run);
    if !quick {
        assert!(worst <= DEAREST, "an advert takes {worst:?} to decode");
        assert!(flat, "an advert costs more the more devices there are");
    }
}

fn service(uuid: u16, hex: &str) -> Advert {
    let address = "54:48:E6:8F:80:A5".parse().unwrap();
    Advert { address, service_data: [(uuid16(uuid), hex::decode(hex).unwrap())].into(), ..Advert::default() }
}

/// Nanoseconds that a call takes, the best of three runs.
fn cost(run: Duration, mut call: impl FnMut(u64)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let (start, mut calls) = (cpu::time(), 0);
        while cpu::time() - start < run {
            for _ in 0..256 {
                call(calls);
                calls += 1;
            }
        }
        best = best.min((cpu::time() - start).as_nanos() as f64 / calls as f64);
    }
    best
}

fn report(what: &str, ns: f64) {
    println!("{what:<44} {ns:>9.0} ns {:>12.0} adverts/s", 1e9 / ns);
}

fn decoding(run: Duration) {
    let bthome = BindKey::new(hex::decode("231d39c1d7cc1ab1aee224cd096db932").unwrap());
    let xiaomi = BindKey::new(hex::decode("2c3795afa33019a8afdc17ba99e6f217").unwrap());
    let mut switchbot = service(0xFD3D, "6f006400");
    switchbot.manufacturer_data.insert(0x0969, hex::decode("c7f5b0d1a4f20a8b0020").unwrap());
    let mut lock = service(0xFE95, "4855390e35bf9fd9a08beff236ec5bd8315300008e550b6e");
    lock.address = "EE:89:73:44:BE:98".parse().unwrap();
    let cases = [
        ("bthome_plain", service(0xFCD2, "400009015d025d0903b718"), None),
        ("bthome_encrypted", service(0xFCD2, "41a47266c95f730011223378237214"), Some(&bthome)),
        ("mibeacon_plain", service(0xFE95, "4040390e110b0009b1000000000000005f0a100130"), None),
        ("mibeacon_encrypted", lock, Some(&xiaomi)),
        ("switchbot_lock", switchbot, None),
        ("nobody's", service(0x1234, "0011223344556677"), None),
    ];
    for (name, advert, key) in cases {
        let ns = cost(run, |_| {
            // Each on its own, as the peers are measured: a repeat would be cheaper.
            let decoded = decode(black_box(&advert), key, &mut Memory::default(), Mono(0));
            black_box(&decoded);
        });
        report(name, ns);
    }
}

/// A real advert of every family, as it is and as long as can be: its end, or all of it, over and over.
fn stretched() -> Vec<(String, Advert)> {
    let mut adverts = Vec::new();
    for (n, (place, payload, _)) in vectors::payloads().into_iter().enumerate() {
        let end = payload.len().saturating_sub(4);
        let longer = |from: usize| -> Vec<u8> {
            payload.iter().chain(payload[from..].iter().cycle()).copied().take(MAX_PAYLOAD).collect()
        };
        for payload in [longer(end), longer(0), payload.clone()] {
            let mut advert = Advert::default();
            match place {
                vectors::Place::Service(uuid) => drop(advert.service_data.insert(uuid16(uuid), payload)),
                vectors::Place::Company(id) => drop(advert.manufacturer_data.insert(id, payload)),
                vectors::Place::Gatt(_) => continue,
            }
            adverts.push((format!("vector {n} ({place:?})"), advert));
        }
    }
    adverts
}

/// The longest that any of the inputs takes which are made to be dear: as long as can be, full of the shortest objects, sealed
/// with a key, with a name in capitals. The best of several times, as the machine has other things to do.
fn dearest(times: u32) -> Duration {
    let key = BindKey::new([7; 16]);
    let fill = |pattern: &[u8]| -> Vec<u8> { pattern.iter().copied().cycle().take(MAX_PAYLOAD).collect() };
    let patterns: Vec<Vec<u8>> = [
        &[0x40, 0x0F, 1, 0x0F][..],
        &[0x40, 0x3A, 1],
        &[0x40, 0x53, 1, b'x'],
        &[0x40, 0x53, 250, b'x'],
        &[0x41],
        &[0x45, 0xFF],
        &[0x02, 0x0F, 1],
        &[0x40, 0x40, 0x39, 0x0E, 0x11, 0x07, 0x00, 0x01, 0x00],
        &[0x48, 0x55, 0x39, 0x0E],
        &[0x48, 0x35, 0x39, 0x0E],
        &[0x88, 0x10, 1, 1],
        &[0x00],
        &[0xFF],
        &[0x02, 0x15],
    ]
    .into_iter()
    .map(fill)
    .collect();
    let services = [0xFCD2, 0x181C, 0x181E, 0xFE95, 0xFD3D, 0xFDCD, 0xFEAA, 0x180F, 0xFEAB, 0xFFF0, 0x2A6E, 0x5242];
    let companies = [0x004C, 0x0969, 0x01D1, 0x012E, 0x0305, 0xBABA, 0x0499, 0x8803, 0xEC88, 0x094F, 0x089A, 0x07B4];
    let mut worst = (Duration::ZERO, String::new());
    let mut adverts = stretched();
    for (n, pattern) in patterns.iter().enumerate() {
        for uuid in services {
            let mut advert = service(uuid, "");
            advert.service_data.insert(uuid16(uuid), pattern.clone());
            adverts.push((format!("service {uuid:04x}, pattern {n}"), advert));
        }
        for id in companies {
            let mut advert = Advert { name: Some("X".repeat(248).into()), ..Advert::default() };
            advert.manufacturer_data.insert(id, pattern.clone());
            adverts.push((format!("company {id:04x}, pattern {n}"), advert));
        }
    }
    for (what, advert) in adverts {
        for key in [None, Some(&key)] {
            let once = || {
                let start = cpu::time();
                black_box(decode(black_box(&advert), key, &mut Memory::default(), Mono(0)));
                cpu::time() - start
            };
            let took = (0..times).map(|_| once()).min().unwrap_or_default();
            if took > worst.0 {
                worst = (took, format!("{what}{}", if key.is_some() { ", with a key" } else { "" }));
            }
        }
    }
    println!("{:<44} {:>9} ns ({})", "dearest", worst.0.as_nanos(), worst.1);
    worst.0
}

/// Whether an advert costs about the same from decoder through hub with 10, 1,000 and 100,000 managed devices.
fn whole_path(run: Duration) -> bool {
    let few = through_hub(run, 10);
    let flat = [1_000, 100_000].map(|devices| through_hub(run, devices) / few);
    println!("{:<44} {:>8.2}x with 1,000, {:.2}x with 100,000", "cost against 10 devices", flat[0], flat[1]);
    flat.iter().all(|times| *times <= FLAT)
}

fn through_hub(run: Duration, devices: u64) -> f64 {
    let mut settings = Config::default().settings(None);
    settings.adopt_ble = Adopt::Known;
    let now = |at: u64| Now {
        mono: Mono(at),
        wall: Wall(1_767_225_600_000 + at as i64),
        synchronized: true,
        entropy: u128::from(at) << 64,
    };
    let mut hub = Hub::new(settings, now(0));
    let adapter: Arc<str> = "hci0".into();
    let mut out = Output::default();
    hub.step(
        now(0),
        Input::Link(Link::Adapter(adapter.clone()), LinkNews::Adapter { powered: true, scanning: true }),
        &mut out,
    );
    let address = |n: u64| Address(n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[..6].try_into().unwrap());
    // All of them ours: strangers are fewer.
    let mut intake = Intake::new((0..devices).map(|n| (address(n), Default::default())));
    let mut advert = service(0xFCD2, "4000000161");
    let mut hear = |n: u64| {
        // Each device speaks every ten seconds, in its turn: the same rhythm for few and for many.
        advert.address = address(n % devices);
        if let Some(data) = advert.service_data.values_mut().next() {
            data[2] = (n / devices) as u8;
        }
        let at = n * 10_000 / devices;
        if let Some(report) = intake.advert(Mono(at), &adapter, &advert) {
            hub.step(now(at), Input::Report(report), &mut out);
        }
        (out.events, out.rows) = (Vec::new(), Vec::new());
    };
    (0..devices).for_each(&mut hear);
    let mut n = devices;
    let ns = cost(run, |_| {
        hear(n);
        n += 1;
    });
    report(&format!("decoder and hub, {devices} devices"), ns);
    ns
}
