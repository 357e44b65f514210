//! A message to oneself and back: whether the broker can be reached, knows us, and lets us write. Under a name of its own, so
//! that the running hub keeps its session, and with no will.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use uuid::Uuid;

use super::settings::Settings;
use super::topics::Message;
use super::wire::{self, Broken, Happened, Role, Verdict};

/// Connecting, subscribing and a message there and back: milliseconds in a house, a second or two around the world.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Given back after so long.
    Back(Duration),
    /// Acknowledged, and that was all: reading is not allowed, or (MQTT 3.1.1 cannot say it) writing.
    TakenOnly,
    NotAllowed(&'static str),
}

pub async fn probe(mut settings: Settings) -> Result<Probe, Broken> {
    settings.pace.connect = CONNECT_WITHIN;
    let mut taken = None;
    let tried = timeout(CONNECT_WITHIN + BACK_WITHIN, there_and_back(&settings, &mut taken));
    match tried.await {
        Ok(probed) => probed,
        Err(_) => taken.map(Ok).unwrap_or(Err(Broken::Slow(CONNECT_WITHIN + BACK_WITHIN))),
    }
}

async fn there_and_back(settings: &Settings, taken: &mut Option<Probe>) -> Result<Probe, Broken> {
    let token = Uuid::new_v4().simple().to_string();
    let role = Role::passing(format!("{}-doctor-{}", settings.client_id, &token[..8]));
    let (outbox, mut pump) = wire::connect(settings, &role)?;
    let topic = settings.topics.probe();
    outbox.subscribe(&topic)?;
    let mut sent = Instant::now();
    loop {
        match pump.next().await? {
            // Whatever it says of the subscription: whether we may write is the question.
            Happened::Subscribed(_) => {
                sent = Instant::now();
                let payload = token.clone().into_bytes();
                outbox.publish(Message { retain: false, ..Message::retained(topic.clone(), payload) })?;
            }
            Happened::Acknowledged(_, Verdict::Taken) => *taken = Some(Probe::TakenOnly),
            Happened::Acknowledged(_, Verdict::NotNow(reason) | Verdict::Never(reason)) => {
                return Ok(Probe::NotAllowed(reason));
            }
            Happened::Arrived(arrival) if arrival.payload == token.as_bytes() => {
                return Ok(Probe::Back(sent.elapsed()));
            }
            _ => {}
        }
    }
}
