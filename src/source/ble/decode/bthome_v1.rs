//! BTHome version 1, no longer made but still sold (bthome.io/v1): service data of UUID 0x181C in the clear, 0x181E encrypted.
//!
//! ```text
//! objects: control | id | value
//!          control: bits 0-4 length of id and value, bits 5-7 form: 0 unsigned, 1 signed, 2 float, 3 text, 4 MAC
//! sealed:  ciphertext of the objects | counter, u32 LE | tag, 4 bytes
//! ```
//!
//! AES-CCM with the associated data 0x11; nonce: MAC | 1E 18 | counter. The ids are those of version 2; the length is explicit,
//! so that an unknown one is skipped.

use super::bthome_objects::{self as objects, Form, Object};
use super::fresh::fingerprint;
use super::{Decoded, Heard, Memory, Reject};

const PLAIN: u16 = 0x181C;
const SEALED: u16 = 0x181E;

/// As many as the longest advertising PDU has room for.
const MAX_OBJECTS: usize = 84;

/// bthome.io/v1: at least one object of three bytes, with counter and tag behind it; bthome-ble asks for four.
const SEALED_MIN: usize = 3 + 4 + 4;

pub fn decode(heard: &Heard<'_>, memory: &mut Memory) -> Option<Decoded> {
    let mut out = Decoded::new("bthome_v1");
    let read = match (heard.service(SEALED), heard.service(PLAIN)) {
        (Some(data), _) => unseal(heard, data, memory, &mut out),
        (None, Some(data)) => read(heard, data, memory, &mut out),
        (None, None) => return None,
    };
    Some(match read {
        Ok(()) => out,
        Err(reject) => out.refuse(reject),
    })
}

fn unseal(heard: &Heard<'_>, data: &[u8], memory: &mut Memory, out: &mut Decoded) -> Result<(), Reject> {
    out.encrypted = true;
    let key = heard.key.ok_or(Reject::NoKey)?;
    if data.len() < SEALED_MIN {
        return Err(Reject::Malformed);
    }
    let (rest, tag) = data.split_last_chunk::<4>().ok_or(Reject::Malformed)?;
    let (sealed, counter) = rest.split_last_chunk::<4>().ok_or(Reject::Malformed)?;
    let mut nonce = [0; 12];
    nonce[..6].copy_from_slice(&heard.address().0);
    nonce[6..8].copy_from_slice(&[0x1E, 0x18]);
    nonce[8..].copy_from_slice(counter);
    let mut plain = Vec::new();
    key.open(&nonce, &[0x11], sealed, *tag, &mut plain).ok_or(Reject::WrongKey)?;
    out.decrypted = true;
    let counter = u32::from_le_bytes(*counter);
    out.counter = Some(counter);
    memory.counter.admit(counter, fingerprint(data), heard.at)?;
    read(heard, &plain, memory, out)
}

fn read(heard: &Heard<'_>, body: &[u8], memory: &mut Memory, out: &mut Decoded) -> Result<(), Reject> {
    let objects = Objects(body).take(MAX_OBJECTS);
    if let Some(id) = objects.clone().find(|o| o.kind.is_packet_id()).and_then(|o| o.data.first().copied()) {
        memory.packets.admit(id, heard.at)?;
    }
    if objects::say(objects, out) { Ok(()) } else { Err(Reject::NoDecodableObject) }
}

#[derive(Clone)]
struct Objects<'a>(&'a [u8]);

impl<'a> Iterator for Objects<'a> {
    type Item = Object<'a>;

    fn next(&mut self) -> Option<Object<'a>> {
        loop {
            let (&control, rest) = self.0.split_first()?;
            let (object, rest) = rest.split_at_checked(usize::from(control & 0x1F))?;
            self.0 = rest;
            let form = match control >> 5 {
                0 => Form::Unsigned,
                1 => Form::Signed,
                2 => Form::Float,
                _ => Form::Bytes,
            };
            let Some((&id, data)) = object.split_first() else { continue };
            if let Some(kind) = objects::kind(id).filter(|_| !data.is_empty()) {
                return Some(Object { kind, form, data });
            }
        }
    }
}
