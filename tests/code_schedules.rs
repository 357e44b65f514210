//! Codes with dates on a lock that keeps dates itself: written ahead, opening in time, and right whatever happens to clocks and hubs.

#[path = "support/house.rs"]
#[allow(dead_code)]
mod house;
#[path = "support/hub.rs"]
#[allow(dead_code)]
mod hub;
#[path = "support/lock.rs"]
#[allow(dead_code)]
mod lock;

use house::{House, code};
use hub::node;
use lock::Mood;
use portcullis::event::EventType::{self, *};
use portcullis::hub::{Action, CodeDraft};
use portcullis::signal::{NodeStatus, Signal};
use portcullis::time::Wall;
use uuid::Uuid;

const HOUR: i64 = 3_600_000;

/// From so many hours from now until so many.
fn dated(house: &House, digits: &str, from: i64, until: i64) -> CodeDraft {
    let at = |hours: i64| Some(Wall(house.wall().0 + hours * HOUR));
    CodeDraft { starts_at: at(from), ends_at: at(until), ..code(digits) }
}

fn told(house: &House, guest: Uuid) -> Vec<&'static str> {
    let of = house.rig.log.iter().filter(|e| e.details.access_code_id == Some(guest));
    of.map(|e| e.event_type.as_str().trim_start_matches("access_code.")).collect()
}

fn count(house: &House, event_type: EventType) -> usize {
    house.count(event_type)
}

fn commands(house: &House) -> Vec<&'static str> {
    let name = |action: &Action| match action {
        Action::SetCode { .. } => "write",
        Action::ClearCode { .. } => "clear",
        Action::ReadCode { .. } => "read",
        Action::SetSchedule { schedule: Some(_), .. } => "dates",
        Action::SetSchedule { schedule: None, .. } => "no dates",
        Action::SetClock { .. } => "clock",
        _ => "?",
    };
    house.sent.iter().map(|(_, action)| name(action)).collect()
}

fn device_says(house: &House) -> String {
    let row = house.rig.row(portcullis::hub::RowKind::Device, &house.device_id().to_string()).expect("a device");
    row["access_codes"]["schedules"].as_str().expect("it is managed").to_owned()
}

#[test]
fn a_code_is_there_three_days_ahead_told_as_scheduled_and_as_set_when_it_begins() {
    let mut house = House::dated();
    let draft = dated(&house, "4711", 100, 120);
    let guest = house.create(draft);
    house.pass(27.0 * 3600.0);
    assert_eq!((told(&house, guest), house.sent.len()), (vec!["created"], 0), "too early");
    house.pass(2.0 * 3600.0);
    assert_eq!(told(&house, guest), ["created", "scheduled_on_device"]);
    assert_eq!(commands(&house), ["clock", "read", "dates", "write", "dates"]);
    let row = house.row(guest);
    assert_eq!((row["status"].as_str(), row["is_scheduled_on_device"].as_bool()), (Some("unset"), Some(true)));
    let event = house.rig.last(AccessCodeScheduledOnDevice).unwrap();
    assert_eq!(event.details.code.as_ref().map(|code| code.reveal().to_owned()).as_deref(), Some("4711"));
    assert!(!house.opens("4711"));

    house.pass(71.0 * 3600.0 - 60.0);
    assert!(!house.opens("4711") && count(&house, AccessCodeSetOnDevice) == 0, "a minute before");
    house.pass(60.0);
    assert_eq!(told(&house, guest), ["created", "scheduled_on_device", "set_on_device"]);
    assert!(house.opens("4711"));
    let row = house.row(guest);
    assert_eq!((row["status"].as_str(), row["is_scheduled_on_device"].as_bool()), (Some("set"), Some(false)));

    house.pass(20.0 * 3600.0 + 60.0);
    assert_eq!(told(&house, guest)[3..], ["removed_from_device", "deleted"]);
    assert!(house.lock().table.is_empty());
}

#[test]
fn a_lock_closes_to_a_code_that_ended_while_the_hub_was_off() {
    let mut house = House::dated();
    let draft = dated(&house, "4711", 1, 3);
    let guest = house.create(draft);
    house.pass(60.0);
    house.rig.crash(2 * 3600);
    assert!(house.opens("4711"), "it began without the hub");
    house.rig.crash(2 * 3600);
    assert!(!house.opens("4711"), "and ended without it");
    house.bridge_up();
    house.pass(60.0);
    assert_eq!(told(&house, guest).last(), Some(&"deleted"));
    assert!(house.lock().table.is_empty());
}

#[test]
fn a_hub_that_comes_back_after_the_start_tells_that_the_code_is_set_and_writes_nothing() {
    let mut house = House::dated();
    let draft = dated(&house, "4711", 1, 30);
    let guest = house.create(draft);
    house.pass(60.0);
    house.rig.crash(2 * 3600);
    house.sent.clear();
    house.bridge_up();
    house.pass(60.0);
    assert_eq!(told(&house, guest), ["created", "scheduled_on_device", "set_on_device"]);
    // The new hub does not know when the lock's clock was set.
    assert_eq!(commands(&house), ["clock"]);
}

