//! The narrow place at which the client library is met: an [`Outbox`] that takes publishes, a [`Pump`] that says what happens.
//!
//! Both are for one connection and are thrown away with it: what rumqttc keeps for a next one is not relied on (it drops what
//! a lost session held, and reorders what a kept one held). The log is the only outbox that lasts.

use std::future::Future;

use super::settings::Settings;
use super::tls::{self, TlsError};
use super::topics::Message;

mod v4;
mod v5;

pub use v4::V4;
pub(super) use v4::broken as broken_v4;
pub use v5::V5;
pub(super) use v5::broken as broken_v5;

/// What a pump reports. `Sent` comes once for each publish, in the order in which they were handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    Connected {
        /// Publishes that the broker takes at once.
        receive_most: u16,
        /// The largest packet that the broker takes.
        packet_most: Option<usize>,
    },
    Sent(u16),
    Acknowledged(u16, Verdict),
    PingSent,
    PingAnswered,
    Nothing,
}

/// What a broker says of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    /// Taken, and nobody subscribes to it.
    NobodyListens,
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
    #[error("another client took over our session: is there a second daemon with the same hub.name at this broker?")]
    TakenOver,
    #[error("the broker ended the connection ({0})")]
    Ended(String),
    #[error("{0}")]
    Network(String),
    #[error("no connection within {0:?}")]
    Slow(std::time::Duration),
    #[error("no answer to a ping within half a keep-alive")]
    Silent,
    #[error("no acknowledgement within {0:?}")]
    Unacknowledged(std::time::Duration),
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
}

/// Takes publishes, never waiting. The caller leaves no more of them unacknowledged than its window.
pub trait Outbox {
    fn publish(&self, message: Message) -> Result<(), Broken>;
    /// Says good-bye, so that the will stays unsaid.
    fn disconnect(&self);
}

/// Drives the connection. Dropping a future of [`Pump::next`] before it is ready may lose a packet: finish it, or give the pump up.
pub trait Pump {
    fn next(&mut self) -> impl Future<Output = Result<Happened, Broken>> + Send;
}

/// The will, and what the first publish of a connection replaces.
pub const OFFLINE: &[u8] = b"offline";
pub const ONLINE: &[u8] = b"online";

/// What both versions need for a connection.
pub(super) struct Entry {
    pub(super) transport: rumqttc::Transport,
    pub(super) login: Option<(String, String)>,
    pub(super) network: rumqttc::NetworkOptions,
}

impl Entry {
    pub(super) fn new(settings: &Settings) -> Result<Entry, Broken> {
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

/// Requests that wait in rumqttc's channel: the window, and a good-bye.
fn channel(settings: &Settings) -> usize {
    usize::from(settings.pace.window) + 8
}

/// Our publishes are small, a broker's answers smaller; a command may carry a little. rumqttc's own default is 10 kB.
const INCOMING_MOST: u32 = 256 * 1024;

const LOGIN_REMEDY: &str = "check mqtt.username, mqtt.password_file, and that the broker knows this user";
