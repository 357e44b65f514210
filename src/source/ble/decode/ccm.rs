//! AES-128-CCM as adverts use it (RFC 3610): a four-byte tag and a nonce of twelve or thirteen bytes.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use ccm::Ccm;
use ccm::aead::AeadInOut;
use ccm::aead::inout::InOutBuf;
use ccm::consts::{U4, U12, U13};

/// Bytes of the tag in every family here.
pub const TAG: usize = 4;

/// The four bytes that fill a legacy MiBeacon key of twelve up to an AES key, from its seventh byte on.
const LEGACY_FILL: [u8; 4] = [0x8d, 0x3d, 0x3c, 0x97];

/// A bind key as the owner got it: 16 bytes, or 12 for legacy MiBeacon. Never printed.
///
/// Any other length is kept, too, so that a wrong key in the configuration is a key that decrypts nothing, not a missing one.
#[derive(Clone)]
pub struct BindKey {
    bytes: Box<[u8]>,
    /// Prepared once: the key schedule costs more than a short advert.
    cipher: Option<Box<Aes128>>,
}

impl BindKey {
    pub fn new(bytes: impl Into<Box<[u8]>>) -> BindKey {
        let bytes = bytes.into();
        let full: Option<[u8; 16]> = match bytes.len() {
            12 => [&bytes[..6], &LEGACY_FILL, &bytes[6..]].concat().try_into().ok(),
            _ => bytes.as_ref().try_into().ok(),
        };
        BindKey { bytes, cipher: full.map(|key| Box::new(Aes128::new(&key.into()))) }
    }

    /// Decrypts and authenticates with the nonce of twelve or thirteen bytes; `None` where the tag does not fit (or the key
    /// is none).
    pub fn open(&self, nonce: &[u8], aad: &[u8], sealed: &[u8], tag: [u8; TAG], out: &mut Vec<u8>) -> Option<()> {
        let cipher = self.cipher.as_deref()?;
        out.clear();
        out.extend_from_slice(sealed);
        let text = InOutBuf::from(out.as_mut_slice());
        let tag = tag.into();
        match nonce.len() {
            12 => Ccm::<&Aes128, U4, U12>::from(cipher).decrypt_inout_detached(nonce.try_into().ok()?, aad, text, &tag),
            13 => Ccm::<&Aes128, U4, U13>::from(cipher).decrypt_inout_detached(nonce.try_into().ok()?, aad, text, &tag),
            _ => return None,
        }
        .ok()
    }

    /// The bare key stream of CCM with a nonce of thirteen bytes, for legacy MiBeacon, which has no tag: what comes out is
    /// not authenticated.
    pub fn stream(&self, nonce: &[u8; 13], sealed: &[u8]) -> Option<Vec<u8>> {
        let cipher = self.cipher.as_deref()?;
        let mut out = sealed.to_vec();
        for (n, block) in (1u16..).zip(out.chunks_mut(16)) {
            let mut counter = [0; 16];
            counter[0] = 1; // length field of two bytes
            counter[1..14].copy_from_slice(nonce);
            counter[14..].copy_from_slice(&n.to_be_bytes());
            let mut pad = counter.into();
            cipher.encrypt_block(&mut pad);
            block.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        }
        Some(out)
    }
}

impl PartialEq for BindKey {
    fn eq(&self, other: &BindKey) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Debug for BindKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BindKey({} bytes)", self.bytes.len())
    }
}
