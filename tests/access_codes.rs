//! Scenarios of access codes on a simulated lock: each type of event from its cause, and what must never happen.

#[path = "support/catalogue.rs"]
mod catalogue;
#[path = "support/house.rs"]
#[allow(dead_code)]
mod house;

use house::hub::node;
use house::lock::Mood;
use house::{HOUR, House, code, hub, id};
use portcullis::event::{Dialect, EventType};
use portcullis::hub::{Action, CodeDraft, Command, CommandError};
use portcullis::signal::{CodeNotice, LockUser, Method, NodeStatus, Secret, Signal};
use portcullis::time::Wall;
use serde_json::Value;
use uuid::Uuid;

fn last(house: &House, event_type: EventType) -> Value {
    let event = house.rig.last(event_type).unwrap_or_else(|| panic!("{event_type} is not in {:?}", house.rig.types()));
    serde_json::from_str(&event.render(Dialect::Current)).unwrap()
}

/// Everything that a scenario told is what the catalogue says, in both dialects; what it told of codes is of interest.
fn told(house: &mut House) -> Vec<&'static str> {
    for event in &house.rig.log {
        for dialect in [Dialect::Classic, Dialect::Current] {
            catalogue::check(&event.render(dialect), dialect);
        }
    }
    house.rig.told()
}

#[test]
fn a_code_is_read_written_read_back_and_only_then_told_as_set() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    assert_eq!(house.status(guest), "setting");
    assert_eq!(house.rig.told(), ["access_code.created"]);
    house.pass(10.0);
    assert_eq!(house.rig.types(), ["access_code.set_on_device"]);
    let told = last(&house, EventType::AccessCodeSetOnDevice);
    assert_eq!(
        (told["code"].as_str(), told["access_code_id"].as_str()),
        (Some("4711"), Some(guest.to_string().as_str()))
    );
    let sent: Vec<&Action> = house.sent.iter().map(|(_, action)| action).collect();
    assert!(matches!(sent[..], [Action::ReadCode { slot: 20, .. }, Action::SetCode { slot: 20, .. }]), "{sent:?}");
    assert_eq!(house.status(guest), "set");

    house.rig.told();
    house.delete(guest);
    assert_eq!(house.status(guest), "removing");
    house.pass(10.0);
    assert_eq!(house.rig.types(), ["access_code.removed_from_device", "access_code.deleted"]);
    assert_eq!((house.status(guest).as_str(), house.lock().table.len()), ("gone", 0));
}

#[test]
fn a_change_of_digits_is_told_when_the_lock_has_them_and_a_name_at_once() {
    let mut house = House::new();
    let guest = house.create(CodeDraft { name: Some("Ada".into()), ..code("4711") });
    house.pass(10.0);
    house.rig.told();
    house.change(guest, CodeDraft { name: Some("Grace".into()), ..code("0815") });
    assert_eq!(house.rig.types(), ["access_code.changed", "access_code.name_changed"]);
    house.pass(10.0);
    assert_eq!(house.rig.types()[2..], ["access_code.code_changed", "access_code.set_on_device"]);
    let told = last(&house, EventType::AccessCodeCodeChanged);
    assert_eq!((told["from"]["code"].as_str(), told["to"]["code"].as_str()), (Some("4711"), Some("0815")));
    assert_eq!(house.lock().table[&20], "0815");
}

#[test]
fn a_lock_that_says_yes_and_does_nothing_is_asked_again_and_told_once_as_failing() {
    let mut house = House::new();
    house.moods = vec![Mood::Ignoring; 4];
    let guest = house.create(code("4711"));
    house.pass(600.0);
    assert_eq!(house.count(EventType::AccessCodeFailedToSetOnDevice), 1);
    let told = last(&house, EventType::AccessCodeFailedToSetOnDevice);
    assert_eq!(told["access_code_errors"][0]["error_code"], "failed_to_set_on_device");
    assert_eq!((house.count(EventType::AccessCodeSetOnDevice), house.status(guest)), (1, "set".into()));
    assert!(house.row(guest)["errors"].as_array().unwrap().is_empty());
}

