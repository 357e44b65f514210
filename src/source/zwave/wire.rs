//! The words of zwave-js-server's protocol that matter here, typed. Source: the README of `@zwave-js/server` 3.10 (schemas 0 to 50).
//!
//! Reading is lenient: unknown fields and messages are passed over, and one bad node or value of a dump costs only itself.
//! No type of this file prints what it carries: user codes and typed digits pass through here.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Command classes, by their numbers in the Z-Wave specification.
pub mod cc {
    pub const BINARY_SENSOR: u16 = 48;
    pub const MULTILEVEL_SENSOR: u16 = 49;
    pub const SCHEDULE_ENTRY_LOCK: u16 = 78;
    pub const CENTRAL_SCENE: u16 = 91;
    pub const DOOR_LOCK: u16 = 98;
    pub const USER_CODE: u16 = 99;
    pub const BARRIER_OPERATOR: u16 = 102;
    pub const ENTRY_CONTROL: u16 = 111;
    pub const CONFIGURATION: u16 = 112;
    pub const NOTIFICATION: u16 = 113;
    pub const LOCK: u16 = 118;
    pub const BATTERY: u16 = 128;
    pub const CLOCK: u16 = 129;
    pub const USER_CREDENTIAL: u16 = 131;
    pub const WAKE_UP: u16 = 132;
    pub const TIME: u16 = 138;
    pub const TIME_PARAMETERS: u16 = 139;
}

/// What the server says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// The greeting.
    Version(Version),
    /// The answer to a command.
    Result(Box<Answer>),
    Event {
        event: Box<Event>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub home_id: Option<u32>,
    #[serde(default)]
    pub min_schema_version: u32,
    #[serde(default)]
    pub max_schema_version: u32,
    pub server_version: Option<String>,
    pub driver_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    #[serde(default)]
    pub message_id: String,
    #[serde(default)]
    pub success: bool,
    #[serde(default)]
    pub result: Value,
    pub zwave_error_code_name: Option<String>,
    pub error_code: Option<String>,
}

/// The answer to `start_listening`.
#[derive(Deserialize)]
pub struct State {
    pub controller: Controller,
    #[serde(default)]
    pub driver: Driver,
    #[serde(default)]
    pub nodes: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    pub home_id: Option<u32>,
    pub own_node_id: Option<u16>,
    /// 0 ready, 1 unresponsive, 2 jammed.
    #[serde(default)]
    pub status: u8,
    pub is_primary: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Driver {
    pub all_nodes_ready: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(default)]
    pub source: String,
    pub event: String,
    pub node_id: Option<u16>,
    pub cc_id: Option<u16>,
    #[serde(default)]
    pub args: Value,
    pub node_state: Option<Value>,
    pub node: Option<Value>,
    pub status: Option<u8>,
}

/// A node as a dump or its `ready` event tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    pub node_id: u16,
    /// 0 unknown, 1 asleep, 2 awake, 3 dead, 4 alive.
    #[serde(default)]
    pub status: u8,
    #[serde(default)]
    pub ready: bool,
    pub is_listening: Option<bool>,
    /// `false`, or how often the node listens (`"1000ms"`).
    pub is_frequent_listening: Option<Value>,
    pub is_controller_node: Option<bool>,
    pub manufacturer_id: Option<u16>,
    pub product_type: Option<u16>,
    pub product_id: Option<u16>,
    pub manufacturer: Option<String>,
    pub label: Option<String>,
    pub name: Option<String>,
    pub firmware_version: Option<String>,
    pub device_config: Option<DeviceConfig>,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    #[serde(default)]
    pub values: Vec<Value>,
}

#[derive(Deserialize)]
pub struct DeviceConfig {
    pub manufacturer: Option<String>,
    pub label: Option<String>,
    pub description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    #[serde(default)]
    pub command_classes: Vec<CommandClass>,
}

#[derive(Deserialize)]
pub struct CommandClass {
    pub id: u16,
}

/// A value of a node, of a dump (`value`) or of an event (`newValue`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueState {
    pub command_class: u16,
    #[serde(default)]
    endpoint: u16,
    pub property: Key,
    pub property_key: Option<Key>,
    /// Of a dump; some events have it beside `newValue`.
    #[serde(default)]
    value: Value,
    new_value: Option<Value>,
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub unit: Option<String>,
}

/// A property is named by a word or by a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
pub enum Key {
    Number(i64),
    Text(String),
    /// Nothing that is known today, and no reason to refuse the message.
    Other(IgnoredKey),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IgnoredKey;

impl<'de> Deserialize<'de> for IgnoredKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| IgnoredKey)
    }
}

impl Key {
    pub fn text(&self) -> &str {
        match self {
            Key::Text(text) => text,
            _ => "",
        }
    }

    fn written(&self) -> String {
        match self {
            Key::Number(n) => n.to_string(),
            Key::Text(text) => text.clone(),
            Key::Other(_) => String::new(),
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Key::Number(n) => Some(*n),
            Key::Text(text) => text.parse().ok(),
            Key::Other(_) => None,
        }
    }
}

impl ValueState {
    pub fn property(&self) -> &str {
        self.property.text()
    }

    pub fn key(&self) -> &str {
        self.property_key.as_ref().map_or("", Key::text)
    }

    pub fn slot(&self) -> Option<u16> {
        self.property_key.as_ref()?.number()?.try_into().ok()
    }

    /// As zwave-js-ui writes it: `112-0-8`, `113-0-Home Security-Cover status`.
    pub fn id(&self) -> String {
        let (class, endpoint, property) = (self.command_class, self.endpoint, self.property.written());
        match &self.property_key {
            Some(key) => format!("{class}-{endpoint}-{property}-{}", key.written()),
            None => format!("{class}-{endpoint}-{property}"),
        }
    }

    pub fn value(&self) -> &Value {
        self.new_value.as_ref().unwrap_or(&self.value)
    }

    pub fn number(&self) -> Option<i64> {
        self.value().as_i64()
    }
}

/// The arguments of a Notification command class event.
#[derive(Deserialize)]
pub struct NotificationArgs {
    #[serde(rename = "type")]
    pub kind: u16,
    pub event: u16,
    #[serde(default)]
    pub parameters: Value,
}

/// The arguments of an Entry Control event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryArgs {
    pub event_type: u16,
    #[serde(default)]
    pub event_data: Value,
}

/// The arguments of `credential added`, `… modified` and `… deleted`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialArgs {
    pub credential_type: Option<u16>,
    pub credential_slot: Option<u16>,
    pub data: Option<Value>,
}

/// Bytes as JSON tells a Node.js buffer: `{"type":"Buffer","data":[4]}`.
pub fn buffer(value: &Value) -> Option<Vec<u8>> {
    let bytes = value.get("data")?.as_array()?;
    bytes.iter().map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok())).collect()
}
