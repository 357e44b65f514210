//! Locks: every operation an event, no echo an event.
//!
//! A lock says one thing in up to three ways: the operation (a notification, a MiBeacon lock event: who and how), the state (a value, an
//! advert's bit: where the bolt is), and both again later. An operation is told at once. A state that changed waits for the operation
//! that may explain it, and is told with `method: unknown` where none comes. What the bridge only remembers is never news.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Device;
use super::tell::Teller;
use super::timers::Concern;
use crate::event::{EventType, Issue, Reason};
use crate::signal::{DenyReason, DeviceKey, LockState, LockUser, Method};
use crate::time::{Mono, Wall};

/// A changed state waits this long for its operation. Both come in one frame or in the next; a frame that had to be repeated over another
/// route takes about a second.
const WAIT: Duration = Duration::from_secs(2);

/// A change followed by a jam waits longer: a driver that shows what it hopes asks the lock after 5 s, and takes it back.
const VERIFIED: Duration = Duration::from_secs(6);

/// An operation that comes this long after its state was told as unexplained is its late explanation, not a second one: as long as a
/// Z-Wave node may take to get a report through by explorer frames.
const LATE: Duration = Duration::from_secs(10);

/// A keypad that shuts after too many codes says so twice, as two things.
const SHUT: Duration = Duration::from_secs(2);

/// What is known of a lock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// The last that it said of itself.
    pub state: Option<LockState>,
    /// Where the bolt is, as told to the world.
    pub locked: Option<bool>,
    /// How and by whom it was last operated.
    pub method: Option<Method>,
    pub user: Option<LockUser>,
    /// Since when it is jammed.
    pub jammed_since: Option<Wall>,
    /// It has told operations; until then a Bluetooth lock's state is not kept waiting for one.
    pub tells_operations: bool,
    /// A change of state that waits for its operation.
    #[serde(skip)]
    change: Option<Change>,
    /// A change that was told as unexplained, and until when an explanation may come.
    #[serde(skip)]
    unexplained: Option<(bool, Mono)>,
    #[serde(skip)]
    denied: Option<(DenyReason, Mono)>,
    /// What this hub asked of it last, and is not told yet.
    #[serde(skip)]
    asked: Option<Asked>,
}

#[derive(Clone, Debug, PartialEq)]
struct Asked {
    attempt: Uuid,
    locked: bool,
    since: Mono,
    until: Mono,
}

#[derive(Clone, Debug, PartialEq)]
struct Change {
    locked: bool,
    /// When it was heard.
    heard: Wall,
    at: Mono,
    /// The lock has jammed since: it may have been a hope.
    doubtful: bool,
}

impl Lock {
    /// What is wrong with it, as Seam shapes it.
    pub fn warnings(&self) -> Vec<Issue> {
        let jam = self.jammed_since.map(|since| Issue {
            created_at: since.to_string(),
            message: "The lock reported that its bolt is jammed or not fully locked.".into(),
            error_code: None,
            warning_code: Some("lock_jammed".into()),
        });
        jam.into_iter().collect()
    }
}

fn state_of(locked: bool) -> LockState {
    if locked { LockState::Locked } else { LockState::Unlocked }
}

/// A state: news only where it differs from what is known. True where the durable state changed.
pub fn state(device: &mut Device, state: LockState, teller: &mut Teller<'_>) -> bool {
    let locked = match state {
        LockState::Locked => true,
        LockState::Unlocked => false,
        LockState::Jammed | LockState::NotFullyLocked => return jam(device, state, teller),
        LockState::Locking | LockState::Unlocking => {
            return device.lock.state.replace(state) != Some(state);
        }
        LockState::Unknown => return false,
    };
    let before = (device.lock.state.replace(state), device.lock.jammed_since.take());
    let changed = before != (device.lock.state, None);
    let Some(known) = device.lock.locked else {
        device.lock.locked = Some(locked);
        return true;
    };
    match device.lock.change.as_ref().map(|c| (c.locked, c.doubtful)) {
        // It waits already.
        Some((waiting, false)) if waiting == locked => return changed,
        // The lock itself has said it once more.
        Some((waiting, true)) if waiting == locked => {
            give_up_waiting(device, teller);
            return true;
        }
        // It did not happen.
        Some((_, true)) => {
            device.lock.change = None;
            teller.cancel(device, Concern::Lock);
            return changed;
        }
        // There and back before anybody explained it: both happened.
        Some((_, false)) => give_up_waiting(device, teller),
        None if known == locked => return changed,
        None => {}
    }
    device.lock.change = Some(Change { locked, heard: teller.now.wall, at: teller.now.mono, doubtful: false });
    if matches!(device.key, DeviceKey::Zwave { .. }) || device.lock.tells_operations {
        teller.wake(device, Concern::Lock, teller.now.mono + WAIT);
    } else {
        give_up_waiting(device, teller);
    }
    true
}

/// A state that a bridge remembers: it fills what is not known. Whether it is true, a poll will say.
pub fn remembered(device: &mut Device, state: LockState, teller: &mut Teller<'_>) -> bool {
    match state {
        LockState::Jammed | LockState::NotFullyLocked => jam(device, state, teller),
        LockState::Locked | LockState::Unlocked if device.lock.locked.is_none() => {
            device.lock.locked = Some(state == LockState::Locked);
            device.lock.state = Some(state);
            true
        }
        _ => false,
    }
}

