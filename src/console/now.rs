//! The first page: what wants somebody, how the doors are, and what happens.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::act::Form;
use super::events::{self, Wanted};
use super::layout::Tab;
use super::session::Visitor;
use super::words::{self, Named, Tone, chip, count, icon};
use super::{Console, delivery, layout};

/// So much of each is on the page; the rest is a link away.
const DOORS: usize = 12;
const CONCERNS: usize = 6;

pub async fn show(State(console): State<Console>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let wanted = Wanted::of(&Form::of(query.unwrap_or_default().as_bytes()));
    let devices = match console.all(&visitor, "/devices/list", json!({}), "devices").await {
        Ok(devices) => devices,
        Err(refusal) => return layout::bare(refusal.status, "Not now", &refusal.message).into_response(),
    };
    let accounts =
        console.all(&visitor, "/connected_accounts/list", json!({}), "connected_accounts").await.unwrap_or_default();
    let health = console.ask(&visitor, "/health", json!({}), "health").await.unwrap_or_default();
    let mut named = Named::default();
    named.add(&devices, "device_id", "/properties/name");
    let filters = events::filters(&wanted, &named);
    let concerns = concerns(&devices, &accounts, &health);
    let list = events::section(&console, &visitor, &wanted, "/", named).await;
    let content = html! {
        div.now {
            div.side {
                (attention(&concerns, &devices))
                (doors(&devices))
            }
            section.card aria-labelledby="happened" {
                div.head { h2 #happened { "What happened" } (filters) }
                (list)
            }
        }
    };
    let stream = wanted.stream(&console);
    layout::following(&console, &visitor, Tab::Now, "Now", stream.as_deref(), content).into_response()
}

/// Something that wants somebody.
pub struct Concern {
    tone: Tone,
    picture: &'static str,
    what: String,
    place: String,
}

/// Worst first.
fn concerns(devices: &[Value], accounts: &[Value], health: &Value) -> Vec<Concern> {
    let mut concerns = Vec::new();
    for account in accounts {
        for error in account["errors"].as_array().into_iter().flatten() {
            let what = format!(
                "{}: {}",
                account["display_name"].as_str().unwrap_or("An account"),
                error["message"].as_str().unwrap_or("not connected")
            );
            concerns.push(Concern { tone: Tone::Bad, picture: "account", what, place: "/console/hub#accounts".into() });
        }
    }
    for (name, detail) in delivery::down(health) {
        // Those of devices are told by their accounts.
        if !name.starts_with("ble/") && !name.starts_with("zwave/") {
            let what = format!("{}: {detail}", delivery::part(&name));
            concerns.push(Concern { tone: Tone::Bad, picture: "sent", what, place: "/console/hub".into() });
        }
    }
    concerns.extend(devices.iter().filter_map(concern));
    concerns.sort_by_key(|c| match c.tone {
        Tone::Bad => 0,
        Tone::Off => 1,
        _ => 2,
    });
    concerns
}

/// What a device wants of somebody.
pub fn concern(device: &Value) -> Option<Concern> {
    let (tone, picture, state) = words::state(device);
    let battery = words::battery(device).filter(|(tone, _)| *tone != Tone::Plain);
    let (tone, picture, what) = match (tone, battery) {
        (Tone::Bad | Tone::Off, _) => (tone, picture, state.to_lowercase()),
        (_, Some((tone, level))) => (tone, "battery", format!("battery {level}")),
        _ => {
            let warning = device["warnings"].as_array().and_then(|w| w.first())?;
            (
                Tone::Notice,
                "alert",
                warning["message"].as_str().unwrap_or("something is amiss").trim_end_matches('.').to_owned(),
            )
        }
    };
    let place = format!("/console/devices/{}", device["device_id"].as_str().unwrap_or_default());
    Some(Concern { tone, picture, what: format!("{}: {what}", words::name(device)), place })
}

fn attention(concerns: &[Concern], devices: &[Value]) -> Markup {
    let reached = devices.iter().filter(|d| words::is_online(d)).count();
    html! {
        section.card #attention data-live aria-labelledby="wants" {
            h2 #wants { "Wants somebody" }
            @if concerns.is_empty() && devices.is_empty() {
                p.calm { (icon("online")) span { "No devices yet. " a href="/console/found" { "What is heard nearby" } } }
            } @else if concerns.is_empty() {
                p.calm { (icon("done")) span { "Nothing. " (count(reached, "device", "devices")) " in reach." } }
            } @else {
                ul.concerns {
                    @for c in concerns.iter().take(CONCERNS) {
                        li { a href=(c.place) { span class={ "dot " (c.tone.class()) } { (icon(c.picture)) } span { (c.what) } } }
                    }
                }
                @if concerns.len() > CONCERNS {
                    p.more { a href="/console/devices?show=attention" { "and " (concerns.len() - CONCERNS) " more" } }
                }
            }
        }
    }
}

fn doors(devices: &[Value]) -> Markup {
    let mut doors: Vec<&Value> = devices.iter().filter(|d| words::is_lock(d)).collect();
    // Where not all can be shown, what is not locked is looked for first.
    let many = doors.len() > DOORS;
    doors.sort_by_key(|d| (many && words::state(d).0 == Tone::Good, words::name(d).to_lowercase()));
    let open = doors.iter().filter(|d| words::state(d).0 != Tone::Good).count();
    html! {
        @if !doors.is_empty() {
            section.card #doors data-live aria-labelledby="doors-are" {
                div.head {
                    h2 #doors-are { "Doors" }
                    @if open == 0 { (chip(Tone::Good, "locked", "all locked")) } @else { span.soft { (open) " of " (doors.len()) " not locked" } }
                }
                ul.doors {
                    @for door in doors.iter().take(DOORS) {
                        li { a href={ "/console/devices/" (door["device_id"].as_str().unwrap_or_default()) } {
                            span.name { (words::name(door)) } (words::state_chip(door))
                        } }
                    }
                }
                @if doors.len() > DOORS { p.more { a href="/console/devices?show=doors" { "All " (doors.len()) " doors" } } }
            }
        }
    }
}
