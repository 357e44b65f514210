//! One node as the bridge remembers it: what it takes to tell a jam from its repetition, an operation from its echo, and a report
//! from the driver's hope. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::alarm_v1;
use super::codes;
use super::map;
use super::wire::{NodeState, ValueState, cc};
use crate::signal::{CodeNotice, DenyReason, Description, DeviceKind, Listening, LockState, NodeStatus, Signal};
use crate::source::rules::Rule;
use crate::time::Mono;

/// A frame that was sent again because its acknowledgement was lost comes within this time. Retransmissions over other routes take up
/// to about a second; a person needs longer to do the same thing twice.
const DOUBLE: Duration = Duration::from_secs(2);

/// Schlage's BE469 sends 21 % of its reports once more, 4.2 to 4.5 s later (zwave-js #9134); 0.1 s of margin on both sides.
const LATE: std::ops::RangeInclusive<Duration> = Duration::from_millis(4100)..=Duration::from_millis(4600);

/// The values and the notification of one frame are told within this time of each other: they leave the driver in one turn, and its server
/// one after the other. A poll is answered no sooner than radio allows (two frames of 20 ms).
const SAME_FRAME: Duration = Duration::from_millis(30);

/// Operations remembered of a node: those of the last five seconds, and no more than a person could do in them.
const RECENT: usize = 8;

/// User codes remembered of a node; more slots than any lock has.
const SLOTS: usize = 2048;

/// The class of a v1 alarm, which shares the number of the notifications that it became.
const ALARM: u16 = 0x7101;
/// A rule of the configuration said so.
const RULE: u16 = 0xffff;
/// A poll has confirmed it.
const POLLED: Word = (0, 0, 0);

/// What said it: the class and the numbers of a notification or alarm. The same thing said in the same words is the same frame.
pub type Word = (u16, u16, u16);

/// What a node's report came to.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub signals: Vec<Signal>,
    /// The lock should be asked how it is before any of this is believed.
    pub poll: bool,
}

impl From<Option<Signal>> for Said {
    fn from(signal: Option<Signal>) -> Said {
        Said { signals: signal.into_iter().collect(), poll: false }
    }
}

/// An operation or a state that repeats an older one and contradicts a newer: not believed until the lock says it again.
#[derive(Debug)]
struct Suspect {
    since: Mono,
    locked: bool,
    operation: Option<Signal>,
}

#[derive(Debug, Default)]
pub struct Node {
    /// The mapping rules of the configuration.
    rules: Arc<[Rule]>,
    pub ready: bool,
    pub is_lock: bool,
    pub is_door_lock: bool,
    /// Its codes are credentials of users (User Credential), not user codes.
    pub keeps_credentials: bool,
    /// It keeps the dates of user codes (Schedule Entry Lock), by a clock that can be set.
    pub keeps_dates: bool,
    /// That clock is read in UTC.
    pub clock_is_utc: bool,
    pub is_keypad: bool,
    is_bell: bool,
    manufacturer: Option<u16>,
    /// The last mode of the bolt, as reported.
    locked: Option<bool>,
    jammed: bool,
    /// It was told to move since it jammed: if it jams once more, that is news.
    tries_again: bool,
    keypad_disabled: bool,
    /// The driver's last word on it.
    pub status: Option<NodeStatus>,
    /// It said "low" in the place of a level.
    low_for_level: bool,
    /// It wants its battery charged or replaced.
    wants_replacing: bool,
    /// The type of a v1 alarm waits for its level.
    alarm_type: Option<(Mono, u8)>,
    /// When the other fields of a Door Lock report were last told: a report tells them before the mode, the driver's hope does not.
    report_at: Option<Mono>,
    /// When the target mode was last told.
    target_at: Option<Mono>,
    /// What happened of late: when, by which word of the protocol, and what it means.
    recent: VecDeque<(Mono, Word, Signal)>,
    suspect: Option<Suspect>,
    /// User codes whose status is "available": what is read in them is no code.
    empty_slots: HashMap<u16, bool>,
    units: HashMap<String, String>,
}

impl Node {
    pub fn new(rules: Arc<[Rule]>) -> Node {
        Node { rules, ..Node::default() }
    }

