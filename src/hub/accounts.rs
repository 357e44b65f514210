//! Connected accounts: the BLE account (all adapters together) and each Z-Wave network.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::settings::{Place, Settings};
use super::tell::Teller;
use crate::event::EventType;
use crate::signal::{DeviceKey, Link, LinkNews, NAMESPACE};
use crate::time::Wall;

/// A connected account's durable state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub account_id: Uuid,
    /// `None`: the BLE account.
    pub home: Option<u32>,
    /// The network's name in the configuration.
    pub network: Option<Arc<str>>,
    pub connected: bool,
    pub created_at: Wall,
    pub first_sync_completed: bool,
}

#[derive(Debug, Default)]
pub struct Accounts {
    /// By home id; `None` is BLE.
    by_home: HashMap<Option<u32>, Account>,
}

impl Accounts {
    pub fn new(_settings: &Settings) -> Accounts {
        Accounts::default()
    }

    pub fn restore(&mut self, value: Value) {
        if let Ok(account) = serde_json::from_value::<Account>(value) {
            self.by_home.insert(account.home, account);
        }
    }

    pub fn account_id(&self, key: &DeviceKey, settings: &Settings) -> Uuid {
        account_id(home(key), settings)
    }

    /// Where the configuration would name this device; `None` while its network's home id belongs to no configured network.
    pub fn place(&self, key: &DeviceKey) -> Option<Place> {
        match *key {
            DeviceKey::Ble(address) => Some(Place::Ble(address)),
            DeviceKey::Zwave { home, node } => {
                let network = self.by_home.get(&Some(home))?.network.clone()?;
                Some(Place::Zwave { network, node })
            }
        }
    }

    /// A device of this account was met: the account exists and is connected.
    pub fn meet(&mut self, key: &DeviceKey, teller: &mut Teller<'_>) {
        let home = home(key);
        if self.by_home.get(&home).is_some_and(|a| a.connected) {
            return;
        }
        self.connect(home, None, teller);
    }

    pub fn link(&mut self, link: &Link, news: &LinkNews, teller: &mut Teller<'_>) {
        match (link, news) {
            (Link::Network(name), LinkNews::BridgeUp { home }) => self.connect(Some(*home), Some(name.clone()), teller),
            (Link::Network(name), LinkNews::BridgeDown(_)) => {
                for account in self.by_home.values_mut().filter(|a| a.network.as_ref() == Some(name) && a.connected) {
                    account.connected = false;
                    teller.tell_account(account.account_id, EventType::ConnectedAccountDisconnected, |d| {
                        d.connected_account_errors = Some(Vec::new());
                        d.connected_account_warnings = Some(Vec::new());
                    });
                    teller.keep_account(account);
                }
            }
            _ => {}
        }
    }

    fn connect(&mut self, home: Option<u32>, network: Option<Arc<str>>, teller: &mut Teller<'_>) {
        let settings = teller.settings;
        let mut created = false;
        let account = self.by_home.entry(home).or_insert_with(|| {
            created = true;
            Account {
                account_id: account_id(home, settings),
                home,
                network: None,
                connected: false,
                created_at: teller.now.wall,
                first_sync_completed: false,
            }
        });
        account.network = network.or(account.network.take());
        if created {
            teller.tell_account(account.account_id, EventType::ConnectedAccountCreated, |d| {
                d.connect_webview_id = Some(Uuid::new_v5(&NAMESPACE, account.account_id.as_bytes()));
            });
        }
        if !account.connected {
            account.connected = true;
            teller.tell_account(account.account_id, EventType::ConnectedAccountConnected, |_| {});
        }
        teller.keep_account(account);
    }
}

fn home(key: &DeviceKey) -> Option<u32> {
    match *key {
        DeviceKey::Ble(_) => None,
        DeviceKey::Zwave { home, .. } => Some(home),
    }
}

/// UUIDv5: a network's of its home id (it moves with the stick), the BLE account's of workspace and hub.
fn account_id(home: Option<u32>, settings: &Settings) -> Uuid {
    let name = match home {
        Some(home) => format!("account:zwave:{home:08x}"),
        None => format!("account:ble:{}:{}", settings.workspace_id, settings.hub_name),
    };
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}
