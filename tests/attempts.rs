//! Scenarios of operating a lock: an attempt succeeds by the lock's own word alone, fails with a type, and is never left pending.

#[path = "support/hub.rs"]
#[allow(dead_code)]
mod hub;

use hub::{NETWORK, Rig, ble, network, node};
use portcullis::event::EventType;
use portcullis::hub::{Action, Command, CommandError, CommandId, Input, RowKind};
use portcullis::signal::{
    Description, DeviceKind, DownReason, LinkNews, LockState, Method, NodeStatus, Outcome, Signal,
};
use serde_json::Value;
use uuid::Uuid;

const LOCKED: Signal = Signal::Lock(LockState::Locked);
const UNLOCKED: Signal = Signal::Lock(LockState::Unlocked);
const JAMMED: Signal = Signal::Lock(LockState::Jammed);
const BY_RADIO: Signal = Signal::LockOperation { locked: false, method: Method::Unknown, user: None };

/// A hub with a locked door on Z-Wave, and nothing told that is of interest.
fn house() -> Rig {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    let what = Description { kind: Some(DeviceKind::Lock), can_lock: Some(true), ..Description::default() };
    rig.hear(node(2), [Signal::Described(Box::new(what)), Signal::Node(NodeStatus::Alive), LOCKED]);
    rig.told();
    rig.asked.clear();
    rig
}

fn ask(rig: &mut Rig, lock: bool) -> Value {
    let device_id = rig.id(node(2));
    rig.command(Command::Lock { device_id, lock }).expect("an attempt")
}

