//! What nodes are asked, one thing at a time: a queue for each node, and a budget for the network. Pure; time is an argument.
//!
//! What it promises: a node has one command under way; a network has two, not counting those that are slow (a dead lock) and the
//! commands of a person at the door; commands of programs come with a breath between them. No node waits for another that does not
//! answer, and nothing waits without an end: each command has its time, each queue its length.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use crate::signal::{Schedule, Secret};
use crate::time::Mono;

/// A driver tries a node for up to 15 s over all routes; a lock on batteries that uses S0 needs 5 s for a code. Twice the longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// An answer takes 1 to 2 s of a lock on batteries. One that is not there by then holds up nobody else.
const SLOW: Duration = Duration::from_secs(4);

/// Two at once keep the radio busy while one lock is being woken, and leave the driver's own queue short.
const FLYING_MOST: usize = 2;

/// Between two commands of programs: alarms and keypads must get through.
const APART: Duration = Duration::from_millis(100);

/// For one node: every slot of the biggest lock (250) written and read, and then some.
const WAITING_MOST: usize = 600;

/// Something that a node is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    Lock {
        attempt: Uuid,
        locked: bool,
    },
    /// Writes a code, or without digits erases it; then reads it back.
    Write {
        slot: u16,
        digits: Option<Secret>,
    },
    Read {
        slot: u16,
    },
    /// Writes the dates that the lock keeps for a slot, or without any erases them; then reads them back.
    Schedule {
        slot: u16,
        schedule: Option<Schedule>,
    },
    /// Reads the dates that the lock keeps for a slot.
    Dates {
        slot: u16,
    },
    /// Sets the clock for the sake of a slot's dates, then looks at it.
    Clock {
        slot: u16,
    },
}

impl Task {
    /// Somebody stands at the door.
    fn is_urgent(&self) -> bool {
        matches!(self, Task::Lock { .. })
    }

    /// The slot that it is about.
    pub fn slot(&self) -> Option<u16> {
        match self {
            Task::Lock { .. } => None,
            Task::Write { slot, .. }
            | Task::Read { slot }
            | Task::Schedule { slot, .. }
            | Task::Dates { slot }
            | Task::Clock { slot } => Some(*slot),
        }
    }
}

/// A task under way. `step` counts its commands: the command is told from its answer's id.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    pub task: Task,
    pub step: u8,
    serial: u64,
    since: Mono,
}

#[derive(Debug, Default)]
pub struct Radio {
    waiting: BTreeMap<u16, VecDeque<Task>>,
    flying: BTreeMap<u16, Flight>,
    serial: u64,
    /// The node that was asked last: the next one's turn is first.
    last: u16,
    /// When a command of a program was sent last.
    sent: Option<Mono>,
}

impl Radio {
    /// Queues a task; hands it back where too many wait already.
    pub fn ask(&mut self, node: u16, task: Task) -> Result<(), Task> {
        let queue = self.waiting.entry(node).or_default();
        if task.is_urgent() {
            // The hub has one of these at a time with a lock.
            queue.push_front(task);
        } else if queue.len() < WAITING_MOST {
            queue.push_back(task);
        } else {
            return Err(task);
        }
        Ok(())
    }

    /// The next task to send, and the serial number that its answer will carry. Call it until there is none.
    pub fn next(&mut self, at: Mono) -> Option<(u16, Flight)> {
        let busy = self.flying.values().filter(|f| !f.task.is_urgent() && at.since(f.since) < SLOW).count();
        let free = busy < FLYING_MOST && self.sent.is_none_or(|sent| at.since(sent) >= APART);
        let ready = |(node, queue): (&u16, &VecDeque<Task>)| {
            let task = queue.front()?;
            (!self.flying.contains_key(node) && (free || task.is_urgent())).then_some((*node, task.is_urgent()))
        };
        let ready: Vec<(u16, bool)> = self.waiting.iter().filter_map(ready).collect();
        let urgent = ready.iter().find(|(_, urgent)| *urgent);
        let turn = || ready.iter().find(|(node, _)| *node > self.last).or(ready.first());
        let (node, urgent) = *urgent.or_else(turn)?;
        let task = self.pop(node)?;
        if !urgent {
            (self.last, self.sent) = (node, Some(at));
        }
        Some((node, self.fly(node, task, 0, at)))
    }

