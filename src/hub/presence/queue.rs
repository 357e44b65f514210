//! Which device is looked at next. Nearly every look is put off by the same time, so that it goes behind all others: such looks wait in
//! a line, which costs the same however long it is, and only the rest in a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::LOOK_EVERY;
use crate::time::Mono;

#[derive(Debug, Default)]
pub struct Queue {
    line: VecDeque<(Mono, u32)>,
    heap: BinaryHeap<Reverse<(Mono, u32)>>,
}

impl Queue {
    /// The device is looked at after `wait`; says when that is.
    pub fn push(&mut self, now: Mono, wait: Duration, device: u32) -> Mono {
        let due = now + wait;
        if wait == LOOK_EVERY && self.line.back().is_none_or(|last| *last <= (due, device)) {
            self.line.push_back((due, device));
        } else {
            self.heap.push(Reverse((due, device)));
        }
        due
    }

    /// What is due first.
    pub fn first(&self) -> Option<(Mono, u32)> {
        let heap = self.heap.peek().map(|Reverse(first)| *first);
        [self.line.front().copied(), heap].into_iter().flatten().min()
    }

    /// Takes out what is due first, where that is by `now`.
    pub fn due(&mut self, now: Mono) -> Option<(Mono, u32)> {
        let first = self.first().filter(|(due, _)| *due <= now)?;
        if self.line.front() == Some(&first) { self.line.pop_front() } else { self.heap.pop().map(|Reverse(it)| it) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_order_they_came_in_what_is_due_first_comes_first() {
        let waits = [LOOK_EVERY, LOOK_EVERY * 6, Duration::from_secs(3), LOOK_EVERY, LOOK_EVERY];
        let mut queue = Queue::default();
        let dues = (0..1000u32).map(|n| {
            let wait = waits[n as usize * 7 % 11 % waits.len()];
            (queue.push(Mono(u64::from(n / 3) * 100), wait, n), n)
        });
        let mut sorted: Vec<(Mono, u32)> = dues.collect();
        sorted.sort();
        assert!(queue.line.len() > 100 && queue.heap.len() > 100, "both are used");
        assert_eq!(queue.due(Mono(2999)), None);
        assert_eq!(std::iter::from_fn(|| queue.due(Mono(1_000_000))).collect::<Vec<_>>(), sorted);
    }
}
