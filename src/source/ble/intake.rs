//! From adverts to reports: decodes, tells repeats from news, and remembers only what it must. Pure.
//!
//! Promises, for a device with a bind key: nothing in the clear is believed, and no frame of before (`decode::fresh` has the
//! rule of counters and the way back after a battery change). For every device: an operation is told once, however often its
//! frame is heard and on however many adapters. For everybody: any number of addresses and adverts of any length cost bounded
//! memory, and never what is remembered of our own devices.
//!
//! A refused advert is a sign of life all the same: the device is there, though it cannot be understood. Only a frame that its
//! counter shows to be played again is not even that, or a recorder could stand in for a device that was carried away.

use std::sync::Arc;
use std::time::Duration;

use super::Advert;
use super::decode::fresh::{Counter, fingerprint};
use super::decode::signals::{is_operation, signals_by};
use super::decode::{self, BindKey, Decoded, Memory, Name, Reject};
use super::repeats::Repeats;
use super::strangers::Strangers;
use crate::places::Places;
use crate::signal::{Address, DenyReason, DeviceKey, Link, Report, Signal};
use crate::source::rules::Rule;
use crate::time::Mono;

/// The longest name that is a name: a device name has at most 248 bytes (Core 5.4, Vol 3, Part C, 12.1).
const NAME_MAX: usize = 248;

/// A bind key is tried on an advert that was the last one so long ago at most.
const SEALED_FOR: Duration = Duration::from_secs(5);

/// What the intake knows of a configured or adopted device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub bindkey: Option<BindKey>,
    /// The counter last stored with an event: older ones are replays.
    pub counter: Option<u32>,
    /// Its model, for a family whose adverts do not name it; what its scan response says wins.
    pub model: Option<&'static str>,
    /// Mapping rules of the configuration.
    pub rules: Arc<[Rule]>,
}

/// Why a device of ours cannot be understood, for `devices` and `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reject: Reject,
    /// When it was met last.
    pub at: Mono,
    /// Adverts refused since the last one that was believed.
    pub refused: u32,
    /// Whether any advert of it was ever believed.
    pub worked_before: bool,
}

/// One for all adapters.
#[derive(Default)]
pub struct Intake {
    known: Places<Address, (Known, Heard)>,
    strangers: Strangers<Heard>,
    /// Why the last advert was refused.
    refused: Option<Reject>,
}

/// What is remembered of a device that is heard.
#[derive(Clone, Debug, Default)]
struct Heard {
    memory: Memory,
    repeats: Repeats,
    /// Fingerprint of the name it advertises.
    name: u64,
    /// What the last advert that was believed said of itself: a refused one may be anybody's.
    irregular: bool,
    lockout: Option<bool>,
    worked: bool,
    problem: Option<Problem>,
    /// An advert that a key, or another one, would open: one of the last.
    sealed: Option<Box<(Mono, Advert)>>,
}

impl Intake {
    pub fn new(known: impl IntoIterator<Item = (Address, Known)>) -> Intake {
        let mut intake = Intake::default();
        for (address, known) in known {
            intake.add(address, known);
        }
        intake
    }

    /// Takes another list of devices; what is remembered of those with the key they had stays.
    pub fn know(&mut self, known: impl IntoIterator<Item = (Address, Known)>) {
        let mut before = std::mem::take(&mut self.known);
        for (address, known) in known {
            match before.remove(&address) {
                Some((old, mut heard)) if old.bindkey == known.bindkey => {
                    if old.model != known.model {
                        heard.memory.model = known.model;
                    }
                    self.known.insert(address, (known, heard));
                }
                _ => self.add(address, known),
            }
        }
    }

    /// One more device of ours; what is known and remembered of it stays.
    pub fn adopt(&mut self, address: Address) {
        if !self.knows(address) {
            self.add(address, Known::default());
        }
    }

    fn add(&mut self, address: Address, known: Known) {
        let mut heard = self.strangers.take(address).unwrap_or_default();
        heard.memory.counter = Counter::starting_at(known.counter);
        heard.memory.model = heard.memory.model.or(known.model);
        self.known.insert(address, (known, heard));
    }

    /// Whether this key opens what a device sends; `None` where it sent nothing that tells.
    pub fn opens(&self, address: Address, key: &BindKey) -> Option<bool> {
        let heard = self.heard(address)?;
        let (at, advert) = heard.sealed.as_deref()?;
        let mut memory = Memory { model: heard.memory.model, ..Memory::default() };
        let decoded = decode::decode(advert, Some(key), &mut memory, *at)?;
        match decoded.reject {
            // A frame that bears no seal becomes nonsense under a wrong key.
            Some(Reject::NoDecodableObject) => None,
            reject => Some(!wants_a_key(reject)),
        }
    }

    /// Whether a device, of ours or not, sends what only a key would open.
    pub fn wants_a_key(&self, address: Address) -> bool {
        self.heard(address).is_some_and(|heard| heard.sealed.is_some())
    }

    fn heard(&self, address: Address) -> Option<&Heard> {
        self.known.get(&address).map(|(_, heard)| heard).or_else(|| self.strangers.get(address))
    }