#[test]
fn a_lock_that_is_away_is_waited_for_and_the_delay_is_told_once() {
    let mut house = House::new();
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    house.pass(60.0);
    let guest = house.create(code("4711"));
    house.pass(3600.0);
    assert_eq!(house.sent, [], "a dead lock is not written to");
    assert_eq!(house.count(EventType::AccessCodeDelayInSettingOnDevice), 1);
    let told = last(&house, EventType::AccessCodeDelayInSettingOnDevice);
    assert_eq!(told["access_code_warnings"][0]["warning_code"], "delay_in_setting_on_device");
    assert_eq!(told["device_errors"][0]["error_code"], "device_disconnected");
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    house.pass(10.0);
    assert_eq!(house.status(guest), "set");

    house.rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    house.pass(60.0);
    house.delete(guest);
    house.pass(3600.0);
    assert_eq!(house.count(EventType::AccessCodeDelayInRemovingFromDevice), 1);
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    house.pass(10.0);
    assert_eq!(house.count(EventType::AccessCodeDeleted), 1);
}

#[test]
fn a_lock_that_will_not_let_go_of_a_code_is_told_as_failing_to_remove_it() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(10.0);
    house.moods = vec![Mood::Refusing; 4];
    house.delete(guest);
    house.pass(60.0);
    assert_eq!(house.count(EventType::AccessCodeFailedToRemoveFromDevice), 1);
    assert_eq!(house.count(EventType::AccessCodeRemovedFromDevice), 0);
    house.pass(600.0);
    assert_eq!(house.count(EventType::AccessCodeRemovedFromDevice), 1);
    assert_eq!(house.lock().table.len(), 0);
}

#[test]
fn a_code_that_somebody_changes_is_put_right_once_and_then_left_alone() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(60.0);
    for (times, digits) in [(1, "1111"), (2, "2222")] {
        house.lock().table.insert(20, digits.into());
        house.says(CodeNotice::Added { slot: 20 });
        house.pass(60.0);
        assert_eq!(house.count(EventType::AccessCodeModifiedExternalToSeam), times);
    }
    assert_eq!(house.lock().table[&20], "2222", "not fought over");
    assert_eq!((house.count(EventType::AccessCodeSetOnDevice), house.status(guest)), (2, "unset".into()));
    let told = last(&house, EventType::AccessCodeFailedToSetOnDevice);
    assert_eq!(told["access_code_errors"][0]["error_code"], "conflicting_external_modification");
    // Its digits there are somebody else's code now.
    assert_eq!(house.count(EventType::AccessCodeUnmanagedCreated), 1);
    // A user has the last word, and it goes elsewhere.
    house.change(guest, CodeDraft::default());
    house.pass(60.0);
    assert_eq!(house.status(guest), "set");
    assert_eq!(house.lock().table[&20], "2222");
}

#[test]
fn what_somebody_does_right_after_a_write_is_found_once_the_lock_has_told_of_that() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(1.0);
    assert_eq!(house.status(guest), "set");
    // The lock's own word of it, twice: one more look at the slot, and no more.
    house.says(CodeNotice::Added { slot: 20 });
    house.says(CodeNotice::Added { slot: 20 });
    let sent = house.sent.len();
    house.pass(60.0);
    assert_eq!((house.sent.len() - sent, house.count(EventType::AccessCodeModifiedExternalToSeam)), (1, 0));
    house.change(guest, code("0815"));
    house.pass(1.0);
    house.lock().table.insert(20, "9999".into());
    house.says(CodeNotice::Added { slot: 20 });
    house.pass(10.0);
    assert_eq!(house.count(EventType::AccessCodeModifiedExternalToSeam), 1);
    assert_eq!(house.lock().table[&20], "0815", "put right");
}

#[test]
fn a_code_that_somebody_erases_is_told_and_written_again() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(60.0);
    house.lock().table.clear();
    house.says(CodeNotice::AllDeleted);
    house.pass(60.0);
    assert_eq!(house.count(EventType::AccessCodeDeletedExternalToSeam), 1);
    assert_eq!((house.status(guest).as_str(), house.lock().table.len()), ("set", 1));
}

