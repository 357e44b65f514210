//! A message to oneself and back: whether the broker can be reached, knows us, and lets us write. Under a name of its own, so
//! that the running hub keeps its session, and with no will.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use uuid::Uuid;

use super::settings::{Settings, Version};
use super::wire::{Broken, Entry};

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

pub async fn probe(settings: Settings) -> Result<Probe, Broken> {
    let mut taken = None;
    let tried = timeout(CONNECT_WITHIN + BACK_WITHIN, async {
        match settings.version {
            Version::V5 => v5(&settings, &mut taken).await,
            Version::V4 => v4(&settings, &mut taken).await,
        }
    });
    match tried.await {
        Ok(probed) => probed,
        Err(_) => taken.map(Ok).unwrap_or(Err(Broken::Slow(CONNECT_WITHIN + BACK_WITHIN))),
    }
}

fn client_id(settings: &Settings) -> String {
    format!("{}-doctor-{}", settings.client_id, &Uuid::new_v4().simple().to_string()[..8])
}

async fn v5(settings: &Settings, taken: &mut Option<Probe>) -> Result<Probe, Broken> {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::PubAckReason;
    use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};

    let entry = Entry::new(settings)?;
    let mut options = MqttOptions::new(client_id(settings), &settings.host, settings.port);
    options.set_transport(entry.transport).set_network_options(entry.network).set_clean_start(true);
    options.set_connection_timeout(CONNECT_WITHIN.as_secs()).set_outgoing_inflight_upper_limit(8);
    if let Some((user, password)) = entry.login {
        options.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::new(options, 8);
    let (topic, token) = (settings.topics.probe(), Uuid::new_v4().to_string());
    let network = |e: rumqttc::v5::ClientError| Broken::Network(e.to_string());
    client.try_subscribe(&topic, QoS::AtLeastOnce).map_err(network)?;
    let mut sent = Instant::now();
    loop {
        match events.poll().await.map_err(super::wire::broken_v5)? {
            // Whatever it says of the subscription: whether we may write is the question.
            Event::Incoming(Incoming::SubAck(_)) => {
                sent = Instant::now();
                client.try_publish(&topic, QoS::AtLeastOnce, false, token.clone()).map_err(network)?;
            }
            Event::Incoming(Incoming::PubAck(ack)) => match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => *taken = Some(Probe::TakenOnly),
                PubAckReason::NotAuthorized => return Ok(Probe::NotAllowed("not authorized")),
                _ => return Ok(Probe::NotAllowed("see the broker's log")),
            },
            Event::Incoming(Incoming::Publish(p)) if p.payload == token.as_bytes() => {
                return Ok(Probe::Back(sent.elapsed()));
            }
            _ => {}
        }
    }
}

async fn v4(settings: &Settings, taken: &mut Option<Probe>) -> Result<Probe, Broken> {
    use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};

    let entry = Entry::new(settings)?;
    let mut options = MqttOptions::new(client_id(settings), &settings.host, settings.port);
    options.set_transport(entry.transport).set_clean_session(true);
    if let Some((user, password)) = entry.login {
        options.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::new(options, 8);
    events.set_network_options(entry.network);
    let (topic, token) = (settings.topics.probe(), Uuid::new_v4().to_string());
    let network = |e: rumqttc::ClientError| Broken::Network(e.to_string());
    client.try_subscribe(&topic, QoS::AtLeastOnce).map_err(network)?;
    let mut sent = Instant::now();
    loop {
        match events.poll().await.map_err(super::wire::broken_v4)? {
            Event::Incoming(Incoming::SubAck(_)) => {
                sent = Instant::now();
                client.try_publish(&topic, QoS::AtLeastOnce, false, token.clone()).map_err(network)?;
            }
            Event::Incoming(Incoming::PubAck(_)) => *taken = Some(Probe::TakenOnly),
            Event::Incoming(Incoming::Publish(p)) if p.payload == token.as_bytes() => {
                return Ok(Probe::Back(sent.elapsed()));
            }
            _ => {}
        }
    }
}
