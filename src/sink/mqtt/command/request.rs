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
//! | `backfill` | `log_id`, `from`, `to`: which events are wanted again, by their places in the log |
//! | `codes` | `action`: `create` (with `device_id`), `change` or `delete` (with `access_code_id`); what [`Draft`] has |
//!
//! A lock that is asked to move answers with the attempt; whether it did is told by its events.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::backfill::Range;
use crate::hub::{CodeDraft, Command};
use crate::signal::Secret;
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
    pub wish: Wish,
}

/// What a command is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Hub(Command),
    Backfill(Range),
}

/// Why a command is not done, in a word for programs and in words for people. Values of the command are not repeated: there
/// may be digits of a code among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: &'static str,
    pub message: String,
    pub id: Option<String>,
    pub reply_to: Option<String>,
    /// What a program needs to ask better.
    pub detail: Option<Value>,
}

impl Refusal {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into(), id: None, reply_to: None, detail: None }
    }

    /// With the address of the request that it refuses.
    pub fn of(self, request: &Request) -> Refusal {
        Refusal { id: Some(request.id.clone()), reply_to: request.reply_to.clone(), ..self }
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

/// What an access code is to be: all of it may be left out, and what is left out of a change stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Whose code it becomes; only of one that is created.
    device_id: Option<Uuid>,
    /// Which one; not of one that is created.
    access_code_id: Option<Uuid>,
    name: Option<String>,
    /// Digits; the hub makes some up without them.
    code: Option<String>,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    /// From now on without a beginning and an end.
    #[serde(default)]
    ongoing: bool,
    use_backup_access_code_pool: Option<bool>,
    is_external_modification_allowed: Option<bool>,
    preferred_code_length: Option<u8>,
}

impl From<Draft> for CodeDraft {
    fn from(draft: Draft) -> CodeDraft {
        CodeDraft {
            name: draft.name,
            code: draft.code.map(Secret::new),
            starts_at: draft.starts_at.map(Wall::from),
            ends_at: draft.ends_at.map(Wall::from),
            ongoing: draft.ongoing,
            use_backup_access_code_pool: draft.use_backup_access_code_pool,
            is_external_modification_allowed: draft.is_external_modification_allowed,
            preferred_code_length: draft.preferred_code_length,
            ..CodeDraft::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    access_code_id: Uuid,
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
    let wish = match verb {
        "backfill" => body(rest).map(Wish::Backfill),
        _ => command(verb, rest).map(Wish::Hub),
    };
    Ok(Request { id: named, verb: verb.to_owned(), reply_to: reply_to.clone(), wish: wish.map_err(addressed)? })
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
        "codes" => codes(rest),
        _ => Err(Refusal::new(
            "unknown",
            "no such verb; there are adopt, release, lock, unlock, set_lock, codes, backfill",
        )),
    }
}

fn codes(mut rest: Map<String, Value>) -> Result<Command, Refusal> {
    let action = rest.remove("action");
    let draft = |rest| {
        let draft: Draft = body(rest)?;
        Ok::<_, Refusal>((draft.device_id, draft.access_code_id, CodeDraft::from(draft)))
    };
    match action.as_ref().and_then(Value::as_str) {
        Some("create") => match draft(rest)? {
            (Some(device_id), None, draft) => Ok(Command::CreateCode { device_id, draft }),
            _ => Err(Refusal::malformed("create needs a device_id, and makes the access_code_id itself")),
        },
        Some("change") => match draft(rest)? {
            (None, Some(access_code_id), draft) => Ok(Command::ChangeCode { access_code_id, draft }),
            _ => Err(Refusal::malformed("change needs an access_code_id, and no device_id")),
        },
        Some("delete") => body(rest).map(|Delete { access_code_id }| Command::DeleteCode { access_code_id }),
        _ => Err(Refusal::malformed("action is missing, or none of create, change, delete")),
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
        let wish = Wish::Hub(command);
        assert_eq!(request, Request { id: "a-1".into(), verb: "adopt".into(), reply_to: Some("me".into()), wish });
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
    fn codes_are_created_changed_and_deleted() {
        let id = Uuid::from_u128(9);
        let codes = |body: Value| read("codes", body.to_string().as_bytes(), NOW).map(|r| r.wish);
        let mut create = with("action", "create".into());
        create["code"] = "4711".into();
        create["ends_at"] = "2026-01-02T11:00:00+01:00".into();
        let draft = CodeDraft {
            code: Some(Secret::new("4711")),
            ends_at: Some(Wall(NOW.0 + 22 * 3_600_000)),
            ..CodeDraft::default()
        };
        assert_eq!(codes(create), Ok(Wish::Hub(Command::CreateCode { device_id: Uuid::from_u128(7), draft })));
        let of = |action: &str| json!({"id": "a", "sent_at": "2026-01-01T12:00:00Z", "action": action, "access_code_id": id});
        let change = Command::ChangeCode { access_code_id: id, draft: CodeDraft::default() };
        assert_eq!(codes(of("change")), Ok(Wish::Hub(change)));
        assert_eq!(codes(of("delete")), Ok(Wish::Hub(Command::DeleteCode { access_code_id: id })));
        for wrong in [of("create"), of("explode"), with("action", "change".into()), with("action", "delete".into())] {
            assert_eq!(codes(wrong.clone()).unwrap_err().kind, "malformed", "{wrong}");
        }
    }

    #[test]
    fn a_backfill_names_its_log_and_its_places() {
        let log_id = Uuid::from_u128(9);
        let of = |from: Value| json!({"id": "a", "sent_at": "2026-01-01T12:00:00Z", "log_id": log_id, "from": from, "to": 9});
        let read = |body: Value| read("backfill", body.to_string().as_bytes(), NOW).map(|r| r.wish);
        assert_eq!(read(of(json!(3))), Ok(Wish::Backfill(Range { log_id, from: 3, to: 9 })));
        for wrong in [of(json!(-1)), of(json!("3")), of(json!(null)), good()] {
            assert_eq!(read(wrong.clone()).unwrap_err().kind, "malformed", "{wrong}");
        }
    }

    #[test]
    fn digits_of_a_code_are_in_no_refusal() {
        for (key, value) in
            [("code", json!(4711)), ("starts_at", "4711".into()), ("preferred_code_length", json!(4711))]
        {
            let mut body = with("action", "create".into());
            body[key] = value;
            let refusal = read("codes", body.to_string().as_bytes(), NOW).unwrap_err();
            assert!(!format!("{refusal:?}").contains("4711"), "{refusal:?}");
            assert!(refusal.message.starts_with(key), "{refusal:?}");
        }
    }

    #[test]
    fn a_refusal_repeats_no_value_and_keeps_the_address() {
        let refusal = read("adopt", with("name", json!({"digits": 4711})).to_string().as_bytes(), NOW).unwrap_err();
        assert_eq!((refusal.id.as_deref(), refusal.reply_to.as_deref()), (Some("a-1"), Some("me")));
        assert_eq!(refusal.message, "name is not what it has to be");
    }
}
