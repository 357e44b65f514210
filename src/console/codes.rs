//! Access codes: who has one where, until when, and how it is with the lock. Digits are never shown.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::Console;
use super::act::Form;
use super::events::Wanted;
use super::layout::{self, Tab, form, sure};
use super::session::Visitor;
use super::words::{self, Named, Tone, chip, count, moment};

/// Codes of a page.
const SHOWN: usize = 100;

pub async fn show(State(console): State<Console>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.unwrap_or_default().as_bytes());
    let search = query.text("q");
    let mut codes = match console.all(&visitor, "/access_codes/list", json!({"search": search}), "access_codes").await {
        Ok(codes) => codes,
        Err(refusal) => return layout::bare(refusal.status, "Not now", &refusal.message).into_response(),
    };
    let strangers =
        console.all(&visitor, "/access_codes/unmanaged/list", json!({"search": search}), "access_codes").await;
    codes.extend(strangers.unwrap_or_default());
    let locks = console.all(&visitor, "/locks/list", json!({}), "devices").await.unwrap_or_default();
    let mut named = Named::default();
    named.add(&locks, "device_id", "/properties/name");
    let takes: Vec<&Value> = locks.iter().filter(|l| l["can_program_online_access_codes"] == true).collect();
    let here = "/console/codes";
    let content = html! {
        @if visitor.may("/access_codes/create") && !takes.is_empty() { (new(&visitor, &takes, here)) }
        form.filters method="get" action=(here) role="search" {
            label.sr for="q" { "Name" }
            input #q name="q" type="search" value=(search) placeholder="Name" autocomplete="off";
            button.quiet type="submit" { "Find" }
        }
        section.card #codes data-live aria-label="Codes" {
            p.soft { (count(codes.len(), "code", "codes")) ". Digits are never shown here." }
            @if codes.is_empty() && takes.is_empty() {
                (layout::empty("No lock here takes codes from the hub: `codes = \"manage\"` in its [[devices]] table lets it."))
            }
            (list(&console, &visitor, &codes, Some(&named), here))
        }
    };
    let stream = Wanted::default().stream(&console);
    layout::following(&console, &visitor, Tab::Codes, "Codes", stream.as_deref(), content).into_response()
}

/// Those of one lock; nothing for what takes none.
pub async fn of_device(console: &Console, visitor: &Visitor, device: &Value, here: &str) -> Markup {
    if device["can_unlock_with_code"] != true {
        return html! {};
    }
    let asked = json!({"device_id": device["device_id"]});
    let mut codes = console.all(visitor, "/access_codes/list", asked.clone(), "access_codes").await.unwrap_or_default();
    codes.extend(console.all(visitor, "/access_codes/unmanaged/list", asked, "access_codes").await.unwrap_or_default());
    let takes = device["can_program_online_access_codes"] == true;
    if codes.is_empty() && !takes {
        return html! {};
    }
    html! {
        section.card aria-labelledby="codes-on-it" {
            h2 #codes-on-it { "Codes" }
            div #codes data-live {
                @if codes.is_empty() { (layout::empty("No codes.")) }
                (list(console, visitor, &codes, None, here))
            }
            @if takes && visitor.may("/access_codes/create") { (new(visitor, &[device], here)) }
        }
    }
}

fn list(console: &Console, visitor: &Visitor, codes: &[Value], devices: Option<&Named>, here: &str) -> Markup {
    let zone = console.app.names.time_zone;
    html! {
        ul.rows.codes {
            @for code in codes.iter().take(SHOWN) {
                @let ours = code["is_managed"] == true;
                li.row {
                    span.name {
                        (code["name"].as_str().unwrap_or("without a name"))
                        @if let Some(device) = devices.and_then(|d| d.of(&code["device_id"])) {
                            small { a href={ "/console/devices/" (code["device_id"].as_str().unwrap_or_default()) } { (device) } }
                        }
                    }
                    span.digits { span aria-hidden="true" { "••••" } span.sr { "digits hidden" } }
                    (status(code))
                    span.since { (dates(zone, code)) }
                    @if visitor.may("/access_codes/delete") { (deeds(visitor, code, ours, here)) }
                    @for issue in ["errors", "warnings"].into_iter().flat_map(|k| code[k].as_array().into_iter().flatten()) {
                        p.issue { (issue["message"].as_str().unwrap_or_default()) }
                    }
                }
            }
        }
        @if codes.len() > SHOWN { p.soft { "and " (codes.len() - SHOWN) " more; look for a name" } }
    }
}

fn deeds(visitor: &Visitor, code: &Value, ours: bool, here: &str) -> Markup {
    let hidden = || html! { input type="hidden" name="access_code_id" value=[code["access_code_id"].as_str()]; };
    html! {
        div.deeds {
            @if !ours { (form(visitor, "code-take", here, html! { (hidden()) button.quiet type="submit" { "Take over" } })) }
            @let what = if ours { "code-delete" } else { "code-drop" };
            (sure(visitor, what, here, "Delete", "It is taken off the lock, and opens it no more.", hidden()))
        }
    }
}

fn status(code: &Value) -> Markup {
    let failed = code["errors"].as_array().is_some_and(|e| !e.is_empty());
    let (tone, text) = match code["status"].as_str() {
        _ if failed => (Tone::Bad, "trouble"),
        _ if code["is_managed"] != true => (Tone::Notice, "not ours"),
        Some("set") => (Tone::Good, "on the lock"),
        Some("setting") => (Tone::Plain, "being set"),
        Some("removing") => (Tone::Plain, "being removed"),
        Some("unset") => (Tone::Plain, "not yet"),
        _ => (Tone::Plain, "unknown"),
    };
    chip(tone, "code", text)
}

fn dates(zone: chrono_tz::Tz, code: &Value) -> Markup {
    html! {
        @match (code["starts_at"].as_str(), code["ends_at"].as_str()) {
            (Some(from), Some(to)) => { (moment(zone, from)) " – " (moment(zone, to)) },
            (Some(from), None) => { "from " (moment(zone, from)) },
            (None, Some(to)) => { "until " (moment(zone, to)) },
            (None, None) => "always",
        }
    }
}

/// The form for a new one, on one of these locks.
fn new(visitor: &Visitor, locks: &[&Value], here: &str) -> Markup {
    html! {
        details.new {
            summary { "New code" }
            (form(visitor, "code-create", here, html! {
                @if let [lock] = locks {
                    input type="hidden" name="device_id" value=[lock["device_id"].as_str()];
                } @else {
                    label for="code-lock" { "Lock" }
                    select #code-lock name="device_id" required {
                        @for lock in locks { option value=[lock["device_id"].as_str()] { (words::name(lock)) } }
                    }
                }
                label for="code-name" { "Name" }
                input #code-name name="name" maxlength="60" required autocomplete="off";
                label for="code-digits" { "Digits " small { "empty: the hub makes some" } }
                input #code-digits name="code" type="password" inputmode="numeric" pattern="[0-9]{4,12}" title="4 to 12 digits" autocomplete="off";
                div.pair {
                    div { label for="code-from" { "From" } input #code-from name="starts_at" type="datetime-local"; }
                    div { label for="code-to" { "Until" } input #code-to name="ends_at" type="datetime-local"; }
                }
                button type="submit" { "Set the code" }
            }))
        }
    }
}
