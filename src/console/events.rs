//! Events as they are shown: a page of the log, newest first, and the live end of it. Their words are in [`super::sentences`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use maud::{Markup, html};
use serde_json::{Value, json};
use uuid::Uuid;

use super::act::Form;
use super::ask::ids;
use super::sentences::{look, sentence};
use super::session::Visitor;
use super::words::{Named, icon, moment};
use super::{Console, layout};
use crate::api::envelope::ApiError;
use crate::api::stream;
use crate::event::EventType;
use crate::store::Filter;

/// Events of a page.
const SHOWN: usize = 50;
/// A silent stream says this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Door,
    Reach,
    Battery,
    Code,
    Noise,
    Account,
    Device,
}

impl Kind {
    const ALL: [(Kind, &str, &str); 7] = [
        (Kind::Door, "doors", "Doors"),
        (Kind::Reach, "reach", "In and out of reach"),
        (Kind::Battery, "batteries", "Batteries"),
        (Kind::Code, "codes", "Codes"),
        (Kind::Noise, "noise", "Noise"),
        (Kind::Account, "accounts", "Accounts"),
        (Kind::Device, "devices", "Other news of devices"),
    ];

    pub fn of(event_type: &str) -> Kind {
        match event_type.split('.').next().unwrap_or_default() {
            "lock" | "action_attempt" => Kind::Door,
            "access_code" => Kind::Code,
            "noise_sensor" => Kind::Noise,
            "connected_account" => Kind::Account,
            _ if event_type.contains("battery") => Kind::Battery,
            _ if event_type.contains("connect") => Kind::Reach,
            _ => Kind::Device,
        }
    }

    fn named(word: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|(_, w, _)| *w == word).map(|(kind, ..)| *kind)
    }

    fn types(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.iter().copied().filter(move |t| Kind::of(t.as_str()) == self)
    }
}

/// What one may choose to see, or to have sent.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    Kind::ALL.iter().map(|(_, word, text)| (*word, *text))
}

/// The types of events behind such a word.
pub fn types_of(word: &str) -> impl Iterator<Item = &'static str> + use<> {
    Kind::named(word).into_iter().flat_map(Kind::types).map(EventType::as_str)
}

/// Which events are shown.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    kind: Option<Kind>,
    pub device: Option<Uuid>,
    /// Only those before, and of those of that very moment as many passed over: they were on the page before.
    before: Option<(String, usize)>,
}

impl Wanted {
    pub fn of(query: &Form) -> Wanted {
        let before = query.text("before");
        let skip = query.text("skip").parse().unwrap_or(0);
        Wanted {
            kind: Kind::named(&query.text("kind")),
            device: query.text("device").parse().ok(),
            before: (!before.is_empty()).then_some((before, skip)),
        }
    }

    pub fn of_device(device: Uuid) -> Wanted {
        Wanted { device: Some(device), ..Wanted::default() }
    }

    /// The live end is shown.
    fn is_now(&self) -> bool {
        self.before.is_none()
    }

    fn question(&self, limit: usize) -> Value {
        let mut question =
            json!({"newest_first": true, "limit": limit, "between": ["1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z"]});
        if let Some(kind) = self.kind {
            question["event_types"] = kind.types().map(EventType::as_str).collect();
        }
        if let Some(device) = self.device {
            question["device_id"] = json!(device);
        }
        if let Some((before, skip)) = &self.before {
            // Both ends are exclusive.
            let end = super::words::parsed(before).map(|t| t + chrono::Duration::milliseconds(1));
            question["between"][1] = json!(end.map_or_else(|| before.clone(), |t| t.to_rfc3339()));
            question["unstable_offset"] = json!(skip);
        }
        question
    }

    fn filter(&self) -> Filter {
        Filter {
            event_types: self.kind.into_iter().flat_map(Kind::types).collect(),
            device_ids: self.device.into_iter().collect(),
            ..Filter::default()
        }
    }

    fn query(&self) -> form_urlencoded::Serializer<'static, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some((_, word, _)) = self.kind.and_then(|kind| Kind::ALL.iter().find(|(k, ..)| *k == kind)) {
            query.append_pair("kind", word);
        }
        if let Some(device) = self.device {
            query.append_pair("device", &device.to_string());
        }
        query
    }

    /// Where the page follows on from the log as it is now.
    pub fn stream(&self, console: &Console) -> Option<String> {
        let end = format!("{}:{}", console.app.store.log_id(), console.app.store.head().borrow().seq);
        self.is_now().then(|| format!("/console/events/stream?{}", self.query().append_pair("after", &end).finish()))
    }
}

