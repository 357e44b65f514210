//! The building's Z-Wave network: a server that speaks zwave-js-server's WebSocket protocol (schema 0 to 48) on loopback,
//! with five nodes behind it. Messages are worded as the real driver words them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::building::{FRONT_DOOR, OFFICE, STAIRWELL, Zwave};
use super::lock::{DIGITS, MOTOR, SLOTS, Written};
use super::nodes::{
    ACCESS_CONTROL, BATTERY, DOOR_LOCK, MULTILEVEL_SENSOR, NOTIFICATION, Node, Place, USER_CODE, asked, dump, nodes,
    place, value_id,
};

const HOME: u32 = 0x7e57_de30;
/// So long (of the world's time) the people of the building keep away from what is operated from afar: whoever does it and looks what
/// comes of it shall see that alone.
const ATTENDED_FOR: Duration = Duration::from_secs(15);
/// The stairwell at rest, and a noise that is above every threshold for longer than the built-in ones want (60 s).
const QUIET_DB: f64 = 41.0;
const LOUD_DB: f64 = 95.0;
const LOUD_FOR: Duration = Duration::from_secs(75);
/// So long (of the world's time) it lets nobody in when it is told to refuse.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// Events that a slow client may be behind; the hub is never this slow.
const BEHIND: usize = 256;

#[derive(Clone)]
pub struct Bridge {
    nodes: Arc<Mutex<BTreeMap<u16, Node>>>,
    events: broadcast::Sender<String>,
    address: SocketAddr,
    /// Virtual seconds in a second.
    speed: f64,
    /// Whether clients are let in.
    admits: Arc<watch::Sender<bool>>,
    /// When each node was last operated from afar.
    attended: Arc<Mutex<BTreeMap<u16, Instant>>>,
}

