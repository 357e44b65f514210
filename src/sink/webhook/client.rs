//! One request to an endpoint that nobody vouches for: every step has an end, no redirect is followed, nothing of the answer is kept.
//!
//! The name is looked up here, the addresses are checked, and one of those that passed is connected to: a name that changes its
//! address between check and use (DNS rebinding) gains nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::is_public;

/// Why a try failed. Nothing of what the endpoint said is in it but the status.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("its name is not found: {0}")]
    Lookup(std::io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("its address {0} is a private one, and [webhooks] private_addresses is off")]
    Private(std::net::IpAddr),
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("no TLS: {0}")]
    Tls(std::io::Error),
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answers {0}, a redirect, and those are not followed")]
    Redirect(StatusCode),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl PostError {
    /// The endpoint asks to be told nothing any more (Standard Webhooks: 410).
    pub fn is_gone(&self) -> bool {
        matches!(self, PostError::Status(StatusCode::GONE))
    }
}

#[derive(Clone)]
pub struct Client {
    tls: Arc<ClientConfig>,
    private_addresses: bool,
    within: Duration,
}

/// What is posted.
pub struct Post {
    pub url: Uri,
    pub headers: [(&'static str, String); 3],
    pub body: String,
}

impl Client {
    pub fn new(ca_file: Option<&Path>, private_addresses: bool, within: Duration) -> Result<Client, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = ca_file {
            let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))? {
                roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client { tls: Arc::new(tls), private_addresses, within })
    }

    /// `Ok` for a 2xx within the time.
    pub async fn post(&self, post: Post) -> Result<(), PostError> {
        let Post { url, headers, body } = post;
        let mut request = Request::post(&url).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        self.tell(url, request, body).await
    }

    /// The same without a word: that it was asked is all there is to say.
    pub async fn get(&self, url: Uri) -> Result<(), PostError> {
        self.tell(url.clone(), Request::get(url), String::new()).await
    }

    async fn tell(&self, url: Uri, request: Builder, body: String) -> Result<(), PostError> {
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| PostError::Request(e.to_string()))?;
        let status = tokio::time::timeout(self.within, self.exchange(url, request)).await;
        match status.map_err(|_| PostError::Slow(self.within))?? {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(PostError::Redirect(status)),
            status => Err(PostError::Status(status)),
        }
    }

    async fn exchange(&self, url: Uri, request: Request<Full<Bytes>>) -> Result<StatusCode, PostError> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let encrypted = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let socket = self.connect(&host, port).await?;
        if !encrypted {
            return send(socket, url, request).await;
        }
        let name = ServerName::try_from(host).map_err(|e| PostError::Request(e.to_string()))?;
        let socket = TlsConnector::from(self.tls.clone()).connect(name, socket).await.map_err(PostError::Tls)?;
        send(socket, url, request).await
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, PostError> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(PostError::Lookup)?.collect();
        let mut last = PostError::NoAddress;
        for address in found {
            if !self.private_addresses && !is_public(address.ip()) {
                last = PostError::Private(address.ip());
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(e) => last = PostError::Connect(e),
            }
        }
        Err(last)
    }
}

async fn send(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: Uri,
    mut request: Request<Full<Bytes>>,
) -> Result<StatusCode, PostError> {
    let (mut requests, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let wrong = |e: &dyn std::fmt::Display| PostError::Request(e.to_string());
    *request.uri_mut() = url.path_and_query().map_or("/", |p| p.as_str()).parse().map_err(|e| wrong(&e))?;
    let authority = url.authority().map_or("", |a| a.as_str());
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(authority).map_err(|e| wrong(&e))?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut answer = std::pin::pin!(requests.send_request(request));
    // The connection is driven here, so that it ends with this try. It may end with the very bytes that are the answer.
    tokio::select! {
        answer = &mut answer => return Ok(answer?.status()),
        _ = connection => {}
    }
    Ok(answer.await?.status())
}
