//! States that are told on their edge: tamper, privacy mode, a second controller; and the bell.

use super::Device;
use super::tell::Teller;
use crate::event::EventType;

/// Case open or pulled off the wall: told when it begins.
pub fn tamper(device: &mut Device, tampered: bool, teller: &mut Teller<'_>) -> bool {
    let before = device.tampered;
    if device.tampered.set(tampered, teller.now.wall) && tampered {
        teller.tell(device, EventType::DeviceTampered, |_| {});
    }
    before != device.tampered
}

/// What a bridge remembers of the case: it fills what is not known, and is no news.
pub fn tamper_remembered(device: &mut Device, tampered: bool, teller: &mut Teller<'_>) -> bool {
    let unknown = device.tampered.on.is_none();
    if unknown {
        device.tampered.set(tampered, teller.now.wall);
    }
    unknown
}

/// Moved or shaken by a person: an operation, told each time. Nothing of it is state.
pub fn moved(device: &Device, teller: &mut Teller<'_>) -> bool {
    teller.tell(device, EventType::DeviceTampered, |_| {});
    false
}

pub fn privacy(device: &mut Device, on: bool, teller: &mut Teller<'_>) -> bool {
    let before = device.privacy;
    if device.privacy.set(on, teller.now.wall) {
        let (activated, deactivated) =
            (EventType::DeviceSaltoPrivacyModeActivated, EventType::DeviceSaltoPrivacyModeDeactivated);
        teller.tell(device, if on { activated } else { deactivated }, |_| {});
    }
    before != device.privacy
}

pub fn third_party(device: &mut Device, there: bool, teller: &mut Teller<'_>) -> bool {
    let before = device.third_party;
    if device.third_party.set(there, teller.now.wall) {
        let (detected, gone) =
            (EventType::DeviceThirdPartyIntegrationDetected, EventType::DeviceThirdPartyIntegrationNoLongerDetected);
        teller.tell(device, if there { detected } else { gone }, |_| {});
    }
    before != device.third_party
}

pub fn keypad(device: &mut Device, connected: bool, teller: &mut Teller<'_>) -> bool {
    let before = device.keypad;
    if device.keypad.set(connected, teller.now.wall) {
        let (came, went) = (EventType::DeviceAccessoryKeypadConnected, EventType::DeviceAccessoryKeypadDisconnected);
        teller.tell(device, if connected { came } else { went }, |_| {});
    }
    before != device.keypad
}

pub fn door(device: &mut Device, open: bool) -> bool {
    device.door_open.replace(open) != Some(open)
}

pub fn doorbell(device: &Device, teller: &mut Teller<'_>) -> bool {
    teller.tell(device, EventType::DeviceDoorbellRang, |_| {});
    false
}
