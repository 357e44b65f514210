//! Backfill: events that were told before are told again to whoever lost them, by their places in the log.
//!
//! The bytes are those of the first telling. They go out under `…/backfill/…`, where nobody takes an old unlock for a new one, on the
//! commands' connection, one every [`PACE`] with few on their way: the publisher and its window are not touched. A request lives
//! on over a lost connection and goes on behind what was acknowledged; one that a restart ends was not answered, and is asked again.

mod job;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use super::super::line::{Line, Stray};
use super::super::settings::Settings;
use super::super::topics::Message;
use super::super::wire::{Arrival, Verdict};
use super::request::{Refusal, Request};
use crate::health::{Health, count};
use crate::sink::feed::Feed;
use crate::store::{Store, StoreError, Stored};
pub use job::Range;
use job::{Extent, Progress};

/// Between two events: a day of a busy building in seconds, and a twentieth of what a broker on a Pi takes.
const PACE: Duration = Duration::from_millis(20);

/// On their way at once.
const FLYING_MOST: usize = 8;

/// Requests that wait for the one that is being answered.
const WAITING_MOST: usize = 4;

/// Events read at once, and how few are left when the next are read.
const PAGE: usize = 128;
const LOW: usize = 32;

/// What is on its way on the commands' connection.
#[derive(Debug, PartialEq)]
pub enum Item {
    Answer,
    /// Of which request, and its place.
    Event(u64, u64),
}

/// A request with whom it came from.
struct Job {
    /// Counted from the first request on.
    number: u64,
    arrival: Arrival,
    request: Request,
    progress: Progress,
}

/// What a turn came to.
pub enum Turn {
    Nothing,
    Tell(Item, Message),
    Done(Box<Ended>),
}

/// A request that is through, or cannot go on.
pub struct Ended {
    pub arrival: Arrival,
    pub request: Request,
    pub outcome: Result<Value, Refusal>,
}

struct Ready {
    seq: u64,
    message: Message,
}

/// The requests of a hub, one after the other.
pub struct Backfills {
    settings: Settings,
    store: Store,
    jobs: VecDeque<Job>,
    asked: u64,
    feed: Feed<Ready>,
    pace: Interval,
}

impl Backfills {
    pub fn new(settings: Settings, store: Store) -> Backfills {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Backfills { settings, store, jobs: VecDeque::new(), asked: 0, feed: Feed::new(0, LOW, |e| e.seq), pace }
    }

    /// Takes a request, or says why not. What is answered at once says that events will come, and where.
    pub fn ask(&mut self, arrival: &Arrival, request: &Request, range: Range) -> Result<Value, Refusal> {
        if self.jobs.iter().any(|job| job.request.id == request.id) {
            return Ok(json!({"state": "under_way"}));
        }
        if !self.settings.backfill {
            let message = "this hub tells no events again; set mqtt.backfill = true";
            return Err(Refusal::new("not_allowed", message).of(request));
        }
        let extent = self.extent().map_err(|error| {
            tracing::error!(%error, "mqtt.backfill_failed");
            Refusal::new("failed", "the log cannot be read; see the hub's own log").of(request)
        })?;
        range.check(&extent).map_err(|refusal| refusal.of(request))?;
        if self.jobs.len() > WAITING_MOST {
            return Err(Refusal::busy().of(request));
        }
        self.asked += 1;
        let (arrival, request) = (arrival.clone(), request.clone());
        self.jobs.push_back(Job { number: self.asked, arrival, request, progress: Progress::new(range) });
        if self.jobs.len() == 1 {
            self.rewind();
        }
        Ok(json!({
            "state": "begun", "log_id": range.log_id, "from": range.from, "to": range.to,
            "topic": self.settings.topics.backfills(), "events_per_second": 1.0 / PACE.as_secs_f64(),
        }))
    }

