//! One device: how it is heard.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::adapter::Adapter;
use super::building::Building;
use super::loss::{Loss, NEED_MAX};
use super::patience::{NEW_S, Patience};
use super::rhythm::{Beat, EARLY, Rhythm, Run, SAME_ADVERT_S, SURPRISE_NATS};
use crate::signal::DeviceKey;
use crate::time::Mono;

/// Devices that send less often than this are not compared with others: what they all say in two minutes is too little to tell
/// a deaf adapter by.
const COMPARED_S: f32 = 60.0;

/// Adapters that one device is judged on. A fifth one replaces the one that heard it longest ago.
pub const EARS: usize = 4;

/// A device's patience by ear.
pub type Patiences = [Patience; EARS];

/// How one adapter hears the device. Times are the adapter's own.
#[derive(Clone, Copy, Debug)]
pub struct Ear {
    pub adapter: u8,
    pub loss: Loss,
    /// As it was when the present run of gaps began, in case the run turns out to be a slower rhythm.
    before_run: Loss,
    /// When this adapter last heard it at all.
    pub last: f64,
    /// When this adapter last heard an advert of the rhythm.
    heard: f64,
    /// When any adapter last heard an advert of the rhythm.
    slot: f64,
    /// When any adapter last heard any advert.
    pub any: f64,
    /// The same in the adapter's evidence: silence counts from here.
    pub silent_from: f64,
    /// Slots that were taken for what all adverts suffer, and not counted yet: less than one.
    carried: f32,
    /// It is one of the devices by whose common silence the adapter is judged.
    compared: bool,
}

#[derive(Debug)]
pub struct Watched {
    pub key: DeviceKey,
    /// Its number among the devices watched.
    pub number: u32,
    pub declared: Option<f32>,
    pub present: bool,
    /// Told as lost with its adapter, and to be taken back with it.
    pub lost_with_hub: bool,
    /// The silence for which it was lost by itself; 0 for one that is there, or was lost otherwise.
    pub lost_after_s: f32,
    pub irregular: bool,
    pub rhythm: Rhythm,
    /// The last advert was one of the rhythm, so that the slots before it can be counted.
    sure: bool,
    /// Nearly always one: it lies beside the rest then.
    pub ears: SmallVec<[Ear; 1]>,
    /// Seconds for which it has been heard, up to where the number matters.
    pub heard_s: f32,
    /// When it was last heard, or else since when it could have been.
    pub heard_at: Mono,
    /// When it is looked at again: the one entry of the queue that is its own.
    pub due: Mono,
    /// The model as it was last stored.
    pub stored: Option<Box<Model>>,
}

/// What is learned of a device: soft state. An interval that is not known yet is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Model {
    pub interval_s: f32,
    pub slow_s: f32,
    pub slow_left_s: f32,
    pub heard_s: f32,
    pub irregular: bool,
    pub ears: Vec<StoredEar>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEar {
    pub adapter: String,
    pub heard: f32,
    pub missed: f32,
}

impl Watched {
    pub fn new(key: DeviceKey, declared: Option<Duration>, present: bool, now: Mono) -> Watched {
        Watched {
            key,
            number: 0,
            declared: declared.map(|d| d.as_secs_f32().max(1.0)),
            present,
            lost_with_hub: false,
            lost_after_s: 0.0,
            irregular: false,
            rhythm: Rhythm::default(),
            sure: false,
            ears: SmallVec::new(),
            heard_s: 0.0,
            heard_at: now,
            due: Mono(u64::MAX),
            stored: None,
        }
    }

    /// Speaks only when something happens, and did not say how often at least: its silence means nothing.
    pub fn says_nothing_by_silence(&self) -> bool {
        self.irregular && self.declared.is_none()
    }

    /// Should be heard within a minute or so, as far as is known: it is there, or was before the hub went deaf.
    pub fn is_expected(&self) -> bool {
        let slow = self.rhythm.known() && self.rhythm.interval() > COMPARED_S;
        (self.present || self.lost_with_hub) && self.declared.is_none() && !self.irregular && !slow
    }

    pub fn interval(&self) -> f32 {
        self.declared.unwrap_or_else(|| self.rhythm.slowest())
    }

    /// How long it may be silent on each of its adapters, as they are in `ears`.
    pub fn patiences(&self, building: &Building) -> Patiences {
        let mut patiences = Patiences::default();
        for (ear, patience) in self.ears.iter().zip(&mut patiences) {
            *patience = self.patience(ear, building);
        }
        patiences
    }

