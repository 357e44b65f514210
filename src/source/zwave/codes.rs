//! The commands that write and read a slot, and what their answers say. Pure.
//!
//! | | User Code (versions 1 and 2) | User Credential |
//! | --- | --- | --- |
//! | write | `set` | `set_user`, then `set_credential` (PIN code) with the slot as user |
//! | erase | `clear` | `delete_user`, which takes its credentials along |
//! | read | `get` | `get_credential` |
//!
//! Where a lock keeps dates ([`schedules`]), those of a slot are erased with its code.
//!
//! User Code goes by the command class itself: the driver's `set_value` would read back a second time. What was written is always
//! read back, also where the lock said that it took it: a lock that ignores a code says the same (zwave-js #1393).
//!
//! Sources: `@zwave-js/cc` 15.29 (UserCodeCC, UserCredentialCC), the access control API of `@zwave-js/server` 3.10 (schema 48).

use serde_json::{Value, json};

use super::radio::Task;
use super::schedules;
use super::wire::{Answer, buffer, cc};
use crate::signal::{CodeNotice, Description, Outcome, Secret};

/// How a lock keeps its codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    UserCode,
    Credential,
}

/// A PIN code, of the credential types.
const PIN: u16 = 1;

/// One command of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    User,
    Write,
    Erase,
    Read,
    /// Of dates and clocks: see [`super::schedules`].
    SetDates,
    DisableDates,
    EraseDates,
    GetDates,
    SetClock,
    GetPlace,
    GetClock,
}

/// The `n`th command of a task; none after its last. Where the lock keeps dates, they go with a code that is erased.
pub fn step(task: &Task, keeping: Keeping, dated: bool, n: u8) -> Option<Step> {
    let steps: &[Step] = match (task, keeping) {
        (Task::Write { digits: Some(_), .. }, Keeping::UserCode) => &[Step::Write, Step::Read],
        (Task::Write { digits: Some(_), .. }, Keeping::Credential) => &[Step::User, Step::Write, Step::Read],
        (Task::Write { digits: None, .. }, _) if dated => &[Step::Erase, Step::EraseDates, Step::Read],
        (Task::Write { digits: None, .. }, _) => &[Step::Erase, Step::Read],
        (Task::Read { .. }, _) => &[Step::Read],
        (Task::Schedule { schedule: Some(_), .. }, _) => &[Step::SetDates, Step::GetDates],
        (Task::Schedule { schedule: None, .. }, _) => &[Step::DisableDates, Step::EraseDates, Step::GetDates],
        (Task::Dates { .. }, _) => &[Step::GetDates],
        (Task::Clock { .. }, _) => &[Step::SetClock, Step::GetPlace, Step::GetClock],
        (Task::Lock { .. }, _) => &[],
    };
    steps.get(usize::from(n)).copied()
}

/// The command, but for its id and its node.
pub fn command(step: Step, keeping: Keeping, slot: u16, task: &Task) -> Value {
    let digits = if let Task::Write { digits: Some(digits), .. } = task { digits.reveal() } else { "" };
    let user_code = |method: &str, args: Value| json!({"command": "endpoint.invoke_cc_api", "commandClass": cc::USER_CODE, "methodName": method, "args": args});
    let access = |command: &str| json!({"command": format!("endpoint.access_control.{command}"), "userId": slot, "credentialType": PIN, "credentialSlot": slot});
    match (step, keeping) {
        // 1: the user is enabled.
        (Step::Write | Step::User, Keeping::UserCode) => user_code("set", json!([slot, 1, digits])),
        (Step::Erase, Keeping::UserCode) => user_code("clear", json!([slot])),
        (Step::Read, Keeping::UserCode) => user_code("get", json!([slot])),
        (Step::User, Keeping::Credential) => {
            let mut command = access("set_user");
            command["options"] = json!({"active": true});
            command
        }
        (Step::Write, Keeping::Credential) => {
            let mut command = access("set_credential");
            command["data"] = json!(digits);
            command
        }
        (Step::Erase, Keeping::Credential) => access("delete_user"),
        (Step::Read, Keeping::Credential) => access("get_credential"),
        (step, _) => {
            schedules::command(step, slot, if let Task::Schedule { schedule, .. } = task { *schedule } else { None })
        }
    }
}

/// Whether the lock, or the driver, refused a write.
pub fn refusal(step: Step, keeping: Keeping, answer: &Answer) -> Option<Outcome> {
    match (step, keeping) {
        (Step::Read | Step::GetDates | Step::SetClock | Step::GetPlace | Step::GetClock, _) => None,
        (_, Keeping::UserCode) => {
            // The status of a supervised command: not supported, or failed. Without one nobody knows.
            let status = answer.result.pointer("/response/status").and_then(Value::as_u64);
            status.filter(|status| matches!(status, 0 | 2)).map(|_| Outcome::Refused)
        }
        // What is gone already, the reading will show.
        (Step::Erase, Keeping::Credential) => None,
        (_, Keeping::Credential) => match answer.result.get("result").and_then(Value::as_u64) {
            Some(0) | None => None,
            // The digits are another slot's, or the administrator's.
            Some(3 | 5) => Some(Outcome::Duplicate),
            Some(_) => Some(Outcome::Refused),
        },
    }
}

