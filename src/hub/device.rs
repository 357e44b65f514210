//! A device as the hub knows it; the durable part of its state.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::tell::Teller;
use super::{Battery, DeviceSettings, Lock};
use crate::event::{ErrorCode, EventType};
use crate::signal::{Description, DeviceKey};
use crate::time::Wall;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub device_id: Uuid,
    pub key: DeviceKey,
    pub account_id: Uuid,
    pub managed: bool,
    pub name: Option<String>,
    #[serde(default)]
    pub description: Description,
    pub created_at: Option<Wall>,
    pub connected: bool,
    /// Why it is not connected.
    pub error_code: Option<ErrorCode>,
    /// When `connected` last changed.
    pub since: Option<Wall>,
    #[serde(default)]
    pub battery: Battery,
    #[serde(default)]
    pub lock: Lock,
    pub tampered: Option<bool>,
    pub door_open: Option<bool>,
    /// The sender's counter of the last report that changed something: older ones are replays.
    pub counter: Option<u32>,
}

impl Device {
    pub fn new(key: DeviceKey, account_id: Uuid, listed: Option<&DeviceSettings>) -> Device {
        Device {
            device_id: listed.and_then(|l| l.id).unwrap_or_else(|| key.device_id(0)),
            key,
            account_id,
            managed: true,
            name: listed.and_then(|l| l.name.clone()),
            description: Description::default(),
            created_at: None,
            connected: false,
            error_code: None,
            since: None,
            battery: Battery::default(),
            lock: Lock::default(),
            tampered: None,
            door_open: None,
            counter: None,
        }
    }

    pub(super) fn connected(&mut self, teller: &mut Teller<'_>) {
        self.created_at.get_or_insert(teller.now.wall);
        self.connected = true;
        self.error_code = None;
        self.since = Some(teller.now.wall);
        teller.tell(self, EventType::DeviceConnected, |_| {});
    }

    pub(super) fn disconnected(&mut self, code: ErrorCode, teller: &mut Teller<'_>) {
        self.connected = false;
        self.error_code = Some(code);
        self.since = Some(teller.now.wall);
        teller.tell(self, EventType::DeviceDisconnected, |d| {
            d.error_code = Some(code);
            d.connected_account_errors = Some(Vec::new());
            d.connected_account_warnings = Some(Vec::new());
            d.device_errors = Some(Vec::new());
            d.device_warnings = Some(Vec::new());
        });
    }
}
