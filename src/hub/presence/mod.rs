//! Presence: a device is there until silence says otherwise.
//!
//! ```text
//! advert ──► adapter: its own time, and what it is worth             [adapter]
//!        ──► device:  its rhythm, from the gaps                     [rhythm]
//!        ──► ear:     its losses on this adapter, from the slots    [loss]
//!        ──► building: fades and slow times that devices share      [building]
//! timer  ──► silence, in the adapter's evidence, against the device's patience   [patience]
//! ```
//!
//! Promises: time in which an adapter could not hear is nobody's silence; one advert brings a device back; what is told
//! alternates. Pure, and flat in the number of devices: an advert costs one look-up, a device has one entry in the queue.

mod adapter;
mod building;
mod loss;
mod patience;
mod queue;
mod rhythm;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::Action;
use crate::event::ErrorCode;
use crate::places::Places;
use crate::signal::{DeviceKey, Link};
use crate::time::Mono;
use adapter::{Adapter, Deaf, ENOUGH_TO_COMPARE, RESTART_AFTER};
use building::Building;
use patience::{Patience, Why};
use queue::Queue;
use watched::{EARS, Model, Watched};

/// A device is looked at this often while it is watched, since what is learned may shorten its patience. It is not looked at on
/// its adverts: those only move its silence on.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The same while all its adapters are deaf: nothing can come of it before they hear again.
const LOOK_WHILE_DEAF: Duration = Duration::from_secs(2);

/// An adapter whose patience is more than this many times that of the best has no say.
const FAR_WORSE: f32 = 2.0;

/// A hub has one to four adapters. What a further one hears is not judged.
const ADAPTERS: usize = 16;

/// The row of what the building's devices have in common.
const BUILDING: &str = "building";

/// A device is lost, with the reason; or taken back (`None`), since it was lost with its adapter and that is over.
pub type Verdict = (DeviceKey, Option<ErrorCode>);

/// Judges the silence of BLE devices. One for the whole hub, since devices are compared with each other.
#[derive(Debug, Default)]
pub struct Judge {
    devices: Places<DeviceKey, Watched>,
    queue: Queue,
    adapters: Vec<Adapter>,
    building: Building,
    building_stored: Building,
    began: Option<Mono>,
    /// Since when an adapter hears again whose deafness had been told.
    hear_again: Option<Mono>,
    /// Devices are lost with the hub of which no adapter is known that heard them: whichever hears first takes them back.
    lost_unheard: bool,
    /// Restored models of devices that are not watched yet.
    models: HashMap<DeviceKey, Model>,
}

impl Judge {
    /// Starts to judge a device. `declared` is its configured interval; a present one is given its own patience from `now`.
    pub fn watch(&mut self, key: DeviceKey, declared: Option<Duration>, present: bool, now: Mono) {
        if !matches!(key, DeviceKey::Ble(_)) {
            return;
        }
        let model = self.models.remove(&key);
        self.forget(&key, now);
        let mut watched = Watched::new(key, declared, present, now);
        if let Some(model) = model {
            for ear in &model.ears {
                self.adapter_index(&ear.adapter, now);
            }
            watched.restore(model, |name| self.adapters.iter().position(|a| &*a.name == name).map(|n| n as u8));
        }
        watched.silence_begins(&self.adapters, now);
        let at = self.devices.insert(key, watched);
        self.devices.at_mut(at).into_iter().for_each(|watched| watched.number = at);
        if present {
            self.found(at, now);
        }
    }

    pub fn forget(&mut self, key: &DeviceKey, now: Mono) {
        self.models.remove(key);
        let Some(at) = self.devices.place(key) else { return };
        self.lost(at, now);
        self.devices.remove(key);
    }

    /// The device was told as lost with every adapter; it is taken back with any that hears it.
    pub fn lost_with_hub(&mut self, key: &DeviceKey, now: Mono) {
        let Some(at) = self.devices.place(key) else { return };
        self.lost(at, now);
        if let Some(watched) = self.devices.at_mut(at) {
            watched.lost_with_hub = true;
            watched.ears.iter().for_each(|e| self.adapters[usize::from(e.adapter)].deaf = Deaf::Told);
            self.lost_unheard |= watched.ears.is_empty();
        }
    }

