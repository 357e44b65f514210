//! What a command has to be, and why it is refused. Pure: the time is handed in.
//!
//! ```json
//! {"id": "7c0e…", "sent_at": "2026-01-01T12:00:00Z", "reply_to": "my/answers", "device_id": "…", …}
//! ```
//!
//! | verb | what it needs beside `id` and `sent_at` |
//! | --- | --- |
//! | `adopt` | `device_id`; `name` if it is to have one |
//! | `release` | `device_id` |
//! | `lock`, `unlock` | `device_id` |
//! | `set_lock` | `device_id`, and `locked`: true or false; for those who have one topic for both |
//!
//! A lock that is asked to move answers with the attempt; whether it did is told by its events.

use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::hub::Command;
use crate::time::Wall;

/// A command that is older was meant for a world that has moved on: a door is not opened for somebody who has left.
pub const STALE: Duration = Duration::from_secs(30);

/// Larger ones are no commands; the largest that is one has a name of a device in it.
const SIZE_MOST: usize = 8 * 1024;

/// A UUID with room for a prefix.
const ID_MOST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub id: String,
    pub verb: String,
    pub reply_to: Option<String>,
    pub command: Command,
}

/// Why a command is not done, in a word for programs and in words for people. Values of the command are not repeated: there
/// may be digits of a code among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: &'static str,
    pub message: String,
    pub id: Option<String>,
    pub reply_to: Option<String>,
}

impl Refusal {
    fn new(kind: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into(), id: None, reply_to: None }
    }

    pub fn busy() -> Refusal {
        Refusal::new("busy", "too many commands wait for their turn; send it again later, with the same id")
    }

    fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new("malformed", message)
    }
}

