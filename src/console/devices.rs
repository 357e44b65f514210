//! Every managed device: how it is, its battery, and since when.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::act::Form;
use super::events::Wanted;
use super::layout::Tab;
use super::session::Visitor;
use super::words::{self, Tone, count, moment};
use super::{Console, layout, now};

/// Devices of a page.
const SHOWN: usize = 100;

const SHOWS: [(&str, &str); 4] =
    [("", "All"), ("doors", "Doors"), ("attention", "Want somebody"), ("offline", "Out of reach")];

pub async fn show(State(console): State<Console>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.unwrap_or_default().as_bytes());
    let (search, shown) = (query.text("q"), query.text("show"));
    let devices = match console.all(&visitor, "/devices/list", json!({"search": search}), "devices").await {
        Ok(devices) => devices,
        Err(refusal) => return layout::bare(refusal.status, "Not now", &refusal.message).into_response(),
    };
    let mut devices: Vec<&Value> = devices.iter().filter(|d| fits(&shown, d)).collect();
    devices.sort_by_key(|d| (!words::is_lock(d), words::name(d).to_lowercase()));
    let pages = devices.len().div_ceil(SHOWN).max(1);
    let page = query.text("page").parse().unwrap_or(1usize).clamp(1, pages);
    let zone = console.app.names.time_zone;
    let content = html! {
        (tabs(false))
        form.filters method="get" action="/console/devices" role="search" {
            label.sr for="q" { "Name or maker" }
            input #q name="q" type="search" value=(search) placeholder="Name or maker" autocomplete="off";
            label.sr for="show" { "Show" }
            select #show name="show" data-sends {
                @for (word, text) in SHOWS { option value=(word) selected[word == shown] { (text) } }
            }
            button.quiet type="submit" { "Find" }
        }
        section.card #devices data-live aria-label="Devices" {
            p.soft { (count(devices.len(), "device", "devices")) }
            @if devices.is_empty() { (layout::empty("No device fits. What is heard and was not adopted yet is under “Found nearby”.")) }
            ul.rows {
                @for device in devices.iter().skip((page - 1) * SHOWN).take(SHOWN) {
                    li { a.row href={ "/console/devices/" (device["device_id"].as_str().unwrap_or_default()) } {
                        span.name { (words::name(device)) small { (words::kind(device)) } }
                        (words::state_chip(device))
                        span.cell { (words::battery_chip(device)) }
                        span.since { @if let Some(since) = device["properties"]["online_since"].as_str() {
                            @if words::is_online(device) { "since " } @else { "lost " } (moment(zone, since))
                        } }
                    } }
                }
            }
            @if pages > 1 { (turner(&search, &shown, page, pages)) }
        }
    };
    let stream = Wanted::default().stream(&console);
    layout::following(&console, &visitor, Tab::Devices, "Devices", stream.as_deref(), content).into_response()
}

fn fits(shown: &str, device: &Value) -> bool {
    match shown {
        "doors" => words::is_lock(device),
        "attention" => now::concern(device).is_some(),
        "offline" => words::state(device).0 == Tone::Off,
        _ => true,
    }
}

/// The two lists of devices.
pub fn tabs(found: bool) -> Markup {
    html! {
        nav.sub aria-label="Devices" {
            a href="/console/devices" aria-current=[(!found).then_some("page")] { "Yours" }
            a href="/console/found" aria-current=[found.then_some("page")] { "Found nearby" }
        }
    }
}

fn turner(search: &str, shown: &str, page: usize, pages: usize) -> Markup {
    let link = |n: usize| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", search).append_pair("show", shown).append_pair("page", &n.to_string());
        format!("/console/devices?{}", query.finish())
    };
    html! {
        p.pages {
            @if page > 1 { a href=(link(page - 1)) { "Before" } }
            span { "Page " (page) " of " (pages) }
            @if page < pages { a href=(link(page + 1)) { "After" } }
        }
    }
}
