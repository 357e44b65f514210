//! Codes with dates on a lock that keeps dates itself: written ahead, opening in time, and right whatever happens to clocks and hubs.

#[path = "support/house.rs"]
#[allow(dead_code)]
mod house;

use house::hub::node;
use house::lock::Mood;
use house::{HOUR, House, code};
use portcullis::event::EventType::*;
use portcullis::hub::CodeDraft;
use portcullis::signal::{CodeNotice, NodeStatus, Signal};
use portcullis::time::Wall;

fn device_says(house: &House) -> String {
    let row = house.rig.row(portcullis::hub::RowKind::Device, &house.device_id().to_string()).expect("a device");
    row["access_codes"]["schedules"].as_str().expect("it is managed").to_owned()
}

#[test]
fn a_code_is_there_three_days_ahead_told_as_scheduled_and_as_set_when_it_begins() {
    let mut house = House::dated();
    let draft = house.draft("4711", 100, 120);
    let guest = house.create(draft);
    house.pass(27.0 * 3600.0);
    assert_eq!((house.told_of(guest), house.sent.len()), (vec!["created"], 0), "too early");
    house.pass(2.0 * 3600.0);
    assert_eq!(house.told_of(guest), ["created", "scheduled_on_device"]);
    assert_eq!(house.commands(), ["clock", "read", "dates", "write", "dates"]);
    let row = house.row(guest);
    assert_eq!((row["status"].as_str(), row["is_scheduled_on_device"].as_bool()), (Some("unset"), Some(true)));
    let event = house.rig.last(AccessCodeScheduledOnDevice).unwrap();
    assert_eq!(event.details.code.as_ref().map(|code| code.reveal().to_owned()).as_deref(), Some("4711"));
    assert!(!house.opens("4711"));

    house.pass(71.0 * 3600.0 - 60.0);
    assert!(!house.opens("4711") && house.count(AccessCodeSetOnDevice) == 0, "a minute before");
    house.pass(60.0);
    assert_eq!(house.told_of(guest), ["created", "scheduled_on_device", "set_on_device"]);
    assert!(house.opens("4711"));
    let row = house.row(guest);
    assert_eq!((row["status"].as_str(), row["is_scheduled_on_device"].as_bool()), (Some("set"), Some(false)));

    house.pass(20.0 * 3600.0 + 60.0);
    assert_eq!(house.told_of(guest)[3..], ["removed_from_device", "deleted"]);
    assert!(house.lock().table.is_empty());
}

#[test]
fn a_lock_closes_to_a_code_that_ended_while_the_hub_was_off() {
    let mut house = House::dated();
    let draft = house.draft("4711", 1, 3);
    let guest = house.create(draft);
    house.pass(60.0);
    house.rig.crash(2 * 3600);
    assert!(house.opens("4711"), "it began without the hub");
    house.rig.crash(2 * 3600);
    assert!(!house.opens("4711"), "and ended without it");
    house.bridge_up();
    house.pass(60.0);
    assert_eq!(house.told_of(guest).last(), Some(&"deleted"));
    assert!(house.lock().table.is_empty());
}

#[test]
fn a_hub_that_comes_back_after_the_start_tells_that_the_code_is_set_and_writes_nothing() {
    let mut house = House::dated();
    let draft = house.draft("4711", 1, 30);
    let guest = house.create(draft);
    house.pass(60.0);
    house.rig.crash(2 * 3600);
    house.sent.clear();
    house.bridge_up();
    house.pass(60.0);
    assert_eq!(house.told_of(guest), ["created", "scheduled_on_device", "set_on_device"]);
    // The new hub does not know when the lock's clock was set.
    assert_eq!(house.commands(), ["clock"]);
}

