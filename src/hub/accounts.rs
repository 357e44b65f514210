//! Connected accounts: the BLE account (all adapters together) and each Z-Wave network.
//!
//! A network is connected while its bridge is up. The BLE account is connected while any adapter hears; a first advert proves
//! that one does, so a capture without a word about adapters is judged as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::settings::{Place, Settings};
use super::tell::Teller;
use super::timers::Timer;
use crate::event::{ErrorCode, EventType, Issue};
use crate::signal::{DeviceKey, DownReason, Link, LinkNews, NAMESPACE};
use crate::time::{Mono, Wall};

/// So long no adapter may hear before the BLE account is told as lost: as long as an adapter's own silence (DESIGN: 120 s), and
/// enough for a restart of bluetoothd or of the controller.
const BLE_GRACE: Duration = Duration::from_secs(120);

/// Adverts that were on their way when the last adapter fell silent prove nothing.
const BLE_LATE: Duration = Duration::from_secs(5);

/// Bluetooth knows no inventory; after a minute of hearing, everything that advertises at all has been heard, and a stranger is
/// believed.
const BLE_SYNC: Duration = Duration::from_secs(60);

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
    /// When `connected` last changed.
    #[serde(default)]
    pub since: Option<Wall>,
    /// Why it is not connected.
    #[serde(default)]
    pub down: Option<DownReason>,
    pub first_sync_completed: bool,
    /// It was lost and is there again, but its inventory is not yet.
    #[serde(default)]
    pub resyncing: bool,
}

impl Account {
    pub fn errors(&self) -> Vec<Issue> {
        let (code, message) = match self.down {
            _ if self.connected => return Vec::new(),
            None if self.home.is_none() => ("bridge_disconnected", "No Bluetooth adapter hears anything."),
            None | Some(DownReason::Unreachable) => ("bridge_disconnected", "The Z-Wave server cannot be reached."),
            Some(DownReason::DriverDown) => ("bridge_disconnected", "The Z-Wave server has lost its stick."),
            Some(DownReason::Incompatible) => ("bridge_disconnected", "The Z-Wave server speaks no schema we know."),
            Some(DownReason::Refused) => ("account_disconnected", "The Z-Wave server refuses our credentials."),
        };
        vec![Issue::error(self.since, code, message)]
    }

    /// What this means for its devices.
    pub fn error_code(&self) -> ErrorCode {
        match self.down {
            Some(DownReason::Refused) => ErrorCode::AccountDisconnected,
            _ => ErrorCode::HubDisconnected,
        }
    }
}

#[derive(Debug, Default)]
pub struct Accounts {
    ble: Option<Account>,
    networks: HashMap<u32, Account>,
    /// Whether each adapter that was spoken of can hear.
    adapters: BTreeMap<Arc<str>, bool>,
    /// Since when no adapter hears.
    deaf_since: Option<Mono>,
    /// Connect forms that were completed and whose bridge has not answered yet, by network.
    logins: BTreeMap<Arc<str>, Uuid>,
}

