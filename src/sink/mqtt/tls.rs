//! TLS with rustls: the broker's authority, and a client certificate where one is configured.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::settings::Settings;
use crate::tls::{self, TlsError};

pub fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = tls::client("mqtt.ca_file", settings.ca_file.as_deref())?;
    let config = match (&settings.client_cert_file, &settings.client_key_file) {
        (Some(certificate), Some(key_file)) => {
            let chain = tls::certificates("mqtt.client_cert_file", certificate)?;
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