#[test]
fn new_dates_and_new_digits_are_given_to_the_lock_and_told() {
    let mut house = House::dated();
    let draft = house.draft("4711", 5, 10);
    let guest = house.create(draft);
    house.pass(60.0);
    // Later: it is told anew; and a code that is in force keeps opening while its end is moved.
    let draft = CodeDraft { code: None, ..house.draft("4711", 6, 12) };
    house.change(guest, draft);
    house.pass(60.0);
    assert_eq!(house.told_of(guest)[2..], ["changed", "time_frame_changed", "scheduled_on_device"]);
    house.change(guest, code("0815"));
    house.pass(60.0);
    assert_eq!(house.told_of(guest)[5..], ["changed", "code_changed", "scheduled_on_device"]);
    house.pass(6.0 * 3600.0);
    assert_eq!(house.told_of(guest)[8..], ["set_on_device"]);
    let later = Wall(house.wall().0 + 20 * HOUR);
    house.change(guest, CodeDraft { ends_at: Some(later), ..CodeDraft::default() });
    assert!(house.opens("0815"));
    house.pass(60.0);
    assert_eq!(house.told_of(guest)[9..], ["changed", "time_frame_changed"]);
    house.pass(10.0 * 3600.0);
    assert!(house.opens("0815"), "beyond its first end");
    // So far off that it has to go.
    let draft = CodeDraft { code: None, ..house.draft("", 100, 120) };
    house.change(guest, draft);
    house.pass(60.0);
    assert_eq!(house.told_of(guest)[11..], ["changed", "time_frame_changed", "removed_from_device"]);
    assert!(house.lock().table.is_empty());
    house.pass(29.0 * 3600.0);
    assert_eq!(house.told_of(guest).last(), Some(&"scheduled_on_device"));
}

#[test]
fn a_code_for_ever_is_freed_of_what_dates_its_slot_had() {
    let mut house = House::dated();
    let draft = house.draft("1111", 1, 3);
    let guest = house.create(draft);
    house.pass(60.0);
    let kept = house.lock().dates[&20];
    house.delete(guest);
    house.pass(60.0);
    assert_eq!(house.told_of(guest)[2..], ["removed_from_device", "deleted"]);
    house.lock().dates = (20..30).map(|slot| (slot, kept)).collect();
    let resident = house.create(code("4711"));
    house.pass(60.0);
    assert_eq!(house.told_of(resident), ["created", "set_on_device"]);
    assert!(house.opens("4711"));
    let draft = house.draft("", 0, 5);
    house.change(resident, CodeDraft { code: None, starts_at: None, ..draft });
    house.pass(60.0);
    assert_eq!(house.lock().dates[&21].until.to_string(), "2026-01-15 18:03:00", "an end is given to the lock, too");
    assert!(house.opens("4711"));
    house.change(resident, CodeDraft { ongoing: true, ..CodeDraft::default() });
    house.pass(60.0);
    assert!(!house.lock().dates.contains_key(&21) && house.opens("4711"));
    assert_eq!(house.count(AccessCodeSetOnDevice), 1, "it was set all the time");
}

#[test]
fn a_lock_that_does_not_keep_dates_is_found_out_and_the_hub_keeps_them() {
    for mood in [Mood::Ignoring, Mood::Refusing] {
        let mut house = House::dated();
        house.moods = vec![mood; 3];
        let draft = house.draft("4711", 1, 3);
        let guest = house.create(draft);
        assert_eq!(device_says(&house), "lock");
        house.pass(600.0);
        assert_eq!((house.told_of(guest), device_says(&house).as_str()), (vec!["created"], "hub"), "{mood:?}");
        assert!(house.lock().table.is_empty());
        house.pass(3600.0);
        assert_eq!(house.told_of(guest), ["created", "set_on_device"], "{mood:?}");
        assert!(house.opens("4711"));
        house.pass(2.0 * 3600.0);
        assert!(house.lock().table.is_empty());
        // A day later it is given another chance.
        house.pass(24.0 * 3600.0);
        let draft = house.draft("0815", 1, 3);
        let next = house.create(draft);
        house.pass(60.0);
        assert_eq!((house.told_of(next).last(), device_says(&house).as_str()), (Some(&"scheduled_on_device"), "lock"));
    }
}

#[test]
fn a_lock_with_a_wrong_clock_is_given_no_dates() {
    let mut house = House::dated();
    house.lock().clock_off = 60;
    let draft = house.draft("4711", 1, 3);
    let guest = house.create(draft);
    house.pass(600.0);
    assert_eq!((house.told_of(guest), device_says(&house).as_str()), (vec!["created"], "hub"));
    assert!(house.lock().dates.is_empty());
    house.pass(3600.0);
    assert!(house.opens("4711"));
}