    /// The device was heard on this link. True where it was not present before. A device that is not watched only shows that
    /// the adapter hears.
    pub fn heard(&mut self, key: DeviceKey, link: &Link, irregular: bool, now: Mono) -> bool {
        let Link::Adapter(name) = link else { return false };
        let Some(index) = self.adapter_index(name, now) else { return false };
        self.began.get_or_insert(now);
        if std::mem::take(&mut self.lost_unheard) {
            self.hear_again.get_or_insert(now);
        }
        let adapter = &mut self.adapters[usize::from(index)];
        let Some(at) = self.devices.place(&key) else {
            if adapter.overheard(key, now) {
                self.hear_again.get_or_insert(now);
            }
            return false;
        };
        if adapter.heard(now) {
            self.hear_again.get_or_insert(now);
        }
        let Some(watched) = self.devices.at_mut(at) else { return false };
        watched.irregular = irregular;
        watched.heard(index, &mut self.adapters, &mut self.building, now);
        let news = !watched.present;
        if news {
            self.found(at, now);
        }
        news
    }

    /// A device is present from now on.
    fn found(&mut self, at: u32, now: Mono) {
        let Some(watched) = self.devices.at_mut(at) else { return };
        watched.present = true;
        (watched.lost_with_hub, watched.lost_after_s) = (false, 0.0);
        watched.compare(&watched.patiences(&self.building), &mut self.adapters, now);
        watched.due = self.queue.push(now, LOOK_EVERY, at);
    }

    fn adapter_index(&mut self, name: &str, now: Mono) -> Option<u8> {
        let found = self.adapters.iter().position(|a| &*a.name == name);
        if found.is_none() && self.adapters.len() < ADAPTERS {
            self.adapters.push(Adapter::new(name.into(), now));
        }
        found.or_else(|| self.adapters.iter().position(|a| &*a.name == name)).map(|n| n as u8)
    }

    /// An adapter can hear from now on, or cannot.
    pub fn adapter(&mut self, link: &Link, able: bool, now: Mono) {
        if let Link::Adapter(name) = link
            && let Some(index) = self.adapter_index(name, now)
        {
            self.adapters[usize::from(index)].able(able, now);
        }
    }

    /// When something is to be judged.
    pub fn wake_at(&self) -> Option<Mono> {
        let device = self.queue.first().map(|(at, _)| at);
        let adapters = self.adapters.iter().filter_map(Adapter::due).min();
        [device, adapters, self.hear_again].into_iter().flatten().min()
    }

    /// Says what silence says at `now`.
    pub fn judge(&mut self, now: Mono, verdicts: &mut Vec<Verdict>, actions: &mut Vec<Action>) {
        if let Some(began) = self.began {
            self.building.age_s = self.building.age_s.max(now.since(began).as_secs_f64());
        }
        if self.hear_again.take().is_some() {
            self.take_back(now, verdicts);
        }
        self.judge_adapters(now, verdicts, actions);
        let first = verdicts.len();
        while let Some((due, at)) = self.queue.due(now) {
            let Some(watched) = self.devices.at_mut(at) else { continue };
            if watched.due != due || !watched.present {
                continue;
            }
            let mut wait = look(watched, &mut self.adapters, &self.building, now);
            let key = watched.key;
            let silent = now.since(watched.heard_at);
            if wait.is_none() && self.all_are_silent(silent, now) {
                wait = Some(LOOK_EVERY);
                self.devices.at_mut(at).into_iter().for_each(|watched| watched.silence_begins(&self.adapters, now));
            }
            match wait {
                Some(wait) => {
                    let due = self.queue.push(now, wait, at);
                    self.devices.at_mut(at).into_iter().for_each(|watched| watched.due = due);
                }
                None => {
                    verdicts.push((key, Some(ErrorCode::DeviceDisconnected)));
                    self.devices.at_mut(at).into_iter().for_each(|watched| watched.lost_after_s = silent.as_secs_f32());
                    self.lost(at, now);
                }
            }
        }
        verdicts[first..].sort();
    }

