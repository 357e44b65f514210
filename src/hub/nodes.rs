//! Presence on Z-Wave: the driver's word on each node. Mirrors [`presence::Judge`](super::presence::Judge), which judges BLE.

use std::collections::HashMap;

use super::Action;
use crate::event::ErrorCode;
use crate::signal::{Description, DeviceKey, NodeStatus};
use crate::time::Mono;

/// A verdict: `None` is present, a code is why it is not.
pub type Verdict = (DeviceKey, Option<ErrorCode>);

#[derive(Debug, Default)]
pub struct Nodes {
    status: HashMap<DeviceKey, NodeStatus>,
    changed: Vec<DeviceKey>,
}

impl Nodes {
    /// Starts to judge a node.
    pub fn watch(&mut self, key: DeviceKey, _description: &Description, present: bool, _now: Mono) {
        self.status.insert(key, if present { NodeStatus::Alive } else { NodeStatus::Unknown });
    }

    pub fn forget(&mut self, key: &DeviceKey) {
        self.status.remove(key);
        self.changed.retain(|k| k != key);
    }

    /// Something came of the node itself: a report with signals, its status apart.
    pub fn heard(&mut self, _key: DeviceKey, _now: Mono) {}

    /// The driver's word.
    pub fn status(&mut self, key: DeviceKey, status: NodeStatus, _now: Mono) {
        if self.status.insert(key, status) != Some(status) {
            self.changed.push(key);
        }
    }

    /// The node says more about itself (its wake-up interval, for one).
    pub fn described(&mut self, _key: DeviceKey, _description: &Description) {}

    /// The link of a network is up or down. Its devices are told as lost by the account; they come back by their status.
    pub fn bridge(&mut self, home: u32, up: bool, _now: Mono) {
        if !up {
            for (key, status) in &mut self.status {
                if matches!(key, DeviceKey::Zwave { home: h, .. } if *h == home) {
                    *status = NodeStatus::Unknown;
                }
            }
        }
    }

    pub fn wake_at(&self) -> Option<Mono> {
        self.changed.first().map(|_| Mono(0))
    }

    /// What is judged at `now`. Called after each report and at `wake_at`.
    pub fn judge(&mut self, _now: Mono, verdicts: &mut Vec<Verdict>, _actions: &mut Vec<Action>) {
        for key in self.changed.drain(..) {
            match self.status.get(&key) {
                Some(NodeStatus::Dead) => verdicts.push((key, Some(ErrorCode::DeviceDisconnected))),
                Some(NodeStatus::Alive | NodeStatus::Awake | NodeStatus::Asleep) => verdicts.push((key, None)),
                _ => {}
            }
        }
    }
}
