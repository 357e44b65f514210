//! What a simulated hub has to tell. Made by the seed, so that of an event only its time is kept, and that only until it is
//! acknowledged. Pure: times are handed in, counted from the start of the run.

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use crate::event::{Details, Dialect, Event, EventType};
use crate::signal::Method;
use crate::source::demo::Dice;
use crate::store::Stored;
use crate::time::Wall;

/// Devices that events of a simulated hub are of: a house with a few doors.
const DEVICES: u64 = 8;

const TYPES: [EventType; 4] =
    [EventType::LockUnlocked, EventType::LockLocked, EventType::DeviceDisconnected, EventType::DeviceConnected];

pub struct SimLog {
    seed: u64,
    hub: u64,
    pub log_id: Uuid,
    dice: Dice,
    /// Between two events on average; `None` for a hub that is silent.
    mean: Option<Duration>,
    next: Duration,
    started: Wall,
    /// Every event up to it is acknowledged.
    acknowledged: u64,
    /// When those after it were made.
    waiting: VecDeque<Wall>,
}

/// A number of its own for every use of the seed.
fn mix(seed: u64, hub: u64, n: u64) -> u64 {
    Dice::new(seed ^ hub.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd1b5_4a32_d192_ed03)).roll()
}

/// As a hub makes them: the time, and what the dice say.
pub fn event_id(seed: u64, hub: u64, seq: u64, made: Wall) -> Uuid {
    let (a, b) = (mix(seed, hub, 2 * seq), mix(seed, hub, 2 * seq + 1));
    let mut random = [0; 10];
    random[..8].copy_from_slice(&a.to_be_bytes());
    random[8..].copy_from_slice(&b.to_be_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(made.0.unsigned_abs(), &random).into_uuid()
}

impl SimLog {
    /// `backlog` events were made while it was away.
    pub fn new(seed: u64, hub: u64, mean: Option<Duration>, started: Wall, backlog: u64) -> SimLog {
        let log_id = Uuid::from_u64_pair(mix(seed, hub, u64::MAX), hub);
        let mut dice = Dice::new(mix(seed, hub, u64::MAX - 1));
        let next = mean.map_or(Duration::MAX, |mean| pause(&mut dice, mean));
        let waiting = (0..backlog).map(|_| started).collect();
        SimLog { seed, hub, log_id, dice, mean, next, started, acknowledged: 0, waiting }
    }

    /// When the next one is made.
    pub fn next(&self) -> Duration {
        self.next
    }

    /// Makes what is due; returns how many that were.
    pub fn make(&mut self, now: Duration) -> u64 {
        let mut made = 0;
        while let Some(mean) = self.mean
            && self.next <= now
        {
            self.waiting.push_back(Wall(self.started.0 + self.next.as_millis() as i64));
            self.next += pause(&mut self.dice, mean);
            made += 1;
        }
        made
    }

    /// No more happens here.
    pub fn end(&mut self) {
        (self.mean, self.next) = (None, Duration::MAX);
    }

    pub fn head(&self) -> u64 {
        self.acknowledged + self.waiting.len() as u64
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The broker has the next one; when it was made.
    pub fn acknowledge(&mut self) -> Option<Wall> {
        let made = self.waiting.pop_front()?;
        self.acknowledged += 1;
        Some(made)
    }

    /// One that is not acknowledged, as the store of a real hub has it.
    pub fn event(&self, seq: u64) -> Option<Stored> {
        let made = *self.waiting.get(usize::try_from(seq.checked_sub(self.acknowledged + 1)?).ok()?)?;
        let roll = mix(self.seed, self.hub, seq);
        let id = |space: u64| Uuid::from_u64_pair(mix(self.seed, self.hub, space), space);
        let (device_id, account_id) = (id(roll % DEVICES), id(DEVICES));
        let event = Event {
            event_id: event_id(self.seed, self.hub, seq, made),
            event_type: TYPES[(roll / DEVICES % 4) as usize],
            workspace_id: Uuid::from_u64_pair(self.seed, 1),
            created_at: made,
            occurred_at: made,
            connected_account_id: account_id,
            device_id: Some(device_id),
            details: Details {
                method: Some(Method::Keycode),
                access_code_id: Some(id(roll % 200)),
                ..Details::default()
            },
        };
        Some(Stored {
            seq,
            event_id: event.event_id,
            event_type: event.event_type,
            account_id,
            device_id: Some(device_id),
            created_at: made,
            body: event.render(Dialect::Classic),
        })
    }

    /// The ids of its devices, as many as are wanted.
    pub fn devices(&self) -> impl Iterator<Item = Uuid> + use<> {
        let (seed, hub) = (self.seed, self.hub);
        (0..).map(move |n| Uuid::from_u64_pair(mix(seed, hub, n), n))
    }
}

/// Things happen independently of each other: the pauses are exponential.
fn pause(dice: &mut Dice, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - dice.chance()).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(seed: u64) -> SimLog {
        SimLog::new(seed, 7, Some(Duration::from_secs(60)), Wall(1_767_225_600_000), 2)
    }

    #[test]
    fn the_same_seed_tells_the_same_and_another_one_something_else() {
        let told = |seed| {
            let mut log = log(seed);
            log.make(Duration::from_secs(3600));
            (1..=log.head()).filter_map(|seq| log.event(seq)).map(|e| e.body).collect::<Vec<_>>()
        };
        assert_eq!(told(1), told(1));
        assert_ne!(told(1), told(2));
        assert!((40..90).contains(&told(1).len()), "an hour of one a minute: {}", told(1).len());
    }

    #[test]
    fn an_event_keeps_its_bytes_until_it_is_acknowledged() {
        let mut log = log(1);
        log.make(Duration::from_secs(600));
        let third = log.event(3).unwrap();
        log.acknowledge();
        log.acknowledge();
        assert_eq!(log.event(3), Some(third.clone()));
        assert_eq!(log.event(2), None, "it is acknowledged");
        assert_eq!(third.event_id, event_id(1, 7, 3, third.created_at));
        assert_eq!(third.event_id.get_version_num(), 7);
        log.end();
        let head = log.head();
        log.make(Duration::from_secs(6000));
        assert_eq!(log.head(), head);
    }
}