    /// Nothing at all is heard for most of the time for which a device is `silent`, though enough are expected. Where too few of their
    /// intervals are known to tell a deaf adapter by (the power was lost before they were stored), nothing shows that any adapter
    /// hears: nobody's silence is his own.
    fn all_are_silent(&self, silent: Duration, now: Mono) -> bool {
        let enough = ENOUGH_TO_COMPARE as usize;
        let lately = RESTART_AFTER.min(silent / 2);
        !self.adapters.iter().any(|a| a.has_heard(lately, now))
            && self.devices.values().filter(|w| w.is_expected()).take(enough).count() == enough
    }

    fn lost(&mut self, at: u32, now: Mono) {
        let Some(watched) = self.devices.at_mut(at) else { return };
        watched.due = Mono(u64::MAX);
        watched.present = false;
        watched.compare(&watched.patiences(&self.building), &mut self.adapters, now);
    }

    fn judge_adapters(&mut self, now: Mono, verdicts: &mut Vec<Verdict>, actions: &mut Vec<Action>) {
        let mut told = false;
        for adapter in &mut self.adapters {
            while adapter.due().is_some_and(|due| due <= now) {
                match adapter.deaf {
                    Deaf::No if adapter.able => {
                        adapter.deaf = Deaf::Restarted;
                        actions.push(Action::RestartScan { link: Link::Adapter(adapter.name.clone()) });
                    }
                    _ => {
                        adapter.deaf = Deaf::Told;
                        told = true;
                    }
                }
            }
        }
        if !told {
            return;
        }
        let first = verdicts.len();
        for at in 0..self.devices.places() {
            let Some(watched) = self.devices.at_mut(at) else { continue };
            let deaf = |e: &watched::Ear| self.adapters[usize::from(e.adapter)].deaf == Deaf::Told;
            let hears = |e: &watched::Ear| !deaf(e) && Watched::entitled(e, &watched.patience(e, &self.building));
            if watched.present && watched.ears.iter().any(deaf) && !watched.ears.iter().any(hears) {
                watched.lost_with_hub = true;
                verdicts.push((watched.key, Some(ErrorCode::HubDisconnected)));
                self.lost(at, now);
            }
        }
        verdicts[first..].sort();
    }

    /// Takes back what was lost with an adapter that hears again: it is given its own patience, as after a restart.
    fn take_back(&mut self, now: Mono, verdicts: &mut Vec<Verdict>) {
        let first = verdicts.len();
        for at in 0..self.devices.places() {
            let Some(watched) = self.devices.at_mut(at) else { continue };
            let again = |e: &watched::Ear| self.adapters[usize::from(e.adapter)].hears_again;
            if watched.lost_with_hub && (watched.ears.is_empty() || watched.ears.iter().any(again)) {
                watched.silence_begins(&self.adapters, now);
                verdicts.push((watched.key, None));
                self.found(at, now);
            }
        }
        self.adapters.iter_mut().for_each(|a| a.hears_again = false);
        verdicts[first..].sort();
    }

    /// What has been learned since the last call and is worth keeping, by row.
    pub fn model(&mut self) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for watched in self.devices.values_mut() {
            let model = watched.model(&self.adapters);
            if watched.stored.as_ref().is_none_or(|stored| model.differs(stored)) {
                rows.extend(serde_json::to_value(&model).ok().map(|value| (watched.key.to_string(), value)));
                watched.stored = Some(Box::new(model));
            }
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        if self.building.differs(&self.building_stored) {
            rows.extend(serde_json::to_value(self.building).ok().map(|value| (BUILDING.to_owned(), value)));
            self.building_stored = self.building;
        }
        rows
    }

    /// Takes a row of [`Judge::model`] back, before its device is watched. What cannot be read is learned again.
    pub fn restore(&mut self, key: &str, row: &str) {
        if key == BUILDING {
            self.building = serde_json::from_str(row).map(Building::restored).unwrap_or_default();
            self.building_stored = self.building;
        } else if let (Ok(key), Ok(model)) = (key.parse(), serde_json::from_str(row)) {
            self.models.insert(key, model);
        }
    }

    pub fn heard_ago(&self, key: &DeviceKey, now: Mono) -> Option<Duration> {
        let watched = self.devices.get(key)?;
        Some(now.since(watched.heard_at))
    }

