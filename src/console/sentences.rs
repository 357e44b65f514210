//! Events in words, for people: each type is a sentence of its own.

use maud::{Markup, html};
use serde_json::Value;

use super::events::Kind;
use super::words::{Named, Tone};

/// How it looks: its colour, and its picture.
pub fn look(event: &Value) -> (Tone, &'static str) {
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

pub fn sentence(event: &Value, named: &Named) -> Markup {
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
    use serde_json::json;

    use super::*;
    use crate::event::EventType;

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
}
