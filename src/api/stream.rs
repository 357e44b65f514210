//! `/events/stream`: the log, followed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use uuid::Uuid;

use super::App;
use super::envelope::ApiError;
use super::events::{filter, read, text};
use super::params::Params;
use crate::store::{Filter, Store, Stored};

/// Events that a stream reads from the log at once.
const STREAM_CHUNK: usize = 256;
/// When to ask again for a place.
const FULL_AGAIN_S: u64 = 30;
/// A silent stream says this often that it lives; proxies give up after a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Server-sent events: what is told from now on, or from after `Last-Event-ID`; the id is the event's `seq` in this log.
pub async fn follow(
    State(app): State<App>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    // Who asks for nothing hears that the stream lives, and no more.
    let nothing = || Filter { event_ids: [Uuid::nil()].into(), ..Filter::default() };
    let filter = filter(&mut params)?.unwrap_or_else(nothing);
    let digits = params.sees_codes();
    params.end()?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let events = after(&app, filter, last)?.map(move |(id, event)| {
        Ok(sse::Event::default().id(id).event(event.event_type.as_str()).data(text(event.body, digits)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// What is told after the event with the id `last`, or from now on, as it is told: each with its id.
pub fn after(
    app: &App,
    filter: Filter,
    last: Option<&str>,
) -> Result<impl Stream<Item = (String, Stored)> + use<>, ApiError> {
    let full = |_| ApiError::too_many("as many clients as there may be follow the stream already", FULL_AGAIN_S);
    let place = app.streams.clone().try_acquire_owned().map_err(full)?;
    let log_id = app.store.log_id();
    let from = match last.and_then(|id| id.split_once(':')) {
        // Another log's positions say nothing about this one: from its beginning, nothing is missed.
        Some((log, seq)) => {
            if log == log_id.to_string() {
                seq.parse().unwrap_or(0)
            } else {
                0
            }
        }
        None => app.store.head().borrow().seq,
    };
    let follow = Follow {
        store: app.store.clone(),
        tail: app.tail.clone(),
        filter,
        seq: from,
        page: Arc::default(),
        looked_at: 0,
        _place: place,
    };
    Ok(futures_util::stream::unfold(follow, move |mut follow| async move {
        let event = follow.next().await?;
        Some(((format!("{log_id}:{}", event.seq), event), follow))
    }))
}

/// The log behind a moving position, waiting for news at its end.
struct Follow {
    store: Store,
    tail: Arc<Tail>,
    filter: Filter,
    seq: u64,
    /// What was read, and how much of it was looked at.
    page: Arc<[Stored]>,
    looked_at: usize,
    /// One of the stream's places, held as long as the client is there.
    _place: OwnedSemaphorePermit,
}

impl Follow {
    async fn next(&mut self) -> Option<Stored> {
        let mut head = self.store.head();
        loop {
            while let Some(event) = self.page.get(self.looked_at) {
                self.looked_at += 1;
                self.seq = event.seq;
                if self.filter.fits(event) {
                    return Some(event.clone());
                }
            }
            let end = head.borrow_and_update().seq;
            self.page = self.tail.after(&self.store, self.seq, end).await.ok()?;
            self.looked_at = 0;
            if self.page.is_empty() {
                head.changed().await.ok()?;
            }
        }
    }
}

/// The end of the log, read once for all who wait there: a thousand clients are one look at the disk.
#[derive(Debug, Default)]
pub struct Tail {
    read: Mutex<Read>,
}

/// Events after `after`, read when the log ended at `end`.
#[derive(Debug, Default)]
struct Read {
    after: u64,
    end: u64,
    events: Arc<[Stored]>,
}

impl Tail {
    /// Events after `after` of a log that ends at `end`, as many as are read at once.
    async fn after(&self, store: &Store, after: u64, end: u64) -> Result<Arc<[Stored]>, ApiError> {
        if after >= end {
            return Ok(Arc::default());
        }
        let ask = move |store: &Store| store.events_after(after, STREAM_CHUNK);
        if end - after > STREAM_CHUNK as u64 {
            // Somebody who catches up holds up nobody who is there.
            return Ok(read(store.clone(), ask).await?.into());
        }
        let mut last = self.read.lock().await;
        if (last.after, last.end) != (after, end) {
            *last = Read { after, end, events: read(store.clone(), ask).await?.into() };
        }
        Ok(last.events.clone())
    }
}
