//! Locks: every operation an event, no echo an event.

use serde::{Deserialize, Serialize};

use super::Device;
use super::tell::Teller;
use crate::event::EventType;
use crate::signal::{DenyReason, LockState, LockUser, Method};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    pub state: Option<LockState>,
}

/// A state: news only where it differs from what is known.
pub fn state(device: &mut Device, state: LockState, teller: &mut Teller<'_>) -> bool {
    if device.lock.state == Some(state) {
        return false;
    }
    let known = device.lock.state.is_some();
    device.lock.state = Some(state);
    let event_type = match state {
        LockState::Locked => EventType::LockLocked,
        LockState::Unlocked => EventType::LockUnlocked,
        _ => return true,
    };
    if known {
        teller.tell(device, event_type, |d| d.method = Some(Method::Unknown));
    }
    true
}

/// An operation: news each time.
pub fn operation(
    device: &mut Device,
    locked: bool,
    method: Method,
    _user: Option<LockUser>,
    teller: &mut Teller<'_>,
) -> bool {
    device.lock.state = Some(if locked { LockState::Locked } else { LockState::Unlocked });
    let event_type = if locked { EventType::LockLocked } else { EventType::LockUnlocked };
    teller.tell(device, event_type, |d| d.method = Some(method));
    true
}

/// An entry was refused.
pub fn denied(device: &Device, _reason: DenyReason, _user: Option<LockUser>, teller: &mut Teller<'_>) -> bool {
    teller.tell(device, EventType::LockAccessDenied, |_| {});
    true
}

/// A judgement that was put off with `teller.wake(device, Concern::Lock, at)` is due.
pub fn due(_device: &mut Device, _teller: &mut Teller<'_>) -> bool {
    false
}