    /// Takes a dump of the node over. What it remembers of states is old news: each is a [`Signal::Remembered`].
    pub fn dump(&mut self, at: Mono, state: &NodeState) -> Vec<Signal> {
        self.ready = state.ready;
        self.status = status(state.status);
        self.manufacturer = state.manufacturer_id;
        let description = self.describe(state);
        let mut signals = vec![Signal::Described(Box::new(description))];
        signals.extend(self.status.map(Signal::Node));
        let mut mode = None;
        for value in &state.values {
            let Ok(v) = serde_json::from_value::<ValueState>(value.clone()) else { continue };
            if let (Some(unit), cc::MULTILEVEL_SENSOR) = (&v.metadata.unit, v.command_class) {
                self.units.insert(v.property().to_owned(), unit.clone());
            }
            if v.value().is_null() {
                continue;
            }
            match (v.command_class, v.property(), v.key()) {
                (cc::DOOR_LOCK, "currentMode", _) => mode = map::mode(v.value()),
                (cc::NOTIFICATION, "Access Control", "Lock state") => self.jammed = v.number() == Some(0x0b),
                (cc::NOTIFICATION, "Access Control", "Keypad state") => self.keypad_disabled = v.number() == Some(0x10),
                (cc::NOTIFICATION, "alarmType" | "alarmLevel", _) => {}
                // What happened last is no state of the node.
                _ => signals.extend(self.value(at, &v).signals.into_iter().filter(is_state).map(remembered)),
            }
        }
        if let Some(mode) = mode {
            self.locked = Some(mode == LockState::Locked);
            signals.push(remembered(Signal::Lock(mode)));
        }
        if self.jammed {
            signals.push(remembered(Signal::Lock(LockState::Jammed)));
        }
        // A level says more than a "not low": it comes first, so that the one is no change of the other.
        signals.sort_by_key(|s| matches!(s, Signal::Remembered(s) if matches!(**s, Signal::BatteryLow(_))));
        signals
    }

    pub fn manufacturer(&self) -> Option<u16> {
        self.manufacturer
    }

    fn describe(&mut self, state: &NodeState) -> Description {
        let supports = |id| state.endpoints.iter().flat_map(|e| &e.command_classes).any(|c| c.id == id);
        let config = state.device_config.as_ref();
        let label = config.and_then(|c| c.label.clone()).or_else(|| state.label.clone());
        let about = config.and_then(|c| c.description.clone()).unwrap_or_default();
        self.is_bell = [label.as_deref().unwrap_or_default(), &about].iter().any(|t| t.to_lowercase().contains("bell"));
        self.is_door_lock = supports(cc::DOOR_LOCK);
        self.keeps_credentials = supports(cc::USER_CREDENTIAL);
        self.clock_is_utc = supports(cc::TIME_PARAMETERS);
        let has_clock = [cc::TIME_PARAMETERS, cc::CLOCK, cc::TIME].into_iter().any(supports);
        self.keeps_dates = supports(cc::SCHEDULE_ENTRY_LOCK) && has_clock && !self.keeps_credentials;
        self.is_lock = self.is_door_lock || supports(cc::LOCK);
        self.is_keypad = !self.is_lock && supports(cc::ENTRY_CONTROL);
        let values: Vec<ValueState> =
            state.values.iter().filter_map(|v| serde_json::from_value(v.clone()).ok()).collect();
        let has = |class, property: &str| values.iter().any(|v| v.command_class == class && v.property() == property);
        let kind = if self.is_lock {
            DeviceKind::Lock
        } else if self.is_keypad {
            DeviceKind::Keypad
        } else if has(cc::MULTILEVEL_SENSOR, "Loudness") {
            DeviceKind::NoiseSensor
        } else if values.iter().any(|v| v.key().starts_with("Door state")) || has(cc::BINARY_SENSOR, "Door/Window") {
            DeviceKind::DoorSensor
        } else {
            DeviceKind::Sensor
        };
        let wake_up = values.iter().find(|v| v.command_class == cc::WAKE_UP && v.property() == "wakeUpInterval");
        let slots = values.iter().filter(|v| v.command_class == cc::USER_CODE).filter_map(ValueState::slot).max();
        // A node that has not been read yet does not know what it is.
        let known = state.ready.then_some(());
        Description {
            kind: known.map(|()| kind),
            name: state.name.clone().filter(|n| !n.is_empty()),
            manufacturer: config.and_then(|c| c.manufacturer.clone()).or_else(|| state.manufacturer.clone()),
            model: label,
            firmware: state.firmware_version.clone(),
            wake_up_interval_s: wake_up.and_then(ValueState::number).and_then(|s| u32::try_from(s).ok()),
            listens: state.is_listening.map(|_| listens(state)),
            can_lock: known.map(|()| self.is_lock),
            code_slots: slots,
            code_digits: None,
            code_schedules: known.map(|()| self.keeps_dates),
            fingerprint: fingerprint(state),
        }
    }

