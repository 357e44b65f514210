//! Lines of `portcullis decode`: any bytes are answered, with JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::source::ble::line;

fuzz_target!(|data: &[u8]| {
    line::answer(data, |_| None);
});
