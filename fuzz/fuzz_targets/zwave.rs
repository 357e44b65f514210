//! Messages of a Z-Wave JS server, a line each: the bridge with all its tables, and the hub behind it. Whatever a server says, it is a
//! signal, or counted as malformed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use portcullis::config::Config;
use portcullis::hub::{Hub, Output};
use portcullis::signal::DownReason;
use portcullis::source::zwave::Bridge;
use portcullis::time::{Mono, Now, Wall};

/// A server that sends no more than this is enough to find what is wrong with one message after others.
const MESSAGES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut bridge = Bridge::new("main".into());
    let mut at = Mono(0);
    let now = |mono: Mono| Now { mono, wall: Wall(1_767_225_600_000 + mono.0 as i64), synchronized: true, entropy: 7 };
    let mut hub = Hub::new(Config::default().settings(None), now(at));
    let mut out = Output::default();
    for line in data.split(|byte| *byte == b'\n').take(MESSAGES) {
        let Ok(message) = serde_json::from_slice(line) else { continue };
        at = at + Duration::from_millis(700);
        let mut inputs = bridge.message(at, &message);
        bridge.commands();
        if line.len() % 16 == 15 {
            inputs.extend(bridge.down(DownReason::Unreachable));
            bridge = bridge.anew();
        }
        inputs.into_iter().for_each(|input| hub.step(now(at), input, &mut out));
        out = Output::default();
    }
});
