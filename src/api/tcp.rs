//! The API over TCP: with an API key everywhere, and with TLS off loopback.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::{self, Limits, Peer};
use super::envelope::{self, ApiError};
use super::guard::{self, Rate};
use super::keys::{Key, Keys, Scope};
use crate::config::Config;
use crate::console;

/// A handshake is a few packets; who takes longer is holding a place.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Handshakes under way at once.
const HANDSHAKES: usize = 64;

/// `[http]`, as far as it concerns the listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub listen: String,
    pub tls: Option<(PathBuf, PathBuf)>,
    pub state_dir: PathBuf,
    /// Names of the hub's beside its addresses.
    pub allowed_hosts: Vec<String>,
    /// Of one key.
    pub requests_per_second: u32,
    pub limits: Limits,
}

impl Settings {
    pub fn new(config: &Config) -> Settings {
        let http = &config.http;
        let tls = http.tls_cert_file.clone().zip(http.tls_key_file.clone());
        Settings {
            listen: http.listen.clone(),
            tls,
            state_dir: config.state_dir.clone(),
            allowed_hosts: http.allowed_hosts.clone(),
            requests_per_second: http.requests_per_second,
            limits: Limits::default(),
        }
    }
}

/// Answers until it is dropped. `ready` is told the address that was bound.
pub async fn serve(settings: &Settings, router: Router, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(&settings.listen).await.map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("{}: {e}; is another program there? [http] listen takes another port", settings.listen),
        )
    })?;
    let gate = Arc::new(Gate::new(settings));
    let router = router.layer(middleware::from_fn_with_state(gate, admit));
    // Outermost: a refusal has one too.
    let router = router.layer(middleware::from_fn(envelope::request_id));
    ready(listener.local_addr()?);
    match &settings.tls {
        None => connections::serve(listener, router, &settings.limits).await,
        Some((certificate, key)) => {
            let config = server_config(certificate, key).map_err(io::Error::other)?;
            connections::serve(Tls::new(listener, TlsAcceptor::from(config)), router, &settings.limits).await
        }
    }
}

/// Tries with wrong keys, of one address.
const GUESSES_PER_SECOND: u32 = 5;
const GUESSES_AT_ONCE: u32 = 20;

/// What a request is judged by before it is answered.
pub struct Gate {
    keys: Keys,
    allowed_hosts: Vec<String>,
    /// By the key's public part.
    requests: Rate<String>,
    guesses: Rate<IpAddr>,
}

impl Gate {
    fn new(settings: &Settings) -> Gate {
        let each = settings.requests_per_second;
        Gate {
            keys: Keys::of(&settings.state_dir),
            allowed_hosts: settings.allowed_hosts.clone(),
            requests: Rate::new(each, each.saturating_mul(2)),
            guesses: Rate::new(GUESSES_PER_SECOND, GUESSES_AT_ONCE),
        }
    }

    /// What the key of a request opens, where that is enough for it.
    fn judge(&self, request: &Request) -> Result<Scope, ApiError> {
        guard::names(request.headers(), &self.allowed_hosts)?;
        if request.uri().path() == "/health" {
            return Ok(Scope::Read);
        }
        let bearer = request.headers().get(header::AUTHORIZATION).and_then(|h| h.to_str().ok());
        // The scheme is written in any case, as HTTP has it.
        let presented =
            bearer.and_then(|h| h.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, presented) = presented.ok_or_else(|| {
            self.unauthorized(
                peer(request),
                "send a key: Authorization: Bearer seam_…  (portcullis keys create makes one)",
            )
        })?;
        let key = self.key(presented, peer(request))?;
        let needed = needed(request.method(), request.uri().path());
        if key.scope < needed {
            let what = format!("this key may not do that; it takes one of scope {needed:?}").to_lowercase();
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", what));
        }
        Ok(key.scope)
    }

    /// The key that somebody presents.
    pub fn key(&self, presented: &str, peer: IpAddr) -> Result<Key, ApiError> {
        let key = self.keys.check(presented.trim()).map_err(|error| ApiError::internal(&error))?;
        let key = key.ok_or_else(|| self.unauthorized(peer, "this is no key of this hub, or it was revoked"))?;
        self.count(&key)?;
        Ok(key)
    }

