//! Scenarios of the judgement: what a device's life, a battery, a noise, an account and a clock may and may not lead to.

#[path = "support/hub.rs"]
#[allow(dead_code)]
mod bench;

use bench::{HOME, NETWORK, NOON, Rig, ble, network, node, report};
use portcullis::event::{EventType, Issue};
use portcullis::hub::{Command, CommandError, Input, RowKind, ThresholdDraft};
use portcullis::signal::{
    Address, Description, DeviceKey, DeviceKind, DownReason, LinkNews, LockState, NodeStatus, Signal,
};
use portcullis::time::Wall;

const DOOR: &str = r#"
    [[devices]]
    address = "C0:FF:EE:00:00:01"
    name = "Front door"
"#;

fn door() -> Rig {
    let mut rig = Rig::new(DOOR);
    rig.hear(ble(1), []);
    rig.told();
    rig
}

fn battery(percent: u8) -> [Signal; 1] {
    [Signal::Battery { percent }]
}

// Devices

#[test]
fn a_configured_device_is_listed_before_it_is_heard_and_nothing_is_told_of_it() {
    let mut rig = Rig::new(DOOR);
    rig.wait(1.0);
    assert!(rig.log.is_empty());
    let row = rig.row(RowKind::Device, &rig.id(ble(1)).to_string()).unwrap();
    assert_eq!((row["name"].as_str(), row["online"].as_bool()), (Some("Front door"), Some(false)));
}

#[test]
fn a_device_taken_out_of_the_configuration_is_released_and_one_put_back_is_managed_again() {
    let mut rig = door();
    rig.configure("");
    assert_eq!(rig.told(), ["device.converted_to_unmanaged"]);
    rig.hear(ble(1), battery(10));
    assert!(rig.told().is_empty(), "nothing but its presence is told of an unmanaged device");
    rig.configure(DOOR);
    assert_eq!(rig.told(), ["device.unmanaged.converted_to_managed", "device.low_battery"]);
    rig.configure("");
    rig.configure(DOOR);
    assert_eq!(rig.told(), ["device.converted_to_unmanaged", "device.unmanaged.converted_to_managed"], "low once");
    rig.configure(DOOR);
    rig.restart(1);
    rig.wait(1.0);
    assert!(rig.told().is_empty());
}

#[test]
fn a_device_taken_out_while_the_daemon_was_away_is_released_at_its_start() {
    let mut rig = door();
    rig.configure_offline("");
    rig.restart(1);
    rig.wait(1.0);
    assert_eq!(rig.told(), ["device.converted_to_unmanaged"]);
}

#[test]
fn a_device_of_the_configuration_can_neither_be_deleted_nor_released_by_hand() {
    let mut rig = door();
    let device_id = rig.id(ble(1));
    for command in [Command::Delete { device_id }, Command::Release { device_id }] {
        assert!(matches!(rig.command(command), Err(CommandError::Refused(_))));
    }
    assert!(rig.told().is_empty());
}

#[test]
fn a_deleted_device_stays_silent_until_somebody_adopts_it() {
    let mut rig = Rig::new(r#"adopt.ble = "known""#);
    rig.hear(ble(7), battery(50));
    let device_id = rig.id(ble(7));
    rig.command(Command::Delete { device_id }).unwrap();
    assert_eq!(rig.told().last(), Some(&"device.deleted"));
    rig.listen(&[ble(7)], 5.0, 300.0);
    rig.hear(ble(7), battery(5));
    rig.restart(1);
    rig.listen(&[ble(7)], 5.0, 300.0);
    assert!(rig.told().iter().all(|t| !t.starts_with("device.")));
    rig.command(Command::Adopt { device_id, name: None }).unwrap();
    rig.hear(ble(7), []);
    assert_eq!(rig.told(), ["device.added", "device.connected"]);
    assert_eq!(rig.id(ble(7)), device_id);
}

#[test]
fn a_device_released_by_hand_is_not_taken_back_by_the_policy() {
    let mut rig = Rig::new(r#"adopt.ble = "known""#);
    rig.hear(ble(7), []);
    let device_id = rig.id(ble(7));
    rig.command(Command::Release { device_id }).unwrap();
    rig.told();
    rig.configure(r#"adopt.ble = "known""#);
    rig.restart(1);
    rig.hear(ble(7), []);
    assert!(rig.told().is_empty());
}

#[test]
fn a_node_number_that_is_used_again_is_another_device() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive), Signal::Battery { percent: 10 }]);
    let first = rig.id(node(2));
    rig.hear(node(2), [Signal::Removed]);
    assert_eq!(rig.told().last(), Some(&"device.removed"));
    rig.restart(1);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive), Signal::Battery { percent: 10 }]);
    assert_ne!(rig.id(node(2)), first);
    assert!(rig.told().contains(&"device.low_battery"), "the new device's battery is its own");
}

