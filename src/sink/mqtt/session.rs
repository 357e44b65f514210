//! One connection: from the cursor on, in order, no more on their way than the window.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::home_assistant::{BIRTH, BIRTH_TOPIC};
use super::life::{Life, TICK};
use super::line::Line;
use super::proof::Proof;
use super::settings::Settings;
use super::shown::Shown;
use super::topics::Message;
use super::trouble::Trouble;
use super::wire::{Arrival, Broken, Happened, OFFLINE, ONLINE, Outbox, Pump, Verdict};
use super::{SINK, stopped};
use crate::health::{Health, count};
use crate::sink::feed::Feed;
use crate::store::{Head, Store, StoreError, Stored};

/// Events read from the log at once, and how few are left when the next are read: several windows, so that the broker does not
/// wait for a disk or a processor that is busy with something else. About 1 MB at most.
const PAGE: usize = 512;
const LOW: usize = 384;

/// While events wait, a device's state goes out after so many of them: the backlog comes first, and state is not forgotten.
const EVENTS_PER_STATE: u32 = 16;

/// How long a stop waits for the last acknowledgements: the service gives a sink 2 s.
const FAREWELL: Duration = Duration::from_millis(1500);

/// A publish on its way.
#[derive(Debug, PartialEq)]
enum Item {
    Event(u64),
    /// An event that was set aside, on its second life.
    Again(u64),
    Retained,
    /// The token of a [`Proof`].
    Proof,
    /// Something retained that was taken away.
    Cleared(String),
}

/// How far the last connection came.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    log_id: Uuid,
    cursor: u64,
}

/// An event as it goes out. Made where the log is read, so that the connection's own task does not wait for it.
struct Ready {
    seq: u64,
    message: Message,
}

pub struct Session<'a> {
    settings: &'a Settings,
    store: &'a Store,
    health: &'a Arc<Health>,
    trouble: &'a mut Trouble,
    reached: &'a mut Option<Reached>,
    stop: watch::Receiver<bool>,
    life: Life,
    proof: Proof,
    packet_most: usize,
    line: Line<Item>,
    log_id: Uuid,
    /// Every event up to it is acknowledged or set aside.
    cursor: u64,
    cursor_told: u64,
    events: Feed<Ready>,
    shown: Shown<'a>,
    head: watch::Receiver<Head>,
    /// Events set aside that somebody wants tried again, and the count of such wishes that was seen.
    again: VecDeque<u64>,
    again_seen: Option<u64>,
    events_since_state: u32,
    farewell: Option<Instant>,
}

