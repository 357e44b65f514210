//! The radio on a real D-Bus: the real daemon against BlueZ's interfaces, from advert to subscriber.
//!
//! `make test-bluez` does the same on the real bluetoothd and kernel.

#[path = "support/fakebluez.rs"]
mod fakebluez;
#[path = "support/hub_on_bus.rs"]
mod hub_on_bus;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::time::Duration;

use fakebluez::{Bluez, Bus, OnConnect, service_data};
use hub_on_bus::Daemon;

const DOOR: &str = "C0:FF:EE:00:00:01";
const SENSOR: &str = "C0:FF:EE:00:00:02";
const OTHER: &str = "C0:FF:EE:00:00:03";

const DEVICES: &str = "[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nname = \"Front door\"\n";
const POLLED: &str = "[[devices]]\naddress = \"C0:FF:EE:00:00:02\"\ngatt_battery = true\n";

/// BTHome v2 in the clear: packet id, and a lock that is open (1) or closed (0).
async fn door(bluez: &Bluez, adapter: &str, packet: u8, unlocked: bool) {
    let payload = [0x40, 0x00, packet, 0x1F, u8::from(unlocked)];
    assert!(bluez.advertise(adapter, DOOR, service_data(0xFCD2, &payload, -60)).await, "nobody scans {adapter}");
}

/// An advert that says nothing, of a device whose battery must be asked for.
async fn silent(bluez: &Bluez, address: &str) {
    bluez.advertise("hci0", address, fakebluez::manufacturer_data(0xFFFF, &[1, 2, 3], -70)).await;
}

#[tokio::test]
async fn an_advert_becomes_an_event_at_the_subscriber() {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let mut hub = Daemon::start(&bus.address, DEVICES).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    let filter = bluez.filters("hci0").concat();
    assert!(filter.contains("\"le\"") && filter.contains("DuplicateData") && filter.contains("Pathloss"), "{filter}");

    door(&bluez, "hci0", 1, false).await;
    let connected = hub.event("device.connected").await;
    door(&bluez, "hci0", 2, true).await;
    let unlocked = hub.event("lock.unlocked").await;
    assert_eq!(unlocked["device_id"], connected["device_id"]);
    // The same advert again and again, as radios do: no event.
    for _ in 0..50 {
        door(&bluez, "hci0", 2, true).await;
    }
    door(&bluez, "hci0", 3, false).await;
    hub.event("lock.locked").await;
    assert_eq!(hub.told_so_far(), Vec::<String>::new());
    assert!(hub.stop().await < Duration::from_secs(5));
}

#[tokio::test]
async fn an_adapter_that_is_off_is_left_off_and_scanned_once_it_is_on() {
    let bus = Bus::start().await;
    let bluez = Bluez::without_adapter(&bus).await;
    bluez.add_adapter("hci0", false).await;
    // A second one that is on shows that the daemon has looked.
    bluez.add_adapter("hci1", true).await;
    let mut hub = Daemon::start(&bus.address, DEVICES).await;
    bluez.called("hci1", "StartDiscovery", 1).await;
    assert!(!bluez.calls().iter().any(|(path, _)| path.ends_with("hci0")), "{:?}", bluez.calls());

    bluez.power("hci0", true).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 1, false).await;
    hub.event("device.connected").await;

    // Off and on again: BlueZ has forgotten our discovery, and we ask for it anew.
    bluez.power("hci0", false).await;
    bluez.power("hci0", true).await;
    bluez.called("hci0", "StartDiscovery", 2).await;
    door(&bluez, "hci0", 2, true).await;
    hub.event("lock.unlocked").await;
    assert!(!bluez.calls().iter().any(|(_, member)| member == "Set Powered"), "the power was touched");
}

#[tokio::test]
async fn a_bluetoothd_that_restarts_is_scanned_with_again() {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let mut hub = Daemon::start(&bus.address, DEVICES).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 1, false).await;
    hub.event("device.connected").await;

    bluez.crash().await;
    bluez.come().await;
    bluez.add_adapter("hci0", true).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 2, true).await;
    hub.event("lock.unlocked").await;
}

#[tokio::test]
async fn no_bluetoothd_and_no_bus_are_waited_for() {
    let mut bus = Bus::start().await;
    bus.kill().await;
    let mut hub = Daemon::start(&bus.address, DEVICES).await;
    bus.restart().await;
    let bluez = Bluez::without_adapter(&bus).await;
    bluez.until("the adapters are asked for", |_| true).await;
    bluez.add_adapter("hci0", true).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 1, false).await;
    hub.event("device.connected").await;

    // And once more, under way.
    bus.kill().await;
    bus.restart().await;
    let bluez = Bluez::start(&bus).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 2, true).await;
    hub.event("lock.unlocked").await;
    assert!(hub.is_running());
}

#[tokio::test]
async fn adapters_come_and_go_and_only_the_configured_ones_are_used() {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let mut hub = Daemon::start(&bus.address, &format!("[ble]\nadapters = [\"hci1\", \"hci2\"]\n{DEVICES}")).await;
    bluez.add_adapter("hci1", true).await;
    bluez.called("hci1", "StartDiscovery", 1).await;
    door(&bluez, "hci1", 1, false).await;
    hub.event("device.connected").await;
    bluez.remove_adapter("hci1").await;
    bluez.add_adapter("hci2", true).await;
    bluez.called("hci2", "StartDiscovery", 1).await;
    door(&bluez, "hci2", 2, true).await;
    hub.event("lock.unlocked").await;
    assert!(!bluez.calls().iter().any(|(path, _)| path.ends_with("hci0")), "hci0 is not ours");
}

