//! The radio on a real D-Bus: the real daemon against BlueZ's interfaces, from advert to subscriber.
//!
//! `make test-bluez` does the same on the real bluetoothd and kernel.

#[path = "support/bthome.rs"]
mod bthome;
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

/// A hub with these devices that listens on the one adapter of a bus of its own.
async fn listening(devices: &str) -> (Bus, Bluez, Daemon) {
    let bus = Bus::start().await;
    let bluez = Bluez::start(&bus).await;
    let hub = Daemon::start(&bus.address, devices).await;
    bluez.called("hci0", "StartDiscovery", 1).await;
    (bus, bluez, hub)
}

#[tokio::test]
async fn an_advert_becomes_an_event_at_the_subscriber() {
    let (_bus, bluez, mut hub) = listening(DEVICES).await;
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
    let (_bus, bluez, mut hub) = listening(DEVICES).await;
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
    let (_bus, bluez, mut hub) = listening(POLLED).await;
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
    let other = "[[devices]]\naddress = \"C0:FF:EE:00:00:03\"\ngatt_battery = true\n";
    let (_bus, bluez, mut hub) = listening(&format!("{DEVICES}{POLLED}{other}")).await;
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
    let (mut bus, bluez, mut hub) = listening(&format!("{DEVICES}{POLLED}")).await;
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
    let (bus, bluez, mut hub) = listening(DEVICES).await;
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

/// BTHome v2 as a device with the key 231d… and this address seals it; the second frame counts below the first.
const SEALED: &str = "54:48:E6:8F:80:A5";
const SEALED_FRAMES: [&str; 2] = ["41e445f3c9962b332211006c7c4519", "41723d3035fb88322211009e7414c0"];
const KEYS: &str = "
[[devices]]
address = \"54:48:E6:8F:80:A5\"
bindkey = \"231d39c1d7cc1ab1aee224cd096db932\"
[[devices]]
address = \"C0:FF:EE:00:00:02\"
[[devices]]
address = \"C0:FF:EE:00:00:03\"
bindkey = \"000102030405060708090a0b0c0d0e0f\"
";

#[tokio::test]
async fn a_missing_key_a_wrong_one_and_a_stale_counter_are_told_apart_and_said_how_to_mend() {
    let (_bus, bluez, mut hub) = listening(&format!("{DEVICES}{KEYS}")).await;
    let frames = SEALED_FRAMES.map(|frame| service_data(0xFCD2, &hex::decode(frame).unwrap(), -60));
    for address in [SEALED, SENSOR, OTHER] {
        bluez.advertise("hci0", address, frames[0].clone()).await;
        // Heard, though not understood: it is there.
        hub.event("device.connected").await;
    }
    bluez.advertise("hci0", SEALED, frames[1].clone()).await;
    // What came before this event has been heard.
    door(&bluez, "hci0", 1, false).await;
    hub.event("device.connected").await;

    let told =
        [(SEALED, "replay", "after a battery change"), (SENSOR, "no_key", "bindkey"), (OTHER, "wrong_key", "anew")];
    let devices = hub.ask(&["devices"]).await;
    let doctor = hub.ask(&["doctor"]).await;
    for (address, code, fix) in told {
        let key = format!("ble:{address}");
        let device = devices.as_array().unwrap().iter().find(|d| d["properties"]["key"] == key).expect("it is listed");
        assert_eq!(device["trouble"]["code"], code, "{device}");
        let finding = doctor["findings"].as_array().unwrap().iter().find(|f| f["part"] == key).expect("it is found");
        assert_eq!((&finding["state"], &finding["what"]), (&"wrong".into(), &device["trouble"]["what"]));
        assert!(finding["fix"].as_str().unwrap().contains(fix), "{finding}");
    }
    let door = devices.as_array().unwrap().iter().find(|d| d["properties"]["key"] == format!("ble:{DOOR}")).unwrap();
    assert!(door.get("trouble").is_none(), "{door}");
}

/// Of a device with the key of [`SEALED`].
fn sealed_lock(counter: u32, unlocked: bool) -> Vec<u8> {
    bthome::sealed_lock(SEALED, "231d39c1d7cc1ab1aee224cd096db932", counter, unlocked)
}

#[tokio::test]
async fn a_frame_recorded_before_a_restart_is_not_believed_after_it() {
    let (bus, bluez, mut hub) = listening(&format!("{DEVICES}{KEYS}")).await;
    for (counter, unlocked) in [(1, false), (2, true), (3, false)] {
        bluez.advertise("hci0", SEALED, service_data(0xFCD2, &sealed_lock(counter, unlocked), -60)).await;
    }
    hub.event("lock.unlocked").await;
    hub.event("lock.locked").await;
    hub.restart(&bus.address).await;
    bluez.called("hci0", "StartDiscovery", 2).await;
    bluez.advertise("hci0", SEALED, service_data(0xFCD2, &sealed_lock(2, true), -60)).await;
    // What came before this event has been heard.
    door(&bluez, "hci0", 1, false).await;
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "device.connected") {
        told.push(hub.events.next().await.json()["event_type"].as_str().unwrap().to_owned());
    }
    assert!(!told.contains(&"lock.unlocked".to_owned()), "the recording was believed: {told:?}");
}
