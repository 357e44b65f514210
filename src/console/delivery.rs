//! Where events come from and go to: the broker and what waits for it, what it refused, webhooks, accounts, and the hub's parts.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::events::Wanted;
use super::layout::{self, Tab, form, sure};
use super::session::Visitor;
use super::words::{Tone, chip, count, moment};
use super::{Console, webhooks};

const ACCOUNTS: &str = "/console/hub#accounts";

/// Refused events that are shown.
const ASIDE: usize = 20;

pub async fn show(State(console): State<Console>, visitor: Visitor) -> Response {
    let health = match console.ask(&visitor, "/health", json!({}), "health").await {
        Ok(health) => health,
        Err(refusal) => return layout::bare(refusal.status, "Not now", &refusal.message).into_response(),
    };
    let aside = console.ask(&visitor, "/undeliverable/list", json!({}), "undeliverable").await.unwrap_or_default();
    let accounts =
        console.all(&visitor, "/connected_accounts/list", json!({}), "connected_accounts").await.unwrap_or_default();
    let content = html! {
        (broker(&health))
        (undeliverable(&visitor, aside.as_array().map_or(&[], Vec::as_slice)))
        (webhooks::section(&console, &visitor).await)
        (self::accounts(&console, &visitor, &accounts))
        (parts(&health))
    };
    let stream = Wanted::default().stream(&console);
    layout::following(&console, &visitor, Tab::Hub, "Hub", stream.as_deref(), content).into_response()
}

/// Parts that do not work, with why.
pub fn down(health: &Value) -> Vec<(String, String)> {
    let parts = health["parts"].as_object().into_iter().flatten();
    let down = parts.filter(|(_, part)| part["up"] == false);
    down.map(|(name, part)| (name.clone(), part["detail"].as_str().unwrap_or("not working").to_owned())).collect()
}

/// A part as a person calls it.
pub fn part(name: &str) -> String {
    match name.split_once('/') {
        Some(("ble", adapter)) => format!("Bluetooth adapter {adapter}"),
        Some(("zwave", network)) => format!("Z-Wave network {network}"),
        Some(("mqtt", "commands")) => "Commands over MQTT".into(),
        _ => match name {
            "ble" => "Bluetooth".into(),
            "mqtt" => "MQTT broker".into(),
            "webhook" => "Webhooks".into(),
            "http" => "HTTP".into(),
            "control" => "Control socket".into(),
            "code_key" => "Key of the codes".into(),
            other => other.replace('_', " "),
        },
    }
}

fn health_chip(up: bool) -> Markup {
    if up { chip(Tone::Good, "done", "works") } else { chip(Tone::Bad, "alert", "down") }
}

fn broker(health: &Value) -> Markup {
    let (mqtt, state) = (&health["counters"]["mqtt"], &health["parts"]["mqtt"]);
    let number = |key: &str| mqtt[key].as_u64().unwrap_or(0);
    let backlog = number("backlog") as usize;
    html! {
        section.card #broker data-live aria-labelledby="mqtt" {
            div.head { h2 #mqtt { "MQTT broker" } (health_chip(state["up"] == true)) }
            p.soft { (state["detail"].as_str().unwrap_or_default()) }
            dl.figures {
                div { dt { "Waiting" } dd class=[(backlog > 0).then_some("notice")] { (backlog) } }
                div { dt { "Acknowledged" } dd { (number("acknowledged")) } }
                div { dt { "Last event" } dd { (health["last_seq"].as_u64().unwrap_or(0)) } }
                div { dt { "Reconnected" } dd { (number("reconnects")) } }
            }
            @if backlog > 0 { p { (count(backlog, "event waits", "events wait")) " on disk, in order, until the broker takes them." } }
        }
    }
}