#[test]
fn what_drifts_silently_is_found_within_a_day() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(60.0);
    house.lock().table.insert(20, "9999".into());
    house.pass(25.0 * 3600.0);
    assert_eq!(house.count(EventType::AccessCodeModifiedExternalToSeam), 1);
    assert_eq!((house.status(guest), house.lock().table[&20].as_str()), ("set".into(), "4711"));
}

#[test]
fn where_others_may_change_a_code_their_digits_are_taken_over() {
    let mut house = House::new();
    let guest = house.create(CodeDraft { is_external_modification_allowed: Some(true), ..code("4711") });
    house.pass(60.0);
    house.lock().table.insert(20, "1111".into());
    house.says(CodeNotice::Added { slot: 20 });
    house.pass(60.0);
    assert_eq!(house.count(EventType::AccessCodeModifiedExternalToSeam), 1);
    assert_eq!(last(&house, EventType::AccessCodeCodeChanged)["to"]["code"], "1111");
    assert_eq!((house.row(guest)["code"].as_str(), house.lock().table[&20].as_str()), (Some("1111"), "1111"));
}

#[test]
fn codes_that_were_there_before_are_unmanaged_and_never_touched() {
    let mut house = House::new();
    house.lock().table.extend([(20, "7777".into()), (3, "3333".into())]);
    let guest = house.create(code("4711"));
    house.pass(60.0);
    assert_eq!(house.count(EventType::AccessCodeUnmanagedCreated), 1, "slot 3 is not ours to read");
    assert_eq!(house.lock().table, [(3, "3333".into()), (20, "7777".into()), (21, "4711".into())].into());
    let foreign = house.unmanaged();
    assert_eq!(house.row(foreign)["code"], "7777");
    for command in [
        Command::DeleteCode { access_code_id: foreign },
        Command::ChangeCode { access_code_id: foreign, draft: code("1234") },
    ] {
        assert!(matches!(house.rig.command(command), Err(CommandError::Refused(_))));
    }
    let same = house.try_to_create(code("7777"));
    assert!(matches!(same, Err(CommandError::Refused(_))), "{same:?}");
    house.lock().table.remove(&20);
    house.says(CodeNotice::Deleted { slot: 20 });
    assert_eq!(house.count(EventType::AccessCodeUnmanagedRemoved), 1);
    house.delete(guest);
    house.pass(60.0);
    assert_eq!(house.lock().table, [(3, "3333".into())].into());
}

#[test]
fn a_foreign_code_that_is_exchanged_for_another_is_another_code() {
    let mut house = House::new();
    house.lock().table.insert(22, "7777".into());
    house.says(CodeNotice::Added { slot: 22 });
    house.pass(10.0);
    // With a word of it, and silently.
    for (digits, told) in [("8888", true), ("9999", false)] {
        let before = house.unmanaged();
        house.lock().table.insert(22, digits.into());
        if told {
            house.says(CodeNotice::Added { slot: 22 });
        }
        house.pass(if told { 10.0 } else { 25.0 * 3600.0 });
        assert_eq!(house.told_of(before), ["unmanaged.created", "unmanaged.removed"], "{digits}");
        let after = house.unmanaged();
        assert!(after != before && house.row(after)["code"] == digits, "perhaps another person's");
    }
    // Once it is ours it is a code of ours that is exchanged, and is put right.
    let ours = house.unmanaged();
    house.rig.command(Command::ConvertCode { access_code_id: ours, is_external_modification_allowed: None }).unwrap();
    house.pass(10.0);
    house.lock().table.insert(22, "6666".into());
    house.says(CodeNotice::Added { slot: 22 });
    house.pass(20.0);
    let told = ["unmanaged.created", "unmanaged.converted_to_managed", "modified_external_to_seam", "set_on_device"];
    assert_eq!((house.told_of(ours), house.lock().table[&22].as_str()), (told.into(), "9999"));
    assert_eq!(house.count(EventType::AccessCodeUnmanagedCreated), 3, "6666 is nobody's");
}