fn id(view: &Value) -> Uuid {
    view["action_attempt_id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

/// The attempt as it is on disk: its status, and the type of its error.
fn stored(rig: &Rig, view: &Value) -> (String, Option<String>) {
    let row = rig.row(RowKind::Attempt, &id(view).to_string()).expect("remembered");
    (row["status"].as_str().unwrap().to_owned(), row["error"]["type"].as_str().map(str::to_owned))
}

fn error(kind: &str) -> (String, Option<String>) {
    ("error".into(), Some(kind.into()))
}

fn success() -> (String, Option<String>) {
    ("success".into(), None)
}

fn pending() -> (String, Option<String>) {
    ("pending".into(), None)
}

/// What the lock was sent.
fn sent(rig: &mut Rig) -> Vec<bool> {
    let locks = rig.asked.iter().filter_map(|a| if let Action::SetLock { lock, .. } = a { Some(*lock) } else { None });
    let locks = locks.collect();
    rig.asked.clear();
    locks
}

#[test]
fn the_locks_own_report_is_the_success_and_the_event_names_the_attempt() {
    let orders: [&[Signal]; 4] = [&[UNLOCKED, BY_RADIO], &[BY_RADIO, UNLOCKED], &[UNLOCKED], &[BY_RADIO]];
    for order in orders {
        let mut rig = house();
        let view = ask(&mut rig, false);
        assert_eq!(view["status"], "pending", "{view}");
        assert!(view["error"].is_null() && view["result"].is_null() && view["action_type"] == "UNLOCK_DOOR", "{view}");
        assert_eq!(sent(&mut rig), [false]);
        rig.wait(1.5);
        assert_eq!(stored(&rig, &view), pending());
        for said in order {
            rig.hear(node(2), [said.clone()]);
        }
        assert_eq!(stored(&rig, &view), success(), "{order:?}");
        rig.wait(60.0);
        let unlocked: Vec<_> = rig.log.iter().filter(|e| e.event_type == EventType::LockUnlocked).collect();
        let [unlocked] = unlocked[..] else { panic!("{order:?}: {:?}", rig.types()) };
        assert_eq!(unlocked.details.method, Some(Method::Api), "{order:?}");
        assert_eq!(unlocked.details.action_attempt_id, Some(id(&view)), "{order:?}");
        let ended = rig.last(EventType::ActionAttemptUnlockDoorSucceeded).expect("told");
        assert_eq!(ended.details.action_attempt_id, Some(id(&view)));
    }
}

#[test]
fn a_driver_that_took_the_command_is_no_success_and_silence_is_a_time_out() {
    let mut rig = house();
    let view = ask(&mut rig, false);
    rig.hear(node(2), []);
    rig.hear(node(2), [LOCKED]);
    rig.wait(29.0);
    assert_eq!(stored(&rig, &view), pending());
    rig.wait(2.0);
    assert_eq!(stored(&rig, &view), error("timed_out"));
    assert_eq!(rig.told(), ["action_attempt.unlock_door.failed"]);
    rig.hear(node(2), [UNLOCKED, BY_RADIO]);
    let late = rig.last(EventType::LockUnlocked).expect("told");
    assert_eq!(
        (late.details.method, late.details.action_attempt_id),
        (Some(Method::Api), Some(id(&view))),
        "it was late"
    );
}

#[test]
fn each_way_to_fail_has_a_type() {
    let state = |state| (Some(Signal::Lock(state)), Outcome::Refused);
    let ways = [
        ("lock_jammed", state(LockState::Jammed)),
        ("lock_jammed", state(LockState::NotFullyLocked)),
        ("refused_by_device", (None, Outcome::Refused)),
        ("device_disconnected", (None, Outcome::Unreachable)),
        ("hub_disconnected", (None, Outcome::LinkDown)),
    ];
    for (kind, (state, outcome)) in ways {
        let mut rig = house();
        let view = ask(&mut rig, true);
        rig.hear(node(2), [state.unwrap_or(Signal::Attempted { attempt: id(&view), outcome })]);
        assert_eq!(stored(&rig, &view), error(kind));
        assert_eq!(rig.told(), ["action_attempt.lock_door.failed"], "{kind}");
        let row = rig.row(RowKind::Attempt, &id(&view).to_string()).unwrap();
        assert!(row["error"]["message"].is_string() && row["result"].is_null(), "{row}");
    }
}

#[test]
fn a_jam_that_was_there_before_is_the_reason_of_a_time_out() {
    let mut rig = house();
    rig.hear(node(2), [JAMMED]);
    let view = ask(&mut rig, true);
    rig.wait(31.0);
    assert_eq!(stored(&rig, &view), error("lock_jammed"));
}

#[test]
fn while_the_bridge_is_down_an_attempt_fails_at_once_and_the_lock_is_not_asked() {
    for (reason, kind) in [(DownReason::Unreachable, "hub_disconnected"), (DownReason::Refused, "account_disconnected")]
    {
        let mut rig = house();
        rig.link(network(), LinkNews::BridgeDown(reason));
        rig.wait(10.0);
        let view = ask(&mut rig, false);
        assert_eq!((view["status"].as_str(), view["error"]["type"].as_str()), (Some("error"), Some(kind)));
        assert_eq!(sent(&mut rig), [] as [bool; 0]);
    }
}

#[test]
fn a_lock_that_the_driver_holds_for_dead_is_tried_once_more() {
    let mut rig = house();
    rig.hear(node(2), [Signal::Node(NodeStatus::Dead)]);
    rig.wait(10.0);
    let view = ask(&mut rig, false);
    assert_eq!(sent(&mut rig), [false]);
    rig.hear(node(2), [Signal::Attempted { attempt: id(&view), outcome: Outcome::Unreachable }]);
    assert_eq!(stored(&rig, &view), error("device_disconnected"));
    let online = rig.hub.as_ref().unwrap().devices().any(|d| d.key == node(2) && d.connected);
    assert!(!online, "that the driver gave up is no sign of life");
}

#[test]
fn a_lock_that_is_there_already_is_asked_and_believed_when_it_says_so() {
    let mut rig = house();
    let view = ask(&mut rig, true);
    assert_eq!((sent(&mut rig), stored(&rig, &view)), (vec![true], pending()));
    rig.hear(node(2), [Signal::Remembered(Box::new(LOCKED))]);
    assert_eq!(stored(&rig, &view), pending(), "what a bridge remembers is no report");
    rig.hear(node(2), [LOCKED]);
    assert_eq!(stored(&rig, &view), success());
    rig.wait(60.0);
    assert_eq!(rig.told(), ["action_attempt.lock_door.succeeded"], "nothing moved");
}

#[test]
fn a_hand_at_the_door_meanwhile_is_told_as_what_it_was() {
    let mut rig = house();
    let view = ask(&mut rig, false);
    rig.hear(node(2), [Signal::LockOperation { locked: false, method: Method::Keycode, user: None }]);
    assert_eq!(stored(&rig, &view), success(), "the door is unlocked");
    let event = rig.last(EventType::LockUnlocked).expect("told");
    assert_eq!((event.details.method, event.details.action_attempt_id), (Some(Method::Keycode), None));
}

#[test]
fn what_somebody_else_did_by_radio_is_not_ours() {
    let mut rig = house();
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(1.0);
    let view = ask(&mut rig, false);
    rig.wait(2.0);
    let event = rig.last(EventType::LockUnlocked).expect("told");
    assert_eq!(event.details.method, Some(Method::Unknown), "it moved before it was asked");
    rig.hear(node(2), [UNLOCKED]);
    assert_eq!(stored(&rig, &view), success());
    rig.wait(60.0);
    rig.told();
    rig.hear(node(2), [LOCKED, BY_RADIO]);
    let event = rig.last(EventType::LockUnlocked).expect("told");
    assert_eq!(event.details.action_attempt_id, None, "long after");
}

#[test]
fn a_second_attempt_rides_with_the_first_or_waits_for_its_end() {
    let mut rig = house();
    let (first, same, other) = (ask(&mut rig, false), ask(&mut rig, false), ask(&mut rig, true));
    assert_eq!(sent(&mut rig), [false], "one at a time, and none twice");
    assert!(id(&first) != id(&same));
    rig.hear(node(2), [UNLOCKED, BY_RADIO]);
    assert_eq!([&first, &same, &other].map(|a| stored(&rig, a)), [success(), success(), pending()]);
    assert_eq!(sent(&mut rig), [true]);
    rig.hear(node(2), [LOCKED]);
    assert_eq!(stored(&rig, &other), success());
    rig.wait(60.0);
    let succeeded = rig.types().iter().filter(|t| t.ends_with(".succeeded")).count();
    assert_eq!(succeeded, 3, "{:?}", rig.types());
}

#[test]
fn what_waits_behind_one_that_fails_gets_its_own_turn_and_its_own_time() {
    let mut rig = house();
    let (first, rider, second) = (ask(&mut rig, false), ask(&mut rig, false), ask(&mut rig, true));
    rig.wait(31.0);
    let timed_out = || error("timed_out");
    assert_eq!([&first, &rider, &second].map(|a| stored(&rig, a)), [timed_out(), timed_out(), pending()]);
    assert_eq!(sent(&mut rig), [false, true]);
    rig.wait(31.0);
    assert_eq!(stored(&rig, &second), error("timed_out"));
}

#[test]
fn a_restart_leaves_nothing_pending_and_repeats_nothing_on_the_lock() {
    let mut rig = house();
    let (asked, waiting) = (ask(&mut rig, false), ask(&mut rig, true));
    assert_eq!(sent(&mut rig), [false]);
    rig.crash(5);
    rig.give(Input::Wake);
    assert_eq!(stored(&rig, &waiting), error("hub_restarted"), "it never reached the lock");
    assert_eq!(stored(&rig, &asked), pending());
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive), LOCKED]);
    rig.wait(80.0);
    assert_eq!(stored(&rig, &asked), error("hub_restarted"));
    assert_eq!(sent(&mut rig), [] as [bool; 0]);
}

