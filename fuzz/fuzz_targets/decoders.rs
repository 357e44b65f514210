//! Every decoder of adverts and GATT values. The bytes are a script of adverts, see `portcullis::source::ble::script`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::source::ble::script;

fuzz_target!(|data: &[u8]| script::play(data));
