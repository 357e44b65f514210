//! Where things are: whose a code and a noise threshold is, and how devices are named. Kept in memory as the state changes, so that a
//! request reads the rows that it is about and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::Value;
use uuid::Uuid;

use super::App;
use super::envelope::ApiError;
use super::events::read;
use crate::hub::RowKind;
use crate::store::{StateRow, Store, StoreError};

/// Changed rows that are read at once.
const CHUNK: usize = 500;

/// What is known, as of the last look.
#[derive(Debug, Default)]
pub struct Index(Mutex<Known>);

#[derive(Debug, Default)]
pub struct Known {
    /// The log whose revisions these are: another database starts anew.
    log_id: Uuid,
    codes_rev: u64,
    devices_rev: u64,
    codes: BTreeMap<String, Code>,
    devices: BTreeMap<String, Device>,
    /// The device of each noise threshold.
    thresholds: BTreeMap<String, String>,
}

/// Where a code is.
#[derive(Debug)]
pub struct Code {
    pub device_id: String,
    pub is_managed: bool,
    pub common_code_key: Option<String>,
}

#[derive(Debug, Default)]
struct Device {
    name: String,
    thresholds: Vec<String>,
}

impl Index {
    /// Asks it, once it knows all that is on disk now.
    pub fn look<T>(&self, store: &Store, ask: impl FnOnce(&Known) -> T) -> Result<T, StoreError> {
        let mut known = self.0.lock().unwrap_or_else(|e| e.into_inner());
        known.follow(store)?;
        Ok(ask(&known))
    }
}

impl App {
    /// What the index says of how things are on disk now.
    pub async fn look<T: Send + 'static>(&self, ask: impl FnOnce(&Known) -> T + Send + 'static) -> Result<T, ApiError> {
        let index = self.index.clone();
        read(self.store.clone(), move |store| index.look(store, ask)).await
    }

    /// The codes that are `so`, as their rows have them.
    pub async fn codes(&self, so: impl Fn(&Code) -> bool + Send + 'static) -> Result<Vec<Value>, ApiError> {
        let index = self.index.clone();
        read(self.store.clone(), move |store| {
            let keys = index.look(store, |known| known.codes(so))?;
            let rows: Result<Vec<_>, _> = keys.iter().map(|key| store.row(RowKind::Code, key)).collect();
            Ok(rows?.into_iter().flatten().collect())
        })
        .await
    }
}

impl Known {
    /// The keys of the codes that are `so`, in order.
    pub fn codes(&self, so: impl Fn(&Code) -> bool) -> BTreeSet<String> {
        self.codes.iter().filter(|(_, code)| so(code)).map(|(id, _)| id.clone()).collect()
    }

    /// The device that has this threshold.
    pub fn device_of_threshold(&self, id: &str) -> Option<String> {
        self.thresholds.get(id).cloned()
    }

    /// The devices of this name.
    pub fn devices_named(&self, name: &str) -> Vec<String> {
        self.devices.iter().filter(|(_, device)| device.name == name).map(|(id, _)| id.clone()).collect()
    }

    fn follow(&mut self, store: &Store) -> Result<(), StoreError> {
        let log_id = store.log_id();
        if self.log_id != log_id {
            *self = Known { log_id, ..Known::default() };
        }
        each(store, RowKind::Code, &mut self.codes_rev, |row| match row.value {
            Some(code) => drop(self.codes.insert(row.key, Code::of(&code))),
            None => drop(self.codes.remove(&row.key)),
        })?;
        each(store, RowKind::Device, &mut self.devices_rev, |row| {
            for gone in self.devices.remove(&row.key).unwrap_or_default().thresholds {
                self.thresholds.remove(&gone);
            }
            let Some(view) = row.value else { return };
            let device = Device::of(&view);
            self.thresholds.extend(device.thresholds.iter().map(|id| (id.clone(), row.key.clone())));
            self.devices.insert(row.key, device);
        })
    }
}

/// Hands over every row of a kind that changed after `rev`, which follows.
fn each(store: &Store, kind: RowKind, rev: &mut u64, mut take: impl FnMut(StateRow)) -> Result<(), StoreError> {
    loop {
        let rows = store.changes(kind, *rev, CHUNK)?;
        let Some(last) = rows.last() else { return Ok(()) };
        *rev = last.rev;
        rows.into_iter().for_each(&mut take);
    }
}

impl Code {
    fn of(row: &Value) -> Code {
        let text = |key: &str| row[key].as_str().map(str::to_owned);
        Code {
            device_id: text("device_id").unwrap_or_default(),
            is_managed: row["is_managed"] == true,
            common_code_key: text("common_code_key"),
        }
    }
}

impl Device {
    fn of(view: &Value) -> Device {
        let thresholds = view["noise_thresholds"].as_array().into_iter().flatten();
        Device {
            name: view["name"].as_str().unwrap_or_default().to_owned(),
            thresholds: thresholds.filter_map(|t| t["noise_threshold_id"].as_str().map(str::to_owned)).collect(),
        }
    }
}
