//! The way to a Z-Wave JS server: plain or TLS, with a name and a password where somebody in front of it asks for them (the server
//! itself offers neither). No error of this file shows the password, or the path of the url, which may hold a token.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::config::ZwaveSection;
use crate::tls::{self, TlsError};

/// A dump of a network with 232 nodes is 10 to 20 MB; four times that is no honest message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// TCP, or TLS on it.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

pub type Socket = WebSocketStream<Box<dyn Wire>>;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the server refuses us (HTTP {0}); check the username and the password of this network")]
    Refused(u16),
    #[error("cannot connect: {0}; is zwave-js-server running, and is the url of this network right?")]
    Io(#[from] std::io::Error),
    #[error("it is no Z-Wave JS server: {0}")]
    WebSocket(Box<tungstenite::Error>),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("zwave.password_file: {}: {source}", path.display())]
    Password { path: PathBuf, source: std::io::Error },
    #[error("the url or the username of this network cannot be sent")]
    Malformed,
}

/// Connects, with the files read afresh: passwords and certificates are renewed while we run.
pub async fn connect(server: &ZwaveSection) -> Result<Socket, ConnectError> {
    let uri: Uri = server.url.parse().map_err(|_| ConnectError::Malformed)?;
    let secure = uri.scheme_str() == Some("wss");
    let host = uri.host().ok_or(ConnectError::Malformed)?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut request = uri.into_client_request().map_err(|_| ConnectError::Malformed)?;
    if let Some(credentials) = credentials(server)? {
        let mut value = HeaderValue::from_str(&credentials).map_err(|_| ConnectError::Malformed)?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Wire> = if secure {
        let config = tls::client("zwave.ca_file", server.ca_file.as_deref())?.with_no_client_auth();
        let name = ServerName::try_from(host).map_err(|_| ConnectError::Malformed)?;
        Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    } else {
        Box::new(stream)
    };
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) if matches!(answer.status().as_u16(), 401 | 403) => {
            Err(ConnectError::Refused(answer.status().as_u16()))
        }
        Err(error) => Err(ConnectError::WebSocket(Box::new(error))),
    }
}

/// As HTTP's basic authentication wants them (RFC 7617).
fn credentials(server: &ZwaveSection) -> Result<Option<String>, ConnectError> {
    let Some(username) = &server.username else { return Ok(None) };
    let password = match (&server.password, &server.password_file) {
        (Some(password), _) => password.reveal().to_owned(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|source| ConnectError::Password { path: path.clone(), source })?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        (None, None) => String::new(),
    };
    Ok(Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))))
}