#[test]
fn another_product_under_a_known_node_number_is_another_device() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    let product = |id: &str| {
        let what = Description { fingerprint: Some(id.into()), ..Description::default() };
        [Signal::Described(Box::new(what)), Signal::Node(NodeStatus::Alive)]
    };
    rig.hear(node(2), product("003b:0001:0469"));
    let first = rig.id(node(2));
    rig.hear(node(2), product("003b:0001:0469"));
    assert_eq!(rig.id(node(2)), first);
    rig.told();
    rig.hear(node(2), product("0129:0006:0001"));
    assert_ne!(rig.id(node(2)), first);
    assert_eq!(rig.told(), ["device.removed", "device.added", "device.connected"]);
}

#[test]
fn a_node_that_was_excluded_while_nobody_listened_is_removed() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    rig.hear(node(3), [Signal::Node(NodeStatus::Alive)]);
    rig.told();
    rig.link(network(), LinkNews::Nodes { home: HOME, nodes: vec![3] });
    assert_eq!(rig.told(), ["device.removed"]);
}

#[test]
fn a_neighbours_device_is_told_after_a_minute_and_only_by_its_presence() {
    let mut rig = door();
    rig.hear(ble(9), battery(5));
    rig.listen(&[ble(1), ble(9)], 5.0, 50.0);
    assert!(rig.told().is_empty());
    rig.listen(&[ble(1), ble(9)], 5.0, 50.0);
    rig.hear(ble(9), [Signal::Lock(LockState::Unlocked), Signal::Tamper(true)]);
    assert_eq!(rig.told(), ["connected_account.completed_first_sync", "device.unmanaged.connected"]);
}

#[test]
fn forged_adverts_become_no_flood() {
    let mut rig = door();
    for n in 0..2000u16 {
        let [high, low] = n.to_be_bytes();
        let forged = DeviceKey::Ble(Address([0xC2, 0, 0, 0, high, low]));
        for _ in 0..3 {
            rig.hear(forged, battery(50));
            rig.at += 31_000;
            rig.hear(ble(1), []);
        }
    }
    let hub = rig.hub.as_ref().unwrap();
    assert_eq!(hub.devices().filter(|d| !d.managed && d.connected).count().max(256), 256);
    assert!(rig.rows_of(RowKind::Device) <= 257);
}

#[test]
fn a_name_changes_once_and_that_of_the_configuration_wins_when_it_changes() {
    let mut rig = door();
    let device_id = rig.id(ble(1));
    rig.command(Command::Rename { device_id, name: Some("Main door".into()) }).unwrap();
    rig.configure(DOOR);
    assert_eq!(rig.told(), ["device.name_changed"]);
    rig.configure(&DOOR.replace("Front door", "Oak door"));
    assert_eq!(rig.last(EventType::DeviceNameChanged).unwrap().details.device_name.as_deref(), Some("Oak door"));
}

