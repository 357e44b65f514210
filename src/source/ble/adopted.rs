//! Devices that are adopted and released while the hub runs, and their bind keys: the intake hears of them from the store, where
//! they are first.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::decode::BindKey;
use super::intake::Intake;
use crate::hub::{Device, DeviceView, Row, RowKind};
use crate::signal::{Address, DeviceKey, Secret};
use crate::store::{Head, Reader, StateRow, Store, StoreError};

/// Rows read at once.
const PAGE: usize = 64;

/// A managed device.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    pub address: Address,
    /// What was stored with its last event.
    pub counter: Option<u32>,
    /// What it was adopted with.
    pub bindkey: Option<BindKey>,
}

/// Bind keys by the device.
pub type Keys = HashMap<Uuid, BindKey>;

/// The managed Bluetooth devices among these.
pub fn met(devices: impl Iterator<Item = impl Borrow<Device>>, keys: &Keys) -> Vec<Met> {
    devices.filter_map(|device| managed(device.borrow(), keys)).collect()
}

fn managed(device: &Device, keys: &Keys) -> Option<Met> {
    match device.key {
        DeviceKey::Ble(address) if device.managed => {
            Some(Met { address, counter: device.counter, bindkey: keys.get(&device.device_id).cloned() })
        }
        _ => None,
    }
}

/// The keys that devices were adopted with.
pub fn keys(store: &Reader) -> Result<Keys, StoreError> {
    let rows = store.rows_after(RowKind::BindKey, "", usize::MAX)?;
    Ok(rows.into_iter().filter_map(|row| Some((row.key.parse().ok()?, kept(row.value?)?.1))).collect())
}

/// The row of such a key.
pub fn row(device_id: Uuid, address: Address, key: &Secret) -> Row {
    // What has this name is sealed on the disk.
    let value = json!({ "address": address, "secret": key.reveal() });
    Row { kind: RowKind::BindKey, key: device_id.to_string(), value: Some(value) }
}

fn kept(value: Value) -> Option<(Address, BindKey)> {
    let key = hex::decode(value["secret"].as_str()?).ok()?;
    Some((value["address"].as_str()?.parse().ok()?, BindKey::new(key)))
}

/// The address of a device that was adopted with a key.
pub fn address_in(store: &Reader, device_id: Uuid) -> Result<Option<Address>, StoreError> {
    let row = store.row(RowKind::BindKey, &device_id.to_string())?;
    Ok(row.and_then(|value| value["address"].as_str()?.parse().ok()))
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
        let last = head.borrow_and_update().rev;
        // A device that is adopted asks for its key; a key that comes later is given to it.
        for kind in [RowKind::Device, RowKind::BindKey] {
            let mut after = seen;
            while after < last {
                let rows = store.changes(kind, after, PAGE)?;
                // After the last of them there is nothing for us up to the head.
                after = rows.last().map_or(last, |row| row.rev);
                rows.into_iter().try_for_each(|row| hear(&store, &intake, row))?;
            }
        }
        seen = last;
    }
}

fn hear(store: &Reader, intake: &Mutex<Intake>, row: StateRow) -> Result<(), StoreError> {
    let Some(value) = row.value else { return Ok(()) };
    match row.kind {
        RowKind::BindKey => {
            if let Some((address, key)) = kept(value) {
                locked(intake).give_key(address, key);
            }
        }
        RowKind::Device => {
            let Ok(DeviceView { device_id, key: DeviceKey::Ble(address), is_managed, .. }) =
                serde_json::from_value(value)
            else {
                return Ok(());
            };
            if !is_managed {
                locked(intake).forget(address);
            } else if !locked(intake).knows(address) {
                // It may have been ours before, with a key.
                let kept = store.row(RowKind::BindKey, &device_id.to_string())?.and_then(kept);
                let mut intake = locked(intake);
                intake.adopt(address);
                if let Some((_, key)) = kept {
                    intake.give_key(address, key);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn locked(intake: &Mutex<Intake>) -> MutexGuard<'_, Intake> {
    intake.lock().unwrap_or_else(|e| e.into_inner())
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
    use crate::source::ble::{Advert, uuid16};
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
        let again = store.restore(|rows| met(rows.filter_map(|row| row.device()), &Keys::default())).unwrap();
        assert_eq!(again, [Met { address: LOCK, counter: Some(7), bindkey: None }]);
    }

    /// The advert and the key that BTHome's own description gives as an example.
    const SENSOR: Address = Address([0x54, 0x48, 0xE6, 0x8F, 0x80, 0xA5]);
    const KEY: &str = "231d39c1d7cc1ab1aee224cd096db932";

    fn understood(intake: &Mutex<Intake>) -> bool {
        let data = hex::decode("41a47266c95f730011223378237214").unwrap();
        let advert = Advert { address: SENSOR, service_data: [(uuid16(0xFCD2), data)].into(), ..Advert::default() };
        let report = locked(intake).advert(Mono(0), &"hci0".into(), &advert);
        report.is_some_and(|report| !report.signals.is_empty())
    }

    #[tokio::test]
    async fn a_bind_key_reaches_the_radio_at_once_and_again_with_each_adoption_and_is_sealed_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Dialect::Classic).unwrap();
        let id = Uuid::from_u128(7);
        let write = async |row| {
            store.append(Batch { events: Vec::new(), rows: vec![row], then: None }).unwrap();
            store.flush().await.unwrap();
        };
        write(row(id, SENSOR, &Secret::new(KEY))).await;
        let written = |name: &str| std::fs::read(dir.path().join(name)).unwrap_or_default();
        let files = [written("portcullis.db"), written("portcullis.db-wal")].concat();
        assert!(!files.windows(KEY.len()).any(|w| w == KEY.as_bytes()));
        assert_eq!(keys(&store).unwrap(), Keys::from([(id, BindKey::new(hex::decode(KEY).unwrap()))]));

        let heard = |kind, value| StateRow { rev: 0, kind, key: id.to_string(), value };
        let device = |is_managed: bool| {
            let device = json!({"device_id": id, "connected_account_id": id, "key": DeviceKey::Ble(SENSOR), "name": "",
                "is_managed": is_managed, "online": true, "errors": [], "warnings": []});
            heard(RowKind::Device, Some(device))
        };
        let intake = Mutex::new(Intake::default());
        assert!(!understood(&intake));
        hear(&store, &intake, heard(RowKind::BindKey, row(id, SENSOR, &Secret::new(KEY)).value)).unwrap();
        assert!(understood(&intake));
        hear(&store, &intake, device(false)).unwrap();
        assert!(!understood(&intake), "it was released");
        hear(&store, &intake, device(true)).unwrap();
        assert!(understood(&intake));
        write(Row { kind: RowKind::BindKey, key: id.to_string(), value: None }).await;
        hear(&store, &intake, device(false)).unwrap();
        hear(&store, &intake, device(true)).unwrap();
        assert!(!understood(&intake), "its key was taken away");
    }
}
