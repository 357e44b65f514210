//! One webhook at work: what is new in the log, and what is due again, goes out; what became of it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use uuid::Uuid;

use super::book::{Book, Disabled, Next};
use super::client::{Client, Post, PostError};
use super::{Pace, Webhook, signature, sink_of, stopped};
use crate::health::{Health, count};
use crate::hub::{Row, RowKind};
use crate::sink::feed::Feed;
use crate::sink::mqtt::topics::mask;
use crate::store::{Batch, Store, StoreError, Stored};
use crate::time::Wall;

/// Posts of one webhook under way. One device's go one after the other, so that they arrive in order.
const TOGETHER: usize = 4;
/// Events read from the log at once.
const PAGE: usize = 64;
/// Cursor and book are written at most this often: an event that is told again after a crash is better than a write for each.
const LAZINESS: Duration = Duration::from_secs(1);
/// How long a stop waits for what is under way.
const FAREWELL: Duration = Duration::from_millis(1500);
/// A disk that cannot be read is asked again after this.
const DISK_PAUSE: Duration = Duration::from_secs(5);

pub struct Endpoint {
    webhook: watch::Receiver<Webhook>,
    id: Uuid,
    /// Its name: of the cursor, in the health, in `undeliverable`.
    sink: String,
    pace: Pace,
    client: Client,
    store: Store,
    health: Arc<Health>,
    book: Book,
    /// The book as it is on disk.
    kept: Book,
    feed: Feed<Stored>,
    /// The last event taken from the feed.
    taken: u64,
    cursor_told: u64,
    posts: JoinSet<(u64, Result<(), PostError>)>,
    /// Under way: event and device (or account).
    busy: BTreeMap<u64, Uuid>,
    /// An event that waits for its device.
    next: Option<Stored>,
    /// Of `undeliverable`, and asked for again.
    again: BTreeSet<u64>,
    again_seen: Option<u64>,
    said: String,
}

impl Endpoint {
    pub fn new(
        webhook: watch::Receiver<Webhook>,
        book: Book,
        pace: &Pace,
        client: &Client,
        store: &Store,
        health: &Arc<Health>,
    ) -> Result<Endpoint, StoreError> {
        let (id, after) = (webhook.borrow().webhook_id, webhook.borrow().after);
        let sink = sink_of(id);
        let through = book.disabled.as_ref().and_then(|d| d.through);
        let cursor = store.cursor(&sink)?.max(after).max(through.unwrap_or(0));
        if through.is_none() {
            // From now on the log keeps for it what it was not told.
            store.move_cursor(&sink, cursor)?;
        }
        let mut endpoint = Endpoint {
            webhook,
            id,
            sink,
            pace: pace.clone(),
            client: client.clone(),
            store: store.clone(),
            health: health.clone(),
            kept: book.clone(),
            book,
            feed: Feed::new(cursor, PAGE / 2, |e| e.seq),
            taken: cursor,
            cursor_told: cursor,
            posts: JoinSet::new(),
            busy: BTreeMap::new(),
            next: None,
            again: BTreeSet::new(),
            again_seen: None,
            said: String::new(),
        };
        endpoint.book.mend(now(), &endpoint.pace);
        endpoint.say();
        Ok(endpoint)
    }

