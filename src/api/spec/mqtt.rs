//! AsyncAPI of the MQTT side.

use serde_json::{Map, Value, json};

use crate::event::EventType;
use crate::sink::mqtt::Topics;

/// The document, for the prefix `portcullis` and a hub that is a parameter.
pub fn document() -> Value {
    let topics = Topics::new("portcullis", "{hub}");
    // Beside this document, here and where it is served.
    let placed = |t: &EventType| {
        json!({
            "allOf": [
                {"$ref": format!("./schemas/events.json#/$defs/{}", t.as_str())},
                {
                    "type": "object", "required": ["seq", "log_id"],
                    "properties": {
                        "seq": {"type": "integer", "description": "The event's place in the log."},
                        "log_id": {"type": "string", "format": "uuid"},
                    },
                },
            ],
        })
    };
    let messages: Map<String, Value> = EventType::ALL
        .iter()
        .map(|t| {
            let user = ["event_id", "event_type", "seq"].map(|name| (name.to_owned(), json!({"type": "string"})));
            let message = json!({
                "name": t.as_str(), "contentType": "application/json", "payload": placed(t),
                "headers": {"type": "object", "properties": Map::from_iter(user)},
            });
            (t.as_str().replace('.', "_"), message)
        })
        .collect();
    let references: Map<String, Value> =
        messages.keys().map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")}))).collect();
    let hub = json!({"description": "[hub] name"});
    let retained = |address: String, description: &str, payload: Value| {
        json!({
            "address": address, "description": description, "parameters": {"hub": hub},
            "messages": {"state": {"payload": payload, "bindings": {"mqtt": {"bindingVersion": "0.2.0"}}}},
        })
    };
    let mut device =
        retained(topics.device("{device_id}"), "Retained: the device as it is now.", json!({"type": "object"}));
    device["parameters"]["device_id"] = json!({});
    let channels = json!({
        "event": {
            "address": format!("{}/event/{{id}}/{{type}}", topics.status().trim_end_matches("/status")),
            "description": "One event, QoS 1, not retained. It may come twice, with the same event_id.",
            "parameters": {
                "hub": hub, "id": {"description": "The device's id, or the account's where there is no device."},
                "type": {"description": "The event's type with / for its dots."},
            },
            "messages": references,
        },
        "device": device,
        "status": retained(topics.status(), "Retained: online or offline, the last will.", json!({"enum": ["online", "offline"]})),
        "backfill": {
            "address": topics.status().replace("/status", "/backfill/{id}/{type}"),
            "description": "With [mqtt] backfill: an event that somebody asked for again, with the bytes of its first telling.",
            "parameters": {
                "hub": hub, "id": {"description": "The device's id, or the account's where there is no device."},
                "type": {"description": "The event's type with / for its dots."},
            },
            "messages": references,
        },
        "command": {
            "address": topics.command("{verb}"),
            "description": "With [mqtt] commands: adopt, release, lock, unlock, set_lock, codes; with [mqtt] backfill: backfill, with \
                log_id, from and to. Retained ones are passed over.",
            "parameters": {"hub": hub, "verb": {}},
            "messages": {"command": {"payload": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "description": "Done once, however often it comes."},
                    "sent_at": {"type": "string", "format": "date-time"},
                    "reply_to": {"type": "string", "description": "Or MQTT 5's response topic."},
                },
            }}},
        },
        "health": retained(topics.health(), "Retained: versions, parts, backlog, counters.", json!({"type": "object"})),
    });
    let operations: Map<String, Value> = ["event", "backfill", "device", "status", "health"]
        .map(|channel| {
            let operation = json!({
                "action": "send", "channel": {"$ref": format!("#/channels/{channel}")},
                "bindings": {"mqtt": {"qos": 1, "retain": !matches!(channel, "event" | "backfill"), "bindingVersion": "0.2.0"}},
            });
            (format!("publish_{channel}"), operation)
        })
        .into_iter()
        .chain([("take_command".to_owned(), json!({"action": "receive", "channel": {"$ref": "#/channels/command"}}))])
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {"title": "Portcullis over MQTT", "version": env!("CARGO_PKG_VERSION")},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}
