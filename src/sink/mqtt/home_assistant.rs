//! Home Assistant's MQTT discovery: which entities a device has there, and how they read its topics. Pure.
//!
//! One retained configuration an entity, at `homeassistant/{component}/{hub}_{device_id}/{entity}/config`: the form that Home
//! Assistant has understood since its entities were named within their device, and understands still (2023.8; event entities
//! are as old). The entities read the hub's own retained topics, so nothing is said twice.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::topics::Topics;
use crate::event::EventType;
use crate::hub::DeviceView;
use crate::signal::DeviceKind;

/// Home Assistant's own default.
pub const PREFIX: &str = "homeassistant/";

/// Where Home Assistant says that it has (re)started: `online`.
pub const BIRTH_TOPIC: &str = "homeassistant/status";
pub const BIRTH: &[u8] = b"online";

/// Of the payload an event entity keeps everything as attributes, and its history for long: digits of codes are left out.
const EVENT_TEMPLATE: &str =
    "{{ dict(value_json.items() | rejectattr(0, 'in', ['code', 'from', 'to']) | list) | to_json }}";

const LOCK_TEMPLATE: &str = "{% set state = value_json.lock_state | default('') %}\
     {% if state in ['jammed', 'locking', 'unlocking'] %}{{ state | upper }}\
     {% elif value_json.locked is defined %}{{ 'LOCKED' if value_json.locked else 'UNLOCKED' }}\
     {% else %}None{% endif %}";

/// For binary sensors whose "on" is the open door: unlocked.
const UNLOCKED_TEMPLATE: &str =
    "{% if value_json.locked is defined %}{{ 'OFF' if value_json.locked else 'ON' }}{% else %}None{% endif %}";

const BATTERY_TEMPLATE: &str = "{% if value_json.battery is defined and value_json.battery.level is defined %}\
     {{ (value_json.battery.level * 100) | round | int }}{% else %}None{% endif %}";

const BATTERY_LOW_TEMPLATE: &str = "{% if value_json.battery is defined and value_json.battery.status is defined %}\
     {{ 'ON' if value_json.battery.status in ['critical', 'low'] else 'OFF' }}{% else %}None{% endif %}";

/// What Home Assistant's locks send: see `command::request` for the words. Its sandbox has no larger range.
fn lock_command(device_id: &str) -> String {
    format!(
        r#"{{"id":"ha-{{{{ now().timestamp() }}}}-{{{{ range(100000) | random }}}}","sent_at":"{{{{ utcnow().isoformat() }}}}","device_id":"{device_id}","locked":{{{{ 'true' if value == 'LOCK' else 'false' }}}}}}"#
    )
}

fn yes_no(field: &str) -> String {
    format!(
        "{{% if value_json.{field} is defined %}}{{{{ 'ON' if value_json.{field} else 'OFF' }}}}{{% else %}}None{{% endif %}}"
    )
}

/// The entities of a device: topic and configuration. None of a device that is not managed.
pub fn entities(topics: &Topics, device: &DeviceView, commands: bool) -> BTreeMap<String, Vec<u8>> {
    let mut made = Made { topics, device, id: device.device_id.to_string(), configs: BTreeMap::new() };
    if !device.is_managed {
        return made.configs;
    }
    let known = &device.known;
    let online = "{{ 'ON' if value_json.online else 'OFF' }}".to_owned();
    made.sensor(
        "connectivity",
        "Connection",
        json!({"device_class": "connectivity", "entity_category": "diagnostic"}),
        online,
    );
    if let Some(battery) = &known.battery {
        if battery.level.is_some() {
            let facts = json!({"device_class": "battery", "unit_of_measurement": "%", "state_class": "measurement",
                "entity_category": "diagnostic"});
            made.reading("sensor", "battery", Some("Battery"), facts, BATTERY_TEMPLATE.into());
        } else if battery.status.is_some() {
            let facts = json!({"device_class": "battery", "entity_category": "diagnostic"});
            made.sensor("battery_low", "Battery low", facts, BATTERY_LOW_TEMPLATE.into());
        }
    }
    if known.tampered.is_some() {
        made.sensor("tamper", "Tampering", json!({"device_class": "tamper"}), yes_no("tampered"));
    }
    if known.door_open.is_some() {
        made.sensor("door", "Door", json!({"device_class": "door"}), yes_no("door_open"));
    }
    if known.noise_level_decibels.is_some() || known.kind == Some(DeviceKind::NoiseSensor) {
        let facts =
            json!({"device_class": "sound_pressure", "unit_of_measurement": "dB", "state_class": "measurement"});
        let level = "{{ value_json.noise_level_decibels | default('None') }}".to_owned();
        made.reading("sensor", "noise", Some("Noise"), facts, level);
    }
    if known.locked.is_some() || known.kind == Some(DeviceKind::Lock) {
        if commands && known.can_lock == Some(true) {
            let facts = json!({
                "command_topic": topics.command("set_lock"),
                "command_template": lock_command(&made.id),
                "qos": 1,
            });
            made.reading("lock", "lock", None, facts, LOCK_TEMPLATE.into());
        } else {
            made.sensor("bolt", "Bolt", json!({"device_class": "lock"}), UNLOCKED_TEMPLATE.into());
        }
    }
    made.last_event();
    made.configs
}