/// The part of a page that shows events; `here` is the page.
pub async fn section(console: &Console, visitor: &Visitor, wanted: &Wanted, here: &str, known: Named) -> Markup {
    let events = match console.ask(visitor, "/events/list", wanted.question(SHOWN), "events").await {
        Ok(Value::Array(events)) => events,
        Ok(_) => Vec::new(),
        Err(refusal) => return layout::refused(&refusal),
    };
    let named = named(console, visitor, &events, known).await;
    let older = (events.len() == SHOWN).then(|| older(wanted, &events)).flatten();
    html! {
        ol.events #events data-grows[wanted.is_now()] aria-label="Events, newest first" {
            @for event in &events { (row(console, event, &named)) }
        }
        @if events.is_empty() { p.empty #no-events { "Nothing yet." } }
        p.pages {
            @if !wanted.is_now() { a href={ (here) "?" (Wanted { before: None, ..wanted.clone() }.query().finish()) } { "Newest" } }
            @if let Some(older) = older { a href={ (here) "?" (older) } { "Older" } }
        }
    }
}

/// The page after this one.
fn older(wanted: &Wanted, events: &[Value]) -> Option<String> {
    let last = events.last()?["created_at"].as_str()?;
    let same = events.iter().rev().take_while(|e| e["created_at"] == last).count();
    let passed = wanted.before.as_ref().filter(|(before, _)| before == last).map_or(0, |(_, skip)| *skip);
    let mut query = wanted.query();
    Some(query.append_pair("before", last).append_pair("skip", &(same + passed).to_string()).finish())
}

/// Which events are wanted, to be chosen.
pub fn filters(wanted: &Wanted, named: &Named) -> Markup {
    html! {
        form.filters method="get" action="/" {
            label.sr for="kind" { "Show" }
            select #kind name="kind" data-sends {
                option value="" { "everything" }
                @for (kind, word, text) in Kind::ALL { option value=(word) selected[wanted.kind == Some(kind)] { (text) } }
            }
            @if let Some(device) = wanted.device {
                input type="hidden" name="device" value=(device);
                span.chip.plain { "of " (named.of(&json!(device)).unwrap_or("one device")) }
                a href="/" { "of all" }
            }
            button.quiet type="submit" data-plain { "Show" }
            @if wanted.is_now() { button.quiet #pause type="button" hidden { "Pause" } }
        }
    }
}

/// Names of everything that these events are about, added to those that are known.
async fn named(console: &Console, visitor: &Visitor, events: &[Value], mut known: Named) -> Named {
    let missing =
        |known: &Named, key: &str| ids(events.iter().filter_map(|e| e[key].as_str()).filter(|id| !known.knows(id)));
    for (id, path, list, name) in [
        ("device_id", "/devices/list", "devices", "/properties/name"),
        ("device_id", "/devices/unmanaged/list", "devices", "/properties/name"),
        ("access_code_id", "/access_codes/list", "access_codes", "/name"),
        ("access_code_id", "/access_codes/unmanaged/list", "access_codes", "/name"),
        ("connected_account_id", "/connected_accounts/list", "connected_accounts", "/display_name"),
    ] {
        let ids = missing(&known, id);
        if ids.as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        // The few accounts are all asked for: their list knows no ids.
        let question = if list == "connected_accounts" { json!({}) } else { json!({ format!("{id}s"): ids }) };
        known.add(&console.all(visitor, path, question, list).await.unwrap_or_default(), id, name);
    }
    known
}

fn row(console: &Console, event: &Value, named: &Named) -> Markup {
    let (tone, picture) = look(event);
    let occurred = event["occurred_at"].as_str().or(event["created_at"].as_str()).unwrap_or_default();
    html! {
        li.event title=[event["event_type"].as_str()] {
            span class={ "dot " (tone.class()) } { (icon(picture)) }
            p { (sentence(event, named)) }
            (moment(console.app.names.time_zone, occurred))
        }
    }
}

/// `GET /console/events/stream`: rows as they come, each made here.
pub async fn follow(
    State(console): State<Console>,
    visitor: Visitor,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let query = Form::of(query.unwrap_or_default().as_bytes());
    let after = query.text("after");
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or((!after.is_empty()).then_some(&after));
    let events: Pin<Box<_>> = Box::pin(stream::after(&console.app, Wanted::of(&query).filter(), last)?);
    let rows = futures_util::stream::unfold((events, console, visitor, Named::default()), |state| async move {
        let (mut events, console, visitor, known) = state;
        let (id, stored) = events.next().await?;
        let mut one: VecDeque<Value> = serde_json::from_str(&stored.body).into_iter().collect();
        let named = named(&console, &visitor, one.make_contiguous(), known).await;
        let row = one.pop_front().map(|event| row(&console, &event, &named).into_string()).unwrap_or_default();
        Some((Ok(sse::Event::default().id(id).data(row)), (events, console, visitor, named)))
    });
    Ok(Sse::new(rows).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_one_before_ended_though_many_events_are_of_one_moment() {
        let at = |at: &str| json!({"created_at": at});
        let events = [at("2026-01-01T00:00:00.002Z"), at("2026-01-01T00:00:00.001Z"), at("2026-01-01T00:00:00.001Z")];
        let first = older(&Wanted::default(), &events).unwrap();
        let wanted = Wanted::of(&Form::of(first.as_bytes()));
        assert_eq!(wanted.before, Some(("2026-01-01T00:00:00.001Z".into(), 2)));
        let second = older(&wanted, &events[1..]).unwrap();
        assert_eq!(Wanted::of(&Form::of(second.as_bytes())).before.unwrap().1, 4);
    }
}
