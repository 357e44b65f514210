//! An adapter's own time: the time in which it could hear.
//!
//! Silence of a device is counted on this clock. It stands still while the adapter is off, or hears nothing at all of what it
//! usually hears; and it runs slow while everything is heard worse than usual (somebody's microwave, a crowd in the room).

use std::sync::Arc;
use std::time::Duration;

use crate::signal::DeviceKey;
use crate::time::Mono;

/// Devices that an adapter must hear before their common silence is blamed on it (DESIGN: three or more). Two may well leave
/// together.
pub const ENOUGH_TO_COMPARE: u32 = 3;

/// Silences longer than this many mean gaps are no chance: e^-7, one of a thousand, and each costs the clock one such gap.
const CHANCE_GAPS: f64 = 7.0;

/// Adverts come in batches (D-Bus, scheduling); shorter silences than this are not judged. It is under two slots of the
/// quickest device.
const SHORTEST_DEAF_S: f64 = 1.0;

/// Adverts over which the mean gap is taken: it is known to a sixth, and a crowd that left is forgotten within as many adverts.
const PACE_ADVERTS: f64 = 32.0;

/// Gaps over which the adapter's present losses are compared with the usual ones: known to an eighth, at 20 adverts a second
/// within 3 s.
const LOAD_GAPS: f32 = 64.0;

/// How much longer than usual gaps must be before it counts: three standard deviations of a mean over [`LOAD_GAPS`].
const LOAD_NOISE: f32 = 1.0 + 3.0 / 8.0 * 0.5;

/// One device's gap counts for this many more missed slots at most: a device that fades alone must not look like a crowd's trouble.
const LOAD_MISSED_MAX: f32 = 4.0;

/// A scan that hears nothing for so long is restarted. Half of what DESIGN grants until its devices are told: the other half is
/// for the restart to show.
pub const RESTART_AFTER: Duration = Duration::from_secs(60);

/// Deafness that lasts so long is told as `hub_disconnected` (DESIGN).
pub const TOLD_AFTER: Duration = Duration::from_secs(120);

/// How long a stranger counts as something that the adapter hears: twice the longest common advertising interval (10 s), heard
/// one in three times.
const STRANGER_S: u64 = 60;

/// What has been done about an adapter that hears nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deaf {
    No,
    /// Its scan was restarted.
    Restarted,
    /// Its devices have been told as lost with the hub.
    Told,
}

#[derive(Debug)]
pub struct Adapter {
    pub name: Arc<str>,
    /// Powered and scanning.
    pub able: bool,
    pub deaf: Deaf,
    /// Its deafness had been told, and it heard something since.
    pub hears_again: bool,
    /// Watched devices that it hears often enough to compare their silence.
    hears: u32,
    /// Hearing time settled up to `settled`.
    time_s: f64,
    settled: Mono,
    /// The last advert of anything; or since when there could have been one.
    last: Mono,
    /// Anything was heard since it could be.
    awake: bool,
    /// Mean seconds between adverts; 0 while unknown.
    pace_s: f64,
    /// Slots from one advert of a device to its next, now and as its losses let expect.
    slots: f32,
    usual: f32,
    /// Whom else it heard last, and when.
    strangers: [Option<(DeviceKey, Mono)>; ENOUGH_TO_COMPARE as usize],
}

impl Adapter {
    pub fn new(name: Arc<str>, now: Mono) -> Adapter {
        Adapter {
            name,
            able: true,
            deaf: Deaf::No,
            hears_again: false,
            hears: 0,
            time_s: 0.0,
            settled: now,
            last: now,
            awake: false,
            pace_s: 0.0,
            slots: 1.0,
            usual: 1.0,
            strangers: [None; ENOUGH_TO_COMPARE as usize],
        }
    }

    /// Seconds of hearing up to `now`. Only differences mean something.
    pub fn time(&self, now: Mono) -> f64 {
        self.time_s + self.since_settled(now)
    }

    fn since_settled(&self, now: Mono) -> f64 {
        if !self.able {
            return 0.0;
        }
        let until = match self.heard_until() {
            Some(end) => now.min(end),
            None => now,
        };
        until.since(self.settled).as_secs_f64() * self.speed()
    }

    /// From when on silence is deafness; `None` where there is too little to compare.
    fn heard_until(&self) -> Option<Mono> {
        if !self.comparable() {
            return None;
        }
        Some(if self.awake { self.last + self.patience() } else { self.last })
    }

