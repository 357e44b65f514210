//! The building's Z-Wave network: a server that speaks zwave-js-server's WebSocket protocol (schema 0 to 44) on loopback,
//! with five nodes behind it. Messages are worded as the real driver words them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;

use super::building::{FRONT_DOOR, OFFICE, STAIRWELL, Zwave};

const HOME: u32 = 0x7e57_de30;
const DOOR_LOCK: u16 = 98;
const NOTIFICATION: u16 = 113;
const BATTERY: u16 = 128;
const MULTILEVEL_SENSOR: u16 = 49;
const USER_CODE: u16 = 99;
const ACCESS_CONTROL: u8 = 6;
/// Events that a slow client may be behind; the hub is never this slow.
const BEHIND: usize = 256;

/// A value's place within a node: command class, property, property key.
type Place = (u16, String, Option<String>);

struct Node {
    name: &'static str,
    /// Z-Wave generic device class: 64 Entry Control, 33 Multilevel Sensor, 7 Notification Sensor.
    class: (u16, &'static str),
    specific: (u16, &'static str),
    product: &'static str,
    can_sleep: bool,
    classes: &'static [(u16, &'static str, u8)],
    values: BTreeMap<Place, Value>,
}

#[derive(Clone)]
pub struct Bridge {
    nodes: Arc<Mutex<BTreeMap<u16, Node>>>,
    events: broadcast::Sender<String>,
    address: SocketAddr,
}

fn place(class: u16, property: &str, key: Option<&str>) -> Place {
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
    for slot in 1..=20 {
        let used = matches!(slot, 3..=5);
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
    }
}

fn nodes() -> BTreeMap<u16, Node> {
    let noise = Node {
        name: "Stairwell loudness",
        class: (33, "Multilevel Sensor"),
        specific: (1, "Routing Multilevel Sensor"),
        product: "Demo Loudness Sensor",
        can_sleep: false,
        classes: &[(MULTILEVEL_SENSOR, "Multilevel Sensor", 11)],
        values: BTreeMap::from([(place(MULTILEVEL_SENSOR, "Loudness", None), json!(41.0))]),
    };
    BTreeMap::from([(FRONT_DOOR, lock("Front door")), (OFFICE, lock("Office")), (STAIRWELL, noise)])
}

