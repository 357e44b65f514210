//! The way to a Z-Wave JS server that somebody guards: TLS of a private authority, a name and a password. The server is the demo's; what
//! stands before it is a TLS front that asks for both, and passes the rest on.

#[path = "support/pki.rs"]
mod pki;

use std::path::Path;
use std::sync::Arc;

use pki::Pki;
use portcullis::config::ZwaveSection;
use portcullis::engine::Clock;
use portcullis::health::Health;
use portcullis::hub::Input;
use portcullis::signal::{DownReason, LinkNews};
use portcullis::source::demo::bridge::Bridge;
use portcullis::source::zwave::socket::{self, ConnectError};
use portcullis::source::zwave::{Rules, link};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// hub:a secret
const ADMITTED: &str = "Basic aHViOmEgc2VjcmV0";

/// Listens with TLS, lets in whoever has the name and the password, and passes them on. Its port.
async fn guard(dir: &Path, server: String) -> u16 {
    let chain = CertificateDer::pem_file_iter(dir.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(socket).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = tls.read_u8().await else { return };
                    head.push(byte);
                }
                let says = String::from_utf8_lossy(&head).to_lowercase();
                if !says.contains(&format!("authorization: {ADMITTED}\r\n").to_lowercase()) {
                    let _ = tls.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
                    return;
                }
                let mut onward = TcpStream::connect(server.trim_start_matches("ws://")).await.unwrap();
                onward.write_all(&head).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut onward).await;
            });
        }
    });
    port
}

/// The first news of a link with these settings.
async fn news(server: ZwaveSection) -> LinkNews {
    let (inputs, mut heard) = mpsc::channel(64);
    let (_ask, actions) = mpsc::unbounded_channel();
    let (rules, clock, health) = (Rules::new(), Clock::start(), Arc::new(Health::default()));
    let run = tokio::spawn(link::run(link::Network { server, rules, inputs, actions, clock, health, tap: None }));
    let news = loop {
        if let Some(Input::Link(_, news)) = heard.recv().await {
            break news;
        }
    };
    run.abort();
    news
}

#[tokio::test]
async fn a_guarded_server_lets_us_in_with_its_authority_a_name_and_a_password_and_not_without() {
    let dir = tempfile::tempdir().unwrap();
    Pki::new().write(dir.path());
    std::fs::write(dir.path().join("right"), "a secret\n").unwrap();
    std::fs::write(dir.path().join("wrong"), "another secret").unwrap();
    let bridge = Bridge::start(1.0).await.unwrap();
    let port = guard(dir.path(), bridge.url()).await;
    let server = |password: &str, ca: &str| ZwaveSection {
        name: "main".into(),
        url: format!("wss://localhost:{port}/a-path"),
        username: Some("hub".into()),
        password_file: Some(dir.path().join(password)),
        password: None,
        ca_file: Some(dir.path().join(ca)),
    };
    assert!(matches!(news(server("right", "ca.pem")).await, LinkNews::BridgeUp { .. }));
    assert_eq!(news(server("wrong", "ca.pem")).await, LinkNews::BridgeDown(DownReason::Refused));

    let refused = socket::connect(&server("right", "other-ca.pem")).await.err().expect("another authority");
    assert!(matches!(refused, ConnectError::Io(_)), "{refused}");
    let nobody = ZwaveSection { username: None, password_file: None, ..server("right", "ca.pem") };
    let refused = socket::connect(&nobody).await.err().expect("no name");
    assert!(matches!(refused, ConnectError::Refused(401)), "{refused}");
    let plain = ZwaveSection { url: format!("ws://localhost:{port}/a-path"), ..server("right", "ca.pem") };
    let broken = socket::connect(&plain).await.err().expect("no TLS").to_string();
    for secret in ["a secret", ADMITTED, "a-path"] {
        assert!(!broken.contains(secret), "{broken}");
    }
}
