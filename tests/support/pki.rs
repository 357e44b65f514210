//! A private certificate authority with a server and a client, both also with a certificate that has expired, and another
//! authority that nobody trusts.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub struct Pki {
    files: Vec<(&'static str, String)>,
}

impl Pki {
    pub fn new() -> Pki {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            (certificate.pem(), Issuer::new(params, key))
        };
        let (ca, issuer) = authority("Portcullis test authority");
        let (other, _) = authority("Somebody else");
        let mut files = vec![("ca.pem", ca), ("other-ca.pem", other)];
        for (name, certificate_file, expired_file, key_file) in [
            ("localhost", "server.pem", "expired-server.pem", "server.key"),
            ("hub-1", "client.pem", "expired-client.pem", "client.key"),
        ] {
            let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            files.push((certificate_file, params.signed_by(&key, &issuer).expect("a certificate").pem()));
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
            files.push((expired_file, params.signed_by(&key, &issuer).expect("a certificate").pem()));
            files.push((key_file, key.serialize_pem()));
        }
        Pki { files }
    }

    pub fn write(&self, dir: &Path) {
        for (name, pem) in &self.files {
            std::fs::write(dir.join(name), pem).expect("the file is written");
        }
    }
}
