//! What the hub asks of a network, as commands of zwave-js-server, and what their answers mean. Pure.
//!
//! A command's success is that the driver got it through, and no more: where a bolt is, the lock says, and it is asked when it does not
//! say so by itself. Ids of these commands are `task:NODE:SERIAL`; nothing that they carry is ever shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::Bridge;
use super::codes::{self, Keeping, Step};
use super::radio::{Flight, Task};
use super::wire::{Answer, cc};
use crate::hub::{Action, Input};
use crate::signal::{CodeNotice, DeviceKey, LockState, Outcome, Signal};
use crate::time::Mono;

/// When a lock is asked whether it moved, after the driver got the command through: a motor takes 1 to 3 s, a slow one 8 s. One that was
/// there already may say nothing by itself.
const CONFIRM: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(8), Duration::from_secs(16)];

/// A lock that was told to move.
pub struct Moving {
    locked: bool,
    since: Mono,
    /// How often it was asked since.
    polls: usize,
}

impl Moving {
    fn poll_at(&self) -> Option<Mono> {
        CONFIRM.get(self.polls).map(|after| self.since + *after)
    }
}

impl Bridge {
    /// Does what the hub asks: by commands, or where that is not possible by the answer that it is not. What is another network's
    /// business is passed over.
    pub fn act(&mut self, at: Mono, action: &Action) -> Vec<Input> {
        let (device, task) = match action {
            Action::PollLock { device } => {
                if let Some(node) = self.node_of(device).filter(|_| self.up) {
                    self.poll(node);
                }
                return Vec::new();
            }
            Action::Ping { device } => {
                if let Some(node) = self.node_of(device).filter(|_| self.up) {
                    let id = format!("ping:{node}");
                    self.commands.push(json!({"messageId": id, "command": "node.ping", "nodeId": node}));
                }
                return Vec::new();
            }
            Action::SetLock { device, attempt, lock } => (device, Task::Lock { attempt: *attempt, locked: *lock }),
            Action::SetCode { device, slot, digits } => {
                (device, Task::Write { slot: *slot, digits: Some(digits.clone()) })
            }
            Action::ClearCode { device, slot } => (device, Task::Write { slot: *slot, digits: None }),
            Action::ReadCode { device, slot } => (device, Task::Read { slot: *slot }),
            Action::RestartScan { .. } => return Vec::new(),
        };
        let Some(node) = self.node_of(device) else { return Vec::new() };
        if !self.up {
            return vec![self.gave_up(node, task, Outcome::LinkDown)];
        }
        match self.radio.ask(node, task) {
            Ok(()) => {
                self.transmit(at);
                Vec::new()
            }
            Err(task) => vec![self.gave_up(node, task, Outcome::Busy)],
        }
    }