#[test]
fn what_repeats_itself_is_neither_told_nor_written() {
    let mut rig = door();
    let all = vec![
        Signal::Battery { percent: 80 },
        Signal::Lock(LockState::Locked),
        Signal::Tamper(false),
        Signal::Door { open: false },
    ];
    rig.hear(ble(1), all.clone());
    rig.told();
    let written = rig.row_writes;
    for _ in 0..100 {
        rig.hear(ble(1), all.clone());
        rig.wait(1.0);
    }
    assert_eq!((rig.told(), rig.row_writes), (vec!["connected_account.completed_first_sync"], written + 1));
}

#[test]
fn a_restart_tells_nothing_of_what_was_told() {
    let mut rig = Rig::new(&format!("{DOOR}{NETWORK}"));
    let said = vec![
        Signal::Battery { percent: 15 },
        Signal::BatteryLow(true),
        Signal::Tamper(true),
        Signal::Privacy(true),
        Signal::ThirdParty(true),
        Signal::Lock(LockState::Unlocked),
    ];
    let dump = |rig: &mut Rig| {
        rig.bridge_up();
        rig.hear(ble(1), said.clone());
        rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
        rig.hear(node(2), said.clone());
        rig.wait(65.0);
    };
    dump(&mut rig);
    rig.told();
    rig.restart(20);
    dump(&mut rig);
    assert_eq!(rig.told(), Vec::<&str>::new());
}

// Batteries

#[test]
fn low_is_told_once_per_discharge_however_the_reading_trembles() {
    let mut rig = door();
    for percent in [30, 21, 20, 21, 19, 22, 24, 20, 18, 25, 20] {
        rig.hear(ble(1), battery(percent));
    }
    assert_eq!(rig.told().iter().filter(|t| **t == "device.low_battery").count(), 1);
    for percent in [26, 20] {
        rig.hear(ble(1), battery(percent));
    }
    assert_eq!(rig.told().iter().filter(|t| **t == "device.low_battery").count(), 1);
}

#[test]
fn a_device_that_calls_itself_low_is_told_with_its_last_level_at_most_the_threshold() {
    let mut rig = door();
    rig.hear(ble(1), battery(60));
    rig.hear(ble(1), [Signal::BatteryLow(true)]);
    assert_eq!(rig.last(EventType::DeviceLowBattery).unwrap().details.battery_level, Some(0.2));
    rig.told();
    // Its own verdict trembles, and its percents do not agree: it is one discharge.
    for low in [false, true, false, true] {
        rig.hear(ble(1), [Signal::BatteryLow(low), Signal::Battery { percent: 60 }]);
        rig.wait(600.0);
    }
    assert!(!rig.told().contains(&"device.low_battery"));
    // A new battery.
    rig.hear(ble(1), [Signal::BatteryLow(false), Signal::Battery { percent: 100 }]);
    rig.hear(ble(1), [Signal::BatteryLow(true)]);
    assert!(rig.told().contains(&"device.low_battery"));
}

#[test]
fn an_impossible_reading_is_no_reading() {
    let mut rig = door();
    rig.hear(ble(1), battery(90));
    let before = rig.row(RowKind::Device, &rig.id(ble(1)).to_string()).cloned();
    for percent in [254, 255, 101] {
        rig.hear(ble(1), battery(percent));
    }
    assert!(rig.told().is_empty());
    assert_eq!(rig.row(RowKind::Device, &rig.id(ble(1)).to_string()), before.as_ref());
}

#[test]
fn a_status_changes_at_once_for_the_worse_and_clearly_for_the_better() {
    let mut rig = door();
    for percent in [86, 84, 85, 86, 84, 87, 85, 20, 21, 22, 23, 5, 6, 7, 8] {
        rig.hear(ble(1), battery(percent));
    }
    let told = rig.log.iter().filter_map(|e| e.details.battery_status).map(|s| format!("{s:?}"));
    assert_eq!(told.collect::<Vec<_>>(), ["Good", "Full", "Low", "Good", "Critical", "Low"]);
}

