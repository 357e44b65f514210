//! Bluetooth LE: adverts from BlueZ's D-Bus signals, adapters and GATT through btleplug, decoders in [`decode`].
//!
//! ```text
//! bus (D-Bus) ── Advert ──► intake (decode, merge, drop repeats) ── Report ──► hub
//! ```

pub mod adopted;
pub mod decode;
pub mod gatt;
pub mod intake;
mod known;
pub mod line;
pub mod radio;
mod repeats;
pub mod script;
mod strangers;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::signal::Address;

/// What one advertising event carried, as BlueZ or a capture tells it. Bluetooth Core 5.4, Vol 3, Part C, 11.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advert {
    pub address: Address,
    /// dBm.
    pub rssi: Option<i16>,
    pub name: Option<Arc<str>>,
    /// By company identifier, without it. In a capture: `"0969": "hex"`.
    pub manufacturer_data: BTreeMap<u16, Vec<u8>>,
    /// By UUID. 16-bit UUIDs are expanded with the Bluetooth base UUID.
    pub service_data: BTreeMap<uuid::Uuid, Vec<u8>>,
    pub service_uuids: Vec<uuid::Uuid>,
}

/// A 16-bit UUID on the Bluetooth base UUID. Bluetooth Core 5.4, Vol 3, Part B, 2.5.1.
pub const fn uuid16(short: u16) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x0000_0000_0000_1000_8000_0080_5f9b_34fb | (short as u128) << 96)
}
