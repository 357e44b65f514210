//! States that are told on their edge: tamper, privacy mode, a second controller; and the bell.

use super::Device;
use super::tell::Teller;
use crate::event::EventType;

/// Case open or pulled off the wall: told when it begins.
pub fn tamper(device: &mut Device, tampered: bool, teller: &mut Teller<'_>) -> bool {
    let before = device.tampered.replace(tampered);
    if tampered && before != Some(true) {
        teller.tell(device, EventType::DeviceTampered, |_| {});
    }
    before != Some(tampered)
}

/// Moved or shaken by a person: an operation, told each time.
pub fn moved(device: &Device, teller: &mut Teller<'_>) -> bool {
    teller.tell(device, EventType::DeviceTampered, |_| {});
    true
}
