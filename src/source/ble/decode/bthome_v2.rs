//! BTHome version 2 (<https://bthome.io/format>, <https://bthome.io/encryption>): service data of UUID 0xFCD2.
//!
//! ```text
//! [0]   device information: bit 0 encrypted, bit 1 MAC included, bit 2 trigger-based, bits 5-7 version (2)
//! [1..7] the MAC, reversed, where bit 1 says so (reserved by the specification, sent by early firmware): it goes into the nonce
//! then   plain:     objects: id, value of the id's length; 0x53, 0x54 and 0x3B have a length byte
//!        encrypted: ciphertext of the objects | counter, u32 LE | tag, 4 bytes
//! ```
//!
//! AES-CCM without associated data; nonce: MAC | D2 FC | device information | counter. Parsing stops at the first id that nobody
//! defined (its length is unknown) and at an object that is cut off; what came before them counts.

use super::bthome_objects::{self as objects, Object};
use super::fresh::fingerprint;
use super::{Decoded, Heard, Memory, Name, Reject};

const UUID: u16 = 0xFCD2;
const COMMAND: u8 = 0x3B;

/// Objects looked at in one packet: the longest advert of one advertising PDU (254 bytes) has room for no more.
const MAX_OBJECTS: usize = 127;

/// The shortest sealed payload: one object of an id and a byte, the counter and the tag.
const SEALED_MIN: usize = 2 + 4 + 4;

pub fn decode(heard: &Heard<'_>, memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(UUID)?;
    let mut out = Decoded::new("bthome_v2");
    Some(match read(heard, data, memory, &mut out) {
        Ok(()) => out,
        Err(reject) => out.refuse(reject),
    })
}

fn read(heard: &Heard<'_>, data: &[u8], memory: &mut Memory, out: &mut Decoded) -> Result<(), Reject> {
    let (&info, mut body) = data.split_first().ok_or(Reject::Malformed)?;
    out.encrypted = info & 1 != 0;
    out.irregular = info & 4 != 0;
    out.say(Name::TriggerBased, out.irregular);
    if info >> 5 != 2 {
        return Err(Reject::UnsupportedVersion);
    }
    let mut mac = heard.address().0;
    if info & 2 != 0 {
        let (included, rest) = body.split_first_chunk::<6>().ok_or(Reject::Malformed)?;
        mac = *included;
        mac.reverse();
        body = rest;
    }
    let mut plain = Vec::new();
    if out.encrypted {
        let key = heard.key.ok_or(Reject::NoKey)?;
        if body.len() < SEALED_MIN {
            return Err(Reject::Malformed);
        }
        let (rest, tag) = body.split_last_chunk::<4>().ok_or(Reject::Malformed)?;
        let (sealed, counter) = rest.split_last_chunk::<4>().ok_or(Reject::Malformed)?;
        let mut nonce = [0; 13];
        nonce[..6].copy_from_slice(&mac);
        nonce[6..9].copy_from_slice(&[0xD2, 0xFC, info]);
        nonce[9..].copy_from_slice(counter);
        key.open(&nonce, &[], sealed, *tag, &mut plain).ok_or(Reject::WrongKey)?;
        out.decrypted = true;
        let counter = u32::from_le_bytes(*counter);
        out.counter = Some(counter);
        memory.counter.admit(counter, fingerprint(data), heard.at)?;
        body = &plain;
    }
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
            let (&id, rest) = self.0.split_first()?;
            let kind = objects::kind(id)?;
            let (len, rest) = match kind.len {
                // A command's length counts its arguments, in the low five bits; the opcode comes on top.
                0 if id == COMMAND => rest.split_first().map(|(len, rest)| (usize::from(len & 0x1F) + 1, rest))?,
                0 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
                len => (len, rest),
            };
            let (data, rest) = rest.split_at_checked(len)?;
            self.0 = rest;
            if len > 0 {
                return Some(Object { kind, form: kind.form, data });
            }
        }
    }
}