impl Bridge {
    /// Listens on a free port of loopback. Its motors turn `speed` times as fast as life.
    pub async fn start(speed: f64) -> std::io::Result<Bridge> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (events, nodes) = (broadcast::channel(BEHIND).0, Arc::new(Mutex::new(nodes())));
        let admits = Arc::new(watch::Sender::new(true));
        let bridge = Bridge { nodes, events, address, speed, admits, attended: Arc::default() };
        let server = bridge.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(socket));
            }
        });
        Ok(bridge)
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.nodes().len()
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// A node falls silent, or is there again; the driver finds out. False where there is no such node.
    pub fn answers(&self, node: u16, does: bool) -> bool {
        let Some(was_dead) = self.nodes().get_mut(&node).map(|n| std::mem::replace(&mut n.dead, !does)) else {
            return false;
        };
        if was_dead == does {
            let event = if does { "alive" } else { "dead" };
            self.tell(json!({ "source": "node", "event": event, "nodeId": node }));
        }
        true
    }

    /// A node is excluded. False where there is none.
    pub fn exclude(&self, node: u16) -> bool {
        let gone = self.nodes().remove(&node);
        if let Some(gone) = &gone {
            self.tell(
                json!({ "source": "controller", "event": "node removed", "node": dump(node, gone), "reason": 0 }),
            );
        }
        gone.is_some()
    }

    /// Hangs up on its clients and lets none in, as if their password had been changed; for a while.
    pub fn refuse(&self) {
        self.admits.send_replace(false);
        let bridge = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REFUSED_FOR.div_f64(bridge.speed)).await;
            bridge.admits.send_replace(true);
        });
    }

    /// A node does something: its values change and the clients are told, in the driver's order. One that is dead or gone does nothing.
    pub fn happen(&self, node: u16, what: Zwave) {
        if self.nodes().get(&node).is_none_or(|n| n.dead) {
            return;
        }
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

    /// A code is programmed at the lock's own keypad, or without digits erased.
    pub fn program(&self, node: u16, slot: u16, digits: Option<&str>) -> Written {
        self.write_code(node, slot, digits)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u16, Node>> {
        self.nodes.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Someone programs digits at the lock itself, in a slot that is free.
    pub fn program_anywhere(&self, node: u16, digits: &str) -> Written {
        let free = self.nodes().get(&node).and_then(|n| (1..=SLOTS).rev().find(|slot| n.codes.get(*slot).is_none()));
        free.map_or(Written::Invalid, |slot| self.program(node, slot, Some(digits)))
    }

    /// Digits are entered at a keypad: they open the door, or are refused. False where there is no keypad.
    pub fn enter(&self, node: u16, digits: &str) -> bool {
        if !self.is_lock(node) {
            return false;
        }
        self.attend(node);
        let user = self.nodes().get(&node).and_then(|n| (1..=SLOTS).find(|slot| n.codes.get(*slot) == Some(digits)));
        match user {
            Some(user) => self.happen(node, Zwave::Keypad { locked: false, user }),
            None => self.happen(node, Zwave::TooManyCodes),
        }
        true
    }

    /// It becomes loud, for as long as any threshold wants, and quiet again. False where nothing hears it.
    pub fn make_noise(&self, node: u16) -> bool {
        if node != STAIRWELL {
            return false;
        }
        self.attend(node);
        // Quiet first: a noise that goes on is no new one.
        self.happen(node, Zwave::Loudness(QUIET_DB));
        self.happen(node, Zwave::Loudness(LOUD_DB));
        let bridge = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LOUD_FOR.div_f64(bridge.speed)).await;
            bridge.happen(node, Zwave::Loudness(QUIET_DB));
        });
        true
    }

    /// Someone operates a node from afar.
    pub fn attend(&self, node: u16) {
        self.attended.lock().unwrap_or_else(|e| e.into_inner()).insert(node, Instant::now());
    }

    /// Whether that was a moment ago.
    pub fn is_attended(&self, node: u16) -> bool {
        let attended = self.attended.lock().unwrap_or_else(|e| e.into_inner());
        attended.get(&node).is_some_and(|at| at.elapsed() < ATTENDED_FOR)
    }

    pub fn is_lock(&self, node: u16) -> bool {
        matches!(node, FRONT_DOOR | OFFICE)
    }

    fn bolt(&self, node: u16, locked: bool) {
        self.set(node, place(DOOR_LOCK, "currentMode", None), json!(if locked { 255 } else { 0 }));
    }

    /// The motor turns, and the lock reports; one that is jammed reports that.
    fn turn(&self, node: u16, locked: bool) {
        self.attend(node);
        let (bridge, jammed) = (self.clone(), place(NOTIFICATION, "Access Control", Some("Lock state")));
        tokio::spawn(async move {
            tokio::time::sleep(MOTOR.div_f64(bridge.speed)).await;
            let is_jammed = bridge.nodes().get(&node).is_some_and(|n| n.values.get(&jammed) == Some(&json!(11)));
            if is_jammed {
                return bridge.set(node, jammed, json!(11));
            }
            bridge.bolt(node, locked);
            let (event, label) = if locked { (3, "RF lock operation") } else { (4, "RF unlock operation") };
            bridge.notify(node, event, label, Value::Null);
        });
    }

    /// A code is programmed or erased, by whomever; the lock tells what became of it.
    fn write_code(&self, node: u16, slot: u16, digits: Option<&str>) -> Written {
        let Some(written) = self.nodes().get_mut(&node).map(|n| n.codes.write(slot, digits)) else {
            return Written::Invalid;
        };
        let told = match written {
            Written::Added => Some((14, "New user code added")),
            Written::Deleted => Some((13, "Single user code deleted")),
            Written::Duplicate => Some((15, "New user code not added due to duplicate code")),
            Written::Unchanged | Written::Invalid => None,
        };
        if let Some((event, label)) = told {
            self.notify(node, event, label, json!({ "userId": slot }));
        }
        written
    }

    /// What a slot holds, as User Code Get answers; the driver's values follow.
    fn read_code(&self, node: u16, slot: u16) -> Option<Value> {
        let digits = self.nodes().get(&node)?.codes.get(slot).map(str::to_owned);
        let (status, key) = (u8::from(digits.is_some()), slot.to_string());
        self.set(node, place(USER_CODE, "userIdStatus", Some(&key)), json!(status));
        self.set(node, place(USER_CODE, "userCode", Some(&key)), json!(digits.as_deref().unwrap_or_default()));
        Some(json!({ "userIdStatus": status, "userCode": digits.unwrap_or_default() }))
    }

    /// A method of the User Code command class.
    fn user_code(&self, node: u16, method: &str, args: &Value) -> Option<Value> {
        let slot = || args[0].as_u64().and_then(|slot| u16::try_from(slot).ok());
        let written = |written| match written {
            Written::Invalid => None,
            // As a supervised command is answered: done, or not.
            Written::Duplicate => Some(json!({ "status": 2 })),
            _ => Some(json!({ "status": 255 })),
        };
        match method {
            "get" => self.read_code(node, slot()?),
            "set" => written(self.write_code(node, slot()?, Some(args[2].as_str()?))),
            "clear" => written(self.write_code(node, slot()?, None)),
            "getUsersCount" => Some(json!(SLOTS)),
            _ => None,
        }
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
        let mut admits = self.admits.subscribe();
        let admitted = *admits.borrow_and_update();
        #[expect(clippy::result_large_err, reason = "that is how the handshake is refused")]
        let admit = |_: &Request, answer| match admitted {
            true => Ok(answer),
            false => {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::UNAUTHORIZED;
                Err(refusal)
            }
        };
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(socket, admit).await else { return };
        let version = json!({
            "type": "version", "homeId": HOME, "driverVersion": "15.29.0", "serverVersion": "3.10.2",
            "minSchemaVersion": 0, "maxSchemaVersion": 48
        });
        if socket.send(Message::text(version.to_string())).await.is_err() {
            return;
        }
        let mut events = self.events.subscribe();
        let mut listening = false;
        loop {
            let text = tokio::select! {
                _ = admits.changed() => return,
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
        let node = command["nodeId"].as_u64().and_then(|n| u16::try_from(n).ok());
        if command["command"] != "node.ping" && node.is_some_and(|n| self.nodes().get(&n).is_some_and(|n| n.dead)) {
            return json!({
                "type": "result", "success": false, "messageId": id, "errorCode": "zwave_error",
                "zwaveErrorCode": 204, "zwaveErrorCodeName": "Controller_CallbackNOK",
                "zwaveErrorMessage": "Failed to send the command after 3 attempts"
            });
        }
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
            "node.ping" => Some(json!({ "responded": self.nodes().get(&node).is_some_and(|n| !n.dead) })),
            "node.set_value" => {
                let at = asked(&command["valueId"])?;
                if at.0 == DOOR_LOCK && at.1 == "targetMode" {
                    self.turn(node, command["value"].as_u64()? == 255);
                } else {
                    self.set(node, at, command["value"].clone());
                }
                Some(json!({ "result": { "status": 255 } }))
            }
            "node.poll_value" | "node.get_value" => {
                let at = asked(&command["valueId"])?;
                let value = self.nodes().get(&node)?.values.get(&at)?.clone();
                // A poll that is answered is a report like any other.
                self.set(node, at, value.clone());
                Some(json!({ "value": value }))
            }
            "endpoint.invoke_cc_api" if command["commandClass"] == USER_CODE => {
                let response = self.user_code(node, command["methodName"].as_str()?, &command["args"])?;
                Some(json!({ "response": response }))
            }
            "endpoint.access_control.get_credential_capabilities_cached" if self.is_lock(node) => {
                let (low, high) = DIGITS.into_inner();
                let pin = json!({ "numberOfCredentialSlots": SLOTS, "minCredentialLength": low, "maxCredentialLength": high });
                Some(json!({ "capabilities": { "supportedCredentialTypes": { "1": pin } } }))
            }
            "controller.get_associations" => Some(json!({ "associations": {} })),
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