    /// The next command of a task whose last one was answered.
    pub fn go_on(&mut self, node: u16, flight: Flight, at: Mono) -> Flight {
        self.fly(node, flight.task, flight.step + 1, at)
    }

    fn fly(&mut self, node: u16, task: Task, step: u8, at: Mono) -> Flight {
        self.serial += 1;
        let flight = Flight { task, step, serial: self.serial, since: at };
        self.flying.insert(node, flight.clone());
        flight
    }

    fn pop(&mut self, node: u16) -> Option<Task> {
        let queue = self.waiting.get_mut(&node)?;
        let task = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&node);
        }
        task
    }

    /// The task that an answer with this number belongs to, if it still waits for it.
    pub fn answered(&mut self, node: u16, serial: u64) -> Option<Flight> {
        self.flying.get(&node).filter(|f| f.serial == serial)?;
        self.flying.remove(&node)
    }

    /// Tasks whose time is over.
    pub fn overdue(&mut self, at: Mono) -> Vec<(u16, Task)> {
        let late = |f: &Flight| at.since(f.since) >= ANSWER_WITHIN;
        let nodes: Vec<u16> = self.flying.iter().filter(|(_, f)| late(f)).map(|(node, _)| *node).collect();
        nodes.into_iter().filter_map(|node| Some((node, self.flying.remove(&node)?.task))).collect()
    }

    /// Everything that was asked: nobody will answer it.
    pub fn drain(&mut self) -> Vec<(u16, Task)> {
        let flying = std::mem::take(&mut self.flying).into_iter().map(|(node, f)| (node, f.task));
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        flying.chain(waiting.flat_map(|(node, tasks)| tasks.into_iter().map(move |task| (node, task)))).collect()
    }

    /// What was asked of a node that is gone.
    pub fn forget(&mut self, node: u16) {
        self.waiting.remove(&node);
        self.flying.remove(&node);
    }

    /// When to look again, if nothing is answered before. What could be sent by `now` already is due at once.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        let ends = self.flying.values().map(|f| f.since + ANSWER_WITHIN).min();
        let waits = self.waiting.keys().any(|node| !self.flying.contains_key(node));
        let busy = self.flying.values().filter(|f| !f.task.is_urgent() && now.since(f.since) < SLOW);
        let slow: Vec<Mono> = busy.map(|f| f.since + SLOW).collect();
        let turn = match slow.iter().min() {
            Some(at) if slow.len() >= FLYING_MOST => *at,
            _ => self.sent.map_or(now, |sent| now.max(sent + APART)),
        };
        ends.into_iter().chain(waits.then_some(turn)).min()
    }
}

