//! A lock of the building: a motor that takes its time, and user codes in slots, as a real one keeps them.

use std::collections::BTreeMap;
use std::time::Duration;

/// From the command to the report.
pub const MOTOR: Duration = Duration::from_secs(2);

/// Slots of a lock's user codes.
pub const SLOTS: u16 = 20;

/// Digits of a code, as the User Code command class has it.
pub const DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// What became of a code that somebody wanted written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Added,
    /// The slot held these digits already.
    Unchanged,
    Deleted,
    /// Another slot holds these digits.
    Duplicate,
    /// No such slot, or no such digits.
    Invalid,
}

/// The user codes of a lock, by slot.
#[derive(Clone, Debug, Default)]
pub struct Codes(BTreeMap<u16, String>);

impl Codes {
    /// What the people of the building use.
    pub fn of_the_guests() -> Codes {
        Codes([(3, "2580"), (4, "1379"), (5, "864209")].map(|(slot, digits)| (slot, digits.to_owned())).into())
    }

    pub fn get(&self, slot: u16) -> Option<&str> {
        self.0.get(&slot).map(String::as_str)
    }

    /// Writes a code, or without digits erases it.
    pub fn write(&mut self, slot: u16, digits: Option<&str>) -> Written {
        if !(1..=SLOTS).contains(&slot) {
            return Written::Invalid;
        }
        let Some(digits) = digits else {
            return if self.0.remove(&slot).is_some() { Written::Deleted } else { Written::Unchanged };
        };
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Written::Invalid;
        }
        if self.0.iter().any(|(other, held)| *other != slot && held == digits) {
            return Written::Duplicate;
        }
        let before = self.0.insert(slot, digits.to_owned());
        if before.as_deref() == Some(digits) { Written::Unchanged } else { Written::Added }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_each_code_once_and_only_what_can_be_typed() {
        let mut codes = Codes::default();
        assert_eq!(codes.write(7, Some("0000")), Written::Added);
        assert_eq!(codes.write(7, Some("0000")), Written::Unchanged);
        assert_eq!(codes.write(8, Some("0000")), Written::Duplicate);
        for (slot, digits) in [(0, "1234"), (SLOTS + 1, "1234"), (9, "123"), (9, "12345678901"), (9, "12a4")] {
            assert_eq!(codes.write(slot, Some(digits)), Written::Invalid, "{slot} {digits}");
        }
        assert_eq!((codes.get(7), codes.get(8)), (Some("0000"), None));
        assert_eq!([codes.write(7, None), codes.write(7, None)], [Written::Deleted, Written::Unchanged]);
    }
}
