//! Who vouches for the wall clock. A Pi has no clock battery: until a time service has set it, its date is a guess.
//!
//! Promises: a date is called synchronized where a time service says so, or where there is none to wait for, the date is a
//! possible one, and it has not leapt.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::timeout;

use crate::time::{Mono, Wall};

/// What the machine's time service says of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Vouches,
    /// There is one, and it has not set the clock yet.
    NotYet,
    /// There is none, or none that can be asked.
    None,
}

/// 2026-01-01, the year of this program: a clock that shows less has not been set.
pub const RELEASED: Wall = Wall(1_767_225_600_000);

/// 2001-01-01: a clock that counts from 1970 or 2000 is not set. For recordings, which may be older than the program.
pub const EVER: Wall = Wall(978_307_200_000);

/// A clock that no service holds is set by hand, or by whoever runs the container, in steps smaller than this; what is
/// larger is a leap, and nobody's word for it (DESIGN: 5 min).
const LEAP_MS: i64 = 5 * 60 * 1000;

/// Judges readings of the wall clock as they come.
#[derive(Debug)]
pub struct Vouch {
    earliest: Wall,
    /// The last reading that was good.
    good: Option<(Mono, Wall)>,
}

impl Vouch {
    /// No date before `earliest` is possible.
    pub fn new(earliest: Wall) -> Vouch {
        Vouch { earliest, good: None }
    }

    pub fn synchronized(&mut self, mono: Mono, wall: Wall, service: Service) -> bool {
        let expected = self.good.map(|(at, good)| good.0.saturating_add_unsigned(mono.0.saturating_sub(at.0)));
        let leapt = expected.is_some_and(|expected| (wall.0 - expected).abs() > LEAP_MS);
        let good = match service {
            Service::Vouches => true,
            Service::NotYet => false,
            Service::None => wall >= self.earliest && !leapt,
        };
        if good {
            self.good = Some((mono, wall));
        }
        good
    }
}

/// A [`Vouch`] and the last word of the service, for many readers.
#[derive(Debug)]
pub struct Trust(Mutex<(Vouch, Service)>);

impl Trust {
    pub fn new() -> Trust {
        Trust(Mutex::new((Vouch::new(RELEASED), Service::None)))
    }

    pub fn hear(&self, said: Service) {
        let mut inner = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if inner.1 != said {
            tracing::info!(service = ?said, "clock.service");
        }
        inner.1 = said;
    }

    pub fn synchronized(&self, mono: Mono, wall: Wall) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let said = inner.1;
        inner.0.synchronized(mono, wall, said)
    }
}

impl Default for Trust {
    fn default() -> Trust {
        Trust::new()
    }
}

/// How often the service is asked: while events wait for it, and after.
const ASK_SOON: Duration = Duration::from_secs(2);
const ASK_LATER: Duration = Duration::from_secs(60);

/// A bus that does not answer in a second will not answer.
const ANSWER: Duration = Duration::from_secs(1);

/// Keeps asking, for ever.
pub async fn watch(trust: &Trust) {
    loop {
        let said = ask().await;
        trust.hear(said);
        tokio::time::sleep(if said == Service::NotYet { ASK_SOON } else { ASK_LATER }).await;
    }
}

/// Asks systemd, which knows whether the kernel's clock is held by anyone (timesyncd, chrony, ntpd); where it cannot be asked,
/// timesyncd's own mark is looked for.
pub async fn ask() -> Service {
    let asked = async { ask_systemd(&zbus::Connection::system().await?).await };
    match timeout(ANSWER, asked).await {
        Ok(Ok(said)) => said,
        _ => marks(Path::new("/run/systemd/timesync")),
    }
}

/// What org.freedesktop.timedate1(5) says on this bus; an error where nobody has that name.
pub async fn ask_systemd(bus: &zbus::Connection) -> zbus::Result<Service> {
    let name = "org.freedesktop.timedate1";
    let proxy = zbus::proxy::Builder::<zbus::Proxy<'_>>::new(bus)
        .destination(name)?
        .path("/org/freedesktop/timedate1")?
        .interface(name)?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    if proxy.get_property("NTPSynchronized").await? {
        return Ok(Service::Vouches);
    }
    Ok(if proxy.get_property("NTP").await? { Service::NotYet } else { Service::None })
}

/// systemd-timesyncd(8): it makes its directory as it starts, and touches `synchronized` there when it has set the clock.
fn marks(dir: &Path) -> Service {
    match (dir.exists(), dir.join("synchronized").exists()) {
        (_, true) => Service::Vouches,
        (true, false) => Service::NotYet,
        (false, false) => Service::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn without_a_service_a_possible_date_is_good_until_it_leaps() {
        let mut vouch = Vouch::new(RELEASED);
        let mut reading = |mono, wall| vouch.synchronized(Mono(mono), Wall(wall), Service::None);
        assert!(!reading(0, 5_000));
        assert!(reading(1000, RELEASED.0 + HOUR));
        assert!(reading(2000, RELEASED.0 + HOUR + 60_000));
        assert!(!reading(3000, RELEASED.0 + 2 * HOUR));
        assert!(!reading(4000, RELEASED.0));
        assert!(reading(5000, RELEASED.0 + HOUR + 63_000));
    }

    #[test]
    fn a_service_that_has_not_set_the_clock_is_waited_for_and_one_that_has_is_believed_whatever_it_says() {
        let mut vouch = Vouch::new(RELEASED);
        assert!(!vouch.synchronized(Mono(0), Wall(RELEASED.0 + HOUR), Service::NotYet));
        assert!(vouch.synchronized(Mono(1000), Wall(RELEASED.0 + HOUR), Service::Vouches));
        assert!(vouch.synchronized(Mono(2000), Wall(RELEASED.0 + 9 * HOUR), Service::Vouches));
    }

    #[test]
    fn timesyncds_mark_is_read_where_nobody_can_be_asked() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(marks(&dir.path().join("absent")), Service::None);
        assert_eq!(marks(dir.path()), Service::NotYet);
        std::fs::write(dir.path().join("synchronized"), "").unwrap();
        assert_eq!(marks(dir.path()), Service::Vouches);
    }
}
