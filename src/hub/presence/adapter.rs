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

/// Devices that were switched on together send together: nothing is heard for most of their interval, and then all of them. The mean gap
/// says nothing of that; the mean over *time* does, which for gaps at random is twice the mean gap. It remembers a minute, the
/// longest interval of those that are compared.
const LULL_S: f64 = 60.0;

/// Devices whose last gaps are compared with the usual ones, each once: were it the last gaps of any, one quick device would be
/// everybody. Their mean is known to a tenth.
const LOAD_DEVICES: usize = 32;

/// The standard deviation of a gap, in mean gaps, where a quarter of the adverts is lost; and how many of the mean's gaps must be longer
/// before it counts: one in a thousand is by chance.
const LOAD_SIGMA: f32 = 0.5;
const LOAD_SIGMAS: f32 = 3.0;

/// Devices whose gaps must agree before nobody learns from his own what all of them suffer: sixteen know it to an eighth. Of a few, one
/// that left just now would be a good part.
const LOAD_WITNESSES: u16 = 16;

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
    /// Hearing time, and what it is worth as evidence, settled up to `settled`.
    time_s: f64,
    evidence_s: f64,
    settled: Mono,
    /// The last advert of anything; or since when there could have been one.
    last: Mono,
    /// Anything was heard since it could be.
    awake: bool,
    /// Mean seconds between adverts; 0 while unknown.
    pace_s: f64,
    /// Half the mean gap over time.
    lull_s: f64,
    load: Load,
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
            evidence_s: 0.0,
            settled: now,
            last: now,
            awake: false,
            pace_s: 0.0,
            lull_s: 0.0,
            load: Load::default(),
            strangers: [None; ENOUGH_TO_COMPARE as usize],
        }
    }

    /// Seconds of hearing up to `now`. Only differences mean something.
    pub fn time(&self, now: Mono) -> f64 {
        self.time_s + self.since_settled(now)
    }

    /// The same, less where everything is heard worse than usual: silence proves less then. Silence is counted by this.
    pub fn evidence(&self, now: Mono) -> f64 {
        self.evidence_s + self.since_settled(now) * self.speed()
    }

    fn since_settled(&self, now: Mono) -> f64 {
        if !self.able {
            return 0.0;
        }
        let until = match self.heard_until() {
            Some(end) => now.min(end),
            None => now,
        };
        until.since(self.settled).as_secs_f64()
    }

    /// From when on silence is deafness; `None` where there is too little to compare.
    fn heard_until(&self) -> Option<Mono> {
        if !self.comparable() {
            return None;
        }
        Some(if self.awake { self.last + self.patience() } else { self.last })
    }

    fn patience(&self) -> Duration {
        let seconds = (CHANCE_GAPS * self.pace_s.max(self.lull_s)).max(SHORTEST_DEAF_S);
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

    /// What its time is worth: as many nats of evidence as a missed slot is worth now, of those that it is usually worth.
    fn speed(&self) -> f64 {
        if self.hears < ENOUGH_TO_COMPARE { 1.0 } else { self.load.speed }
    }

    /// How long it has heard nothing, or has been able to hear something.
    fn silent(&self, now: Mono) -> Duration {
        now.since(self.last)
    }

    /// Whether it heard anything `lately`.
    pub fn has_heard(&self, lately: Duration, now: Mono) -> bool {
        self.awake && self.silent(now) < lately
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
        let seconds = self.since_settled(now);
        self.time_s += seconds;
        self.evidence_s += seconds * self.speed();
        self.settled = now;
    }

    /// It heard something. True where that ends a deafness that was told.
    pub fn heard(&mut self, now: Mono) -> bool {
        // A deaf gap says little about the pace: as much as the longest that is none.
        let gap = now.since(self.last).min(self.patience()).as_secs_f64();
        // In hindsight all of a deaf gap was deaf, not only what was beyond patience.
        if self.heard_until().is_some_and(|end| end < now) || !self.able {
            self.settled = now;
        }
        self.settle(now);
        if self.awake {
            self.pace_s += (gap - self.pace_s) / PACE_ADVERTS;
            self.lull_s += (gap / 2.0 - self.lull_s) * (gap / LULL_S.max(PACE_ADVERTS * self.lull_s)).min(1.0);
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

    /// The device of this number was heard again, `missed` slots after the last; `share` of its adverts are usually heard.
    /// Says how many slots of those are the device's own: the rest everybody misses now.
    pub fn gap(&mut self, device: u32, missed: u32, share: f32) -> f32 {
        let usual = 1.0 / share;
        let slots = (1.0 + missed as f32).min(usual + LOAD_MISSED_MAX);
        self.load.set(device, Some(Gap { slots: Gap::parts(slots), usual: Gap::parts(usual) }));
        match self.clearness() {
            1.0 => 1.0 + missed as f32,
            clearness => slots * clearness,
        }
    }

    /// The share of what it usually hears that it hears now.
    fn clearness(&self) -> f32 {
        if self.load.count < LOAD_WITNESSES { 1.0 } else { self.load.clearness }
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
    pub fn hears(&mut self, device: u32, more: bool, now: Mono) {
        // The rule that time is counted by may change with the number: what is past is past.
        self.settle(now);
        if more {
            self.hears += 1;
        } else {
            self.hears = self.hears.saturating_sub(1);
            self.load.set(device, None);
        }
    }
}

/// A device's last gap and its usual one, in [`PARTS`] of a slot: whole numbers, so that what is added to a sum and taken away
/// again leaves nothing behind.
#[derive(Clone, Copy, Debug)]
struct Gap {
    slots: u32,
    usual: u32,
}

/// A share is known to a hundredth at best.
const PARTS: f32 = 1024.0;

impl Gap {
    fn parts(slots: f32) -> u32 {
        (slots * PARTS) as u32
    }
}

/// How the devices are heard now, all together.
#[derive(Debug)]
struct Load {
    /// By the device's number; devices that share a place drive each other out.
    gaps: [Option<Gap>; LOAD_DEVICES],
    slots: u32,
    usual: u32,
    count: u16,
    /// See [`Adapter::speed`] and [`Adapter::clearness`].
    speed: f64,
    clearness: f32,
}

impl Default for Load {
    fn default() -> Load {
        Load { gaps: [None; LOAD_DEVICES], slots: 0, usual: 0, count: 0, speed: 1.0, clearness: 1.0 }
    }
}

impl Load {
    fn set(&mut self, device: u32, gap: Option<Gap>) {
        let before = std::mem::replace(&mut self.gaps[device as usize % LOAD_DEVICES], gap);
        if let Some(gap) = before {
            (self.slots, self.usual, self.count) = (self.slots - gap.slots, self.usual - gap.usual, self.count - 1);
        }
        if let Some(gap) = gap {
            (self.slots, self.usual, self.count) = (self.slots + gap.slots, self.usual + gap.usual, self.count + 1);
        }
        (self.speed, self.clearness) = self.judged();
    }

    fn judged(&self) -> (f64, f32) {
        let (n, slots, usual) = (f32::from(self.count), self.slots as f32 / PARTS, self.usual as f32 / PARTS);
        if self.count < ENOUGH_TO_COMPARE as u16 || slots <= usual * (1.0 + LOAD_SIGMAS * LOAD_SIGMA / n.sqrt()) {
            return (1.0, 1.0);
        }
        let share = |slots: f32| f64::from(n / slots).min(0.99);
        ((1.0 - share(slots)).ln() / (1.0 - share(usual)).ln(), usual / slots)
    }
}
