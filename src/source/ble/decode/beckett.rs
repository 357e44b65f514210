//! R. W. Beckett burner controls: company 0x061A, wrapped by an exclusive or over its own bytes.
//!
//! ```text
//! byte n (n >= 2) is wrapped[n] ^ (wrapped[n - 2] + n) ^ wrapped[n - 1]; unwrapped, big-endian:
//! [0..2] product, bit 15 bootloader  [2..4] device  [4..6] state  [6..8] last end cause  [8..10] cycles  [16..20] serial
//! [-2] 0 connectable  [-1] version
//! ```
//!
//! Source: ble_monitor 5690220.

use super::bytes::Bytes;
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "beckett";
const COMPANY: u16 = 0x061A;
const WRAPPED: usize = 24;
const LEGACY_GENISYS: u16 = 3;
const LOCKOUT: u16 = 9;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let wrapped: &[u8] = heard.company(COMPANY)?;
    // Its length is what was seen; the version at the end may tell of others.
    if wrapped.len() < WRAPPED - 1 || wrapped.len() > WRAPPED {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    }
    let unwrapped: Vec<u8> = wrapped.windows(3).zip(2u8..).map(|(w, n)| w[2] ^ w[0].wrapping_add(n) ^ w[1]).collect();
    let (product, state, cycles) = (unwrapped.u16_be(0)? & 0x7FFF, unwrapped.u16_be(4)?, unwrapped.u16_be(8)?);
    if product > 5 {
        return Some(Decoded::refused(FAMILY, Reject::UnknownModel));
    }
    let mut out = Decoded::new(FAMILY);
    out.other("burner_product", product);
    if product == LEGACY_GENISYS {
        // A lockout after failed ignition: cold soon, where it is winter.
        out.say(Name::Problem, state == LOCKOUT);
        out.other("burner_state", state);
        out.other("burner_cycle_count", cycles);
    }
    if let (Some(1), Some(serial)) = (unwrapped.last(), unwrapped.u32_be(16)) {
        out.other("burner_serial", serial);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_burner_is_unwrapped() {
        check(
            decode,
            &[
                (
                    "m061a:06ccc408c0cd0bdecd2bb3da6582f160611063411b615029",
                    "burner_product=3 burner_state=1 burner_cycle_count=20319 burner_serial=77100 problem=false",
                ),
                ("m061a:06ccc408", "refused=malformed"),
            ],
        );
    }
}
