//! The hot path of the hub: an advert that repeats what is known. It costs at most 300 ns of processor time and allocates nothing (building the
//! report, which the source does, is outside of what is timed and counted). `cargo bench --bench step` fails where that is broken.

#[path = "support/cpu.rs"]
mod cpu;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis::config::Config;
use portcullis::hub::{Hub, Input, Output};
use portcullis::signal::{Address, DeviceKey, Link, Report, Signal};
use portcullis::time::{Mono, Now, Wall};

const DEVICES: u64 = 30;
/// After so many rounds of adverts everything has been learned that there is to learn.
const LEARN: u64 = 500;
/// DESIGN's promise for a repeated advert.
const MOST: Duration = Duration::from_nanos(300);

/// The system's allocator, which counts what it is asked for. The one unsafe thing here: the trait asks for it.
struct Counting;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let rounds = LEARN + if quick { 10 } else { 20_000 };
    let listed =
        (0..DEVICES).map(|n| format!("[[devices]]\naddress = \"C0:FF:EE:00:00:{n:02X}\"\n")).collect::<String>();
    let config = Config::parse(&listed, std::path::Path::new("/"), Default::default()).expect("a good configuration");
    let at = |ms: u64| Now {
        mono: Mono(ms),
        wall: Wall(1_768_478_400_000 + ms as i64),
        synchronized: true,
        entropy: u128::from(ms),
    };
    let mut hub = Hub::new(config.settings(None), at(0));
    let adapter = Link::Adapter(Arc::from("hci0"));
    let advert = |n: u64, signals| Report {
        device: DeviceKey::Ble(Address([0xC0, 0xFF, 0xEE, 0, 0, n as u8])),
        link: adapter.clone(),
        rssi: Some(-60),
        name: None,
        family: "bthome_v2",
        irregular: false,
        counter: None,
        occurred_at: None,
        signals,
    };
    let state = || vec![Signal::Battery { percent: 80 }, Signal::Tamper(false)];
    let mut out = Output::default();
    let (mut spent, mut told, mut allocated) = (Duration::ZERO, 0, 0);
    for round in 0..rounds {
        let reports: Vec<_> = (0..DEVICES).map(|n| advert(n, state())).collect();
        let (start, before) = (cpu::time(), ALLOCATED.load(Ordering::Relaxed));
        for (n, report) in reports.into_iter().enumerate() {
            hub.step(black_box(at(round * 1000 + n as u64)), Input::Report(report), &mut out);
        }
        if round >= LEARN {
            spent += cpu::time() - start;
            allocated += ALLOCATED.load(Ordering::Relaxed) - before;
            told += out.events.len() + out.rows.len();
        }
        out = Output::default();
    }
    let adverts = (rounds - LEARN) * DEVICES;
    let each = spent / u32::try_from(adverts).expect("a few");
    println!("step, repeated advert: {} ns ({told} outputs, {allocated} allocations in {adverts})", each.as_nanos());
    assert_eq!(allocated, 0, "a repeated advert allocates");
    assert!(quick || each <= MOST, "a repeated advert takes {each:?}");
}