struct Made<'a> {
    topics: &'a Topics,
    device: &'a DeviceView,
    id: String,
    configs: BTreeMap<String, Vec<u8>>,
}

impl Made<'_> {
    /// A binary sensor on the device's retained topic.
    fn sensor(&mut self, entity: &str, name: &str, facts: Value, template: String) {
        self.reading("binary_sensor", entity, Some(name), facts, template);
    }

    /// An entity on the device's retained topic. Without a name it is called as the device is.
    fn reading(&mut self, component: &str, entity: &str, name: Option<&str>, facts: Value, template: String) {
        let topic = self.topics.device(&self.id);
        // The topic is emptied when the device goes, a moment before its entities have gone.
        let filled = |template: &str| format!("{{% if value_json is defined %}}{template}{{% endif %}}");
        let mut config = self.common(entity, name);
        config.insert("state_topic".into(), topic.clone().into());
        config.insert("value_template".into(), filled(&template).into());
        // Whether the device is there is what the connection tells; all others are unknown while it is not.
        if entity != "connectivity" {
            let there = "{{ 'online' if value_json.online else 'offline' }}";
            let device = json!({"topic": topic, "value_template": filled(there)});
            if let Some(Value::Array(all)) = config.get_mut("availability") {
                all.push(device);
            }
        }
        if let Value::Object(facts) = facts {
            config.extend(facts);
        }
        self.put(component, entity, config);
    }

    /// An event entity: the last event of the device, of whatever type.
    fn last_event(&mut self) {
        let mut config = self.common("event", Some("Last event"));
        let types = EventType::ALL.iter().map(|t| t.as_str()).filter(|t| !t.starts_with("connected_account."));
        config.insert("event_types".into(), types.collect());
        config.insert("state_topic".into(), self.topics.events_of(&self.id).into());
        config.insert("value_template".into(), EVENT_TEMPLATE.into());
        self.put("event", "event", config);
    }

    fn common(&self, entity: &str, name: Option<&str>) -> Map<String, Value> {
        let known = &self.device.known;
        let unique = format!("{}_{}", self.topics.word(), self.id);
        let mut device = json!({"identifiers": [unique], "name": self.device.name});
        let about = [("manufacturer", &known.manufacturer), ("model", &known.model), ("sw_version", &known.firmware)];
        for (key, value) in about {
            if let Some(value) = value {
                device[key] = value.as_str().into();
            }
        }
        let config = json!({
            "name": name,
            "unique_id": format!("{unique}_{entity}"),
            "availability": [{"topic": self.topics.status()}],
            "availability_mode": "all",
            "device": device,
            "origin": {"name": "portcullis", "sw_version": env!("CARGO_PKG_VERSION")},
        });
        match config {
            Value::Object(config) => config,
            _ => Map::new(),
        }
    }

    fn put(&mut self, component: &str, entity: &str, config: Map<String, Value>) {
        let topic = format!("{PREFIX}{component}/{}_{}/{entity}/config", self.topics.word(), self.id);
        self.configs.insert(topic, Value::Object(config).to_string().into_bytes());
    }
}
