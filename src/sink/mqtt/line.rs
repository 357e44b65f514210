//! What is on its way to the broker, in the order in which it left. Pure: moments are handed in.
//!
//! rumqttc gives no handle by which to know which publish was acknowledged, so the order is the key: what is sent first gets
//! the next packet id. No more than `most` lie between the oldest unacknowledged publish and the youngest: packet ids,
//! which rumqttc counts round that same number, therefore never collide, though a broker acknowledges out of order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::window::Window;

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
    window: Window,
    /// When the oldest one was acknowledged last: the broker gets on.
    moved: Option<Instant>,
}

/// The broker or the client library answered for a publish that nobody made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet id {0} belongs to no publish of ours")]
pub struct Stray(pub u16);

impl<T> Line<T> {
    pub fn new(most: u16) -> Line<T> {
        Line { slots: VecDeque::with_capacity(most.into()), window: Window::new(most.into()), moved: None }
    }

    pub fn room(&self) -> usize {
        self.window.size().saturating_sub(self.slots.len())
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
    pub fn acknowledged(&mut self, packet_id: u16, now: Instant) -> Result<&T, Stray> {
        let flying = |s: &Slot<T>| s.packet_id == Some(packet_id) && !s.acknowledged;
        let place = self.slots.iter().position(flying).ok_or(Stray(packet_id))?;
        if place == 0 {
            self.moved = Some(now);
        }
        let slot = &mut self.slots[place];
        slot.acknowledged = true;
        self.window.acknowledged(slot.since, now);
        Ok(&slot.item)
    }

    /// Takes the oldest one out, once it and so all before it are acknowledged.
    pub fn done(&mut self) -> Option<T> {
        if !self.slots.front()?.acknowledged {
            return None;
        }
        self.slots.pop_front().map(|s| s.item)
    }

    /// Whether the oldest has waited for its acknowledgement for longer than `patience`. Not counted is how long there were older ones: a
    /// broker that takes one after the other, slowly, is busy, and is not helped by being sent all of it again.
    pub fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        self.slots
            .front()
            .is_some_and(|s| now.saturating_duration_since(s.since.max(self.moved.unwrap_or(s.since))) > patience)
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
        let (mut line, now) = (line(), Instant::now());
        assert_eq!(line.acknowledged(2, now), Ok(&'b'));
        assert_eq!(line.done(), None);
        assert_eq!(line.acknowledged(1, now), Ok(&'a'));
        assert_eq!((line.done(), line.done(), line.done()), (Some('a'), Some('b'), None));
    }

    #[test]
    fn a_hole_keeps_the_window_shut() {
        let (mut line, now) = (line(), Instant::now());
        line.acknowledged(2, now).unwrap();
        line.acknowledged(3, now).unwrap();
        assert_eq!(line.room(), 0, "packet id 1 is still taken, and the next one would be 1");
        line.acknowledged(1, now).unwrap();
        while line.done().is_some() {}
        assert_eq!(line.room(), 3);
    }

    #[test]
    fn an_acknowledgement_of_nothing_is_refused() {
        let (mut line, now) = (line(), Instant::now());
        assert_eq!(line.acknowledged(9, now), Err(Stray(9)));
        line.acknowledged(1, now).unwrap();
        assert_eq!(line.acknowledged(1, now), Err(Stray(1)), "the same one twice");
        assert_eq!(line.sent(4), Err(Stray(4)), "nothing waited to go out");
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn patience_is_counted_from_when_the_oldest_left_or_became_the_oldest() {
        let (mut line, start) = (line(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!line.is_overdue(start, PATIENCE));
        assert!(line.is_overdue(after(21), PATIENCE));
        line.acknowledged(1, after(19)).unwrap();
        line.done();
        assert!(!line.is_overdue(after(38), PATIENCE), "it goes on, if slowly");
        assert!(line.is_overdue(after(40), PATIENCE));
        line.acknowledged(2, after(38)).unwrap();
        line.acknowledged(3, after(38)).unwrap();
        while line.done().is_some() {}
        assert!(!line.is_overdue(after(500), PATIENCE), "nothing is on its way");
        line.push('d', after(500));
        assert!(!line.is_overdue(after(519), PATIENCE) && line.is_overdue(after(521), PATIENCE));
    }

    #[test]
    fn one_that_is_never_acknowledged_is_found_though_those_behind_it_are() {
        let (mut line, start) = (line(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        line.acknowledged(2, after(10)).unwrap();
        line.acknowledged(3, after(19)).unwrap();
        assert!(line.is_overdue(after(21), PATIENCE));
    }

    #[test]
    fn late_acknowledgements_leave_less_room() {
        let (mut line, start) = (Line::new(100), Instant::now());
        assert_eq!(line.room(), 4);
        line.push('a', start);
        line.sent(1).unwrap();
        line.acknowledged(1, start + Duration::from_secs(5)).unwrap();
        line.done();
        assert_eq!(line.room(), 2);
    }
}
