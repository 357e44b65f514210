//! Govee: manufacturer data of company ids that the maker chose freely; what a payload is follows from its length, the id and
//! the model in the name (`GVH5075_2762`, `GV5121195A`).
//!
//! ```text
//! 24 bytes   sealed: door, motion, vibration, buttons, pressure                    → sealed
//! 6-9        climate: thermometers, some with PM2.5 or CO2                         → climate
//! 6          company 0x8803, 0x8843 (shared with lights) or H5127: presence        → here
//! 14-20      meat thermometers: probes and their alarms                            → probe
//! ```
//!
//! An iBeacon "INTELLI_ROCKS_HW…" often sticks to the end of a payload: its 25 bytes are cut off first. All is plain text
//! or as good as: the key of the sealed ones is in the frame.
//!
//! Source: govee-ble 1.5.2.

mod climate;
mod probe;
mod sealed;

use super::ibeacon::APPLE;
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "govee";
const GLUED: &[u8] = b"INTELLI_ROCKS";
const GLUED_LENGTH: usize = 25;

/// One manufacturer data entry and what identifies its model.
struct Entry<'a> {
    company: u16,
    data: &'a [u8],
    heard: &'a Heard<'a>,
}

impl Entry<'_> {
    fn named(&self, model: &str) -> bool {
        self.heard.name().is_some_and(|name| name.contains(model))
    }

    fn any_named(&self, models: &[&str]) -> bool {
        models.iter().any(|model| self.named(model))
    }

    fn serves(&self, short: u16) -> bool {
        self.heard.advert.service_uuids.contains(&crate::source::ble::uuid16(short))
    }
}

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let mut out = Decoded { family: FAMILY, ..Decoded::default() };
    let mut refused = None;
    for (&company, data) in heard.advert.manufacturer_data.iter().filter(|(company, _)| **company != APPLE) {
        let entry = Entry { company, data: without_glued(data), heard };
        let read = sealed::read(&entry, &mut out)
            .or_else(|| presence(&entry, &mut out))
            .or_else(|| climate::read(&entry, &mut out))
            .or_else(|| probe::read(&entry, &mut out));
        if let Some(Err(reject)) = read {
            refused.get_or_insert(reject);
        }
    }
    match refused {
        _ if !out.says.is_empty() => Some(out),
        Some(reject) => Some(out.refuse(reject)),
        None => None,
    }
}

/// `None`: another layout; an error: this layout, and damaged.
type Read = Option<Result<(), Reject>>;

fn without_glued(data: &[u8]) -> &[u8] {
    match data.len().checked_sub(GLUED_LENGTH) {
        Some(rest) if rest > 0 && data.windows(GLUED.len()).any(|w| w == GLUED) => &data[..rest],
        _ => data,
    }
}

/// H5127: `EC 00 [01|02] 01 [4] 1 present [5] 0x11 motion`.
fn presence(entry: &Entry<'_>, out: &mut Decoded) -> Read {
    const COMPANIES: [u16; 2] = [0x8803, 0x8843];
    const MOTION: u8 = 0x11;
    let &[0xEC, 0x00, 0x01 | 0x02, 0x01, present, motion] = entry.data else { return None };
    if !entry.named("H5127") && !COMPANIES.contains(&entry.company) {
        return None;
    }
    out.say(Name::Occupancy, present == 1);
    out.say(Name::Motion, motion == MOTION);
    Some(Ok(()))
}

#[cfg(test)]
mod tests;
