//! Signatures as Svix makes them (docs.svix.com, "Verifying payloads manually"): HMAC-SHA256 over `{id}.{timestamp}.{body}` with the
//! bytes that the secret stands for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::signal::Secret;

const PREFIX: &str = "whsec_";
/// As long as the hash: Svix takes 24 to 64 bytes.
const BYTES: usize = 32;

/// A new secret: `whsec_` and the base64 of random bytes. `None` where the system has no randomness to give.
pub fn new_secret() -> Option<Secret> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// The value of `svix-signature`; `None` where the secret is none.
pub fn signature(secret: &Secret, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.reveal().strip_prefix(PREFIX)?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Svix's documentation.
    #[test]
    fn the_documented_example_is_signed_as_documented() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (a, b) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(STANDARD.decode(&a.reveal()[PREFIX.len()..]).unwrap().len(), BYTES);
    }
}