    /// When [`Bridge::due`] has something to do.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        let polls = self.moving.values().filter_map(Moving::poll_at);
        polls.chain(self.radio.wake_at(now)).min()
    }

    /// What time brings: answers that did not come, locks that did not say whether they moved, turns that have come.
    pub fn due(&mut self, at: Mono) -> Vec<Input> {
        let due: Vec<u16> =
            self.moving.iter().filter(|(_, m)| m.poll_at().is_some_and(|due| due <= at)).map(|(n, _)| *n).collect();
        for node in due {
            self.poll(node);
            if let Some(moving) = self.moving.get_mut(&node) {
                moving.polls += 1;
            }
        }
        self.moving.retain(|_, moving| moving.polls < CONFIRM.len());
        let overdue = self.radio.overdue(at);
        let out = overdue.into_iter().map(|(node, task)| self.gave_up(node, task, Outcome::Unreachable)).collect();
        self.transmit(at);
        out
    }

    fn node_of(&self, device: &DeviceKey) -> Option<u16> {
        match *device {
            DeviceKey::Zwave { home, node } if Some(home) == self.home => Some(node),
            _ => None,
        }
    }

    fn transmit(&mut self, at: Mono) {
        while let Some((node, flight)) = self.radio.next(at) {
            self.send(node, &flight);
        }
    }

    fn send(&mut self, node: u16, flight: &Flight) {
        let mut command = match &flight.task {
            Task::Lock { locked, .. } => {
                if let Some(lock) = self.nodes.get_mut(&node) {
                    lock.is_asked();
                }
                self.turn(node, *locked)
            }
            Task::Write { slot, .. } | Task::Read { slot } => {
                let digits = if let Task::Write { digits, .. } = &flight.task { digits.as_ref() } else { None };
                let keeping = self.keeping(node);
                match codes::step(&flight.task, keeping, flight.step) {
                    Some(step) => codes::command(step, keeping, *slot, digits),
                    None => return,
                }
            }
        };
        command["messageId"] = json!(format!("task:{node}:{}", flight.serial()));
        command["nodeId"] = json!(node);
        self.commands.push(command);
    }

    fn turn(&self, node: u16, locked: bool) -> Value {
        let (class, property, value) = match self.is_old_lock(node) {
            true => (cc::LOCK, "locked", json!(locked)),
            false => (cc::DOOR_LOCK, "targetMode", json!(if locked { 255 } else { 0 })),
        };
        let place = json!({"commandClass": class, "endpoint": 0, "property": property});
        json!({"command": "node.set_value", "valueId": place, "value": value})
    }

    /// Asks a lock where its bolt is.
    pub(super) fn poll(&mut self, node: u16) {
        let (class, property) =
            if self.is_old_lock(node) { (cc::LOCK, "locked") } else { (cc::DOOR_LOCK, "currentMode") };
        let place = json!({"commandClass": class, "endpoint": 0, "property": property});
        self.commands.push(json!({
            "messageId": format!("poll:{node}"), "command": "node.poll_value", "nodeId": node, "valueId": place
        }));
    }

    /// The Lock command class, from before there were door locks.
    fn is_old_lock(&self, node: u16) -> bool {
        self.nodes.get(&node).is_some_and(|n| n.is_lock && !n.is_door_lock)
    }

    /// An answer to one of our commands.
    pub(super) fn task_answered(&mut self, at: Mono, node: u16, flight: Flight, answer: &Answer, out: &mut Vec<Input>) {
        match (&flight.task, failure(answer)) {
            (_, Some(outcome)) => out.push(self.gave_up(node, flight.task, outcome)),
            (Task::Lock { locked, .. }, None) => {
                self.moving.insert(node, Moving { locked: *locked, since: at, polls: 0 });
            }
            (Task::Write { slot, .. } | Task::Read { slot }, None) => {
                let (slot, keeping) = (*slot, self.keeping(node));
                let Some(step) = codes::step(&flight.task, keeping, flight.step) else { return };
                if let Some(outcome) = codes::refusal(step, keeping, answer) {
                    out.push(self.gave_up(node, flight.task, outcome));
                } else if step == Step::Read {
                    self.report(node, vec![Signal::Code(codes::read(keeping, slot, answer))], out);
                } else {
                    if step != Step::User {
                        self.report(node, vec![Signal::Code(CodeNotice::Accepted { slot })], out);
                    }
                    let flight = self.radio.go_on(node, flight, at);
                    self.send(node, &flight);
                }
            }
        }
        self.transmit(at);
    }

    fn keeping(&self, node: u16) -> Keeping {
        let credential = self.nodes.get(&node).is_some_and(|n| n.keeps_credentials);
        if credential { Keeping::Credential } else { Keeping::UserCode }
    }

    /// A lock said where it is: what was wanted, or that it cannot.
    pub(super) fn has_moved(&mut self, node: u16, signals: &[Signal]) {
        let Some(moving) = self.moving.get(&node) else { return };
        let wanted = if moving.locked { LockState::Locked } else { LockState::Unlocked };
        let ends = |signal: &Signal| match signal {
            Signal::Lock(state) => *state == wanted || *state == LockState::Jammed,
            Signal::LockOperation { locked, .. } => *locked == moving.locked,
            _ => false,
        };
        if signals.iter().any(ends) {
            self.moving.remove(&node);
        }
    }

    fn gave_up(&self, node: u16, task: Task, outcome: Outcome) -> Input {
        let signal = match task {
            Task::Lock { attempt, .. } => Signal::Attempted { attempt, outcome },
            Task::Write { slot, .. } | Task::Read { slot } => {
                Signal::Code(CodeNotice::Refused { slot, reason: outcome })
            }
        };
        self.said(node, vec![signal])
    }

    /// The link is lost: nobody will answer what was asked.
    pub(super) fn give_all_up(&mut self) -> Vec<Input> {
        self.moving.clear();
        let all = self.radio.drain();
        all.into_iter().map(|(node, task)| self.gave_up(node, task, Outcome::LinkDown)).collect()
    }
}

/// Why a command came to nothing; `None` where the driver got it through.
fn failure(answer: &Answer) -> Option<Outcome> {
    /// Of `SetValueStatus`: the device works on it; it did not say; it has done it.
    const THROUGH: [u64; 3] = [1, 254, 255];
    if answer.success {
        let status = answer.result.pointer("/result/status").and_then(Value::as_u64);
        return status.filter(|status| !THROUGH.contains(status)).map(|_| Outcome::Refused);
    }
    let name = answer.zwave_error_code_name.as_deref().unwrap_or_default();
    Some(if name.starts_with("Controller_") { Outcome::Unreachable } else { Outcome::Refused })
}