#[tokio::test]
async fn a_scan_that_is_refused_or_ended_by_somebody_is_asked_for_again() {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    bluez.refuse_discovery(true);
    let mut hub = Daemon::start(&bus.address, DEVICES).await;
    bluez.called("hci0", "StartDiscovery", 2).await;
    bluez.refuse_discovery(false);
    bluez.forget_calls();
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 1, false).await;
    hub.event("device.connected").await;

    // Something stops the discovery behind our back.
    bluez.forget_calls();
    bluez.end_discovery("hci0").await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 2, true).await;
    hub.event("lock.unlocked").await;
}

#[tokio::test]
async fn a_battery_is_read_over_a_connection_and_the_device_let_go() {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let mut hub = Daemon::start(&bus.address, POLLED).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    silent(&bluez, SENSOR).await;
    bluez.add_battery("hci0", SENSOR, 12, OnConnect::Answer).await;
    hub.event("device.connected").await;
    let low = hub.event("device.low_battery").await;
    assert_eq!(low["battery_level"], 0.12);
    bluez.called("C0_FF_EE_00_00_02", "Disconnect", 1).await;
    assert!(!bluez.connected("hci0", SENSOR));
    assert!(!bluez.filters("hci0").is_empty(), "the scan goes on");
}

/// Adverts of the door keep making events while `SENSOR` fails in its way, and `OTHER` is read after it.
async fn failing_device(on_connect: OnConnect) {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let other = "[[devices]]\naddress = \"C0:FF:EE:00:00:03\"\ngatt_battery = true\n";
    let mut hub = Daemon::start(&bus.address, &format!("{DEVICES}{POLLED}{other}")).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    silent(&bluez, SENSOR).await;
    bluez.add_battery("hci0", SENSOR, 50, on_connect).await;
    bluez.called("C0_FF_EE_00_00_02", "Connect", 1).await;

    // Heard while the connection hangs, and only now a candidate itself.
    door(&bluez, "hci0", 1, false).await;
    door(&bluez, "hci0", 2, true).await;
    hub.event("lock.unlocked").await;
    bluez.called("C0_FF_EE_00_00_02", "Disconnect", 1).await;

    silent(&bluez, OTHER).await;
    bluez.add_battery("hci0", OTHER, 12, OnConnect::Answer).await;
    hub.event("device.low_battery").await;
    assert!(!bluez.connected("hci0", SENSOR) && !bluez.connected("hci0", OTHER));
    assert_eq!(hub.told_so_far().iter().filter(|t| *t == "device.disconnected").count(), 0);
}

#[tokio::test]
async fn a_device_that_refuses_holds_up_nobody() {
    failing_device(OnConnect::Refuse).await;
}

#[tokio::test]
async fn a_device_that_hangs_holds_up_nobody() {
    failing_device(OnConnect::Hang).await;
}

#[tokio::test]
async fn a_device_whose_services_never_come_is_let_go() {
    failing_device(OnConnect::NeverResolve).await;
}

#[tokio::test]
async fn a_bus_that_dies_during_a_reading_takes_nothing_along() {
    let mut bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let mut hub = Daemon::start(&bus.address, &format!("{DEVICES}{POLLED}")).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    silent(&bluez, SENSOR).await;
    bluez.add_battery("hci0", SENSOR, 50, OnConnect::Hang).await;
    bluez.called("C0_FF_EE_00_00_02", "Connect", 1).await;
    bus.kill().await;
    bus.restart().await;

    let bluez = Bluez::start(&bus).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    silent(&bluez, SENSOR).await;
    bluez.add_battery("hci0", SENSOR, 12, OnConnect::Answer).await;
    hub.event("device.low_battery").await;
    assert!(hub.is_running());
}

#[tokio::test]
async fn signals_of_others_and_nonsense_are_nobodys_word() {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let mut hub = Daemon::start(&bus.address, DEVICES).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    door(&bluez, "hci0", 1, false).await;
    hub.event("device.connected").await;

    // Another client of the bus says what only bluetoothd may say.
    let liar = zbus::connection::Builder::address(bus.address.as_str()).unwrap().build().await.unwrap();
    let unlocked = service_data(0xFCD2, &[0x40, 0x00, 9, 0x1F, 1], -60);
    let lie = ("org.bluez.Device1", unlocked, Vec::<String>::new());
    let path = "/org/bluez/hci0/dev_C0_FF_EE_00_00_01";
    let hub_name = bluez.clients().into_iter().next().expect("the hub discovers");
    let properties = "org.freedesktop.DBus.Properties";
    liar.emit_signal(Some(hub_name.as_str()), path, properties, "PropertiesChanged", &lie).await.unwrap();
    // And bluetoothd itself, broken.
    bluez.advertise("hci0", DOOR, fakebluez::properties([("RSSI", "loud".into())])).await;

    door(&bluez, "hci0", 2, false).await;
    door(&bluez, "hci0", 3, true).await;
    hub.event("lock.unlocked").await;
    door(&bluez, "hci0", 4, false).await;
    hub.event("lock.locked").await;
    assert_eq!(hub.told_so_far(), Vec::<String>::new(), "the lie was believed");
}
