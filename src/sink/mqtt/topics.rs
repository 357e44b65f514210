//! What goes where: topics and payloads. Levels only of `[A-Za-z0-9_-]`: they must survive every broker's mapping.

use serde_json::Value;
use uuid::Uuid;

use super::home_assistant;
use crate::event::MASK;
use crate::store::Stored;

/// One publish, QoS 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
    /// User properties; MQTT 5 only.
    pub properties: Vec<(String, String)>,
    /// What an answer gives back to whom it answers; MQTT 5 only.
    pub correlation: Option<Vec<u8>>,
}

impl Message {
    pub fn retained(topic: String, payload: Vec<u8>) -> Message {
        Message { topic, payload, retain: true, properties: Vec::new(), correlation: None }
    }

    /// Its size on the wire with MQTT 5; with 3.1.1, which has no properties, a little more than that.
    pub fn packet_size(&self) -> usize {
        // Each user property: its identifier, and a length before each of the two strings.
        let user: usize = self.properties.iter().map(|(k, v)| 1 + 2 + k.len() + 2 + v.len()).sum();
        let properties = user + self.correlation.as_ref().map_or(0, |data| 1 + 2 + data.len());
        let (topic_length, packet_id) = (2, 2);
        let rest = topic_length + self.topic.len() + packet_id + varint(properties) + properties + self.payload.len();
        1 + varint(rest) + rest
    }
}

