//! TLS with rustls: the system's authorities, or a private one; a client certificate where one is configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::settings::Settings;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: {path}: {source}", path = path.display())]
    Pem { key: &'static str, path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{key}: {path} holds no certificate in PEM form", path = path.display())]
    Empty { key: &'static str, path: PathBuf },
    #[error("the system has no certificate authorities; name your broker's in mqtt.ca_file")]
    NoSystemAuthorities,
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// Read from the files afresh for each connection: certificates are renewed while we run.
pub fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match &settings.ca_file {
        Some(file) => {
            for certificate in certificates("mqtt.ca_file", file)? {
                roots.add(certificate)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemAuthorities);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match (&settings.client_cert_file, &settings.client_key_file) {
        (Some(certificate), Some(key_file)) => {
            let chain = certificates("mqtt.client_cert_file", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|source| TlsError::Pem {
                key: "mqtt.client_key_file",
                path: key_file.clone(),
                source,
            })?;
            builder.with_client_auth_cert(chain, key)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { key, path: path.to_owned(), source };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(pem)?.collect();
    let read = read.map_err(pem)?;
    if read.is_empty() {
        return Err(TlsError::Empty { key, path: path.to_owned() });
    }
    Ok(read)
}
