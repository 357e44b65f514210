//! How a command is answered: `{"id":…,"verb":…,"ok":true,"result":…}`, or `"ok":false` with `"error":{"type":…,"message":…}`. What
//! refuses a backfill has `"log":{"log_id":…,"first":…,"last":…}` beside those: what could be asked for.

use serde_json::{Value, json};

use super::super::topics::{Message, Topics, mask_codes};
use super::super::wire::Arrival;
use super::request::{Refusal, Request};
use crate::hub::Reply;

#[derive(Debug)]
pub struct Answer {
    id: Option<String>,
    verb: String,
    reply_to: Option<String>,
    outcome: Result<Value, (&'static str, String, Option<Value>)>,
}

impl Answer {
    pub fn to(request: Request, reply: Reply) -> Answer {
        // The hub knows the command and will not do it.
        Answer {
            outcome: reply.map_err(|error| ("not_allowed", error.to_string(), None)),
            ..Answer::fine(request, Value::Null)
        }
    }

    pub fn fine(request: Request, result: Value) -> Answer {
        let Request { id, verb, reply_to, wish: _ } = request;
        Answer { id: Some(id), verb, reply_to, outcome: Ok(result) }
    }

    pub fn refused(arrival: &Arrival, verb: &str, refusal: Refusal) -> Answer {
        let Refusal { kind, message, id, reply_to, detail } = refusal;
        // A verb that is none may be anything, of any length.
        let verb: String = verb.chars().take(32).collect();
        tracing::debug!(topic_bytes = arrival.topic.len(), "mqtt.command_refused");
        Answer { id, verb, reply_to, outcome: Err((kind, message, detail)) }
    }

    pub fn is_refusal(&self) -> bool {
        self.outcome.is_err()
    }

    pub fn log(&self) {
        match &self.outcome {
            Ok(_) => tracing::info!(verb = self.verb, id = self.id, "mqtt.command"),
            Err((kind, message, _)) => {
                tracing::warn!(verb = self.verb, id = self.id, kind, message, "mqtt.command_refused");
            }
        }
    }

    /// To MQTT 5's response topic, or else to `reply_to`; `None` where nobody asked for an answer, or asked for one where none of
    /// ours may go.
    pub fn message(self, arrival: &Arrival, topics: &Topics, code_digits: bool) -> Option<Message> {
        let topic = arrival.response_topic.clone().or(self.reply_to)?;
        if !topics.may_answer_at(&topic) {
            tracing::warn!(verb = self.verb, "mqtt.command_unanswered: an answer may not go to that topic");
            return None;
        }
        let mut answer = json!({"id": self.id, "verb": self.verb, "ok": self.outcome.is_ok()});
        match self.outcome {
            Ok(mut result) => {
                if !code_digits {
                    mask_codes(&mut result);
                }
                answer["result"] = result;
            }
            Err((kind, message, detail)) => {
                answer["error"] = json!({"type": kind, "message": message});
                if let Some(detail) = detail {
                    answer["error"]["log"] = detail;
                }
            }
        }
        let correlation = arrival.correlation.clone();
        let answer = Message::retained(topic, answer.to_string().into_bytes());
        Some(Message { retain: false, correlation, ..answer })
    }
}
