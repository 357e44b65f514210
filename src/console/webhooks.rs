//! Webhooks: where events are posted to. For an administrator's eyes, since an address may be a password.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::Console;
use super::events;
use super::layout::{self, form, sure};
use super::session::Visitor;
use super::words::{Tone, chip, count, moment};

const HERE: &str = "/console/hub#webhooks";

pub async fn section(console: &Console, visitor: &Visitor) -> Markup {
    if !visitor.may("/webhooks/list") {
        return html! {};
    }
    let hooks = match console.ask(visitor, "/webhooks/list", json!({}), "webhooks").await {
        Ok(Value::Array(hooks)) => hooks,
        Ok(_) => Vec::new(),
        Err(refusal) => return layout::refused(&refusal),
    };
    html! {
        section.card #webhooks aria-labelledby="hooks" {
            h2 #hooks { "Webhooks" }
            @if hooks.is_empty() { (layout::empty("None. Events can be posted, signed, to any address.")) }
            ul.rows { @for hook in &hooks { (one(console, visitor, hook)) } }
            details.new {
                summary { "New webhook" }
                (form(visitor, "webhook-create", HERE, html! {
                    label for="url" { "Address" }
                    input #url name="url" type="url" required placeholder="https://" maxlength="2000";
                    fieldset {
                        legend { "Of what " small { "none chosen: of everything" } }
                        @for (word, name) in events::kinds() {
                            label.check { input type="checkbox" name="kind" value=(word); (name) }
                        }
                    }
                    button type="submit" { "Create" }
                }))
            }
        }
    }
}

fn one(console: &Console, visitor: &Visitor, hook: &Value) -> Markup {
    let enabled = hook["is_enabled"] == true;
    let owed = hook["events_owed"].as_u64().unwrap_or(0) as usize;
    let hidden = || html! { input type="hidden" name="webhook_id" value=[hook["webhook_id"].as_str()]; };
    html! {
        li.row {
            span.name {
                span.id { (hook["url"].as_str().unwrap_or_default()) }
                small { @match hook["event_types"].as_array() { Some(types) => (count(types.len(), "type of event", "types of events")), None => "everything" }
                    ", since " (moment(console.app.names.time_zone, hook["created_at"].as_str().unwrap_or_default())) }
            }
            @if !enabled { (chip(Tone::Bad, "alert", "given up")) }
            @else if owed > 0 { (chip(Tone::Notice, "sent", &format!("{} to try again", count(owed, "event", "events")))) }
            @else { (chip(Tone::Good, "sent", "well")) }
            div.deeds {
                @if !enabled { (form(visitor, "webhook-wake", HERE, html! { (hidden()) button.quiet type="submit" { "Try again" } })) }
                (sure(visitor, "webhook-delete", HERE, "Delete", "Nothing is posted there any more.", hidden()))
            }
            @if let Some(reason) = hook["disabled"]["reason"].as_str() { p.issue { (reason) } }
        }
    }
}