#[test]
fn a_lock_whose_clock_goes_wrong_later_keeps_what_it_has_and_is_left_in_peace() {
    let mut house = House::dated();
    let draft = house.draft("4711", 0, 40);
    let guest = house.create(draft);
    house.pass(60.0);
    house.lock().clock_off = 60;
    house.pass(14.0 * 3600.0);
    assert_eq!((house.told_of(guest), device_says(&house).as_str()), (vec!["created", "set_on_device"], "hub"));
    assert_eq!(house.commands().iter().filter(|c| **c == "clock").count(), 1 + 3);
    house.pass(27.0 * 3600.0);
    assert_eq!(house.told_of(guest)[2..], ["removed_from_device", "deleted"]);
}

#[test]
fn a_lock_with_the_clock_of_another_place_is_given_no_dates() {
    for (place, told_as) in [((0, 0), "created"), ((60, 60), "scheduled_on_device"), ((60, 120), "scheduled_on_device")]
    {
        let mut house = House::dated();
        house.lock().place = Some(place);
        let draft = house.draft("4711", 1, 3);
        let guest = house.create(draft);
        house.pass(120.0);
        assert_eq!(house.told_of(guest).last(), Some(&told_as), "{place:?}");
        assert_eq!(device_says(&house), if told_as == "created" { "hub" } else { "lock" });
    }
}

