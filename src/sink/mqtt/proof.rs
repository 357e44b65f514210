//! MQTT 3.1.1 has no word for "you may not write there": a broker acknowledges what it throws away, and whoever believes it loses
//! event after event. So with 3.1.1 a hub writes a token to itself first, and tells nothing before it has read it back.
//!
//! Pure: moments are handed in.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::settings::{Settings, Version};
use super::wire::Broken;

#[derive(Debug)]
pub enum Proof {
    /// Asked of nobody, or given.
    Given,
    Wanted {
        token: String,
        since: Option<Instant>,
    },
}

impl Proof {
    pub fn new(settings: &Settings) -> Proof {
        match settings.version == Version::V4 && settings.read_back {
            true => Proof::Wanted { token: Uuid::new_v4().simple().to_string(), since: None },
            false => Proof::Given,
        }
    }

    pub fn is_given(&self) -> bool {
        matches!(self, Proof::Given)
    }

    /// What is to be written, from `now` on to be awaited.
    pub fn begins(&mut self, now: Instant) -> Option<Vec<u8>> {
        let Proof::Wanted { token, since } = self else { return None };
        *since = Some(now);
        Some(token.clone().into_bytes())
    }

    /// True where this is what was awaited.
    pub fn arrived(&mut self, payload: &[u8]) -> bool {
        let is_it = matches!(self, Proof::Wanted { token, .. } if token.as_bytes() == payload);
        if is_it {
            *self = Proof::Given;
        }
        is_it
    }

    pub fn check(&self, now: Instant, patience: Duration, topic: &str) -> Result<(), Broken> {
        match self {
            Proof::Wanted { since: Some(since), .. } if now.saturating_duration_since(*since) > patience => {
                Err(Broken::NotReadBack(topic.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn proof(version: u8, read_back: bool) -> Proof {
        let mut config = Config::default();
        (config.mqtt.version, config.mqtt.read_back) = (version, read_back);
        Proof::new(&Settings::new(&config).unwrap())
    }

    #[test]
    fn only_3_1_1_needs_it_and_it_can_be_waived() {
        assert!(!proof(4, true).is_given());
        assert!(proof(5, true).is_given());
        assert!(proof(4, false).is_given());
    }

    #[test]
    fn only_its_own_token_gives_it_and_without_one_the_connection_is_given_up() {
        let (now, patience) = (Instant::now(), Duration::from_secs(20));
        let mut proof = proof(4, true);
        let late = now + Duration::from_secs(21);
        assert!(proof.check(late, patience, "t").is_ok(), "nothing is awaited yet");
        let token = proof.begins(now).unwrap();
        assert!(!proof.arrived(b"somebody else's"));
        assert!(proof.check(now + patience, patience, "t").is_ok());
        assert!(matches!(proof.check(late, patience, "t"), Err(Broken::NotReadBack(_))));
        assert!(proof.arrived(&token));
        assert!(proof.is_given() && proof.check(late, patience, "t").is_ok());
    }
}
