//! One connection: from the cursor on, in order, no more on their way than the window.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::feed::Feed;
use super::ledger::Ledger;
use super::line::Line;
use super::settings::Settings;
use super::topics::Message;
use super::trouble::Trouble;
use super::wire::{Broken, Happened, OFFLINE, ONLINE, Outbox, Pump, Verdict};
use super::{SINK, stopped};
use crate::health::{Health, PartState, count};
use crate::hub::RowKind;
use crate::store::{StateRow, Store, StoreError, Stored};

/// Events read from the log at once: a few windows, so that reading is never what the broker waits for.
const PAGE: usize = 256;

/// How often deadlines are looked at and what is lazy is done: a fraction of the shortest of them.
const TICK: Duration = Duration::from_millis(250);

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
    /// Something retained that was taken away.
    Cleared(String),
}

pub struct Session<'a> {
    settings: &'a Settings,
    store: &'a Store,
    health: &'a Arc<Health>,
    trouble: &'a mut Trouble,
    stop: watch::Receiver<bool>,
    since: Instant,
    connected: bool,
    packet_most: usize,
    ping_sent: Option<Instant>,
    line: Line<Item>,
    log_id: Uuid,
    /// Every event up to it is acknowledged or set aside.
    cursor: u64,
    cursor_told: u64,
    events: Feed<Stored>,
    /// Device rows, from the first on: a broker may have forgotten what it retained.
    states: Feed<StateRow>,
    ledger: Ledger,
    /// Events set aside that somebody wants tried again, and the count of such wishes that was seen.
    again: VecDeque<u64>,
    again_seen: Option<u64>,
    events_since_state: u32,
    health_said: Option<(Instant, BTreeMap<String, PartState>)>,
    farewell: Option<Instant>,
}

