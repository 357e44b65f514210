//! Adverts of BTHome v2 as an encrypted lock makes them.
#![allow(dead_code)]

use aes::Aes128;
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U4, U13};

/// Service data of 0xFCD2: where its bolt is, sealed with a key of 32 hex digits.
pub fn sealed_lock(address: &str, key: &str, counter: u32, unlocked: bool) -> Vec<u8> {
    let (key, address) = (hex::decode(key).unwrap(), hex::decode(address.replace(':', "")).unwrap());
    let nonce = [&address[..], &[0xD2, 0xFC, 0x41], &counter.to_le_bytes()].concat();
    let mut text = [0x1F, u8::from(unlocked)];
    let cipher = Ccm::<Aes128, U4, U13>::new_from_slice(&key).unwrap();
    let tag = cipher.encrypt_inout_detached(nonce[..].try_into().unwrap(), &[], text.as_mut_slice().into()).unwrap();
    [&[0x41][..], &text, &counter.to_le_bytes(), &tag].concat()
}
