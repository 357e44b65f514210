//! The thresholds above which a noise sensor is told as too loud.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::Console;
use super::layout::{self, form, sure};
use super::sentences::threshold;
use super::session::Visitor;

pub async fn of_device(console: &Console, visitor: &Visitor, device: &Value, here: &str) -> Markup {
    let id = device["device_id"].as_str().unwrap_or_default();
    let asked = json!({"device_id": id});
    let found = console.ask(visitor, "/noise_sensors/noise_thresholds/list", asked, "noise_thresholds").await;
    let thresholds = match found {
        Ok(Value::Array(thresholds)) => thresholds,
        Ok(_) => Vec::new(),
        Err(refusal) => return layout::refused(&refusal),
    };
    let loud = &device["properties"]["currently_triggering_noise_threshold_ids"];
    let is_loud = |t: &Value| loud.as_array().is_some_and(|ids| ids.contains(&t["noise_threshold_id"]));
    let may = visitor.may("/noise_sensors/noise_thresholds/update");
    html! {
        section.card aria-labelledby="thresholds" {
            h2 #thresholds { "Noise" }
            p.soft { "Louder than this, for so long and at that time of day, is told." }
            @if thresholds.is_empty() { (layout::empty("No thresholds yet; the usual ones come with its first level.")) }
            ul.rows.thresholds #limits data-live {
                @for (n, t) in thresholds.iter().enumerate() {
                    li.row {
                        span.name { (threshold(t["name"].as_str().unwrap_or("threshold"))) @if is_loud(t) { small.bad { "too loud now" } } }
                        span.strong { (t["noise_threshold_decibels"].as_f64().map_or_else(String::new, |d| format!("{d} dB"))) }
                        span.since { (hours(t)) ", for " (t["duration_seconds"].as_u64().unwrap_or(0)) " s" }
                        @if may {
                            div.deeds {
                                details.sure {
                                    summary { "Change" }
                                    (form(visitor, "threshold-change", here, fields(id, Some(t), &format!("t{n}"))))
                                }
                                (sure(visitor, "threshold-delete", here, "Delete", "Above it nothing is told any more.", hidden(id, Some(t))))
                            }
                        }
                    }
                }
            }
            @if may {
                details.new { summary { "New threshold" } (form(visitor, "threshold-create", here, fields(id, None, "new"))) }
            }
        }
    }
}

fn hours(threshold: &Value) -> String {
    let time = |key: &str| threshold[key].as_str().unwrap_or_default().get(..5).unwrap_or_default().to_owned();
    let (from, to) = (time("starts_daily_at"), time("ends_daily_at"));
    if from == to { "all day".to_owned() } else { format!("{from} – {to}") }
}

fn hidden(device: &str, threshold: Option<&Value>) -> Markup {
    html! {
        input type="hidden" name="device_id" value=(device);
        @if let Some(id) = threshold.and_then(|t| t["noise_threshold_id"].as_str()) {
            input type="hidden" name="noise_threshold_id" value=(id);
        }
    }
}

fn fields(device: &str, threshold: Option<&Value>, id: &str) -> Markup {
    let text = |key: &str, default: &str| threshold.and_then(|t| t[key].as_str()).unwrap_or(default).to_owned();
    let time = |key: &str, default: &str| text(key, default).get(..5).unwrap_or(default).to_owned();
    let decibels = threshold.and_then(|t| t["noise_threshold_decibels"].as_f64()).unwrap_or(65.0);
    let duration = threshold.and_then(|t| t["duration_seconds"].as_u64()).unwrap_or(60);
    html! {
        (hidden(device, threshold))
        label for={ (id) "-name" } { "Name" }
        input #{ (id) "-name" } name="name" value=(text("name", "")) maxlength="60" required;
        div.pair {
            div { label for={ (id) "-db" } { "Decibels" }
                input #{ (id) "-db" } name="decibels" type="number" min="20" max="140" step="0.5" value=(decibels) required; }
            div { label for={ (id) "-for" } { "For so many seconds" }
                input #{ (id) "-for" } name="duration_seconds" type="number" min="0" max="86400" value=(duration) required; }
        }
        div.pair {
            div { label for={ (id) "-from" } { "From" }
                input #{ (id) "-from" } name="starts_daily_at" type="time" value=(time("starts_daily_at", "22:00")) required; }
            div { label for={ (id) "-to" } { "Until" }
                input #{ (id) "-to" } name="ends_daily_at" type="time" value=(time("ends_daily_at", "08:00")) required; }
        }
        button type="submit" { @if threshold.is_some() { "Change" } @else { "Set" } }
    }
}
