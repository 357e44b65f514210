//! Key finders and tracked things: their advert says that they are near, and no more.
//!
//! ```text
//! Gigaset G-Tag   company 0x0180, 10 bytes from 02 15 12 34
//! Tile            service data 0xFEED, 0xFEEC or 0xFD84 without manufacturer data, or a name from "Tile"
//! by name         nut (2 bytes of manufacturer data), nutale (12 of service data 0x0900), iTAG, Tag-It (11), TicWatch GTH,
//!                 Nyon (company 0x02A6, 5)
//! ```
//!
//! Source: Theengs decoder 2.5.0 (facts only).

use super::{Decoded, Heard, Memory, Name};

const FAMILY: &str = "tracker";
const TILE_SERVICES: [u16; 3] = [0xFEED, 0xFEEC, 0xFD84];

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let device = recognise(heard)?;
    let mut out = Decoded::new(FAMILY);
    out.say(Name::DeviceKind, "tracker");
    out.other("device", device);
    Some(out)
}

fn recognise(heard: &Heard<'_>) -> Option<&'static str> {
    let companies = &heard.advert.manufacturer_data;
    if heard.company(0x0180).is_some_and(|data| data.len() == 10 && data.starts_with(&[0x02, 0x15, 0x12, 0x34])) {
        return Some("G-Tag");
    }
    if companies.is_empty() && TILE_SERVICES.iter().any(|uuid| heard.service(*uuid).is_some()) {
        return Some("Tile");
    }
    let name = heard.name()?;
    let any_of = |length: std::ops::RangeInclusive<usize>| companies.values().any(|data| length.contains(&data.len()));
    match name {
        _ if name.starts_with("Tile") => Some("Tile"),
        _ if name.starts_with("TicWatch GTH") => Some("TicWatch GTH"),
        _ if name.starts_with("iTAG") && any_of(2..=usize::MAX) => Some("iTAG"),
        _ if name.starts_with("Tag-It") && any_of(11..=11) => Some("Tag-It"),
        _ if name.starts_with("nutale") && heard.service(0x0900).is_some_and(|data| data.len() == 12) => Some("nutale"),
        _ if name.starts_with("nut") && any_of(2..=2) => Some("nut"),
        _ if name.starts_with("Nyon") && heard.company(0x02A6).is_some_and(|data| data.len() == 5) => Some("Nyon"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_known_tracker_is_near_and_that_is_all() {
        check(
            decode,
            &[
                ("m0180:0215123480c390ffbbc5", "device_kind=tracker device=G-Tag"),
                ("name=iTAG m0105:aabbccddeeff6602010300", "device=iTAG"),
                ("sfeed:0200aabb", "device=Tile"),
                ("sfeed:0200aabb m0105:00", "none"),
                ("name=iTAG", "none"),
                ("m0180:021512", "none"),
            ],
        );
    }
}
