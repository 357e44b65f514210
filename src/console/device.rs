//! One device: how it is, what may be done with it, its history, and why it is judged as it is.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde_json::{Value, json};
use uuid::Uuid;

use super::act::Form;
use super::chart::{self, Charge, Lane, Turn, Window};
use super::events::{self, Wanted};
use super::layout::{self, Tab, form, sure};
use super::session::Visitor;
use super::words::{self, Named, Tone, icon, moment};
use super::{Console, codes, found, noise};
use crate::api::explained;

/// Turns of a chart at most.
const TURNS: usize = 500;
/// A battery is watched over months.
const BATTERY_DAYS: i64 = 90;
/// Days of presence that can be chosen; the middle one is shown where none is.
const DAYS: [i64; 3] = [1, 7, 30];
/// An attempt is shown so long after it was made.
const ATTEMPT_SHOWN_S: i64 = 120;

pub async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Form::of(query.unwrap_or_default().as_bytes());
    let asked = json!({"device_id": id});
    let mut found = console.ask(&visitor, "/devices/get", asked.clone(), "device").await;
    if found.as_ref().is_err_and(|refusal| refusal.status == StatusCode::NOT_FOUND) {
        found = console.ask(&visitor, "/devices/unmanaged/get", asked.clone(), "device").await;
    }
    let device = match found {
        Ok(device) => device,
        Err(refusal) => {
            return layout::page(&console, &visitor, Tab::Devices, "No such device", layout::refused(&refusal))
                .with_status(refusal.status)
                .into_response();
        }
    };
    let explanation = console.ask(&visitor, "/devices/explain", asked, "explanation").await.unwrap_or_default();
    let days = query.text("days").parse().ok().filter(|d| DAYS.contains(d)).unwrap_or(DAYS[1]);
    let here = format!("/console/devices/{id}");
    let managed = device["is_managed"] == true;
    let attempt = attempt(&console, &visitor, &device, &query.text("attempt")).await;
    let wanted = Wanted::of_device(id);
    let mut named = Named::default();
    named.add([&device], "device_id", "/properties/name");
    let content = html! {
        div.device {
            div.side {
                (state(&visitor, &device, &here))
                (attempt)
                (facts(&console, &device))
                @if managed && visitor.may("/devices/update") { (manage(&visitor, &device, &here)) }
                @if managed && explanation["needs_bindkey"] == true { (found::new_key(&visitor, &device, &explanation, &here)) }
                @if !managed { section.card #adopt { h2 { "Not adopted" } (found::adoption(&visitor, &device, &explanation)) } }
            }
            div.main {
                (presence(&console, &visitor, &device, &explanation["presence"], days, &here).await)
                (battery(&console, &visitor, &device).await)
                (codes::of_device(&console, &visitor, &device, &here).await)
                @if device["properties"]["kind"] == "noise_sensor" { (noise::of_device(&console, &visitor, &device, &here).await) }
                section.card aria-labelledby="happened" {
                    div.head { h2 #happened { "What happened" } a href={ "/?device=" (id) } { "All of it" } }
                    (events::section(&console, &visitor, &wanted, "/", named).await)
                }
            }
        }
    };
    let title = words::name(&device).to_owned();
    layout::following(&console, &visitor, Tab::Devices, &title, wanted.stream(&console).as_deref(), content)
        .into_response()
}

fn state(visitor: &Visitor, device: &Value, here: &str) -> Markup {
    let (tone, picture, text) = words::state(device);
    let button = |what: &str, name: &str| {
        let hidden = html! { input type="hidden" name="device_id" value=[device["device_id"].as_str()]; };
        form(
            visitor,
            what,
            here,
            html! { (hidden) button.quiet.ask[what == "unlock"] type="submit" #{ "do-" (what) } { (icon(if what == "lock" { "locked" } else { "unlocked" })) (name) } },
        )
    };
    let issues = || ["errors", "warnings"].into_iter().flat_map(|k| device[k].as_array().into_iter().flatten());
    html! {
        section.card.state #state data-live aria-label="State" {
            p class={ "is " (tone.class()) } { (icon(picture)) (text) }
            @if tone == Tone::Off && let Some(was) = device["properties"]["lock_state"].as_str() {
                p.soft { "Last known: " (was.replace('_', " ")) }
            }
            @for issue in issues() { p.issue { (issue["message"].as_str().unwrap_or_default()) } }
            @if device["can_remotely_lock"] == true && visitor.may("/locks/unlock_door") {
                div.buttons { (button("lock", "Lock")) (button("unlock", "Unlock")) }
            }
            @if words::is_lock(device) && device["can_remotely_lock"] != true {
                p.soft { "This lock is observed; the hub cannot operate it." }
            }
        }
    }
}

/// The attempt to operate it that was just made, by whomever.
async fn attempt(console: &Console, visitor: &Visitor, device: &Value, wanted: &str) -> Markup {
    if device["can_remotely_lock"] != true {
        return html! {};
    }
    let asked = json!({"device_id": device["device_id"]});
    let all = console.all(visitor, "/action_attempts/list", asked, "action_attempts").await.unwrap_or_default();
    let made = |a: &Value| a["created_at"].as_str().and_then(words::parsed).unwrap_or_default();
    let recent = |a: &&Value| {
        a["status"] == "pending"
            || a["action_attempt_id"] == wanted
            || (Utc::now() - made(a)).num_seconds() < ATTEMPT_SHOWN_S
    };
    let last = all.iter().filter(recent).max_by_key(|a| made(a));
    let pending = last.is_some_and(|a| a["status"] == "pending");
    html! {
        div #attempt data-live data-poll[pending] {
            @if let Some(attempt) = last {
                @let unlock = attempt["action_type"] == "UNLOCK_DOOR";
                @let failed = attempt["status"] == "error";
                section.card.attempt aria-label="Attempt" role="status" {
                    h2 { @if unlock { "Unlocking" } @else { "Locking" } " " small { (moment(console.app.names.time_zone, attempt["created_at"].as_str().unwrap_or_default())) } }
                    ol.steps {
                        li.done { "Asked" }
                        li.now[pending].done[!pending] { @if pending { "The lock is at it …" } @else { "The lock was at it" } }
                        @if failed { li.failed { (failure(attempt)) } }
                        @else if pending { li { "The lock’s own word is awaited" } }
                        @else { li.done { "The lock says that it is " @if unlock { "unlocked" } @else { "locked" } } }
                    }
                    @if pending { noscript { p { a href="" { "Look again" } } } }
                }
            }
        }
    }
}

