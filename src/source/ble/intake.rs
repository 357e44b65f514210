//! From adverts to reports: decodes, drops repeats, and remembers only what it must. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::Advert;
use super::decode::fresh::Counter;
use super::decode::{self, BindKey, Memory};
use crate::signal::{Address, DeviceKey, Link, Report};
use crate::time::Mono;

/// What the intake knows of a configured or adopted device.
#[derive(Clone, Default)]
pub struct Known {
    pub bindkey: Option<BindKey>,
    /// The counter last stored with an event: older ones are replays.
    pub counter: Option<u32>,
}

/// One for all adapters.
#[derive(Default)]
pub struct Intake {
    known: HashMap<Address, (Known, Memory)>,
}

impl Intake {
    pub fn new(known: impl IntoIterator<Item = (Address, Known)>) -> Intake {
        let with_memory = |(address, known): (Address, Known)| {
            let memory = Memory { counter: Counter::starting_at(known.counter), ..Memory::default() };
            (address, (known, memory))
        };
        Intake { known: known.into_iter().map(with_memory).collect() }
    }

    /// Takes another list of devices; what is remembered of those with the key they had stays.
    pub fn know(&mut self, known: impl IntoIterator<Item = (Address, Known)>) {
        let mut before = std::mem::replace(self, Intake::new(known));
        for (address, (known, memory)) in &mut self.known {
            if let Some((old, remembered)) = before.known.remove(address)
                && old.bindkey == known.bindkey
            {
                *memory = remembered;
            }
        }
    }

    /// One more device of ours; what is known and remembered of it stays.
    pub fn adopt(&mut self, address: Address) {
        self.known.entry(address).or_default();
    }

    /// A stranger again.
    pub fn forget(&mut self, address: Address) {
        self.known.remove(&address);
    }

    /// A device of ours, not a stranger.
    pub fn knows(&self, address: Address) -> bool {
        self.known.contains_key(&address)
    }

    /// What an advert says; `None` for one of no interest.
    pub fn advert(&mut self, at: Mono, adapter: &Arc<str>, advert: &Advert) -> Option<Report> {
        let mut stranger = Memory::default();
        let (key, memory) = match self.known.get_mut(&advert.address) {
            Some((known, memory)) => (known.bindkey.as_ref(), memory),
            None => (None, &mut stranger),
        };
        let decoded = decode::decode(advert, key, memory, at).unwrap_or_default();
        Some(Report {
            device: DeviceKey::Ble(advert.address),
            link: Link::Adapter(adapter.clone()),
            rssi: advert.rssi,
            name: advert.name.clone(),
            family: decoded.family,
            irregular: decoded.irregular,
            counter: decoded.counter,
            occurred_at: decoded.occurred_at,
            signals: decode::signals::signals(&decoded),
        })
    }
}
