//! Noise: a level above a threshold, for its duration, inside its daily window: one event a crossing.
//!
//! A level holds until the device says another or is lost, so a sensor that reports changes only is judged as well as one that
//! reports every minute. Durations are monotonic; the window is the wall clock's.

mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub use window::{BadTime, DailyTime, Window};

use super::Device;
use super::tell::Teller;
use super::timers::Concern;
use crate::event::EventType;
use crate::signal::NAMESPACE;
use crate::time::Mono;

/// A level must fall so far under a threshold to cross it anew: the accuracy of a class 2 sound level meter is about ±1.5 dB,
/// so readings of one and the same noise differ by up to 3.
const REARM_DB: f64 = 3.0;

/// How long a built-in threshold must be exceeded: longer than a door or a dropped pan.
const BUILTIN_DURATION_S: u32 = 60;

/// Name, decibels, start and end of those that every noise sensor begins with. Loud talk is about 60 dB, a vacuum cleaner 75.
const BUILTIN: [(&str, f64, &str, &str); 3] = [
    ("builtin_quiet_hours", 60.0, "22:00", "08:00"),
    ("builtin_normal_hours", 75.0, "08:00", "22:00"),
    ("builtin_first_disturbance", 70.0, "00:00", "00:00"),
];

/// While it is loud, the date is looked at as often: a clock that is set wakes nobody, and the edge of a window comes sooner then.
const LOOK: Duration = Duration::from_secs(60);

/// Thresholds a device may have: enough for every purpose, too few for a flood.
const THRESHOLDS: usize = 32;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noise {
    pub thresholds: Vec<Threshold>,
    /// dB, as last said; unknown after a loss.
    #[serde(skip)]
    pub level: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    pub id: Uuid,
    pub name: String,
    pub decibels: f64,
    pub starts_daily_at: DailyTime,
    pub ends_daily_at: DailyTime,
    pub duration_s: u32,
    /// This crossing has been told.
    #[serde(default)]
    pub told: bool,
    #[serde(skip)]
    above_since: Option<Mono>,
}

/// What a user may say of a threshold; what is absent stays, or takes its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ThresholdDraft {
    pub name: Option<String>,
    pub decibels: Option<f64>,
    pub starts_daily_at: Option<String>,
    pub ends_daily_at: Option<String>,
    pub duration_s: Option<u32>,
}

impl Threshold {
    fn window(&self) -> Window {
        Window { starts: self.starts_daily_at, ends: self.ends_daily_at }
    }

    /// As Seam shapes it, and its duration.
    pub fn view(&self, device_id: Uuid) -> Value {
        json!({
            "noise_threshold_id": self.id,
            "device_id": device_id,
            "name": self.name,
            "noise_threshold_decibels": self.decibels,
            "starts_daily_at": self.starts_daily_at,
            "ends_daily_at": self.ends_daily_at,
            "duration_seconds": self.duration_s,
        })
    }
}

/// A sound level was said.
pub fn level(device: &mut Device, decibels: f32, teller: &mut Teller<'_>) -> bool {
    if !decibels.is_finite() {
        return false;
    }
    let mut changed = false;
    if device.noise.thresholds.is_empty() && device.noise.level.is_none() {
        device.noise.thresholds = builtin(device.device_id);
        changed = true;
    }
    // One decimal is what such sensors resolve; an f32 widened as it is would print 61.200001.
    let level = (f64::from(decibels) * 10.0).round() / 10.0;
    device.soft.dirty |= device.noise.level != Some(level);
    device.noise.level = Some(level);
    judge(device, teller) || changed
}

/// The device is lost: whatever it said last says nothing of now.
pub fn lost(device: &mut Device, teller: &mut Teller<'_>) {
    if device.noise.level.take().is_some() {
        device.noise.thresholds.iter_mut().for_each(|t| t.above_since = None);
        teller.cancel(device, Concern::Noise);
    }
}

/// A duration is over, or a window's edge was reached.
pub fn due(device: &mut Device, teller: &mut Teller<'_>) -> bool {
    judge(device, teller)
}

