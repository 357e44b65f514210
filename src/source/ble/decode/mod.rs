//! One decoder a device family, pure: bytes in, statements out. Adding one is a file and a line in [`FAMILIES`].

mod bthome_v2;

use crate::signal::Signal;
use crate::source::ble::Advert;
use crate::time::Mono;

/// A bind key as the owner got it: 16 bytes, or 12 for legacy MiBeacon.
#[derive(Clone, PartialEq, Eq)]
pub struct BindKey(pub Vec<u8>);

/// What a decoder remembers of one device from advert to advert (packet ids, counters). Small and bounded.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The last encryption counter that was accepted.
    pub counter: Option<u32>,
}

/// What a decoder made of an advert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    pub family: &'static str,
    /// The payload is sound and fresh. A refused one is still a sign of life.
    pub accepted: bool,
    pub encrypted: bool,
    pub irregular: bool,
    pub counter: Option<u32>,
    pub signals: Vec<Signal>,
}

/// One family: `None` where the advert is not its own.
type Decode = fn(&Advert, Option<&BindKey>, &mut Memory, Mono) -> Option<Decoded>;

const FAMILIES: &[Decode] = &[bthome_v2::decode];

/// The first family that knows the advert.
pub fn decode(advert: &Advert, key: Option<&BindKey>, memory: &mut Memory, at: Mono) -> Option<Decoded> {
    FAMILIES.iter().find_map(|family| family(advert, key, memory, at))
}
