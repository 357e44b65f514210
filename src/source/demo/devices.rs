//! The building's Bluetooth devices, byte for byte as real ones advertise.
//! Layouts: see the decoders of the same families in `source/ble/decode/`.

use std::sync::Arc;

use aes::Aes128;
use aes::cipher::KeyInit;
use ccm::Ccm;
use ccm::aead::AeadInOut;
use ccm::consts::{U4, U13};

use crate::signal::Address;
use crate::source::ble::{Advert, uuid16};

/// What a device shows of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shows {
    pub battery: u8,
    pub locked: bool,
    pub open: bool,
    pub tampered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// BTHome v2, encrypted: lock and battery.
    BthomeLock,
    /// SwitchBot Lock: bolt in the manufacturer data, battery in the service data.
    SwitchbotLock,
    /// BTHome v2: door and battery.
    BthomeDoor,
    /// BTHome v2: window, tamper and battery.
    BthomeWindow,
    /// SwitchBot Keypad Vision: battery and tamper.
    SwitchbotKeypad,
    /// RuuviTag, data format 5.
    Ruuvi,
    /// Somebody else's iBeacon.
    Stranger,
}

/// One device of the building.
#[derive(Clone, Copy, Debug)]
pub struct Fitting {
    pub name: &'static str,
    pub address: Address,
    pub model: Model,
    /// Seconds between adverts.
    pub interval: f64,
}

/// The key of the one encrypted lock; a demo has no secrets.
pub const KEY: [u8; 16] = *b"portcullis-demo!";

const fn address(last: u8) -> Address {
    Address([0xC0, 0xFF, 0xEE, 0xDE, 0x30, last])
}

pub const FITTINGS: &[Fitting] = &[
    Fitting { name: "Flat 1 lock", address: address(1), model: Model::BthomeLock, interval: 1.5 },
    Fitting { name: "Flat 2 lock", address: address(2), model: Model::SwitchbotLock, interval: 1.0 },
    Fitting { name: "Front door contact", address: address(3), model: Model::BthomeDoor, interval: 2.0 },
    Fitting { name: "Cellar window", address: address(4), model: Model::BthomeWindow, interval: 3.0 },
    Fitting { name: "Garden gate keypad", address: address(5), model: Model::SwitchbotKeypad, interval: 2.0 },
    Fitting { name: "Stairwell climate", address: address(6), model: Model::Ruuvi, interval: 1.3 },
    Fitting { name: "", address: address(0xF1), model: Model::Stranger, interval: 0.7 },
    Fitting { name: "", address: address(0xF2), model: Model::Stranger, interval: 4.0 },
];

/// The `n`th advert of a device.
pub fn advert(fitting: &Fitting, shows: Shows, n: u32, rssi: i16) -> Advert {
    let mut advert = Advert { address: fitting.address, rssi: Some(rssi), ..Advert::default() };
    let packet = n as u8;
    match fitting.model {
        Model::BthomeLock => {
            let objects = [0x01, shows.battery, 0x1F, u8::from(!shows.locked)];
            advert.service_data.insert(uuid16(0xFCD2), bthome_encrypted(fitting.address, &objects, n));
        }
        Model::BthomeDoor => {
            let data = vec![0x40, 0x00, packet, 0x01, shows.battery, 0x1A, u8::from(shows.open)];
            advert.service_data.insert(uuid16(0xFCD2), data);
        }
        Model::BthomeWindow => {
            let (tampered, open) = (u8::from(shows.tampered), u8::from(shows.open));
            let data = vec![0x40, 0x00, packet, 0x01, shows.battery, 0x2B, tampered, 0x2D, open];
            advert.service_data.insert(uuid16(0xFCD2), data);
        }
        Model::SwitchbotLock => {
            let status = 0x80 | u8::from(!shows.locked) << 4 | u8::from(shows.open) << 2;
            let mut data = fitting.address.0.to_vec();
            data.extend([sequence(shows), status, 0x00, 0x00, 0x00, 0x00]);
            advert.manufacturer_data.insert(0x0969, data);
            advert.service_data.insert(uuid16(0xFD3D), vec![b'o', 0x00, shows.battery]);
        }
        Model::SwitchbotKeypad => {
            let mut data = fitting.address.0.to_vec();
            data.extend([sequence(shows), shows.battery, u8::from(shows.tampered) << 1, 0, 0, 0, 0, 0]);
            advert.manufacturer_data.insert(0x0969, data);
            // A newer model names itself by a device type behind a zero byte: 00110378 is the Keypad Vision.
            advert.service_data.insert(uuid16(0xFD3D), vec![0x00, 0x00, shows.battery, 0x00, 0x11, 0x03, 0x78]);
        }
        Model::Ruuvi => advert.manufacturer_data.extend([(0x0499, ruuvi(fitting.address, n))]),
        Model::Stranger => {
            let mut data = vec![0x02, 0x15];
            data.extend(fitting.address.0.iter().cycle().take(16));
            data.extend([0x00, 0x01, 0x00, 0x02, 0xC5]);
            advert.manufacturer_data.insert(0x004C, data);
        }
    }
    if !fitting.name.is_empty() {
        advert.name = Some(Arc::from(fitting.name));
    }
    advert
}