    /// Why a device is judged as it is.
    pub fn explain(&self, key: &DeviceKey, now: Mono) -> Option<Explanation> {
        let watched = self.devices.get(key)?;
        let adapters = watched.ears.iter().map(|ear| {
            let adapter = &self.adapters[usize::from(ear.adapter)];
            let patience = watched.patience(ear, &self.building);
            let silent_s = adapter.evidence(now) - ear.silent_from;
            ExplainedEar {
                adapter: adapter.name.to_string(),
                loss: 1.0 - ear.loss.share(),
                slots: ear.loss.slots(),
                silent_s,
                deaf_s: now.since(watched.heard_at).as_secs_f64() - silent_s,
                deadline_s: patience.seconds,
                misses: patience.misses,
                because: patience.why,
                judges: Watched::entitled(ear, &patience),
            }
        });
        Some(Explanation {
            present: watched.present,
            interval_s: (watched.interval() > 0.0).then_some(watched.interval()),
            slow_interval_s: watched.rhythm.slow().map(|(interval, _)| interval),
            declared: watched.declared.is_some(),
            irregular: watched.irregular,
            heard_ago_s: now.since(watched.heard_at).as_secs_f64(),
            adapters: adapters.collect(),
        })
    }
}

/// Looks at a present device: after what time to look again, or `None` where it is lost.
fn look(watched: &mut Watched, adapters: &mut [Adapter], building: &Building, now: Mono) -> Option<Duration> {
    if watched.says_nothing_by_silence() {
        watched.compare(&[Patience::LEAST; EARS], adapters, now);
        return Some(LOOK_EVERY * 6);
    }
    if let Some(left) = watched.surely_patient(adapters, now) {
        watched.compare(&[Patience::LEAST; EARS], adapters, now);
        return Some(Duration::from_secs_f64(left + 0.001).min(LOOK_EVERY));
    }
    let patiences = &watched.patiences(building);
    watched.compare(patiences, adapters, now);
    let mut next: Option<f64> = None;
    if watched.ears.is_empty() {
        // Present as it was stored, and nothing known of how it was heard: its silence begins when an adapter could hear it.
        if adapters.iter().all(|a| a.deaf_since(now).is_some()) {
            watched.silence_begins(adapters, now);
            return Some(LOOK_WHILE_DEAF);
        }
        let left = watched.patience_unheard().saturating_sub(now.since(watched.heard_at));
        if left.is_zero() {
            return None;
        }
        next = Some(left.as_secs_f64());
    }
    // Every adapter that has a say must have run out of patience. One that hears it far worse than the best has none: it would
    // hold up the word for as long as it takes to be sure on its own.
    let ears = watched.ears.iter().zip(patiences).filter(|(ear, patience)| {
        Watched::entitled(ear, patience) && adapters[usize::from(ear.adapter)].deaf_since(now).is_none()
    });
    let best = ears.clone().map(|(_, patience)| patience.seconds).fold(f32::INFINITY, f32::min);
    for (ear, patience) in ears.filter(|(_, patience)| patience.seconds <= FAR_WORSE * best) {
        let left = f64::from(patience.seconds) - (adapters[usize::from(ear.adapter)].evidence(now) - ear.silent_from);
        next = Some(next.map_or(left, |next| next.max(left)));
    }
    if next.is_some_and(|left| left <= 0.0) {
        return None;
    }
    Some(match next {
        Some(left) => Duration::from_secs_f64(left + 0.001).min(LOOK_EVERY),
        None => LOOK_WHILE_DEAF,
    })
}

/// Why a device is judged as it is: `portcullis devices --explain`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub present: bool,
    pub interval_s: Option<f32>,
    pub slow_interval_s: Option<f32>,
    pub declared: bool,
    pub irregular: bool,
    pub heard_ago_s: f64,
    pub adapters: Vec<ExplainedEar>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedEar {
    pub adapter: String,
    /// Share of the adverts that is lost, and from how many it is known.
    pub loss: f32,
    pub slots: f32,
    /// Silence as evidence, and how much of the time since was none: the adapter was deaf, or heard everybody worse.
    pub silent_s: f64,
    pub deaf_s: f64,
    /// The silence that loses the device; `misses` adverts in a row.
    pub deadline_s: f32,
    pub misses: u32,
    pub because: Why,
    /// Whether its silence on this adapter counts.
    pub judges: bool,
}