#[test]
fn new_dates_and_new_digits_are_given_to_the_lock_and_told() {
    let mut house = House::dated();
    let draft = dated(&house, "4711", 5, 10);
    let guest = house.create(draft);
    house.pass(60.0);
    // Later: it is told anew; and a code that is in force keeps opening while its end is moved.
    let draft = CodeDraft { code: None, ..dated(&house, "4711", 6, 12) };
    house.change(guest, draft);
    house.pass(60.0);
    assert_eq!(told(&house, guest)[2..], ["changed", "time_frame_changed", "scheduled_on_device"]);
    house.change(guest, code("0815"));
    house.pass(60.0);
    assert_eq!(told(&house, guest)[5..], ["changed", "code_changed", "scheduled_on_device"]);
    house.pass(6.0 * 3600.0);
    assert_eq!(told(&house, guest)[8..], ["set_on_device"]);
    let later = Wall(house.wall().0 + 20 * HOUR);
    house.change(guest, CodeDraft { ends_at: Some(later), ..CodeDraft::default() });
    assert!(house.opens("0815"));
    house.pass(60.0);
    assert_eq!(told(&house, guest)[9..], ["changed", "time_frame_changed"]);
    house.pass(10.0 * 3600.0);
    assert!(house.opens("0815"), "beyond its first end");
    // So far off that it has to go.
    let draft = CodeDraft { code: None, ..dated(&house, "", 100, 120) };
    house.change(guest, draft);
    house.pass(60.0);
    assert_eq!(told(&house, guest)[11..], ["changed", "time_frame_changed", "removed_from_device"]);
    assert!(house.lock().table.is_empty());
    house.pass(29.0 * 3600.0);
    assert_eq!(told(&house, guest).last(), Some(&"scheduled_on_device"));
}

#[test]
fn a_code_for_ever_is_freed_of_what_dates_its_slot_had() {
    let mut house = House::dated();
    let draft = dated(&house, "1111", 1, 3);
    let guest = house.create(draft);
    house.pass(60.0);
    let kept = house.lock().dates[&20];
    house.delete(guest);
    house.pass(60.0);
    assert_eq!(told(&house, guest)[2..], ["removed_from_device", "deleted"]);
    house.lock().dates = (20..30).map(|slot| (slot, kept)).collect();
    let resident = house.create(code("4711"));
    house.pass(60.0);
    assert_eq!(told(&house, resident), ["created", "set_on_device"]);
    assert!(house.opens("4711"));
    let draft = dated(&house, "", 0, 5);
    house.change(resident, CodeDraft { code: None, starts_at: None, ..draft });
    house.pass(60.0);
    assert_eq!(house.lock().dates[&21].until.to_string(), "2026-01-15 18:03:00", "an end is given to the lock, too");
    assert!(house.opens("4711"));
    house.change(resident, CodeDraft { ongoing: true, ..CodeDraft::default() });
    house.pass(60.0);
    assert!(!house.lock().dates.contains_key(&21) && house.opens("4711"));
    assert_eq!(count(&house, AccessCodeSetOnDevice), 1, "it was set all the time");
}

#[test]
fn a_lock_that_does_not_keep_dates_is_found_out_and_the_hub_keeps_them() {
    for mood in [Mood::Ignoring, Mood::Refusing] {
        let mut house = House::dated();
        house.moods = vec![mood; 3];
        let draft = dated(&house, "4711", 1, 3);
        let guest = house.create(draft);
        assert_eq!(device_says(&house), "lock");
        house.pass(600.0);
        assert_eq!((told(&house, guest), device_says(&house).as_str()), (vec!["created"], "hub"), "{mood:?}");
        assert!(house.lock().table.is_empty());
        house.pass(3600.0);
        assert_eq!(told(&house, guest), ["created", "set_on_device"], "{mood:?}");
        assert!(house.opens("4711"));
        house.pass(2.0 * 3600.0);
        assert!(house.lock().table.is_empty());
        // A day later it is given another chance.
        house.pass(24.0 * 3600.0);
        let draft = dated(&house, "0815", 1, 3);
        let next = house.create(draft);
        house.pass(60.0);
        assert_eq!((told(&house, next).last(), device_says(&house).as_str()), (Some(&"scheduled_on_device"), "lock"));
    }
}

#[test]
fn a_lock_with_a_wrong_clock_is_given_no_dates() {
    let mut house = House::dated();
    house.lock().clock_off = 60;
    let draft = dated(&house, "4711", 1, 3);
    let guest = house.create(draft);
    house.pass(600.0);
    assert_eq!((told(&house, guest), device_says(&house).as_str()), (vec!["created"], "hub"));
    assert!(house.lock().dates.is_empty());
    house.pass(3600.0);
    assert!(house.opens("4711"));
}

