//! Why a device is judged to be here or gone, in words: for `portcullis devices --explain` and the console.

use serde_json::Value;

/// Of an `Explanation` of the hub's judge; nothing of what is not judged by silence.
pub fn presence_in_words(presence: &Value) -> Vec<String> {
    let number = |v: &Value| v.as_f64().unwrap_or_default();
    let Some(ears) = presence["adapters"].as_array() else { return Vec::new() };
    let is = if presence["present"] == true { "It is here" } else { "It is judged to be gone" };
    let sends = match &presence["interval_s"] {
        _ if presence["irregular"] == true => {
            "It speaks only when something happens, so its silence says nothing.".to_owned()
        }
        Value::Null => "How often it sends is not known yet.".to_owned(),
        interval if presence["declared"] == true => {
            format!("It is declared to send every {:.1} s.", number(interval))
        }
        interval => format!("It sends every {:.1} s.", number(interval)),
    };
    let heard = format!("{is}; it was last heard {:.1} s ago. {sends}", number(&presence["heard_ago_s"]));
    let on = ears.iter().map(|ear| {
        let [loss, silent, deaf, deadline] = ["loss", "silent_s", "deaf_s", "deadline_s"].map(|key| number(&ear[key]));
        format!(
            "On {}: {:.0} % of its adverts are lost. Silent for {silent:.1} s, not counting the {deaf:.1} s in which the \
             adapter was deaf. Silence of {deadline:.0} s, {} adverts in a row, would mean that it is gone{}.",
            ear["adapter"].as_str().unwrap_or("?"),
            loss * 100.0,
            ear["misses"],
            if ear["judges"] == true { "" } else { "; but this adapter does not judge it now" },
        )
    });
    [heard].into_iter().chain(on).collect()
}
