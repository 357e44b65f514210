//! Repeated adverts are not repeated events: every family sends one advert several times, and several adapters hear each.
//!
//! A state may be said again for ever. An operation (the bolt was moved, the bell was pressed) is told once for each frame that
//! says it. The frame is known again by all that it says, and by the device's own time where it gives one.

use std::time::Duration;

use super::decode::fresh::{Fingerprint, REBROADCAST};
use super::decode::{Decoded, Name};
use crate::time::Mono;

/// For how long a frame that has a number or a time of its own is known again after it was heard last: longer than any device
/// goes on sending an old one, shorter than eight bits of packet ids need to come round at a press every three seconds.
const NUMBERED: Duration = Duration::from_secs(600);

/// Operations remembered of a device: as many as can be on the air at once.
const REMEMBERED: usize = 4;

/// The operations that a device was heard to tell.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    told: [(u64, Mono); REMEMBERED],
    next: u8,
}

impl Repeats {
    /// Whether the operations of this advert have been told already. Each hearing renews the memory.
    pub fn again(&mut self, decoded: &Decoded, at: Mono) -> bool {
        let window = if is_numbered(decoded) { NUMBERED } else { REBROADCAST };
        let frame = fingerprint(decoded);
        if let Some((_, heard)) = self.told.iter_mut().find(|(known, _)| *known == frame) {
            let again = at.since(*heard) <= window;
            *heard = at;
            return again;
        }
        self.told[usize::from(self.next)] = (frame, at);
        self.next = (self.next + 1) % REMEMBERED as u8;
        false
    }
}

fn is_numbered(decoded: &Decoded) -> bool {
    let numbers = |name| matches!(name, Name::PacketId | Name::FrameCounter | Name::Sequence);
    decoded.counter.is_some() || decoded.occurred_at.is_some() || decoded.says.iter().any(|s| numbers(s.name))
}

fn fingerprint(decoded: &Decoded) -> u64 {
    let mut all = Fingerprint::default();
    all.add(decoded.family.as_bytes());
    all.add(&decoded.counter.map_or(0, |c| u64::from(c) + 1).to_le_bytes());
    all.add(&decoded.occurred_at.map_or(0, |at| at.0).to_le_bytes());
    for statement in &decoded.says {
        statement.add_to(&mut all);
    }
    // 0 is an empty place.
    all.get().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(packet: Option<u8>) -> Decoded {
        let mut decoded = Decoded::new("bthome_v2");
        if let Some(packet) = packet {
            decoded.say(Name::PacketId, packet);
        }
        decoded.event("button", "press");
        decoded
    }

    const fn s(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    #[test]
    fn a_frame_that_goes_on_is_one_operation_and_the_next_press_is_another() {
        let mut repeats = Repeats::default();
        assert!(!repeats.again(&pressed(None), s(0)));
        for second in 1..20 {
            assert!(repeats.again(&pressed(None), s(second)));
        }
        assert!(!repeats.again(&pressed(None), s(30)), "after a pause it is pressed again");
    }

    #[test]
    fn a_numbered_frame_is_known_again_after_a_pause() {
        let mut repeats = Repeats::default();
        assert!(!repeats.again(&pressed(Some(7)), s(0)));
        assert!(repeats.again(&pressed(Some(7)), s(60)));
        assert!(!repeats.again(&pressed(Some(8)), s(61)));
        assert!(repeats.again(&pressed(Some(7)), s(62)), "another adapter delivers it late");
    }
}
