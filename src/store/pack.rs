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
//!
//! Digits of a code are in the tail and nowhere else: whoever seals them at rest adds a form that seals the tail.

use std::fmt::Write;

use uuid::Uuid;

use super::sum::sum;
use crate::time::Wall;

const WHOLE: u8 = 0;
const SAME_TIME: u8 = 1;
const OWN_TIME: u8 = 2;

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

    /// Covers the whole body and its place.
    fn sum(&self, body: &str) -> u32 {
        sum(&[&self.seq.to_le_bytes(), self.event_id.as_bytes(), self.event_type.as_bytes(), body.as_bytes()])
    }
}

/// The packed body and its sum.
pub fn pack(columns: &Columns<'_>, occurred_at: Wall, body: &str) -> (Vec<u8>, u32) {
    let mut packed = Vec::with_capacity(64);
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
    (packed, columns.sum(body))
}

/// The body, or `None` where it is not what was written.
pub fn unpack(columns: &Columns<'_>, packed: &[u8], written: u32) -> Option<String> {
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
    let body = head + std::str::from_utf8(tail).ok()?;
    (columns.sum(&body) == written).then_some(body)
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
    fn what_comes_back_is_the_same_bytes_at_a_fifth_of_the_size() {
        for event in [event(1_767_225_600_000, true), event(1_767_225_500_001, true), event(1_767_225_600_000, false)] {
            let body = event.render(Dialect::Classic);
            let (packed, sum) = pack(&columns(&event), event.occurred_at, &body);
            assert_eq!(unpack(&columns(&event), &packed, sum).as_deref(), Some(body.as_str()));
            assert!(packed.len() * 5 < body.len(), "{} of {}", packed.len(), body.len());
        }
    }

    #[test]
    fn a_body_that_is_not_as_expected_is_kept_whole() {
        for body in ["", "{}", "{\"event_id\":\"x\"}", "no JSON at all"] {
            let event = event(0, true);
            let (packed, sum) = pack(&columns(&event), event.occurred_at, body);
            assert_eq!(unpack(&columns(&event), &packed, sum).as_deref(), Some(body));
        }
    }

    #[test]
    fn no_flipped_bit_in_body_or_columns_is_taken_for_the_truth() {
        let event = event(1_767_225_500_001, true);
        let right = columns(&event);
        let (packed, sum) = pack(&right, event.occurred_at, &event.render(Dialect::Classic));
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unpack(&right, &flipped, sum), None, "bit {bit}");
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
            assert_eq!(unpack(&wrong, &packed, sum), None, "{wrong:?}");
        }
        assert_eq!(unpack(&right, &[], sum), None);
    }
}
