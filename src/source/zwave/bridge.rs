//! A Z-Wave network as its server tells it: the protocol without the socket. Pure; the live link, replays and the demo all use it.
//!
//! ```text
//! message ──► Bridge ──► inputs for the hub
//!                │
//!                └─────► commands for the server (handshake, polls, associations), taken with `commands()`
//! ```
//!
//! What it promises: a dump is no news (its states are [`Signal::Remembered`]), a frame told twice is one event, and no message, however
//! odd, makes it panic or shows what it carries. Commands carry their meaning in their id (`poll:2`), so that an answer needs no memory
//! and a recorded answer means the same when it is played again.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::codes;
use super::map;
use super::node::{self, Node, Said};
use super::orders::Moving;
use super::radio::Radio;
use super::wire::{
    Answer, CredentialArgs, EntryArgs, Event, Message, NodeState, NotificationArgs, State, ValueState, Version, cc,
};
use crate::hub::Input;
use crate::signal::{CodeNotice, DeviceKey, DownReason, Link, LinkNews, NodeStatus, Report, Secret, Signal};
use crate::source::rules::Rule;
use crate::time::Mono;

/// The schemas that this file was written for; the highest that the server knows too is asked for. 31 brought the stick's own status.
pub const SCHEMAS: std::ops::RangeInclusive<u32> = 31..=50;

/// The schema with the access control API.
const ACCESS_CONTROL: u32 = 48;

/// Nodes of a network: Z-Wave Long Range numbers them up to 4000.
const NODES: usize = 4000;

pub struct Bridge {
    network: Arc<str>,
    pub(super) home: Option<u32>,
    own: Option<u16>,
    /// The hub has been told that the bridge is up.
    pub(super) up: bool,
    synced: bool,
    pub(super) nodes: BTreeMap<u16, Node>,
    /// Nodes that are controllers themselves, other than ours.
    controllers: HashSet<u16>,
    secondary: bool,
    pub(super) commands: Vec<Value>,
    malformed: u64,
    rules: Rules,
    /// The one that the server was asked for.
    schema: u32,
    /// What nodes are asked.
    pub(super) radio: Radio,
    /// Locks that were told to move, and have not said that they did.
    pub(super) moving: BTreeMap<u16, Moving>,
}

/// The mapping rules of the configuration, by node.
pub type Rules = BTreeMap<u16, Arc<[Rule]>>;

impl Bridge {
    pub fn new(network: Arc<str>) -> Bridge {
        Bridge {
            network,
            home: None,
            own: None,
            up: false,
            synced: false,
            nodes: BTreeMap::new(),
            controllers: HashSet::new(),
            secondary: false,
            commands: Vec::new(),
            malformed: 0,
            rules: Rules::new(),
            schema: 0,
            radio: Radio::default(),
            moving: BTreeMap::new(),
        }
    }

    /// The same with mapping rules.
    pub fn with_rules(self, rules: Rules) -> Bridge {
        Bridge { rules, ..self }
    }

    /// The same network as a daemon meets it that was started again: it will be told everything anew.
    pub fn anew(&self) -> Bridge {
        let Bridge { home, own, .. } = *self;
        Bridge { home, own, rules: self.rules.clone(), ..Bridge::new(self.network.clone()) }
    }

    pub fn link(&self) -> Link {
        Link::Network(self.network.clone())
    }

