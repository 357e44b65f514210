//! How long a device may be silent, and why so long.

use std::time::Duration;

use serde::Serialize;

use super::adapter::Adapter;
use super::building::Building;
use super::rhythm::SURPRISE_NATS;
use super::watched::{Ear, Watched};
use crate::time::Mono;

/// False losses by lost adverts that are accepted, a device and day: one in thirty years. Divided among the gaps of a day it is
/// one in a billion for an interval of a second.
const LOSS_RISK_PER_DAY: f64 = 1e-4;

const DAY_S: f64 = 86_400.0;

/// No silence shorter than this is judged, however often a device sends: a person in the way, a door, a hand around a tag are
/// shorter. It leaves a promise of 30 s some room.
const SHORTEST_S: f32 = 25.0;

/// The same for a device heard for less than [`NEW_S`], whose fades and slow times are still to be met; it leaves a promise of
/// 60 s some room.
const SHORTEST_NEW_S: f32 = 55.0;
pub const NEW_S: f32 = 600.0;

/// The same while the building itself is new, and nothing is known of its fades: ten times the mean fade of a busy room (20 s).
const SHORTEST_YOUNG_S: f32 = 200.0;
const YOUNG_S: f64 = 300.0;

/// Before its interval is known. Slower senders than one advert in five minutes declare their interval, or are met again.
const UNKNOWN_S: f32 = 900.0;

/// While little is known of a device's losses, or a slower rhythm is suspected, the doubt ends here: ten minutes, or of losses twenty
/// intervals of silence if that is longer. Chance explains 20 misses once in a million even where half of the adverts are lost.
const ENOUGH_S: f32 = 600.0;
const ENOUGH_MISSES: f32 = 20.0;

/// A declared interval is missed so often at least, and at most, before the device is lost: once may be chance whatever was
/// learned, and ten intervals of an hour are as long as anybody waits.
const DECLARED_MISSES: std::ops::RangeInclusive<u32> = 3..=10;

/// How long a device may be silent on one adapter, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Patience {
    pub seconds: f32,
    pub why: Why,
    /// Slots of silence.
    pub misses: u32,
}

impl Patience {
    /// Nobody has less.
    pub const LEAST: Patience = Patience { seconds: SHORTEST_S, why: Why::Shortest, misses: 0 };
}

/// What a deadline rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its interval is not known yet.
    #[default]
    Unknown,
    /// It declared its interval.
    Declared,
    /// Its own interval and losses.
    Losses,
    /// Devices of this building fade.
    Fades,
    /// Devices of this building slow down.
    SlowTimes,
    /// The shortest silence that is judged at all.
    Shortest,
    /// It has not been heard for long, or the building has not.
    New,
}

impl Watched {
    /// How long it may be silent on one of its adapters.
    pub fn patience(&self, ear: &Ear, building: &Building) -> Patience {
        let interval = self.interval();
        let risk = LOSS_RISK_PER_DAY * f64::from(interval) / DAY_S;
        let surprise = f64::from(-SURPRISE_NATS).exp();
        let enough = (ENOUGH_S / interval).max(ENOUGH_MISSES) as u32;
        let misses = ear.loss.need(risk.min(surprise), enough.max(ear.loss.need_if_known(risk)));
        let mut patience = Patience { seconds: 0.0, why: Why::Losses, misses };
        let mut at_least = |seconds: f32, why| {
            if seconds > patience.seconds {
                (patience.seconds, patience.why) = (seconds, why);
            }
        };
        // The slot after the last missed one decides; half an interval for its jitter.
        let silence = |misses: u32, interval: f32| (misses as f32 + 0.5) * interval;
        if let Some(declared) = self.declared {
            let misses = misses.clamp(*DECLARED_MISSES.start(), *DECLARED_MISSES.end());
            at_least(silence(misses, declared), Why::Declared);
            at_least(SHORTEST_S, Why::Shortest);
            return Patience { misses, ..patience };
        }
        at_least(silence(misses, interval), Why::Losses);
        if let Some(suspected) = self.rhythm.suspected() {
            at_least(silence(misses, suspected).min(ENOUGH_S), Why::SlowTimes);
        }
        if !self.rhythm.known() {
            at_least(UNKNOWN_S, Why::Unknown);
        }
        let allowance = building.fade_allowance(self.rhythm.interval());
        if allowance > 0.0 {
            let fade = ear.loss.need(surprise, enough.max(ear.loss.need_if_known(surprise)));
            at_least(silence(fade, interval) + allowance, Why::Fades);
        }
        if let Some(slow) = building.slow_interval(self.heard_s).filter(|slow| *slow > interval) {
            at_least(silence(misses, slow), Why::SlowTimes);
        }
        at_least(SHORTEST_S, Why::Shortest);
        if self.heard_s < NEW_S {
            at_least(SHORTEST_NEW_S, Why::New);
        }
        if building.age_s < YOUNG_S {
            at_least(SHORTEST_YOUNG_S, Why::New);
        }
        patience
    }

    /// How long it may be silent as long as no adapter is known to hear it.
    pub fn patience_unheard(&self) -> Duration {
        let declared = self.declared.map_or(0.0, |d| d * *DECLARED_MISSES.end() as f32);
        Duration::from_secs_f32(declared.max(UNKNOWN_S))
    }

    /// Whether an adapter may say that the device is gone: it still heard it when the device fell silent.
    pub fn entitled(ear: &Ear, patience: &Patience) -> bool {
        ear.any - ear.last <= f64::from(patience.seconds) / 2.0
    }

    /// How long nothing can come of its silence, whatever its patience is: most looks end here. `None` where that is over, or where
    /// more must be known: an adapter is deaf, or does not hear it as the others do.
    pub fn surely_patient(&self, adapters: &[Adapter], now: Mono) -> Option<f64> {
        let least = f64::from(SHORTEST_S);
        let mut left = 0.0;
        for ear in &self.ears {
            let adapter = &adapters[usize::from(ear.adapter)];
            if !Watched::entitled(ear, &Patience::LEAST) || adapter.deaf_since(now).is_some() {
                return None;
            }
            left = f64::max(left, least - (adapter.evidence(now) - ear.silent_from));
        }
        (left > 0.0).then_some(left)
    }
}
