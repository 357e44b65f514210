//! Who vouches for a server that we call: the system's authorities, or a private one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: {path}: {source}", path = path.display())]
    Pem { key: &'static str, path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{key}: {path} holds no certificate in PEM form", path = path.display())]
    Empty { key: &'static str, path: PathBuf },
    #[error("the system has no certificate authorities; name your server's in {key}")]
    NoSystemAuthorities { key: &'static str },
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// A client that trusts `ca_file` alone, or the system's authorities without one. `key` is its name in the configuration. Read from
/// the files afresh for each connection: certificates are renewed while we run.
pub fn client(
    key: &'static str,
    ca_file: Option<&Path>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for certificate in certificates(key, file)? {
                roots.add(certificate)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemAuthorities { key });
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

pub fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { key, path: path.to_owned(), source };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(pem)?.collect();
    let read = read.map_err(pem)?;
    if read.is_empty() {
        return Err(TlsError::Empty { key, path: path.to_owned() });
    }
    Ok(read)
}