#[test]
fn a_reading_that_never_changes_is_held_against_a_threshold_that_does() {
    let mut rig = door();
    rig.hear(ble(1), battery(25));
    rig.told();
    let stricter = format!("judgement.low_battery = 0.3\n{DOOR}");
    rig.configure(&stricter);
    assert_eq!(rig.told(), ["device.low_battery"]);
    rig.hear(ble(1), battery(25));
    rig.restart(1);
    rig.hear(ble(1), battery(25));
    assert!(rig.told().is_empty());
    // And one that was changed while the daemon was away.
    let mut rig = door();
    rig.hear(ble(1), battery(25));
    rig.told();
    rig.configure_offline(&stricter);
    rig.restart(1);
    rig.wait(1.0);
    assert_eq!(rig.told(), ["device.low_battery"]);
}

#[test]
fn the_age_of_a_reading_is_kept_though_it_does_not_change() {
    let mut rig = door();
    rig.hear(ble(1), battery(80));
    rig.wait(3600.0);
    rig.hear(ble(1), battery(80));
    rig.restart(1);
    let row = rig.row(RowKind::Device, &rig.id(ble(1)).to_string()).unwrap();
    assert_eq!(row["battery"]["read_at"], Wall(NOON + 3_600_000).to_string());
}

// Noise

fn noise(rig: &mut Rig, decibels: f32, seconds: f64) {
    rig.hear(ble(1), [Signal::SoundLevel { decibels }]);
    rig.listen(&[ble(1)], 5.0, seconds);
}

fn crossings(rig: &mut Rig) -> Vec<String> {
    let told = rig.log.iter().filter_map(|e| e.details.noise_threshold_name.clone()).collect();
    rig.log.clear();
    told
}

fn threshold(rig: &mut Rig, draft: ThresholdDraft) {
    noise(rig, 30.0, 1.0);
    let device_id = rig.id(ble(1));
    let builtin: Vec<_> = rig.hub.as_ref().unwrap().devices().flat_map(|d| d.noise.thresholds.clone()).collect();
    for old in builtin {
        rig.command(Command::DeleteNoiseThreshold { device_id, threshold_id: old.id }).unwrap();
    }
    rig.command(Command::SetNoiseThreshold { device_id, threshold_id: None, draft }).unwrap();
}

fn draft(name: &str, decibels: f64, starts: &str, ends: &str, duration_s: u32) -> ThresholdDraft {
    ThresholdDraft {
        name: Some(name.into()),
        decibels: Some(decibels),
        starts_daily_at: Some(starts.into()),
        ends_daily_at: Some(ends.into()),
        duration_s: Some(duration_s),
    }
}

#[test]
fn a_noise_is_told_once_when_it_has_lasted_and_again_only_after_it_has_ended() {
    let mut rig = door();
    threshold(&mut rig, draft("party", 70.0, "00:00", "00:00", 30));
    noise(&mut rig, 80.0, 25.0);
    noise(&mut rig, 60.0, 5.0);
    assert!(crossings(&mut rig).is_empty(), "25 s are not 30");
    noise(&mut rig, 80.0, 29.0);
    noise(&mut rig, 71.0, 60.0);
    // Under the threshold, but no quieter than a reading may be wrong by.
    noise(&mut rig, 68.0, 60.0);
    noise(&mut rig, 72.0, 60.0);
    assert_eq!(crossings(&mut rig), ["party"]);
    noise(&mut rig, 66.0, 1.0);
    noise(&mut rig, 72.0, 60.0);
    assert_eq!(crossings(&mut rig), ["party"]);
}

#[test]
fn a_noise_that_goes_on_into_a_window_is_told_when_its_duration_is_over_there() {
    let mut rig = Rig::new(&format!("hub.time_zone = \"Europe/Vienna\"\n{DOOR}"));
    rig.hear(ble(1), []);
    // NOON is 13:00 in Vienna.
    threshold(&mut rig, draft("siesta", 70.0, "14:00", "15:00", 60));
    noise(&mut rig, 80.0, 3598.0);
    assert!(crossings(&mut rig).is_empty());
    rig.listen(&[ble(1)], 5.0, 120.0);
    let told = rig.last(EventType::NoiseSensorNoiseThresholdTriggered).unwrap();
    assert_eq!(told.created_at, Wall(NOON + 3_600_000 + 60_000));
}

