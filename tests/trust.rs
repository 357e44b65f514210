//! Who vouches for the clock, asked over a real bus: a dbus-daemon of the test's own, with systemd's timedate1 played on it.

#[path = "support/fakebluez.rs"]
mod fakebluez;

use fakebluez::Bus;
use portcullis::trust::{Service, ask_systemd};
use zbus::conn::Builder;

/// org.freedesktop.timedate1(5), as far as it is asked.
struct Timedate {
    ntp: bool,
    synchronized: bool,
}

#[zbus::interface(name = "org.freedesktop.timedate1")]
impl Timedate {
    #[zbus(property, name = "NTP")]
    fn ntp(&self) -> bool {
        self.ntp
    }

    #[zbus(property, name = "NTPSynchronized")]
    fn synchronized(&self) -> bool {
        self.synchronized
    }
}

#[tokio::test]
async fn systemds_word_on_the_clock_is_asked_anew_each_time_and_its_absence_is_no_word() {
    let bus = Bus::start().await;
    let client = Builder::address(bus.address.as_str()).unwrap().build().await.unwrap();
    assert!(ask_systemd(&client).await.is_err(), "nobody has the name");
    let path = "/org/freedesktop/timedate1";
    let server = Builder::address(bus.address.as_str())
        .unwrap()
        .name("org.freedesktop.timedate1")
        .unwrap()
        .serve_at(path, Timedate { ntp: false, synchronized: false })
        .unwrap()
        .build()
        .await
        .unwrap();
    let played = server.object_server().interface::<_, Timedate>(path).await.unwrap();
    for (ntp, synchronized, said) in [
        (false, false, Service::None),
        (true, false, Service::NotYet),
        (true, true, Service::Vouches),
        // chrony holds the kernel's clock, and systemd knows of no service of its own.
        (false, true, Service::Vouches),
        (true, false, Service::NotYet),
    ] {
        // No signal of the change is sent: systemd sends none for NTPSynchronized either.
        *played.get_mut().await = Timedate { ntp, synchronized };
        assert_eq!(ask_systemd(&client).await.unwrap(), said);
    }
}
