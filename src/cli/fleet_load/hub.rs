//! One simulated hub on the wire: the connection, the window, the will, what it says on connecting, its patience and its way back are
//! those of the publisher; only the log behind them is made up.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at, sleep, sleep_until};
use uuid::Uuid;

use super::log::SimLog;
use super::tally::Tally;
use crate::health::Health;
use crate::sink::mqtt::backoff::Backoff;
use crate::sink::mqtt::life::Life;
use crate::sink::mqtt::line::Line;
use crate::sink::mqtt::proof::Proof;
use crate::sink::mqtt::wire::{self, Broken, Happened, ONLINE, Outbox, Role};
use crate::sink::mqtt::{Message, Settings};
use crate::source::demo::Dice;
use crate::time::Wall;

/// Deadlines are looked at less often than in a real hub: there are thousands here in one process.
const TICK: Duration = Duration::from_secs(1);

/// What all of them share.
pub struct World {
    pub start: Instant,
    pub started: Wall,
    pub tally: Tally,
    pub phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// Nobody reaches anybody; things happen all the same.
    Outage,
    /// Nothing happens any more, and what did is told.
    Draining,
    Over,
}

enum Item {
    Event { seq: u64, sent: Instant },
    Other,
}

pub struct SimHub {
    pub settings: Settings,
    pub log: SimLog,
    /// That stand retained.
    pub devices: u64,
    pub dice: Dice,
}

impl World {
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Comes back when the run is over.
pub async fn over(phase: &mut watch::Receiver<Phase>) {
    // An error says that the world is gone: over too.
    let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
}

/// Lives until the phase is [`Phase::Over`]; comes back with its log.
pub async fn live(mut hub: SimHub, world: Arc<World>, first: Duration) -> SimLog {
    let mut phase = world.phase.subscribe();
    let mut backoff = Backoff::new(hub.settings.pace.retry_first, hub.settings.pace.retry_most);
    let mut turn = hub.settings.first_node();
    let mut wait = first;
    loop {
        tokio::select! {
            () = over(&mut phase) => return hub.log,
            () = sleep(wait) => {}
        }
        let since = Instant::now();
        let now = *phase.borrow_and_update();
        let ended = match now {
            Phase::Outage => Err(Broken::Network("outage".into())),
            _ => hub.connection(&world, &mut phase, turn).await,
        };
        let mut in_vain = Duration::ZERO;
        match ended {
            Ok(()) => return hub.log,
            Err(Broken::Network(reason)) if reason == "outage" => {}
            Err(error) => {
                in_vain = error.in_vain(&hub.settings.pace);
                world.tally.failed(&error.to_string());
            }
        }
        turn = turn.wrapping_add(1);
        wait = backoff.after(since.elapsed().saturating_sub(in_vain), hub.dice.roll());
    }
}

impl SimHub {
    async fn connection(
        &mut self,
        world: &World,
        phase: &mut watch::Receiver<Phase>,
        turn: usize,
    ) -> Result<(), Broken> {
        let settings = self.settings.at_node(turn);
        let role = Role { will: Some(settings.topics.status()), ..Role::passing(settings.client_id.clone()) };
        let (outbox, mut pump) = wire::connect(&settings, &role)?;
        let mut talk = Talk::new(&settings, world, &self.log, self.devices);
        let first = tokio::time::Instant::now() + TICK.mul_f64(self.dice.chance());
        let mut tick = interval_at(first, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let happened = {
                // Finished before the next one is made: see `Pump`.
                let mut next = pin!(pump.next());
                loop {
                    self.make(world, *phase.borrow());
                    talk.fill(&self.log, &outbox)?;
                    let due = world.start + self.log.next().min(Duration::from_secs(86_400 * 365));
                    tokio::select! {
                        biased;
                        _ = phase.changed() => match *phase.borrow_and_update() {
                            Phase::Outage => return Err(Broken::Network("outage".into())),
                            Phase::Over => {
                                outbox.disconnect();
                                return Ok(());
                            }
                            Phase::Running | Phase::Draining => {}
                        },
                        happened = &mut next => break happened?,
                        () = sleep_until(due.into()) => {}
                        _ = tick.tick() => talk.check(&self.log)?,
                    }
                }
            };
            talk.happened(happened, &mut self.log, &outbox)?;
        }
    }

    fn make(&mut self, world: &World, phase: Phase) {
        if phase == Phase::Draining {
            self.log.end();
        }
        let made = self.log.make(world.elapsed());
        if made > 0 {
            world.tally.made.fetch_add(made, Relaxed);
        }
    }
}

/// One connection's state.
struct Talk<'a> {
    settings: &'a Settings,
    world: &'a World,
    life: Life,
    proof: Proof,
    line: Line<Item>,
    /// The next event to send.
    next: u64,
    devices: Vec<Uuid>,
    retained: VecDeque<Message>,
    health_said: Instant,
    online: bool,
}

