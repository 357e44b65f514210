//! What takes too long or does not work: tried again ever more seldom, and told once each.

use std::time::Duration;

use super::code::{Problem, Why};
use super::table::{Entry, Table};
use crate::event::EventType;
use crate::hub::Device;
use crate::hub::tell::Teller;

/// A lock takes a code within seconds; one that has not within this is told as late.
pub const DELAY: Duration = Duration::from_secs(180);

/// So many failures in a row are told: one or two are radio.
pub const FAILURES: u32 = 3;

fn needs_a_user(why: Why) -> bool {
    matches!(why, Why::Duplicate | Why::Conflict | Why::NoSpace)
}

impl Table {
    pub fn tell_delays(&mut self, device: &Device, teller: &mut Teller<'_>) {
        for entry in self.entries.values_mut() {
            let late = entry.soft.since.is_some_and(|since| teller.now.mono.since(since) >= DELAY);
            if late && entry.code.episode.delay_told.is_none() {
                entry.code.episode.delay_told = Some(teller.now.wall);
                let told = match entry.code.episode.wants {
                    true => EventType::AccessCodeDelayInSettingOnDevice,
                    false => EventType::AccessCodeDelayInRemovingFromDevice,
                };
                entry.tell(told, device, teller, |_, _| {});
            }
        }
    }
}

impl Entry {
    pub fn is_settled(&mut self) {
        if !self.code.left_alone {
            self.code.problem = None;
        }
        (self.code.episode.delay_told, self.code.episode.failed_told) = (None, false);
        self.soft.failures.reset();
        (self.soft.since, self.soft.retry_at) = (None, None);
    }

    /// It did not work: once more after a while, and told when that does not help either.
    pub fn fail(&mut self, why: Why, dice: u128, device: &Device, teller: &mut Teller<'_>) {
        self.soft.retry_at = Some(teller.now.mono + self.soft.failures.pause(dice as u64));
        self.complain(why, needs_a_user(why) || self.soft.failures.failures() >= FAILURES, device, teller);
    }

    /// Something keeps it from being as it is wanted; told once where it is serious.
    pub fn complain(&mut self, why: Why, serious: bool, device: &Device, teller: &mut Teller<'_>) {
        let before = self.code.problem.filter(|p| p.why == why);
        self.code.problem = Some(before.unwrap_or(Problem { why, since: teller.now.wall }));
        // Ahead of its time nobody waits for it, unless only a user can help.
        let in_time = self.code.episode.wants && !self.code.has_begun(teller.date());
        let serious = serious && (!in_time || needs_a_user(why));
        if serious && !self.code.episode.failed_told {
            self.code.episode.failed_told = true;
            let told = match self.code.episode.wants {
                true => EventType::AccessCodeFailedToSetOnDevice,
                false => EventType::AccessCodeFailedToRemoveFromDevice,
            };
            self.tell(told, device, teller, |_, _| {});
        }
    }
}
