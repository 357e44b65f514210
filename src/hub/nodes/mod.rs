//! Presence on Z-Wave: the driver's word on each node, weighed. Mirrors [`presence::Judge`](super::presence::Judge), which judges BLE.
//!
//! A node is there until the driver calls it dead; but a stick that hangs calls everybody dead, so the others are asked first. A
//! sleeping node is there until it misses its wake-ups. A node that has nothing to say is pinged now and then, since the driver finds
//! out about a death only when it sends something.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Action;
use crate::event::ErrorCode;
use crate::signal::{Description, DeviceKey, Listening, NodeStatus};
use crate::time::Mono;

/// A verdict: `None` is present, a code is why it is not.
pub type Verdict = (DeviceKey, Option<ErrorCode>);

/// How long the others may take to show that they live: one that listens answers in 1 to 2 s, and a few of them are asked, one after the
/// other.
const WITNESS_WITHIN: Duration = Duration::from_secs(5);

/// A death is not told before: a node that answers on the second attempt takes it back, one that is being removed is told as removed.
const CERTAIN_AFTER: Duration = Duration::from_secs(2);

/// So many others are asked: one may be dead by itself, three at once hardly.
const WITNESSES: usize = 3;

/// So many dying at once, and nobody alive, are the stick; fewer are themselves (as with BLE adapters).
const CROWD: usize = 3;

/// A mains-powered node is pinged after this long in silence: a death is told within a quarter of an hour.
const PING_ALWAYS: Duration = Duration::from_secs(15 * 60);

/// A battery-powered one that listens (FLiRS) is woken with a beam: its radio is on for about a second, some 15 mA. 48 of those a day are
/// 75 mAh a year, of the 2,500 in a set of AA cells.
const PING_OFTEN: Duration = Duration::from_secs(30 * 60);

/// Between two pings of one network: a dead node holds the radio up for seconds, and commands must get through in between.
const PING_APART: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Node {
    status: NodeStatus,
    /// As judged.
    present: bool,
    heard: Mono,
    /// It was heard since the last judgement.
    spoke: bool,
    pinged: Option<Mono>,
    /// The driver calls it dead, and that is not judged yet.
    dying: Option<Mono>,
    listens: Listening,
    wake_up: Option<Duration>,
}

#[derive(Debug, Default)]
struct Network {
    down: bool,
    pinged: Option<Mono>,
    /// When the stick was last found to be the reason of many deaths.
    blamed: Option<Mono>,
}

#[derive(Debug, Default)]
pub struct Nodes {
    nodes: BTreeMap<DeviceKey, Node>,
    networks: HashMap<u32, Network>,
    /// No later than the next moment at which there is something to judge.
    due: Option<Mono>,
}

impl Node {
    fn describe(&mut self, description: &Description) {
        if let Some(listens) = description.listens {
            self.listens = listens;
        }
        if let Some(s) = description.wake_up_interval_s {
            self.wake_up = (s > 0).then(|| Duration::from_secs(s.into()));
        }
    }

    /// Two wake-ups were missed, and half an interval is left to clocks that drift and frames that are lost.
    fn overslept_at(&self) -> Option<Mono> {
        let sleeps = self.present && self.listens == Listening::Sleeps;
        self.wake_up.filter(|_| sleeps && self.dying.is_none()).map(|w| self.heard + w * 5 / 2)
    }

    /// Dead ones are asked as well: one that came back may have nothing to say.
    fn ping_at(&self) -> Option<Mono> {
        let every = match self.listens {
            Listening::Always => PING_ALWAYS,
            Listening::Often => PING_OFTEN,
            Listening::Sleeps => return None,
        };
        Some(self.pinged.map_or(self.heard, |p| p.max(self.heard)) + every)
    }

    fn next(&self, now: Mono) -> Option<Mono> {
        let judged =
            self.dying.map(|since| since + if now < since + CERTAIN_AFTER { CERTAIN_AFTER } else { WITNESS_WITHIN });
        [judged, self.overslept_at(), self.ping_at()].into_iter().flatten().min()
    }
}

fn home(key: &DeviceKey) -> u32 {
    match key {
        DeviceKey::Zwave { home, .. } => *home,
        DeviceKey::Ble(_) => 0,
    }
}

impl Nodes {
    /// Starts to judge a node.
    pub fn watch(&mut self, key: DeviceKey, description: &Description, present: bool, now: Mono) {
        let status = NodeStatus::Unknown;
        let listens = Listening::Sleeps;
        let mut node =
            Node { status, present, heard: now, spoke: false, pinged: None, dying: None, listens, wake_up: None };
        node.describe(description);
        self.nodes.insert(key, node);
        self.soon(now);
    }

    pub fn forget(&mut self, key: &DeviceKey) {
        self.nodes.remove(key);
    }

