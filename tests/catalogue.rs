//! Every type of the classic catalogue (except the access codes', whose causes have tests of their own) is caused once by what a
//! real source says, and is then what `seam/events.json` says it is, in both dialects.

#[path = "support/hub.rs"]
#[allow(dead_code)]
mod bench;
#[path = "support/catalogue.rs"]
mod words;

use bench::{HOME, NETWORK, Rig, ble, network, node};
use portcullis::event::{Dialect, Event, EventType};
use portcullis::hub::Command;
use portcullis::signal::{
    DenyReason, Description, DeviceKind, DownReason, LinkNews, LockUser, Method, NodeStatus, Signal,
};
use serde_json::Value;
use uuid::Uuid;
use words::{catalogue, names};

/// Checks an event against its entry.
fn check(event: &Event, dialect: Dialect) {
    words::check(&event.render(dialect), dialect);
}

/// The event of this type that was told last, checked in both dialects.
fn caused(rig: &Rig, event_type: EventType) -> Value {
    let event = rig.last(event_type).unwrap_or_else(|| panic!("{event_type} is not among {:?}", rig.types()));
    check(event, Dialect::Classic);
    check(event, Dialect::Current);
    serde_json::from_str(&event.render(Dialect::Current)).unwrap()
}

const TWO: &str = r#"
    [[devices]]
    address = "C0:FF:EE:00:00:01"
    name = "Front door"
    [[devices]]
    address = "C0:FF:EE:00:00:02"
    name = "Cellar"
"#;

/// A hub that hears two listed sensors.
fn sensors() -> Rig {
    let mut rig = Rig::new(TWO);
    rig.hear(ble(1), [Signal::Battery { percent: 90 }]);
    rig.hear(ble(2), []);
    rig
}

/// A hub on a network with a lock that is alive.
fn lock() -> Rig {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    let what = Description { kind: Some(DeviceKind::Lock), name: Some("Front door".into()), ..Description::default() };
    rig.hear(node(2), [Signal::Described(Box::new(what)), Signal::Node(NodeStatus::Alive)]);
    rig
}

/// The listed sensors until the second one is silent for good.
fn one_falls_silent() -> Rig {
    let mut rig = sensors();
    rig.listen(&[ble(1), ble(2)], 5.0, 600.0);
    rig.listen(&[ble(1)], 5.0, 1200.0);
    rig
}

#[test]
fn connected_account_created() {
    assert_eq!(caused(&sensors(), EventType::ConnectedAccountCreated)["device_id"], Value::Null);
    caused(&lock(), EventType::ConnectedAccountCreated);
}

#[test]
fn connected_account_connected() {
    caused(&sensors(), EventType::ConnectedAccountConnected);
    caused(&lock(), EventType::ConnectedAccountConnected);
}

#[test]
fn connected_account_successful_login() {
    let mut rig = Rig::new(NETWORK);
    let form = Uuid::from_u128(0xF0);
    rig.command(Command::Login { network: "main".into(), connect_webview_id: form }).unwrap();
    assert!(rig.log.is_empty());
    rig.bridge_up();
    assert_eq!(caused(&rig, EventType::ConnectedAccountSuccessfulLogin)["connect_webview_id"], form.to_string());
}

#[test]
fn connected_account_disconnected() {
    let mut rig = lock();
    rig.link(network(), LinkNews::BridgeDown(DownReason::Unreachable));
    let told = caused(&rig, EventType::ConnectedAccountDisconnected);
    assert_eq!(told["connected_account_errors"][0]["error_code"], "bridge_disconnected");
    let device = caused(&rig, EventType::DeviceDisconnected);
    assert_eq!(device["error_code"], "hub_disconnected");
    assert_eq!(device["connected_account_errors"], told["connected_account_errors"]);
}

#[test]
fn connected_account_deleted() {
    let mut rig = lock();
    rig.configure("");
    caused(&rig, EventType::ConnectedAccountDeleted);
    caused(&rig, EventType::DeviceDeleted);
}

