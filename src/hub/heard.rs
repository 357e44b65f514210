//! What a report says of a device, signal by signal. A new concern is an arm here and a file of its own.

use super::tell::Teller;
use super::timers::Concern;
use super::{Device, battery, edges, flaky, lock, noise};
use crate::signal::{Description, Report, Signal};

impl Device {
    /// What a report says of the device; true where its durable state changed.
    pub(super) fn heard(&mut self, report: Report, teller: &mut Teller<'_>) -> bool {
        // The same frame, heard again: a sign of life, and that is all.
        if report.counter.is_some() && report.counter == self.soft.counter.or(self.counter) {
            return false;
        }
        let mut changed = false;
        if self.family.is_empty() && !report.family.is_empty() {
            report.family.clone_into(&mut self.family);
            changed = true;
        }
        if self.description.name.is_none()
            && let Some(name) = &report.name
        {
            changed |= self.described(Description { name: Some(name.to_string()), ..Description::default() }, teller);
        }
        for signal in report.signals {
            changed |= self.guess_kind(&signal);
            changed |= self.signal(signal, teller);
        }
        self.soft.counter = report.counter.or(self.soft.counter);
        if changed {
            self.counter = report.counter.or(self.counter);
        }
        changed
    }

    /// One signal judged; true where the device's durable state changed.
    fn signal(&mut self, signal: Signal, teller: &mut Teller<'_>) -> bool {
        match signal {
            Signal::Lock(state) => lock::state(self, state, teller),
            Signal::LockOperation { locked, method, user } => lock::operation(self, locked, method, user, teller),
            Signal::AccessDenied { reason, user } => lock::denied(self, reason, user, teller),
            Signal::Door { open } => edges::door(self, open),
            Signal::Battery { percent } => battery::reading(self, percent, teller),
            Signal::BatteryLow(low) => battery::says_low(self, low, teller),
            Signal::BatteryCharging(charging) => battery::charging(self, charging),
            Signal::Tamper(tampered) => edges::tamper(self, tampered, teller),
            Signal::Moved => edges::moved(self, teller),
            Signal::SoundLevel { decibels } => noise::level(self, decibels, teller),
            Signal::Doorbell => edges::doorbell(self, teller),
            Signal::Privacy(on) => edges::privacy(self, on, teller),
            Signal::ThirdParty(there) => edges::third_party(self, there, teller),
            Signal::Keypad { connected } => edges::keypad(self, connected, teller),
            Signal::Described(said) => self.described(*said, teller),
            Signal::Remembered(state) => match *state {
                Signal::Lock(state) => lock::remembered(self, state, teller),
                Signal::Tamper(tampered) => edges::tamper_remembered(self, tampered, teller),
                state => self.signal(state, teller),
            },
            Signal::Measured { name, value } => self.measured(name, value),
            Signal::SoundDetected(on) => self.measured("sound_detected", f64::from(on)),
            Signal::Motion(on) => self.measured("motion", f64::from(on)),
            Signal::Vacation(on) => self.measured("vacation", f64::from(on)),
            Signal::Vibration(on) => self.measured("vibration", f64::from(on)),
            // Judged before: the node's presence, the device's end. Codes are the access codes' business, attempts their own.
            Signal::Node(_) | Signal::Removed | Signal::Connectivity(_) | Signal::Code(_) => false,
            Signal::Attempted { .. } => false,
        }
    }

    /// A reading that nothing is told about: shown, but not worth a write of its own.
    fn measured(&mut self, name: &'static str, value: f64) -> bool {
        self.soft.dirty |= self.soft.measured.insert(name, value) != Some(value);
        false
    }

    /// A judgement that was put off is due; true where the device's durable state changed.
    pub(super) fn due(&mut self, concern: Concern, teller: &mut Teller<'_>) -> bool {
        match concern {
            Concern::Lock => lock::due(self, teller),
            Concern::Battery => battery::due(self, teller),
            Concern::Flaky => flaky::due(self, teller),
            Concern::Noise => noise::due(self, teller),
            // The codes' own business.
            Concern::Codes => false,
        }
    }
}
