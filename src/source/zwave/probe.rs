//! What is behind an address: a Z-Wave JS server says what it is before anything is asked of it.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::bridge::SCHEMAS;
use super::socket::{self, ConnectError};
use super::wire::Message;
use crate::config::ZwaveSection;

/// On this machine or in this house everything answers at once; what takes longer is not there.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A server that a hub can work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub home: u32,
    /// Its version, as it says.
    pub server: String,
    /// The schema that both will speak.
    pub schema: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("has not answered within {} s; is the address right, and does a firewall let it through?", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("answers, but is no Z-Wave JS server; name the address and port of zwave-js-server (usually 3000)")]
    Stranger,
    #[error("server {server} speaks schemas {low} to {high}, the hub {} to {}; update {}", SCHEMAS.start(), SCHEMAS.end(),
        if high < SCHEMAS.start() { "the server" } else { "Portcullis" })]
    Incompatible { server: String, low: u32, high: u32 },
    #[error(
        "server {server} is there, but its driver has no stick; plug it in, and see that nothing else has its port open"
    )]
    NoStick { server: String },
}

impl ProbeError {
    /// What programs tell it by.
    pub fn kind(&self) -> &'static str {
        match self {
            ProbeError::Connect(ConnectError::Refused(_)) => "authentication_failed",
            ProbeError::Connect(ConnectError::WebSocket(_)) | ProbeError::Stranger => "not_a_zwave_js_server",
            ProbeError::Connect(_) | ProbeError::Silent => "unreachable",
            ProbeError::Incompatible { .. } => "incompatible_server",
            ProbeError::NoStick { .. } => "no_zwave_stick",
        }
    }
}

/// Connects, hears the greeting and hangs up. Changes nothing.
pub async fn probe(server: &ZwaveSection) -> Result<Found, ProbeError> {
    let greeting = timeout(ANSWER_WITHIN, async {
        let mut socket = socket::connect(server).await?;
        let greeting = socket.next().await.and_then(Result::ok).map(|message| message.into_data());
        // Whoever is there hears that we go; what it answers is nobody's business.
        let _ = socket.close(None).await;
        Ok::<_, ConnectError>(greeting)
    });
    let greeting = greeting.await.map_err(|_| ProbeError::Silent)??;
    let said = greeting.and_then(|bytes| serde_json::from_slice::<Message>(&bytes).ok());
    let Some(Message::Version(version)) = said.filter(|m| matches!(m, Message::Version(v) if v.max_schema_version > 0))
    else {
        return Err(ProbeError::Stranger);
    };
    let server = version.server_version.unwrap_or_else(|| "?".to_owned());
    let (low, high) = (version.min_schema_version, version.max_schema_version);
    if high < *SCHEMAS.start() || low > *SCHEMAS.end() {
        return Err(ProbeError::Incompatible { server, low, high });
    }
    match version.home_id {
        Some(home) => Ok(Found { home, server, schema: high.min(*SCHEMAS.end()) }),
        None => Err(ProbeError::NoStick { server }),
    }
}