#[test]
fn a_noise_that_lasts_for_days_is_told_once_in_each_window() {
    let mut rig = door();
    // NOON, and a window across midnight.
    threshold(&mut rig, draft("night", 70.0, "23:00", "06:00", 60));
    rig.hear(ble(1), [Signal::SoundLevel { decibels: 80.0 }]);
    let hour = 3600.0;
    for _ in 0..8 {
        rig.listen(&[ble(1)], 20.0, 6.0 * hour);
    }
    let told: Vec<i64> =
        rig.log.iter().filter(|e| e.details.noise_threshold_name.is_some()).map(|e| e.created_at.0).collect();
    let at = |hours: i64| NOON + hours * 3_600_000 + 60_000;
    assert_eq!(told, [at(11), at(35)]);
}

#[test]
fn a_noise_is_told_in_its_window_though_the_clock_was_set_in_between() {
    let mut rig = door();
    threshold(&mut rig, draft("night", 70.0, "23:00", "06:00", 60));
    noise(&mut rig, 80.0, 600.0);
    // It was noon; a time service says that it is half past eleven at night.
    rig.wall_offset += 11 * 3_600_000 + 1_800_000;
    rig.listen(&[ble(1)], 5.0, 180.0);
    assert_eq!(crossings(&mut rig), ["night"]);
}

#[test]
fn what_time_of_day_it_is_nobody_guesses_from_a_clock_that_is_not_set() {
    let mut rig = in_1970();
    // Midnight, by a clock that was never set; it is noon.
    rig.hear(ble(1), [Signal::SoundLevel { decibels: 30.0 }]);
    threshold(&mut rig, draft("night", 70.0, "23:00", "06:00", 0));
    noise(&mut rig, 80.0, 60.0);
    (rig.wall_offset, rig.synchronized) = (NOON, true);
    noise(&mut rig, 80.0, 60.0);
    assert!(crossings(&mut rig).is_empty());
    // At a clock that nobody sets, the guess is all there is.
    let mut rig = in_1970();
    threshold(&mut rig, draft("night", 70.0, "23:00", "06:00", 0));
    noise(&mut rig, 80.0, 130.0);
    assert_eq!(crossings(&mut rig), ["night"]);
}

#[test]
fn thresholds_survive_a_restart_and_a_crossing_that_was_told_is_not_told_again() {
    let mut rig = door();
    threshold(&mut rig, draft("party", 70.0, "00:00", "00:00", 0));
    noise(&mut rig, 80.0, 5.0);
    assert_eq!(crossings(&mut rig), ["party"]);
    rig.restart(1);
    noise(&mut rig, 80.0, 60.0);
    assert!(crossings(&mut rig).is_empty());
}

#[test]
fn a_nonsensical_threshold_is_refused_with_the_reason() {
    let mut rig = door();
    noise(&mut rig, 30.0, 1.0);
    let device_id = rig.id(ble(1));
    let mut set = |draft| rig.command(Command::SetNoiseThreshold { device_id, threshold_id: None, draft });
    for bad in [draft("x", 60.0, "25:99", "08:00", 0), draft("x", -1.0, "22:00", "08:00", 0), ThresholdDraft::default()]
    {
        assert!(matches!(set(bad), Err(CommandError::Refused(_))));
    }
}

// Accounts

