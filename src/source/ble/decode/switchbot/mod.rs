//! SwitchBot: company 0x0969 and service data of UUID 0xFD3D (0x0D00 on old firmware). Plain text, so a hint and no proof.
//!
//! ```text
//! company 0x0969   [0..6] address as printed  [6] sequence, changes with the content  [7..] the model's layout
//! 0xFD3D           [0] bits 0-6 type letter, bit 7 encrypted  [2] bits 0-6 battery %  [3..] the model's layout
//!                  newer models: [0] = 0, and the last four bytes (or those before the last) are the device type
//! ```
//!
//! The layout follows from the model, which only the service data names, and that is only in the scan response. The same
//! eleven bytes of manufacturer data are a curtain or a contact sensor: without service data we decode by the model that was
//! remembered for the address, and refuse where there is none (docs/decisions/0201).
//! Where both carry a value the manufacturer data wins: it is in the advert itself, not in a scan response of another moment.
//!
//! Sources: OpenWonderLabs/SwitchBotAPI-BLE (vendor); PySwitchbot 3.1.0 for models the vendor has not documented.

mod appliance;
mod lock;
mod model;
mod room;

use model::{Layout, Model};

use super::bytes::{Bytes, bit};
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "switchbot";
const COMPANY: u16 = 0x0969;
const SERVICE: u16 = 0xFD3D;
const SERVICE_OLD: u16 = 0x0D00;

/// What a model's layout is read from; an absent part is empty.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// Manufacturer data.
    mfr: &'a [u8],
    /// Service data.
    service: &'a [u8],
}

impl Parts<'_> {
    /// The manufacturer data's sequence number: changes with each change of its content.
    fn sequence(&self, out: &mut Decoded) {
        if let Some(sequence) = self.mfr.u8(6) {
            out.say(Name::Sequence, sequence);
        }
    }

    /// Battery as nearly all models have it in the service data; bit 7 is another flag.
    fn service_battery(&self, out: &mut Decoded) {
        if let Some(byte) = self.service.u8(2) {
            out.battery(byte & 0x7F);
        }
    }
}

pub fn decode(heard: &Heard<'_>, memory: &mut Memory) -> Option<Decoded> {
    let service = heard.service(SERVICE).or_else(|| heard.service(SERVICE_OLD));
    let mfr = heard.company(COMPANY);
    if service.is_none() && mfr.is_none() {
        return None;
    }
    let parts = Parts { mfr: mfr.unwrap_or_default(), service: service.unwrap_or_default() };
    let refused = |reject| Some(Decoded::refused(FAMILY, reject));
    let model = match Model::named_by(parts.service) {
        Some(model) => {
            memory.model = Some(model.name);
            model
        }
        None if service.is_none() => match memory.model.and_then(Model::by_name) {
            Some(model) => model,
            None => return refused(Reject::UnknownModel),
        },
        None if parts.service.is_empty() => return refused(Reject::Malformed),
        None => return refused(Reject::UnknownModel),
    };
    if parts.service.first().is_some_and(|&first| bit(first, 7)) {
        // No capture of an encrypted one is public, and no key to read it with.
        return Some(Decoded { encrypted: true, ..Decoded::refused(FAMILY, Reject::NoKey) });
    }
    let mut out = Decoded::read(FAMILY, |out| read(model, parts, memory, out));
    if out.accepted() {
        out.other("model", model.name);
    }
    Some(out)
}

/// The name under which a model is remembered, from how its owner calls it.
pub fn model_meant_by(text: &str) -> Option<&'static str> {
    Model::meant_by(text).map(|model| model.name)
}

/// `None` where the parts are too short for the layout.
fn read(model: &Model, parts: Parts<'_>, memory: &mut Memory, out: &mut Decoded) -> Option<()> {
    match model.layout {
        Layout::Lock { door_sensor, calibration_counts } => lock::lock(parts, door_sensor, calibration_counts, out),
        Layout::LockPro { extra, calibration_counts } => lock::lock_pro(parts, extra, calibration_counts, out),
        Layout::Keypad => lock::keypad(parts, out),
        Layout::KeypadVision { radar } => lock::keypad_vision(parts, radar, memory, out),
        Layout::Contact => room::contact(parts, out),
        Layout::Motion => room::motion(parts, out),
        Layout::Presence => room::presence(parts, out),
        Layout::Leak => room::leak(parts, out),
        Layout::Garage => room::garage(parts, out),
        Layout::Meter { co2 } => room::meter(parts, co2, out),
        Layout::Hub { light } => room::hub(parts, light, out),
        Layout::Hub3 => room::hub3(parts, out),
        Layout::WeatherStation => room::weather_station(parts, out),
        Layout::ClimatePanel => room::climate_panel(parts, out),
        Layout::Radiator => room::radiator(parts, out),
        Layout::Humidifier => room::humidifier(parts, out),
        Layout::HumidifierFirst => appliance::humidifier(parts, out),
        Layout::Curtain => appliance::curtain(parts, out),
        Layout::Blind => appliance::blind(parts, out),
        Layout::Appliance(appliance) => appliance::appliance(parts, &appliance, out),
    }
}

#[cfg(test)]
mod tests;