    /// The key of a device of ours, from now on. Another key counts anew.
    pub fn give_key(&mut self, address: Address, key: BindKey) {
        self.adopt(address);
        if let Some((known, heard)) =
            self.known.get_mut(&address).filter(|(known, _)| known.bindkey.as_ref() != Some(&key))
        {
            known.bindkey = Some(key);
            *heard = Heard { memory: Memory { model: heard.memory.model, ..Memory::default() }, ..Heard::default() };
        }
    }

    /// A stranger again.
    pub fn forget(&mut self, address: Address) {
        self.known.remove(&address);
    }

    /// A device of ours, not a stranger.
    pub fn knows(&self, address: Address) -> bool {
        self.known.contains_key(&address)
    }

    /// Why the last advert given to [`Intake::advert`] was refused, to be counted; `None` where it was believed or not understood by
    /// any family.
    pub fn refused(&self) -> Option<Reject> {
        self.refused
    }

    /// What keeps a device of ours from being understood; `None` where all is well.
    pub fn problem(&self, address: Address) -> Option<Problem> {
        self.known.get(&address).and_then(|(_, heard)| heard.problem)
    }

    /// The devices of ours that cannot be understood.
    pub fn problems(&self) -> impl Iterator<Item = (Address, Problem)> {
        self.known.iter().filter_map(|(address, (_, heard))| Some((*address, heard.problem?)))
    }

    /// Addresses of strangers that were forgotten to make room.
    pub fn forgotten(&self) -> u64 {
        self.strangers.forgotten()
    }

    /// What an advert says; `None` for one of no interest.
    pub fn advert(&mut self, at: Mono, adapter: &Arc<str>, advert: &Advert) -> Option<Report> {
        let nobody = Known::default();
        let (known, heard, is_ours) = match self.known.get_mut(&advert.address) {
            Some((known, heard)) => (&*known, heard, true),
            None => (&nobody, self.strangers.heard(advert.address), false),
        };
        let decoded = decode::decode(advert, known.bindkey.as_ref(), &mut heard.memory, at);
        self.refused = decoded.as_ref().and_then(|d| d.reject);
        if wants_a_key(self.refused) {
            heard.keep_sealed(at, advert);
        } else if decoded.as_ref().is_some_and(Decoded::accepted) {
            heard.sealed = None;
        }
        heard.account(self.refused, decoded.is_some(), at);
        if matches!(self.refused, Some(Reject::Replay | Reject::CounterReused)) {
            return None;
        }
        let decoded = decoded.unwrap_or_default();
        let mut signals = if decoded.family.is_empty() { Vec::new() } else { signals_by(&decoded, &known.rules) };
        if decoded.accepted() && !decoded.family.is_empty() {
            heard.irregular = decoded.irregular;
            heard.lockout(&decoded, &mut signals);
            if signals.iter().any(is_operation) && heard.repeats.again(&decoded, at) {
                signals.retain(|signal| !is_operation(signal));
            }
        }
        Some(Report {
            device: DeviceKey::Ble(advert.address),
            link: Link::Adapter(adapter.clone()),
            rssi: advert.rssi,
            name: heard.name(advert.name.as_ref(), is_ours),
            family: decoded.family,
            irregular: heard.irregular,
            counter: decoded.counter.filter(|_| decoded.accepted()),
            occurred_at: decoded.occurred_at,
            signals,
        })
    }
}

fn wants_a_key(reject: Option<Reject>) -> bool {
    matches!(reject, Some(Reject::NoKey | Reject::WrongKey))
}

impl Heard {
    /// Not each of them: whoever sends many would have each copied.
    fn keep_sealed(&mut self, at: Mono, advert: &Advert) {
        if self.sealed.as_deref().is_none_or(|(kept_at, _)| at.since(*kept_at) >= SEALED_FOR) {
            self.sealed = Some(Box::new((at, advert.clone())));
        }
    }

    fn account(&mut self, refused: Option<Reject>, recognised: bool, at: Mono) {
        match refused {
            None if recognised => {
                self.worked = true;
                self.problem = None;
            }
            // These come with every sound device, too.
            None
            | Some(Reject::IdenticalRepeat | Reject::DuplicatePacketId | Reject::NoDecodableObject | Reject::NoState) =>
                {}
            Some(reject) => {
                let refused = self.problem.map_or(0, |p| p.refused).saturating_add(1);
                self.problem = Some(Problem { reject, at, refused, worked_before: self.worked });
            }
        }
    }

    /// A keypad that locks itself after too many failures says so as long as it is locked; that it begins is an operation.
    fn lockout(&mut self, decoded: &Decoded, signals: &mut Vec<Signal>) {
        let Some(now) = decoded.get(Name::LockoutAlarm).and_then(|value| value.truth()) else { return };
        if now && self.lockout == Some(false) {
            signals.push(Signal::AccessDenied { reason: DenyReason::TooManyAttempts, user: None });
        }
        self.lockout = Some(now);
    }

    /// The name, where it is news. Of a stranger it always is: the hub forgets what it hears of one until it believes it.
    fn name(&mut self, name: Option<&Arc<str>>, is_ours: bool) -> Option<Arc<str>> {
        let name = name.filter(|name| !name.is_empty())?;
        let known = std::mem::replace(&mut self.name, fingerprint(name.as_bytes()));
        if is_ours && known == self.name {
            return None;
        }
        Some(if name.len() <= NAME_MAX { name.clone() } else { name[..name.floor_char_boundary(NAME_MAX)].into() })
    }
}

#[cfg(test)]
mod tests;
