//! Reads over MQTT what the simulated hubs tell, and holds it against what they made: doubles, gaps, order, ids.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{interval, sleep};
use uuid::Uuid;

use super::hub::{World, over};
use super::log::event_id;
use super::tally::Histogram;
use crate::sink::mqtt::Settings;
use crate::sink::mqtt::life::{Life, TICK};
use crate::sink::mqtt::wire::{self, Broken, Happened, Role};
use crate::time::Wall;

/// The broker keeps what comes while we are away: longer than any test of it.
const KEPT: Duration = Duration::from_secs(3600);

/// Enough that the way of an acknowledgement does not limit it.
const ARRIVALS_MOST: u16 = 1000;

const RETRY: Duration = Duration::from_secs(1);

/// What was read of one hub.
#[derive(Default)]
struct Seen {
    /// A bit a `seq`, from 1 on.
    seqs: Vec<u64>,
    most: u64,
}

#[derive(Default)]
struct Read {
    hubs: HashMap<u64, Seen>,
    events: u64,
    doubles: u64,
    /// Came for the first time, but after a later one of the same hub.
    late: u64,
    /// Not what the seed makes of it.
    wrong: u64,
}

/// Counts what arrives.
pub struct Reading {
    seed: u64,
    read: Mutex<Read>,
    pub subscribed: watch::Sender<bool>,
    arrival: Histogram,
}

#[derive(Deserialize)]
struct Told {
    event_id: Uuid,
    created_at: chrono::DateTime<chrono::Utc>,
    seq: u64,
}

impl Reading {
    pub fn new(seed: u64) -> Reading {
        Reading { seed, read: Mutex::default(), subscribed: watch::Sender::new(false), arrival: Histogram::default() }
    }

    pub fn events(&self) -> u64 {
        let read = self.read.lock().unwrap_or_else(|e| e.into_inner());
        read.events - read.doubles
    }

    fn take(&self, hub: u64, payload: &[u8], now: Wall) {
        let mut read = self.read.lock().unwrap_or_else(|e| e.into_inner());
        let told: Option<Told> = serde_json::from_slice(payload).ok();
        let Some(Told { event_id: id, created_at, seq }) = told.filter(|t| (1..1 << 32).contains(&t.seq)) else {
            read.wrong += 1;
            return;
        };
        let made = Wall::from(created_at);
        read.events += 1;
        read.wrong += u64::from(id != event_id(self.seed, hub, seq, made));
        let seen = read.hubs.entry(hub).or_default();
        let (word, bit) = ((seq / 64) as usize, 1 << (seq % 64));
        if seen.seqs.len() <= word {
            seen.seqs.resize(word + 1, 0);
        }
        let double = seen.seqs[word] & bit != 0;
        let late = !double && seq < seen.most;
        seen.seqs[word] |= bit;
        seen.most = seen.most.max(seq);
        read.doubles += u64::from(double);
        read.late += u64::from(late);
        self.arrival.count(Duration::from_millis((now.0 - made.0).max(0) as u64));
    }

    /// Held against what each hub's broker acknowledged.
    pub fn report(&self, acknowledged: &[(u64, u64)]) -> Value {
        let read = self.read.lock().unwrap_or_else(|e| e.into_inner());
        let gaps: u64 = acknowledged
            .iter()
            .map(|(hub, most)| {
                let seen = read.hubs.get(hub);
                let has = |seq: u64| {
                    seen.and_then(|s| s.seqs.get((seq / 64) as usize)).is_some_and(|w| w & (1 << (seq % 64)) != 0)
                };
                (1..=*most).filter(|seq| !has(*seq)).count() as u64
            })
            .sum();
        json!({
            "events": read.events, "doubles": read.doubles, "gaps": gaps, "late": read.late, "wrong": read.wrong,
            "arrival_ms": self.arrival.report(),
        })
    }
}

/// Reads until the run is over. `number` tells a simulated hub by its topic.
pub async fn read(
    settings: Settings,
    filter: String,
    reading: Arc<Reading>,
    world: Arc<World>,
    number: impl Fn(&str) -> Option<u64>,
) {
    let mut phase = world.phase.subscribe();
    let mut turn = 0;
    loop {
        let here = settings.at_node(turn);
        let ended = tokio::select! {
            () = over(&mut phase) => return,
            ended = connection(&here, &filter, &reading, &world, &number) => ended,
        };
        if let Err(error) = ended {
            world.tally.failed(&format!("reader: {error}"));
        }
        turn += 1;
        sleep(RETRY).await;
    }
}

async fn connection(
    settings: &Settings,
    filter: &str,
    reading: &Reading,
    world: &World,
    number: &impl Fn(&str) -> Option<u64>,
) -> Result<(), Broken> {
    let client_id = format!("{}-reader", settings.client_id);
    let role = Role { client_id, will: None, kept: Some(KEPT), arrivals_most: ARRIVALS_MOST };
    let (outbox, mut pump) = wire::connect(settings, &role)?;
    let mut life = Life::begins(Instant::now());
    let mut tick = interval(TICK);
    loop {
        let happened = {
            let mut next = pin!(pump.next());
            loop {
                tokio::select! {
                    happened = &mut next => break happened?,
                    _ = tick.tick() => life.check(Instant::now(), &settings.pace)?,
                }
            }
        };
        life.happened(&happened, Instant::now());
        match happened {
            Happened::Connected { .. } => outbox.subscribe(filter)?,
            Happened::Subscribed(true) => {
                reading.subscribed.send_replace(true);
            }
            Happened::Subscribed(false) => return Err(Broken::NotSubscribed(filter.to_owned())),
            Happened::Arrived(arrival) => {
                if let Some(hub) = number(&arrival.topic) {
                    let now = Wall(world.started.0 + world.elapsed().as_millis() as i64);
                    reading.take(hub, &arrival.payload, now);
                }
                outbox.receive(&arrival)?;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seed: u64, seq: u64) -> Vec<u8> {
        let made = Wall(1_767_225_600_000);
        json!({"event_id": event_id(seed, 3, seq, made), "created_at": made.to_string(), "seq": seq}).to_string().into()
    }

    #[test]
    fn doubles_gaps_and_late_ones_are_told_apart() {
        let reading = Reading::new(1);
        for seq in [1, 2, 2, 4, 3, 6] {
            reading.take(3, &told(1, seq), Wall(1_767_225_600_500));
        }
        reading.take(3, &told(2, 7), Wall(1_767_225_600_500));
        reading.take(3, b"{}", Wall(0));
        let report = reading.report(&[(3, 8), (4, 2)]);
        let of = |what: &str| report[what].as_u64().unwrap();
        assert_eq!((of("events"), of("doubles"), of("late"), of("wrong")), (7, 1, 1, 2));
        assert_eq!(of("gaps"), 4, "5 and 8 of one hub, both of the other");
        assert_eq!(reading.events(), 6);
    }
}