#[test]
fn a_code_of_somebody_else_is_taken_over_once_it_was_read() {
    let mut house = House::new();
    house.lock().table.insert(22, "7777".into());
    house.says(CodeNotice::Added { slot: 22 });
    house.pass(10.0);
    let foreign = house.unmanaged();
    house
        .rig
        .command(Command::ConvertCode { access_code_id: foreign, is_external_modification_allowed: None })
        .unwrap();
    house.pass(10.0);
    assert_eq!(house.count(EventType::AccessCodeUnmanagedConvertedToManaged), 1);
    assert_eq!((house.row(foreign)["is_managed"].clone(), house.status(foreign)), (true.into(), "set".into()));
    house.delete(foreign);
    house.pass(10.0);
    assert!(house.lock().table.is_empty());
}

#[test]
fn a_code_that_cannot_be_taken_over_stays_as_it_is_and_that_is_told() {
    let mut house = House::new();
    house.lock().hides = true;
    house.lock().table.insert(22, "7777".into());
    house.says(CodeNotice::Hidden { slot: 22 });
    let foreign = house.unmanaged();
    house
        .rig
        .command(Command::ConvertCode { access_code_id: foreign, is_external_modification_allowed: None })
        .unwrap();
    house.pass(10.0);
    assert_eq!(house.count(EventType::AccessCodeUnmanagedFailedToConvertToManaged), 1);
    assert_eq!(house.row(foreign)["is_managed"], false);

    let mut house = House::new();
    house.says(CodeNotice::Slot { slot: 3, digits: Some(Secret::new("3333")) });
    let foreign = house.unmanaged();
    let refused =
        house.rig.command(Command::ConvertCode { access_code_id: foreign, is_external_modification_allowed: None });
    assert!(matches!(refused, Err(CommandError::Refused(_))));
    assert_eq!(house.count(EventType::AccessCodeUnmanagedFailedToConvertToManaged), 1);
}

#[test]
fn a_time_bound_code_is_on_the_lock_from_its_start_to_its_end_and_not_longer() {
    let mut house = House::new();
    let now = house.wall().0;
    let draft = CodeDraft { starts_at: Some(Wall(now + HOUR)), ends_at: Some(Wall(now + 2 * HOUR)), ..code("4711") };
    let guest = house.create(draft);
    house.pass(3590.0);
    assert_eq!((house.status(guest).as_str(), house.lock().table.len()), ("unset", 0));
    house.pass(15.0);
    assert_eq!((house.status(guest).as_str(), house.lock().table.len()), ("set", 1));
    house.pass(3580.0);
    assert_eq!(house.lock().table.len(), 1);
    house.pass(20.0);
    assert_eq!(house.lock().table.len(), 0);
    let told = ["created", "set_on_device", "removed_from_device", "deleted"].map(|t| format!("access_code.{t}"));
    assert_eq!(house.rig.types(), told);
}

#[test]
fn a_code_that_expired_while_the_hub_was_off_goes_first() {
    let mut house = House::new();
    let end = Some(Wall(house.wall().0 + HOUR));
    house.create(CodeDraft { ends_at: end, ..code("4711") });
    house.pass(60.0);
    house.rig.crash(7200);
    house.sent.clear();
    house.bridge_up();
    house.create(code("0815"));
    house.pass(60.0);
    let cleared = house.sent.iter().position(|(_, a)| matches!(a, Action::ClearCode { slot: 20, .. }));
    let written = house.sent.iter().position(|(_, a)| matches!(a, Action::SetCode { .. }));
    assert!(cleared.is_some() && cleared < written, "{:?}", house.sent);
    assert_eq!(house.lock().table.values().collect::<Vec<_>>(), ["0815"]);
}

#[test]
fn the_wall_clock_that_is_set_moves_starts_and_ends_along() {
    let mut house = House::new();
    let now = house.wall().0;
    let guest = house.create(CodeDraft {
        starts_at: Some(Wall(now + 10 * HOUR)),
        ends_at: Some(Wall(now + 20 * HOUR)),
        ..code("4711")
    });
    house.pass(60.0);
    house.rig.wall_offset += 11 * HOUR;
    house.pass(70.0);
    assert_eq!(house.status(guest), "set", "an hour after its start");
    house.rig.wall_offset -= 11 * HOUR;
    house.pass(70.0);
    assert_eq!((house.status(guest).as_str(), house.lock().table.len()), ("unset", 0), "not begun yet");
    house.rig.wall_offset += 21 * HOUR;
    house.pass(70.0);
    assert_eq!(house.status(guest), "gone");
}

