//! Whether a connection is alive: it comes to be in time, and pings are answered. Pure: moments are handed in.

use std::time::{Duration, Instant};

use super::settings::Pace;
use super::wire::{Broken, Happened};

/// How often deadlines are looked at: a fraction of the shortest of them.
pub const TICK: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct Life {
    since: Instant,
    connected: bool,
    ping_sent: Option<Instant>,
}

impl Life {
    pub fn begins(now: Instant) -> Life {
        Life { since: now, connected: false, ping_sent: None }
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    pub fn happened(&mut self, happened: &Happened, now: Instant) {
        match happened {
            Happened::Connected { .. } => self.connected = true,
            Happened::PingSent => self.ping_sent = Some(now),
            Happened::PingAnswered => self.ping_sent = None,
            // A broker that has much to do answers in its turn.
            Happened::Acknowledged(..) if self.ping_sent.is_some() => self.ping_sent = Some(now),
            _ => {}
        }
    }

    /// A silent peer is found within 1.5 keep-alives: one until the ping, less than a half for its answer.
    pub fn check(&self, now: Instant, pace: &Pace) -> Result<(), Broken> {
        if !self.connected && now - self.since > pace.connect {
            return Err(Broken::Slow(pace.connect));
        }
        if self.ping_sent.is_some_and(|sent| now - sent + 2 * TICK >= pace.keep_alive / 2) {
            return Err(Broken::Silent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::mqtt::wire::Verdict;

    #[test]
    fn a_connection_that_does_not_come_to_be_and_one_that_falls_silent_are_given_up() {
        let (start, pace) = (Instant::now(), Pace::default());
        let mut life = Life::begins(start);
        assert!(life.check(start + pace.connect, &pace).is_ok());
        assert!(matches!(life.check(start + pace.connect + TICK, &pace), Err(Broken::Slow(_))));
        life.happened(&Happened::Connected { receive_most: 1, packet_most: None }, start);
        assert!(life.check(start + Duration::from_secs(3600), &pace).is_ok());
        life.happened(&Happened::PingSent, start);
        assert!(matches!(life.check(start + pace.keep_alive / 2, &pace), Err(Broken::Silent)));
        life.happened(&Happened::Acknowledged(1, Verdict::Taken), start + pace.keep_alive / 4);
        assert!(life.check(start + pace.keep_alive / 2, &pace).is_ok(), "whoever acknowledges is not silent");
        life.happened(&Happened::PingAnswered, start);
        assert!(life.check(start + pace.keep_alive, &pace).is_ok());
    }
}
