//! The broker: reached as the hub would, with a message to itself and back.

use super::Finding;
use crate::config::Config;
use crate::sink::mqtt::{Probe, Settings, probe};

pub async fn round_trip(config: &Config) -> Finding {
    let part = "mqtt";
    let settings = match Settings::new(config) {
        Ok(settings) => settings,
        Err(error) => return Finding::wrong(part, error.to_string(), "mend [mqtt]"),
    };
    let broker = settings.broker();
    let topic = settings.topics.probe();
    match probe(settings).await {
        Ok(Probe::Back(took)) => {
            Finding::fine(part, format!("{broker} took a message and gave it back in {} ms", took.as_millis()))
        }
        Ok(Probe::TakenOnly) => Finding::note(
            part,
            format!("{broker} acknowledged a message, but did not give it back"),
            format!(
                "the hub need not read there; if events do not arrive either, let its user write to {topic} (the broker's ACL)"
            ),
        ),
        Ok(Probe::NotAllowed(what)) => Finding::wrong(
            part,
            format!("{broker} refuses a message ({what})"),
            format!("let the hub's user write to {topic} (the broker's ACL)"),
        ),
        Err(error) => {
            let fix = format!(
                "see that a broker listens on {broker} (apt install mosquitto), and that mqtt.url, version, username and files are right"
            );
            Finding::wrong(part, format!("{broker}: {error}"), fix)
        }
    }
}