    /// A value told live.
    pub fn value(&mut self, at: Mono, v: &ValueState) -> Said {
        if let Some(said) = self.by_rule(at, v) {
            return said;
        }
        match (v.command_class, v.property(), v.key()) {
            (
                cc::DOOR_LOCK,
                "insideHandlesCanOpenDoor" | "outsideHandlesCanOpenDoor" | "duration" | "lockTimeout",
                _,
            ) => {
                self.report_at = Some(at);
                Said::default()
            }
            (cc::DOOR_LOCK, "targetMode", _) => {
                self.target_at = Some(at);
                Said::default()
            }
            (cc::DOOR_LOCK, "currentMode", _) => match map::mode(v.value()) {
                Some(mode) if !self.is_hope(at) => self.mode(at, mode == LockState::Locked),
                _ => Said::default(),
            },
            (cc::LOCK, "locked", _) => v.value().as_bool().map_or(Said::default(), |locked| self.mode(at, locked)),
            (cc::NOTIFICATION, "Access Control", "Lock state") => self.jam(v.number() == Some(0x0b)).into(),
            (cc::NOTIFICATION, "Access Control", "Keypad state") => {
                let disabled = v.number() == Some(0x10);
                let news = disabled && !std::mem::replace(&mut self.keypad_disabled, disabled);
                news.then_some(Signal::AccessDenied { reason: DenyReason::KeypadDisabled, user: None }).into()
            }
            (cc::NOTIFICATION, "alarmType", _) => {
                self.alarm_type = v.number().and_then(|n| u8::try_from(n).ok()).map(|kind| (at, kind));
                Said::default()
            }
            (cc::NOTIFICATION, "alarmLevel", _) => {
                let Some((since, kind)) = self.alarm_type.take() else { return Said::default() };
                let level = v.number().and_then(|n| u8::try_from(n).ok()).filter(|_| at.since(since) <= SAME_FRAME);
                let Some(level) = level else { return Said::default() };
                match alarm_v1::meaning(self.manufacturer, kind, level) {
                    Some(signal) => self.event(at, (ALARM, kind.into(), level.into()), signal),
                    None => Said::default(),
                }
            }
            (cc::USER_CODE, "userIdStatus", _) => {
                if let Some(slot) = v.slot()
                    && (self.empty_slots.len() < SLOTS || self.empty_slots.contains_key(&slot))
                {
                    self.empty_slots.insert(slot, v.number() == Some(0));
                }
                Said::default()
            }
            (cc::USER_CODE, "userCode", _) => self.user_code(v).into(),
            (cc::USER_CODE, "keypadMode", _) => {
                let Some(mode) = v.number() else { return Said::default() };
                Said { signals: vec![Signal::Privacy(mode == 2), Signal::Vacation(mode == 1)], poll: false }
            }
            // Schlage (Allegion): configuration parameter 4 is the vacation mode.
            (cc::CONFIGURATION, _, _) if self.manufacturer == Some(0x003b) && v.property.number() == Some(4) => {
                v.number().map(|n| Signal::Vacation(n != 0)).into()
            }
            // A press on a bell's button.
            (cc::CENTRAL_SCENE, "scene", _) if self.is_bell && v.number() == Some(0) => {
                self.event(at, (v.command_class, 0, 0), Signal::Doorbell)
            }
            (cc::NOTIFICATION, "Siren", "Siren status") if self.is_bell && v.number() == Some(1) => {
                self.event(at, (v.command_class, 0, 0), Signal::Doorbell)
            }
            (cc::BATTERY, "level", _) => self.battery(map::value(v)),
            (cc::BATTERY, "rechargeOrReplace", _) => {
                self.wants_replacing = v.number().is_some_and(|n| n >= 1);
                map::value(v).into()
            }
            (cc::MULTILEVEL_SENSOR, sensor, _) if v.metadata.unit.is_none() => {
                map::sensor_value(sensor, v.value().as_f64(), self.units.get(sensor).map(String::as_str)).into()
            }
            _ => map::value(v).into(),
        }
    }