fn failure(attempt: &Value) -> Markup {
    html! {
        @match attempt["error"]["type"].as_str() {
            Some("lock_jammed") => "It is jammed: look at the door",
            Some("device_disconnected") => "It is out of reach",
            Some("hub_disconnected") => "Its bridge is down",
            Some("timed_out") => "It did not say in time whether it moved",
            _ => (attempt["error"]["message"].as_str().unwrap_or("It did not work")),
        }
    }
}

fn facts(console: &Console, device: &Value) -> Markup {
    let p = &device["properties"];
    let text = |v: &Value| v.as_str().filter(|t| *t != "unknown").map(str::to_owned);
    let zone = console.app.names.time_zone;
    let made =
        text(&p["manufacturer"]).into_iter().chain(text(&p["model"]["display_name"])).collect::<Vec<_>>().join(" ");
    html! {
        section.card #facts data-live aria-label="Facts" {
            dl {
                dt { "What" } dd { (words::kind(device)) @if !made.is_empty() { ", " (made) } }
                @if words::battery(device).is_some() { dt { "Battery" } dd { (words::battery_chip(device)) } }
                @if let Some(open) = p["door_open"].as_bool() { dt { "Door" } dd { @if open { "open" } @else { "closed" } } }
                @if let Some(connected) = p["accessory_keypad"]["is_connected"].as_bool() {
                    dt { "Keypad" } dd { @if connected { "in reach" } @else { "out of reach" } }
                }
                @for (name, value) in p["measured"].as_object().into_iter().flatten().take(8) {
                    dt { (measure(name).0) } dd { (value.as_f64().map_or_else(|| value.to_string(), |n| format!("{n:.1}"))) (measure(name).1) }
                }
                @if let Some(since) = text(&p["online_since"]) {
                    dt { @if words::is_online(device) { "In reach" } @else { "Lost" } } dd { "since " (moment(zone, &since)) }
                }
                dt { "Known" } dd { "since " (moment(zone, device["created_at"].as_str().unwrap_or_default())) }
                @if let Some(key) = text(&p["key"]) { dt { "Address" } dd.id { (key) } }
                @if let Some(firmware) = text(&p["firmware"]) { dt { "Firmware" } dd { (firmware) } }
                dt { "Id" } dd.id { (device["device_id"].as_str().unwrap_or_default()) }
            }
        }
    }
}

/// `temperature_c`: "Temperature", " °C".
fn measure(name: &str) -> (String, &'static str) {
    const UNITS: [(&str, &str); 6] =
        [("_c", " °C"), ("_percent", " %"), ("_pa", " Pa"), ("_hpa", " hPa"), ("_lux", " lx"), ("_v", " V")];
    let (bare, unit) =
        UNITS.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, *unit))).unwrap_or((name, ""));
    let mut words = bare.replace('_', " ");
    words[..1].make_ascii_uppercase();
    (words, unit)
}

