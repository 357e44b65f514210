//! Commands over MQTT: `…/command/{verb}` is subscribed, what comes is asked of the hub, one after the other, and answered.
//!
//! On a client of its own, with a session that the broker keeps: a command is acknowledged only when it was answered for (what it
//! did is on disk then, with its id), so none is lost when the daemon or the connection dies. One that the broker delivers twice
//! is done once: the hub remembers ids. The will belongs to the publisher.

mod answer;
mod backfill;
mod request;

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::life::{Life, TICK};
use super::line::Line;
use super::settings::Settings;
use super::topics::Message;
use super::wire::{self, Arrival, Broken, Happened, Outbox, Pump, Role};
use super::{Tries, stopped};
use crate::engine::{Clock, Hand};
use crate::health::{Health, count};
use crate::hub::Command;
use crate::store::Store;
use answer::Answer;
pub use backfill::Range;
use backfill::{Backfills, Ended, Item, Turn};
pub use request::{Refusal, Request, Wish, read};

/// Its part of the health.
pub const PART: &str = "mqtt/commands";

/// The broker keeps what comes while we are away for so long. What is older than [`request::STALE`] is refused, but answered.
const KEPT: Duration = Duration::from_secs(300);

/// Commands that wait for their turn: a broker that keeps to the limit never sends more.
const WAITING_MOST: u16 = 32;

/// Takes commands until `stop` turns true.
pub async fn run(
    settings: Settings,
    store: Store,
    hand: Hand,
    clock: Clock,
    health: Arc<Health>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tries = Tries::new(PART, &settings, &health);
    let mut kept = Some(KEPT);
    let mut backfills = Backfills::new(settings.clone(), store);
    loop {
        let here = tries.settings(&settings);
        let ended = take(&here, kept, &hand, &clock, &health, &mut backfills, stop.clone()).await;
        // What could not be read would be sent again with the session, and again.
        kept = (!matches!(ended, Err(Broken::Unreadable(_)))).then_some(KEPT);
        if !tries.another(ended, &mut stop).await {
            return;
        }
    }
}

async fn take(
    settings: &Settings,
    kept: Option<Duration>,
    hand: &Hand,
    clock: &Clock,
    health: &Health,
    backfills: &mut Backfills,
    stop: watch::Receiver<bool>,
) -> Result<(), Broken> {
    let client_id = format!("{}-commands", settings.client_id);
    let role = Role { client_id, will: None, kept, arrivals_most: WAITING_MOST };
    let (outbox, mut pump) = wire::connect(settings, &role)?;
    backfills.rewind();
    let line = Line::new(settings.pace.window);
    Session { settings, hand, clock, health, outbox, backfills, line }.run(&mut pump, stop).await
}

/// A command that the hub is working at.
type Working = Pin<Box<dyn Future<Output = (Arrival, Answer)> + Send>>;

struct Session<'a> {
    settings: &'a Settings,
    hand: &'a Hand,
    clock: &'a Clock,
    health: &'a Health,
    outbox: Outbox,
    backfills: &'a mut Backfills,
    /// What we publish here, until it is acknowledged.
    line: Line<Item>,
}

