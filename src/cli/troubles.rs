//! Why a Bluetooth device of ours is heard and not understood, in plain words and with the way to mend it: for `devices` and `doctor`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::source::ble::decode::Reject;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The word of `health`: `wrong_key`, `no_key`, `replay` …
    pub code: &'static str,
    pub what: &'static str,
    pub fix: &'static str,
}

impl Trouble {
    fn of(reject: Reject) -> Trouble {
        let (what, fix) = match reject {
            Reject::NoKey => (
                "its adverts are encrypted, and no bind key is configured for it",
                "give its [[devices]] table a bindkey_file or bindkey: the 32 hex digits that its maker's app shows or keeps",
            ),
            Reject::WrongKey => (
                "the bind key that is configured does not open its adverts",
                "fetch the key anew: a device that was reset or paired again has another one",
            ),
            Reject::Replay | Reject::CounterReused => (
                "its adverts count below what it had counted to: it lost its power, or somebody plays recorded ones",
                "nothing after a battery change: five adverts that count up are believed again; if it lasts, look for a \
                 second sender",
            ),
            Reject::PlaintextWhileKeySet => (
                "it has a bind key, and its adverts come in the clear: anybody could have sent them",
                "turn its encryption on again; or, if it has none, take the bind key out of the configuration",
            ),
            Reject::UnknownModel => (
                "its adverts do not say what model it is, and it has not been heard to say so elsewhere",
                "scan actively, so that it is asked; or give its [[devices]] table a model",
            ),
            _ => (
                "its adverts are damaged, or of a kind that is not known here",
                "portcullis record keeps what it sends; a capture is what a report needs",
            ),
        };
        Trouble { code: reject.as_str(), what, fix }
    }
}

/// By device key (`ble:C0:FF:EE:00:00:01`), from what `/health` answers.
pub fn of_health(health: &Value) -> BTreeMap<String, Trouble> {
    let problems = health["counters"]["ble"]["problems"].as_object();
    let trouble = |(address, word): (&String, &Value)| {
        let reject = Reject::ALL.into_iter().find(|reject| *word == reject.as_str())?;
        Some((format!("ble:{address}"), Trouble::of(reject)))
    };
    problems.into_iter().flatten().filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_wrong_and_stale_are_told_apart_and_each_has_its_fix() {
        let problems = json!({"C0:FF:EE:00:00:01": "no_key", "C0:FF:EE:00:00:02": "wrong_key", "C0:FF:EE:00:00:03": "replay",
            "C0:FF:EE:00:00:04": "a word of tomorrow"});
        let troubles = of_health(&json!({"counters": {"ble": {"problems": problems}}}));
        let told: Vec<(&str, &str)> = troubles.iter().map(|(key, trouble)| (key.as_str(), trouble.what)).collect();
        let says = |n: usize, word: &str| told[n].0.ends_with(char::from(b'1' + n as u8)) && told[n].1.contains(word);
        assert!(
            told.len() == 3 && says(0, "no bind key") && says(1, "does not open") && says(2, "count below"),
            "{told:?}"
        );
        assert!(of_health(&Value::Null).is_empty());
    }
}