    /// Whether a key that was presented before still is one.
    pub fn still_opens(&self, key: &Key) -> Result<bool, ApiError> {
        self.count(key)?;
        self.keys.has(key).map_err(|error| ApiError::internal(&error))
    }

    fn count(&self, key: &Key) -> Result<(), ApiError> {
        let too_many = |seconds| ApiError::too_many("too many requests with this key", seconds);
        self.requests.take(&key.key_id, Instant::now()).map_err(too_many)
    }

    /// 401, or 429 for who tries too often.
    fn unauthorized(&self, peer: IpAddr, message: &str) -> ApiError {
        match self.guesses.take(&peer, Instant::now()) {
            Ok(()) => ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message),
            Err(seconds) => ApiError::too_many("too many requests without a good key", seconds),
        }
    }
}

fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

/// Lets in who has a key that opens this; `/health` says that the hub lives to anybody, since load balancers have no key.
async fn admit(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    // The console's pages let in by sessions; these are made, and watched, with the gate.
    if console::is_its(request.uri().path()) {
        return match guard::names(request.headers(), &gate.allowed_hosts) {
            Ok(()) => {
                request.extensions_mut().insert(gate);
                next.run(request).await
            }
            Err(refusal) => refusal.into_response(),
        };
    }
    match gate.judge(&request) {
        Ok(scope) => {
            request.extensions_mut().insert(scope);
            next.run(request).await
        }
        Err(refusal) => {
            envelope::read_out(request).await;
            refusal.into_response()
        }
    }
}

/// The least that a key must open for this. What only shows is a path that says so; all else changes something.
pub fn needed(method: &Method, path: &str) -> Scope {
    let last = path.rsplit('/').next().unwrap_or_default();
    let shows = ["list", "get", "health", "stream", "explain", "heard", "list_device_providers", "metrics"]
        .contains(&last)
        || last.ends_with(".json");
    match path.split('/').nth(1).unwrap_or_default() {
        // Where events go is not for everybody: an address may be a password.
        "webhooks" | "connect_webviews" => Scope::Admin,
        // Who may not see the digits of codes is shown them without.
        "access_codes" if !shows => Scope::Codes,
        "locks" if !shows => Scope::Operate,
        _ if shows && *method != Method::DELETE => Scope::Read,
        _ => Scope::Admin,
    }
}

fn server_config(certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, String> {
    let in_file = |path: &PathBuf| {
        let name = path.display().to_string();
        move |e: rustls::pki_types::pem::Error| format!("{name}: {e}")
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).map_err(in_file(certificate))?.collect();
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(in_file(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(in_file(certificate))?, key_der)
        .map_err(|e| format!("{}: {e}", certificate.display()))?;
    Ok(Arc::new(config))
}

/// Accepts TLS connections; handshakes go on beside each other, so that a slow one keeps nobody waiting.
struct Tls {
    address: SocketAddr,
    done: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Tls {
    fn new(mut listener: TcpListener, acceptor: TlsAcceptor) -> Tls {
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let (sender, done) = mpsc::channel(HANDSHAKES);
        tokio::spawn(async move {
            loop {
                let Ok(place) = sender.clone().reserve_owned().await else { return };
                let (socket, peer) = Listener::accept(&mut listener).await;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(socket)).await {
                        place.send((stream, peer));
                    }
                });
            }
        });
        Tls { address, done }
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.done.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends only with this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_needs_more_than_reading() {
        for (method, path, scope) in [
            (Method::GET, "/events/list", Scope::Read),
            (Method::POST, "/devices/unmanaged/list", Scope::Read),
            (Method::GET, "/events/stream", Scope::Read),
            (Method::GET, "/locks/list", Scope::Read),
            (Method::POST, "/locks/unlock_door", Scope::Operate),
            (Method::GET, "/access_codes/list", Scope::Read),
            (Method::GET, "/access_codes/generate_code", Scope::Codes),
            (Method::POST, "/access_codes/create", Scope::Codes),
            (Method::GET, "/devices/list_device_providers", Scope::Read),
            (Method::PATCH, "/devices/update", Scope::Admin),
            (Method::POST, "/devices/delete", Scope::Admin),
            (Method::POST, "/webhooks/create", Scope::Admin),
        ] {
            assert_eq!(needed(&method, path), scope, "{method} {path}");
        }
    }
}