impl Bridge {
    /// Listens on a free port of loopback.
    pub async fn start() -> std::io::Result<Bridge> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let bridge = Bridge { nodes: Arc::new(Mutex::new(nodes())), events: broadcast::channel(BEHIND).0, address };
        let server = bridge.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(socket));
            }
        });
        Ok(bridge)
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// A node does something: its values change and the clients are told, in the driver's order.
    pub fn happen(&self, node: u16, what: Zwave) {
        match what {
            Zwave::Keypad { locked, user } => {
                self.bolt(node, locked);
                let (event, label) = if locked { (5, "Keypad lock operation") } else { (6, "Keypad unlock operation") };
                self.notify(node, event, label, json!({ "userId": user }));
            }
            Zwave::Manual { locked } => {
                self.bolt(node, locked);
                let (event, label) = if locked { (1, "Manual lock operation") } else { (2, "Manual unlock operation") };
                self.notify(node, event, label, Value::Null);
            }
            Zwave::AutoLock => {
                self.bolt(node, true);
                self.notify(node, 9, "Auto lock locked operation", Value::Null);
            }
            Zwave::TooManyCodes => {
                self.notify(node, 0x13, "Manually enter user access code exceeds code limit", Value::Null);
            }
            Zwave::Jammed(jammed) => {
                let state = if jammed { json!(11) } else { json!(0) };
                self.set(node, place(NOTIFICATION, "Access Control", Some("Lock state")), state);
            }
            Zwave::Battery(level) => self.set(node, place(BATTERY, "level", None), json!(level)),
            Zwave::Loudness(level) => {
                let tenths = (level * 10.0).round() / 10.0;
                self.set(node, place(MULTILEVEL_SENSOR, "Loudness", None), json!(tenths));
            }
        }
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u16, Node>> {
        self.nodes.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn bolt(&self, node: u16, locked: bool) {
        self.set(node, place(DOOR_LOCK, "currentMode", None), json!(if locked { 255 } else { 0 }));
    }

    fn set(&self, node: u16, at: Place, value: Value) {
        let before = match self.nodes().get_mut(&node) {
            Some(n) => n.values.insert(at.clone(), value.clone()).unwrap_or_default(),
            None => return,
        };
        let mut args = value_id(&at);
        args["newValue"] = value;
        args["prevValue"] = before;
        self.tell(json!({ "source": "node", "event": "value updated", "nodeId": node, "args": args }));
    }

    fn notify(&self, node: u16, event: u8, label: &str, parameters: Value) {
        let mut args =
            json!({ "type": ACCESS_CONTROL, "event": event, "label": "Access Control", "eventLabel": label });
        if !parameters.is_null() {
            args["parameters"] = parameters;
        }
        self.tell(json!({
            "source": "node", "event": "notification", "nodeId": node, "endpointIndex": 0, "ccId": NOTIFICATION, "args": args
        }));
    }

    fn tell(&self, event: Value) {
        // Nobody listening is fine: a client that comes later gets the state dump.
        let _ = self.events.send(json!({ "type": "event", "event": event }).to_string());
    }

    async fn serve(self, socket: TcpStream) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else { return };
        let version = json!({
            "type": "version", "homeId": HOME, "driverVersion": "15.29.0", "serverVersion": "3.10.2",
            "minSchemaVersion": 0, "maxSchemaVersion": 44
        });
        if socket.send(Message::text(version.to_string())).await.is_err() {
            return;
        }
        let mut events = self.events.subscribe();
        let mut listening = false;
        loop {
            let text = tokio::select! {
                event = events.recv() => match event {
                    Ok(event) if listening => event,
                    Ok(_) => continue,
                    // A client that fell behind must read the state again, as with the real server.
                    Err(_) => return,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let Ok(command) = serde_json::from_str::<Value>(&text) else { return };
                        listening |= command["command"] == "start_listening";
                        self.answer(&command).to_string()
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
            };
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, command: &Value) -> Value {
        let id = &command["messageId"];
        match self.obey(command) {
            Some(result) => json!({ "type": "result", "success": true, "messageId": id, "result": result }),
            None => json!({
                "type": "result", "success": false, "messageId": id, "errorCode": "unknown_command",
                "message": "the demo's bridge does not know this command"
            }),
        }
    }

    fn obey(&self, command: &Value) -> Option<Value> {
        let node = command["nodeId"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
        match command["command"].as_str()? {
            "initialize" | "set_api_schema" => Some(json!({})),
            "start_listening" => Some(json!({ "state": self.state() })),
            "node.ping" => Some(json!({ "responded": self.nodes().contains_key(&node) })),
            "node.set_value" => {
                let at = asked(&command["valueId"])?;
                if at.0 == DOOR_LOCK && at.1 == "targetMode" {
                    let locked = command["value"].as_u64()? == 255;
                    self.bolt(node, locked);
                    let (event, label) = if locked { (3, "RF lock operation") } else { (4, "RF unlock operation") };
                    self.notify(node, event, label, Value::Null);
                } else {
                    self.set(node, at, command["value"].clone());
                }
                Some(json!({ "result": { "status": 255 } }))
            }
            "node.poll_value" | "node.get_value" => {
                let at = asked(&command["valueId"])?;
                let value = self.nodes().get(&node)?.values.get(&at)?.clone();
                Some(json!({ "value": value }))
            }
            _ => None,
        }
    }

    fn state(&self) -> Value {
        let nodes = self.nodes();
        json!({
            "driver": { "ready": true, "allNodesReady": true, "statisticsEnabled": false },
            "controller": {
                "homeId": HOME, "ownNodeId": 1, "isPrimary": true, "isSUC": true, "sdkVersion": "7.18.3", "status": 0
            },
            "nodes": nodes.iter().map(|(id, node)| dump(*id, node)).collect::<Vec<_>>(),
        })
    }
}

/// The place that a command's `valueId` names.
fn asked(id: &Value) -> Option<Place> {
    let key = match &id["propertyKey"] {
        Value::Null => None,
        Value::String(key) => Some(key.clone()),
        other => Some(other.to_string()),
    };
    let class = u16::try_from(id["commandClass"].as_u64()?).ok()?;
    Some((class, id["property"].as_str()?.to_owned(), key))
}

fn value_id((class, property, key): &Place) -> Value {
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
fn dump(id: u16, node: &Node) -> Value {
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
        "nodeId": id, "index": 0, "status": 4, "ready": true, "interviewStage": "Complete", "isListening": true,
        "isFrequentListening": false, "isRouting": true, "isSecure": true, "canSleep": node.can_sleep, "keepAwake": false,
        "isControllerNode": false, "name": node.name, "manufacturer": "Portcullis", "label": node.product,
        "deviceConfig": { "manufacturer": "Portcullis", "label": node.product, "description": node.product },
        "firmwareVersion": "1.0", "deviceClass": device_class, "values": values,
        "endpoints": [{ "nodeId": id, "index": 0, "deviceClass": device_class, "commandClasses": classes }],
    })
}