/// The motor gave up: a state and a warning.
fn jam(device: &mut Device, state: LockState, teller: &mut Teller<'_>) -> bool {
    if let Some(change) = &mut device.lock.change {
        change.doubtful = true;
        teller.wake(device, Concern::Lock, teller.now.mono + VERIFIED);
    }
    let since = device.lock.jammed_since;
    device.lock.jammed_since.get_or_insert(teller.now.wall);
    device.lock.state.replace(state) != Some(state) || since.is_none()
}

/// An operation: news each time, unless it only explains what was told.
pub fn operation(
    device: &mut Device,
    locked: bool,
    method: Method,
    user: Option<LockUser>,
    teller: &mut Teller<'_>,
) -> bool {
    match device.lock.change.as_ref().map(|c| c.locked) {
        Some(waiting) if waiting == locked => {
            device.lock.change = None;
            teller.cancel(device, Concern::Lock);
        }
        // The state came, its operation was lost, and now comes the next.
        Some(_) => give_up_waiting(device, teller),
        None => {}
    }
    let late = device.lock.unexplained.take().is_some_and(|(told, until)| told == locked && teller.now.mono <= until);
    device.lock.tells_operations = true;
    device.lock.locked = Some(locked);
    device.lock.state = Some(state_of(locked));
    device.lock.jammed_since = None;
    device.lock.user = user;
    if late {
        device.lock.method = Some(method);
    } else {
        tell(device, locked, method, teller.now.mono, teller);
    }
    true
}

/// This hub asks the lock to move, as this attempt: what it says of that until some time after `until` is the attempt's doing.
pub fn asked(device: &mut Device, attempt: Uuid, locked: bool, until: Mono, teller: &Teller<'_>) {
    device.lock.asked = Some(Asked { attempt, locked, since: teller.now.mono, until: until + LATE });
}

/// The lock is as it was asked to be: if it has an operation to tell of that, it will soon.
pub fn obeyed(device: &mut Device, teller: &Teller<'_>) {
    if let Some(asked) = &mut device.lock.asked {
        asked.until = asked.until.min(teller.now.mono + LATE);
    }
}

/// The wait for an operation is over.
pub fn due(device: &mut Device, teller: &mut Teller<'_>) -> bool {
    let waited = device.lock.change.is_some();
    give_up_waiting(device, teller);
    waited
}

/// Tells a change of state that nothing explained.
fn give_up_waiting(device: &mut Device, teller: &mut Teller<'_>) {
    let Some(change) = device.lock.change.take() else { return };
    teller.cancel(device, Concern::Lock);
    device.lock.locked = Some(change.locked);
    device.lock.user = None;
    device.lock.unexplained = Some((change.locked, teller.now.mono + LATE));
    let occurred_at = teller.occurred_at.replace(change.heard);
    tell(device, change.locked, Method::Unknown, change.at, teller);
    teller.occurred_at = occurred_at;
}

/// Tells an operation that was heard `at`. What nobody else explains, and this hub asked for, is its doing.
fn tell(device: &mut Device, locked: bool, method: Method, at: Mono, teller: &mut Teller<'_>) {
    let ours = |a: &mut Asked| method == Method::Unknown && a.locked == locked && a.since <= at && at <= a.until;
    let asked = device.lock.asked.take_if(ours);
    let method = if asked.is_some() { Method::Api } else { method };
    device.lock.method = Some(method);
    let event_type = if locked { EventType::LockLocked } else { EventType::LockUnlocked };
    let at = teller.occurred_at.unwrap_or(teller.now.wall);
    let user = device.lock.user.filter(|_| method == Method::Keycode);
    let code = user.and_then(|user| teller.codes?.used(device.key, user, at));
    teller.tell(device, event_type, |d| {
        d.method = Some(method);
        d.access_code_id = code.map(|(id, _)| id);
        d.access_code_is_managed = code.map(|(_, managed)| managed);
        d.action_attempt_id = asked.map(|a| a.attempt);
    });
}

/// An entry was refused.
pub fn denied(device: &mut Device, reason: DenyReason, user: Option<LockUser>, teller: &mut Teller<'_>) -> bool {
    let now = teller.now.mono;
    let before = device.lock.denied.replace((reason, now));
    let shut = before.is_some_and(|(why, at)| why == DenyReason::TooManyAttempts && now.since(at) <= SHUT);
    if reason == DenyReason::KeypadDisabled && shut {
        return false;
    }
    device.lock.user = user.or(device.lock.user);
    let (reason_code, message) = words(reason);
    teller.tell(device, EventType::LockAccessDenied, |d| {
        d.reason = Some(Reason { reason_code: reason_code.into(), message: message.into() });
    });
    true
}

/// Seam's word for a refusal, and a sentence for people.
fn words(reason: DenyReason) -> (&'static str, &'static str) {
    match reason {
        DenyReason::UnknownCode => ("unknown_code", "A code was entered that the lock does not know."),
        DenyReason::ExpiredCode => ("expired_code", "A code was entered that has expired."),
        DenyReason::DisabledCode => ("blocklisted_code", "A code was entered whose user is disabled on the lock."),
        DenyReason::OutsideSchedule => ("credential_error", "A code was entered outside of its schedule."),
        DenyReason::TooManyAttempts => {
            ("too_many_attempts", "Wrong codes were entered more often than the lock allows.")
        }
        DenyReason::KeypadDisabled => ("too_many_attempts", "The lock has disabled its keypad for a while."),
        DenyReason::PrivacyMode => ("blocked_by_privacy_mode", "The lock is in privacy mode."),
        DenyReason::Other => ("credential_error", "The lock refused what was presented to it."),
    }
}