#[test]
fn a_lock_with_the_clock_of_another_place_is_given_no_dates() {
    for (place, told_as) in [((0, 0), "created"), ((60, 60), "scheduled_on_device"), ((60, 120), "scheduled_on_device")]
    {
        let mut house = House::dated();
        house.lock().place = Some(place);
        let draft = dated(&house, "4711", 1, 3);
        let guest = house.create(draft);
        house.pass(120.0);
        assert_eq!(told(&house, guest).last(), Some(&told_as), "{place:?}");
        assert_eq!(device_says(&house), if told_as == "created" { "hub" } else { "lock" });
    }
}

#[test]
fn where_nobody_said_in_which_place_the_lock_is_the_hub_keeps_dates() {
    for settings in ["", "\nschedules = \"hub\"\ntime_zone = \"Europe/Vienna\""] {
        let mut house = House::begin(1, &format!("codes = \"manage\"{settings}"), true);
        let draft = dated(&house, "4711", 1, 3);
        house.create(draft);
        house.pass(600.0);
        assert_eq!(house.sent, [], "{settings}");
        house.pass(3600.0);
        assert!(house.lock().table.len() == 1 && house.lock().dates.is_empty());
    }
}

#[test]
fn a_hub_that_nobody_has_told_the_time_gives_a_lock_no_dates() {
    let mut house = House::dated();
    let draft = dated(&house, "4711", 5, 10);
    let guest = house.create(draft);
    house.rig.synchronized = false;
    house.rig.crash(1);
    house.sent.clear();
    house.rig.asked.clear();
    house.bridge_up();
    house.pass(60.0);
    assert_eq!(house.sent, []);
    house.rig.synchronized = true;
    house.pass(120.0);
    assert_eq!(told(&house, guest), ["created", "scheduled_on_device"]);
}

#[test]
fn a_lock_that_is_away_ahead_of_the_start_is_no_delay_until_the_start() {
    let mut house = House::dated();
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    house.pass(60.0);
    let draft = dated(&house, "4711", 5, 10);
    let guest = house.create(draft);
    house.pass(5.0 * 3600.0 - 60.0);
    assert_eq!(told(&house, guest), ["created"]);
    house.pass(600.0);
    assert_eq!(told(&house, guest), ["created", "delay_in_setting_on_device"]);
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    house.pass(60.0);
    assert_eq!(told(&house, guest).last(), Some(&"set_on_device"));
}

#[test]
fn winter_and_summer_time_change_nothing_and_the_locks_clock_is_set_anew() {
    let mut house = House::dated();
    // 2026-03-28T12:00:00Z; in the night the clocks of the place go forward.
    house.rig.wall_offset += 72 * 24 * HOUR;
    house.pass(70.0);
    let draft = dated(&house, "4711", 3, 22);
    let guest = house.create(draft);
    house.pass(60.0);
    assert_eq!(told(&house, guest).last(), Some(&"scheduled_on_device"));
    house.sent.clear();
    house.pass(3.0 * 3600.0 - 120.0);
    assert!(!house.opens("4711"));
    house.pass(120.0);
    assert!(house.opens("4711"));
    // At 01:00 UTC; the hub sees it within a minute.
    house.pass(10.0 * 3600.0 - 600.0);
    let before = commands(&house).len();
    house.pass(3600.0 + 600.0);
    assert_eq!(commands(&house)[before..], ["clock"]);
    house.pass(7.0 * 3600.0);
    assert!(house.opens("4711"), "an hour before its end");
    house.pass(3600.0 + 120.0);
    assert!(!house.opens("4711"));
    assert_eq!(told(&house, guest).last(), Some(&"deleted"));
}

#[test]
fn another_time_zone_in_the_configuration_gives_the_lock_its_dates_anew() {
    let mut house = House::dated();
    let draft = dated(&house, "4711", 5, 10);
    let guest = house.create(draft);
    house.pass(60.0);
    let before = house.lock().dates[&20];
    house.rig.configure(&house::toml(1, "codes = \"manage\"\nslots = \"20-29\"\ntime_zone = \"Europe/London\""));
    house.pass(120.0);
    let after = house.lock().dates[&20];
    assert_eq!((before.from - after.from).num_hours(), 1);
    assert_eq!(told(&house, guest), ["created", "scheduled_on_device"], "to the world nothing has changed");
}

#[test]
fn a_hub_killed_between_any_two_steps_never_lets_a_code_open_ahead_of_its_time() {
    for steps in 0..16 {
        let mut house = House::dated();
        let draft = dated(&house, "4711", 5, 10);
        let guest = house.create(draft);
        for _ in 0..steps {
            house.pass(0.2);
            assert!(!house.opens("4711"), "after {steps}");
        }
        house.rig.crash(3);
        house.bridge_up();
        house.pass(60.0);
        assert!(!house.opens("4711"), "killed after {steps}");
        assert_eq!(told(&house, guest), ["created", "scheduled_on_device"], "killed after {steps}");
        house.pass(5.0 * 3600.0);
        assert!(house.opens("4711"), "killed after {steps}");
        assert_eq!(told(&house, guest).last(), Some(&"set_on_device"));
    }
}