#[test]
fn what_the_lock_did_while_the_hub_was_away_decides_the_attempt() {
    let mut rig = house();
    let view = ask(&mut rig, false);
    rig.restart(5);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive), Signal::Remembered(Box::new(LOCKED)), UNLOCKED]);
    assert_eq!(stored(&rig, &view), success());
    rig.wait(3.0);
    let event = rig.last(EventType::LockUnlocked).expect("told");
    assert_eq!((event.details.method, event.details.action_attempt_id), (Some(Method::Api), Some(id(&view))));
}

#[test]
fn after_a_restart_a_new_attempt_does_not_wait_for_an_old_one() {
    let mut rig = house();
    let old = ask(&mut rig, false);
    rig.restart(5);
    rig.bridge_up();
    rig.asked.clear();
    let new = ask(&mut rig, true);
    assert_eq!((stored(&rig, &old), sent(&mut rig)), (error("hub_restarted"), vec![true]));
    rig.hear(node(2), [LOCKED]);
    assert_eq!(stored(&rig, &new), success());
}

#[test]
fn the_sixteenth_of_a_kind_within_a_minute_is_refused_and_told_when_to_come_again() {
    let mut rig = house();
    for n in 0..15 {
        ask(&mut rig, true);
        rig.hear(node(2), [LOCKED]);
        rig.wait(1.0);
        assert_eq!(sent(&mut rig), [true], "{n}");
    }
    let device_id = rig.id(node(2));
    let refused = rig.command(Command::Lock { device_id, lock: true });
    assert_eq!(refused, Err(CommandError::TooMany { retry_after_s: 45 }));
    ask(&mut rig, false);
    rig.wait(46.0);
    ask(&mut rig, true);
}