impl<'a> Talk<'a> {
    fn new(settings: &'a Settings, world: &'a World, log: &SimLog, devices: u64) -> Talk<'a> {
        let now = Instant::now();
        Talk {
            settings,
            world,
            life: Life::begins(now),
            proof: Proof::new(settings),
            line: Line::new(settings.pace.window),
            next: log.acknowledged() + 1,
            devices: log.devices().take(devices as usize).collect(),
            retained: VecDeque::new(),
            health_said: now,
            online: false,
        }
    }

    fn fill(&mut self, log: &SimLog, outbox: &Outbox) -> Result<(), Broken> {
        while self.online && self.line.room() > 0 {
            if let Some(message) = self.retained.pop_front() {
                self.send(Item::Other, message, outbox)?;
            } else if let Some(event) = log.event(self.next) {
                let message = self.settings.topics.event_message(&event, log.log_id, true);
                self.world.tally.sent.fetch_add(1, Relaxed);
                self.send(Item::Event { seq: self.next, sent: Instant::now() }, message, outbox)?;
                self.next += 1;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, item: Item, message: Message, outbox: &Outbox) -> Result<(), Broken> {
        self.line.push(item, Instant::now());
        outbox.publish(message)
    }

    fn happened(&mut self, happened: Happened, log: &mut SimLog, outbox: &Outbox) -> Result<(), Broken> {
        self.life.happened(&happened, Instant::now());
        match happened {
            Happened::Connected { receive_most, .. } => {
                self.line = Line::new(self.settings.pace.window.min(receive_most));
                match self.proof.is_given() {
                    true => self.welcome(),
                    false => outbox.listen(&self.settings.topics.probe())?,
                }
            }
            Happened::Subscribed(granted) => {
                let topic = self.settings.topics.probe();
                let token = self.proof.begins(Instant::now()).filter(|_| granted);
                let token = token.ok_or_else(|| Broken::NotReadBack(topic.clone()))?;
                self.send(Item::Other, Message { retain: false, ..Message::retained(topic, token) }, outbox)?;
            }
            Happened::Arrived(arrival) => {
                if self.proof.arrived(&arrival.payload) {
                    self.welcome();
                }
                outbox.receive(&arrival)?;
            }
            Happened::Sent(packet_id) => self.line.sent(packet_id)?,
            Happened::Acknowledged(packet_id, _) => {
                if let Item::Event { sent, .. } = self.line.acknowledged(packet_id, Instant::now())? {
                    self.world.tally.ack.count(sent.elapsed());
                }
                while let Some(item) = self.line.done() {
                    self.passed(item, log);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn passed(&self, item: Item, log: &mut SimLog) {
        let Item::Event { seq, .. } = item else { return };
        debug_assert_eq!(seq, log.acknowledged() + 1);
        let Some(made) = log.acknowledge() else { return };
        let (tally, now) = (&self.world.tally, self.world.elapsed());
        tally.acknowledged.fetch_add(1, Relaxed);
        tally.acknowledgements.count(now);
        let waited = self.world.started.0 + now.as_millis() as i64 - made.0;
        tally.told.count(Duration::from_millis(waited.max(0) as u64));
    }

    /// What a hub says when it has come back: that it is there, and everything that stands retained.
    fn welcome(&mut self) {
        self.online = true;
        self.world.tally.online.fetch_add(1, Relaxed);
        self.world.tally.connects.count(self.world.elapsed());
        let topics = &self.settings.topics;
        self.retained.push_back(Message::retained(topics.status(), ONLINE.to_vec()));
        self.retained.push_back(self.health());
        self.retained.extend(self.devices.iter().map(|id| {
            // As long as a lock's with a battery, a presence and its properties.
            let row = json!({"device_id": id, "name": "Front door", "online": true, "is_managed": true, "battery": 0.8,
                "filler": "x".repeat(400)});
            topics.device_message(&id.to_string(), Some(&row))
        }));
    }

    fn health(&self) -> Message {
        let health = json!({ "version": env!("CARGO_PKG_VERSION"), "health": Health::default() });
        Message::retained(self.settings.topics.health(), health.to_string().into_bytes())
    }

    fn check(&mut self, log: &SimLog) -> Result<(), Broken> {
        let (now, pace) = (Instant::now(), &self.settings.pace);
        self.life.check(now, pace)?;
        self.proof.check(now, pace.ack, &self.settings.topics.probe())?;
        if self.line.is_overdue(now, pace.ack) {
            return Err(Broken::Unacknowledged(pace.ack));
        }
        let caught_up = self.next > log.head();
        if self.online && caught_up && now - self.health_said >= pace.health {
            self.health_said = now;
            self.retained.push_back(self.health());
        }
        Ok(())
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        if self.online {
            self.world.tally.online.fetch_sub(1, Relaxed);
        }
    }
}
