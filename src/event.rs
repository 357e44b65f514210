//! The vocabulary of the world: what sinks are told, in the shape of Seam's Events API.
//!
//! An [`Event`] is made once by the hub. [`Event::render`] freezes it into the bytes that every sink sends.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::signal::{Method, Secret};
use crate::time::Wall;

/// What the digits of a code become where they may not go: no code looks like it.
pub const MASK: &str = "****";

macro_rules! event_types {
    ($($variant:ident = $text:literal,)*) => {
        /// Every event that a hub can tell. Seam's catalogue has more; those have no cause in a building.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType { $($variant),* }

        impl EventType {
            pub const ALL: &[EventType] = &[$(EventType::$variant),*];

            /// Seam's name of it: `lock.unlocked`.
            pub fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => $text),* }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;
            fn from_str(s: &str) -> Result<EventType, UnknownEventType> {
                match s { $($text => Ok(EventType::$variant),)* _ => Err(UnknownEventType(s.chars().take(80).collect())) }
            }
        }
    };
}

event_types! {
    AccessCodeCreated = "access_code.created",
    AccessCodeChanged = "access_code.changed",
    AccessCodeScheduledOnDevice = "access_code.scheduled_on_device",
    AccessCodeSetOnDevice = "access_code.set_on_device",
    AccessCodeBackupAccessCodePulled = "access_code.backup_access_code_pulled",
    AccessCodeRemovedFromDevice = "access_code.removed_from_device",
    AccessCodeDeleted = "access_code.deleted",
    AccessCodeDelayInSettingOnDevice = "access_code.delay_in_setting_on_device",
    AccessCodeFailedToSetOnDevice = "access_code.failed_to_set_on_device",
    AccessCodeDelayInRemovingFromDevice = "access_code.delay_in_removing_from_device",
    AccessCodeFailedToRemoveFromDevice = "access_code.failed_to_remove_from_device",
    AccessCodeModifiedExternalToSeam = "access_code.modified_external_to_seam",
    AccessCodeDeletedExternalToSeam = "access_code.deleted_external_to_seam",
    AccessCodeUnmanagedConvertedToManaged = "access_code.unmanaged.converted_to_managed",
    AccessCodeUnmanagedFailedToConvertToManaged = "access_code.unmanaged.failed_to_convert_to_managed",
    AccessCodeUnmanagedCreated = "access_code.unmanaged.created",
    AccessCodeUnmanagedRemoved = "access_code.unmanaged.removed",
    ConnectedAccountCreated = "connected_account.created",
    ConnectedAccountConnected = "connected_account.connected",
    ConnectedAccountSuccessfulLogin = "connected_account.successful_login",
    ConnectedAccountDisconnected = "connected_account.disconnected",
    ConnectedAccountDeleted = "connected_account.deleted",
    ConnectedAccountCompletedFirstSync = "connected_account.completed_first_sync",
    DeviceAccessoryKeypadConnected = "device.accessory_keypad_connected",
    DeviceAccessoryKeypadDisconnected = "device.accessory_keypad_disconnected",
    DeviceConnected = "device.connected",
    DeviceDisconnected = "device.disconnected",
    DeviceRemoved = "device.removed",
    DeviceDeleted = "device.deleted",
    DeviceLowBattery = "device.low_battery",
    DeviceBatteryStatusChanged = "device.battery_status_changed",
    DeviceTampered = "device.tampered",
    DeviceConnectionBecameFlaky = "device.connection_became_flaky",
    DeviceSaltoPrivacyModeActivated = "device.salto.privacy_mode_activated",
    DeviceSaltoPrivacyModeDeactivated = "device.salto.privacy_mode_deactivated",
    DeviceThirdPartyIntegrationDetected = "device.third_party_integration_detected",
    DeviceUnmanagedConnected = "device.unmanaged.connected",
    DeviceUnmanagedDisconnected = "device.unmanaged.disconnected",
    DeviceConvertedToUnmanaged = "device.converted_to_unmanaged",
    DeviceUnmanagedConvertedToManaged = "device.unmanaged.converted_to_managed",
    LockLocked = "lock.locked",
    LockUnlocked = "lock.unlocked",
    LockAccessDenied = "lock.access_denied",
    NoiseSensorNoiseThresholdTriggered = "noise_sensor.noise_threshold_triggered",
    AccessCodeNameChanged = "access_code.name_changed",
    AccessCodeCodeChanged = "access_code.code_changed",
    AccessCodeTimeFrameChanged = "access_code.time_frame_changed",
    ConnectedAccountCompletedFirstSyncAfterReconnection = "connected_account.completed_first_sync_after_reconnection",
    ActionAttemptLockDoorSucceeded = "action_attempt.lock_door.succeeded",
    ActionAttemptLockDoorFailed = "action_attempt.lock_door.failed",
    ActionAttemptUnlockDoorSucceeded = "action_attempt.unlock_door.succeeded",
    ActionAttemptUnlockDoorFailed = "action_attempt.unlock_door.failed",
    DeviceAdded = "device.added",
    DeviceThirdPartyIntegrationNoLongerDetected = "device.third_party_integration_no_longer_detected",
    DeviceConnectionStabilized = "device.connection_stabilized",
    DeviceNameChanged = "device.name_changed",
    DeviceDoorbellRang = "device.doorbell_rang",
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event type (for example lock.unlocked)")]
pub struct UnknownEventType(String);

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventType {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The two wordings of one event; `[events] dialect` chooses. See `docs/architecture.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    #[default]
    Classic,
    Current,
}

/// One event, before it is frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub event_id: Uuid,
    pub event_type: EventType,
    pub workspace_id: Uuid,
    pub created_at: Wall,
    pub occurred_at: Wall,
    pub connected_account_id: Uuid,
    /// Absent on `connected_account.*`.
    pub device_id: Option<Uuid>,
    pub details: Details,
}

/// What some events carry beside the common properties. Absent ones are not sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_code_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_access_code_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_code_is_managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_attempt_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_type: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Cow<'static, str>>,
    /// 0.0 to 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_level: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_status: Option<BatteryStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_webview_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// Rendered in the dialect's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_properties: Option<Vec<ChangedProperty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_reason: Option<Cow<'static, str>>,
    /// On `access_code.{name,code,time_frame}_changed`: in words, and what it was and is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<CodeFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<CodeFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_level_decibels: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_threshold_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_threshold_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_account_errors: Option<Vec<Issue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_account_warnings: Option<Vec<Issue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_errors: Option<Vec<Issue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_warnings: Option<Vec<Issue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_code_errors: Option<Vec<Issue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_code_warnings: Option<Vec<Issue>>,
    /// The hub's clock was not set when this was told; dates are guesses. Order is `seq`'s.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clock_unsynchronized: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatteryStatus {
    Critical,
    Low,
    Good,
    Full,
}

/// Why a device is told as disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The device alone.
    DeviceDisconnected,
    /// Its adapter, driver or bridge is down.
    HubDisconnected,
    /// The bridge refuses our credentials.
    AccountDisconnected,
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::DeviceDisconnected => "device_disconnected",
            ErrorCode::HubDisconnected => "hub_disconnected",
            ErrorCode::AccountDisconnected => "account_disconnected",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub reason_code: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedProperty {
    pub property: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The part of an access code that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum CodeFacts {
    Name { name: Option<String> },
    Digits { code: Option<Secret> },
    TimeFrame { starts_at: Option<String>, ends_at: Option<String> },
}

impl CodeFacts {
    fn without_digits(&mut self) {
        if let CodeFacts::Digits { code } = self {
            *code = None;
        }
    }
}

/// An error or a warning of a device, account or code, as Seam shapes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// RFC 3339.
    pub created_at: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning_code: Option<String>,
}

impl Issue {
    pub fn error(since: Option<Wall>, code: &str, message: &str) -> Issue {
        Issue { error_code: Some(code.to_owned()), ..Issue::new(since, message) }
    }

    pub fn warning(since: Option<Wall>, code: &str, message: &str) -> Issue {
        Issue { warning_code: Some(code.to_owned()), ..Issue::new(since, message) }
    }

    fn new(since: Option<Wall>, message: &str) -> Issue {
        let created_at = since.unwrap_or_default().to_string();
        Issue { created_at, message: message.to_owned(), error_code: None, warning_code: None }
    }
}

/// Whose errors and warnings an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issues {
    None,
    Account,
    /// The device's and the account's.
    Device,
    /// The code's, the device's and the account's.
    AccessCode,
}

impl EventType {
    pub fn issues(self) -> Issues {
        match self {
            EventType::ConnectedAccountDisconnected => Issues::Account,
            EventType::DeviceDisconnected
            | EventType::DeviceUnmanagedDisconnected
            | EventType::DeviceConnectionBecameFlaky
            | EventType::DeviceAccessoryKeypadDisconnected => Issues::Device,
            EventType::AccessCodeDelayInSettingOnDevice
            | EventType::AccessCodeFailedToSetOnDevice
            | EventType::AccessCodeDelayInRemovingFromDevice
            | EventType::AccessCodeFailedToRemoveFromDevice
            | EventType::AccessCodeUnmanagedFailedToConvertToManaged => Issues::AccessCode,
            _ => Issues::None,
        }
    }

    /// Whether it is told of a device that nobody manages; of those, nothing else is.
    pub fn is_told_of_unmanaged(self) -> bool {
        matches!(
            self,
            EventType::DeviceUnmanagedConnected
                | EventType::DeviceUnmanagedDisconnected
                | EventType::DeviceUnmanagedConvertedToManaged
                | EventType::DeviceConvertedToUnmanaged
                | EventType::DeviceRemoved
                | EventType::DeviceDeleted
        )
    }
}

impl Dialect {
    fn method(self, method: Method) -> &'static str {
        match (method, self) {
            (Method::Keycode, _) => "keycode",
            (Method::Manual, _) => "manual",
            (Method::Automatic, _) => "automatic",
            (Method::Api, Dialect::Classic) => "seamapi",
            (Method::Api, Dialect::Current) => "remote",
            (Method::Card, Dialect::Current) => "card",
            (Method::Bluetooth, Dialect::Current) => "remote",
            (Method::Card | Method::Bluetooth | Method::Unknown, _) => "unknown",
        }
    }
}

impl Event {
    /// The event's JSON, for ever: one object, no line break. `code` is in it where the type carries one.
    pub fn render(&self, dialect: Dialect) -> String {
        #[derive(Serialize)]
        struct Frozen<'a> {
            event_id: Uuid,
            event_type: EventType,
            workspace_id: Uuid,
            created_at: String,
            occurred_at: String,
            connected_account_id: Uuid,
            #[serde(skip_serializing_if = "Option::is_none")]
            device_id: Option<Uuid>,
            #[serde(skip_serializing_if = "Option::is_none")]
            method: Option<&'static str>,
            #[serde(flatten)]
            details: &'a Details,
        }
        let mut details = self.details.clone();
        let method = details.method.take().map(|m| dialect.method(m));
        if dialect == Dialect::Classic {
            if self.event_type == EventType::DeviceBatteryStatusChanged {
                details.battery_level = None;
            }
            if !matches!(self.event_type, EventType::AccessCodeSetOnDevice | EventType::AccessCodeScheduledOnDevice) {
                details.code = None;
            }
            details.from.iter_mut().chain(&mut details.to).for_each(CodeFacts::without_digits);
        }
        let frozen = Frozen {
            event_id: self.event_id,
            event_type: self.event_type,
            workspace_id: self.workspace_id,
            created_at: self.created_at.to_string(),
            occurred_at: self.occurred_at.to_string(),
            connected_account_id: self.connected_account_id,
            device_id: self.device_id,
            method,
            details: &details,
        };
        serde_json::to_string(&frozen).expect("an event is always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlocked() -> Event {
        Event {
            event_id: Uuid::from_u128(1),
            event_type: EventType::LockUnlocked,
            workspace_id: Uuid::from_u128(2),
            created_at: Wall(1_767_225_600_000),
            occurred_at: Wall(1_767_225_600_000),
            connected_account_id: Uuid::from_u128(3),
            device_id: Some(Uuid::from_u128(4)),
            details: Details { method: Some(Method::Api), ..Details::default() },
        }
    }

    #[test]
    fn each_dialect_has_its_own_word_for_an_unlock_through_the_api() {
        let word = |dialect| {
            let event: serde_json::Value = serde_json::from_str(&unlocked().render(dialect)).unwrap();
            event["method"].as_str().unwrap().to_owned()
        };
        assert_eq!(word(Dialect::Classic), "seamapi");
        assert_eq!(word(Dialect::Current), "remote");
    }

    #[test]
    fn the_battery_level_of_a_status_change_is_told_in_the_current_dialect_only() {
        let mut event = unlocked();
        event.event_type = EventType::DeviceBatteryStatusChanged;
        event.details =
            Details { battery_level: Some(0.5), battery_status: Some(BatteryStatus::Good), ..Details::default() };
        assert!(!event.render(Dialect::Classic).contains("battery_level"));
        assert!(event.render(Dialect::Current).contains("\"battery_level\":0.5"));
    }

    #[test]
    fn every_type_reads_back_from_its_name() {
        for t in EventType::ALL {
            assert_eq!(t.as_str().parse::<EventType>().unwrap(), *t);
        }
        assert!("lock.exploded".parse::<EventType>().is_err());
    }
}
