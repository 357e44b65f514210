//! One adapter's scan: when to start it, when to doubt it, what to tell. Pure; [`super`] does what it asks for.
//!
//! Promises: an adapter that is on is scanned for ever; one that is off is left off; a scan that fell silent is started anew, less
//! and less often while that does not help. Only an adapter that is ours alone (`shared = false`) is ever power-cycled.

use std::time::Duration;

use super::adverts::AdapterProperties;
use crate::backoff::Backoff;
use crate::time::Mono;

/// bluetoothd needs some 100 ms to notice that a controller came or went; half of this is the first pause.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// A controller that refuses for good costs a D-Bus call a minute.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A scan that ran this long was sound: what ends it is a new problem.
const SOUND_AFTER: Duration = Duration::from_secs(30);

/// Twenty times the usual gap without any advert of anybody is no chance, and a minute is what a lone beacon may take.
const USUAL_GAPS: u32 = 20;
const PATIENCE_MIN: Duration = Duration::from_secs(60);
/// In a place with no device at all, this is how often a restart is tried.
const PATIENCE_MAX: Duration = Duration::from_secs(900);
/// Restarts in vain before an adapter of our own is power-cycled: by then it has been silent for a quarter of an hour.
const RESTARTS_BEFORE_POWER_CYCLE: u32 = 4;
/// The hub may ask for a restart once in this time: a restart costs adverts.
const ASKED_AT_MOST_EVERY: Duration = Duration::from_secs(30);

/// What is to be done about an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// Stop our scan if there is one, and start it.
    Scan,
    /// Power off and on; the scan follows.
    PowerCycle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scan {
    Off { retry_at: Mono },
    Asked(Do),
    On { since: Mono },
}

#[derive(Debug)]
pub struct Adapter {
    shared: bool,
    /// As far as bluetoothd has said.
    powered: Option<bool>,
    scan: Scan,
    /// A connection is being made: the controller hardly listens meanwhile.
    connecting: bool,
    backoff: Backoff,
    problem: Option<String>,
    /// Nothing was heard since then.
    silent_since: Mono,
    /// Mean of the gaps between adverts, of whatever device.
    usual_gap: Duration,
    restarts_in_vain: u32,
}

