//! What is heard and was not adopted, and its adoption.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::events::Wanted;
use super::layout::{self, Tab, form};
use super::session::Visitor;
use super::words::{self, count, moment};
use super::{Console, devices};

/// Devices of the page: those that are in reach first.
const SHOWN: usize = 100;

pub async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    let found = match console.all(&visitor, "/devices/unmanaged/list", json!({}), "devices").await {
        Ok(found) => found,
        Err(refusal) => return layout::bare(refusal.status, "Not now", &refusal.message).into_response(),
    };
    let mut found: Vec<&Value> = found.iter().collect();
    found.sort_by_key(|d| (!words::is_online(d), words::name(d).to_lowercase()));
    let zone = console.app.names.time_zone;
    let content = html! {
        (devices::tabs(true))
        section.card #found data-live aria-label="Found nearby" {
            p.soft { (count(found.len(), "device is", "devices are")) " heard and not yours. Your neighbours’ are among them." }
            @if found.is_empty() { (layout::empty("Nothing else is heard. A device shows itself within a minute or two.")) }
            ul.rows {
                @for device in found.iter().take(SHOWN) {
                    li { a.row href={ "/console/devices/" (device["device_id"].as_str().unwrap_or_default()) "#adopt" } {
                        span.name { (words::name(device)) small { (words::kind(device)) " · " (device["properties"]["key"].as_str().unwrap_or_default()) } }
                        (words::state_chip(device))
                        span.cell { (words::battery_chip(device)) }
                        span.since { @if let Some(since) = device["properties"]["online_since"].as_str() {
                            @if words::is_online(device) { "since " } @else { "lost " } (moment(zone, since))
                        } }
                    } }
                }
            }
            @if found.len() > SHOWN { p.soft { "and " (found.len() - SHOWN) " more" } }
        }
    };
    let stream = Wanted::default().stream(&console);
    layout::following(&console, &visitor, Tab::Devices, "Found nearby", stream.as_deref(), content).into_response()
}

/// The form that makes it ours.
pub fn adoption(visitor: &Visitor, device: &Value) -> Markup {
    let id = device["device_id"].as_str().unwrap_or_default();
    html! {
        p.soft { "It is heard, and nothing is told of it but that it is there." }
        @if visitor.may("/devices/unmanaged/update") {
            (form(visitor, "adopt", &format!("/console/devices/{id}#adopt"), html! {
                input type="hidden" name="device_id" value=(id);
                label for="adopt-name" { "Name" }
                input #adopt-name name="name" value=(words::name(device)) maxlength="100" required;
                button type="submit" { "Adopt" }
            }))
        }
    }
}
