//! What a user says of a code, and what of it a lock can take.

use std::ops::RangeInclusive;

use crate::signal::Secret;
use crate::time::Wall;

/// What a user wants of a code. What is `None` is left as it is, or to the hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodeDraft {
    pub name: Option<String>,
    /// What codes that were made together have in common.
    pub common_code_key: Option<String>,
    /// Without them the hub makes some up.
    pub code: Option<Secret>,
    pub starts_at: Option<Wall>,
    pub ends_at: Option<Wall>,
    /// From now on without a beginning and an end.
    pub ongoing: bool,
    /// Keep a spare code on the lock for this one.
    pub use_backup_access_code_pool: Option<bool>,
    /// What somebody does to it at the lock is taken over rather than undone.
    pub is_external_modification_allowed: Option<bool>,
    /// Of digits that the hub makes up.
    pub preferred_code_length: Option<u8>,
}

/// Lengths of a code where the lock states none: what the User Code command class allows.
pub const LENGTHS: RangeInclusive<u8> = 4..=10;

/// Codes that are made up are so long, where the lock takes that.
const PREFERRED: u8 = 6;

/// Whether a lock that takes these lengths takes these digits. What is wrong is told without them.
pub fn check(digits: &Secret, lengths: &RangeInclusive<u8>) -> Result<(), String> {
    let text = digits.reveal();
    let (least, most) = (lengths.start(), lengths.end());
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("a code has digits only, {least} to {most} of them for this lock"));
    }
    match u8::try_from(text.len()).is_ok_and(|n| lengths.contains(&n)) {
        true => Ok(()),
        false => Err(format!("the code has {} digits; this lock takes {least} to {most}", text.len())),
    }
}

/// Digits made of `dice`, as long as is preferred and the lock takes.
pub fn make_up(mut dice: u128, preferred: Option<u8>, lengths: &RangeInclusive<u8>) -> Secret {
    let length = preferred.unwrap_or(PREFERRED).clamp(*lengths.start(), *lengths.end());
    let mut digits = String::new();
    for _ in 0..length {
        digits.push(char::from(b'0' + (dice % 10) as u8));
        dice /= 10;
    }
    Secret::new(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_checked_as_the_lock_states_and_complaints_do_not_show_them() {
        let ok = |text: &str, lengths| check(&Secret::new(text), &lengths).is_ok();
        assert!(ok("0000", LENGTHS) && ok("1234567890", LENGTHS) && ok("123456", 6..=6));
        assert!(!ok("123", LENGTHS) && !ok("12345678901", LENGTHS) && !ok("1234", 6..=6) && !ok("", LENGTHS));
        for bad in ["98a6", "98 6", "٣٣٣٣", "987654321012"] {
            let complaint = check(&Secret::new(bad), &LENGTHS).unwrap_err();
            assert!(!complaint.contains(bad) && !complaint.contains("98"), "{complaint}");
        }
    }

    #[test]
    fn digits_that_are_made_up_fit_the_lock() {
        let length = |preferred, lengths| make_up(u128::MAX / 7, preferred, &lengths).reveal().len();
        assert_eq!(length(None, LENGTHS), 6);
        assert_eq!(length(Some(8), 4..=8), 8);
        assert_eq!((length(Some(2), LENGTHS), length(None, 4..=4), length(Some(12), 4..=10)), (4, 4, 10));
    }
}