impl<'a> Session<'a> {
    pub fn new(
        settings: &'a Settings,
        store: &'a Store,
        health: &'a Arc<Health>,
        trouble: &'a mut Trouble,
        stop: watch::Receiver<bool>,
    ) -> Result<Session<'a>, Broken> {
        let cursor = store.cursor(SINK)?;
        trouble.rewound();
        Ok(Session {
            settings,
            store,
            health,
            trouble,
            stop,
            since: Instant::now(),
            connected: false,
            packet_most: usize::MAX,
            ping_sent: None,
            line: Line::new(settings.pace.window),
            log_id: store.log_id(),
            cursor,
            cursor_told: cursor,
            events: Feed::new(cursor, PAGE / 2, |e| e.seq),
            states: Feed::new(0, 1, |s| s.rev),
            ledger: Ledger::new(store.retained()?),
            again: VecDeque::new(),
            again_seen: None,
            events_since_state: 0,
            health_said: None,
            farewell: None,
        })
    }

    /// Publishes until the connection breaks, or until a stop: then `Ok`.
    pub async fn run(mut self, outbox: &impl Outbox, pump: &mut impl Pump) -> Result<(), Broken> {
        let ended = self.drive(outbox, pump).await;
        let _ = self.tell_cursor();
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

    async fn drive(&mut self, outbox: &impl Outbox, pump: &mut impl Pump) -> Result<(), Broken> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut head = self.store.head();
        loop {
            let happened = {
                // Finished before the next one is made: see `Pump`.
                let mut next = pin!(pump.next());
                loop {
                    self.fill(outbox)?;
                    if self.farewell.is_some() && (self.line.is_empty() || !self.connected) {
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
                        page = self.states.page() => page?,
                        happened = &mut next => break happened?,
                        changed = head.changed() => changed.map_err(|_| StoreError::Stopped)?,
                    }
                }
            };
            self.happened(happened, outbox)?;
        }
    }

    fn happened(&mut self, happened: Happened, outbox: &impl Outbox) -> Result<(), Broken> {
        match happened {
            Happened::Connected { receive_most, packet_most } => {
                self.line = Line::new(self.settings.pace.window.min(receive_most));
                self.packet_most = packet_most.unwrap_or(usize::MAX);
                self.connected = true;
                tracing::info!(host = %self.settings.host, backlog = self.backlog(), "mqtt.connected");
                self.say_state();
                self.retain(Message::retained(self.settings.topics.status(), ONLINE.to_vec()), outbox)?;
            }
            Happened::Sent(packet_id) => self.line.sent(packet_id)?,
            Happened::Acknowledged(packet_id, verdict) => self.acknowledged(packet_id, verdict)?,
            Happened::PingSent => self.ping_sent = Some(Instant::now()),
            Happened::PingAnswered => self.ping_sent = None,
            Happened::Nothing => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, packet_id: u16, verdict: Verdict) -> Result<(), Broken> {
        let item = self.line.acknowledged(packet_id)?;
        match (item, verdict) {
            (Item::Again(seq), Verdict::Taken | Verdict::NobodyListens) => self.store.resolved(SINK, *seq)?,
            (Item::Cleared(topic), Verdict::Taken | Verdict::NobodyListens) => {
                self.ledger.cleared(topic);
                self.store.note_retained(topic.clone(), false)?;
            }
            (_, Verdict::Taken | Verdict::NobodyListens) => {}
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
        let broker = format!("connected to {}:{}", self.settings.host, self.settings.port);
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
        self.health.mqtt.backlog.store(self.backlog(), Ordering::Relaxed);
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
        self.store.head().borrow().seq.saturating_sub(self.cursor)
    }

    /// Hands over what there is, while the window has room.
    fn fill(&mut self, outbox: &impl Outbox) -> Result<(), Broken> {
        if !self.connected || self.farewell.is_some() {
            return Ok(());
        }
        if self.trouble.wants_rewind() && !self.events_fly() && self.trouble.is_due(Instant::now()) {
            self.events.rewind(self.cursor);
            self.trouble.rewound();
        }
        let head = *self.store.head().borrow();
        while self.line.room() > 0 {
            let store = self.store.clone();
            self.events.read_on(head.seq, move |after| store.events_after(after, PAGE));
            let store = self.store.clone();
            self.states.read_on(head.rev, move |after| store.state_page(after, PAGE));
            if self.events_since_state < EVENTS_PER_STATE && self.send_event(outbox)? {
                self.events_since_state += 1;
            } else if self.send_state(outbox)? {
                self.events_since_state = 0;
            } else if !self.send_event(outbox)? && !self.send_again(head.again, outbox)? {
                break;
            }
        }
        Ok(())
    }

    /// False where there is none to send, or none may be sent now.
    fn send_event(&mut self, outbox: &impl Outbox) -> Result<bool, Broken> {
        if self.trouble.is_careful()
            && (self.trouble.wants_rewind() || !self.trouble.is_due(Instant::now()) || self.events_fly())
        {
            return Ok(false);
        }
        let Some(event) = self.events.next() else { return Ok(false) };
        let message = self.settings.topics.event_message(&event, self.log_id, self.settings.code_digits);
        if let Some(reason) = self.oversize(&message) {
            self.trouble.give_up(event.seq, reason);
        }
        if self.trouble.given_up(event.seq).is_some() {
            self.line.push_done(Item::Event(event.seq), Instant::now());
            if let Some(Item::Event(seq)) = self.line.done() {
                self.passed(seq)?;
            }
            return Ok(true);
        }
        count(&self.health.mqtt.published);
        self.send(Item::Event(event.seq), message, outbox)?;
        Ok(true)
    }

    fn send_state(&mut self, outbox: &impl Outbox) -> Result<bool, Broken> {
        while let Some(row) = self.states.next() {
            if row.kind == RowKind::Device {
                self.retain(self.settings.topics.device_message(&row.key, row.value.as_ref()), outbox)?;
                return Ok(true);
            }
        }
        // Only when all that is was said it is known what is a ghost.
        if self.health_said.is_some()
            && self.states.has_read(self.store.head().borrow().rev)
            && let Some(topic) = self.ledger.ghost()
        {
            self.retain(Message::retained(topic, Vec::new()), outbox)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// What was set aside, once somebody asks for it.
    fn send_again(&mut self, wishes: u64, outbox: &impl Outbox) -> Result<bool, Broken> {
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
    fn retain(&mut self, message: Message, outbox: &impl Outbox) -> Result<(), Broken> {
        if let Some(reason) = self.oversize(&message) {
            tracing::warn!(topic = message.topic, reason, "mqtt.retained_oversize");
            return Ok(());
        }
        if message.payload.is_empty() {
            return self.send(Item::Cleared(message.topic.clone()), message, outbox);
        }
        if self.ledger.met(&message.topic) {
            self.store.note_retained(message.topic.clone(), true)?;
        }
        self.send(Item::Retained, message, outbox)
    }

    fn send(&mut self, item: Item, message: Message, outbox: &impl Outbox) -> Result<(), Broken> {
        self.line.push(item, Instant::now());
        outbox.publish(message)
    }

    /// True where a farewell has taken too long.
    fn tick(&mut self, now: Instant, outbox: &impl Outbox) -> Result<bool, Broken> {
        let pace = &self.settings.pace;
        if self.farewell.is_some_and(|since| now - since > FAREWELL) {
            return Ok(true);
        }
        if !self.connected && now - self.since > pace.connect {
            return Err(Broken::Slow(pace.connect));
        }
        if self.ping_sent.is_some_and(|sent| now - sent + 2 * TICK >= pace.keep_alive / 2) {
            return Err(Broken::Silent);
        }
        if self.line.is_overdue(now, pace.ack) {
            return Err(Broken::Unacknowledged(pace.ack));
        }
        if self.store.log_id() != self.log_id {
            return Err(Broken::Store(StoreError::Damaged("the log that was being sent")));
        }
        self.tell_cursor()?;
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
    fn part(&mut self, outbox: &impl Outbox) -> Result<(), Broken> {
        self.farewell = Some(Instant::now());
        if self.connected {
            self.retain(Message::retained(self.settings.topics.status(), OFFLINE.to_vec()), outbox)?;
        }
        Ok(())
    }

    /// The health topic, when something changed and from time to time.
    fn say_health(&mut self, now: Instant, outbox: &impl Outbox) -> Result<(), Broken> {
        if !self.connected || self.farewell.is_some() || self.line.room() == 0 {
            return Ok(());
        }
        let parts = self.health.parts();
        let due = match &self.health_said {
            Some((at, said)) => now - *at >= self.settings.pace.health || *said != parts,
            None => true,
        };
        if due {
            let health = json!({ "version": env!("CARGO_PKG_VERSION"), "health": &**self.health });
            let message = Message::retained(self.settings.topics.health(), health.to_string().into_bytes());
            self.health_said = Some((now, parts));
            self.retain(message, outbox)?;
        }
        Ok(())
    }
}
