//! What is heard and was not adopted, and its adoption: a bind key is tried at once on what the device sends.

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
pub fn adoption(visitor: &Visitor, device: &Value, explanation: &Value) -> Markup {
    let id = device["device_id"].as_str().unwrap_or_default();
    let by_radio = device["properties"]["key"].as_str().is_some_and(|key| key.starts_with("ble:"));
    let sealed = explanation["needs_bindkey"] == true;
    html! {
        p.soft { "It is heard, and nothing is told of it but that it is there." }
        @if sealed { p.issue { "What it sends is encrypted." } }
        @if visitor.may("/devices/unmanaged/update") {
            (form(visitor, "adopt", &format!("/console/devices/{id}#adopt"), html! {
                input type="hidden" name="device_id" value=(id);
                label for="adopt-name" { "Name" }
                input #adopt-name name="name" value=(words::name(device)) maxlength="100" required;
                @if by_radio { (key_field(sealed)) }
                button type="submit" { "Adopt" }
            }))
        }
    }
}

/// For a device of ours that cannot be understood any more: it was reset, or was adopted without its key.
pub fn new_key(visitor: &Visitor, device: &Value, explanation: &Value, here: &str) -> Markup {
    let configured = explanation["device"]["state"]["origin"] == "config";
    html! {
        section.card #sealed aria-labelledby="sealed-is" {
            h2 #sealed-is { "Encrypted" }
            p.issue { "What it sends cannot be read: its bind key is missing, or is another one." }
            @if configured {
                p.soft { "It is in the configuration: the " code { "bindkey" } " of its " code { "[[devices]]" } " table is looked at." }
            } @else if visitor.may("/devices/update") {
                (form(visitor, "key", here, html! {
                    input type="hidden" name="device_id" value=[device["device_id"].as_str()];
                    (key_field(true))
                    button type="submit" { "Try it" }
                }))
            }
        }
    }
}

fn key_field(required: bool) -> Markup {
    html! {
        label for="bindkey" { "Bind key " @if !required { small { "where its adverts are encrypted" } } }
        input #bindkey name="bindkey" required[required] pattern="[0-9a-fA-F]{24}|[0-9a-fA-F]{32}" maxlength="32" autocomplete="off"
            spellcheck="false" title="32 hex digits (24 for an old MiBeacon device)" aria-describedby="bindkey-hint";
        p.hint #bindkey-hint { "32 hex digits, as its maker’s app shows or keeps them. It is tried at once." }
    }
}