#[test]
fn an_adapter_that_is_off_for_a_moment_is_no_news_and_one_that_stays_off_is_told_once() {
    let mut rig = Rig::new(&format!("{DOOR}[[devices]]\naddress = \"C0:FF:EE:00:00:02\"\n"));
    rig.adapter(true);
    rig.listen(&[ble(1), ble(2)], 5.0, 300.0);
    rig.told();
    rig.adapter(false);
    rig.wait(100.0);
    rig.adapter(true);
    rig.listen(&[ble(1), ble(2)], 5.0, 300.0);
    assert!(rig.told().is_empty());
    rig.adapter(false);
    rig.wait(3600.0);
    let codes: Vec<_> = rig.log.iter().filter_map(|e| e.details.error_code.map(|c| c.as_str())).collect();
    assert_eq!(codes, ["hub_disconnected", "hub_disconnected"]);
    let mut told = rig.told();
    told.sort_unstable();
    assert_eq!(told, ["connected_account.disconnected", "device.disconnected", "device.disconnected"]);
    rig.adapter(true);
    rig.listen(&[ble(1), ble(2)], 5.0, 10.0);
    assert_eq!(rig.told(), ["connected_account.connected", "device.connected", "device.connected"]);
    rig.listen(&[ble(1), ble(2)], 5.0, 60.0);
    assert_eq!(rig.told(), ["connected_account.completed_first_sync_after_reconnection"]);
}

#[test]
fn what_was_lost_with_the_hub_before_a_restart_is_taken_back_by_the_first_advert_after_it() {
    let mut rig = Rig::new(&format!("{DOOR}[[devices]]\naddress = \"C0:FF:EE:00:00:02\"\n"));
    rig.listen(&[ble(1), ble(2)], 5.0, 600.0);
    rig.adapter(false);
    rig.wait(600.0);
    rig.restart(5);
    rig.told();
    rig.adapter(true);
    rig.hear(ble(1), []);
    rig.wait(1.0);
    assert_eq!(rig.told().iter().filter(|t| **t == "device.connected").count(), 2);
}

#[test]
fn a_device_that_left_is_not_lost_again_with_the_hub_nor_taken_back_with_it() {
    let three: String = (1..=3).map(|n| format!("[[devices]]\naddress = \"C0:FF:EE:00:00:0{n}\"\n")).collect();
    let mut rig = Rig::new(&three);
    rig.listen(&[ble(1), ble(2), ble(3)], 5.0, 1200.0);
    rig.listen(&[ble(1), ble(2)], 5.0, 600.0);
    let left = rig.id(ble(3));
    assert_eq!(rig.last(EventType::DeviceDisconnected).and_then(|e| e.device_id), Some(left));
    rig.told();
    rig.adapter(false);
    rig.wait(600.0);
    rig.adapter(true);
    rig.listen(&[ble(1), ble(2)], 5.0, 60.0);
    assert!(rig.log.iter().any(|e| e.event_type == EventType::DeviceDisconnected), "the others were lost");
    assert!(rig.log.iter().all(|e| e.device_id != Some(left)), "{:?}", rig.types());
}

#[test]
fn the_devices_of_a_bridge_that_refuses_us_are_told_so_once() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    rig.hear(node(3), [Signal::Node(NodeStatus::Asleep)]);
    rig.told();
    for _ in 0..3 {
        rig.link(network(), LinkNews::BridgeDown(DownReason::Refused));
        rig.wait(60.0);
    }
    let codes: Vec<_> = rig.log.iter().filter_map(|e| e.details.error_code.map(|c| c.as_str())).collect();
    assert_eq!(codes, ["account_disconnected", "account_disconnected"]);
    assert_eq!(rig.told(), ["connected_account.disconnected", "device.disconnected", "device.disconnected"]);
}

// Flaky

/// A node dies and comes back so often, every four minutes.
fn breaks(rig: &mut Rig, times: usize) {
    for _ in 0..times {
        rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
        rig.wait(120.0);
        rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
        rig.wait(120.0);
    }
}

#[test]
fn a_connection_that_goes_on_breaking_is_told_as_flaky_once_even_across_a_restart() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    breaks(&mut rig, 10);
    let flaky = |rig: &mut Rig| rig.told().iter().filter(|t| **t == "device.connection_became_flaky").count();
    assert_eq!(flaky(&mut rig), 1);
    rig.restart(5);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    breaks(&mut rig, 10);
    assert_eq!(flaky(&mut rig), 0);
}