#[test]
fn only_a_managed_lock_that_can_be_operated_is() {
    let mut rig = Rig::new(&format!("{NETWORK}[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\n"));
    rig.bridge_up();
    rig.hear(ble(1), [LOCKED]);
    rig.hear(node(5), [Signal::Node(NodeStatus::Alive), Signal::SoundLevel { decibels: 40.0 }]);
    for key in [ble(1), node(5)] {
        let device_id = rig.id(key);
        let refused = rig.command(Command::Lock { device_id, lock: true });
        assert!(matches!(refused, Err(CommandError::Refused(_))), "{key}: {refused:?}");
    }
    let nobody = Uuid::from_u128(1);
    let refused = rig.command(Command::Lock { device_id: nobody, lock: true });
    assert_eq!(refused, Err(CommandError::NoSuchDevice(nobody)));

    let mut rig = house();
    let device_id = rig.id(node(2));
    rig.command(Command::Release { device_id }).expect("released");
    let refused = rig.command(Command::Lock { device_id, lock: true });
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
}

#[test]
fn a_lock_that_is_taken_away_ends_its_attempts() {
    let mut rig = house();
    let view = ask(&mut rig, false);
    rig.hear(node(2), [Signal::Removed]);
    assert_eq!(stored(&rig, &view), error("device_removed"));
    assert_eq!(rig.told(), ["action_attempt.unlock_door.failed", "device.removed"]);
}

#[test]
fn attempts_are_remembered_for_a_day_and_never_more_than_a_thousand() {
    let mut rig = house();
    let view = ask(&mut rig, true);
    rig.hear(node(2), [LOCKED]);
    rig.wait(23.0 * 3600.0);
    assert_eq!(stored(&rig, &view), success());
    rig.wait(2.0 * 3600.0);
    assert_eq!(rig.rows_of(RowKind::Attempt), 0);
    for _ in 0..1100 {
        ask(&mut rig, true);
        rig.hear(node(2), [LOCKED]);
        rig.wait(5.0);
    }
    ask(&mut rig, true);
    assert_eq!(rig.rows_of(RowKind::Attempt), 1000);
}

#[test]
fn an_attempt_that_no_disk_took_is_sent_to_no_lock() {
    let mut rig = house();
    rig.disk_fails = true;
    let device_id = rig.id(node(2));
    rig.give(Input::Command(CommandId(1), Command::Lock { device_id, lock: false }));
    assert_eq!(sent(&mut rig), [] as [bool; 0]);
    rig.crash(1);
    rig.wait(200.0);
    assert_eq!((sent(&mut rig), rig.rows_of(RowKind::Attempt)), (vec![], 0));
}