    /// Says to each adapter whether this is one of the devices that it is judged by: there, regular, and still heard by it.
    pub fn compare(&mut self, patiences: &Patiences, adapters: &mut [Adapter], now: Mono) {
        let regular = self.present
            && self.declared.is_none()
            && !self.irregular
            && (f32::MIN_POSITIVE..=COMPARED_S).contains(&self.rhythm.interval());
        for (ear, patience) in self.ears.iter_mut().zip(patiences) {
            let compared = regular && Watched::entitled(ear, patience);
            if compared != ear.compared {
                adapters[usize::from(ear.adapter)].hears(self.number, compared, now);
                ear.compared = compared;
            }
        }
    }

    /// It was heard by `adapter` at `now`.
    pub fn heard(&mut self, adapter: u8, adapters: &mut [Adapter], building: &mut Building, now: Mono) {
        let time = adapters[usize::from(adapter)].time(now);
        let found = self.ears.iter().position(|e| e.adapter == adapter);
        if let Some(n) = found {
            if self.present && !self.says_nothing_by_silence() {
                self.learn(n, time, adapters, building, now);
            } else {
                let ear = &self.ears[n];
                let gap = (time - ear.any) as f32;
                // Who is back within as long again as it took to lose him was hardly away.
                let at_once = gap < 2.0 * self.lost_after_s;
                self.rhythm.returned(gap, at_once, ear.loss.share());
                self.begin_slot(adapters, now);
                self.ears[n].heard = time;
            }
        } else {
            self.add_ear(adapter, time, adapters, now);
            if self.ears.len() == 1 || !self.present {
                self.begin_slot(adapters, now);
            }
        }
        if let Some(ear) = self.ears.iter_mut().find(|e| e.adapter == adapter) {
            ear.last = time;
        }
        for ear in &mut self.ears {
            let adapter = &adapters[usize::from(ear.adapter)];
            (ear.any, ear.silent_from) = (adapter.time(now), adapter.evidence(now));
        }
        self.heard_at = now;
    }

    fn add_ear(&mut self, adapter: u8, time: f64, adapters: &mut [Adapter], now: Mono) {
        if self.ears.len() == EARS {
            let quiet = |e: &Ear| adapters[usize::from(e.adapter)].time(now) - e.last;
            let longest = (0..EARS).max_by(|a, b| quiet(&self.ears[*a]).total_cmp(&quiet(&self.ears[*b]))).unwrap_or(0);
            let gone = self.ears.swap_remove(longest);
            if gone.compared {
                adapters[usize::from(gone.adapter)].hears(self.number, false, now);
            }
        }
        let loss = Loss::default();
        self.ears.push(Ear {
            adapter,
            loss,
            before_run: loss,
            last: time,
            heard: time,
            slot: time,
            any: time,
            silent_from: adapters[usize::from(adapter)].evidence(now),
            carried: 0.0,
            compared: false,
        });
    }

    fn begin_slot(&mut self, adapters: &[Adapter], now: Mono) {
        for ear in &mut self.ears {
            ear.slot = adapters[usize::from(ear.adapter)].time(now);
        }
    }

    fn learn(&mut self, n: usize, time: f64, adapters: &mut [Adapter], building: &mut Building, now: Mono) {
        let ear = self.ears[n];
        let gap = (time - ear.any).max(0.0) as f32;
        let since_slot = (time - ear.slot).max(0.0) as f32;
        self.heard_s = (self.heard_s + gap).min(1e7);
        building.observed(gap);
        let interval = match self.declared {
            Some(declared) => declared,
            None => {
                // What a run of gaps has taught about losses so far is void if the run is a slower rhythm.
                let loss = if self.rhythm.run_gaps() > 0 { ear.before_run } else { ear.loss };
                // What everybody misses is not the device's fade.
                let own = adapters[usize::from(ear.adapter)].evidence(now) - ear.silent_from;
                let beat = self.rhythm.heard(gap, since_slot, (own as f32).min(gap), loss.share());
                match beat {
                    Beat::Early | Beat::Unsure => {}
                    Beat::On { ended, .. } => self.run_ended(&ended, &ear, building),
                    Beat::Late { .. } => {}
                    Beat::Slower { first } => {
                        if first {
                            building.slowed(self.rhythm.interval(), self.heard_s);
                        }
                        self.ears.iter_mut().for_each(|e| e.loss = e.before_run);
                    }
                    Beat::Quicker { at_first, instead } => {
                        if let Some(mistaken) = instead {
                            building.slow_corrected(mistaken, self.rhythm.interval());
                        }
                        if at_first {
                            self.ears.iter_mut().for_each(|e| e.loss = Loss::default());
                        }
                    }
                }
                if beat != Beat::Early {
                    self.begin_slot(adapters, now);
                }
                // A copy of an advert, by another adapter, is as sure as that.
                if gap >= SAME_ADVERT_S {
                    self.sure = matches!(beat, Beat::On { .. } | Beat::Late { .. });
                }
                if matches!(beat, Beat::Slower { .. } | Beat::Quicker { .. }) {
                    self.ears[n].heard = time;
                    return;
                }
                self.rhythm.interval()
            }
        };
        if self.sure || self.declared.is_some() {
            self.learn_loss(n, time, interval, adapters);
        }
    }