#[test]
fn a_new_time_frame_is_told_and_followed() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(10.0);
    let end = Wall(house.wall().0 + HOUR);
    house.change(guest, CodeDraft { ends_at: Some(end), ..CodeDraft::default() });
    let told = last(&house, EventType::AccessCodeTimeFrameChanged);
    assert_eq!(told["to"]["ends_at"], end.to_string());
    house.pass(3700.0);
    assert_eq!(house.status(guest), "gone");
}

#[test]
fn a_spare_code_stands_in_and_the_pool_is_filled_again() {
    let mut house = House::new();
    let guest = house.create(CodeDraft { use_backup_access_code_pool: Some(true), ..code("4711") });
    house.pass(60.0);
    assert_eq!(house.lock().table.len(), 2);
    assert_eq!(house.row(guest)["is_backup_access_code_available"], true);
    let spare = id(&house.rig.command(Command::PullBackupCode { access_code_id: guest }).unwrap());
    let told = last(&house, EventType::AccessCodeBackupAccessCodePulled);
    assert_eq!(told["backup_access_code_id"], spare.to_string());
    assert_eq!(house.row(guest)["pulled_backup_access_code_id"], spare.to_string());
    house.pass(60.0);
    assert_eq!(house.lock().table.len(), 3, "filled again");
    house.delete(guest);
    house.pass(120.0);
    assert!(
        house.lock().table.is_empty(),
        "the stand-in and the pool go with the last that needs them: {:?}",
        house.lock().table
    );
}

#[test]
fn a_keypad_names_the_guest_and_a_slot_used_again_never_the_earlier_one() {
    let operation = Signal::LockOperation { locked: false, method: Method::Keycode, user: Some(LockUser(20)) };
    let named = |house: &mut House| {
        house.rig.hear(node(2), [operation.clone()]);
        let event = last(house, EventType::LockUnlocked);
        (event["access_code_id"].as_str().map(str::to_owned), event["access_code_is_managed"].as_bool())
    };
    let mut house = House::with(1, "codes = \"manage\"\nslots = \"20-20\"");
    let ada = house.create(code("4711"));
    assert_eq!(named(&mut house), (None, None), "not written yet");
    house.pass(10.0);
    assert_eq!(named(&mut house), (Some(ada.to_string()), Some(true)));
    house.delete(ada);
    let grace = house.create(code("0815"));
    house.pass(20.0);
    assert_eq!(named(&mut house), (Some(grace.to_string()), Some(true)));
    // A notification that was long on its way.
    let mut late = hub::report(node(2), vec![operation.clone()]);
    late.occurred_at = Some(Wall(house.wall().0 - 60_000));
    house.rig.give(portcullis::hub::Input::Report(late));
    assert_eq!(last(&house, EventType::LockUnlocked)["access_code_id"], Value::Null);
    house.delete(grace);
    house.pass(20.0);
    assert_eq!(named(&mut house), (None, None));
    house.says(CodeNotice::Slot { slot: 20, digits: Some(Secret::new("7777")) });
    assert_eq!(named(&mut house), (Some(house.unmanaged().to_string()), Some(false)));
}

#[test]
fn digits_of_another_code_or_of_a_wrong_length_do_not_reach_the_lock() {
    let mut house = House::new();
    house.create(code("4711"));
    house.pass(10.0);
    let sent = house.sent.len();
    for digits in ["4711", "123", "12345678901", "47 11", "abcd"] {
        let refused = house.try_to_create(code(digits));
        let Err(CommandError::Refused(why)) = &refused else { panic!("{digits}: {refused:?}") };
        assert!(!why.contains(digits), "{why}");
    }
    house.pass(60.0);
    assert_eq!(house.sent.len(), sent);
    house.try_to_create(code("0000")).expect("0000 is a code");
}