    /// Works until a stop; what is under way then is given a moment.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut tick = interval(LAZINESS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut head = self.store.head();
        loop {
            if let Err(error) = self.turn(&mut head, &mut tick, &mut stop).await {
                tracing::error!(sink = self.sink, %error, "webhook.disk");
                tokio::time::sleep(DISK_PAUSE).await;
            }
            if *stop.borrow() || stop.has_changed().is_err() {
                break;
            }
        }
        let end = Instant::now() + FAREWELL;
        while let Ok(Some(posted)) = timeout_at(end, self.posts.join_next()).await {
            let _ = posted.map(|(seq, outcome)| self.posted(seq, outcome));
        }
        let _ = timeout_at(end + LAZINESS, self.keep()).await;
    }

    async fn turn(
        &mut self,
        head: &mut watch::Receiver<crate::store::Head>,
        tick: &mut tokio::time::Interval,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        self.enable_again();
        self.fill()?;
        let busy = self.busy.keys().copied().collect();
        let room = self.posts.len() < TOGETHER && self.book.disabled.is_none();
        let due = self.book.wait(now(), &busy).filter(|_| room);
        tokio::select! {
            biased;
            () = stopped(stop) => {}
            Some(Ok((seq, outcome))) = self.posts.join_next() => self.posted(seq, outcome)?,
            changed = self.webhook.changed() => changed.map_err(|_| StoreError::Stopped)?,
            _ = tick.tick() => self.keep().await?,
            page = self.feed.page() => page?,
            changed = head.changed() => changed.map_err(|_| StoreError::Stopped)?,
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
        Ok(())
    }

    /// Sends what may be sent now.
    fn fill(&mut self) -> Result<(), StoreError> {
        if self.book.disabled.is_some() {
            return Ok(());
        }
        let head = *self.store.head().borrow();
        if self.again_seen != Some(head.again) {
            self.again_seen = Some(head.again);
            let wanted = self.store.undeliverable()?.into_iter().filter(|u| u.sink == self.sink && u.again);
            self.again = wanted.map(|u| u.seq).collect();
        }
        while self.posts.len() < TOGETHER {
            let busy: BTreeSet<u64> = self.busy.keys().copied().collect();
            let due = self.book.due(now(), &busy).map(|owed| owed.seq);
            if let Some(seq) = due.or_else(|| self.again.iter().find(|seq| !busy.contains(seq)).copied()) {
                self.try_again(seq)?;
            } else if !self.send_new(head.seq) {
                break;
            }
        }
        Ok(())
    }

    /// An event that waits in the book, or was set aside. One that the log no longer has is nobody's any more.
    fn try_again(&mut self, seq: u64) -> Result<(), StoreError> {
        let event = self.store.events_after(seq - 1, 1)?.pop().filter(|e| e.seq == seq);
        match event {
            Some(event) => self.post(&event),
            None => {
                count(&self.health.webhooks.missed);
                self.book.owed.retain(|o| o.seq != seq);
                if self.again.remove(&seq) {
                    self.store.resolved(&self.sink, seq)?;
                }
            }
        }
        Ok(())
    }

    /// False where there is none, or none may be sent now.
    fn send_new(&mut self, head: u64) -> bool {
        if !self.book.has_room() {
            return false;
        }
        if self.feed.wants(head) {
            let store = self.store.clone();
            self.feed.read(head, move |after| store.events_after(after, PAGE));
        }
        let Some(event) = self.next.take().or_else(|| self.feed.next()) else { return false };
        if !self.webhook.borrow().wants(event.event_type) {
            self.taken = event.seq;
            return true;
        }
        if self.busy.values().any(|about| *about == about_of(&event)) {
            self.next = Some(event);
            return false;
        }
        let missed = event.seq.saturating_sub(self.taken + 1);
        self.health.webhooks.missed.fetch_add(missed, Ordering::Relaxed);
        self.taken = event.seq;
        self.post(&event);
        true
    }

    fn post(&mut self, event: &Stored) {
        let webhook = self.webhook.borrow().clone();
        let body = if webhook.takes_digits() { event.body.clone() } else { mask(&event.body) };
        let (id, timestamp) = (format!("msg_{}", event.event_id.simple()), Utc::now().timestamp());
        let signed = webhook.secret.as_ref().and_then(|secret| signature(secret, &id, timestamp, &body));
        let seq = event.seq;
        self.busy.insert(seq, about_of(event));
        let (Ok(url), Some(signed)) = (webhook.url.parse(), signed) else {
            let what = "its secret or its address is lost; delete it and create it anew".to_owned();
            self.posts.spawn(async move { (seq, Err(PostError::Request(what))) });
            return;
        };
        let headers = [("svix-id", id), ("svix-timestamp", timestamp.to_string()), ("svix-signature", signed)];
        let client = self.client.clone();
        self.posts.spawn(async move { (seq, client.post(Post { url, headers, body }).await) });
    }

    fn posted(&mut self, seq: u64, outcome: Result<(), PostError>) -> Result<(), StoreError> {
        self.busy.remove(&seq);
        let again = self.again.remove(&seq);
        let now = now();
        let Err(error) = outcome else {
            count(&self.health.webhooks.delivered);
            self.book.told(seq);
            if again {
                self.store.resolved(&self.sink, seq)?;
            }
            self.say();
            return Ok(());
        };
        count(&self.health.webhooks.failed);
        let reason = error.to_string();
        tracing::debug!(sink = self.sink, seq, reason, "webhook.failed");
        if again {
            self.store.set_aside(&self.sink, seq, reason.clone())?;
        } else if self.book.failed(seq, now, &self.pace) == Next::GivenUp {
            tracing::error!(sink = self.sink, seq, reason, "webhook.undeliverable");
            count(&self.health.webhooks.undeliverable);
            self.store.set_aside(&self.sink, seq, reason.clone())?;
        }
        if error.is_gone() {
            self.disable(now, "it answers 410: it wants to be told nothing more".to_owned());
        } else if self.book.is_dead(now, &self.pace) {
            let days = self.pace.dead_after.as_secs() / (24 * 3600);
            self.disable(now, format!("no event was taken for {days} days; the last time, {reason}"));
        }
        self.say_failing(&reason);
        Ok(())
    }

    fn disable(&mut self, at: Wall, why: String) {
        let turn = self.webhook.borrow().turn;
        tracing::error!(
            sink = self.sink,
            why,
            "webhook.disabled: /webhooks/update with is_enabled=true enables it again"
        );
        count(&self.health.webhooks.disabled);
        self.book.disabled.get_or_insert(Disabled { at, why, turn, through: None });
    }

    fn enable_again(&mut self) {
        let turn = self.webhook.borrow().turn;
        if self.book.disabled.as_ref().is_some_and(|d| d.turn < turn) {
            self.book.enable(now());
            self.cursor_told = 0;
            self.say();
        }
    }

    /// Book first: what the cursor passes over is in it.
    async fn keep(&mut self) -> Result<(), StoreError> {
        let first_open = self.busy.keys().find(|seq| {
            let is_owed = self.book.owed.iter().any(|o| o.seq == **seq);
            !is_owed && !self.again.contains(seq)
        });
        let cursor = first_open.map_or(self.taken, |seq| seq - 1).max(self.cursor_told);
        if let Some(disabled) = &mut self.book.disabled
            && self.busy.is_empty()
        {
            disabled.through.get_or_insert(cursor);
        }
        if self.book != self.kept {
            let value = serde_json::to_value(&self.book).ok();
            let row = Row { kind: RowKind::Delivery, key: self.id.to_string(), value };
            let (done, on_disk) = oneshot::channel();
            let then = Box::new(move || done.send(()).unwrap_or(()));
            let written = self.book.clone();
            self.store.append(Batch { events: Vec::new(), rows: vec![row], then: Some(then) })?;
            on_disk.await.map_err(|_| StoreError::Stopped)?;
            self.kept = written;
        }
        if self.book.disabled.as_ref().is_some_and(|d| d.through.is_some()) {
            // A dead endpoint must not hold the log for ever; `through` says where it would go on.
            if self.cursor_told != u64::MAX {
                self.store.drop_cursor(&self.sink)?;
                self.cursor_told = u64::MAX;
            }
        } else if cursor != self.cursor_told {
            self.store.move_cursor(&self.sink, cursor)?;
            self.cursor_told = cursor;
        }
        Ok(())
    }

    fn say(&mut self) {
        let (up, detail) = match &self.book.disabled {
            Some(disabled) => (false, format!("disabled since {}: {}", disabled.at, disabled.why)),
            None => (true, "told".to_owned()),
        };
        self.health.set(&self.sink, up, detail);
        self.said.clear();
    }

    /// One line a reason, not a line a try.
    fn say_failing(&mut self, reason: &str) {
        if self.book.disabled.is_some() {
            return self.say();
        }
        if self.said != reason {
            tracing::warn!(sink = self.sink, reason, "webhook.failing");
            self.said = reason.to_owned();
        }
        self.health.set(&self.sink, false, format!("{} events wait for another try: {reason}", self.book.owed.len()));
    }
}

fn about_of(event: &Stored) -> Uuid {
    event.device_id.unwrap_or(event.account_id)
}

fn now() -> Wall {
    Wall::from(Utc::now())
}