fn judge(device: &mut Device, teller: &mut Teller<'_>) -> bool {
    let Some(level) = device.noise.level else { return false };
    let now = teller.now;
    let zone = device.place(teller.settings);
    let mut next: Option<Mono> = None;
    let mut crossed = Vec::new();
    let mut changed = false;
    for (n, threshold) in device.noise.thresholds.iter_mut().enumerate() {
        // Nobody knows yet what time of day it is.
        if let Some(until) = teller.date_waits()
            && !threshold.window().is_always()
        {
            threshold.above_since = None;
            if level >= threshold.decibels {
                next = next.into_iter().chain([until]).min();
            }
            continue;
        }
        let inside = threshold.window().contains(now.wall, zone);
        if level >= threshold.decibels {
            let edge = threshold.window().next_edge(now.wall, zone);
            let until = Duration::from_millis(u64::try_from(edge.0 - now.wall.0).unwrap_or(0).max(1));
            next = next.into_iter().chain([now.mono + until.min(LOOK)]).min();
        }
        if level >= threshold.decibels && inside {
            let over =
                *threshold.above_since.get_or_insert(now.mono) + Duration::from_secs(threshold.duration_s.into());
            if threshold.told {
                continue;
            }
            if over <= now.mono {
                threshold.told = true;
                changed = true;
                crossed.push(n);
            } else {
                next = next.into_iter().chain([over]).min();
            }
        } else {
            threshold.above_since = None;
            if threshold.told && (!inside || level < threshold.decibels - REARM_DB) {
                threshold.told = false;
                changed = true;
            }
        }
    }
    match next {
        Some(at) => teller.wake(device, Concern::Noise, at),
        None => teller.cancel(device, Concern::Noise),
    }
    for n in crossed {
        let (id, name) = (device.noise.thresholds[n].id, device.noise.thresholds[n].name.clone());
        teller.tell(device, EventType::NoiseSensorNoiseThresholdTriggered, |d| {
            d.noise_level_decibels = Some(level);
            d.noise_threshold_id = Some(id);
            d.noise_threshold_name = Some(name);
        });
    }
    changed
}

fn builtin(device_id: Uuid) -> Vec<Threshold> {
    let at = |text: &str| text.parse().expect("a constant");
    let threshold = |(name, decibels, starts, ends): (&str, f64, &str, &str)| Threshold {
        id: Uuid::new_v5(&NAMESPACE, format!("noise:{device_id}:{name}").as_bytes()),
        name: name.to_owned(),
        decibels,
        starts_daily_at: at(starts),
        ends_daily_at: at(ends),
        duration_s: BUILTIN_DURATION_S,
        told: false,
        above_since: None,
    };
    BUILTIN.into_iter().map(threshold).collect()
}

/// Makes a threshold (`id` is new), or changes one. The error says what is wrong with the draft.
pub fn set(device: &mut Device, id: Uuid, draft: ThresholdDraft, teller: &mut Teller<'_>) -> Result<Value, String> {
    let time = |text: &Option<String>| text.as_deref().map(str::parse).transpose().map_err(|e: BadTime| e.to_string());
    let (starts, ends) = (time(&draft.starts_daily_at)?, time(&draft.ends_daily_at)?);
    if draft.decibels.is_some_and(|d| !(0.0..=194.0).contains(&d)) {
        return Err("a noise threshold is 0 to 194 dB (above that, air knows no louder sound)".into());
    }
    let found = device.noise.thresholds.iter().position(|t| t.id == id);
    let n = match found {
        Some(n) => n,
        None if device.noise.thresholds.len() >= THRESHOLDS => {
            return Err(format!("a device has at most {THRESHOLDS} noise thresholds; delete one first"));
        }
        None => {
            let midnight = "00:00".parse().expect("a constant");
            device.noise.thresholds.push(Threshold {
                id,
                name: String::new(),
                decibels: draft.decibels.ok_or("a noise threshold needs its decibels")?,
                starts_daily_at: starts.unwrap_or(midnight),
                ends_daily_at: ends.unwrap_or(midnight),
                duration_s: 0,
                told: false,
                above_since: None,
            });
            device.noise.thresholds.len() - 1
        }
    };
    let threshold = &mut device.noise.thresholds[n];
    threshold.name = draft.name.unwrap_or(std::mem::take(&mut threshold.name));
    threshold.decibels = draft.decibels.unwrap_or(threshold.decibels);
    threshold.starts_daily_at = starts.unwrap_or(threshold.starts_daily_at);
    threshold.ends_daily_at = ends.unwrap_or(threshold.ends_daily_at);
    threshold.duration_s = draft.duration_s.unwrap_or(threshold.duration_s);
    let view = threshold.view(device.device_id);
    judge(device, teller);
    Ok(view)
}

/// True where there was one.
pub fn delete(device: &mut Device, id: Uuid) -> bool {
    let before = device.noise.thresholds.len();
    device.noise.thresholds.retain(|t| t.id != id);
    device.noise.thresholds.len() < before
}