#[test]
fn connected_account_completed_first_sync() {
    let mut rig = lock();
    caused(&rig, EventType::ConnectedAccountCompletedFirstSync);
    rig.link(network(), LinkNews::BridgeDown(DownReason::DriverDown));
    rig.told();
    rig.bridge_up();
    caused(&rig, EventType::ConnectedAccountCompletedFirstSyncAfterReconnection);
    assert!(rig.last(EventType::ConnectedAccountCompletedFirstSync).is_none());
}

/// A lock and its keypad.
fn keypad() -> Rig {
    let mut rig = Rig::new(&format!("{TWO}\naccessory_of = \"C0:FF:EE:00:00:01\"\n"));
    rig.hear(ble(1), []);
    rig.hear(ble(2), []);
    rig
}

#[test]
fn device_accessory_keypad_connected() {
    let rig = keypad();
    let told = caused(&rig, EventType::DeviceAccessoryKeypadConnected);
    assert_eq!(told["device_id"], rig.id(ble(1)).to_string());
}

#[test]
fn device_accessory_keypad_disconnected() {
    let mut rig = keypad();
    rig.listen(&[ble(1), ble(2)], 5.0, 600.0);
    rig.listen(&[ble(1)], 5.0, 1200.0);
    caused(&rig, EventType::DeviceAccessoryKeypadDisconnected);
}

#[test]
fn device_connected() {
    let rig = sensors();
    caused(&rig, EventType::DeviceAdded);
    caused(&rig, EventType::DeviceConnected);
}

#[test]
fn device_disconnected() {
    let told = caused(&one_falls_silent(), EventType::DeviceDisconnected);
    assert_eq!(told["error_code"], "device_disconnected");
    assert_eq!(told["device_errors"][0]["error_code"], "device_disconnected");
}

#[test]
fn device_removed() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::Removed]);
    caused(&rig, EventType::DeviceRemoved);
}

#[test]
fn device_deleted() {
    let mut rig = lock();
    let device_id = rig.id(node(2));
    rig.command(Command::Delete { device_id }).unwrap();
    assert_eq!(caused(&rig, EventType::DeviceDeleted)["device_name"], "Front door");
}

#[test]
fn device_low_battery() {
    let mut rig = sensors();
    rig.hear(ble(1), [Signal::Battery { percent: 20 }]);
    assert_eq!(caused(&rig, EventType::DeviceLowBattery)["battery_level"], 0.2);
}

#[test]
fn device_battery_status_changed() {
    let mut rig = sensors();
    rig.hear(ble(1), [Signal::Battery { percent: 60 }]);
    let told = caused(&rig, EventType::DeviceBatteryStatusChanged);
    assert_eq!((told["battery_status"].as_str(), told["battery_level"].as_f64()), (Some("good"), Some(0.6)));
}

#[test]
fn device_tampered() {
    let mut rig = sensors();
    rig.hear(ble(1), [Signal::Tamper(true)]);
    caused(&rig, EventType::DeviceTampered);
}

#[test]
fn device_connection_became_flaky() {
    let mut rig = lock();
    for _ in 0..4 {
        rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
        rig.wait(120.0);
        rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
        rig.wait(120.0);
    }
    let told = caused(&rig, EventType::DeviceConnectionBecameFlaky);
    assert_eq!(told["device_warnings"][0]["warning_code"], "device_has_flaky_connection");
    rig.wait(3700.0);
    caused(&rig, EventType::DeviceConnectionStabilized);
}

#[test]
fn device_salto_privacy_mode_activated() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::Privacy(true)]);
    caused(&rig, EventType::DeviceSaltoPrivacyModeActivated);
}

#[test]
fn device_salto_privacy_mode_deactivated() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::Privacy(true)]);
    rig.hear(node(2), [Signal::Privacy(false)]);
    caused(&rig, EventType::DeviceSaltoPrivacyModeDeactivated);
}

#[test]
fn device_third_party_integration_detected() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::ThirdParty(true)]);
    caused(&rig, EventType::DeviceThirdPartyIntegrationDetected);
    rig.hear(node(2), [Signal::ThirdParty(false)]);
    caused(&rig, EventType::DeviceThirdPartyIntegrationNoLongerDetected);
}

