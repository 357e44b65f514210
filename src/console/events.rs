//! Events in sentences: a page of the log, newest first, and the live end of it.

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
use super::session::Visitor;
use super::words::{Named, Tone, icon, moment};
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
enum Kind {
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

    fn of(event_type: &str) -> Kind {
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

fn look(event: &Value) -> (Tone, &'static str) {
    let event_type = event["event_type"].as_str().unwrap_or_default();
    match event_type {
        "lock.locked" => (Tone::Good, "locked"),
        "lock.unlocked" => (Tone::Notice, "unlocked"),
        "lock.access_denied" => (Tone::Bad, "denied"),
        "device.connected" | "device.unmanaged.connected" | "device.accessory_keypad_connected" => {
            (Tone::Plain, "online")
        }
        "device.disconnected" | "device.unmanaged.disconnected" | "device.accessory_keypad_disconnected" => {
            (Tone::Off, "offline")
        }
        "device.connection_became_flaky" => (Tone::Notice, "offline"),
        "device.low_battery" => (Tone::Notice, "battery"),
        "device.tampered" => (Tone::Bad, "alert"),
        "connected_account.disconnected" => (Tone::Bad, "account"),
        t if t.ends_with(".failed") || t.contains("failed_to") => (Tone::Bad, "alert"),
        t if t.contains("delay_in") || t.contains("external_to") => (Tone::Notice, "code"),
        t => match Kind::of(t) {
            Kind::Door => (Tone::Good, "done"),
            Kind::Reach => (Tone::Plain, "online"),
            Kind::Battery => (Tone::Plain, "battery"),
            Kind::Code => (Tone::Plain, "code"),
            Kind::Noise => (Tone::Bad, "noise"),
            Kind::Account => (Tone::Plain, "account"),
            Kind::Device => (Tone::Plain, "device"),
        },
    }
}

fn sentence(event: &Value, named: &Named) -> Markup {
    let text = |key: &str| event[key].as_str();
    let name = named.of(&event["device_id"]).or(text("device_name"));
    let device = html! {
        @match (text("device_id"), name) {
            (Some(id), Some(name)) => a href={ "/console/devices/" (id) } { (name) },
            _ => "A device that is gone",
        }
    };
    let code = html! { "Code " b { (named.of(&event["access_code_id"]).unwrap_or("without a name")) } };
    let account = named.of(&event["connected_account_id"]).unwrap_or("An account");
    let percent = event["battery_level"].as_f64().map(|level| format!(" ({:.0} %)", level * 100.0)).unwrap_or_default();
    let event_type = text("event_type").unwrap_or_default();
    html! {
        @match event_type {
            "lock.locked" => { (device) " was locked" (by(event, named)) },
            "lock.unlocked" => { (device) " was unlocked" (by(event, named)) },
            "lock.access_denied" => { (device) " refused somebody" @if let Some(m) = event["reason"]["message"].as_str() { ": " (m) } },
            "device.connected" | "device.unmanaged.connected" => { (device) " is in reach" },
            "device.disconnected" | "device.unmanaged.disconnected" => { (device) " is out of reach" (because(text("error_code"))) },
            "device.connection_became_flaky" => { (device) " is lost and found again too often" },
            "device.connection_stabilized" => { (device) " is reached steadily again" },
            "device.accessory_keypad_connected" => { (device) ": its keypad is in reach" },
            "device.accessory_keypad_disconnected" => { (device) ": its keypad is out of reach" },
            "device.low_battery" => { (device) ": its battery is low" (percent) },
            "device.battery_status_changed" => { (device) ": its battery is " (text("battery_status").unwrap_or("another")) (percent) },
            "device.tampered" => { (device) " was tampered with" },
            "device.removed" => { (device) " was taken out of its network" },
            "device.deleted" => { (device) " was deleted" },
            "device.added" => { (device) " is new" },
            "device.name_changed" => { (device) " has a new name" },
            "device.doorbell_rang" => { (device) " rang" },
            "device.unmanaged.converted_to_managed" => { (device) " was adopted" },
            "device.converted_to_unmanaged" => { (device) " was released" },
            "device.salto.privacy_mode_activated" => { (device) ": privacy mode is on" },
            "device.salto.privacy_mode_deactivated" => { (device) ": privacy mode is off" },
            "device.third_party_integration_detected" => { (device) " obeys another controller too" },
            "device.third_party_integration_no_longer_detected" => { (device) " obeys no other controller any more" },
            "noise_sensor.noise_threshold_triggered" => {
                (device) " is too loud"
                @if let Some(level) = event["noise_level_decibels"].as_f64() { ": " (format!("{level:.0}")) " dB" }
                @if let Some(name) = text("noise_threshold_name") { " (" (threshold(name)) ")" }
            },
            "connected_account.created" => { (account) " was added" },
            "connected_account.connected" => { (account) " is connected" },
            "connected_account.disconnected" => { (account) " is not connected" (because(text("error_code"))) },
            "connected_account.completed_first_sync" | "connected_account.completed_first_sync_after_reconnection" => { (account) " told all that it knows" },
            "connected_account.successful_login" => { "Somebody signed in to " (account) },
            "connected_account.deleted" => { (account) " was deleted" },
            t if t.starts_with("access_code.") => { (code) " " (of_code(t)) " (" (device) ")" },
            t if t.starts_with("action_attempt.") => {
                (device) @if t.contains("unlock") { ": unlocking it " } @else { ": locking it " }
                @if t.ends_with("succeeded") { "succeeded" } @else { "failed" }
            },
            t => { (device) ": " (t) },
        }
        @if event["clock_unsynchronized"] == true { " " span.soft { "(the hub’s clock was not set)" } }
    }
}

/// A threshold's name; those that every sensor begins with are named like `builtin_quiet_hours`.
pub fn threshold(name: &str) -> String {
    name.strip_prefix("builtin_").unwrap_or(name).replace('_', " ")
}

fn by(event: &Value, named: &Named) -> Markup {
    html! {
        @match event["method"].as_str() {
            Some("keycode") => {
                " with a code" @if let Some(code) = named.of(&event["access_code_id"]) { ", " b { (code) } }
            },
            Some("manual") => " by hand",
            Some("automatic") => " by itself",
            Some("seamapi" | "remote") => " from afar",
            Some("card") => " with a card",
            _ => "",
        }
    }
}

fn because(code: Option<&str>) -> &'static str {
    match code {
        Some("hub_disconnected") => ": its radio or bridge is down",
        Some("account_disconnected") => ": its bridge refuses our credentials",
        _ => "",
    }
}

fn of_code(event_type: &str) -> &'static str {
    match event_type.trim_start_matches("access_code.") {
        "created" => "was made",
        "changed" | "code_changed" => "has other digits or dates",
        "name_changed" => "has a new name",
        "time_frame_changed" => "has other dates",
        "scheduled_on_device" => "is scheduled on the lock",
        "set_on_device" => "is on the lock",
        "removed_from_device" => "is off the lock",
        "deleted" => "was deleted",
        "backup_access_code_pulled" => "gave way to its backup",
        "delay_in_setting_on_device" => "is slow to get to the lock",
        "failed_to_set_on_device" => "could not be set on the lock",
        "delay_in_removing_from_device" => "is slow to leave the lock",
        "failed_to_remove_from_device" => "could not be removed from the lock",
        "modified_external_to_seam" => "was changed at the lock by somebody else",
        "deleted_external_to_seam" => "was removed at the lock by somebody else",
        "unmanaged.created" => "was found on the lock",
        "unmanaged.removed" => "is gone from the lock",
        "unmanaged.converted_to_managed" => "is the hub’s now",
        "unmanaged.failed_to_convert_to_managed" => "could not be taken over",
        _ => "has news",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_a_sentence_of_its_own() {
        let mut named = Named::default();
        named.add([&json!({"id": "1", "name": "Front door"})], "id", "/name");
        let said: Vec<String> = EventType::ALL
            .iter()
            .map(|t| {
                sentence(&json!({"event_type": t.as_str(), "device_id": "1", "connected_account_id": "2"}), &named)
                    .into_string()
            })
            .collect();
        for (event_type, said) in EventType::ALL.iter().zip(&said) {
            assert!(!said.contains(event_type.as_str()) && !said.contains("has news"), "{said}");
        }
    }

    #[test]
    fn what_a_device_is_called_is_text_and_nothing_else() {
        let mut named = Named::default();
        named.add([&json!({"id": "1", "name": "<script>alert(1)</script>"})], "id", "/name");
        let said = sentence(&json!({"event_type": "device.tampered", "device_id": "1"}), &named).into_string();
        assert!(said.contains("&lt;script&gt;") && !said.contains("<script"), "{said}");
    }

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