impl Accounts {
    pub fn restore(&mut self, row: &str) {
        match Account::from_row(row) {
            Some(account) if account.home.is_none() => self.ble = Some(account),
            Some(account) => drop(self.networks.insert(account.home.unwrap_or_default(), account)),
            None => {}
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.ble.iter().chain(self.networks.values())
    }

    pub fn of(&self, key: &DeviceKey) -> Option<&Account> {
        self.get(home(key))
    }

    fn get(&self, home: Option<u32>) -> Option<&Account> {
        match home {
            None => self.ble.as_ref(),
            Some(home) => self.networks.get(&home),
        }
    }

    pub fn account_id(key: &DeviceKey, settings: &Settings) -> Uuid {
        account_id(home(key), settings)
    }

    /// Where the configuration would name this device; `None` while its network's home id belongs to no configured network.
    pub fn place(&self, key: &DeviceKey) -> Option<Place> {
        match *key {
            DeviceKey::Ble(address) => Some(Place::Ble(address)),
            DeviceKey::Zwave { home, node } => {
                let network = self.networks.get(&home)?.network.clone()?;
                Some(Place::Zwave { network, node })
            }
        }
    }

    /// The opposite: the device at a place of the configuration, once its network was met.
    pub fn key(&self, place: &Place) -> Option<DeviceKey> {
        match place {
            Place::Ble(address) => Some(DeviceKey::Ble(*address)),
            Place::Zwave { network, node } => {
                // The youngest network of that name: a stick may have been exchanged.
                let of_name = self.networks.values().filter(|a| a.network.as_ref() == Some(network));
                let home = of_name.max_by_key(|a| (a.connected, a.since, a.home))?.home?;
                Some(DeviceKey::Zwave { home, node: *node })
            }
        }
    }

    /// A device was heard: its account exists, and one over the air is connected. Cheap where that is no news.
    pub fn meet(&mut self, key: &DeviceKey, link: &Link, teller: &mut Teller<'_>) {
        let DeviceKey::Ble(_) = key else { return };
        let deaf = self.deaf_since.is_some();
        if !deaf && self.ble.as_ref().is_some_and(|a| a.connected) {
            return;
        }
        if self.deaf_since.is_some_and(|since| teller.now.mono.since(since) < BLE_LATE) {
            return;
        }
        if let (true, Link::Adapter(name)) = (deaf, link) {
            self.adapters.insert(name.clone(), true);
        }
        self.hears(teller);
    }

    /// Takes news of a link. Pushes the homes of the accounts that were lost by it; their devices are the caller's.
    pub fn link(&mut self, link: &Link, news: &LinkNews, teller: &mut Teller<'_>, lost: &mut Vec<Option<u32>>) {
        match (link, news) {
            (Link::Adapter(name), LinkNews::Adapter { powered, scanning }) => {
                self.adapters.insert(name.clone(), *powered && *scanning);
                if self.adapters.values().any(|hears| *hears) {
                    self.hears(teller);
                } else if self.deaf_since.is_none() {
                    self.deaf_since = Some(teller.now.mono);
                    teller.set(Timer::Account(None), teller.now.mono + BLE_GRACE);
                }
            }
            (Link::Network(name), LinkNews::BridgeUp { home }) => {
                // Another stick behind the same name: what was there before is not reached any more.
                self.network_down(name, Some(*home), DownReason::DriverDown, teller, lost);
                self.connect(Some(*home), Some(name), teller);
            }
            (Link::Network(name), LinkNews::BridgeDown(reason)) => {
                if *reason == DownReason::Refused {
                    self.logins.remove(name);
                }
                self.network_down(name, None, *reason, teller, lost);
            }
            (Link::Network(_), LinkNews::BridgeSynced { home }) => self.synced(Some(*home), teller),
            _ => {}
        }
    }

    /// No adapter has heard for the whole grace. True where the BLE account is thereby lost.
    pub fn deaf(&mut self, teller: &mut Teller<'_>) -> bool {
        let Some(account) = self.ble.as_mut().filter(|a| a.connected) else { return false };
        teller.cancel_timer(Timer::Sync);
        disconnect(account, None, teller);
        true
    }

    /// The timers of what was restored.
    pub fn resume(&mut self, teller: &mut Teller<'_>) {
        if self.ble.as_ref().is_some_and(|a| a.connected && (a.resyncing || !a.first_sync_completed)) {
            teller.set(Timer::Sync, teller.now.mono + BLE_SYNC);
        }
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.ble.iter_mut().chain(self.networks.values_mut())
    }

    /// BLE has listened long enough to call that an inventory.
    pub fn ble_synced(&mut self, teller: &mut Teller<'_>) {
        self.synced(None, teller);
    }

    /// Someone completed the connect form of a network. Told once its bridge has accepted the credentials.
    pub fn login(&mut self, network: &Arc<str>, connect_webview_id: Uuid, teller: &mut Teller<'_>) {
        let connected = self.networks.values().find(|a| a.connected && a.network.as_ref() == Some(network));
        match connected {
            Some(account) => tell_login(account, connect_webview_id, teller),
            None => drop(self.logins.insert(network.clone(), connect_webview_id)),
        }
    }

    /// Drops the accounts of networks that the configuration no longer has; told, and pushed for their devices to follow.
    pub fn reconcile(&mut self, teller: &mut Teller<'_>, gone: &mut Vec<u32>) {
        let configured = |a: &Account| a.network.as_ref().is_some_and(|n| teller.settings.networks.contains(n));
        let mut homes: Vec<u32> = self.networks.iter().filter(|(_, a)| !configured(a)).map(|(home, _)| *home).collect();
        homes.sort_unstable();
        for home in homes {
            let Some(account) = self.networks.remove(&home) else { continue };
            teller.tell_account(account.account_id, EventType::ConnectedAccountDeleted, |_| {});
            teller.drop_account(&account);
            gone.push(home);
        }
    }

    fn hears(&mut self, teller: &mut Teller<'_>) {
        self.deaf_since = None;
        teller.cancel_timer(Timer::Account(None));
        if self.ble.as_ref().is_none_or(|a| !a.connected) {
            self.connect(None, None, teller);
            teller.set(Timer::Sync, teller.now.mono + BLE_SYNC);
        }
    }

    fn network_down(
        &mut self,
        name: &Arc<str>,
        except: Option<u32>,
        reason: DownReason,
        teller: &mut Teller<'_>,
        lost: &mut Vec<Option<u32>>,
    ) {
        let mut of_name: Vec<&mut Account> = self
            .networks
            .values_mut()
            .filter(|a| a.network.as_ref() == Some(name) && a.home != except)
            .filter(|a| a.connected || a.down != Some(reason))
            .collect();
        of_name.sort_by_key(|a| a.home);
        for account in of_name {
            if account.connected {
                disconnect(account, Some(reason), teller);
                lost.push(account.home);
            } else if except.is_none() {
                account.down = Some(reason);
                teller.keep_account(account);
            }
        }
    }

    fn connect(&mut self, home: Option<u32>, network: Option<&Arc<str>>, teller: &mut Teller<'_>) {
        let login = network.and_then(|n| self.logins.remove(n));
        let id = account_id(home, teller.settings);
        let new = || Account {
            account_id: id,
            home,
            network: network.cloned(),
            connected: false,
            created_at: teller.now.wall,
            since: None,
            down: None,
            first_sync_completed: false,
            resyncing: false,
        };
        let (created, account) = match home {
            None => (self.ble.is_none(), self.ble.get_or_insert_with(new)),
            Some(home) => (!self.networks.contains_key(&home), self.networks.entry(home).or_insert_with(new)),
        };
        let before = (!created).then(|| account.clone());
        account.network = network.cloned().or(account.network.take());
        if created {
            let form = login.unwrap_or_else(|| Uuid::new_v5(&NAMESPACE, account.account_id.as_bytes()));
            teller.tell_account(account.account_id, EventType::ConnectedAccountCreated, |d| {
                d.connect_webview_id = Some(form);
            });
        }
        if !account.connected {
            account.resyncing = account.since.is_some();
            account.connected = true;
            account.down = None;
            account.since = Some(teller.now.wall);
            teller.tell_account(account.account_id, EventType::ConnectedAccountConnected, |_| {});
        }
        if before.as_ref() != Some(account) {
            teller.keep_account(account);
        }
        if let Some(form) = login {
            tell_login(account, form, teller);
        }
    }

    fn synced(&mut self, home: Option<u32>, teller: &mut Teller<'_>) {
        let account = match home {
            None => self.ble.as_mut(),
            Some(home) => self.networks.get_mut(&home),
        };
        let Some(account) = account.filter(|a| a.connected) else { return };
        let news = match (account.first_sync_completed, account.resyncing) {
            (false, _) => EventType::ConnectedAccountCompletedFirstSync,
            (true, true) => EventType::ConnectedAccountCompletedFirstSyncAfterReconnection,
            (true, false) => return,
        };
        account.first_sync_completed = true;
        account.resyncing = false;
        teller.tell_account(account.account_id, news, |_| {});
        teller.keep_account(account);
    }
}

fn disconnect(account: &mut Account, reason: Option<DownReason>, teller: &mut Teller<'_>) {
    account.connected = false;
    account.down = reason;
    account.since = Some(teller.now.wall);
    let errors = account.errors();
    teller.tell_account(account.account_id, EventType::ConnectedAccountDisconnected, |d| {
        d.connected_account_errors = Some(errors);
        d.connected_account_warnings = Some(Vec::new());
    });
    teller.keep_account(account);
}

fn tell_login(account: &Account, connect_webview_id: Uuid, teller: &mut Teller<'_>) {
    teller.tell_account(account.account_id, EventType::ConnectedAccountSuccessfulLogin, |d| {
        d.connect_webview_id = Some(connect_webview_id);
    });
}

fn home(key: &DeviceKey) -> Option<u32> {
    match *key {
        DeviceKey::Ble(_) => None,
        DeviceKey::Zwave { home, .. } => Some(home),
    }
}

/// UUIDv5: a network's of its home id (it moves with the stick), the BLE account's of workspace and hub.
fn account_id(home: Option<u32>, settings: &Settings) -> Uuid {
    let Some(home) = home else {
        let name = format!("account:ble:{}:{}", settings.workspace_id, settings.hub_name);
        return Uuid::new_v5(&NAMESPACE, name.as_bytes());
    };
    network_account_id(home)
}

/// The id of the account of the network with this home id.
pub fn network_account_id(home: u32) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("account:zwave:{home:08x}").as_bytes())
}