impl Flight {
    pub fn serial(&self) -> u64 {
        self.serial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Task = Task::Lock { attempt: Uuid::nil(), locked: true };

    fn s(seconds: f64) -> Mono {
        Mono((seconds * 1000.0) as u64)
    }

    fn read(slot: u16) -> Task {
        Task::Read { slot }
    }

    /// The nodes that are asked at this time.
    fn sent(radio: &mut Radio, at: f64) -> Vec<u16> {
        std::iter::from_fn(|| radio.next(s(at)).map(|(node, _)| node)).collect()
    }

    fn answer(radio: &mut Radio, node: u16) -> Task {
        let serial = radio.flying[&node].serial;
        radio.answered(node, serial).expect("it waits").task
    }

    #[test]
    fn a_dead_node_delays_the_others_by_no_more_than_one_turn() {
        let mut radio = Radio::default();
        for slot in 1..=100 {
            radio.ask(2, read(slot)).unwrap();
            radio.ask(3, read(slot)).unwrap();
            radio.ask(4, read(slot)).unwrap();
        }
        // Node 2 never answers, the others within a second: 100 s for both of them.
        let (mut at, mut of_others, mut given_up) = (0.0, 0, Vec::new());
        while of_others < 200 {
            given_up.extend(radio.overdue(s(at)));
            sent(&mut radio, at);
            at += 0.1;
            let answers = |(node, f): (&u16, &Flight)| {
                (*node != 2 && s(at).since(f.since) >= s(1.0).since(s(0.0))).then_some(*node)
            };
            let answering: Vec<u16> = radio.flying.iter().filter_map(answers).collect();
            for node in answering {
                answer(&mut radio, node);
                of_others += 1;
            }
            assert!(at < 125.0, "{of_others} answers in {at} s");
        }
        assert!(given_up.iter().all(|(node, _)| *node == 2) && given_up.len() as f64 <= at / 30.0, "{given_up:?}");
    }

    #[test]
    fn two_are_under_way_at_once_with_a_breath_between_them_and_nodes_take_turns() {
        let mut radio = Radio::default();
        for node in [2, 3, 4, 5] {
            radio.ask(node, read(1)).unwrap();
            radio.ask(node, read(2)).unwrap();
        }
        assert_eq!(sent(&mut radio, 0.0), [2]);
        assert_eq!(radio.wake_at(s(0.0)), Some(s(0.1)));
        assert_eq!(sent(&mut radio, 0.1), [3]);
        assert_eq!(sent(&mut radio, 1.0), [] as [u16; 0]);
        answer(&mut radio, 2);
        assert_eq!(sent(&mut radio, 1.1), [4]);
        answer(&mut radio, 3);
        assert_eq!(sent(&mut radio, 1.2), [5]);
        answer(&mut radio, 5);
        assert_eq!(sent(&mut radio, 1.3), [2]);
    }

    #[test]
    fn a_turn_that_came_between_two_looks_is_not_missed() {
        let mut radio = Radio::default();
        radio.ask(2, read(1)).unwrap();
        assert_eq!(sent(&mut radio, 0.0), [2]);
        radio.ask(3, read(1)).unwrap();
        assert_eq!(sent(&mut radio, 0.099), [] as [u16; 0]);
        assert_eq!(radio.wake_at(s(0.1)), Some(s(0.1)));
        assert_eq!(sent(&mut radio, 0.1), [3]);
        radio.ask(4, read(1)).unwrap();
        assert_eq!(sent(&mut radio, 3.999), [] as [u16; 0]);
        assert_eq!(radio.wake_at(s(4.0)), Some(s(4.0)), "node 2 is slow by then");
        assert_eq!(sent(&mut radio, 4.0), [4]);
    }

    #[test]
    fn somebody_at_the_door_goes_before_all_programs_but_never_before_what_is_under_way() {
        let mut radio = Radio::default();
        for slot in 1..=5 {
            radio.ask(2, read(slot)).unwrap();
            radio.ask(3, read(slot)).unwrap();
            radio.ask(4, read(slot)).unwrap();
        }
        sent(&mut radio, 0.0);
        sent(&mut radio, 0.1);
        radio.ask(2, LOCK).unwrap();
        radio.ask(4, LOCK).unwrap();
        assert_eq!(sent(&mut radio, 0.1), [4], "node 2 has something under way");
        answer(&mut radio, 2);
        assert_eq!(sent(&mut radio, 0.11), [2]);
        assert_eq!(answer(&mut radio, 2), LOCK);
    }

    #[test]
    fn a_command_that_nobody_answers_is_given_up_and_its_late_answer_is_nobodys() {
        let mut radio = Radio::default();
        radio.ask(2, read(1)).unwrap();
        radio.ask(2, read(2)).unwrap();
        let (_, first) = radio.next(s(0.0)).unwrap();
        assert_eq!(radio.wake_at(s(0.0)), Some(s(30.0)));
        assert_eq!(radio.overdue(s(29.9)), []);
        assert_eq!(radio.overdue(s(30.0)), [(2, read(1))]);
        let (_, second) = radio.next(s(30.0)).unwrap();
        assert_eq!(radio.answered(2, first.serial()), None);
        assert_eq!(radio.answered(2, second.serial()).map(|f| f.task), Some(read(2)));
        assert_eq!(radio.wake_at(s(30.0)), None);
    }

    #[test]
    fn a_queue_has_an_end_and_a_lost_link_answers_everything() {
        let mut radio = Radio::default();
        for slot in 0..WAITING_MOST as u16 {
            radio.ask(2, read(slot)).unwrap();
        }
        assert_eq!(radio.ask(2, read(1)), Err(read(1)));
        radio.ask(2, LOCK).expect("a door is not kept waiting by programs");
        radio.ask(3, LOCK).unwrap();
        sent(&mut radio, 0.0);
        assert_eq!(radio.drain().len(), WAITING_MOST + 2);
        assert_eq!((radio.drain(), radio.wake_at(s(0.0))), (vec![], None));
    }
}
