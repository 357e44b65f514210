//! What the driver knows of the building's nodes: their classes and values, and how a dump shows them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::building::{FRONT_DOOR, OFFICE, STAIRWELL};
use super::lock::{Codes, SLOTS};

pub const DOOR_LOCK: u16 = 98;
pub const NOTIFICATION: u16 = 113;
pub const BATTERY: u16 = 128;
pub const MULTILEVEL_SENSOR: u16 = 49;
pub const USER_CODE: u16 = 99;
pub const ACCESS_CONTROL: u8 = 6;

/// A value's place within a node: command class, property, property key.
pub type Place = (u16, String, Option<String>);

pub struct Node {
    name: &'static str,
    /// Z-Wave generic device class: 64 Entry Control, 33 Multilevel Sensor, 7 Notification Sensor.
    class: (u16, &'static str),
    specific: (u16, &'static str),
    product: &'static str,
    can_sleep: bool,
    classes: &'static [(u16, &'static str, u8)],
    pub values: BTreeMap<Place, Value>,
    pub codes: Codes,
    /// It does not answer.
    pub dead: bool,
}

pub fn place(class: u16, property: &str, key: Option<&str>) -> Place {
    (class, property.to_owned(), key.map(str::to_owned))
}

fn lock(name: &'static str) -> Node {
    let mut values = BTreeMap::from([
        (place(DOOR_LOCK, "targetMode", None), json!(255)),
        (place(DOOR_LOCK, "currentMode", None), json!(255)),
        (place(BATTERY, "level", None), json!(80)),
        (place(BATTERY, "isLow", None), json!(false)),
        (place(NOTIFICATION, "Access Control", Some("Lock state")), json!(0)),
        (place(NOTIFICATION, "Access Control", Some("Keypad state")), json!(0)),
        (place(NOTIFICATION, "Home Security", Some("Cover status")), json!(0)),
    ]);
    let codes = Codes::of_the_guests();
    for slot in 1..=SLOTS {
        let used = codes.get(slot).is_some();
        values.insert(place(USER_CODE, "userIdStatus", Some(&slot.to_string())), json!(u8::from(used)));
    }
    Node {
        name,
        class: (64, "Entry Control"),
        specific: (3, "Secure Keypad Door Lock"),
        product: "Demo Lock",
        can_sleep: false,
        classes: &[
            (DOOR_LOCK, "Door Lock", 4),
            (USER_CODE, "User Code", 2),
            (NOTIFICATION, "Notification", 8),
            (BATTERY, "Battery", 1),
        ],
        values,
        codes,
        dead: false,
    }
}

pub fn nodes() -> BTreeMap<u16, Node> {
    let noise = Node {
        name: "Stairwell loudness",
        class: (33, "Multilevel Sensor"),
        specific: (1, "Routing Multilevel Sensor"),
        product: "Demo Loudness Sensor",
        can_sleep: false,
        classes: &[(MULTILEVEL_SENSOR, "Multilevel Sensor", 11)],
        values: BTreeMap::from([(place(MULTILEVEL_SENSOR, "Loudness", None), json!(41.0))]),
        codes: Codes::default(),
        dead: false,
    };
    BTreeMap::from([(FRONT_DOOR, lock("Front door")), (OFFICE, lock("Office")), (STAIRWELL, noise)])
}

/// The place that a command's `valueId` names.
pub fn asked(id: &Value) -> Option<Place> {
    let key = match &id["propertyKey"] {
        Value::Null => None,
        Value::String(key) => Some(key.clone()),
        other => Some(other.to_string()),
    };
    let class = u16::try_from(id["commandClass"].as_u64()?).ok()?;
    Some((class, id["property"].as_str()?.to_owned(), key))
}

pub fn value_id((class, property, key): &Place) -> Value {
    let name = nodes_class_name(*class);
    let mut id = json!({
        "commandClassName": name, "commandClass": class, "endpoint": 0, "property": property, "propertyName": property
    });
    if let Some(key) = key {
        // Slots are numbers, everything else is a name.
        id["propertyKey"] = key.parse::<u16>().map_or_else(|_| json!(key), |n| json!(n));
        id["propertyKeyName"] = json!(key);
    }
    id
}

fn nodes_class_name(class: u16) -> &'static str {
    match class {
        DOOR_LOCK => "Door Lock",
        USER_CODE => "User Code",
        NOTIFICATION => "Notification",
        BATTERY => "Battery",
        _ => "Multilevel Sensor",
    }
}

/// One node as `start_listening` shows it.
pub fn dump(id: u16, node: &Node) -> Value {
    let device_class = json!({
        "basic": { "key": 4, "label": "Routing End Node" },
        "generic": { "key": node.class.0, "label": node.class.1 },
        "specific": { "key": node.specific.0, "label": node.specific.1 },
    });
    let classes: Vec<Value> = node
        .classes
        .iter()
        .map(|(id, name, version)| json!({ "id": id, "name": name, "version": version, "isSecure": true }))
        .collect();
    let values: Vec<Value> = node
        .values
        .iter()
        .map(|(at, value)| {
            let mut v = value_id(at);
            v["ccVersion"] = json!(1);
            v["metadata"] = json!({ "type": "number", "readable": true, "writeable": true, "stateful": true });
            if at.0 == MULTILEVEL_SENSOR {
                v["metadata"]["unit"] = json!("dB");
            }
            v["value"] = value.clone();
            v
        })
        .collect();
    json!({
        "nodeId": id, "index": 0, "status": if node.dead { 3 } else { 4 }, "ready": true, "interviewStage": "Complete", "isListening": true,
        "isFrequentListening": false, "isRouting": true, "isSecure": true, "canSleep": node.can_sleep, "keepAwake": false,
        "isControllerNode": false, "name": node.name, "manufacturer": "Portcullis", "label": node.product,
        "deviceConfig": { "manufacturer": "Portcullis", "label": node.product, "description": node.product },
        "firmwareVersion": "1.0", "deviceClass": device_class, "values": values,
        "endpoints": [{ "nodeId": id, "index": 0, "deviceClass": device_class, "commandClasses": classes }],
    })
}