async fn presence(
    console: &Console,
    visitor: &Visitor,
    device: &Value,
    judged: &Value,
    days: i64,
    here: &str,
) -> Markup {
    const REACH: [&str; 4] =
        ["device.connected", "device.disconnected", "device.unmanaged.connected", "device.unmanaged.disconnected"];
    let mut turns =
        turns(console, visitor, device, &REACH, |e| Some(!e["event_type"].as_str()?.ends_with("disconnected"))).await;
    if turns.is_empty()
        && let Some(since) = device["properties"]["online_since"].as_str().and_then(words::parsed)
    {
        turns.push((since, words::is_online(device)));
    }
    let window = Window::days(days, known(device), now(&turns));
    let reach = Lane { name: "Reach", class: "reach", turns };
    let door = match words::is_lock(device) {
        false => None,
        true => {
            let turns = self::turns(console, visitor, device, &["lock.locked", "lock.unlocked"], |e| {
                Some(e["event_type"] == "lock.locked")
            });
            Some(Lane { name: "Bolt", class: "bolt", turns: turns.await })
        }
    };
    html! {
        section.card #presence data-live aria-labelledby="reached" {
            div.head {
                h2 #reached { "In reach" }
                nav.choice aria-label="Days shown" { @for d in DAYS {
                    a href={ (here) "?days=" (d) } aria-current=[(d == days).then_some("true")] { @if d == 1 { "24 h" } @else { (d) " days" } }
                } }
            }
            (chart::timeline(&reach, door.as_ref().filter(|l| !l.turns.is_empty()), window, console.app.names.time_zone))
            h3 { "Why it is judged so" }
            @let why = explained::presence_in_words(judged);
            @if why.is_empty() { p { "Its bridge says whether it is reached; the hub believes that." } }
            @else { ul.why { @for sentence in why { li { (sentence) } } } }
        }
    }
}

/// Since when the hub knows it.
fn known(device: &Value) -> DateTime<Utc> {
    device["created_at"].as_str().and_then(words::parsed).unwrap_or_else(Utc::now)
}

/// The end of a chart. What is told may be ahead of this machine's clock: a demo's runs fast, and an event is never dated back.
fn now<T>(turns: &[Turn<T>]) -> DateTime<Utc> {
    turns.last().map_or(Utc::now(), |(at, _)| Utc::now().max(*at))
}

/// When it turned one way or the other, oldest first.
async fn turns<T>(
    console: &Console,
    visitor: &Visitor,
    device: &Value,
    types: &[&str],
    is: impl Fn(&Value) -> Option<T>,
) -> Vec<Turn<T>> {
    let asked = json!({"device_id": device["device_id"], "event_types": types, "newest_first": true, "limit": TURNS});
    let events = console.ask(visitor, "/events/list", asked, "events").await.unwrap_or_default();
    let at = |e: &Value| -> Option<DateTime<Utc>> { words::parsed(e["occurred_at"].as_str()?) };
    let mut turns: Vec<Turn<T>> =
        events.as_array().into_iter().flatten().filter_map(|e| Some((at(e)?, is(e)?))).collect();
    turns.sort_by_key(|(at, _)| *at);
    turns
}

async fn battery(console: &Console, visitor: &Visitor, device: &Value) -> Markup {
    if words::battery(device).is_none() {
        return html! {};
    }
    let types = ["device.battery_status_changed", "device.low_battery"];
    let charge = |e: &Value| {
        let band = e["battery_status"].as_str().map(str::to_owned);
        Some(Charge { level: e["battery_level"].as_f64(), band })
    };
    let mut turns = turns(console, visitor, device, &types, charge).await;
    let p = &device["properties"];
    let (level, band) = (p["battery_level"].as_f64(), p["battery"]["status"].as_str().map(str::to_owned));
    if turns.iter().all(|(_, charge)| charge.band.is_none()) {
        // It has been so since the hub knows it.
        turns.insert(0, (known(device), Charge { level: None, band: band.clone() }));
    }
    let window = Window::days(BATTERY_DAYS, known(device), now(&turns));
    turns.push((window.to, Charge { level, band }));
    html! {
        section.card #charge data-live aria-labelledby="batteries" {
            h2 #batteries { "Battery" }
            (chart::battery(&turns, window, console.app.names.time_zone))
            p.soft { "Areas are the bands that its events tell, points the levels that are known." }
        }
    }
}

fn manage(visitor: &Visitor, device: &Value, here: &str) -> Markup {
    let hidden = || html! { input type="hidden" name="device_id" value=[device["device_id"].as_str()]; };
    html! {
        section.card aria-labelledby="manage" {
            h2 #manage { "Manage" }
            (form(visitor, "rename", here, html! {
                (hidden())
                label for="name" { "Name" }
                div.line { input #name name="name" value=(words::name(device)) maxlength="100" required; button type="submit" { "Rename" } }
            }))
            div.sures {
                (sure(visitor, "release", here, "Release", "It stays known, but nothing more is told of it.", hidden()))
                (sure(visitor, "delete", here, "Delete", "It is forgotten with all that was learned of it.", hidden()))
            }
        }
    }
}