#[derive(Deserialize)]
struct Envelope {
    id: Option<String>,
    sent_at: Option<String>,
    reply_to: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adopt {
    device_id: Uuid,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    device_id: Uuid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLock {
    device_id: Uuid,
    locked: bool,
}

/// A command, or why it is none that may be done at `now`.
pub fn read(verb: &str, payload: &[u8], now: Wall) -> Result<Request, Refusal> {
    if payload.len() > SIZE_MOST {
        let message = format!("{} bytes; a command has {SIZE_MOST} at most", payload.len());
        return Err(Refusal::new("oversize", message));
    }
    let envelope: Envelope = serde_json::from_slice(payload)
        .map_err(|_| Refusal::malformed("the payload is no JSON object with id, sent_at (and reply_to) as texts"))?;
    let Envelope { id, sent_at, reply_to, rest } = envelope;
    let addressed = |refusal: Refusal| Refusal { id: id.clone(), reply_to: reply_to.clone(), ..refusal };
    let named = id.clone().filter(|id| is_id(id)).ok_or_else(|| Refusal {
        id: None,
        ..addressed(Refusal::malformed("id is missing, or not 1 to 64 of A-Z a-z 0-9 . _ -"))
    })?;
    fresh(sent_at.as_deref(), now).map_err(addressed)?;
    let command = command(verb, rest).map_err(addressed)?;
    Ok(Request { id: named, verb: verb.to_owned(), reply_to, command })
}

fn is_id(id: &str) -> bool {
    (1..=ID_MOST).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn fresh(sent_at: Option<&str>, now: Wall) -> Result<(), Refusal> {
    let sent = sent_at.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let sent = sent.ok_or_else(|| Refusal::malformed("sent_at is missing, or not like 2026-01-01T12:00:00Z"))?;
    let age_ms = now.0 - sent.timestamp_millis();
    let most_ms = STALE.as_millis() as i64;
    if age_ms.abs() <= most_ms {
        return Ok(());
    }
    let is = if age_ms > 0 { "before" } else { "after" };
    let seconds = age_ms.abs() / 1000;
    Err(Refusal::new(
        "stale",
        format!("sent_at is {seconds} s {is} the hub's clock ({now}); {} s are allowed", most_ms / 1000),
    ))
}

fn command(verb: &str, rest: Map<String, Value>) -> Result<Command, Refusal> {
    match verb {
        "adopt" => body(rest).map(|Adopt { device_id, name }| Command::Adopt { device_id, name }),
        "release" => body(rest).map(|Device { device_id }| Command::Release { device_id }),
        "lock" => body(rest).map(|Device { device_id }| Command::Lock { device_id, lock: true }),
        "unlock" => body(rest).map(|Device { device_id }| Command::Lock { device_id, lock: false }),
        "set_lock" => body(rest).map(|SetLock { device_id, locked }| Command::Lock { device_id, lock: locked }),
        _ => Err(Refusal::new("unknown", "no such verb; there are adopt, release, lock, unlock, set_lock")),
    }
}

/// The path of what is wrong, never its value.
fn body<T: DeserializeOwned>(rest: Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(rest)).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner().to_string();
        // Of serde's own messages these two name keys only.
        let told = ["missing field", "unknown field"].iter().any(|safe| inner.starts_with(safe));
        Refusal::malformed(if told { inner } else { format!("{path} is not what it has to be") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Wall = Wall(1_767_268_800_000);

    fn good() -> Value {
        json!({"id": "a-1", "sent_at": "2026-01-01T12:00:00Z", "device_id": Uuid::from_u128(7), "reply_to": "me"})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut command = good();
        command[key] = value;
        command
    }

    fn kind(verb: &str, command: &Value) -> &'static str {
        match read(verb, command.to_string().as_bytes(), NOW) {
            Ok(_) => "taken",
            Err(refusal) => refusal.kind,
        }
    }

    #[test]
    fn a_command_is_taken_with_what_it_needs() {
        let request = read("adopt", with("name", "Door".into()).to_string().as_bytes(), NOW).unwrap();
        let command = Command::Adopt { device_id: Uuid::from_u128(7), name: Some("Door".into()) };
        assert_eq!(request, Request { id: "a-1".into(), verb: "adopt".into(), reply_to: Some("me".into()), command });
    }

    #[test]
    fn what_is_no_command_is_refused_by_kind() {
        let cases = [
            ("taken", "release", good()),
            ("unknown", "explode", good()),
            ("malformed", "release", json!([1])),
            ("malformed", "release", json!({})),
            ("malformed", "release", with("id", "".into())),
            ("malformed", "release", with("id", "x".repeat(65).into())),
            ("malformed", "release", with("id", "a/b".into())),
            ("malformed", "release", with("id", 4.into())),
            ("malformed", "release", with("device_id", "front".into())),
            ("malformed", "release", with("colour", "red".into())),
            ("malformed", "release", with("sent_at", "yesterday".into())),
            ("oversize", "adopt", with("name", "x".repeat(SIZE_MOST).into())),
        ];
        for (expected, verb, command) in cases {
            assert_eq!(kind(verb, &command), expected, "{verb} {command}");
        }
        assert_eq!(read("adopt", b"\xff{", NOW).unwrap_err().kind, "malformed");
    }

    #[test]
    fn a_command_is_taken_up_to_half_a_minute_off_and_not_a_second_more() {
        for (sent_at, expected) in [
            ("2026-01-01T11:59:30Z", "taken"),
            ("2026-01-01T11:59:29Z", "stale"),
            ("2026-01-01T12:00:30Z", "taken"),
            ("2026-01-01T12:00:31Z", "stale"),
            ("2026-01-01T13:00:00+01:00", "taken"),
        ] {
            assert_eq!(kind("release", &with("sent_at", sent_at.into())), expected, "{sent_at}");
        }
    }

    #[test]
    fn a_refusal_repeats_no_value_and_keeps_the_address() {
        let refusal = read("adopt", with("name", json!({"digits": 4711})).to_string().as_bytes(), NOW).unwrap_err();
        assert_eq!((refusal.id.as_deref(), refusal.reply_to.as_deref()), (Some("a-1"), Some("me")));
        assert_eq!(refusal.message, "name is not what it has to be");
    }
}
