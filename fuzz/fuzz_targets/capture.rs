//! The reader of captures. What comes behind it, the intake and the hub, is played as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::Config;
use portcullis::source::replay::replay;

fuzz_target!(|data: &[u8]| {
    // A capture may say that it lasts for years; what is looked for here is not patience.
    if data.len() > 4096 {
        return;
    }
    let _ = replay(&Config::default(), data, |_| {});
});
