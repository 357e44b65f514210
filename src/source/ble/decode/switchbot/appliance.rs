//! SwitchBot appliances: a hub for doors wants to know that they live and how their battery is, and little else.

use super::Parts;
use crate::source::ble::decode::bytes::{Bytes, bit};
use crate::source::ble::decode::{Decoded, Name};

#[derive(Clone, Copy, Debug)]
pub struct Appliance {
    /// Length of manufacturer data below which the advert is cut off.
    pub min: usize,
    pub battery: Battery,
    /// The byte of manufacturer data whose bit 7 is "on".
    pub on: Option<usize>,
}

/// Where the battery percentage is, in bits 6-0.
#[derive(Clone, Copy, Debug)]
pub enum Battery {
    None,
    /// `service [2]`
    Service,
    /// In this byte of manufacturer data; bit 7 may be "charging".
    Mfr {
        byte: usize,
        charging: bool,
    },
}

pub fn appliance(parts: Parts<'_>, appliance: &Appliance, out: &mut Decoded) -> Option<()> {
    if parts.mfr.len() < appliance.min {
        return None;
    }
    parts.sequence(out);
    match appliance.battery {
        Battery::None => {}
        Battery::Service => parts.service_battery(out),
        Battery::Mfr { byte, charging } => {
            let power = parts.mfr.u8(byte)?;
            out.battery(power & 0x7F);
            if charging {
                out.say(Name::BatteryCharging, bit(power, 7));
            }
        }
    }
    if let Some(state) = appliance.on.and_then(|byte| parts.mfr.u8(byte)) {
        out.say(Name::PowerOn, bit(state, 7));
    }
    Some(())
}

/// The first humidifier, in service data alone: `[1]` not zero is on, `[4]` its level.
pub fn humidifier(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [on, _, _, level] = parts.service.array(1)?;
    out.say(Name::PowerOn, on != 0);
    out.other("level", level);
    Some(())
}

/// Curtains: `mfr [8]`, else `service [3]`: bit 7 in motion, 6-0 position; battery in `mfr [12]`, else as most.
pub fn curtain(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let from_mfr = parts.mfr.array(8).map(|[state, _, _]: [u8; 3]| state);
    let state = from_mfr.or_else(|| parts.service.array(3).map(|[state, _, _]: [u8; 3]| state))?;
    match parts.mfr.u8(12) {
        Some(battery) => out.battery(battery & 0x7F),
        None => parts.service_battery(out),
    }
    position(state, out);
    Some(())
}

/// Blind tilt and roller shade: `mfr [8]` bits 6-0 position; bit 7 in motion (blind), calibrated (shade).
pub fn blind(parts: Parts<'_>, out: &mut Decoded) -> Option<()> {
    let [state, _] = parts.mfr.array(8)?;
    parts.sequence(out);
    parts.service_battery(out);
    position(state, out);
    Some(())
}

/// Per cent of the way, as the motor counts it.
fn position(state: u8, out: &mut Decoded) {
    out.other("position", (state & 0x7F).min(100));
}