    fn patience(&self) -> Duration {
        let seconds = (CHANCE_GAPS * self.pace_s).max(SHORTEST_DEAF_S);
        Duration::from_millis((seconds * 1000.0) as u64)
    }

    fn comparable(&self) -> bool {
        if self.hears >= ENOUGH_TO_COMPARE {
            return true;
        }
        let recent =
            |s: &&Option<(DeviceKey, Mono)>| s.is_some_and(|(_, at)| self.last.since(at).as_secs() < STRANGER_S);
        self.hears + self.strangers.iter().filter(recent).count() as u32 >= ENOUGH_TO_COMPARE
    }

    /// How fast its time runs: as many nats of evidence as a missed slot is worth now, of those that it is usually worth.
    pub fn speed(&self) -> f64 {
        if self.hears < ENOUGH_TO_COMPARE || self.slots <= self.usual * LOAD_NOISE {
            return 1.0;
        }
        let share = |slots: f32| f64::from(1.0 / slots).min(0.99);
        (1.0 - share(self.slots)).ln() / (1.0 - share(self.usual)).ln()
    }

    /// Whether it hears nothing now though it should.
    pub fn deaf_since(&self, now: Mono) -> Option<Mono> {
        if !self.able {
            return Some(self.last);
        }
        self.heard_until().filter(|end| *end < now).map(|_| self.last)
    }

    /// When something is to be done about its silence, if it lasts.
    pub fn due(&self) -> Option<Mono> {
        if self.able && !self.comparable() {
            return None;
        }
        // Where little is heard, longer silences than these are chance.
        let silence = if self.able && self.awake { self.patience() } else { Duration::ZERO };
        match self.deaf {
            Deaf::No if self.able => Some(self.last + RESTART_AFTER.max(silence)),
            Deaf::No | Deaf::Restarted => Some(self.last + TOLD_AFTER.max(silence + RESTART_AFTER)),
            Deaf::Told => None,
        }
    }

    fn settle(&mut self, now: Mono) {
        self.time_s += self.since_settled(now);
        self.settled = now;
    }

    /// It heard something. True where that ends a deafness that was told.
    pub fn heard(&mut self, now: Mono) -> bool {
        let gap = now.since(self.last).as_secs_f64();
        // In hindsight all of a deaf gap was deaf, not only what was beyond patience.
        if self.heard_until().is_some_and(|end| end < now) || !self.able {
            self.settled = now;
        }
        self.settle(now);
        if self.awake {
            self.pace_s += (gap - self.pace_s) / PACE_ADVERTS;
        }
        self.last = now;
        self.awake = true;
        self.able = true;
        let ended = std::mem::replace(&mut self.deaf, Deaf::No) == Deaf::Told;
        self.hears_again |= ended;
        ended
    }

    /// It heard a device that nobody watches: that too is hearing.
    pub fn overheard(&mut self, stranger: DeviceKey, now: Mono) -> bool {
        let ended = self.heard(now);
        let place = (self.strangers.iter().position(|s| s.is_some_and(|(key, _)| key == stranger)))
            .or_else(|| (0..self.strangers.len()).min_by_key(|i| self.strangers[*i].map(|(_, at)| at)));
        if let Some(place) = place {
            self.strangers[place] = Some((stranger, now));
        }
        ended
    }

    /// One of its devices was heard again, `missed` slots after the last; `share` of its adverts are usually heard.
    pub fn gap(&mut self, missed: u32, share: f32) {
        let usual = 1.0 / share;
        let slots = (1.0 + missed as f32).min(usual + LOAD_MISSED_MAX);
        self.slots += (slots - self.slots) / LOAD_GAPS;
        self.usual += (usual - self.usual) / LOAD_GAPS;
    }

    pub fn able(&mut self, able: bool, now: Mono) {
        if able == self.able {
            return;
        }
        self.settle(now);
        self.settled = now;
        self.able = able;
        self.awake = false;
        // A scan that is restarted because it hears nothing does not begin its silence anew.
        if self.deaf == Deaf::No {
            self.last = now;
        }
    }

    /// It hears one comparable device more, or one less.
    pub fn hears(&mut self, more: bool, now: Mono) {
        // The rule that time is counted by may change with the number: what is past is past.
        self.settle(now);
        self.hears = if more { self.hears + 1 } else { self.hears.saturating_sub(1) };
    }
}
