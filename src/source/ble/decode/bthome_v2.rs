//! BTHome v2 (<https://bthome.io/format>): service data of UUID 0xFCD2.
//!
//! ```text
//! [0] device information: bit 0 encrypted, bit 2 trigger-based, bits 5-7 version (2)
//! [1..] objects: id, little-endian value of the id's length
//! ```

use super::{BindKey, Decoded, Memory};
use crate::signal::{LockState, Signal};
use crate::source::ble::{Advert, uuid16};
use crate::time::Mono;

pub fn decode(advert: &Advert, _key: Option<&BindKey>, _memory: &mut Memory, _at: Mono) -> Option<Decoded> {
    let data = advert.service_data.get(&uuid16(0xFCD2))?;
    let (&info, mut objects) = data.split_first()?;
    let mut out =
        Decoded { family: "bthome_v2", irregular: info & 4 != 0, encrypted: info & 1 != 0, ..Decoded::default() };
    if info >> 5 != 2 || out.encrypted {
        return Some(out);
    }
    while let [id, value, rest @ ..] = objects {
        match id {
            0x00 => {}
            0x01 if *value <= 100 => out.signals.push(Signal::Battery { percent: *value }),
            0x1A => out.signals.push(Signal::Door { open: *value == 1 }),
            0x1F => out.signals.push(Signal::Lock(if *value == 0 { LockState::Locked } else { LockState::Unlocked })),
            0x2B => out.signals.push(Signal::Tamper(*value == 1)),
            _ => break,
        }
        objects = rest;
    }
    out.accepted = true;
    Some(out)
}
