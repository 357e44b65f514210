//! An event's frozen bytes, small. Two thirds of them are what the row's other columns say anyway: they are left out and put
//! back, and what comes back is checked to be the same bytes when it is written and (by its sum) when it is read.
//!
//! Form: a byte that says how, then
//!
//! | byte | what follows |
//! | --- | --- |
//! | 0 | the whole body |
//! | 1 | the body's tail, after the common properties; `occurred_at` is `created_at` |
//! | 2 | `occurred_at` (i64, milliseconds, little endian), then the tail |
//! | 3 | a length (u16, little endian), so many bytes of digits as [`Seal`] has them, then one of the above without digits |

use std::fmt::Write;

use uuid::Uuid;

use super::seal::Seal;
use super::sum::sum;
use crate::time::Wall;

const WHOLE: u8 = 0;
const SAME_TIME: u8 = 1;
const OWN_TIME: u8 = 2;
const SEALED: u8 = 3;

/// What a row says beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub seq: u64,
    pub event_id: Uuid,
    pub event_type: &'a str,
    pub workspace_id: Uuid,
    pub account_id: Uuid,
    pub device_id: Option<Uuid>,
    pub created_at: Wall,
}

impl Columns<'_> {
    fn head(&self, occurred_at: Wall) -> String {
        let mut head = String::with_capacity(400);
        let _ = write!(
            head,
            r#"{{"event_id":"{}","event_type":"{}","workspace_id":"{}","created_at":"{}","occurred_at":"{}","connected_account_id":"{}""#,
            self.event_id, self.event_type, self.workspace_id, self.created_at, occurred_at, self.account_id
        );
        if let Some(device) = self.device_id {
            let _ = write!(head, r#","device_id":"{device}""#);
        }
        head
    }

    /// Covers the whole body and its place; digits as they are sealed, so that no key is needed to see damage.
    fn sum(&self, body: &str, sealed: Option<&[u8]>) -> u32 {
        let (seq, body) = (self.seq.to_le_bytes(), body.as_bytes());
        let parts = [&seq[..], self.event_id.as_bytes(), self.event_type.as_bytes(), body, sealed.unwrap_or_default()];
        sum(if sealed.is_some() { &parts } else { &parts[..4] })
    }

    /// Digits are sealed to their event.
    fn place(&self) -> Vec<u8> {
        [b"event\0", self.seq.to_le_bytes().as_slice(), self.event_id.as_bytes()].concat()
    }
}

/// The packed body and its sum.
pub fn pack(columns: &Columns<'_>, occurred_at: Wall, body: &str, seal: &Seal) -> (Vec<u8>, u32) {
    let mut packed = Vec::with_capacity(64);
    let Some((bare, digits)) = seal.seal_body(&columns.place(), body) else {
        pack_bare(columns, occurred_at, body, &mut packed);
        return (packed, columns.sum(body, None));
    };
    packed.push(SEALED);
    packed.extend_from_slice(&(digits.len() as u16).to_le_bytes());
    packed.extend_from_slice(&digits);
    pack_bare(columns, occurred_at, &bare, &mut packed);
    (packed, columns.sum(&bare, Some(&digits)))
}

fn pack_bare(columns: &Columns<'_>, occurred_at: Wall, body: &str, packed: &mut Vec<u8>) {
    match body.strip_prefix(&columns.head(occurred_at)) {
        Some(tail) if occurred_at == columns.created_at => {
            packed.push(SAME_TIME);
            packed.extend_from_slice(tail.as_bytes());
        }
        Some(tail) => {
            packed.push(OWN_TIME);
            packed.extend_from_slice(&occurred_at.0.to_le_bytes());
            packed.extend_from_slice(tail.as_bytes());
        }
        None => {
            packed.push(WHOLE);
            packed.extend_from_slice(body.as_bytes());
        }
    }
}

/// The body, or `None` where it is not what was written. Digits that cannot be opened are masked.
pub fn unpack(columns: &Columns<'_>, packed: &[u8], written: u32, seal: &Seal) -> Option<String> {
    let sealed = packed.strip_prefix(&[SEALED]);
    let Some(sealed) = sealed else {
        let body = unpack_bare(columns, packed)?;
        return (columns.sum(&body, None) == written).then_some(body);
    };
    let (length, rest) = sealed.split_first_chunk::<2>()?;
    let (digits, bare) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let bare = unpack_bare(columns, bare)?;
    (columns.sum(&bare, Some(digits)) == written).then(|| seal.open_body(&columns.place(), &bare, digits))
}

