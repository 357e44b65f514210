//! BTHome v2 (<https://bthome.io/format>): service data of UUID 0xFCD2.
//!
//! ```text
//! [0] device information: bit 0 encrypted, bit 2 trigger-based, bits 5-7 version (2)
//! [1..] objects: id, little-endian value of the id's length
//! ```

use super::{Decoded, Heard, Memory, Name, Reject};

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(0xFCD2)?;
    let mut out = Decoded::new("bthome_v2");
    let Some((&info, mut objects)) = data.split_first() else { return Some(out.refuse(Reject::Malformed)) };
    out.irregular = info & 4 != 0;
    out.encrypted = info & 1 != 0;
    if info >> 5 != 2 {
        return Some(out.refuse(Reject::UnsupportedVersion));
    }
    if out.encrypted {
        return Some(out.refuse(Reject::NoKey));
    }
    while let [id, value, rest @ ..] = objects {
        match id {
            0x00 => out.say(Name::PacketId, *value),
            0x01 => out.battery(*value),
            0x1A => out.say(Name::DoorOpen, *value == 1),
            0x1F => out.say(Name::LockState, if *value == 0 { "locked" } else { "unlocked" }),
            0x2B => out.say(Name::Tamper, *value == 1),
            _ => break,
        }
        objects = rest;
    }
    Some(out)
}