impl Adapter {
    pub fn new(shared: bool, now: Mono) -> Adapter {
        Adapter {
            shared,
            powered: None,
            scan: Scan::Off { retry_at: now },
            connecting: false,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX),
            problem: None,
            silent_since: now,
            usual_gap: Duration::ZERO,
            restarts_in_vain: 0,
        }
    }

    pub fn powered(&self) -> bool {
        self.powered == Some(true)
    }

    /// Whether it can hear.
    pub fn scanning(&self) -> bool {
        self.powered() && matches!(self.scan, Scan::On { .. }) && !self.connecting
    }

    /// How often it was restarted since it was last heard.
    pub fn restarts_in_vain(&self) -> u32 {
        self.restarts_in_vain
    }

    /// How it is, in plain words.
    pub fn detail(&self) -> String {
        match (&self.scan, self.powered, &self.problem) {
            (_, None, _) => "waiting for bluetoothd to describe it".into(),
            (_, Some(false), _) => "powered off; `bluetoothctl power on` switches it on".into(),
            (Scan::On { .. }, ..) if self.restarts_in_vain > 0 => {
                format!("scanning, but nothing is heard; restarted {} times", self.restarts_in_vain)
            }
            (Scan::On { .. }, ..) if self.connecting => "connecting to a device".into(),
            (Scan::On { .. }, ..) => "scanning".into(),
            (_, _, Some(problem)) => format!("the scan cannot be started: {problem}"),
            (_, _, None) => "starting the scan".into(),
        }
    }

    /// A property changed; `dice` for the pause where the scan was ended by somebody.
    pub fn changed(&mut self, now: Mono, changed: AdapterProperties, dice: u64) {
        if let Some(powered) = changed.powered {
            if powered && self.powered != Some(true) {
                self.backoff.reset();
                self.problem = None;
                self.scan = Scan::Off { retry_at: now };
            } else if !powered {
                self.scan = Scan::Off { retry_at: now };
            }
            self.powered = Some(powered);
        }
        if let Some(discovering) = changed.discovering {
            // Power off says so first. The pause is there to hear of it, and not to race a bluetoothd that flaps.
            if let (false, Scan::On { since }) = (discovering, self.scan) {
                if now.since(since) >= SOUND_AFTER {
                    self.backoff.reset();
                }
                self.scan = Scan::Off { retry_at: now + self.backoff.pause(dice) };
            }
        }
    }

    /// What a listing says of an adapter: of use only where no signal has said it, for those are younger.
    pub fn described(&mut self, now: Mono, listed: AdapterProperties, dice: u64) {
        if self.powered.is_none() {
            self.changed(now, AdapterProperties { discovering: None, ..listed }, dice);
        }
    }

    /// An advert, of whatever device; true where that ends a silence.
    pub fn heard(&mut self, now: Mono) -> bool {
        let gap = now.since(self.silent_since);
        self.silent_since = now;
        // Exponentially, over some eight gaps; a gap that a watchdog would have ended teaches nothing more.
        self.usual_gap = (self.usual_gap * 7 + gap.min(PATIENCE_MAX)) / 8;
        std::mem::take(&mut self.restarts_in_vain) > 0
    }

    /// The hub finds it deaf.
    pub fn restart(&mut self, now: Mono) {
        if let Scan::On { since } = self.scan
            && now.since(since) >= ASKED_AT_MOST_EVERY
        {
            self.scan = Scan::Off { retry_at: now };
        }
    }

    pub fn connecting(&mut self, now: Mono, connecting: bool) {
        self.connecting = connecting;
        self.silent_since = now;
    }

    /// What is to be done now; each is asked for once and answered with [`Adapter::done`].
    pub fn due(&mut self, now: Mono) -> Option<Do> {
        if !self.powered() {
            return None;
        }
        let what = match self.scan {
            Scan::Off { retry_at } if retry_at <= now => Do::Scan,
            Scan::On { .. } if !self.connecting && self.doubted_at() <= now => {
                self.restarts_in_vain += 1;
                let last_resort = self.restarts_in_vain.is_multiple_of(RESTARTS_BEFORE_POWER_CYCLE);
                if last_resort && !self.shared { Do::PowerCycle } else { Do::Scan }
            }
            _ => return None,
        };
        self.scan = Scan::Asked(what);
        Some(what)
    }

    pub fn done(&mut self, now: Mono, what: Do, done: Result<(), String>, dice: u64) {
        match done {
            // Overtaken by a change of its power.
            _ if self.scan != Scan::Asked(what) => {}
            Ok(()) if what == Do::PowerCycle => self.scan = Scan::Off { retry_at: now },
            Ok(()) => {
                self.scan = Scan::On { since: now };
                self.silent_since = now;
                self.problem = None;
            }
            Err(problem) => {
                self.scan = Scan::Off { retry_at: now + self.backoff.pause(dice) };
                self.problem = Some(problem);
            }
        }
    }

    pub fn wake_at(&self) -> Option<Mono> {
        match self.scan {
            _ if !self.powered() => None,
            Scan::Off { retry_at } => Some(retry_at),
            Scan::On { .. } if !self.connecting => Some(self.doubted_at()),
            Scan::On { .. } | Scan::Asked(_) => None,
        }
    }

    /// When its silence has lasted too long to be chance.
    fn doubted_at(&self) -> Mono {
        let patience = (self.usual_gap * USUAL_GAPS).clamp(PATIENCE_MIN, PATIENCE_MAX);
        let patience = patience.saturating_mul(1 << self.restarts_in_vain.min(8)).min(PATIENCE_MAX);
        self.silent_since + patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(on: bool) -> AdapterProperties {
        AdapterProperties::powered(on)
    }

    fn s(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    fn scanning(shared: bool) -> Adapter {
        let mut adapter = Adapter::new(shared, s(0));
        adapter.changed(s(0), power(true), 0);
        assert_eq!(adapter.due(s(0)), Some(Do::Scan));
        adapter.done(s(0), Do::Scan, Ok(()), 0);
        assert!(adapter.scanning());
        adapter
    }

    /// Lets time pass until `until`; what was asked for, and when. Each is answered with success.
    fn asked(adapter: &mut Adapter, until: Mono) -> Vec<(u64, Do)> {
        let mut asked = Vec::new();
        while let Some(at) = adapter.wake_at().filter(|at| *at <= until) {
            if let Some(what) = adapter.due(at) {
                asked.push((at.0 / 1000, what));
                adapter.done(at, what, Ok(()), 0);
            }
        }
        asked
    }

    #[test]
    fn an_administrators_off_is_left_off_and_on_scans_again() {
        let mut adapter = scanning(false);
        adapter.changed(s(10), power(false), 0);
        assert!(!adapter.scanning());
        assert_eq!((adapter.due(s(10_000)), adapter.wake_at()), (None, None));
        adapter.changed(s(20_000), power(true), 0);
        assert_eq!(adapter.due(s(20_000)), Some(Do::Scan));
    }

    #[test]
    fn a_scan_that_somebody_ended_is_started_again() {
        let mut adapter = scanning(true);
        adapter.changed(s(100), AdapterProperties { discovering: Some(false), ..Default::default() }, u64::MAX);
        assert!(!adapter.scanning());
        assert_eq!(asked(&mut adapter, s(102)), [(101, Do::Scan)]);
    }

    #[test]
    fn a_refusal_is_tried_again_with_growing_pauses_for_ever() {
        let mut adapter = Adapter::new(true, s(0));
        adapter.changed(s(0), power(true), 0);
        let mut tried = Vec::new();
        while tried.len() < 10 {
            let at = adapter.wake_at().unwrap();
            assert_eq!(adapter.due(at), Some(Do::Scan));
            tried.push(at);
            adapter.done(at, Do::Scan, Err("busy".into()), u64::MAX);
        }
        assert!(tried[9].since(tried[8]) <= RETRY_MAX && tried[9].since(tried[8]) > Duration::from_secs(59));
        assert!(adapter.detail().contains("busy"));
    }

    #[test]
    fn a_silent_scan_is_restarted_ever_less_often_and_shared_power_is_never_touched() {
        let mut adapter = scanning(true);
        adapter.heard(s(1));
        assert_eq!(asked(&mut adapter, s(1800)).iter().map(|a| a.0).collect::<Vec<_>>(), [61, 181, 421, 901]);
        let later = asked(&mut adapter, s(100_000));
        assert!(later.iter().all(|a| a.1 == Do::Scan) && later.len() > 50);
    }

    #[test]
    fn an_adapter_of_our_own_is_power_cycled_when_restarts_do_not_help() {
        let mut adapter = scanning(false);
        let asked: Vec<_> = asked(&mut adapter, s(1200)).into_iter().map(|a| a.1).collect();
        assert_eq!(asked, [Do::Scan, Do::Scan, Do::Scan, Do::PowerCycle, Do::Scan]);
    }

    #[test]
    fn a_lone_slow_device_is_not_mistaken_for_a_deaf_adapter() {
        let mut adapter = scanning(true);
        let mut restarts = 0;
        for advert in 1..200 {
            let at = s(advert * 120);
            restarts += asked(&mut adapter, Mono(at.0 - 1)).len();
            adapter.heard(at);
        }
        assert!(restarts <= 5, "{restarts} restarts in vain: the gap of two minutes was not learned");
    }

    #[test]
    fn while_it_connects_it_is_told_deaf_and_its_silence_is_not_held_against_it() {
        let mut adapter = scanning(true);
        adapter.connecting(s(30), true);
        assert!(!adapter.scanning());
        assert_eq!(adapter.due(s(300)), None);
        adapter.connecting(s(300), false);
        assert!(adapter.scanning());
        assert_eq!(adapter.due(s(310)), None);
    }

    #[test]
    fn the_hub_may_ask_for_a_restart_but_not_all_the_time() {
        let mut adapter = scanning(true);
        adapter.restart(s(5));
        assert_eq!(adapter.due(s(5)), None);
        adapter.restart(s(40));
        assert_eq!(adapter.due(s(40)), Some(Do::Scan));
        adapter.done(s(40), Do::Scan, Ok(()), 0);
        adapter.restart(s(41));
        assert_eq!(adapter.due(s(41)), None);
    }

    #[test]
    fn a_listing_does_not_overrule_a_signal() {
        let mut adapter = Adapter::new(true, s(0));
        adapter.changed(s(0), power(false), 0);
        adapter.described(s(1), power(true), 0);
        assert!(!adapter.powered());
    }
}
