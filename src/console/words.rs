//! What the hub knows, in the words of who reads it at night: states, events, times; and the pictures beside them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

/// How something is, and so its colour; the word and the picture say it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    /// Open, low: somebody should know.
    Notice,
    /// Somebody should come.
    Bad,
    /// Not reached: nothing is known.
    Off,
    Plain,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Notice => "notice",
            Tone::Bad => "bad",
            Tone::Off => "off",
            Tone::Plain => "plain",
        }
    }
}

/// The pictures, drawn once a page and named where they are used.
pub fn icons() -> Markup {
    PreEscaped(include_str!("icons.svg").trim().to_owned())
}

pub fn icon(name: &str) -> Markup {
    html! { svg.icon viewBox="0 0 24 24" aria-hidden="true" { use href={ "#i-" (name) } {} } }
}

/// Portcullis' own.
pub fn mark() -> Markup {
    html! { svg.mark viewBox="0 0 24 24" aria-hidden="true" { use href="#i-mark" {} } }
}

pub fn chip(tone: Tone, picture: &str, text: &str) -> Markup {
    html! { span class={ "chip " (tone.class()) } { (icon(picture)) (text) } }
}

/// What a device is, as a person would call it.
pub fn kind(device: &Value) -> &'static str {
    match device["properties"]["kind"].as_str() {
        Some("lock") => "Lock",
        Some("keypad") => "Keypad",
        Some("noise_sensor") => "Noise sensor",
        Some("door_sensor") => "Door sensor",
        Some("sensor") => "Sensor",
        Some("bridge") => "Bridge",
        Some("beacon") => "Beacon",
        _ if device["can_remotely_lock"] == true => "Lock",
        _ => "Device",
    }
}

pub fn name(device: &Value) -> &str {
    device["properties"]["name"].as_str().unwrap_or("A device")
}

pub fn is_online(device: &Value) -> bool {
    device["properties"]["online"] == true
}

pub fn is_lock(device: &Value) -> bool {
    device["capabilities_supported"].as_array().is_some_and(|c| c.iter().any(|c| c == "lock"))
}

/// How a device is, in one word and one picture.
pub fn state(device: &Value) -> (Tone, &'static str, String) {
    let p = &device["properties"];
    if !is_online(device) {
        return (Tone::Off, "offline", "Out of reach".into());
    }
    if p["tampered"] == true {
        return (Tone::Bad, "alert", "Tampered with".into());
    }
    match p["lock_state"].as_str() {
        Some("locked") => return (Tone::Good, "locked", "Locked".into()),
        Some("unlocked") => return (Tone::Notice, "unlocked", "Unlocked".into()),
        Some("locking") => return (Tone::Plain, "locked", "Locking…".into()),
        Some("unlocking") => return (Tone::Plain, "unlocked", "Unlocking…".into()),
        Some("jammed") => return (Tone::Bad, "alert", "Jammed".into()),
        Some("not_fully_locked") => return (Tone::Bad, "alert", "Not fully locked".into()),
        _ => {}
    }
    if let Some(locked) = p["locked"].as_bool() {
        return if locked {
            (Tone::Good, "locked", "Locked".into())
        } else {
            (Tone::Notice, "unlocked", "Unlocked".into())
        };
    }
    if let Some(open) = p["door_open"].as_bool() {
        return if open { (Tone::Notice, "open", "Open".into()) } else { (Tone::Good, "closed", "Closed".into()) };
    }
    if let Some(level) = p["noise_level_decibels"].as_f64() {
        let loud = p["currently_triggering_noise_threshold_ids"].as_array().is_some_and(|ids| !ids.is_empty());
        return (if loud { Tone::Bad } else { Tone::Plain }, "noise", format!("{level:.0} dB"));
    }
    if let Some(degrees) = p["measured"]["temperature_c"].as_f64() {
        return (Tone::Plain, "climate", format!("{degrees:.1} °C"));
    }
    (Tone::Plain, "online", "In reach".into())
}

pub fn state_chip(device: &Value) -> Markup {
    let (tone, picture, text) = state(device);
    chip(tone, picture, &text)
}

/// Of a charge, 0 to 1, or of a band alone.
pub fn battery(device: &Value) -> Option<(Tone, String)> {
    let p = &device["properties"];
    let status = p["battery"]["status"].as_str();
    let tone = match status {
        Some("critical") => Tone::Bad,
        Some("low") => Tone::Notice,
        _ => Tone::Plain,
    };
    match (p["battery_level"].as_f64(), status) {
        (Some(level), _) => Some((tone, format!("{:.0} %", level * 100.0))),
        (None, Some(status)) => Some((tone, status.to_owned())),
        (None, None) => None,
    }
}

pub fn battery_chip(device: &Value) -> Markup {
    html! {
        @if let Some((tone, text)) = battery(device) {
            span class={ "battery " (tone.class()) } {
                svg.cell viewBox="0 0 28 14" aria-hidden="true" {
                    rect.case x="1" y="1" width="23" height="12" rx="3" {}
                    rect.knob x="25" y="4.5" width="2" height="5" rx="1" {}
                    @let level = device["properties"]["battery_level"].as_f64().unwrap_or(0.1).clamp(0.0, 1.0);
                    rect.charge x="3" y="3" width=(format!("{:.1}", 19.0 * level)) height="8" rx="1.5" {}
                }
                span.sr { "Battery " } (text)
            }
        }
    }
}

/// A moment as the hub's place has it: the time of a today, with its day otherwise.
pub fn moment(zone: Tz, text: &str) -> Markup {
    let Some(at) = parsed(text) else { return html! {} };
    let (at, today) = (at.with_timezone(&zone), Utc::now().with_timezone(&zone).date_naive());
    let short = if at.date_naive() == today { at.format("%H:%M:%S") } else { at.format("%-d %b, %H:%M") };
    html! { time datetime=(text) title=(at.format("%A, %-d %B %Y, %H:%M:%S %Z")) { (short.to_string()) } }
}

pub fn parsed(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc))
}

/// `3 h 12 min`: two units are as exact as anybody wants it.
pub fn span(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// `1 door`, `3 doors`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Names of what events are about.
#[derive(Debug, Default)]
pub struct Named(HashMap<String, String>);

impl Named {
    pub fn add<'a>(&mut self, things: impl IntoIterator<Item = &'a Value>, id: &str, name: &str) {
        let pair = |thing: &Value| Some((thing[id].as_str()?.to_owned(), thing.pointer(name)?.as_str()?.to_owned()));
        self.0.extend(things.into_iter().filter_map(pair));
    }

    pub fn knows(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    pub fn of(&self, id: &Value) -> Option<&str> {
        self.0.get(id.as_str()?).map(String::as_str)
    }
}