fn undeliverable(visitor: &Visitor, aside: &[Value]) -> Markup {
    html! {
        section.card #undeliverable data-live aria-labelledby="aside" {
            h2 #aside { "Refused events" }
            @if aside.is_empty() { p.soft { "None: every event was taken, or waits for its turn." } }
            @else {
                p { (count(aside.len(), "event was", "events were")) " refused for good, and set aside." }
                ul.rows { @for event in aside.iter().take(ASIDE) {
                    li.row {
                        span.name { "Event " (event["seq"].as_u64().unwrap_or(0)) small { (part(event["sink"].as_str().unwrap_or_default())) } }
                        span.since { (event["reason"].as_str().unwrap_or_default()) @if event["again"] == true { " (being tried again)" } }
                    }
                } }
                @if visitor.may("/undeliverable/retry") {
                    (form(visitor, "undeliverable-retry", "/console/hub#undeliverable", html! { button type="submit" { "Try them again" } }))
                }
            }
        }
    }
}

fn accounts(console: &Console, visitor: &Visitor, accounts: &[Value]) -> Markup {
    let zone = console.app.names.time_zone;
    html! {
        section.card #accounts aria-labelledby="connected" {
            h2 #connected { "Accounts" }
            div #account-list data-live {
                @if accounts.is_empty() { (layout::empty("None yet: a Bluetooth adapter or a Z-Wave network makes one.")) }
                ul.rows { @for account in accounts {
                    @let errors = account["errors"].as_array().map_or(&[][..], Vec::as_slice);
                    li.row {
                        span.name { (account["display_name"].as_str().unwrap_or_default()) small { (account["account_type_display_name"].as_str().unwrap_or_default()) } }
                        (health_chip(errors.is_empty()))
                        span.since { "since " (moment(zone, account["created_at"].as_str().unwrap_or_default())) }
                        @for error in errors { p.issue { (error["message"].as_str().unwrap_or_default()) } }
                        @if account["account_type"] == "zwave" && visitor.may("/connected_accounts/delete") {
                            div.deeds { (sure(visitor, "account-delete", ACCOUNTS, "Disconnect", "The network is taken out, with its devices. What was told of them stays in the log.", html! {
                                input type="hidden" name="connected_account_id" value=[account["connected_account_id"].as_str()];
                            })) }
                        }
                    }
                } }
            }
            @if visitor.may("/connected_accounts/create") { (connect(visitor)) }
        }
    }
}

/// The form that connects a Z-Wave network: its server is asked what it is before it is kept.
fn connect(visitor: &Visitor) -> Markup {
    html! {
        details.new {
            summary { "Connect a Z-Wave network" }
            (form(visitor, "account-create", ACCOUNTS, html! {
                label for="account-url" { "Address of its Z-Wave JS server" }
                input #account-url name="url" required pattern="wss?://.+" title="ws:// or wss://" placeholder="ws://127.0.0.1:3000" spellcheck="false" aria-describedby="account-hint";
                p.hint #account-hint { "Zwave-js-ui shows it under Settings, Home Assistant, WS Server. It is asked at once, which may take half a minute." }
                label for="account-name" { "Name " small { "empty: of its home id" } }
                input #account-name name="name" maxlength="64" pattern="[A-Za-z0-9_\\-]+" title="letters, digits, _ and -" autocomplete="off";
                div.pair {
                    div { label for="account-user" { "User name " small { "where it is guarded" } } input #account-user name="username" autocomplete="off"; }
                    div { label for="account-password" { "Password" } input #account-password name="password" type="password" autocomplete="new-password"; }
                }
                button type="submit" { "Connect" }
            }))
        }
    }
}

fn parts(health: &Value) -> Markup {
    html! {
        section.card #parts data-live aria-labelledby="of-hub" {
            h2 #of-hub { "The hub’s parts" }
            ul.rows { @for (name, state) in health["parts"].as_object().into_iter().flatten() {
                li.row {
                    span.name { (part(name)) small { (state["detail"].as_str().unwrap_or_default()) } }
                    (health_chip(state["up"] == true))
                }
            } }
        }
    }
}
