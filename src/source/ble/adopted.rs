//! Devices that are adopted and released while the hub runs: the intake hears of them from the store, where they are first.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::intake::Intake;
use crate::hub::{Device, DeviceView, RowKind};
use crate::signal::{Address, DeviceKey};
use crate::store::{Head, Store, StoreError};

/// A managed device, and the counter that was stored with its last event.
pub type Met = (Address, Option<u32>);

/// The managed Bluetooth devices among these.
pub fn met(devices: impl Iterator<Item = impl Borrow<Device>>) -> Vec<Met> {
    devices.filter_map(|device| managed(device.borrow())).collect()
}

fn managed(device: &Device) -> Option<Met> {
    match device.key {
        DeviceKey::Ble(address) if device.managed => Some((address, device.counter)),
        _ => None,
    }
}

/// Follows for ever what changes after this call; drop it to stop.
pub fn follow(store: Store, intake: Arc<Mutex<Intake>>) -> impl Future<Output = Result<Infallible, StoreError>> + Send {
    let mut head = store.head();
    let seen = head.borrow_and_update().rev;
    follow_from(seen, head, store, intake)
}

async fn follow_from(
    mut seen: u64,
    mut head: watch::Receiver<Head>,
    store: Store,
    intake: Arc<Mutex<Intake>>,
) -> Result<Infallible, StoreError> {
    loop {
        head.changed().await.map_err(|_| StoreError::Stopped)?;
        if head.borrow_and_update().rev == seen {
            continue;
        }
        for row in store.state_since(seen)? {
            seen = seen.max(row.rev);
            let device = row.value.filter(|_| row.kind == RowKind::Device);
            let Some(device) = device.and_then(|v| serde_json::from_value::<DeviceView>(v).ok()) else { continue };
            let DeviceKey::Ble(address) = device.key else { continue };
            let mut intake = intake.lock().unwrap_or_else(|e| e.into_inner());
            if device.is_managed { intake.adopt(address) } else { intake.forget(address) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::event::Dialect;
    use crate::hub::{Hub, Input, Output};
    use crate::signal::{Link, LockState, Report, Signal};
    use crate::store::Batch;
    use crate::time::{Mono, Now, Wall};

    const LOCK: Address = Address([0xC0, 0xFF, 0xEE, 0, 0, 1]);

    #[tokio::test]
    async fn a_device_that_is_adopted_is_known_to_the_radio_at_once_and_after_a_restart_with_its_counter() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Dialect::Classic).unwrap();
        let intake = Arc::new(Mutex::new(Intake::new([])));
        let following = tokio::spawn(follow(store.clone(), intake.clone()));
        let now = |at| Now { mono: Mono(at), wall: Wall(at as i64), synchronized: true, entropy: at.into() };
        let config = Config::parse("[adopt]\nble = \"known\"\n", Path::new("/"), Default::default()).unwrap();
        let mut hub = Hub::new(config.settings(None), now(0));
        let report = Report {
            device: DeviceKey::Ble(LOCK),
            link: Link::Adapter("hci0".into()),
            rssi: None,
            name: None,
            family: "bthome_v2",
            irregular: false,
            counter: Some(7),
            occurred_at: None,
            signals: vec![Signal::Lock(LockState::Locked)],
        };
        let mut out = Output::default();
        hub.step(now(1), Input::Report(report), &mut out);
        store.append(Batch { events: out.events, rows: out.rows, then: None }).unwrap();
        let known = async {
            while !intake.lock().unwrap().knows(LOCK) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), known).await.expect("it is adopted");
        following.abort();
        let again = store.restore(|rows| met(rows.filter_map(|row| row.device()))).unwrap();
        assert_eq!(again, [(LOCK, Some(7))]);
    }
}
