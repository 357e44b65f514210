//! Attempts to lock or unlock: asked of the lock once, and judged by what the lock itself says.
//!
//! ```text
//! command ──► pending ──► the lock is in the wanted state, by its own report ──► success
//!                │
//!                └──────► jammed, refused, unreachable, no report in time, hub restarted ──► error with a type
//! ```
//!
//! What it promises: no attempt is pending for ever, not even over a restart; none is sent to a lock twice; one at a time is with a
//! lock. An attempt that wants what another one is already about rides with it, one that wants the opposite waits for its end.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rate::Rate;
use super::tell::Teller;
use super::timers::Timer;
use super::{Action, CommandError, Device, Hub, Output, Reply, RowKind, lock, view};
use crate::event::{ErrorCode, EventType};
use crate::signal::{DeviceKey, LockState, Outcome, Signal};
use crate::time::{Mono, Now, Wall};

/// From the asking to the report: waking a lock on batteries takes 1 s, a slow motor 8 s, and a driver tries other routes to one that does
/// not answer for up to 15 s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What was asked before a restart is decided by what the lock says then: the bridge is back within 60 s, and polls every lock.
const RESTARTED: Duration = Duration::from_secs(75);

/// Attempts are remembered for a day, and no more than so many of them (some 300 kB).
const KEPT: Duration = Duration::from_secs(24 * 3600);
const KEPT_MOST: usize = 1000;

/// Seam's limit: so many a minute, of each kind and device.
const A_MINUTE: usize = 15;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    Success,
    Error,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct AttemptError {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Attempt {
    action_attempt_id: Uuid,
    device_id: Uuid,
    key: DeviceKey,
    lock: bool,
    status: Status,
    error: Option<AttemptError>,
    created_at: Wall,
    /// It is with the lock; until then it waits for its turn.
    asked: bool,
    /// When it is given up.
    #[serde(skip)]
    until: Option<Mono>,
    /// It was asked before the hub was restarted.
    #[serde(skip)]
    stale: bool,
}

impl Attempt {
    fn is_pending(&self) -> bool {
        self.status == Status::Pending
    }

    /// As the API shows it.
    fn view(&self) -> Value {
        json!({
            "action_attempt_id": self.action_attempt_id,
            "action_type": action_type(self.lock),
            "device_id": self.device_id,
            "status": self.status,
            "error": self.error,
            "result": (self.status == Status::Success).then(|| json!({"was_confirmed_by_device": true})),
            "created_at": self.created_at.to_string(),
        })
    }

    /// The state row: the view, and the hub's own memory beside it.
    fn row(&self) -> Option<Value> {
        view::row(&self.view(), self)
    }
}

fn action_type(lock: bool) -> &'static str {
    if lock { "LOCK_DOOR" } else { "UNLOCK_DOOR" }
}

/// What a report says that matters to an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    Bolt(bool),
    Jammed,
    GaveUp(Uuid, Outcome),
}

/// The words of a report, in its order. What a bridge only remembers is none.
pub fn words(signals: &[Signal]) -> Vec<Word> {
    let word = |signal: &Signal| match signal {
        Signal::Lock(LockState::Locked) => Some(Word::Bolt(true)),
        Signal::Lock(LockState::Unlocked) => Some(Word::Bolt(false)),
        Signal::Lock(LockState::Jammed | LockState::NotFullyLocked) => Some(Word::Jammed),
        Signal::LockOperation { locked, .. } => Some(Word::Bolt(*locked)),
        Signal::Attempted { attempt, outcome } => Some(Word::GaveUp(*attempt, *outcome)),
        _ => None,
    };
    signals.iter().filter_map(word).collect()
}

/// All attempts that are remembered, the oldest first.
#[derive(Debug, Default)]
pub struct Attempts {
    all: Vec<Attempt>,
    /// When each kind was last asked of a device.
    asked: HashMap<(DeviceKey, bool), Rate>,
}

impl Attempts {
    pub fn restore(&mut self, row: &str) {
        if let Some(attempt) = super::view::state_in::<Attempt>(row) {
            let place = self.all.partition_point(|a| a.created_at <= attempt.created_at);
            self.all.insert(place, attempt);
        }
    }

    /// What the lock, or its driver, said.
    pub fn heard(&mut self, device: &mut Device, words: &[Word], teller: &mut Teller<'_>) {
        for word in words {
            let Some(current) = self.all.iter().find(|a| a.key == device.key && a.asked && a.is_pending()) else {
                return;
            };
            match *word {
                Word::Bolt(locked) if locked == current.lock => self.end(device, Ok(()), teller),
                Word::Bolt(_) => {}
                Word::Jammed => self.end(device, Err(JAMMED), teller),
                Word::GaveUp(attempt, outcome) if attempt == current.action_attempt_id => {
                    self.end(device, Err(why(outcome)), teller);
                }
                Word::GaveUp(..) => {}
            }
        }
    }

