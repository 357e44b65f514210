//! Devices that are adopted and released while the hub runs: the intake hears of them from the store, where they are first.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use super::intake::Intake;
use crate::hub::{Device, RowKind};
use crate::signal::DeviceKey;
use crate::store::{Store, StoreError};

/// Follows for ever; drop it to stop.
pub async fn follow(store: Store, intake: Arc<Mutex<Intake>>) -> Result<Infallible, StoreError> {
    let mut head = store.head();
    let mut seen = head.borrow_and_update().rev;
    loop {
        head.changed().await.map_err(|_| StoreError::Stopped)?;
        if head.borrow_and_update().rev == seen {
            continue;
        }
        for row in store.state_since(seen)? {
            seen = seen.max(row.rev);
            let device = row.value.filter(|_| row.kind == RowKind::Device);
            let Some(device) = device.and_then(|v| serde_json::from_value::<Device>(v).ok()) else { continue };
            let DeviceKey::Ble(address) = device.key else { continue };
            let mut intake = intake.lock().unwrap_or_else(|e| e.into_inner());
            if device.managed { intake.adopt(address) } else { intake.forget(address) }
        }
    }
}
