//! What the hub asks of a network, as commands of zwave-js-server, and what their answers mean. Pure.
//!
//! A command's success is that the driver got it through, and no more: where a bolt is, the lock says, and it is asked when it does not
//! say so by itself. Ids of these commands are `task:NODE:SERIAL`; nothing that they carry is ever shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::Bridge;
use super::codes::{self, Keeping, Step};
use super::radio::{Flight, Task};
use super::schedules;
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
            Action::SetSchedule { device, slot, schedule } => {
                (device, Task::Schedule { slot: *slot, schedule: *schedule })
            }
            Action::ReadSchedule { device, slot } => (device, Task::Dates { slot: *slot }),
            Action::SetClock { device, slot } => (device, Task::Clock { slot: *slot }),
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
        let mut command = match (&flight.task, flight.task.slot(), self.step(node, flight)) {
            (Task::Lock { locked, .. }, ..) => {
                if let Some(lock) = self.nodes.get_mut(&node) {
                    lock.is_asked();
                }
                self.turn(node, *locked)
            }
            (task, Some(slot), Some(step)) => codes::command(step, self.keeping(node), slot, task),
            _ => return,
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
        let step = self.step(node, &flight);
        // What becomes of these is seen by the reading that follows.
        let is_seen = matches!(step, Some(Step::SetClock | Step::GetPlace))
            || step == Some(Step::EraseDates) && matches!(flight.task, Task::Write { .. });
        match (&flight.task, failure(answer).filter(|_| !is_seen), step.zip(flight.task.slot())) {
            (_, Some(outcome), _) => out.push(self.gave_up(node, flight.task, outcome)),
            (Task::Lock { locked, .. }, None, _) => {
                self.moving.insert(node, Moving { locked: *locked, since: at, polls: 0 });
            }
            (_, None, Some((step, slot))) => {
                let keeping = self.keeping(node);
                let utc = self.nodes.get(&node).is_some_and(|n| n.clock_is_utc);
                let said = match step {
                    Step::Read => Some(codes::read(keeping, slot, answer)),
                    Step::GetDates => Some(schedules::read(slot, answer)),
                    Step::GetClock => Some(schedules::clock(answer, utc)),
                    _ => None,
                };
                if let Some(outcome) = codes::refusal(step, keeping, answer).filter(|_| !is_seen) {
                    out.push(self.gave_up(node, flight.task, outcome));
                } else if let Some(notice) = said {
                    self.report(node, vec![Signal::Code(notice)], out);
                } else {
                    let taken = matches!(step, Step::Write | Step::Erase).then_some(CodeNotice::Accepted { slot });
                    let place = schedules::place(answer).filter(|_| step == Step::GetPlace);
                    for notice in taken.into_iter().chain(place) {
                        self.report(node, vec![Signal::Code(notice)], out);
                    }
                    let flight = self.radio.go_on(node, flight, at);
                    self.send(node, &flight);
                }
            }
            _ => {}
        }
        self.transmit(at);
    }

    fn step(&self, node: u16, flight: &Flight) -> Option<Step> {
        let dated = self.nodes.get(&node).is_some_and(|n| n.keeps_dates);
        codes::step(&flight.task, self.keeping(node), dated, flight.step)
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
        let signal = match (&task, task.slot()) {
            (Task::Lock { attempt, .. }, _) => Signal::Attempted { attempt: *attempt, outcome },
            (_, slot) => Signal::Code(CodeNotice::Refused { slot: slot.unwrap_or_default(), reason: outcome }),
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::tests::{bridge, signals};
    use super::*;
    use crate::signal::{DownReason, Secret};

    const LOCK: DeviceKey = DeviceKey::Zwave { home: 0x7e57_0001, node: 2 };
    const ATTEMPT: Uuid = Uuid::from_u128(7);

    fn s(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    fn unlock() -> Action {
        Action::SetLock { device: LOCK, attempt: ATTEMPT, lock: false }
    }

    /// The ids of what the server is sent.
    fn sent(bridge: &mut Bridge) -> Vec<String> {
        bridge.commands().iter().map(|c| c["messageId"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn answered(bridge: &mut Bridge, at: Mono, id: &str, answer: Value) -> Vec<(u16, Signal)> {
        let mut message = json!({"type": "result", "messageId": id, "success": true});
        message.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        signals(bridge.message(at, &message))
    }

    fn value(bridge: &mut Bridge, at: Mono, value: Value) -> Vec<(u16, Signal)> {
        let event = json!({"source": "node", "event": "value updated", "nodeId": 2, "args": value});
        signals(bridge.message(at, &json!({"type": "event", "event": event})))
    }

    fn mode(mode: u8) -> Value {
        json!({"commandClass": 98, "property": "currentMode", "newValue": mode, "prevValue": mode})
    }

    fn gave_up(outcome: Outcome) -> Vec<(u16, Signal)> {
        vec![(2, Signal::Attempted { attempt: ATTEMPT, outcome })]
    }

    #[test]
    fn a_lock_that_says_nothing_is_asked_three_times_and_one_that_says_so_is_not() {
        let mut bridge = bridge();
        assert_eq!(signals(bridge.act(s(0), &unlock())), []);
        let [command] = &bridge.commands()[..] else { panic!("one command") };
        assert_eq!((&command["command"], &command["value"]), (&json!("node.set_value"), &json!(0)));
        let id = command["messageId"].as_str().unwrap().to_owned();
        assert_eq!(answered(&mut bridge, s(1), &id, json!({"result": {"result": {"status": 254}}})), []);
        let mut polls = Vec::new();
        while let Some(at) = bridge.wake_at(s(0)) {
            assert_eq!(signals(bridge.due(at)), []);
            polls.extend(sent(&mut bridge).into_iter().map(|id| (at, id)));
        }
        assert_eq!(polls, [4, 9, 17].map(|at| (s(at), "poll:2".to_owned())));

        bridge.act(s(20), &unlock());
        let id = sent(&mut bridge).remove(0);
        answered(&mut bridge, s(21), &id, json!({"result": {"result": {"status": 255}}}));
        value(&mut bridge, s(22), mode(255));
        assert!(bridge.wake_at(s(22)).is_some(), "that is where it was");
        value(&mut bridge, s(23), mode(0));
        assert_eq!(bridge.wake_at(s(23)), None);
    }

    #[test]
    fn a_jam_that_is_said_again_is_news_only_to_who_tried_again() {
        let mut bridge = bridge();
        let jam =
            || json!({"commandClass": 113, "property": "Access Control", "propertyKey": "Lock state", "newValue": 11});
        let jammed = [(2, Signal::Lock(LockState::Jammed))];
        assert_eq!(value(&mut bridge, s(1), jam()), jammed);
        assert_eq!(value(&mut bridge, s(9), jam()), []);
        bridge.act(s(10), &unlock());
        assert_eq!(value(&mut bridge, s(12), jam()), jammed);
        assert_eq!(value(&mut bridge, s(20), jam()), []);
    }

    #[test]
    fn each_way_in_which_a_command_fails_is_told_as_what_it_is() {
        let refused = json!({"result": {"result": {"status": 2}}});
        let unreachable =
            json!({"success": false, "errorCode": "zwave_error", "zwaveErrorCodeName": "Controller_CallbackNOK"});
        let unknown = json!({"success": false, "errorCode": "unknown_command"});
        for (answer, outcome) in
            [(refused, Outcome::Refused), (unreachable, Outcome::Unreachable), (unknown, Outcome::Refused)]
        {
            let mut bridge = bridge();
            bridge.act(s(0), &unlock());
            let id = sent(&mut bridge).remove(0);
            assert_eq!(answered(&mut bridge, s(1), &id, answer), gave_up(outcome));
        }
        let mut bridge = bridge();
        bridge.act(s(0), &unlock());
        assert_eq!(signals(bridge.due(s(30))), gave_up(Outcome::Unreachable), "nobody answers");
        bridge.act(s(40), &unlock());
        let down = bridge.down(DownReason::Unreachable);
        assert_eq!(signals(down), gave_up(Outcome::LinkDown));
        assert_eq!(signals(bridge.act(s(41), &unlock())), gave_up(Outcome::LinkDown));
        let stranger = Action::SetLock { device: DeviceKey::Zwave { home: 1, node: 2 }, attempt: ATTEMPT, lock: true };
        assert_eq!(signals(bridge.act(s(41), &stranger)), [], "another network's business");
    }

    #[test]
    fn what_is_written_is_taken_and_then_what_is_read() {
        let mut bridge = bridge();
        bridge.act(s(0), &Action::SetCode { device: LOCK, slot: 4, digits: Secret::new("0815") });
        let write = bridge.commands().remove(0);
        assert_eq!((&write["methodName"], &write["args"]), (&json!("set"), &json!([4, 1, "0815"])));
        let id = write["messageId"].as_str().unwrap().to_owned();
        assert!(!id.contains("0815"));
        let taken = answered(&mut bridge, s(1), &id, json!({"result": {}}));
        assert_eq!(taken, [(2, Signal::Code(CodeNotice::Accepted { slot: 4 }))]);
        let read = bridge.commands().remove(0);
        assert_eq!((&read["methodName"], &read["args"]), (&json!("get"), &json!([4])));
        let id = read["messageId"].as_str().unwrap().to_owned();
        let old = json!({"result": {"response": {"userIdStatus": 1, "userCode": "1111"}}});
        let held = CodeNotice::Slot { slot: 4, digits: Some(Secret::new("1111")) };
        assert_eq!(answered(&mut bridge, s(2), &id, old), [(2, Signal::Code(held))], "it ignored what it took");
    }
}
