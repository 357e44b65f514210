//! The narrow place at which the client library is met: an [`Outbox`] that takes publishes, a [`Pump`] that says what happens.
//!
//! Both are for one connection and are thrown away with it: what rumqttc keeps for a next one is not relied on (it drops what
//! a lost session held, and reorders what a kept one held). The log is the only outbox that lasts.

use std::time::Duration;

use super::settings::{Pace, Settings, Version};
use super::tls;
use super::topics::Message;
use crate::tls::TlsError;

mod v4;
mod v5;

/// What a pump reports. `Sent` comes once for each publish, in the order in which they were handed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    Connected {
        /// Publishes that the broker takes at once.
        receive_most: u16,
        /// The largest packet that the broker takes.
        packet_most: Option<usize>,
    },
    /// Whether it was granted.
    Subscribed(bool),
    Arrived(Box<Arrival>),
    Sent(u16),
    Acknowledged(u16, Verdict),
    PingSent,
    PingAnswered,
    Nothing,
}

/// A message that we subscribe to.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
    /// MQTT 5: where an answer is wanted, and what is to come back with it.
    pub response_topic: Option<String>,
    pub correlation: Option<Vec<u8>>,
    receipt: Receipt,
}

/// With which the broker is told that we have it.
#[derive(Clone, Debug, PartialEq)]
enum Receipt {
    V4(rumqttc::Publish),
    V5(rumqttc::v5::mqttbytes::v5::Publish),
}

/// What a broker says of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, whether or not somebody subscribes to it.
    Taken,
    /// Not now, or not by us: rights and quotas change, so the same event is tried again.
    NotNow(&'static str),
    /// This publish will never be taken.
    Never(&'static str),
}

/// Why a connection ended or did not come to be.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the broker refuses the connection ({reason}); {remedy}")]
    Refused { reason: String, remedy: &'static str },
    #[error("the broker refuses the subscription to {0}; allow this user to read it")]
    NotSubscribed(String),
    #[error(
        "what is written to {0} does not come back, and MQTT 3.1.1 cannot say whether the broker drops all we write; allow this user to \
         write and read it, or set mqtt.read_back = false"
    )]
    NotReadBack(String),
    #[error("another client took over our session: is there a second daemon with the same hub.name at this broker?")]
    TakenOver,
    #[error("the broker ended the connection ({0})")]
    Ended(String),
    #[error("{0}")]
    Network(String),
    #[error("what the broker sent cannot be read ({0})")]
    Unreadable(String),
    #[error("no connection within {0:?}")]
    Slow(Duration),
    #[error("no answer to a ping within half a keep-alive")]
    Silent,
    #[error("no acknowledgement within {0:?}")]
    Unacknowledged(Duration),
    #[error("{0}")]
    Stray(#[from] super::line::Stray),
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("mqtt.password_file: {path}: {source}", path = path.display())]
    Password { path: std::path::PathBuf, source: std::io::Error },
}

impl Broken {
    /// The peer closed a connection that was up, without a reason: a broker that dislikes what it was sent looks like this.
    pub fn is_hang_up(&self) -> bool {
        matches!(self, Broken::Ended(_) | Broken::Network(_))
    }

    /// How long was waited for what did not come, until the connection was given up. That is no life of it: with a broker that is too busy
    /// for its hubs each of them would come back at once, again and again.
    pub fn in_vain(&self, pace: &Pace) -> Duration {
        match self {
            Broken::Slow(waited) | Broken::Unacknowledged(waited) => *waited,
            Broken::NotReadBack(_) => pace.ack,
            Broken::Silent => pace.keep_alive,
            _ => Duration::ZERO,
        }
    }
}

/// Who connects, and what the broker keeps of it.
#[derive(Clone, Debug)]
pub struct Role {
    pub client_id: String,
    /// Where `offline` is retained when the connection ends without a good-bye.
    pub will: Option<String>,
    /// How long the broker keeps the session of a client that is away; `None` for one that starts afresh each time. With MQTT
    /// 3.1.1 it is for ever.
    pub kept: Option<Duration>,
    /// Messages that the broker may send before they are acknowledged (MQTT 5).
    pub arrivals_most: u16,
}

impl Role {
    /// One that only tells, and is told nothing that must not be lost.
    pub fn passing(client_id: String) -> Role {
        Role { client_id, will: None, kept: None, arrivals_most: 32 }
    }
}

/// Opens a connection; it comes to be with the first turns of the pump.
pub fn connect(settings: &Settings, role: &Role) -> Result<(Outbox, Pump), Broken> {
    let entry = Entry::new(settings)?;
    // Requests that wait in rumqttc's channel: the window, subscriptions, receipts, a good-bye.
    let channel = usize::from(settings.pace.window) + usize::from(role.arrivals_most) + 8;
    Ok(match settings.version {
        Version::V4 => {
            let (client, mut events) = rumqttc::AsyncClient::new(v4::options(settings, role, &entry), channel);
            events.set_network_options(entry.network);
            (Outbox::V4(client), Pump::V4(Box::new(events)))
        }
        Version::V5 => {
            let (client, events) = rumqttc::v5::AsyncClient::new(v5::options(settings, role, entry), channel);
            (Outbox::V5(client), Pump::V5(Box::new(events)))
        }
    })
}

