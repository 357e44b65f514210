//! The radio: adapters, discovery, adverts as BlueZ signals them, and batteries read over connections.
//!
//! ```text
//! dbus-daemon ──signals──► bus ──► adverts ──► Ear (intake ──► hub; or a capture)
//!                           ▲        │
//!                      calls│        ▼
//!                        session ◄── adapter (when to scan), poll (whom to read): pure, told the time
//! ```
//!
//! Promises: [`run`] never ends and never panics over what the bus, bluetoothd or an adapter does. No bus, no bluetoothd, no
//! adapter and an adapter that is off are states that are reported, not errors; each is left as soon as it can be. Reading never
//! waits for anything: calls run beside it, and the ear is never blocked on.

mod adapter;
mod adverts;
mod bus;
mod ear;
mod poll;
mod session;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use ear::{Ear, Heard, HubEar};
pub use poll::Settings as PollSettings;

use crate::backoff::{Backoff, dice};
use crate::engine::Clock;
use crate::health::Health;
use crate::hub::Action;
use session::Session;

/// Pauses before the bus is tried again. It comes up with the machine; later it is back within a second or not at all.
const BUS_RETRY_MIN: Duration = Duration::from_secs(1);
const BUS_RETRY_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Empty: all there are.
    pub adapters: Vec<String>,
    /// Others use the adapters: never power-cycle them.
    pub shared: bool,
    pub poll: PollSettings,
    /// The bus, where it is not the system's.
    pub bus: Option<String>,
}

/// Listens for ever. Drop it to stop.
pub async fn run<E: Ear>(
    settings: Settings,
    ear: E,
    actions: mpsc::UnboundedReceiver<Action>,
    health: Arc<Health>,
    clock: Clock,
) -> Infallible {
    let mut session = Session::new(settings, ear, actions, health, clock);
    let mut backoff = Backoff::new(BUS_RETRY_MIN, BUS_RETRY_MAX);
    loop {
        let (error, worked) = session.run().await;
        if worked {
            backoff.reset();
        }
        let pause = backoff.pause(dice());
        tracing::warn!(%error, retry_in_ms = pause.as_millis() as u64, "ble.bus_lost");
        session.bus_lost(&format!("{error}; next try in {} s", pause.as_secs() + 1));
        tokio::time::sleep(pause).await;
    }
}
