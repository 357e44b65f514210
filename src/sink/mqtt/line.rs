//! What is on its way to the broker, in the order in which it left. Pure: moments are handed in.
//!
//! rumqttc gives no handle by which to know which publish was acknowledged, so the order is the key: what is sent first gets
//! the next packet id. No more than the window lies between the oldest unacknowledged publish and the youngest: packet ids,
//! which rumqttc counts round that same window, therefore never collide, though a broker acknowledges out of order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Debug, PartialEq)]
struct Slot<T> {
    item: T,
    since: Instant,
    /// Given when it goes out to the socket.
    packet_id: Option<u16>,
    acknowledged: bool,
}

#[derive(Debug)]
pub struct Line<T> {
    slots: VecDeque<Slot<T>>,
    window: usize,
}

/// The broker or the client library answered for a publish that nobody made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet id {0} belongs to no publish of ours")]
pub struct Stray(pub u16);

impl<T> Line<T> {
    pub fn new(window: u16) -> Line<T> {
        Line { slots: VecDeque::with_capacity(window.into()), window: window.max(1).into() }
    }

    pub fn room(&self) -> usize {
        self.window.saturating_sub(self.slots.len())
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|s| &s.item)
    }

    pub fn push(&mut self, item: T, now: Instant) {
        self.slots.push_back(Slot { item, since: now, packet_id: None, acknowledged: false });
    }

    /// Something that needs no sending, in its turn.
    pub fn push_done(&mut self, item: T, now: Instant) {
        self.slots.push_back(Slot { item, since: now, packet_id: None, acknowledged: true });
    }

    /// The next one that has no packet id yet went out with this one.
    pub fn sent(&mut self, packet_id: u16) -> Result<(), Stray> {
        let slot = self.slots.iter_mut().find(|s| s.packet_id.is_none() && !s.acknowledged).ok_or(Stray(packet_id))?;
        slot.packet_id = Some(packet_id);
        Ok(())
    }

    /// How long what has this packet id has waited.
    pub fn waited(&self, packet_id: u16, now: Instant) -> Option<Duration> {
        let slot = self.slots.iter().find(|s| s.packet_id == Some(packet_id))?;
        Some(now.saturating_duration_since(slot.since))
    }

    /// What was acknowledged under this packet id.
    pub fn acknowledged(&mut self, packet_id: u16) -> Result<&T, Stray> {
        let flying = |s: &&mut Slot<T>| s.packet_id == Some(packet_id) && !s.acknowledged;
        let slot = self.slots.iter_mut().find(flying).ok_or(Stray(packet_id))?;
        slot.acknowledged = true;
        Ok(&slot.item)
    }

    /// Takes the oldest one out, once it and so all before it are acknowledged.
    pub fn done(&mut self) -> Option<T> {
        if !self.slots.front()?.acknowledged {
            return None;
        }
        self.slots.pop_front().map(|s| s.item)
    }

    /// Whether something has waited for its acknowledgement for longer than `patience`.
    pub fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        self.slots.front().is_some_and(|s| now.saturating_duration_since(s.since) > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line<char> {
        let mut line = Line::new(3);
        for (n, item) in ['a', 'b', 'c'].into_iter().enumerate() {
            line.push(item, Instant::now());
            line.sent(n as u16 + 1).unwrap();
        }
        line
    }

    #[test]
    fn nothing_is_done_before_what_left_before_it() {
        let mut line = line();
        assert_eq!(line.acknowledged(2), Ok(&'b'));
        assert_eq!(line.done(), None);
        assert_eq!(line.acknowledged(1), Ok(&'a'));
        assert_eq!((line.done(), line.done(), line.done()), (Some('a'), Some('b'), None));
    }

    #[test]
    fn a_hole_keeps_the_window_shut() {
        let mut line = line();
        line.acknowledged(2).unwrap();
        line.acknowledged(3).unwrap();
        assert_eq!(line.room(), 0, "packet id 1 is still taken, and the next one would be 1");
        line.acknowledged(1).unwrap();
        while line.done().is_some() {}
        assert_eq!(line.room(), 3);
    }

    #[test]
    fn an_acknowledgement_of_nothing_is_refused() {
        let mut line = line();
        assert_eq!(line.acknowledged(9), Err(Stray(9)));
        line.acknowledged(1).unwrap();
        assert_eq!(line.acknowledged(1), Err(Stray(1)), "the same one twice");
        assert_eq!(line.sent(4), Err(Stray(4)), "nothing waited to go out");
    }

    #[test]
    fn patience_is_counted_from_when_the_oldest_left() {
        let mut line = line();
        let later = Instant::now() + Duration::from_secs(21);
        assert!(line.is_overdue(later, Duration::from_secs(20)));
        line.acknowledged(1).unwrap();
        line.done();
        line.push('d', later);
        assert!(line.is_overdue(later, Duration::from_secs(20)), "b and c are as old");
        assert!(!line.is_overdue(Instant::now(), Duration::from_secs(20)));
    }
}