#[test]
fn a_connection_is_stable_when_it_has_held_for_a_window_and_not_when_nobody_was_there_to_break_it() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    breaks(&mut rig, 4);
    rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    rig.wait(3500.0);
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    rig.told();
    rig.wait(3500.0);
    assert!(rig.told().is_empty(), "it has held for 58 minutes");
    rig.wait(200.0);
    assert_eq!(rig.told(), ["device.connection_stabilized"]);
}

#[test]
fn a_device_that_is_lost_with_its_hub_is_not_flaky_for_it() {
    let mut rig = Rig::new(&format!("{DOOR}{NETWORK}"));
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    rig.listen(&[ble(1)], 5.0, 300.0);
    rig.told();
    for _ in 0..6 {
        rig.adapter(false);
        rig.link(network(), LinkNews::BridgeDown(DownReason::Unreachable));
        rig.wait(300.0);
        rig.adapter(true);
        rig.bridge_up();
        rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
        rig.listen(&[ble(1)], 5.0, 60.0);
    }
    let told = rig.told();
    assert_eq!(told.iter().filter(|t| **t == "device.disconnected").count(), 12);
    assert!(!told.contains(&"device.connection_became_flaky"));
}

// The clock

/// A Pi that boots in 1970.
fn in_1970() -> Rig {
    let mut rig = Rig::new(DOOR);
    (rig.wall_offset, rig.synchronized) = (0, false);
    rig.crash(0);
    rig
}

#[test]
fn events_from_before_the_clock_was_set_are_told_with_their_true_dates_in_their_order() {
    let mut rig = in_1970();
    rig.hear(ble(1), battery(10));
    rig.wait(30.0);
    assert!(rig.log.is_empty());
    assert_eq!(rig.rows_of(RowKind::Held), 5);
    (rig.wall_offset, rig.synchronized) = (NOON, true);
    rig.hear(ble(1), battery(4));
    let dates: Vec<_> = rig.log.iter().map(|e| (e.created_at.0 - NOON, e.occurred_at.0 - NOON)).collect();
    assert_eq!(dates, [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (30_000, 30_000)]);
    assert!(rig.log.iter().all(|e| !e.details.clock_unsynchronized));
    let id = rig.log[0].event_id.get_timestamp().unwrap().to_unix();
    assert_eq!(id.0, NOON as u64 / 1000, "the id is of its date");
    assert_eq!(rig.rows_of(RowKind::Held), 0);
    let row = rig.row(RowKind::Device, &rig.id(ble(1)).to_string()).unwrap();
    assert_eq!(row["online_since"], Wall(NOON).to_string(), "the device's own dates are mended");
}

#[test]
fn the_issues_of_an_event_that_waited_have_true_dates_too() {
    let mut rig = Rig::new(NETWORK);
    (rig.wall_offset, rig.synchronized) = (0, false);
    rig.crash(0);
    rig.bridge_up();
    rig.wait(10.0);
    rig.link(network(), LinkNews::BridgeDown(DownReason::Unreachable));
    rig.wait(10.0);
    (rig.wall_offset, rig.synchronized) = (NOON, true);
    rig.wait(1.0);
    let told = rig.last(EventType::ConnectedAccountDisconnected).unwrap();
    let issues: &Vec<Issue> = told.details.connected_account_errors.as_ref().unwrap();
    assert_eq!(issues[0].created_at, Wall(NOON + 10_000).to_string());
}

#[test]
fn a_jam_from_before_the_clock_was_set_has_its_true_date() {
    let mut rig = in_1970();
    rig.hear(ble(1), [Signal::Lock(LockState::Locked)]);
    rig.hear(ble(1), [Signal::Lock(LockState::Jammed)]);
    rig.wait(10.0);
    (rig.wall_offset, rig.synchronized) = (NOON, true);
    rig.wait(1.0);
    let hub = rig.hub.as_ref().unwrap();
    let since = hub.devices().find(|d| d.key == ble(1)).unwrap().lock.jammed_since;
    assert_eq!(since, Some(Wall(NOON)));
}