#[test]
fn digits_may_be_used_again_as_soon_as_their_code_is_being_deleted() {
    let mut house = House::new();
    let ada = house.create(code("4711"));
    house.pass(10.0);
    house.delete(ada);
    let grace = house.create(code("4711"));
    house.pass(20.0);
    assert_eq!((house.status(ada).as_str(), house.status(grace).as_str()), ("gone", "set"));
    assert_eq!(house.count(EventType::AccessCodeFailedToSetOnDevice), 0);
}

#[test]
fn a_lock_that_hides_its_codes_is_believed_when_it_takes_them() {
    let mut house = House::new();
    house.lock().hides = true;
    let guest = house.create(code("4711"));
    house.pass(20.0);
    assert_eq!(house.status(guest), "set");
    let device = house.rig.row(portcullis::hub::RowKind::Device, &house.device_id().to_string()).unwrap();
    assert_eq!(device["access_codes"]["confirmation"], "accepted");
    house.pass(25.0 * 3600.0);
    assert_eq!(house.count(EventType::AccessCodeModifiedExternalToSeam), 0);
    house.moods = vec![Mood::Ignoring];
    house.delete(guest);
    house.pass(60.0);
    assert!(house.lock().table.is_empty(), "a slot that is empty it does show");
}

#[test]
fn a_lock_that_is_only_observed_is_never_asked_for_anything() {
    let mut house = House::with(1, "");
    let refused = house.try_to_create(code("4711"));
    assert!(matches!(&refused, Err(CommandError::Refused(why)) if why.contains("manage")), "{refused:?}");
    house.says(CodeNotice::Added { slot: 5 });
    house.says(CodeNotice::Added { slot: 5 });
    assert_eq!(house.count(EventType::AccessCodeUnmanagedCreated), 1);
    house.pass(25.0 * 3600.0);
    house.says(CodeNotice::Deleted { slot: 5 });
    assert_eq!(house.count(EventType::AccessCodeUnmanagedRemoved), 1);
    assert_eq!(house.sent, []);
}

#[test]
fn where_there_is_no_slot_left_a_code_waits_for_one_and_that_is_told() {
    let mut house = House::with(1, "codes = \"manage\"\nslots = \"20-21\"");
    let ids: Vec<Uuid> = ["1111", "2222", "3333"].map(|digits| house.create(code(digits))).into();
    house.pass(60.0);
    let last_one = ids.iter().find(|id| house.status(**id) == "setting").copied().expect("one waits");
    assert_eq!(house.row(last_one)["errors"][0]["error_code"], "no_space_for_access_code_on_device");
    assert_eq!(house.count(EventType::AccessCodeFailedToSetOnDevice), 1);
    house.delete(*ids.iter().find(|id| **id != last_one).unwrap());
    house.pass(60.0);
    assert_eq!(house.status(last_one), "set");
}

#[test]
fn a_hub_killed_between_any_two_steps_ends_as_if_it_had_not_been() {
    for steps in 0..12 {
        let mut house = House::new();
        let guest = house.create(code("4711"));
        for _ in 0..steps {
            house.pass(0.1);
        }
        house.rig.crash(3);
        house.bridge_up();
        house.pass(30.0);
        assert_eq!((house.status(guest).as_str(), house.lock().table.len()), ("set", 1), "killed after {steps}");
        assert_eq!(house.count(EventType::AccessCodeSetOnDevice), 1, "killed after {steps}");
    }
}

