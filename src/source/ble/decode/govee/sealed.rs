//! Govee H5121 to H5126 and H5130: sealed with a key that is in the frame, so obfuscated and no more.
//!
//! ```text
//! [0..2] end of address  [2..6] time, changes with each event  [6..22] block  [22..24] CRC-16 BE of the block (1021, from 1D0F)
//! block = AES-128-ECB; key time | 12 zeros; key, input and output are each byte-reversed
//! open block: [2] model  [4] battery %  [5] status
//! ```
//!
//! They send only when something happens, and one event many times over: `time` tells a repeat from news.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, KeyInit};

use super::{Entry, Read};
use crate::source::ble::decode::{Decoded, Name, Reject};

const LENGTH: usize = 24;
const BUTTONS: [&str; 8] =
    ["button_0", "button_1", "button_2", "button_3", "button_4", "button_5", "button_6", "button_7"];

pub fn read(entry: &Entry<'_>, out: &mut Decoded) -> Read {
    let frame: &[u8; LENGTH] = entry.data.try_into().ok()?;
    let (Some(time), Some(block)) = (frame[2..].first_chunk::<4>(), frame[6..].first_chunk::<16>()) else {
        return None;
    };
    if crc(block) != u16::from_be_bytes([frame[22], frame[23]]) {
        // Twenty-four bytes of anybody may look like this: only a name makes it ours, and then it is damaged.
        return entry.named("GV51").then_some(Err(Reject::Malformed));
    }
    let open = unseal(*time, *block);
    let (model, battery, status) = (open[2], open[4], open[5]);
    if !matches!(model, 2 | 3 | 8..=11 | 13) {
        return Some(Err(Reject::UnknownModel));
    }
    out.battery(battery);
    out.irregular = true;
    match model {
        // H5123
        2 => {
            out.say(Name::DoorOpen, status == 2);
            out.say(Name::OpeningKind, "window");
        }
        // H5121
        3 if status == 1 => out.event("motion", "motion"),
        // H5124
        9 if status == 1 => out.event("vibration", "vibration"),
        3 | 9 => {}
        // H5130: a mat, and the button on it
        13 if status == 16 => out.event("button_0", "press"),
        13 => out.say(Name::Presence, status == 1),
        // H5122, H5125, H5126
        _ => {
            if let Some(button) = BUTTONS.get(usize::from(status)) {
                out.event(button, "press");
            }
        }
    }
    Some(Ok(()))
}

fn unseal(time: [u8; 4], mut block: [u8; 16]) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&time);
    key.reverse();
    block.reverse();
    let mut block = block.into();
    Aes128::new(&key.into()).decrypt_block(&mut block);
    let mut open: [u8; 16] = block.into();
    open.reverse();
    open
}

fn crc(data: &[u8]) -> u16 {
    data.iter().fold(0x1D0F, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 })
    })
}