    /// Messages, nodes and values that could not be read.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Takes the commands that the server should be sent, in order.
    pub fn commands(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.commands)
    }

    /// What a message of the server means for the hub.
    pub fn message(&mut self, at: Mono, message: &Value) -> Vec<Input> {
        let Some(message) = self.read::<Message>(message) else { return Vec::new() };
        let mut out = Vec::new();
        match message {
            Message::Version(version) => self.version(&version, &mut out),
            Message::Result(answer) => self.answer(at, *answer, &mut out),
            Message::Event { event } => self.event(at, *event, &mut out),
            Message::Other => {}
        }
        out
    }

    /// The link was lost, or never came to be.
    pub fn down(&mut self, reason: DownReason) -> Vec<Input> {
        self.up = false;
        self.synced = false;
        self.commands.clear();
        let mut out = self.give_all_up();
        out.push(Input::Link(self.link(), LinkNews::BridgeDown(reason)));
        out
    }

    /// A capture says that the link is up again. Until messages say otherwise, the nodes are as they were.
    pub fn linked(&mut self) -> Vec<Input> {
        let mut out = Vec::new();
        self.is_back(&mut out);
        out
    }

    fn is_back(&mut self, out: &mut Vec<Input>) {
        let Some(home) = self.home else { return };
        self.is_up(home, out);
        let nodes: Vec<(u16, NodeStatus)> =
            self.nodes.iter().filter_map(|(id, node)| Some((*id, node.status?))).collect();
        for (id, status) in nodes {
            self.report(id, vec![Signal::Node(status)], out);
        }
    }

    fn read<T: DeserializeOwned>(&mut self, value: &Value) -> Option<T> {
        let read = T::deserialize(value).ok();
        if read.is_none() {
            self.malformed += 1;
        }
        read
    }

    fn version(&mut self, version: &Version, out: &mut Vec<Input>) {
        self.home = version.home_id.or(self.home);
        let (low, high) = (version.min_schema_version, version.max_schema_version.min(*SCHEMAS.end()));
        if high < *SCHEMAS.start() || low > high {
            tracing::error!(
                network = %self.network, server = version.server_version, min_schema = low,
                max_schema = version.max_schema_version, "zwave.incompatible"
            );
            out.extend(self.down(DownReason::Incompatible));
            return;
        }
        tracing::info!(
            network = %self.network, server = version.server_version, driver = version.driver_version, schema = high,
            "zwave.server"
        );
        self.schema = high;
        let agent = json!({"portcullis": env!("CARGO_PKG_VERSION")});
        self.commands.push(json!({
            "messageId": "initialize", "command": "initialize", "schemaVersion": high, "additionalUserAgentComponents": agent
        }));
        self.listen();
    }

    fn listen(&mut self) {
        self.commands.push(json!({"messageId": "listen", "command": "start_listening"}));
    }

    fn answer(&mut self, at: Mono, answer: Answer, out: &mut Vec<Input>) {
        if let Some(state) = answer.result.get("state") {
            if let Some(state) = self.read::<State>(state) {
                self.state(at, state, out);
            }
            return;
        }
        let mut words = answer.message_id.split(':');
        let (what, node) = (words.next().unwrap_or_default(), words.next().and_then(|n| n.parse::<u16>().ok()));
        let serial = words.next().and_then(|n| n.parse::<u64>().ok());
        if !answer.success {
            let error = answer.zwave_error_code_name.as_ref().or(answer.error_code.as_ref());
            tracing::debug!(network = %self.network, command = what, node, error, "zwave.command_failed");
        }
        match (what, node) {
            ("initialize" | "listen", _) if !answer.success => out.extend(self.down(DownReason::Incompatible)),
            // A node that answers is alive, and that is all.
            ("ping", Some(node)) if answer.result.get("responded") == Some(&Value::Bool(true)) => {
                self.report(node, Vec::new(), out);
            }
            ("task", Some(node)) => {
                if let Some(flight) = serial.and_then(|serial| self.radio.answered(node, serial)) {
                    self.task_answered(at, node, flight, &answer, out);
                }
            }
            ("capabilities", Some(node)) => {
                if let Some(description) = codes::capabilities(&answer.result) {
                    self.report(node, vec![Signal::Described(Box::new(description))], out);
                }
            }
            // A node that knows no associations has none.
            ("associations", Some(node)) => {
                let elsewhere = self.leads_elsewhere(&answer.result);
                self.report(node, vec![Signal::ThirdParty(elsewhere || self.shared())], out);
            }
            _ => {}
        }
    }

    /// A dump: what the driver knows, fresh or stale.
    fn state(&mut self, at: Mono, state: State, out: &mut Vec<Input>) {
        let Some(home) = state.controller.home_id.or(self.home) else {
            self.malformed += 1;
            return;
        };
        if self.home != Some(home) {
            self.nodes.clear();
        }
        self.home = Some(home);
        self.own = state.controller.own_node_id;
        self.secondary = state.controller.is_primary == Some(false);
        if state.controller.status == UNRESPONSIVE {
            out.extend(self.down(DownReason::DriverDown));
            return;
        }
        self.up = false;
        self.is_up(home, out);
        let nodes: Vec<NodeState> = state.nodes.iter().filter_map(|node| self.read(node)).take(NODES).collect();
        let whole = nodes.len() == state.nodes.len();
        let present: HashSet<u16> = nodes.iter().map(|n| n.node_id).collect();
        self.nodes.retain(|id, _| present.contains(id));
        self.controllers = nodes.iter().filter(|n| n.is_controller_node == Some(true)).map(|n| n.node_id).collect();
        self.controllers.remove(&self.own.unwrap_or_default());
        for node in &nodes {
            self.node_state(at, node, out);
        }
        if whole {
            let nodes = present.into_iter().filter(|id| Some(*id) != self.own && !self.controllers.contains(id));
            let mut nodes: Vec<u16> = nodes.collect();
            nodes.sort_unstable();
            out.push(Input::Link(self.link(), LinkNews::Nodes { home, nodes }));
        }
        self.synced = false;
        if state.driver.all_nodes_ready == Some(true) || nodes.iter().all(|n| n.ready) {
            self.is_synced(out);
        }
    }

    /// One node of a dump, or one that has just been read.
    fn node_state(&mut self, at: Mono, state: &NodeState, out: &mut Vec<Input>) {
        let id = state.node_id;
        if Some(id) == self.own || self.controllers.contains(&id) || id == 0 {
            return;
        }
        let Some(node) = self.node(id) else { return };
        let signals = node.dump(at, state);
        let node = &self.nodes[&id];
        let (is_lock, coded) = (node.ready && node.is_lock, node.ready && (node.is_lock || node.is_keypad));
        if is_lock && node::status(state.status) != Some(NodeStatus::Dead) {
            self.poll(id);
        }
        if coded {
            let id = format!("associations:{id}");
            let command = "controller.get_associations";
            self.commands.push(json!({"messageId": id, "command": command, "nodeId": state.node_id}));
        }
        if is_lock && self.schema >= ACCESS_CONTROL {
            let id = format!("capabilities:{id}");
            let command = "endpoint.access_control.get_credential_capabilities_cached";
            self.commands.push(json!({"messageId": id, "command": command, "nodeId": state.node_id}));
        }
        self.report(id, signals, out);
    }

    fn event(&mut self, at: Mono, event: Event, out: &mut Vec<Input>) {
        match (event.source.as_str(), event.event.as_str()) {
            ("controller", "node removed") => {
                let Some(node) = event.node.as_ref().and_then(|n| self.read::<NodeState>(n)) else { return };
                self.nodes.remove(&node.node_id);
                self.radio.forget(node.node_id);
                self.moving.remove(&node.node_id);
                self.controllers.remove(&node.node_id);
                self.report(node.node_id, vec![Signal::Removed], out);
            }
            ("controller", "status changed") => match event.status {
                Some(UNRESPONSIVE) => out.extend(self.down(DownReason::DriverDown)),
                // What happened meanwhile was missed: ask for everything again.
                Some(READY) if !self.up => {
                    self.is_back(out);
                    self.listen();
                }
                _ => {}
            },
            // The driver was restarted within its server.
            ("driver", "driver ready") => self.listen(),
            ("driver", "all nodes ready") => self.is_synced(out),
            ("node", name) => {
                let Some(id) = event.node_id else {
                    self.malformed += 1;
                    return;
                };
                if Some(id) != self.own && !self.controllers.contains(&id) {
                    self.node_event(at, id, name, &event, out);
                }
            }
            _ => {}
        }
    }

    fn node_event(&mut self, at: Mono, id: u16, name: &str, event: &Event, out: &mut Vec<Input>) {
        let said = match name {
            "ready" => {
                if let Some(state) = event.node_state.as_ref().and_then(|s| self.read::<NodeState>(s)) {
                    self.node_state(at, &state, out);
                }
                // The driver's own word for it does not come after each of its restarts.
                if self.nodes.values().all(|n| n.ready) {
                    self.is_synced(out);
                }
                return;
            }
            "alive" => self.status(id, NodeStatus::Alive),
            "dead" => self.status(id, NodeStatus::Dead),
            "wake up" => self.status(id, NodeStatus::Awake),
            "sleep" => self.status(id, NodeStatus::Asleep),
            "value updated" | "value added" | "value notification" => {
                let Some(value) = self.read::<ValueState>(&event.args) else { return };
                let Some(node) = self.node(id) else { return };
                node.value(at, &value)
            }
            "notification" => match self.notification(at, id, event) {
                Some(said) => said,
                None => return,
            },
            "credential added" | "credential modified" | "credential deleted" => {
                let Some(args) = self.read::<CredentialArgs>(&event.args) else { return };
                credential(&args, name == "credential deleted").into()
            }
            // With its codes; in the User Code command class a user is a slot, elsewhere the slot is read back.
            "user deleted" => {
                let slot = event.args.get("userId").and_then(Value::as_u64).and_then(|id| u16::try_from(id).ok());
                slot.map(|slot| Signal::Code(CodeNotice::Deleted { slot })).into()
            }
            // It has just said what it can do.
            "node info received" => Said::default(),
            _ => return,
        };
        self.has_moved(id, &said.signals);
        let is_lock = self.nodes.get(&id).is_some_and(|n| n.is_lock);
        if said.poll && is_lock {
            self.poll(id);
        }
        let alive = matches!(name, "notification" | "node info received");
        if !said.signals.is_empty() || alive {
            self.report(id, said.signals, out);
        }
    }

    /// The driver's word on a node. One that is back from the dead may have been operated meanwhile.
    fn status(&mut self, id: u16, status: NodeStatus) -> Said {
        if let Some(node) = self.node(id) {
            node.status = Some(status);
        }
        Said { signals: vec![Signal::Node(status)], poll: status == NodeStatus::Alive }
    }

    fn notification(&mut self, at: Mono, id: u16, event: &Event) -> Option<Said> {
        match event.cc_id {
            Some(cc::NOTIFICATION) => {
                let args = self.read::<NotificationArgs>(&event.args)?;
                let node = self.node(id)?;
                if let Some(said) = node.notification_by_rule(at, args.kind, args.event) {
                    return Some(said);
                }
                let signal = map::notification(args.kind, args.event, &args.parameters, node.manufacturer());
                let word = (cc::NOTIFICATION, args.kind, args.event);
                Some(signal.map(|s| node.event(at, word, s)).unwrap_or_default())
            }
            Some(cc::ENTRY_CONTROL) => {
                let args = self.read::<EntryArgs>(&event.args)?;
                let node = self.node(id)?;
                let word = (cc::ENTRY_CONTROL, args.event_type, 0);
                Some(map::entry(&args).map(|s| node.event(at, word, s)).unwrap_or_default())
            }
            // The battery's only notification is "battery low"; its level does not change with it.
            Some(cc::BATTERY) => {
                let low = event.args.get("eventType").and_then(Value::as_str) == Some("battery low");
                let node = self.node(id)?;
                Some(if low { node.battery_low() } else { Said::default() })
            }
            _ => Some(Said::default()),
        }
    }

    /// The node, also where no dump has named it.
    fn node(&mut self, id: u16) -> Option<&mut Node> {
        let room = self.nodes.len() < NODES || self.nodes.contains_key(&id);
        let new = || Node::new(self.rules.get(&id).cloned().unwrap_or_default());
        (room && id != 0).then(|| self.nodes.entry(id).or_insert_with(new))
    }

    pub(super) fn report(&mut self, node: u16, signals: Vec<Signal>, out: &mut Vec<Input>) {
        // A capture may begin in the middle of things; its network then has no number of its own.
        let home = *self.home.get_or_insert(0);
        self.is_up(home, out);
        out.push(self.said(node, signals));
    }

    /// Something said of a node, which says nothing of the link.
    pub(super) fn said(&self, node: u16, signals: Vec<Signal>) -> Input {
        Input::Report(Report {
            device: DeviceKey::Zwave { home: self.home.unwrap_or_default(), node },
            link: self.link(),
            rssi: None,
            name: None,
            family: "zwave",
            irregular: true,
            counter: None,
            occurred_at: None,
            signals,
        })
    }

    fn is_up(&mut self, home: u32, out: &mut Vec<Input>) {
        if !std::mem::replace(&mut self.up, true) {
            out.push(Input::Link(self.link(), LinkNews::BridgeUp { home }));
        }
    }

    fn is_synced(&mut self, out: &mut Vec<Input>) {
        if let Some(home) = self.home.filter(|_| !self.synced) {
            self.is_up(home, out);
            self.synced = true;
            out.push(Input::Link(self.link(), LinkNews::BridgeSynced { home }));
        }
    }

    /// Somebody else's controller is in the network, or ours is not the first.
    fn shared(&self) -> bool {
        self.secondary || !self.controllers.is_empty()
    }

    /// Whether any association of a node leads to another node than our stick.
    fn leads_elsewhere(&self, result: &Value) -> bool {
        let Some(groups) = result.get("associations").and_then(Value::as_object) else { return false };
        let nodes = groups.values().filter_map(Value::as_array).flatten().filter_map(|a| a.get("nodeId")?.as_u64());
        let own = self.own.map(u64::from);
        nodes.into_iter().any(|node| Some(node) != own)
    }
}

/// Status of a controller: it answers again.
const READY: u8 = 0;
/// Status of a controller: the stick does not answer.
const UNRESPONSIVE: u8 = 1;

/// A credential that the driver saw change. Only PIN codes have digits (type 1 of the User Credential command class).
fn credential(args: &CredentialArgs, deleted: bool) -> Option<Signal> {
    const PIN: u16 = 1;
    let slot = args.credential_slot.filter(|_| args.credential_type == Some(PIN))?;
    let digits = args.data.as_ref().and_then(Value::as_str).filter(|d| !d.is_empty() && !deleted).map(Secret::new);
    match digits {
        None if !deleted => Some(Signal::Code(CodeNotice::Added { slot })),
        digits => Some(Signal::Code(CodeNotice::Slot { slot, digits })),
    }
}
