//! Events and rows that carry the digits of codes.
#![allow(dead_code)]

use portcullis::event::{CodeFacts, Details, Event, EventType};
use portcullis::hub::{Row, RowKind};
use portcullis::signal::Secret;
use portcullis::time::Wall;
use uuid::Uuid;

/// Digits that are nowhere else: no id, time or sum holds them.
pub const DIGITS: [&str; 3] = ["73829164", "61940527", "50273918"];

fn event(n: u8, event_type: EventType, details: Details) -> Event {
    let at = 1_767_225_600_000 + i64::from(n);
    Event {
        event_id: uuid::Builder::from_unix_timestamp_millis(at as u64, &[n; 10]).into_uuid(),
        event_type,
        workspace_id: Uuid::from_u128(1),
        created_at: Wall(at),
        occurred_at: Wall(at - 3),
        connected_account_id: Uuid::from_u128(2),
        device_id: Some(Uuid::from_u128(3)),
        details,
    }
}

/// A code is set, changed, and the door opened.
pub fn events() -> Vec<Event> {
    let secret = |n: usize| Some(Secret::new(DIGITS[n]));
    let access_code_id = Some(Uuid::from_u128(4));
    vec![
        event(1, EventType::LockUnlocked, Details { access_code_id, ..Details::default() }),
        event(2, EventType::AccessCodeSetOnDevice, Details { access_code_id, code: secret(0), ..Details::default() }),
        event(
            3,
            EventType::AccessCodeCodeChanged,
            Details {
                access_code_id,
                from: Some(CodeFacts::Digits { code: secret(0) }),
                to: Some(CodeFacts::Digits { code: secret(1) }),
                ..Details::default()
            },
        ),
        event(4, EventType::LockLocked, Details::default()),
    ]
}

/// A held event has the digits in its row.
pub fn rows() -> Vec<Row> {
    let details = Details { code: Some(Secret::new(DIGITS[2])), ..Details::default() };
    let held = event(5, EventType::AccessCodeSetOnDevice, details);
    let value = serde_json::json!({"number": 0, "event": held});
    let device = serde_json::json!({"device_id": Uuid::from_u128(3), "name": "Front door"});
    vec![
        Row { kind: RowKind::Held, key: "0".into(), value: Some(value) },
        Row { kind: RowKind::Device, key: Uuid::from_u128(3).to_string(), value: Some(device) },
    ]
}