impl<'a> Session<'a> {
    pub fn new(
        settings: &'a Settings,
        store: &'a Store,
        health: &'a Arc<Health>,
        trouble: &'a mut Trouble,
        reached: &'a mut Option<Reached>,
        stop: watch::Receiver<bool>,
    ) -> Result<Session<'a>, Broken> {
        // On disk the cursor may be a second behind.
        let last = reached.filter(|last| last.log_id == store.log_id()).map_or(0, |last| last.cursor);
        let cursor = store.cursor(SINK)?.max(last);
        trouble.rewound();
        Ok(Session {
            settings,
            store,
            health,
            trouble,
            reached,
            stop,
            life: Life::begins(Instant::now()),
            proof: Proof::new(settings),
            packet_most: usize::MAX,
            line: Line::new(settings.pace.window),
            log_id: store.log_id(),
            cursor,
            cursor_told: cursor,
            events: Feed::new(cursor, LOW, |e| e.seq),
            shown: Shown::new(settings, store, health)?,
            head: store.head(),
            again: VecDeque::new(),
            again_seen: None,
            events_since_state: 0,
            farewell: None,
        })
    }

    /// Publishes until the connection breaks, or until a stop: then `Ok`.
    pub async fn run(mut self, outbox: &Outbox, pump: &mut Pump) -> Result<(), Broken> {
        let ended = self.drive(outbox, pump).await;
        let _ = self.tell_cursor();
        *self.reached = Some(Reached { log_id: self.log_id, cursor: self.cursor });
        match &ended {
            Ok(()) => {
                outbox.disconnect();
                let _ = timeout(TICK, async { while pump.next().await.is_ok() {} }).await;
            }
            Err(broken) if broken.is_hang_up() => {
                let mut flying = self.line.items();
                if let Some(Item::Event(first)) = flying.next() {
                    self.trouble.hung_up(*first, flying.next().is_none());
                }
            }
            Err(_) => {}
        }
        ended
    }

    async fn drive(&mut self, outbox: &Outbox, pump: &mut Pump) -> Result<(), Broken> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut head = self.head.clone();
        loop {
            let happened = {
                // Finished before the next one is made: see `Pump`.
                let mut next = pin!(pump.next());
                loop {
                    self.fill(outbox)?;
                    if self.farewell.is_some() && (self.line.is_empty() || !self.life.is_connected()) {
                        return Ok(());
                    }
                    tokio::select! {
                        biased;
                        () = stopped(&mut self.stop), if self.farewell.is_none() => self.part(outbox)?,
                        _ = tick.tick() => {
                            if self.tick(Instant::now(), outbox)? {
                                return Ok(());
                            }
                        }
                        page = self.events.page() => page?,
                        page = self.shown.page() => page?,
                        happened = &mut next => break happened?,
                        changed = head.changed() => changed.map_err(|_| StoreError::Stopped)?,
                    }
                }
            };
            self.happened(happened, outbox)?;
        }
    }

    fn happened(&mut self, happened: Happened, outbox: &Outbox) -> Result<(), Broken> {
        self.life.happened(&happened, Instant::now());
        match happened {
            Happened::Connected { receive_most, packet_most } => {
                self.line = Line::new(self.settings.pace.window.min(receive_most));
                self.packet_most = packet_most.unwrap_or(usize::MAX);
                match self.proof.is_given() {
                    true => self.welcome(outbox)?,
                    false => outbox.listen(&self.settings.topics.probe())?,
                }
            }
            Happened::Arrived(arrival) if !self.proof.is_given() => {
                if self.proof.arrived(&arrival.payload) {
                    self.welcome(outbox)?;
                }
                outbox.receive(&arrival)?;
            }
            Happened::Arrived(arrival) => self.arrived(&arrival, outbox)?,
            Happened::Subscribed(granted) if !self.proof.is_given() => self.prove(granted, outbox)?,
            Happened::Subscribed(granted) if !granted => {
                tracing::warn!(topic = BIRTH_TOPIC, "mqtt.not_subscribed: Home Assistant's restarts stay unseen");
            }
            Happened::Sent(packet_id) => self.line.sent(packet_id)?,
            Happened::Acknowledged(packet_id, verdict) => self.acknowledged(packet_id, verdict)?,
            Happened::Subscribed(_) | Happened::PingSent | Happened::PingAnswered | Happened::Nothing => {}
        }
        Ok(())
    }

    /// With MQTT 3.1.1: what we write must come back, before anything rests on it.
    fn prove(&mut self, granted: bool, outbox: &Outbox) -> Result<(), Broken> {
        let topic = self.settings.topics.probe();
        if !granted {
            return Err(Broken::NotReadBack(topic));
        }
        match self.proof.begins(Instant::now()) {
            Some(token) => self.send(Item::Proof, Message { retain: false, ..Message::retained(topic, token) }, outbox),
            None => Ok(()),
        }
    }

    /// The connection is good for events.
    fn welcome(&mut self, outbox: &Outbox) -> Result<(), Broken> {
        tracing::info!(host = %self.settings.host, backlog = self.backlog(), "mqtt.connected");
        self.say_state();
        self.retain(Message::retained(self.settings.topics.status(), ONLINE.to_vec()), outbox)?;
        if self.settings.home_assistant {
            outbox.subscribe(BIRTH_TOPIC)?;
        }
        Ok(())
    }

    /// Home Assistant has started anew and knows nothing.
    fn arrived(&mut self, arrival: &Arrival, outbox: &Outbox) -> Result<(), Broken> {
        // A retained one is from before this connection, which has said everything anyway.
        if arrival.payload == BIRTH && !arrival.retain {
            tracing::info!("mqtt.home_assistant_started");
            self.shown.again();
        }
        outbox.receive(arrival)
    }

    fn acknowledged(&mut self, packet_id: u16, verdict: Verdict) -> Result<(), Broken> {
        let now = Instant::now();
        let waited = self.line.waited(packet_id, now).unwrap_or_default();
        let item = self.line.acknowledged(packet_id, now)?;
        match (item, verdict) {
            (Item::Event(_), Verdict::Taken) => self.health.mqtt.acknowledgement_seconds.observe(waited),
            (Item::Again(seq), Verdict::Taken) => self.store.resolved(SINK, *seq)?,
            (Item::Cleared(topic), Verdict::Taken) => self.shown.cleared(topic)?,
            (_, Verdict::Taken) => {}
            (Item::Event(seq), Verdict::NotNow(reason)) => self.trouble.not_now(*seq, reason, Instant::now()),
            (Item::Event(seq), Verdict::Never(reason)) => self.trouble.never(*seq, reason, Instant::now()),
            (Item::Again(seq), Verdict::NotNow(reason) | Verdict::Never(reason)) => {
                self.store.set_aside(SINK, *seq, reason.to_owned())?;
            }
            (item, Verdict::NotNow(reason) | Verdict::Never(reason)) => {
                tracing::warn!(?item, reason, "mqtt.retained_refused");
            }
        }
        while let Some(item) = self.line.done() {
            if let Item::Event(seq) = item {
                self.passed(seq)?;
            }
        }
        if verdict != Verdict::Taken {
            self.say_state();
        }
        Ok(())
    }

    fn say_state(&self) {
        let broker = format!("connected to {}", self.settings.broker());
        let trouble = self.trouble.told();
        self.health.set(SINK, true, trouble.map_or(broker.clone(), |t| format!("{broker}; {t}")));
    }

    /// An event is through the line: the cursor moves over it, unless it or one before it was refused.
    fn passed(&mut self, seq: u64) -> Result<(), Broken> {
        if let Some(given_up) = self.trouble.given_up(seq) {
            self.set_aside(seq, given_up)?;
        } else if self.trouble.holds(seq) {
            return Ok(());
        } else {
            count(&self.health.mqtt.acknowledged);
        }
        let missed = seq.saturating_sub(self.cursor + 1);
        if missed > 0 {
            self.health.mqtt.missed.fetch_add(missed, Ordering::Relaxed);
            tracing::error!(events = missed, after = self.cursor, "mqtt.missed: the log no longer has these");
        }
        self.cursor = seq;
        if self.trouble.is_careful() {
            self.trouble.passed(seq);
            self.say_state();
        }
        Ok(())
    }

    fn set_aside(&mut self, seq: u64, reason: String) -> Result<(), Broken> {
        tracing::error!(seq, %reason, "mqtt.undeliverable");
        count(&self.health.mqtt.undeliverable);
        Ok(self.store.set_aside(SINK, seq, reason)?)
    }

    fn events_fly(&self) -> bool {
        self.line.items().any(|i| matches!(i, Item::Event(_)))
    }

    fn backlog(&self) -> u64 {
        self.head.borrow().seq.saturating_sub(self.cursor)
    }

    /// Hands over what there is, while the window has room.
    fn fill(&mut self, outbox: &Outbox) -> Result<(), Broken> {
        if !self.life.is_connected() || !self.proof.is_given() || self.farewell.is_some() {
            return Ok(());
        }
        if self.trouble.wants_rewind() && !self.events_fly() && self.trouble.is_due(Instant::now()) {
            self.events.rewind(self.cursor);
            self.trouble.rewound();
        }
        let head = *self.head.borrow();
        while self.line.room() > 0 {
            self.read_on(head);
            if self.events_since_state < EVENTS_PER_STATE && self.send_event(outbox)? {
                self.events_since_state += 1;
            } else if let Some(message) = self.shown.next() {
                self.retain(message, outbox)?;
                self.events_since_state = 0;
            } else if !self.send_event(outbox)? && !self.send_again(head.again, outbox)? {
                break;
            }
        }
        Ok(())
    }

    fn read_on(&mut self, head: Head) {
        if self.events.wants(head.seq) {
            let (store, topics) = (self.store.clone(), self.settings.topics.clone());
            let (log_id, code_digits) = (self.log_id, self.settings.code_digits);
            let ready = move |event: Stored| Ready {
                seq: event.seq,
                message: topics.event_message(&event, log_id, code_digits),
            };
            let recent = store.recent_after(self.events.read_up_to());
            if recent.is_empty() {
                self.events
                    .read(head.seq, move |after| Ok(store.events_after(after, PAGE)?.into_iter().map(ready).collect()));
            } else {
                self.events.take(recent.into_iter().map(ready));
            }
        }
        self.shown.read_on(head.rev);
    }

    /// False where there is none to send, or none may be sent now.
    fn send_event(&mut self, outbox: &Outbox) -> Result<bool, Broken> {
        if self.trouble.is_careful()
            && (self.trouble.wants_rewind() || !self.trouble.is_due(Instant::now()) || self.events_fly())
        {
            return Ok(false);
        }
        let Some(Ready { seq, message }) = self.events.next() else { return Ok(false) };
        if let Some(reason) = self.oversize(&message) {
            self.trouble.give_up(seq, reason);
        }
        if self.trouble.given_up(seq).is_some() {
            self.line.push_done(Item::Event(seq), Instant::now());
            if let Some(Item::Event(seq)) = self.line.done() {
                self.passed(seq)?;
            }
            return Ok(true);
        }
        count(&self.health.mqtt.published);
        self.send(Item::Event(seq), message, outbox)?;
        Ok(true)
    }

    /// What was set aside, once somebody asks for it.
    fn send_again(&mut self, wishes: u64, outbox: &Outbox) -> Result<bool, Broken> {
        if self.again_seen != Some(wishes) {
            self.again_seen = Some(wishes);
            let wanted = self.store.undeliverable()?.into_iter().filter(|u| u.sink == SINK && u.again);
            self.again = wanted.map(|u| u.seq).collect();
        }
        let Some(seq) = self.again.pop_front() else { return Ok(false) };
        let event = self.store.events_after(seq - 1, 1)?.pop().filter(|e| e.seq == seq);
        let Some(event) = event else {
            self.store.resolved(SINK, seq)?;
            return Ok(true);
        };
        let message = self.settings.topics.event_message(&event, self.log_id, self.settings.code_digits);
        if let Some(reason) = self.oversize(&message) {
            self.store.set_aside(SINK, seq, reason)?;
            return Ok(true);
        }
        self.send(Item::Again(seq), message, outbox)?;
        Ok(true)
    }

    fn oversize(&self, message: &Message) -> Option<String> {
        let size = message.packet_size();
        let most = self.packet_most;
        (size > most).then(|| format!("{size} bytes, and the broker takes {most} at most"))
    }

    /// Sends something retained (or its removal), and has it in the ledger.
    fn retain(&mut self, message: Message, outbox: &Outbox) -> Result<(), Broken> {
        if let Some(reason) = self.oversize(&message) {
            tracing::warn!(topic = message.topic, reason, "mqtt.retained_oversize");
            return Ok(());
        }
        self.shown.sends(&message)?;
        let item = match message.payload.is_empty() {
            true => Item::Cleared(message.topic.clone()),
            false => Item::Retained,
        };
        self.send(item, message, outbox)
    }

    fn send(&mut self, item: Item, message: Message, outbox: &Outbox) -> Result<(), Broken> {
        self.line.push(item, Instant::now());
        outbox.publish(message)
    }

    /// True where a farewell has taken too long.
    fn tick(&mut self, now: Instant, outbox: &Outbox) -> Result<bool, Broken> {
        let pace = &self.settings.pace;
        if self.farewell.is_some_and(|since| now - since > FAREWELL) {
            return Ok(true);
        }
        self.life.check(now, pace)?;
        self.proof.check(now, pace.ack, &self.settings.topics.probe())?;
        if self.line.is_overdue(now, pace.ack) {
            return Err(Broken::Unacknowledged(pace.ack));
        }
        if self.store.log_id() != self.log_id {
            return Err(Broken::Store(StoreError::Damaged("the log that was being sent")));
        }
        self.tell_cursor()?;
        self.health.mqtt.backlog.store(self.backlog(), Ordering::Relaxed);
        self.say_health(now, outbox)?;
        Ok(false)
    }

    /// Lazily: an event that is told again after a crash is better than a write for each.
    fn tell_cursor(&mut self) -> Result<(), Broken> {
        if self.cursor != self.cursor_told {
            self.store.move_cursor(SINK, self.cursor)?;
            self.cursor_told = self.cursor;
        }
        Ok(())
    }

    /// The will is for accidents; a stop says it itself.
    fn part(&mut self, outbox: &Outbox) -> Result<(), Broken> {
        self.farewell = Some(Instant::now());
        if self.life.is_connected() {
            self.retain(Message::retained(self.settings.topics.status(), OFFLINE.to_vec()), outbox)?;
        }
        Ok(())
    }

    fn say_health(&mut self, now: Instant, outbox: &Outbox) -> Result<(), Broken> {
        if self.life.is_connected()
            && self.proof.is_given()
            && self.farewell.is_none()
            && self.line.room() > 0
            && let Some(message) = self.shown.health(now)
        {
            self.retain(message, outbox)?;
        }
        Ok(())
    }
}
