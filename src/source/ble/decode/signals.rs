//! From statements to the hub's signals: the one place that says what an advert means for a door.

use super::{Decoded, Name, Statement, Value};
use crate::signal::{DenyReason, Description, DeviceKind, LockState, LockUser, Method, Signal};
use crate::source::rules::Rule;

/// What of an accepted advert concerns the hub, in the order said. A refused one says nothing.
pub fn signals(decoded: &Decoded) -> Vec<Signal> {
    signals_by(decoded, &[])
}

/// The same with the mapping rules of the device: what a rule takes means what the rule says and nothing else.
pub fn signals_by(decoded: &Decoded, rules: &[Rule]) -> Vec<Signal> {
    if !decoded.accepted() {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(decoded.says.len());
    for statement in &decoded.says {
        let mut taken = false;
        for rule in rules.iter().filter(|rule| statement.name.is_spelled(&rule.from)) {
            taken = true;
            out.extend(by_rule(rule, statement));
        }
        if !taken {
            signal(decoded, statement, &mut out);
        }
    }
    out
}

fn by_rule(rule: &Rule, statement: &Statement) -> Option<Signal> {
    match &statement.value {
        Value::Record(fields) if statement.name.is_event() => rule.event(fields.first()?.1.text()?),
        value if statement.name.is_event() => rule.event(value.text()?),
        value => rule.number(value.number()?),
    }
}

/// Whether something is told that is news each time, and so must not be told twice for one frame.
pub fn is_operation(signal: &Signal) -> bool {
    matches!(signal, Signal::LockOperation { .. } | Signal::AccessDenied { .. } | Signal::Doorbell | Signal::Moved)
}

fn signal(decoded: &Decoded, Statement { name, value }: &Statement, out: &mut Vec<Signal>) {
    let truth = value.truth();
    match name {
        Name::LockState => out.extend(lock(decoded, value)),
        Name::DoorOpen => out.extend(truth.map(|open| Signal::Door { open })),
        Name::BatteryPercent => out.extend(percent(value).map(|percent| Signal::Battery { percent })),
        Name::BatteryLow => out.extend(truth.map(Signal::BatteryLow)),
        Name::BatteryCharging => out.extend(truth.map(Signal::BatteryCharging)),
        Name::Tamper => out.extend(truth.map(Signal::Tamper)),
        Name::Motion => out.extend(truth.map(Signal::Motion)),
        Name::Vibration => out.extend(truth.map(Signal::Vibration)),
        Name::SoundDetected => out.extend(truth.map(Signal::SoundDetected)),
        Name::SoundLevelDba => {
            out.extend(value.number().map(|decibels| Signal::SoundLevel { decibels: decibels as f32 }));
        }
        Name::DeviceKind => out.extend(kind(value).map(described)),
        Name::Connectivity => out.extend(truth.map(Signal::Connectivity)),
        Name::Doorbell if truth == Some(true) => out.push(Signal::Doorbell),
        // The lock counts failed entries itself and says so as an event of its own.
        Name::Alarm => out.extend(denied(decoded, value)),
        Name::Doorbell | Name::LockUserId => {}
        name if name.is_about_the_frame() || !name.is_of_the_vocabulary() => {}
        name => out.extend(value.number().map(|value| Signal::Measured { name: name.as_str(), value })),
    }
}

/// Only what no other signal shows: a keypad that says no more than its battery, a beacon that says nothing.
fn kind(value: &Value) -> Option<DeviceKind> {
    match value.text()? {
        "lock" | "opener" => Some(DeviceKind::Lock),
        "keypad" => Some(DeviceKind::Keypad),
        "beacon" | "tracker" => Some(DeviceKind::Beacon),
        _ => None,
    }
}

fn described(kind: DeviceKind) -> Signal {
    Signal::Described(Box::new(Description { kind: Some(kind), ..Description::default() }))
}

fn percent(value: &Value) -> Option<u8> {
    value.number().filter(|p| (0.0..=100.0).contains(p)).map(|p| p.round() as u8)
}

/// With a method it was an operation; alone it is where the bolt stands.
fn lock(decoded: &Decoded, value: &Value) -> Option<Signal> {
    let state = match value.text()? {
        "locked" => LockState::Locked,
        "unlocked" => LockState::Unlocked,
        "locking" => LockState::Locking,
        "unlocking" => LockState::Unlocking,
        "jammed" => LockState::Jammed,
        "not_fully_locked" => LockState::NotFullyLocked,
        // "unknown" is the family's way of saying nothing, not news that would undo what is known.
        _ => return None,
    };
    let Some(method) = decoded.get(Name::LockMethod) else { return Some(Signal::Lock(state)) };
    match state {
        LockState::Locked | LockState::Unlocked => Some(Signal::LockOperation {
            locked: state == LockState::Locked,
            method: method.text().map_or(Method::Unknown, self::method),
            user: user(decoded),
        }),
        state => Some(Signal::Lock(state)),
    }
}

/// MiBeacon's methods; the other families have none.
fn method(word: &str) -> Method {
    match word {
        "password" | "one_time_password" | "two_step_verification" => Method::Keycode,
        "key_method" | "turntable_method" | "manual" => Method::Manual,
        "automatic" => Method::Automatic,
        "nfc_method" => Method::Card,
        "bluetooth" | "homekit" => Method::Bluetooth,
        // A finger or a face: the world's events have no word for it.
        _ => Method::Unknown,
    }
}

/// Who operated the lock, where it was a password: fingers and keys are numbered from one, too, and a finger must not be
/// taken for the code in the slot of the same number.
fn user(decoded: &Decoded) -> Option<LockUser> {
    match (decoded.get(Name::LockUserKind)?.text()?, decoded.get(Name::LockUserId)?) {
        ("password", Value::Int(id)) => u32::try_from(*id).ok().map(LockUser),
        _ => None,
    }
}

fn denied(decoded: &Decoded, alarm: &Value) -> Option<Signal> {
    let reason = match alarm.text()? {
        "frequent_unlocking_with_incorrect_password"
        | "frequent_unlocking_with_wrong_fingerprints"
        | "the_wrong_key_is_frequently_unlocked"
        | "error_nfc_frequently_unlocks"
        | "failure_to_unlock_frequently_in_multiple_ways"
        | "unlocking_the_face_frequently_fails"
        | "failure_to_unlock_the_vein_frequently"
        | "palmprints_frequently_fail_to_unlock" => DenyReason::TooManyAttempts,
        _ => return None,
    };
    Some(Signal::AccessDenied { reason, user: user(decoded) })
}
