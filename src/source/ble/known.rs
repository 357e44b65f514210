//! From the configuration to what the intake knows of its Bluetooth devices.

use super::intake::Known;
use crate::config::Config;
use crate::signal::Address;

impl Config {
    /// The Bluetooth devices of the configuration, with what the intake must know of them.
    pub fn known(&self) -> Vec<(Address, Known)> {
        let known =
            |(address, key): (Address, Option<&_>)| (address, Known { bindkey: key.cloned(), ..Known::default() });
        self.bind_keys().map(known).collect()
    }
}
