//! Alarm (Notification command class version 1): a type and a level whose meaning is the manufacturer's own.
//!
//! ```text
//! type  level                 Yale, Kwikset and most others          Schlage (Allegion)
//!    9                        deadbolt jammed                        the same
//!   18  user slot             locked at the keypad                   the same
//!   19  user slot             unlocked at the keypad                 the same
//!   21  1 turn, 2 touch       locked by hand                         the same
//!   22                        unlocked by hand                       the same
//!   23                        could not lock by radio                the same
//!   24, 25                    locked, unlocked by radio              the same
//!   26                        could not lock by itself               the same
//!   27                        locked by itself                       the same
//!   32, 33 slot               all codes, one code deleted            the same
//!   96  255                   (schedules)                            keypad disabled
//!  112, 113 slot              code added, duplicate                  the same
//!  131, 132 slot              disabled user; outside of schedule     -
//!  144  slot, 255             unlocked with a tag                    keypad busy
//!  161  1, 2                  too many codes; front cover removed    the same
//!  162                        a code that opens nothing              -
//!  167, 168, 169              battery low, critical, too low         the same
//!  226..229                   locked, unlocked by Bluetooth          -
//! ```
//!
//! Sources: Yale's Z-Wave integrator guides (notification tables), the `alarmMapping` entries of zwave-js' device database.

use crate::signal::{CodeNotice, DenyReason, LockState, LockUser, Method, Signal};

/// Allegion's number with the Z-Wave Alliance.
const SCHLAGE: u16 = 0x003b;

/// What a v1 alarm means; nothing for type 0 ("no alarm") and for what is no business of a door.
pub fn meaning(manufacturer: Option<u16>, kind: u8, level: u8) -> Option<Signal> {
    let slot = u16::from(level);
    // Level 0: nobody in particular. 251 is Yale's master code, 255 "unknown".
    let user = (!matches!(level, 0 | 251 | 255)).then_some(LockUser(level.into()));
    let operation = |locked, method, user| Some(Signal::LockOperation { locked, method, user });
    let denied = |reason, user| Some(Signal::AccessDenied { reason, user });
    if manufacturer == Some(SCHLAGE) {
        match (kind, level) {
            (96, 255) => return denied(DenyReason::KeypadDisabled, None),
            (96 | 131 | 132 | 144 | 162 | 226..=229, _) => return None,
            _ => {}
        }
    }
    match kind {
        9 => Some(Signal::Lock(LockState::Jammed)),
        18 => operation(true, Method::Keycode, user),
        19 => operation(false, Method::Keycode, user),
        21 => operation(true, Method::Manual, None),
        22 => operation(false, Method::Manual, None),
        23 | 26 => Some(Signal::Lock(LockState::NotFullyLocked)),
        24 => operation(true, Method::Unknown, None),
        25 => operation(false, Method::Unknown, None),
        27 => operation(true, Method::Automatic, None),
        32 => Some(Signal::Code(CodeNotice::AllDeleted)),
        33 => Some(Signal::Code(CodeNotice::Deleted { slot })),
        112 if level != 0 => Some(Signal::Code(CodeNotice::Added { slot })),
        113 if level != 0 => Some(Signal::Code(CodeNotice::Duplicate { slot })),
        131 => denied(DenyReason::DisabledCode, user),
        132 => denied(DenyReason::OutsideSchedule, user),
        144 => operation(false, Method::Card, user),
        161 if level == 1 => denied(DenyReason::TooManyAttempts, None),
        161 if level == 2 => Some(Signal::Tamper(true)),
        162 => denied(DenyReason::Other, user),
        167..=169 => Some(Signal::BatteryLow(true)),
        226 if level == 1 => operation(true, Method::Automatic, None),
        227 if level == 1 => operation(false, Method::Automatic, None),
        226 | 228 => operation(true, Method::Bluetooth, None),
        227 | 229 => operation(false, Method::Bluetooth, None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keypad_unlock_names_its_user_but_not_the_master_code() {
        let unlock = |user| Some(Signal::LockOperation { locked: false, method: Method::Keycode, user });
        assert_eq!(meaning(None, 19, 3), unlock(Some(LockUser(3))));
        assert_eq!(meaning(None, 19, 251), unlock(None));
        assert_eq!(meaning(None, 19, 0), unlock(None));
    }

    #[test]
    fn one_number_means_different_things_to_different_makers() {
        let tag = Signal::LockOperation { locked: false, method: Method::Card, user: Some(LockUser(4)) };
        assert_eq!(meaning(Some(0x0129), 144, 4), Some(tag));
        assert_eq!(meaning(Some(SCHLAGE), 144, 255), None);
        let disabled = Signal::AccessDenied { reason: DenyReason::KeypadDisabled, user: None };
        assert_eq!(meaning(Some(SCHLAGE), 96, 255), Some(disabled));
        assert_eq!(meaning(Some(0x0129), 96, 255), None);
    }

    #[test]
    fn no_alarm_means_nothing() {
        assert_eq!(meaning(None, 0, 0), None);
        assert_eq!(meaning(None, 112, 0), None, "the master code was changed: no slot");
    }
}