#[test]
fn device_unmanaged_connected() {
    let mut rig = sensors();
    rig.listen(&[ble(1), ble(2), ble(9)], 5.0, 120.0);
    caused(&rig, EventType::DeviceUnmanagedConnected);
}

#[test]
fn device_unmanaged_disconnected() {
    let mut rig = sensors();
    rig.listen(&[ble(1), ble(2), ble(9)], 5.0, 600.0);
    rig.listen(&[ble(1), ble(2)], 5.0, 1200.0);
    assert_eq!(caused(&rig, EventType::DeviceUnmanagedDisconnected)["error_code"], "device_disconnected");
}

/// A stranger that was adopted.
fn adopted() -> (Rig, Uuid) {
    let mut rig = sensors();
    rig.listen(&[ble(1), ble(2), ble(9)], 5.0, 120.0);
    let device_id = rig.id(ble(9));
    rig.command(Command::Adopt { device_id, name: Some("Attic".into()) }).unwrap();
    (rig, device_id)
}

#[test]
fn device_unmanaged_converted_to_managed() {
    let (rig, _) = adopted();
    caused(&rig, EventType::DeviceUnmanagedConvertedToManaged);
    assert_eq!(caused(&rig, EventType::DeviceNameChanged)["device_name"], "Attic");
}

#[test]
fn device_converted_to_unmanaged() {
    let (mut rig, device_id) = adopted();
    rig.command(Command::Release { device_id }).unwrap();
    caused(&rig, EventType::DeviceConvertedToUnmanaged);
}

#[test]
fn lock_unlocked() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::LockOperation { locked: false, method: Method::Keycode, user: Some(LockUser(3)) }]);
    assert_eq!(caused(&rig, EventType::LockUnlocked)["method"], "keycode");
}

#[test]
fn lock_locked() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::LockOperation { locked: true, method: Method::Card, user: None }]);
    assert_eq!(caused(&rig, EventType::LockLocked)["method"], "card");
}

#[test]
fn lock_access_denied() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::AccessDenied { reason: DenyReason::TooManyAttempts, user: None }]);
    assert_eq!(caused(&rig, EventType::LockAccessDenied)["reason"]["reason_code"], "too_many_attempts");
}

#[test]
fn noise_sensor_noise_threshold_triggered() {
    let mut rig = sensors();
    rig.hear(ble(1), [Signal::SoundLevel { decibels: 81.25 }]);
    rig.listen(&[ble(1)], 5.0, 61.0);
    let told = caused(&rig, EventType::NoiseSensorNoiseThresholdTriggered);
    assert_eq!(told["noise_level_decibels"], 81.3);
    // At noon: the quiet hours' threshold is lower, and does not count.
    let thresholds: Vec<_> = rig.log.iter().filter_map(|e| e.details.noise_threshold_name.as_deref()).collect();
    assert_eq!(thresholds, ["builtin_normal_hours", "builtin_first_disturbance"]);
}

#[test]
fn device_doorbell_rang() {
    let mut rig = sensors();
    rig.hear(ble(1), [Signal::Doorbell]);
    caused(&rig, EventType::DeviceDoorbellRang);
}

/// The tests above bear the names of the types they cause: a type that nobody causes is found here.
#[test]
fn every_type_of_the_classic_catalogue_is_caused_by_the_test_of_its_name() {
    let source = include_str!("catalogue.rs");
    let classic = catalogue().into_iter().filter(|(_, entry)| entry["in_seed"] == true).map(|(name, _)| name);
    let classic: Vec<String> = classic.collect();
    assert_eq!(classic.len(), 44);
    for name in classic.iter().filter(|name| !name.starts_with("access_code.")) {
        let event_type: EventType = name.parse().unwrap_or_else(|e| panic!("{e}"));
        let test = source.split_once(&format!("#[test]\nfn {}() {{", name.replace('.', "_")));
        let body = test.and_then(|(_, rest)| rest.split_once("\n}\n")).map_or("", |(body, _)| body);
        assert!(body.contains(&format!("EventType::{event_type:?})")), "{name} has no test that causes it");
    }
}

