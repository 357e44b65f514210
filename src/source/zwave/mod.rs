//! Z-Wave: the WebSocket of zwave-js-server ([`link`]) and what its messages mean ([`bridge`], pure).
//!
//! ```text
//! zwave-js-server ══ WebSocket ══ link ── message ──► bridge ──► node (memory of one node) ──► map, alarm_v1 (tables)
//! ```

pub mod added;
mod alarm_v1;
pub mod bridge;
mod codes;
pub mod link;
mod map;
mod node;
mod orders;
pub mod probe;
mod radio;
mod schedules;
pub mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use bridge::{Bridge, Rules};

use crate::config::{Config, DevicePlace};

impl Config {
    /// The mapping rules of a network's nodes.
    pub fn zwave_rules(&self, network: &str) -> Rules {
        let of_network = self.devices.iter().filter_map(|device| match &device.place {
            DevicePlace::Zwave { network: name, node } if name == network => {
                Some((*node, device.map.as_slice().into()))
            }
            _ => None,
        });
        of_network.collect()
    }
}