fn unpack_bare(columns: &Columns<'_>, packed: &[u8]) -> Option<String> {
    let (form, rest) = packed.split_first()?;
    let (head, tail) = match *form {
        WHOLE => (String::new(), rest),
        SAME_TIME => (columns.head(columns.created_at), rest),
        OWN_TIME => {
            let (time, tail) = rest.split_first_chunk::<8>()?;
            (columns.head(Wall(i64::from_le_bytes(*time))), tail)
        }
        _ => return None,
    };
    Some(head + std::str::from_utf8(tail).ok()?)
}

/// The same event with its digits sealed; `None` where it has none in the clear, or is damaged.
pub fn seal_anew(columns: &Columns<'_>, packed: &[u8], written: u32, seal: &Seal) -> Option<(Vec<u8>, u32)> {
    if packed.first() == Some(&SEALED) {
        return None;
    }
    let body = unpack(columns, packed, written, seal)?;
    let occurred_at = match packed.split_first_chunk::<9>() {
        Some(([OWN_TIME, time @ ..], _)) => Wall(i64::from_le_bytes(*time)),
        _ => columns.created_at,
    };
    let (fresh, sum) = pack(columns, occurred_at, &body, seal);
    (fresh.first() == Some(&SEALED)).then_some((fresh, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Details, Dialect, Event, EventType};
    use crate::signal::{Method, Secret};

    fn event(occurred_at: i64, device: bool) -> Event {
        Event {
            event_id: Uuid::from_u128(0x1234),
            event_type: EventType::AccessCodeSetOnDevice,
            workspace_id: Uuid::from_u128(1),
            created_at: Wall(1_767_225_600_000),
            occurred_at: Wall(occurred_at),
            connected_account_id: Uuid::from_u128(2),
            device_id: device.then(|| Uuid::from_u128(3)),
            details: Details { code: Some(Secret::new("0000")), method: Some(Method::Keycode), ..Details::default() },
        }
    }

    fn seal() -> Seal {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(crate::store::seal::FILE), "a key of this test, and of no other hub").unwrap();
        Seal::of(dir.path())
    }

    fn columns(event: &Event) -> Columns<'static> {
        Columns {
            seq: 9,
            event_id: event.event_id,
            event_type: event.event_type.as_str(),
            workspace_id: event.workspace_id,
            account_id: event.connected_account_id,
            device_id: event.device_id,
            created_at: event.created_at,
        }
    }

    #[test]
    fn what_comes_back_is_the_same_bytes_at_a_third_of_the_size() {
        for event in [event(1_767_225_600_000, true), event(1_767_225_500_001, true), event(1_767_225_600_000, false)] {
            let body = event.render(Dialect::Classic);
            let (packed, sum) = pack(&columns(&event), event.occurred_at, &body, &seal());
            assert_eq!(unpack(&columns(&event), &packed, sum, &seal()).as_deref(), Some(body.as_str()));
            assert!(packed.len() * 3 < body.len(), "{} of {}", packed.len(), body.len());
        }
    }

    #[test]
    fn a_body_that_is_not_as_expected_is_kept_whole() {
        for body in ["", "{}", "{\"event_id\":\"x\"}", "no JSON at all"] {
            let event = event(0, true);
            let (packed, sum) = pack(&columns(&event), event.occurred_at, body, &seal());
            assert_eq!(unpack(&columns(&event), &packed, sum, &seal()).as_deref(), Some(body));
        }
    }

    #[test]
    fn no_flipped_bit_in_body_or_columns_is_taken_for_the_truth() {
        let event = event(1_767_225_500_001, true);
        let right = columns(&event);
        let (packed, sum) = pack(&right, event.occurred_at, &event.render(Dialect::Classic), &seal());
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unpack(&right, &flipped, sum, &seal()), None, "bit {bit}");
        }
        for wrong in [
            Columns { seq: 8, ..right },
            Columns { event_type: "lock.locked", ..right },
            Columns { event_id: Uuid::from_u128(5), ..right },
            Columns { workspace_id: Uuid::from_u128(5), ..right },
            Columns { account_id: Uuid::from_u128(5), ..right },
            Columns { device_id: None, ..right },
            Columns { created_at: Wall(5), ..right },
        ] {
            assert_eq!(unpack(&wrong, &packed, sum, &seal()), None, "{wrong:?}");
        }
        assert_eq!(unpack(&right, &[], sum, &seal()), None);
    }
}