impl Session<'_> {
    async fn run(mut self, pump: &mut Pump, mut stop: watch::Receiver<bool>) -> Result<(), Broken> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut life = Life::begins(Instant::now());
        let mut waiting: VecDeque<Arrival> = VecDeque::new();
        let mut working: Option<Working> = None;
        loop {
            let happened = {
                // Finished before the next one is made: see `Pump`.
                let mut next = pin!(pump.next());
                loop {
                    while working.is_none()
                        && let Some(arrival) = waiting.pop_front()
                    {
                        working = self.begin(arrival)?;
                    }
                    tokio::select! {
                        () = stopped(&mut stop) => return Ok(()),
                        _ = tick.tick() => self.check(&life)?,
                        due = self.backfills.due() => {
                            due?;
                            self.tell_again()?;
                        }
                        (arrival, answer) = work(&mut working) => {
                            working = None;
                            self.finish(&arrival, answer)?;
                        }
                        happened = &mut next => break happened?,
                    }
                }
            };
            life.happened(&happened, Instant::now());
            match happened {
                Happened::Connected { .. } => self.outbox.subscribe(&self.heard())?,
                Happened::Subscribed(true) => {
                    tracing::info!(topic = self.heard(), "mqtt.commands_taken");
                    self.health.set(PART, true, format!("taking commands at {}", self.heard()));
                }
                Happened::Subscribed(false) => return Err(Broken::NotSubscribed(self.heard())),
                Happened::Sent(packet_id) => self.line.sent(packet_id)?,
                Happened::Acknowledged(packet_id, verdict) => {
                    let turn = self.backfills.acknowledged(&mut self.line, packet_id, verdict, self.health)?;
                    self.take_turn(turn)?;
                }
                Happened::Arrived(arrival) if waiting.len() < WAITING_MOST.into() => waiting.push_back(*arrival),
                Happened::Arrived(arrival) => {
                    let refusal = Refusal::busy();
                    self.finish(&arrival, Answer::refused(&arrival, self.verb(&arrival), refusal))?;
                }
                _ => {}
            }
        }
    }

    fn check(&self, life: &Life) -> Result<(), Broken> {
        let (now, pace) = (Instant::now(), &self.settings.pace);
        life.check(now, pace)?;
        match self.line.is_overdue(now, pace.ack) {
            true => Err(Broken::Unacknowledged(pace.ack)),
            false => Ok(()),
        }
    }

    /// Where we listen: for a hub that only tells events again, at that one command.
    fn heard(&self) -> String {
        let topics = &self.settings.topics;
        if self.settings.commands { topics.commands() } else { topics.backfill_command() }
    }

    fn tell_again(&mut self) -> Result<(), Broken> {
        let turn = self.backfills.turn(&self.line);
        self.take_turn(turn)
    }

    fn take_turn(&mut self, turn: Turn) -> Result<(), Broken> {
        match turn {
            Turn::Nothing => Ok(()),
            Turn::Tell(item, message) => self.publish(item, message),
            Turn::Done(ended) => {
                let Ended { arrival, request, outcome } = *ended;
                let answer = match outcome {
                    Ok(result) => Answer::fine(request, result),
                    Err(refusal) => Answer::refused(&arrival, &request.verb, refusal),
                };
                self.answer(&arrival, answer)
            }
        }
    }

    fn publish(&mut self, item: Item, message: Message) -> Result<(), Broken> {
        self.line.push(item, Instant::now());
        self.outbox.publish(message)
    }

    fn verb<'a>(&self, arrival: &'a Arrival) -> &'a str {
        self.settings.topics.verb(&arrival.topic).unwrap_or_default()
    }

    /// What is no command that may be done now is answered at once.
    fn begin(&mut self, arrival: Arrival) -> Result<Option<Working>, Broken> {
        if arrival.retain {
            tracing::warn!(topic = arrival.topic, "mqtt.command_retained: ignored; commands are not to be retained");
            self.outbox.receive(&arrival)?;
            return Ok(None);
        }
        match read(self.verb(&arrival), &arrival.payload, self.clock.now().wall) {
            Err(refusal) => {
                self.finish(&arrival, Answer::refused(&arrival, self.verb(&arrival), refusal))?;
                Ok(None)
            }
            Ok(request) => {
                let command = match request.wish.clone() {
                    Wish::Hub(command) => command,
                    Wish::Backfill(range) => return self.backfill(arrival, request, range).map(|()| None),
                };
                if !self.settings.commands {
                    // The broker keeps the subscription of a session from when they were on.
                    let refusal =
                        Refusal::new("not_allowed", "this hub takes no such commands; set mqtt.commands = true");
                    self.finish(&arrival, Answer::refused(&arrival, &request.verb, refusal.of(&request)))?;
                    return Ok(None);
                }
                let hand = self.hand.clone();
                Ok(Some(Box::pin(async move {
                    let once = Command::Once { id: request.id.clone(), command: Box::new(command) };
                    let reply = hand.command(once).await;
                    (arrival, Answer::to(request, reply))
                })))
            }
        }
    }

    fn backfill(&mut self, arrival: Arrival, request: Request, range: Range) -> Result<(), Broken> {
        let answer = match self.backfills.ask(&arrival, &request, range) {
            Ok(begun) => Answer::fine(request, begun),
            Err(refusal) => Answer::refused(&arrival, &request.verb, refusal),
        };
        self.finish(&arrival, answer)
    }

    /// Acknowledged before it is answered, both in one breath: an answer that is lost is asked for with the same id again.
    fn finish(&mut self, arrival: &Arrival, answer: Answer) -> Result<(), Broken> {
        count(if answer.is_refusal() { &self.health.mqtt.commands_refused } else { &self.health.mqtt.commands });
        answer.log();
        self.outbox.receive(arrival)?;
        self.answer(arrival, answer)
    }

    fn answer(&mut self, arrival: &Arrival, answer: Answer) -> Result<(), Broken> {
        match answer.message(arrival, &self.settings.topics, self.settings.code_digits) {
            Some(message) => self.publish(Item::Answer, message),
            None => Ok(()),
        }
    }
}

async fn work(working: &mut Option<Working>) -> (Arrival, Answer) {
    match working {
        Some(working) => working.await,
        None => pending().await,
    }
}
