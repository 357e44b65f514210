//! What the API's `*/simulate/*` paths tell the building to do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::api::simulate::{Happening, Simulated};
use crate::engine::Clock;
use crate::hub::Input;
use crate::signal::{Address, DeviceKey, Link, LinkNews, Report, Signal};
use crate::source::Inputs;
use crate::source::demo::bridge::Bridge;
use crate::source::demo::building::Zwave;
use crate::source::demo::lock::Written;

/// Requests under way at once.
pub const AT_ONCE: usize = 16;

/// The demo's only adapter.
pub const ADAPTER: &str = "hci0";

/// So long (of the world's time) the radio is off: longer than the hub takes to be sure of it (120 s).
const RADIO_OFF_FOR: Duration = Duration::from_secs(180);

/// Bluetooth, as far as it can be told to fall silent.
#[derive(Clone, Debug, Default)]
pub struct Air {
    silent: Arc<Mutex<BTreeSet<Address>>>,
}

impl Air {
    pub fn carries(&self, address: Address) -> bool {
        let silent = self.silent.lock().unwrap_or_else(|e| e.into_inner());
        !silent.contains(&address) && !silent.contains(&EVERYBODY)
    }

    fn silence(&self, address: Address, silent: bool) {
        let mut all = self.silent.lock().unwrap_or_else(|e| e.into_inner());
        if silent {
            all.insert(address)
        } else {
            all.remove(&address)
        };
    }
}

/// No device has this address: it stands for all.
const EVERYBODY: Address = Address([0; 6]);

/// The building, as far as it can be told what to do.
#[derive(Clone)]
pub struct Building {
    pub bridge: Bridge,
    pub air: Air,
    pub inputs: Inputs,
    pub clock: Clock,
}

impl Building {
    /// Lets happen what is asked, until nobody can ask any more.
    pub async fn obey(self, mut asked: mpsc::Receiver<Simulated>) {
        while let Some(Simulated { device, happening, done }) = asked.recv().await {
            let happened = match device {
                DeviceKey::Ble(address) => self.in_the_air(address, &happening).await,
                DeviceKey::Zwave { node, .. } => happen(&self.bridge, node, &happening),
            };
            let _ = done.send(happened);
        }
    }

    async fn in_the_air(&self, address: Address, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Lost => self.air.silence(address, true),
            Happening::Found => self.air.silence(address, false),
            Happening::Removed => {
                self.air.silence(address, true);
                let _ = self.inputs.send(Input::Report(unpaired(address))).await;
            }
            Happening::AccountLost => {
                self.radio(false).await;
                let (building, back) = (self.clone(), self.clock.mono() + RADIO_OFF_FOR);
                tokio::spawn(async move {
                    tokio::time::sleep(building.clock.until(back)).await;
                    building.radio(true).await;
                });
            }
            _ => return Err("the demo's Bluetooth devices do what they like; simulate with a Z-Wave device".into()),
        }
        Ok(())
    }

    async fn radio(&self, on: bool) {
        self.air.silence(EVERYBODY, !on);
        let news = LinkNews::Adapter { powered: on, scanning: on };
        let _ = self.inputs.send(Input::Link(Link::Adapter(ADAPTER.into()), news)).await;
    }
}

fn unpaired(address: Address) -> Report {
    Report {
        device: DeviceKey::Ble(address),
        link: Link::Adapter(ADAPTER.into()),
        rssi: None,
        name: None,
        family: "",
        irregular: false,
        counter: None,
        occurred_at: None,
        signals: vec![Signal::Removed],
    }
}

fn happen(bridge: &Bridge, node: u16, happening: &Happening) -> Result<(), String> {
    let done = match happening {
        Happening::Lost => bridge.answers(node, false),
        Happening::Found => bridge.answers(node, true),
        Happening::Removed => bridge.exclude(node),
        Happening::AccountLost => {
            bridge.refuse();
            true
        }
        Happening::Noise => bridge.make_noise(node),
        Happening::Entry(digits) => bridge.enter(node, digits.reveal()),
        Happening::KeypadLock if bridge.is_lock(node) => {
            bridge.attend(node);
            bridge.happen(node, Zwave::Keypad { locked: true, user: 0 });
            true
        }
        Happening::KeypadLock => false,
        Happening::Programmed(digits) => match bridge.program_anywhere(node, digits.reveal()) {
            Written::Duplicate => return Err("the lock has this code already".into()),
            written => written == Written::Added,
        },
    };
    if done { Ok(()) } else { Err("this device can do no such thing".into()) }
}
