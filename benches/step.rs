//! The hot path of the hub: an advert that repeats what is known. It must cost about 300 ns and allocate nothing
//! (building the report, which the source does, is outside of what is timed).

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::Config;
use portcullis::hub::{Hub, Input, Output};
use portcullis::signal::{Address, DeviceKey, Link, Report, Signal};
use portcullis::time::{Mono, Now, Wall};

const DEVICES: u64 = 30;
const ROUNDS: u64 = 20_000;

fn main() {
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
    let (mut spent, mut told) = (Duration::ZERO, 0);
    for round in 0..ROUNDS {
        let reports: Vec<_> = (0..DEVICES).map(|n| advert(n, state())).collect();
        let start = Instant::now();
        for (n, report) in reports.into_iter().enumerate() {
            hub.step(black_box(at(round * 1000 + n as u64)), Input::Report(report), &mut out);
        }
        spent += start.elapsed();
        if round > 100 {
            told += out.events.len() + out.rows.len();
        }
        out = Output::default();
    }
    println!("step, repeated advert: {} ns ({told} outputs)", spent.as_nanos() / u128::from(ROUNDS * DEVICES));
}