#[test]
fn where_nobody_said_in_which_place_the_lock_is_the_hub_keeps_dates() {
    for settings in ["", "\nschedules = \"hub\"\ntime_zone = \"Europe/Vienna\""] {
        let mut house = House::begin(1, &format!("codes = \"manage\"{settings}"), true);
        let draft = house.draft("4711", 1, 3);
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
    let draft = house.draft("4711", 5, 10);
    let guest = house.create(draft);
    house.rig.synchronized = false;
    house.rig.crash(1);
    house.sent.clear();
    house.rig.asked.clear();
    house.bridge_up();
    house.pass(600.0);
    assert_eq!(house.sent, []);
    house.rig.synchronized = true;
    house.pass(120.0);
    assert_eq!(house.told_of(guest), ["created", "scheduled_on_device"]);
}

#[test]
fn a_code_for_ever_is_freed_of_what_dates_its_slot_had_also_where_nobody_has_told_the_hub_the_time() {
    let mut house = House::dated();
    let draft = house.draft("1111", 1, 3);
    let guest = house.create(draft);
    house.pass(60.0);
    let kept = house.lock().dates[&20];
    house.delete(guest);
    house.pass(60.0);
    house.lock().dates = (20..30).map(|slot| (slot, kept)).collect();
    house.rig.synchronized = false;
    house.rig.crash(1);
    house.rig.asked.clear();
    house.bridge_up();
    let resident = house.create(code("4711"));
    house.pass(60.0);
    assert!(house.opens("4711"));
    house.rig.synchronized = true;
    house.pass(120.0);
    assert_eq!(house.told_of(resident), ["created", "set_on_device"]);
}

#[test]
fn a_lock_that_is_away_ahead_of_the_start_is_no_delay_until_the_start() {
    let mut house = House::dated();
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    house.pass(60.0);
    let draft = house.draft("4711", 5, 10);
    let guest = house.create(draft);
    house.pass(5.0 * 3600.0 - 60.0);
    assert_eq!(house.told_of(guest), ["created"]);
    house.pass(600.0);
    assert_eq!(house.told_of(guest), ["created", "delay_in_setting_on_device"]);
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    house.pass(60.0);
    assert_eq!(house.told_of(guest).last(), Some(&"set_on_device"));
}

#[test]
fn winter_and_summer_time_change_nothing_and_the_locks_clock_is_set_anew() {
    let mut house = House::dated();
    // 2026-03-28T12:00:00Z; in the night the clocks of the place go forward.
    house.rig.wall_offset += 72 * 24 * HOUR;
    house.pass(70.0);
    let draft = house.draft("4711", 3, 22);
    let guest = house.create(draft);
    house.pass(60.0);
    assert_eq!(house.told_of(guest).last(), Some(&"scheduled_on_device"));
    house.sent.clear();
    house.pass(3.0 * 3600.0 - 120.0);
    assert!(!house.opens("4711"));
    house.pass(120.0);
    assert!(house.opens("4711"));
    // At 01:00 UTC; the hub sees it within a minute.
    house.pass(10.0 * 3600.0 - 600.0);
    let before = house.commands().len();
    house.pass(3600.0 + 600.0);
    assert_eq!(house.commands()[before..], ["clock"]);
    house.pass(7.0 * 3600.0);
    assert!(house.opens("4711"), "an hour before its end");
    house.pass(3600.0 + 120.0);
    assert!(!house.opens("4711"));
    assert_eq!(house.told_of(guest).last(), Some(&"deleted"));
}

#[test]
fn another_time_zone_in_the_configuration_gives_the_lock_its_dates_anew() {
    let mut house = House::dated();
    let draft = house.draft("4711", 5, 10);
    let guest = house.create(draft);
    house.pass(60.0);
    let before = house.lock().dates[&20];
    house.rig.configure(&house::toml(1, "codes = \"manage\"\nslots = \"20-29\"\ntime_zone = \"Europe/London\""));
    house.pass(120.0);
    let after = house.lock().dates[&20];
    assert_eq!((before.from - after.from).num_hours(), 1);
    assert_eq!(house.told_of(guest), ["created", "scheduled_on_device"], "to the world nothing has changed");
}

#[test]
fn a_hub_killed_between_any_two_steps_never_lets_a_code_open_ahead_of_its_time() {
    for steps in 0..16 {
        let mut house = House::dated();
        let draft = house.draft("4711", 5, 10);
        let guest = house.create(draft);
        for _ in 0..steps {
            house.pass(0.2);
            assert!(!house.opens("4711"), "after {steps}");
        }
        house.rig.crash(3);
        house.bridge_up();
        house.pass(60.0);
        assert!(!house.opens("4711"), "killed after {steps}");
        assert_eq!(house.told_of(guest), ["created", "scheduled_on_device"], "killed after {steps}");
        house.pass(5.0 * 3600.0);
        assert!(house.opens("4711"), "killed after {steps}");
        assert_eq!(house.told_of(guest).last(), Some(&"set_on_device"));
    }
}

#[test]
fn a_lock_that_refuses_a_code_ahead_of_its_start_is_no_failure_until_the_start() {
    let mut house = House::dated();
    // It takes the dates.
    house.moods = [&[Mood::Obedient][..], &[Mood::Refusing; 100]].concat();
    let draft = house.draft("4711", 2, 10);
    let guest = house.create(draft);
    house.pass(2.0 * 3600.0 - 60.0);
    assert!(house.commands().iter().filter(|c| **c == "write").count() >= 5);
    assert_eq!(house.told_of(guest), ["created"]);
    house.pass(70.0);
    assert_eq!(
        house.told_of(guest),
        ["created", "failed_to_set_on_device"],
        "it is tried at the start, not half an hour later"
    );
    house.pass(600.0);
    house.moods.clear();
    house.pass(3600.0);
    assert_eq!(house.told_of(guest)[2..], ["delay_in_setting_on_device", "set_on_device"]);
}

#[test]
fn a_lock_that_refuses_to_let_go_of_dates_is_not_believed_to_open_for_ever() {
    let mut house = House::dated();
    let draft = house.draft("4711", 0, 3);
    let guest = house.create(draft);
    house.pass(60.0);
    house.moods = vec![Mood::Refusing; 8];
    house.change(guest, CodeDraft { ongoing: true, ..CodeDraft::default() });
    house.pass(120.0);
    assert_eq!(house.told_of(guest)[2..], ["changed", "time_frame_changed", "failed_to_set_on_device"]);
    assert_eq!(house.status(guest), "setting");
    house.pass(4.0 * 3600.0);
    assert!(house.opens("4711") && house.lock().dates.is_empty(), "it was asked again until it did");
    assert_eq!(house.status(guest), "set");
}

#[test]
fn what_dates_a_slot_has_that_a_lock_refuses_to_erase_is_looked_at() {
    let mut house = House::dated();
    house.moods = vec![Mood::Refusing];
    let resident = house.create(code("4711"));
    house.pass(60.0);
    assert_eq!(
        house.commands(),
        ["read", "no dates", "read dates", "read", "write"],
        "none: there was nothing to erase"
    );
    assert_eq!(house.told_of(resident), ["created", "set_on_device"]);

    let mut house = House::dated();
    let draft = house.draft("1111", 1, 3);
    house.create(draft);
    house.pass(60.0);
    let kept = house.lock().dates[&20];
    house.lock().dates = (20..30).map(|slot| (slot, kept)).collect();
    house.moods = vec![Mood::Refusing; 3];
    let resident = house.create(code("4711"));
    house.pass(12.0);
    assert!(house.told_of(resident) == ["created"] && !house.lock().table.values().any(|held| held == "4711"));
    house.pass(600.0);
    assert_eq!(house.told_of(resident), ["created", "failed_to_set_on_device", "set_on_device"]);
    assert!(house.opens("4711"));
}

#[test]
fn dates_that_drift_silently_are_found_within_a_day_told_and_put_right() {
    for dropped in [false, true] {
        let mut house = House::dated();
        let draft = house.draft("4711", 48, 60);
        let guest = house.create(draft);
        house.pass(60.0);
        let kept = house.lock().dates[&20];
        match dropped {
            true => house.lock().dates.clear(),
            false => house.lock().dates.get_mut(&20).unwrap().until += chrono::TimeDelta::days(3),
        }
        house.pass(25.0 * 3600.0);
        assert_eq!(
            house.told_of(guest)[2..],
            ["modified_external_to_seam", "scheduled_on_device"],
            "dropped: {dropped}"
        );
        assert_eq!(house.lock().dates[&20], kept);
        house.pass(24.0 * 3600.0);
        assert_eq!(house.told_of(guest)[4..], ["set_on_device"]);
    }
}

#[test]
fn dates_are_looked_at_whenever_a_lock_says_that_a_code_was_changed() {
    let mut house = House::dated();
    let draft = house.draft("4711", 0, 10);
    let guest = house.create(draft);
    house.pass(60.0);
    house.lock().dates.get_mut(&20).unwrap().until -= chrono::TimeDelta::hours(9);
    house.says(CodeNotice::Added { slot: 20 });
    house.pass(20.0);
    assert_eq!(house.told_of(guest), ["created", "set_on_device", "modified_external_to_seam", "set_on_device"]);
    house.pass(3.0 * 3600.0);
    assert!(house.opens("4711"), "as long as it was promised");
}

#[test]
fn a_lock_that_loses_its_dates_again_is_relieved_of_them() {
    let mut house = House::dated();
    let draft = house.draft("4711", 60, 70);
    let guest = house.create(draft);
    house.pass(60.0);
    for _ in 0..2 {
        house.lock().dates.clear();
        house.pass(25.0 * 3600.0);
    }
    let told = ["modified_external_to_seam", "scheduled_on_device", "modified_external_to_seam", "removed_from_device"];
    assert_eq!((&house.told_of(guest)[2..], device_says(&house).as_str()), (&told[..], "hub"));
    assert!(house.lock().table.is_empty(), "it would open ahead of its time");
    house.pass(10.0 * 3600.0);
    assert!(house.opens("4711"));
    house.pass(10.0 * 3600.0 + 60.0);
    assert_eq!(house.told_of(guest)[6..], ["set_on_device", "removed_from_device", "deleted"]);
}

#[test]
fn dates_in_the_slot_of_a_code_for_ever_are_found_and_erased() {
    let mut house = House::dated();
    let draft = house.draft("1111", 50, 60);
    house.create(draft);
    let resident = house.create(code("4711"));
    house.pass(60.0);
    let others = house.lock().dates[&20];
    house.lock().dates.insert(21, others);
    assert!(!house.opens("4711"));
    house.pass(25.0 * 3600.0);
    assert_eq!(house.told_of(resident)[2..], ["modified_external_to_seam", "set_on_device"]);
    assert!(house.opens("4711"));
}

#[test]
fn an_answer_that_is_lost_is_no_drift() {
    let mut house = House::dated();
    let draft = house.draft("4711", 48, 60);
    let guest = house.create(draft);
    house.pass(60.0);
    house.lock().lost_answers = 2;
    house.pass(25.0 * 3600.0);
    assert_eq!(house.commands().iter().filter(|c| **c == "read dates").count(), 3);
    assert_eq!(house.told_of(guest), ["created", "scheduled_on_device"]);
}