/// What the log of a daemon would show, and what errors, views of devices and debugging would: no digits.
#[test]
fn digits_are_nowhere_but_where_they_are_meant_to_be() {
    let mut house = House::new();
    house.moods = vec![Mood::Ignoring, Mood::Refusing, Mood::Garbling, Mood::Obedient];
    let guest = house.create(CodeDraft { use_backup_access_code_pool: Some(true), ..code("840173") });
    house.pass(600.0);
    house.lock().table.insert(20, "951284".into());
    house.says(CodeNotice::Added { slot: 20 });
    house.pass(60.0);
    house.change(guest, code("730619"));
    house.pass(60.0);
    let mut said: Vec<String> = house.rig.log.iter().map(|event| format!("{event:?}")).collect();
    for event in &house.rig.log {
        let mut event = event.clone();
        event.details.code = None;
        said.push(event.render(Dialect::Classic));
    }
    said.extend(house.sent.iter().map(|sent| format!("{sent:?}")));
    said.push(format!("{:?}", house.try_to_create(code("730619"))));
    said.push(house.rig.row(portcullis::hub::RowKind::Device, &house.device_id().to_string()).unwrap().to_string());
    assert!(said.len() > 20);
    for digits in ["840173", "951284", "730619"] {
        assert!(said.iter().all(|text| !text.contains(digits)), "{digits} is shown");
    }
}

/// Each type of the catalogue is in a scenario above; all that they tell has the shape that the catalogue gives it.
#[test]
fn every_type_of_codes_is_caused_and_has_its_shape() {
    let mut house = House::new();
    let now = house.wall().0;
    house.lock().table.insert(20, "7777".into());
    let draft = CodeDraft { use_backup_access_code_pool: Some(true), name: Some("Ada".into()), ..code("4711") };
    let ada = house.create(draft);
    house.pass(60.0);
    house.rig.command(Command::PullBackupCode { access_code_id: ada }).unwrap();
    let draft = CodeDraft { name: Some("Eve".into()), ends_at: Some(Wall(now + 100 * HOUR)), ..code("0815") };
    house.change(ada, draft);
    house.pass(60.0);
    // One is erased, one is changed; both are told and put right.
    house.lock().table.retain(|_, digits| digits == "7777");
    house.says(CodeNotice::AllDeleted);
    house.pass(60.0);
    for slot in 20..30 {
        house.lock().table.insert(slot, format!("99{slot}"));
        house.says(CodeNotice::Added { slot });
    }
    house.pass(60.0);
    let foreign = || house.rig.rows(portcullis::hub::RowKind::Code).filter(|(_, row)| row["is_managed"] == false);
    let foreign: Vec<Uuid> = foreign().map(|(key, _)| key.parse().unwrap()).collect();
    for (access_code_id, hides) in [(foreign[0], false), (foreign[1], true)] {
        house.lock().hides = hides;
        let convert = Command::ConvertCode { access_code_id, is_external_modification_allowed: None };
        house.rig.command(convert).unwrap();
        house.pass(20.0);
    }
    house.lock().hides = false;
    let mut told_of_codes = told(&mut house);
    // One that is to come, on a lock that keeps dates.
    let mut house = House::dated();
    let at = |hours: i64| Some(Wall(now + hours * HOUR));
    house.create(CodeDraft { starts_at: at(1), ends_at: at(2), ..code("4711") });
    house.pass(60.0);
    told_of_codes.extend(told(&mut house));
    // Another lock: it refuses, and then is away.
    let mut house = House::new();
    house.moods = vec![Mood::Refusing; 4];
    let ada = house.create(code("123456"));
    house.pass(900.0);
    house.moods = vec![Mood::Refusing; 10];
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    house.pass(60.0);
    house.delete(ada);
    house.create(code("654321"));
    house.pass(600.0);
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    house.pass(3600.0);
    told_of_codes.extend(told(&mut house));
    let missing = catalogue::catalogue().into_iter().filter(|(name, entry)| {
        let newer = ["name_changed", "code_changed", "time_frame_changed"].iter().any(|n| name.ends_with(n));
        name.starts_with("access_code.")
            && (entry["in_seed"] == true || newer)
            && !told_of_codes.contains(&name.as_str())
    });
    assert_eq!(missing.count(), 0);
}

#[test]
fn the_eleventh_code_of_a_minute_is_refused_for_now() {
    let mut house = House::new();
    for _ in 0..10 {
        house.create(CodeDraft::default());
    }
    assert!(matches!(house.try_to_create(CodeDraft::default()), Err(CommandError::TooMany { retry_after_s: 60 })));
    house.pass(61.0);
    house.create(CodeDraft::default());
}

