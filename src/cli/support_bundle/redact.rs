//! What is left out of a configuration, and how text is cleared of what is known to be secret.

use serde_json::{Map, Value};

pub const LEFT_OUT: &str = "(left out)";

/// Keys of the configuration whose values tell nothing that is to be kept. All others are left out, unknown ones too.
const SHOWN: &[&str] = &[
    "state_dir",
    "name",
    "workspace_id",
    "time_zone",
    "heartbeat_every_s",
    "ble",
    "zwave",
    "codes",
    "slots",
    "confirmation",
    "backup_codes",
    "enabled",
    "adapters",
    "shared",
    "battery_poll_hours",
    "password_file",
    "ca_file",
    "version",
    "client_cert_file",
    "client_key_file",
    "prefix",
    "code_digits",
    "commands",
    "home_assistant",
    "listen",
    "tls_cert_file",
    "tls_key_file",
    "allowed_hosts",
    "requests_per_second",
    "private_addresses",
    "dialect",
    "retention_days",
    "low_battery",
    "battery_critical",
    "battery_low",
    "battery_full",
    "flaky_losses",
    "flaky_window_s",
    "address",
    "id",
    "node",
    "model",
    "interval_s",
    "gatt_battery",
    "accessory_of",
    "bindkey_file",
    "from",
    "to",
    "invert",
    "factor",
    "heartbeat_url_file",
    "hub",
    "adopt",
    "mqtt",
    "http",
    "webhooks",
    "events",
    "judgement",
    "devices",
    "map",
    "url",
    "other_nodes",
    "backfill",
    "read_back",
    "schedules",
];

/// Of a configuration as it is written. Comments are not in it to begin with.
pub fn config(value: Value) -> Value {
    match value {
        Value::Object(table) => Value::Object(table.into_iter().map(|(key, value)| entry(key, value)).collect()),
        Value::Array(items) => items.into_iter().map(config).collect(),
        value => value,
    }
}

fn entry(key: String, value: Value) -> (String, Value) {
    let shown = match (key.as_str(), value) {
        // Where a server is; what follows may be a token.
        ("url", Value::String(url)) => Value::String(without_path(&url)),
        (known, value) if SHOWN.contains(&known) => config(value),
        _ => LEFT_OUT.into(),
    };
    (key, shown)
}

/// `wss://host:3000/token` → `wss://host:3000`; nothing of what stands before an `@`.
pub fn without_path(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return LEFT_OUT.into() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// Replaces what is known in what is not.
#[derive(Default)]
pub struct Scrubber {
    /// Anywhere, also within something else.
    secrets: Vec<String>,
    /// As a word of its own, with what comes in its place.
    words: Vec<(String, String)>,
}

/// What is shorter is in everything.
const SECRET_LEAST: usize = 4;
const WORD_LEAST: usize = 3;

impl Scrubber {
    pub fn secret(&mut self, secret: &str) {
        if secret.len() >= SECRET_LEAST {
            self.secrets.push(secret.to_owned());
        }
    }

    pub fn word(&mut self, word: &str, instead: &str) {
        if word.chars().count() >= WORD_LEAST {
            self.words.push((word.to_owned(), instead.to_owned()));
        }
    }

    pub fn text(&self, text: &str) -> String {
        let text = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, LEFT_OUT));
        self.words.iter().fold(text, |text, (word, instead)| replace_word(&text, word, instead))
    }

    /// Names of fields are ours, but for those of maps.
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(table) => {
                let entry = |(key, value): (String, Value)| (self.text(&key), self.json(value));
                Value::Object(table.into_iter().map(entry).collect::<Map<_, _>>())
            }
            value => value,
        }
    }
}

fn replace_word(text: &str, word: &str, instead: &str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = &from[word.len()..];
        done += before;
        let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let whole = !joined(done.chars().next_back()) && !joined(after.chars().next());
        done += if whole { instead } else { word };
        rest = after;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_said_is_harmless_is_left_out() {
        let written = json!({
            "hub": {"name": "h", "heartbeat_url": "https://hc.example/secret"},
            "zwave": [{"name": "main", "url": "wss://user:word@h:1/token?x", "username": "u"}],
            "devices": [{"address": "C0:FF:EE:00:00:01", "bindkey": "231d", "bindkeey": "231d", "pin": 1234}],
            "tokens": {"address": "x"},
        });
        let shown = config(written);
        assert_eq!(shown["zwave"][0], json!({"name": "main", "url": "wss://h:1", "username": LEFT_OUT}));
        assert_eq!(
            shown["devices"][0],
            json!({"address": "C0:FF:EE:00:00:01", "bindkey": LEFT_OUT, "bindkeey": LEFT_OUT, "pin": LEFT_OUT})
        );
        assert_eq!((&shown["hub"]["heartbeat_url"], &shown["tokens"]), (&json!(LEFT_OUT), &json!(LEFT_OUT)));
    }

    #[test]
    fn every_key_of_the_configuration_was_thought_of() {
        let secret = ["username", "heartbeat_url", "bindkey"];
        let example = include_str!("../../../config.toml.example");
        let keys = example.lines().filter_map(|l| l.trim_start_matches('#').split_once(" = ")).map(|(key, _)| key);
        for key in keys.filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            assert!(SHOWN.contains(&key) != secret.contains(&key), "{key}");
        }
    }

    #[test]
    fn a_word_is_replaced_and_what_only_holds_it_is_not() {
        let mut scrubber = Scrubber::default();
        scrubber.word("1234", "(digits)");
        scrubber.word("Anna", "name-1");
        scrubber.secret("quite-secret");
        assert_eq!(scrubber.text("1234,12345 at Anna's; xquite-secrety"), "(digits),12345 at name-1's; x(left out)y");
        assert_eq!(scrubber.json(json!({"Anna": ["1234"]})), json!({"name-1": ["(digits)"]}));
    }
}