    /// The device is no more.
    pub fn gone(&mut self, device: &Device, teller: &mut Teller<'_>) {
        self.asked.retain(|(key, _), _| *key != device.key);
        for attempt in self.all.iter_mut().filter(|a| a.key == device.key && a.is_pending()) {
            resolve(attempt, device, Err(REMOVED), teller);
        }
    }

    /// Ends what is with the lock, and sends what waited for that.
    fn end(&mut self, device: &mut Device, how: Result<(), Why>, teller: &mut Teller<'_>) {
        for attempt in self.all.iter_mut().filter(|a| a.key == device.key && a.asked && a.is_pending()) {
            resolve(attempt, device, how, teller);
        }
        if how.is_ok() {
            lock::obeyed(device, teller);
        }
        self.next(device, teller);
        self.arm(teller);
    }

    /// Asks the lock for what waits first, and for whatever wants the same.
    fn next(&mut self, device: &mut Device, teller: &mut Teller<'_>) {
        let mut wanted = None;
        let key = device.key;
        for attempt in self.all.iter_mut().filter(|a| a.key == key && a.is_pending() && !a.asked) {
            if wanted.is_some_and(|lock| lock != attempt.lock) {
                return;
            }
            if wanted.replace(attempt.lock).is_none() {
                let (attempt, lock) = (attempt.action_attempt_id, attempt.lock);
                lock::asked(device, attempt, lock, teller.now.mono + TIMEOUT, teller);
                teller.act(Action::SetLock { device: device.key, attempt, lock });
            }
            attempt.asked = true;
            attempt.until = Some(teller.now.mono + TIMEOUT);
            keep(attempt, teller);
        }
    }

    /// A new attempt; `at_once` where it is known to fail.
    fn begin(&mut self, device: &mut Device, lock: bool, at_once: Option<Why>, teller: &mut Teller<'_>) -> Value {
        // What was asked before a restart and is not decided yet holds nobody up.
        if self.all.iter().any(|a| a.key == device.key && a.stale && a.is_pending()) {
            self.end(device, Err(RESTART), teller);
        }
        let attempt = Attempt {
            action_attempt_id: teller.new_id(),
            device_id: device.device_id,
            key: device.key,
            lock,
            status: Status::Pending,
            error: None,
            created_at: teller.now.wall,
            asked: false,
            until: None,
            stale: false,
        };
        let id = attempt.action_attempt_id;
        let before = self.all.iter().rev().find(|a| a.key == device.key && a.is_pending());
        let rides = before.filter(|a| a.asked && a.lock == lock).map(|a| a.until);
        let waits = before.is_some() && rides.is_none();
        self.all.push(attempt);
        if let Some(attempt) = self.all.last_mut() {
            if let Some(until) = rides {
                (attempt.asked, attempt.until) = (true, until);
            }
            match at_once {
                Some(why) => resolve(attempt, device, Err(why), teller),
                None => keep(attempt, teller),
            }
        }
        if !waits {
            self.next(device, teller);
        }
        self.arm(teller);
        self.all.iter().find(|a| a.action_attempt_id == id).map(Attempt::view).unwrap_or_default()
    }

    /// Whether the device may be asked this once more, and if not, when again.
    fn admit(&mut self, key: DeviceKey, lock: bool, now: Mono) -> Result<(), CommandError> {
        let asked = self.asked.entry((key, lock)).or_insert_with(|| Rate::new(A_MINUTE, MINUTE));
        asked.admit(now).map_err(CommandError::too_many)
    }

    /// Forgets what is old, and comes back when the next ends or is old.
    fn arm(&mut self, teller: &mut Teller<'_>) {
        let wall = teller.now.wall;
        let age = |a: &Attempt| Duration::from_millis(wall.0.saturating_sub(a.created_at.0).max(0) as u64);
        let too_many = self.all.len().saturating_sub(KEPT_MOST);
        let mut seen = 0;
        self.all.retain(|a| {
            seen += 1;
            let kept = a.is_pending() || seen > too_many && age(a) < KEPT;
            if !kept {
                teller.row(RowKind::Attempt, a.action_attempt_id.to_string(), None);
            }
            kept
        });
        let ends = self.all.iter().filter(|a| a.is_pending()).filter_map(|a| a.until);
        let oldest = self.all.iter().find(|a| !a.is_pending()).map(|a| teller.now.mono + KEPT.saturating_sub(age(a)));
        match ends.chain(oldest).min() {
            Some(at) => teller.set(Timer::Attempts, at),
            None => teller.cancel_timer(Timer::Attempts),
        }
    }
}

type Why = (&'static str, &'static str);

const JAMMED: Why = ("lock_jammed", "The lock reported that its bolt is jammed.");
const REMOVED: Why = ("device_removed", "The device was removed.");
const RESTART: Why = ("hub_restarted", "The hub was restarted before the lock reported the wanted state.");
const TIMED_OUT: Why = ("timed_out", "The lock did not report the wanted state in time.");