/// Takes publishes, never waiting. The caller leaves no more of them unacknowledged than its window.
pub enum Outbox {
    V4(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

impl Outbox {
    pub fn publish(&self, message: Message) -> Result<(), Broken> {
        match self {
            Outbox::V4(client) => client
                .try_publish(message.topic, rumqttc::QoS::AtLeastOnce, message.retain, message.payload)
                .map_err(full),
            Outbox::V5(client) => v5::publish(client, message),
        }
    }

    pub fn subscribe(&self, filter: &str) -> Result<(), Broken> {
        match self {
            Outbox::V4(client) => client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).map_err(full),
            Outbox::V5(client) => client.try_subscribe(filter, rumqttc::v5::mqttbytes::QoS::AtLeastOnce).map_err(full),
        }
    }

    /// Subscribes with QoS 0: for what may be lost, and costs a broker no queue.
    pub fn listen(&self, filter: &str) -> Result<(), Broken> {
        match self {
            Outbox::V4(client) => client.try_subscribe(filter, rumqttc::QoS::AtMostOnce).map_err(full),
            Outbox::V5(client) => client.try_subscribe(filter, rumqttc::v5::mqttbytes::QoS::AtMostOnce).map_err(full),
        }
    }

    /// We have it: the broker need not send it again.
    pub fn receive(&self, arrival: &Arrival) -> Result<(), Broken> {
        match (self, &arrival.receipt) {
            (Outbox::V4(client), Receipt::V4(publish)) => client.try_ack(publish).map_err(full),
            (Outbox::V5(client), Receipt::V5(publish)) => client.try_ack(publish).map_err(full),
            // It came over another connection, which is gone: the broker will send it again.
            _ => Ok(()),
        }
    }

    /// Says good-bye, so that the will stays unsaid.
    pub fn disconnect(&self) {
        let _ = match self {
            Outbox::V4(client) => client.try_disconnect().map_err(full),
            Outbox::V5(client) => client.try_disconnect().map_err(full),
        };
    }
}

fn full(error: impl std::fmt::Display) -> Broken {
    Broken::Network(error.to_string())
}

/// Drives the connection.
pub enum Pump {
    V4(Box<rumqttc::EventLoop>),
    V5(Box<rumqttc::v5::EventLoop>),
}

impl Pump {
    /// Dropping its future before it is ready may lose a packet: finish it, or give the pump up.
    pub async fn next(&mut self) -> Result<Happened, Broken> {
        match self {
            Pump::V4(events) => events.poll().await.map(v4::happened).map_err(v4::broken),
            Pump::V5(events) => events.poll().await.map(v5::happened).map_err(v5::broken),
        }
    }
}

/// The will, and what the first publish of a connection replaces.
pub const OFFLINE: &[u8] = b"offline";
pub const ONLINE: &[u8] = b"online";

/// What both versions need for a connection.
struct Entry {
    transport: rumqttc::Transport,
    login: Option<(String, String)>,
    network: rumqttc::NetworkOptions,
}

impl Entry {
    fn new(settings: &Settings) -> Result<Entry, Broken> {
        let transport = match settings.tls {
            true => {
                rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(tls::client_config(settings)?))
            }
            false => rumqttc::Transport::tcp(),
        };
        let password = settings.password().map_err(|(path, source)| Broken::Password { path, source })?;
        let login = settings.username.clone().map(|user| (user, password.unwrap_or_default()));
        let mut network = rumqttc::NetworkOptions::new();
        // Without it Mosquitto's acknowledgements wait for our next publish (p50 10 ms instead of 0.6).
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(settings.pace.connect.as_secs().max(1));
        Ok(Entry { transport, login, network })
    }
}

/// A broker's answers are small; a command may carry a little. rumqttc's own default is 10 kB.
const INCOMING_MOST: u32 = 256 * 1024;

const LOGIN_REMEDY: &str = "check mqtt.username, mqtt.password_file, and that the broker knows this user";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::mqtt::backoff::Backoff;

    #[test]
    fn a_broker_that_is_too_busy_is_asked_less_and_less_often() {
        let pace = Pace::default();
        for (error, waited) in [
            (Broken::Slow(pace.connect), pace.connect),
            (Broken::Unacknowledged(pace.ack), pace.ack + Duration::from_secs(2)),
            (Broken::NotReadBack("t".into()), pace.ack + Duration::from_secs(2)),
            (Broken::Silent, pace.keep_alive + Duration::from_secs(2)),
        ] {
            let mut backoff = Backoff::new(pace.retry_first, pace.retry_most);
            let mut wait = |lived: Duration| backoff.after(lived.saturating_sub(error.in_vain(&pace)), 0);
            let waits: Vec<Duration> = (0..5).map(|_| wait(waited)).collect();
            assert!(waits.windows(2).all(|w| w[1] == w[0] * 2), "{error}: {waits:?}");
            assert_eq!(
                wait(waited + Duration::from_secs(60)),
                pace.retry_first / 2,
                "{error}: it was a good one until then"
            );
        }
    }
}