    /// Something came of the node itself: a report with signals, its status apart.
    pub fn heard(&mut self, key: DeviceKey, now: Mono) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.heard = now;
            node.spoke = true;
            node.dying = None;
            // The driver's next word is news, whatever it is.
            if node.status == NodeStatus::Dead {
                node.status = NodeStatus::Unknown;
            }
            if !node.present || self.nodes.values().any(|n| n.dying.is_some()) {
                self.soon(now);
            }
        }
    }

    /// The driver's word.
    pub fn status(&mut self, key: DeviceKey, status: NodeStatus, now: Mono) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        if status == NodeStatus::Unknown || std::mem::replace(&mut node.status, status) == status {
            return;
        }
        match status {
            NodeStatus::Dead => {
                if node.present {
                    node.dying.get_or_insert(now);
                }
            }
            _ => {
                node.heard = now;
                node.dying = None;
            }
        }
        self.soon(now);
    }

    /// The node says more about itself (its wake-up interval, for one).
    pub fn described(&mut self, key: DeviceKey, description: &Description) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.describe(description);
            // Its deadlines may have changed.
            self.soon(Mono(0));
        }
    }

    /// The link of a network is up or down. Its devices are told as lost by the account; they come back by their status.
    pub fn bridge(&mut self, home: u32, up: bool, now: Mono) {
        self.networks.entry(home).or_default().down = !up;
        if !up {
            for node in of(&mut self.nodes, home) {
                node.status = NodeStatus::Unknown;
                node.present = false;
                node.dying = None;
            }
        }
        self.soon(now);
    }

    pub fn wake_at(&self) -> Option<Mono> {
        self.due
    }

    fn soon(&mut self, now: Mono) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// What is judged at `now`. Called after each report and at `wake_at`.
    pub fn judge(&mut self, now: Mono, verdicts: &mut Vec<Verdict>, actions: &mut Vec<Action>) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        for (key, node) in &mut self.nodes {
            let alive = matches!(node.status, NodeStatus::Alive | NodeStatus::Awake | NodeStatus::Asleep);
            let came = std::mem::take(&mut node.spoke) || alive;
            if !node.present && came && !self.networks.get(&home(key)).is_some_and(|n| n.down) {
                node.present = true;
                verdicts.push((*key, None));
            }
        }
        self.judge_the_dying(now, verdicts, actions);
        for (key, node) in &mut self.nodes {
            let down = self.networks.get(&home(key)).is_some_and(|n| n.down);
            if !down && node.overslept_at().is_some_and(|at| at <= now) {
                node.present = false;
                // It is asleep for the driver, and will be news when it wakes.
                node.status = NodeStatus::Unknown;
                verdicts.push((*key, Some(ErrorCode::DeviceDisconnected)));
            }
        }
        self.ping(now, actions);
        self.due = self.next(now);
    }

    /// A node that was called dead alone is dead; where many are and nobody lives, it is the stick.
    fn judge_the_dying(&mut self, now: Mono, verdicts: &mut Vec<Verdict>, actions: &mut Vec<Action>) {
        let dying: Vec<(DeviceKey, Mono)> = self.nodes.iter().filter_map(|(key, n)| Some((*key, n.dying?))).collect();
        for (key, since) in &dying {
            let others = self.nodes.iter().filter(|(other, node)| {
                home(other) == home(key) && node.listens != Listening::Sleeps && node.present && node.dying.is_none()
            });
            let witnesses: Vec<(DeviceKey, Mono)> = others.map(|(other, node)| (*other, node.heard)).collect();
            let alone = witnesses.iter().any(|(_, heard)| heard > since);
            let waited = now.since(*since);
            if waited >= CERTAIN_AFTER && (alone || witnesses.is_empty() || waited >= WITNESS_WITHIN) {
                let together = dying.iter().filter(|(other, _)| home(other) == home(key)).count();
                let network = self.networks.entry(home(key)).or_default();
                if alone {
                    network.blamed = None;
                } else if together >= CROWD {
                    network.blamed = Some(now);
                }
                // Those that follow, nobody having answered in between, die of the same.
                let stick = network.blamed.is_some_and(|at| now.since(at) <= WITNESS_WITHIN);
                let code = if stick { ErrorCode::HubDisconnected } else { ErrorCode::DeviceDisconnected };
                verdicts.push((*key, Some(code)));
                continue;
            }
            for (witness, _) in witnesses.into_iter().take(WITNESSES) {
                let Some(node) = self.nodes.get_mut(&witness) else { continue };
                if node.pinged.is_none_or(|at| at < *since) {
                    node.pinged = Some(now);
                    actions.push(Action::Ping { device: witness });
                }
            }
        }
        for (key, _) in verdicts.iter().filter(|(_, code)| code.is_some()) {
            if let Some(node) = self.nodes.get_mut(key) {
                node.dying = None;
                node.present = false;
            }
        }
    }

    fn ping(&mut self, now: Mono, actions: &mut Vec<Action>) {
        for (key, node) in &mut self.nodes {
            let network = self.networks.entry(home(key)).or_default();
            let free = !network.down && network.pinged.is_none_or(|at| now.since(at) >= PING_APART);
            if free && node.ping_at().is_some_and(|at| at <= now) {
                network.pinged = Some(now);
                node.pinged = Some(now);
                actions.push(Action::Ping { device: *key });
            }
        }
    }

    fn next(&self, now: Mono) -> Option<Mono> {
        let of_node = |(key, node): (&DeviceKey, &Node)| {
            let network = self.networks.get(&home(key));
            let at = node.next(now).filter(|_| !network.is_some_and(|n| n.down))?;
            // What is due already waits for its turn to be pinged.
            let turn = network.and_then(|n| n.pinged).map_or(now, |p| p + PING_APART);
            Some(if at <= now { turn.max(now + Duration::from_millis(1)) } else { at })
        };
        self.nodes.iter().filter_map(of_node).min()
    }
}

fn of(nodes: &mut BTreeMap<DeviceKey, Node>, network: u32) -> impl Iterator<Item = &mut Node> {
    nodes.iter_mut().filter(move |(key, _)| home(key) == network).map(|(_, node)| node)
}

#[cfg(test)]
mod tests;