/// SwitchBot's sequence number changes with the content, and is never 0.
fn sequence(s: Shows) -> u8 {
    1 + (s.battery.wrapping_mul(8) | u8::from(s.locked) << 2 | u8::from(s.open) << 1 | u8::from(s.tampered)) % 255
}

/// BTHome v2 encryption: AES-128-CCM, 4-byte tag; nonce = address, UUID, device information, counter.
fn bthome_encrypted(address: Address, objects: &[u8], counter: u32) -> Vec<u8> {
    const INFO: u8 = 0x41;
    let mut nonce = [0; 13];
    nonce[..6].copy_from_slice(&address.0);
    nonce[6..9].copy_from_slice(&[0xD2, 0xFC, INFO]);
    nonce[9..].copy_from_slice(&counter.to_le_bytes());
    let mut data = objects.to_vec();
    let tag = Ccm::<Aes128, U4, U13>::new(&KEY.into())
        .encrypt_inout_detached(&nonce.into(), &[], data.as_mut_slice().into())
        .expect("a few bytes are never too long for CCM");
    [&[INFO][..], &data, &counter.to_le_bytes(), &tag].concat()
}

/// Format 5: temperature 0.005 °C, humidity 0.0025 %, pressure -50000 Pa, acceleration, power, movement, sequence, address.
fn ruuvi(address: Address, n: u32) -> Vec<u8> {
    let temperature = 4200 + (n / 40 % 60) as i16;
    let mut data = vec![5];
    data.extend(temperature.to_be_bytes());
    data.extend(18_000u16.to_be_bytes());
    data.extend(51_300u16.to_be_bytes());
    data.extend([0, 10, 0, 12, 4, 0]);
    data.extend((((2950 - 1600) << 5) | 22u16).to_be_bytes());
    data.push(7);
    data.extend((n as u16).to_be_bytes());
    data.extend(address.0);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;
    use crate::source::ble::decode::{self, BindKey, Memory};
    use crate::time::Mono;

    /// What our own decoders make of a fitting's advert.
    fn read(model: Model, shows: Shows) -> Vec<Signal> {
        let fitting = FITTINGS.iter().find(|f| f.model == model).unwrap();
        let key = (model == Model::BthomeLock).then(|| BindKey::new(KEY.to_vec()));
        let advert = advert(fitting, shows, 1000, -60);
        let decoded = decode::decode(&advert, key.as_ref(), &mut Memory::default(), Mono(0)).expect("a known family");
        assert!(decoded.accepted(), "{model:?}: {:?}", decoded.reject);
        decode::signals::signals(&decoded)
    }

    #[test]
    fn every_device_of_the_building_is_read_as_what_it_shows() {
        use crate::signal::LockState::{Locked, Unlocked};
        let shows = Shows { battery: 42, locked: true, open: true, tampered: true };
        let battery = Signal::Battery { percent: 42 };
        for (model, signal) in [
            (Model::BthomeLock, Signal::Lock(Locked)),
            (Model::SwitchbotLock, Signal::Lock(Locked)),
            (Model::BthomeDoor, Signal::Door { open: true }),
            (Model::BthomeWindow, Signal::Tamper(true)),
            (Model::SwitchbotKeypad, Signal::Tamper(true)),
        ] {
            let read = read(model, shows);
            assert!(read.contains(&signal) && read.contains(&battery), "{model:?}: {read:?}");
        }
        let open = Shows { locked: false, ..shows };
        for model in [Model::BthomeLock, Model::SwitchbotLock] {
            assert!(read(model, open).contains(&Signal::Lock(Unlocked)), "{model:?}");
        }
    }
}