#[test]
fn an_event_of_every_type_has_what_its_type_needs_and_nothing_else() {
    use portcullis::event::{BatteryStatus, CodeFacts, Details, ErrorCode, Issues};
    use portcullis::signal::Secret;
    use portcullis::time::Wall;
    let id = Some(Uuid::from_u128(7));
    for &event_type in EventType::ALL {
        let name = event_type.as_str();
        let entry = catalogue()[name].clone();
        let wants = |property: &str| names(&entry["required"]).contains(property).then_some(());
        let issues = |from: Issues| (event_type.issues() >= from).then(Vec::new);
        let facts = || match event_type {
            EventType::AccessCodeCodeChanged => CodeFacts::Digits { code: Some(Secret::new("1234")) },
            EventType::AccessCodeTimeFrameChanged => CodeFacts::TimeFrame { starts_at: None, ends_at: None },
            _ => CodeFacts::Name { name: None },
        };
        let event = Event {
            event_id: Uuid::from_u128(1),
            event_type,
            workspace_id: Uuid::from_u128(2),
            created_at: Wall(bench::NOON),
            occurred_at: Wall(bench::NOON),
            connected_account_id: Uuid::from_u128(3),
            device_id: id.filter(|_| !name.starts_with("connected_account.")),
            details: Details {
                access_code_id: wants("access_code_id").and(id),
                backup_access_code_id: wants("backup_access_code_id").and(id),
                action_attempt_id: wants("action_attempt_id").and(id),
                action_type: wants("action_type").map(|()| "LOCK_DOOR".into()),
                status: wants("status").map(|()| "success".into()),
                battery_level: wants("battery_level").map(|()| 0.1),
                battery_status: wants("battery_status").map(|()| BatteryStatus::Low),
                code: wants("code").map(|()| Secret::new("1234")),
                connect_webview_id: wants("connect_webview_id").and(id),
                device_name: wants("device_name").map(|()| "Front door".into()),
                error_code: wants("error_code").map(|()| ErrorCode::DeviceDisconnected),
                method: wants("method").map(|()| Method::Api),
                description: wants("description").map(|()| "The code has another name.".into()),
                from: wants("from").map(|()| facts()),
                to: wants("to").map(|()| facts()),
                connected_account_errors: issues(Issues::Account),
                connected_account_warnings: issues(Issues::Account),
                device_errors: issues(Issues::Device),
                device_warnings: issues(Issues::Device),
                access_code_errors: issues(Issues::AccessCode),
                access_code_warnings: issues(Issues::AccessCode),
                ..Details::default()
            },
        };
        check(&event, Dialect::Current);
        check(&event, Dialect::Classic);
        let parsed: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
        assert_eq!(parsed, event, "{name} does not survive its own JSON");
    }
}

/// What is known of an unlock in the current dialect; the classic one leaves out the digits, and has its own word for us.
#[test]
fn the_classic_dialect_adds_only_what_it_is_known_to_add() {
    let mut rig = lock();
    rig.hear(node(2), [Signal::LockOperation { locked: false, method: Method::Api, user: None }]);
    let mut event = rig.last(EventType::LockUnlocked).unwrap().clone();
    let id = Some(Uuid::from_u128(7));
    (event.details.access_code_id, event.details.action_attempt_id) = (id, id);
    event.details.access_code_is_managed = Some(true);
    event.details.code = Some(portcullis::signal::Secret::new("1234"));
    check(&event, Dialect::Current);
    check(&event, Dialect::Classic);
    let types = catalogue().values().filter(|entry| entry["in_seed"] == true).count();
    assert_eq!(types, 44, "the classic catalogue");
}

#[test]
fn the_home_id_makes_the_account() {
    let rig = lock();
    let account = rig.hub.as_ref().unwrap().accounts().next().unwrap().clone();
    assert_eq!((account.home, account.network.as_deref()), (Some(HOME), Some("main")));
}