    /// Counts the slots since this adapter last heard the device.
    fn learn_loss(&mut self, n: usize, time: f64, interval: f32, adapters: &mut [Adapter]) {
        let ear = &mut self.ears[n];
        let since = (time - ear.heard).max(0.0) as f32;
        // The same slot again.
        if since < EARLY * interval {
            return;
        }
        let ear = &mut self.ears[n];
        ear.heard = time;
        let missed = ((since / interval).round() as u32).max(1) - 1;
        let share = ear.loss.share();
        // What everybody misses now, quick devices would learn sooner than slow ones, so that nothing usual was left to hold it against.
        let own = adapters[usize::from(ear.adapter)].gap(self.number, missed, share);
        if self.rhythm.run_gaps() <= 1 {
            ear.before_run = ear.loss;
        }
        // A fade says nothing about the losses outside of it.
        let own_missed = missed as f32 * own / (1.0 + missed as f32);
        if missed == 0 || own_missed * -(1.0 - share).ln() < SURPRISE_NATS {
            let slots = own + ear.carried;
            ear.loss.heard_after((slots as u32).max(1) - 1);
            ear.carried = slots - slots.floor().max(1.0);
        }
    }

    fn run_ended(&mut self, run: &Run, ear: &Ear, building: &mut Building) {
        if run.is_fade(ear.loss.share()) {
            let interval = self.rhythm.slowest();
            let explained = ear.loss.need(f64::from(-SURPRISE_NATS).exp(), NEED_MAX);
            building.faded(run, explained as f32 * interval, self.rhythm.interval());
        }
    }

    pub fn silence_begins(&mut self, adapters: &[Adapter], now: Mono) {
        self.rhythm.interrupt();
        self.heard_at = now;
        for ear in &mut self.ears {
            let adapter = &adapters[usize::from(ear.adapter)];
            let time = adapter.time(now);
            (ear.last, ear.heard, ear.slot, ear.any) = (time, time, time, time);
            ear.silent_from = adapter.evidence(now);
        }
    }

    pub fn restore(&mut self, model: Model, adapter: impl Fn(&str) -> Option<u8>) {
        self.rhythm = Rhythm::restored(model.interval_s, model.slow_s, model.slow_left_s);
        self.heard_s = if model.heard_s.is_finite() { model.heard_s.max(0.0) } else { 0.0 };
        self.irregular = model.irregular;
        self.ears = model
            .ears
            .iter()
            .take(EARS)
            .filter_map(|e| Some((adapter(&e.adapter)?, e)))
            .map(|(adapter, e)| {
                let loss = Loss::restored(e.heard, e.missed);
                Ear {
                    adapter,
                    loss,
                    before_run: loss,
                    last: 0.0,
                    heard: 0.0,
                    slot: 0.0,
                    any: 0.0,
                    silent_from: 0.0,
                    carried: 0.0,
                    compared: false,
                }
            })
            .collect();
        self.stored = Some(Box::new(model));
    }

    pub fn model(&self, adapters: &[Adapter]) -> Model {
        let (slow_s, slow_left_s) = self.rhythm.slow().unwrap_or_default();
        let ears = self.ears.iter().map(|e| {
            let (heard, missed) = e.loss.counts();
            StoredEar { adapter: adapters[usize::from(e.adapter)].name.to_string(), heard, missed }
        });
        Model {
            interval_s: if self.rhythm.known() { self.rhythm.interval() } else { 0.0 },
            slow_s,
            slow_left_s,
            heard_s: self.heard_s,
            irregular: self.irregular,
            ears: ears.collect(),
        }
    }
}

impl Model {
    /// Whether the difference is worth a write: it would move a deadline by a tenth or so.
    pub fn differs(&self, stored: &Model) -> bool {
        let far = |a: f32, b: f32, by: f32| (a - b).abs() > by * a.abs().max(b.abs());
        far(self.interval_s, stored.interval_s, 0.1)
            || far(self.slow_s, stored.slow_s, 0.1)
            || far(self.slow_left_s, stored.slow_left_s, 0.1)
            || self.heard_s < 2.0 * NEW_S && far(self.heard_s, stored.heard_s, 0.1)
            || self.irregular != stored.irregular
            || self.ears.len() != stored.ears.len()
            || self.ears.iter().zip(&stored.ears).any(|(a, b)| {
                let loss = |e: &StoredEar| (e.missed + 1.0) / (e.heard + e.missed + 2.0);
                a.adapter != b.adapter
                    || far(a.heard + a.missed, b.heard + b.missed, 0.25)
                    || far(loss(a), loss(b), 0.2)
            })
    }
}