    /// What the configuration says that a value means; nothing else, where it says anything.
    fn by_rule(&mut self, at: Mono, v: &ValueState) -> Option<Said> {
        if self.rules.is_empty() {
            return None;
        }
        let id = v.id();
        let rules: Vec<Rule> = self.rules.iter().filter(|rule| *rule.from == *id).cloned().collect();
        let number = match v.value() {
            serde_json::Value::Bool(truth) => Some(f64::from(*truth)),
            value => value.as_f64(),
        };
        let text = match v.value() {
            serde_json::Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let word = |n: usize| (v.command_class, RULE, n as u16);
        let of_rule = |rule: &Rule| if rule.only.is_some() { rule.event(&text) } else { rule.number(number?) };
        let means: Vec<(usize, Signal)> =
            rules.iter().map(of_rule).enumerate().filter_map(|(n, s)| Some((n, s?))).collect();
        let signals = means.into_iter().flat_map(|(n, signal)| self.event(at, word(n), signal).signals).collect();
        (!rules.is_empty()).then_some(Said { signals, poll: false })
    }

    /// What the configuration says that a notification means.
    pub fn notification_by_rule(&mut self, at: Mono, kind: u16, event: u16) -> Option<Said> {
        if self.rules.is_empty() {
            return None;
        }
        let name = format!("notification-{kind}-{event}");
        let rules: Vec<Rule> = self.rules.iter().filter(|rule| *rule.from == *name).cloned().collect();
        let signals: Vec<Signal> = rules.iter().filter_map(|rule| rule.number(1.0)).collect();
        let signals =
            signals.into_iter().flat_map(|s| self.event(at, (cc::NOTIFICATION, kind, event), s).signals).collect();
        (!rules.is_empty()).then_some(Said { signals, poll: false })
    }

    /// The driver shows a lock as moved as soon as it has sent a command; a report shows handles and duration first.
    fn is_hope(&self, at: Mono) -> bool {
        let just = |then: Option<Mono>| then.is_some_and(|t| at.since(t) <= SAME_FRAME);
        just(self.target_at) && !just(self.report_at)
    }

    /// Its battery is low, and it says no level.
    pub fn battery_low(&mut self) -> Said {
        self.battery(Some(Signal::BatteryLow(true)))
    }

    /// A level takes the "low" back that stood in its place.
    fn battery(&mut self, said: Option<Signal>) -> Said {
        let low = said == Some(Signal::BatteryLow(true));
        let was_low = said.is_some() && std::mem::replace(&mut self.low_for_level, low);
        let taken_back = was_low && !low && !self.wants_replacing;
        Said { signals: taken_back.then_some(Signal::BatteryLow(false)).into_iter().chain(said).collect(), poll: false }
    }

    fn user_code(&self, v: &ValueState) -> Option<Signal> {
        let slot = v.slot()?;
        if v.value().is_null() {
            return None;
        }
        let empty = self.empty_slots.get(&slot).copied().unwrap_or(v.value().as_str() == Some(""));
        Some(Signal::Code(if empty {
            CodeNotice::Slot { slot, digits: None }
        } else {
            codes::content(slot, v.value())
        }))
    }

    /// It is told to move.
    pub fn is_asked(&mut self) {
        self.tries_again = true;
    }

    fn jam(&mut self, jammed: bool) -> Option<Signal> {
        let again = jammed && std::mem::take(&mut self.tries_again);
        if std::mem::replace(&mut self.jammed, jammed) == jammed && !again {
            return None;
        }
        match (jammed, self.locked) {
            (true, _) => Some(Signal::Lock(LockState::Jammed)),
            (false, Some(locked)) => Some(Signal::Lock(state(locked))),
            (false, None) => None,
        }
    }

    /// The bolt was reported in this position.
    fn mode(&mut self, at: Mono, locked: bool) -> Said {
        if let Some(suspect) = self.suspect.take_if(|s| at.since(s.since) > SAME_FRAME) {
            // This is the answer to the poll, or as good.
            self.locked = Some(locked);
            let believed = suspect.operation.filter(|_| suspect.locked == locked);
            if let Some(operation) = &believed {
                self.remember(at, POLLED, operation.clone());
            }
            let signal = believed.unwrap_or(Signal::Lock(state(locked)));
            return Said { signals: vec![signal], poll: false };
        }
        if self.suspect.is_some() {
            return Said::default();
        }
        let changed = self.locked != Some(locked);
        if changed && self.contradicts(at, locked, None) {
            self.suspect = Some(Suspect { since: at, locked, operation: None });
            return Said { signals: Vec::new(), poll: true };
        }
        self.locked = Some(locked);
        if self.jammed && !changed {
            return Said::default();
        }
        self.jammed = false;
        Said { signals: vec![Signal::Lock(state(locked))], poll: false }
    }

    /// An event (not a state) of the node; nothing where it is only said again.
    pub fn event(&mut self, at: Mono, word: Word, signal: Signal) -> Said {
        match &signal {
            Signal::LockOperation { locked, .. } => {
                let locked = *locked;
                if self.repeats(at, &signal) {
                    return Said::default();
                }
                if self.contradicts(at, locked, Some(&signal)) {
                    // Its value may have been held back, and the lock asked, just now.
                    let poll = self.suspect.is_none();
                    self.suspect = Some(Suspect { since: at, locked, operation: Some(signal) });
                    return Said { signals: Vec::new(), poll };
                }
                self.suspect = None;
                self.locked = Some(locked);
                self.jammed = false;
                self.keypad_disabled = false;
            }
            Signal::Lock(LockState::Jammed) => return self.jam(true).into(),
            Signal::AccessDenied { reason: DenyReason::KeypadDisabled, .. } => {
                if std::mem::replace(&mut self.keypad_disabled, true) {
                    return Said::default();
                }
            }
            Signal::AccessDenied { .. } | Signal::Moved | Signal::Doorbell | Signal::Code(_) => {
                let again = |(then, by, old): &(Mono, Word, Signal)| {
                    let age = at.since(*then);
                    // A driver that understands an alarm tells it as both.
                    let both = (by.0 == ALARM) != (word.0 == ALARM) && age <= SAME_FRAME;
                    *old == signal && (both || *by == word && age <= DOUBLE)
                };
                if self.recent.iter().any(again) {
                    return Said::default();
                }
            }
            _ => return Some(signal).into(),
        }
        self.remember(at, word, signal.clone());
        Some(signal).into()
    }

    fn remember(&mut self, at: Mono, word: Word, signal: Signal) {
        self.recent.retain(|(then, ..)| at.since(*then) <= *LATE.end());
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((at, word, signal));
    }

    /// The last operation is told once more: at once, because the frame was sent again, or late, as the BE469 does.
    fn repeats(&mut self, at: Mono, operation: &Signal) -> bool {
        let last = self.recent.iter().rev().find(|(.., old)| matches!(old, Signal::LockOperation { .. }));
        let Some((then, _, old)) = last else { return false };
        let age = at.since(*then);
        same(old, operation) && (age <= DOUBLE || LATE.contains(&age))
    }

    /// Something in this direction was told exactly as long ago as the BE469's repetitions take, and the opposite since.
    fn contradicts(&self, at: Mono, locked: bool, operation: Option<&Signal>) -> bool {
        let direction = |signal: &Signal| match signal {
            Signal::LockOperation { locked, .. } => Some(*locked),
            _ => None,
        };
        let mut found = false;
        for (then, _, old) in &self.recent {
            match direction(old) {
                Some(old_locked) if old_locked == locked => {
                    found = LATE.contains(&at.since(*then)) && operation.is_none_or(|o| same(old, o));
                }
                Some(_) if found => return true,
                _ => {}
            }
        }
        false
    }
}

/// Two accounts of one operation: one of them may not know the user.
fn same(a: &Signal, b: &Signal) -> bool {
    match (a, b) {
        (
            Signal::LockOperation { locked, method, user },
            Signal::LockOperation { locked: locked_b, method: method_b, user: user_b },
        ) => locked == locked_b && method == method_b && (user == user_b || user.is_none() || user_b.is_none()),
        _ => a == b,
    }
}

fn state(locked: bool) -> LockState {
    if locked { LockState::Locked } else { LockState::Unlocked }
}

fn is_state(signal: &Signal) -> bool {
    use Signal::*;
    !matches!(signal, LockOperation { .. } | AccessDenied { .. } | Moved | Doorbell | Code(CodeNotice::Typed { .. }))
}

fn remembered(signal: Signal) -> Signal {
    Signal::Remembered(Box::new(signal))
}

fn fingerprint(state: &NodeState) -> Option<String> {
    let (manufacturer, kind, product) = (state.manufacturer_id?, state.product_type?, state.product_id?);
    Some(format!("{manufacturer:04x}:{kind:04x}:{product:04x}"))
}

fn listens(state: &NodeState) -> Listening {
    let often = state
        .is_frequent_listening
        .as_ref()
        .is_some_and(|v| !matches!(v, serde_json::Value::Bool(false) | serde_json::Value::Null));
    match state.is_listening {
        Some(true) => Listening::Always,
        _ if often => Listening::Often,
        _ => Listening::Sleeps,
    }
}

pub fn status(status: u8) -> Option<NodeStatus> {
    match status {
        1 => Some(NodeStatus::Asleep),
        2 => Some(NodeStatus::Awake),
        3 => Some(NodeStatus::Dead),
        4 => Some(NodeStatus::Alive),
        _ => None,
    }
}