#[test]
fn events_that_wait_for_the_clock_survive_a_crash() {
    let mut rig = in_1970();
    rig.hear(ble(1), battery(10));
    rig.crash(5);
    rig.wait(1.0);
    (rig.wall_offset, rig.synchronized) = (NOON, true);
    rig.wait(1.0);
    let told = rig.types();
    assert_eq!(told.iter().filter(|t| **t == "device.low_battery").count(), 1);
    assert!(rig.log.iter().all(|e| e.details.clock_unsynchronized), "nobody knows when that was");
}

#[test]
fn a_clock_that_nobody_sets_is_waited_for_no_longer_than_two_minutes() {
    let mut rig = in_1970();
    rig.hear(ble(1), battery(10));
    rig.wait(119.0);
    assert!(rig.log.is_empty());
    rig.wait(2.0);
    assert!(rig.types().contains(&"device.low_battery"));
    rig.hear(ble(1), [Signal::Tamper(true)]);
    assert!(rig.log.iter().all(|e| e.details.clock_unsynchronized));
    assert!(rig.log.is_sorted_by_key(|e| e.created_at));
    (rig.wall_offset, rig.synchronized) = (NOON, true);
    rig.hear(ble(1), [Signal::Tamper(false), Signal::Tamper(true)]);
    let last = rig.log.last().unwrap();
    assert!(!last.details.clock_unsynchronized && last.created_at.0 >= NOON);
}

#[test]
fn no_leap_of_the_clock_is_an_event_and_none_that_nobody_vouches_for_dates_one() {
    let mut rig = door();
    rig.listen(&[ble(1)], 5.0, 300.0);
    rig.told();
    let hour = 3_600_000;
    for leap in [hour, -hour, -24 * hour, 24 * hour] {
        rig.synchronized = false;
        rig.wall_offset += leap;
        rig.listen(&[ble(1)], 5.0, 300.0);
        assert!(rig.told().is_empty(), "{leap}");
        rig.hear(ble(1), [Signal::Doorbell]);
        assert_eq!(rig.log[0].created_at.0, NOON + rig.at as i64, "{leap}");
        rig.wall_offset = NOON;
        rig.log.clear();
    }
}

#[test]
fn a_leap_that_a_time_service_vouches_for_is_followed_but_never_back() {
    let mut rig = door();
    let hour = 3_600_000;
    rig.wall_offset += hour;
    rig.hear(ble(1), [Signal::Doorbell]);
    rig.wall_offset -= 2 * hour;
    rig.hear(ble(1), [Signal::Doorbell]);
    let dates: Vec<_> = rig.log.iter().map(|e| (e.created_at.0 - NOON, e.occurred_at.0 - NOON)).collect();
    assert_eq!(dates, [(hour, hour), (hour, -hour)]);
}

// Keypads

#[test]
fn a_keypad_that_its_lock_reports_is_told_on_its_edges() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    let what = Description { kind: Some(DeviceKind::Lock), ..Description::default() };
    rig.hear(node(2), [Signal::Described(Box::new(what)), Signal::Node(NodeStatus::Alive)]);
    rig.told();
    for connected in [false, true, true, false, false, true] {
        rig.give(Input::Report(report(node(2), vec![Signal::Keypad { connected }])));
    }
    let (came, went) = ("device.accessory_keypad_connected", "device.accessory_keypad_disconnected");
    assert_eq!(rig.told(), [came, went, came]);
}

// Networks that come and go

#[test]
fn what_a_link_still_says_of_a_network_that_was_taken_out_makes_no_account() {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    rig.configure("");
    assert_eq!(rig.told().last(), Some(&"device.deleted"));
    rig.link(network(), LinkNews::BridgeDown(DownReason::Unreachable));
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    assert_eq!(rig.told(), [""; 0]);
    assert_eq!(rig.rows_of(RowKind::Account) + rig.rows_of(RowKind::Device), 0);
}