fn why(outcome: Outcome) -> Why {
    match outcome {
        Outcome::Refused | Outcome::Duplicate => ("refused_by_device", "The lock refused the command."),
        Outcome::Unreachable => ("device_disconnected", "The lock does not answer."),
        Outcome::Busy => ("device_busy", "Too many commands wait for the lock."),
        Outcome::LinkDown => ("hub_disconnected", "The bridge that reaches the lock is down."),
    }
}

fn keep(attempt: &Attempt, teller: &mut Teller<'_>) {
    teller.row(RowKind::Attempt, attempt.action_attempt_id.to_string(), attempt.row());
}

/// There is no device to tell it of.
fn lapse(attempt: &mut Attempt, teller: &mut Teller<'_>) {
    attempt.status = Status::Error;
    attempt.error = Some(AttemptError { kind: REMOVED.0.into(), message: REMOVED.1.into() });
    keep(attempt, teller);
}

fn resolve(attempt: &mut Attempt, device: &Device, how: Result<(), Why>, teller: &mut Teller<'_>) {
    use EventType::*;
    attempt.until = None;
    attempt.status = if how.is_ok() { Status::Success } else { Status::Error };
    attempt.error = how.err().map(|(kind, message)| AttemptError { kind: kind.into(), message: message.into() });
    keep(attempt, teller);
    let (event_type, status) = match (attempt.lock, how.is_ok()) {
        (true, true) => (ActionAttemptLockDoorSucceeded, "success"),
        (true, false) => (ActionAttemptLockDoorFailed, "error"),
        (false, true) => (ActionAttemptUnlockDoorSucceeded, "success"),
        (false, false) => (ActionAttemptUnlockDoorFailed, "error"),
    };
    teller.tell(device, event_type, |d| {
        d.action_attempt_id = Some(attempt.action_attempt_id);
        d.action_type = Some(action_type(attempt.lock).into());
        d.status = Some(status.into());
    });
}

impl Hub {
    /// Somebody wants a door locked or unlocked.
    pub(super) fn attempt(&mut self, now: Now, device_id: Uuid, lock: bool, out: &mut Output) -> Reply {
        let missing = || CommandError::NoSuchDevice(device_id);
        let key = self.key_of(device_id).ok_or_else(missing)?;
        let device = self.devices.get_mut(&key).ok_or_else(missing)?;
        if !device.managed {
            let what = "the device is not managed by this hub; adopt it first";
            return Err(CommandError::Refused(what.into()));
        }
        if device.description.can_lock != Some(true) || !matches!(key, DeviceKey::Zwave { .. }) {
            let what =
                "the device cannot be operated from here: it is no lock, or one that only its maker's app can operate";
            return Err(CommandError::Refused(what.into()));
        }
        self.attempts.admit(key, lock, now.mono)?;
        let unreachable = match device.error_code.filter(|_| !device.connected) {
            Some(ErrorCode::HubDisconnected) => Some(why(Outcome::LinkDown)),
            Some(ErrorCode::AccountDisconnected) => {
                Some(("account_disconnected", "The bridge that reaches the lock refuses our credentials."))
            }
            // The driver tries one that it holds for dead once more.
            Some(ErrorCode::DeviceDisconnected) | None => None,
        };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        Ok(self.attempts.begin(device, lock, unreachable, &mut teller))
    }

    /// After a restart: what never reached its lock has failed, what did is decided by what the lock says now.
    pub(super) fn resume_attempts(&mut self, now: Now, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        for attempt in self.attempts.all.iter_mut().filter(|a| a.is_pending()) {
            let device = self.devices.get_mut(&attempt.key).filter(|d| d.device_id == attempt.device_id);
            match device {
                Some(device) if attempt.asked => {
                    attempt.stale = true;
                    attempt.until = Some(now.mono + RESTARTED);
                    lock::asked(device, attempt.action_attempt_id, attempt.lock, now.mono + RESTARTED, &teller);
                }
                Some(device) => resolve(attempt, device, Err(RESTART), &mut teller),
                None => lapse(attempt, &mut teller),
            }
        }
        self.attempts.arm(&mut teller);
    }

    pub(super) fn attempts_due(&mut self, now: Now, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let due = |a: &&Attempt| a.is_pending() && a.until.is_some_and(|until| until <= now.mono);
        // What one ends makes room for the next, which has its own time.
        while let Some((key, stale)) = self.attempts.all.iter().find(due).map(|a| (a.key, a.stale)) {
            let Some(device) = self.devices.get_mut(&key) else {
                let orphans = self.attempts.all.iter_mut().filter(|a| a.key == key && a.is_pending());
                orphans.for_each(|attempt| lapse(attempt, &mut teller));
                continue;
            };
            let why = match device.lock.jammed_since {
                _ if stale => RESTART,
                Some(_) => JAMMED,
                None => TIMED_OUT,
            };
            self.attempts.end(device, Err(why), &mut teller);
        }
        self.attempts.arm(&mut teller);
    }
}