#[test]
fn a_lock_that_is_removed_takes_its_codes_along() {
    let mut house = House::new();
    let guest = house.create(code("4711"));
    house.pass(10.0);
    house.rig.told();
    house.rig.hear(node(2), [Signal::Removed]);
    assert_eq!(house.rig.types(), ["access_code.deleted", "device.removed"]);
    assert_eq!(house.status(guest), "gone");
}

#[test]
fn one_lock_that_does_not_answer_delays_no_other() {
    let mut house = House::with(20, "codes = \"manage\"");
    house.lock().away = true;
    let devices: Vec<Uuid> = (2..22).map(|n| house.rig.id(node(n))).collect();
    for device_id in &devices {
        for digits in ["1111", "2222", "3333"] {
            house.rig.command(Command::CreateCode { device_id: *device_id, draft: code(digits) }).unwrap();
        }
    }
    house.pass(60.0);
    let full = house.locks.values().filter(|lock| lock.table.len() == 3).count();
    assert_eq!(full, 19);
    house.lock().away = false;
    house.pass(3600.0);
    assert_eq!(house.lock().table.len(), 3);
}

#[test]
fn a_lock_that_does_not_answer_is_asked_ever_more_seldom_however_many_codes_wait_for_it() {
    let mut house = House::new();
    house.lock().away = true;
    for digits in ["1111", "2222", "3333", "4444", "5555"] {
        house.create(code(digits));
    }
    house.pass(3600.0);
    // 5 s, 10 s … 30 min, or half of it by chance: no more than 12 within an hour.
    assert!((5..=12).contains(&house.sent.len()), "{}", house.sent.len());
    // When it is back nothing waits for the end of a pause.
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    house.pass(60.0);
    house.lock().away = false;
    house.rig.hear(node(2), [Signal::Node(NodeStatus::Alive)]);
    house.pass(15.0);
    assert_eq!(house.lock().table.len(), 5);
}

#[test]
fn two_hundred_and_fifty_codes_get_to_one_lock_in_turn_and_none_to_a_wrong_slot() {
    let mut house = House::with(1, "codes = \"manage\"");
    let mut wanted = Vec::new();
    for n in 0..250 {
        let digits = format!("{:05}", n * 37 + 1000);
        house.create(code(&digits));
        wanted.push(digits);
        house.pass(6.1);
    }
    house.pass(600.0);
    let mut held: Vec<String> = house.lock().table.values().cloned().collect();
    held.sort();
    wanted.sort();
    assert_eq!(held, wanted);
    assert_eq!((house.count(EventType::AccessCodeSetOnDevice), house.lock().commands), (250, 500));
    assert!(house.sent.windows(2).all(|w| w[1].0 - w[0].0 >= 200), "the radio gets its breath");
}

/// Locks that the configuration names have their say there; the others go by `[adopt]`, also when that changes.
#[test]
fn the_codes_of_a_lock_without_an_entry_are_written_where_adopt_says_so() {
    const NETWORK: &str = "[[zwave]]\nname = \"main\"\nurl = \"ws://127.0.0.1:3000\"\n";
    let managed = format!("[adopt]\ncodes = \"manage\"\n{NETWORK}");
    let mut rig = hub::Rig::new(NETWORK);
    rig.bridge_up();
    let kind = Some(portcullis::signal::DeviceKind::Lock);
    let what = portcullis::signal::Description { kind, code_slots: Some(20), ..Default::default() };
    rig.hear(node(2), [Signal::Described(Box::new(what)), Signal::Node(NodeStatus::Alive)]);
    let device_id = rig.id(node(2));
    let create = |digits: &str| Command::CreateCode { device_id, draft: code(digits) };
    assert!(matches!(rig.command(create("4711")), Err(CommandError::Refused(_))));
    rig.configure(&managed);
    let made = rig.command(create("4711")).unwrap();
    assert_eq!(made["code"], "4711");
    // Released and adopted by hand, it is still one of those.
    rig.command(Command::Release { device_id }).unwrap();
    rig.command(Command::Adopt { device_id, name: None }).unwrap();
    rig.command(create("0815")).unwrap();
    rig.configure(NETWORK);
    assert!(matches!(rig.command(create("1234")), Err(CommandError::Refused(_))));
}