    fn extent(&self) -> Result<Extent, StoreError> {
        let last = self.store.head().borrow().seq;
        let first = self.store.first_seq()?.unwrap_or(last + 1);
        Ok(Extent { log_id: self.store.log_id(), first, last })
    }

    /// A new connection: what was not acknowledged goes out again.
    pub fn rewind(&mut self) {
        self.feed.rewind(self.jobs.front().map_or(0, |job| job.progress.passed));
    }

    /// Comes back when it is time for a [`Backfills::turn`]; never, where nothing is asked for. Safe to cancel.
    pub async fn due(&mut self) -> Result<(), StoreError> {
        if self.jobs.is_empty() {
            return std::future::pending().await;
        }
        tokio::select! {
            page = self.feed.page() => page,
            _ = self.pace.tick() => Ok(()),
        }
    }

    pub fn turn(&mut self, line: &Line<Item>) -> Turn {
        let Some(job) = self.jobs.front() else { return Turn::Nothing };
        let (number, Range { log_id, to, .. }) = (job.number, job.progress.range);
        if self.store.log_id() != log_id {
            return self.end(|_| Err(Refusal::new("other_log", "the log was lost and begun anew meanwhile")));
        }
        self.read_on(log_id, to);
        let flying = line.items().filter(|item| matches!(item, Item::Event(..))).count();
        if flying < FLYING_MOST
            && let Some(Ready { seq, message }) = self.feed.next()
        {
            return Turn::Tell(Item::Event(number, seq), message);
        }
        if flying > 0 || !self.feed.has_read(to) {
            return Turn::Nothing;
        }
        self.end(|progress| {
            progress.ends();
            let missing: Vec<_> = progress.missing.iter().map(|(from, to)| json!([from, to])).collect();
            Ok(json!({"state": "done", "sent": progress.sent, "missing": missing}))
        })
    }

    fn end(&mut self, with: impl FnOnce(&mut Progress) -> Result<Value, Refusal>) -> Turn {
        let Some(Job { arrival, request, mut progress, .. }) = self.jobs.pop_front() else { return Turn::Nothing };
        let outcome = with(&mut progress).map_err(|refusal| refusal.of(&request));
        self.rewind();
        Turn::Done(Box::new(Ended { arrival, request, outcome }))
    }

    fn read_on(&mut self, log_id: Uuid, to: u64) {
        if self.feed.wants(to) {
            let (store, topics, code_digits) =
                (self.store.clone(), self.settings.topics.clone(), self.settings.code_digits);
            self.feed.read(to, move |after| {
                let ready = |event: Stored| Ready {
                    seq: event.seq,
                    message: topics.backfill_message(&event, log_id, code_digits),
                };
                let page = store.events_after(after, PAGE)?;
                Ok(page.into_iter().filter(|event| event.seq <= to).map(ready).collect())
            });
        }
    }

    /// The broker has said what it makes of something; comes back with what ends a request.
    pub fn acknowledged(
        &mut self,
        line: &mut Line<Item>,
        packet_id: u16,
        verdict: Verdict,
        health: &Health,
    ) -> Result<Turn, Stray> {
        let refused = match (line.acknowledged(packet_id, Instant::now())?, verdict) {
            (Item::Event(number, _), Verdict::NotNow(reason) | Verdict::Never(reason)) => Some((*number, reason)),
            _ => None,
        };
        while let Some(item) = line.done() {
            // What was on its way for a request that has ended tells nothing of the next one.
            if let (Item::Event(number, seq), Some(job)) = (item, self.jobs.front_mut())
                && refused.is_none()
                && job.number == number
            {
                job.progress.taken(seq);
                count(&health.mqtt.backfilled);
            }
        }
        Ok(match refused {
            Some((number, reason)) if self.jobs.front().is_some_and(|job| job.number == number) => {
                let message = format!("the broker takes no events there ({reason})");
                self.end(|_| Err(Refusal::new("not_taken", message)))
            }
            _ => Turn::Nothing,
        })
    }
}