/// Bytes of MQTT's variable byte integer.
fn varint(n: usize) -> usize {
    match n {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

pub fn is_level(level: &str) -> bool {
    !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The topics of one hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    root: String,
}

impl Topics {
    pub fn new(prefix: &str, hub: &str) -> Topics {
        Topics { root: format!("{prefix}/{hub}") }
    }

    /// `online` or `offline`, retained; the last will.
    pub fn status(&self) -> String {
        format!("{}/status", self.root)
    }

    /// Where `doctor` talks to itself.
    pub fn probe(&self) -> String {
        format!("{}/doctor", self.root)
    }

    pub fn health(&self) -> String {
        format!("{}/health", self.root)
    }

    /// `…/command/{verb}`, where verbs are `+`.
    pub fn commands(&self) -> String {
        format!("{}/command/+", self.root)
    }

    pub fn command(&self, verb: &str) -> String {
        format!("{}/command/{verb}", self.root)
    }

    /// The verb of a command's topic.
    pub fn verb<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(&self.root)?.strip_prefix("/command/")
    }

    /// Whether an answer may go there: a topic to publish to, and none at which this hub itself is heard. What we say must not be
    /// said in our name by somebody who may only command.
    pub fn may_answer_at(&self, topic: &str) -> bool {
        let ours = topic.strip_prefix(&self.root).and_then(|rest| rest.strip_prefix('/'));
        let free = ours.is_none_or(|rest| rest.starts_with("reply/"));
        let sound = !topic.is_empty() && topic.len() <= ANSWER_TOPIC_MOST && !topic.contains(['+', '#', '\0']);
        sound && free && !topic.starts_with('$') && !topic.starts_with(home_assistant::PREFIX)
    }

    /// Where alone commands come while only events may be asked for again.
    pub fn backfill_command(&self) -> String {
        self.command("backfill")
    }

    /// Everything that is told again.
    pub fn backfills(&self) -> String {
        format!("{}/backfill/#", self.root)
    }

    /// All events of a device.
    pub fn events_of(&self, device_id: &str) -> String {
        format!("{}/event/{device_id}/#", self.root)
    }

    /// This hub as one word of `[A-Za-z0-9_-]`, for names that others must keep apart.
    pub fn word(&self) -> String {
        self.root.replace('/', "_")
    }

    pub fn device(&self, device_id: &str) -> String {
        format!("{}/device/{device_id}", self.root)
    }

    /// `…/event/{device_id or account_id}/{type with / for .}`
    pub fn event(&self, event: &Stored) -> String {
        let id = event.device_id.unwrap_or(event.account_id);
        format!("{}/event/{id}/{}", self.root, event.event_type.as_str().replace('.', "/"))
    }

    /// An event as it is published: the frozen bytes, with its place in the log added at their end.
    pub fn event_message(&self, event: &Stored, log_id: Uuid, code_digits: bool) -> Message {
        let body = if code_digits { event.body.clone() } else { mask(&event.body) };
        let open = body.strip_suffix('}').unwrap_or(&body);
        let payload = format!("{open},\"seq\":{},\"log_id\":\"{log_id}\"}}", event.seq);
        let properties = vec![
            ("event_id".to_owned(), event.event_id.to_string()),
            ("event_type".to_owned(), event.event_type.as_str().to_owned()),
            ("seq".to_owned(), event.seq.to_string()),
        ];
        Message {
            topic: self.event(event),
            payload: payload.into_bytes(),
            retain: false,
            properties,
            correlation: None,
        }
    }

    /// The same bytes on their second telling, where nobody takes them for news: the event's levels under `backfill`.
    pub fn backfill_message(&self, event: &Stored, log_id: Uuid, code_digits: bool) -> Message {
        let message = self.event_message(event, log_id, code_digits);
        let told =
            message.topic.strip_prefix(&self.root).and_then(|rest| rest.strip_prefix("/event/")).unwrap_or_default();
        Message { topic: format!("{}/backfill/{told}", self.root), ..message }
    }

    /// A device as it is now, or the removal of one that is no more.
    pub fn device_message(&self, device_id: &str, row: Option<&Value>) -> Message {
        let payload = row.map_or_else(Vec::new, |row| device(row).to_string().into_bytes());
        Message::retained(self.device(device_id), payload)
    }
}

/// Longer ones than any that is made on purpose.
const ANSWER_TOPIC_MOST: usize = 256;

/// The body with the digits of a code masked; untouched where it has none.
pub(in crate::sink) fn mask(body: &str) -> String {
    if !body.contains("\"code\"") {
        return body.to_owned();
    }
    match serde_json::from_str::<Value>(body) {
        Ok(mut value) => {
            mask_codes(&mut value);
            value.to_string()
        }
        // Never in the clear, whatever it is.
        Err(_) => "{}".to_owned(),
    }
}

/// Masks every `code` at any depth: `access_code.code_changed` has them in `from` and `to`, `access_code.changed` as the `from`
/// and `to` of a property of that name.
pub(super) fn mask_codes(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let is_code = object.get("property").is_some_and(|property| property == "code");
            for (key, value) in object {
                match (key.as_str(), &value) {
                    (_, Value::Null) => {}
                    ("code", _) => *value = MASK.into(),
                    ("from" | "to", _) if is_code => *value = MASK.into(),
                    _ => mask_codes(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask_codes),
        _ => {}
    }
}

/// What of a device's row the world is shown: its view, without the hub's own memory beside it (see `hub::DeviceView`).
pub(super) fn device(row: &Value) -> Value {
    let mut shown = row.clone();
    if let Some(object) = shown.as_object_mut() {
        object.remove("state");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::time::Wall;

    fn stored(body: &str) -> Stored {
        Stored {
            seq: 7,
            event_id: Uuid::from_u128(1),
            event_type: EventType::AccessCodeUnmanagedCreated,
            account_id: Uuid::from_u128(2),
            device_id: Some(Uuid::from_u128(3)),
            created_at: Wall(0),
            body: body.to_owned(),
        }
    }

    #[test]
    fn an_event_is_the_frozen_bytes_with_its_place_in_the_log() {
        let topics = Topics::new("portcullis", "hub-1");
        let message = topics.event_message(&stored(r#"{"a":1}"#), Uuid::nil(), true);
        assert_eq!(
            String::from_utf8(message.payload).unwrap(),
            r#"{"a":1,"seq":7,"log_id":"00000000-0000-0000-0000-000000000000"}"#
        );
        assert_eq!(
            message.topic,
            "portcullis/hub-1/event/00000000-0000-0000-0000-000000000003/access_code/unmanaged/created"
        );
        assert!(!message.retain);
    }

    #[test]
    fn a_second_telling_has_the_bytes_of_the_first_under_another_topic() {
        let topics = Topics::new("portcullis", "hub-1");
        let (event, log) = (stored(r#"{"a":1}"#), Uuid::nil());
        let (first, second) = (topics.event_message(&event, log, true), topics.backfill_message(&event, log, true));
        assert_eq!(second.topic, first.topic.replace("hub-1/event/", "hub-1/backfill/"));
        assert_eq!(Message { topic: first.topic.clone(), ..second }, first);
    }

    #[test]
    fn every_event_type_makes_topic_levels_that_any_broker_keeps() {
        for event_type in EventType::ALL {
            let topic = Topics::new("portcullis", "hub-1").event(&Stored { event_type: *event_type, ..stored("{}") });
            assert!(topic.split('/').all(is_level), "{topic}");
        }
    }

    #[test]
    fn masked_digits_are_in_no_part_of_the_message() {
        let topics = Topics::new("portcullis", "hub-1");
        for body in [
            r#"{"code":"4711","method":"keycode"}"#,
            r#"{"from":{"code":null},"to":{"code":"4711"},"method":"keycode"}"#,
            r#"{"changed_properties":[{"property":"code","from":"4711","to":"47110"}],"method":"keycode"}"#,
        ] {
            let message = topics.event_message(&stored(body), Uuid::nil(), false);
            let text = String::from_utf8(message.payload).unwrap();
            assert!(!text.contains("4711"), "{text}");
            assert!(text.contains("****") && text.contains("keycode"), "{text}");
        }
    }

    #[test]
    fn a_devices_book_keeping_is_nobodys_business() {
        let row = serde_json::json!({"device_id": "x", "online": true, "state": {"counter": 4}});
        let message = Topics::new("p", "h").device_message("x", Some(&row));
        let shown: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(shown, serde_json::json!({"device_id": "x", "online": true}));
    }

    #[test]
    fn the_size_is_what_the_packet_takes_on_the_wire() {
        use rumqttc::v5::mqttbytes::QoS;
        use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
        for length in [0, 100, 128, 16_384, 3_000_000] {
            let body = format!("{{\"a\":\"{}\"}}", "x".repeat(length));
            let message = Topics::new("p", "h").event_message(&stored(&body), Uuid::nil(), true);
            let properties =
                PublishProperties { user_properties: message.properties.clone(), ..PublishProperties::default() };
            let mut packet = Publish::new(&message.topic, QoS::AtLeastOnce, message.payload.clone(), Some(properties));
            packet.pkid = 1;
            let mut bytes = bytes::BytesMut::new();
            packet.write(&mut bytes).unwrap();
            assert_eq!(bytes.len(), message.packet_size(), "{length}");
        }
    }
}