/// What the reading of a slot says. A lock that does not answer is `Unreachable`.
pub fn read(keeping: Keeping, slot: u16, answer: &Answer) -> CodeNotice {
    let unanswered = CodeNotice::Refused { slot, reason: Outcome::Unreachable };
    match keeping {
        Keeping::UserCode => {
            let response = answer.result.get("response").unwrap_or(&Value::Null);
            match response.get("userIdStatus").and_then(Value::as_u64) {
                Some(0) => CodeNotice::Slot { slot, digits: None },
                // There is no such slot.
                Some(254) => CodeNotice::Refused { slot, reason: Outcome::Refused },
                Some(_) => content(slot, response.get("userCode").unwrap_or(&Value::Null)),
                None => unanswered,
            }
        }
        Keeping::Credential => match answer.result.get("credential") {
            // No report came: of an empty slot, too, there is one. And the driver takes any report for the one that it waits for, also
            // one of another slot that came late or twice.
            None | Some(Value::Null) => unanswered,
            Some(credential) if credential["slot"] != slot => unanswered,
            Some(credential) if credential["userId"] == 0 => CodeNotice::Slot { slot, digits: None },
            Some(credential) => content(slot, credential.get("data").unwrap_or(&Value::Null)),
        },
    }
}

/// What stands in a slot that is in use. Whatever is no digits is a mask (`****`), and so is nothing.
pub fn content(slot: u16, value: &Value) -> CodeNotice {
    let text = match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(digits) => Some(digits.to_string()),
        bytes => buffer(bytes).and_then(|bytes| String::from_utf8(bytes).ok()),
    };
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    match digits {
        Some(digits) => CodeNotice::Slot { slot, digits: Some(Secret::new(digits)) },
        None => CodeNotice::Hidden { slot },
    }
}

/// How many codes a lock keeps, and of what length: `get_credential_capabilities_cached`, which asks nothing of the lock.
pub fn capabilities(result: &Value) -> Option<Description> {
    let types = result.pointer("/capabilities/supportedCredentialTypes")?.as_object()?;
    // A lock with user codes that may hold letters says that they are passwords.
    let codes = types.get(&PIN.to_string()).or_else(|| types.values().next())?;
    let number = |name: &str| codes.get(name).and_then(Value::as_u64);
    let length = |name: &str| number(name).and_then(|n| u8::try_from(n).ok());
    Some(Description {
        code_slots: number("numberOfCredentialSlots").and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
        code_digits: length("minCredentialLength").zip(length("maxCredentialLength")),
        ..Description::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(result: Value) -> Answer {
        serde_json::from_value(json!({"messageId": "task:2:1", "success": true, "result": result})).unwrap()
    }

    fn held(digits: &str) -> CodeNotice {
        CodeNotice::Slot { slot: 7, digits: Some(Secret::new(digits)) }
    }

    #[test]
    fn a_slot_that_is_read_is_its_digits_empty_hidden_or_not_there() {
        let user_code = |response: Value| read(Keeping::UserCode, 7, &answer(json!({"response": response})));
        assert_eq!(user_code(json!({"userIdStatus": 1, "userCode": "0815"})), held("0815"));
        assert_eq!(
            user_code(json!({"userIdStatus": 0, "userCode": "0000"})),
            CodeNotice::Slot { slot: 7, digits: None }
        );
        for mask in [json!("****"), json!(""), json!({"type": "Buffer", "data": [42, 42, 42, 42]}), Value::Null] {
            assert_eq!(
                user_code(json!({"userIdStatus": 1, "userCode": mask})),
                CodeNotice::Hidden { slot: 7 },
                "{mask}"
            );
        }
        let bytes = json!({"type": "Buffer", "data": [48, 49, 50, 51]});
        assert_eq!(user_code(json!({"userIdStatus": 1, "userCode": bytes})), held("0123"));
        let silent = CodeNotice::Refused { slot: 7, reason: Outcome::Unreachable };
        assert_eq!(read(Keeping::UserCode, 7, &answer(json!({}))), silent);
        assert_eq!(user_code(json!({"userIdStatus": 254})), CodeNotice::Refused { slot: 7, reason: Outcome::Refused });

        let credential = |result: Value| read(Keeping::Credential, 7, &answer(result));
        assert_eq!(
            credential(json!({"credential": {"userId": 7, "type": 1, "slot": 7, "data": "4711"}})),
            held("4711")
        );
        let empty = CodeNotice::Slot { slot: 7, digits: None };
        assert_eq!(credential(json!({})), silent, "a lock that has nothing says so");
        let late = json!({"credential": {"userId": 6, "type": 1, "slot": 6, "data": "4711"}});
        assert_eq!(credential(late), silent, "that was the answer to another question");
        assert_eq!(credential(json!({"credential": {"userId": 0, "type": 1, "slot": 7, "data": ""}})), empty);
    }

    #[test]
    fn a_lock_that_says_no_is_believed_and_one_that_says_yes_is_read() {
        let set = |response: Value| refusal(Step::Write, Keeping::UserCode, &answer(json!({"response": response})));
        assert_eq!(set(json!({"status": 2})), Some(Outcome::Refused));
        assert_eq!([set(json!({"status": 255})), set(json!({"status": 1})), set(Value::Null)], [None, None, None]);
        let credential = |result: u8| refusal(Step::Write, Keeping::Credential, &answer(json!({"result": result})));
        assert_eq!(
            [credential(0), credential(3), credential(255)],
            [None, Some(Outcome::Duplicate), Some(Outcome::Refused)]
        );
        let write = Task::Write { slot: 7, digits: Some(Secret::new("0815")) };
        let steps = |keeping| (0..4).map_while(|n| step(&write, keeping, true, n)).collect::<Vec<_>>();
        assert_eq!(steps(Keeping::UserCode), [Step::Write, Step::Read]);
        assert_eq!(steps(Keeping::Credential), [Step::User, Step::Write, Step::Read]);
    }
}
