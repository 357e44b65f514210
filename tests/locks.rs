//! Scenarios of the locks' judgement: every operation an event, no echo an event; method and user right in whatever order they come.

#[path = "support/hub.rs"]
#[allow(dead_code)]
mod hub;

use hub::{NETWORK, NOON, Rig, ble, network, node};
use portcullis::event::EventType;
use portcullis::signal::{DenyReason, LinkNews, LockState, LockUser, Method, NodeStatus, Signal};

const LOCKED: Signal = Signal::Lock(LockState::Locked);
const UNLOCKED: Signal = Signal::Lock(LockState::Unlocked);
fn unlock(method: Method) -> Signal {
    Signal::LockOperation { locked: false, method, user: None }
}

/// A hub with a locked door on Z-Wave, and nothing told that is of interest.
fn house() -> Rig {
    let mut rig = Rig::new(NETWORK);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive), Signal::Remembered(Box::new(LOCKED))]);
    rig.told();
    rig
}

/// What was told, as type and method.
fn told(rig: &mut Rig) -> Vec<(&'static str, Option<Method>)> {
    let told = rig.log.iter().map(|e| (e.event_type.as_str(), e.details.method)).collect();
    rig.log.clear();
    told
}

const UNLOCKED_BY_KEYCODE: [(&str, Option<Method>); 1] = [("lock.unlocked", Some(Method::Keycode))];
const UNLOCKED_SOMEHOW: [(&str, Option<Method>); 1] = [("lock.unlocked", Some(Method::Unknown))];

#[test]
fn value_and_notification_are_one_event_in_whatever_order_they_come() {
    let operation = unlock(Method::Keycode);
    let orders: [&[Signal]; 5] = [
        &[UNLOCKED, operation.clone()],
        &[operation.clone(), UNLOCKED],
        &[UNLOCKED, UNLOCKED, operation.clone(), UNLOCKED],
        std::slice::from_ref(&operation),
        &[UNLOCKED, operation.clone(), UNLOCKED, UNLOCKED],
    ];
    for order in orders {
        let mut rig = house();
        for signal in order {
            rig.hear(node(2), [signal.clone()]);
            rig.wait(0.3);
        }
        rig.wait(60.0);
        assert_eq!(told(&mut rig), UNLOCKED_BY_KEYCODE, "{order:?}");
    }
}

#[test]
fn a_state_that_nothing_explains_is_told_after_2_s_with_the_time_it_was_heard() {
    let mut rig = house();
    rig.wait(10.0);
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(1.9);
    assert_eq!(told(&mut rig), []);
    rig.wait(0.2);
    let event = rig.last(EventType::LockUnlocked).expect("told");
    assert_eq!((event.occurred_at.0, event.created_at.0), (NOON + 10_000, NOON + 12_000));
    assert_eq!(told(&mut rig), UNLOCKED_SOMEHOW);
}

#[test]
fn a_notification_that_comes_after_that_is_no_second_event_but_one_of_later_is() {
    let mut rig = house();
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(3.0);
    assert_eq!(told(&mut rig), UNLOCKED_SOMEHOW);
    rig.hear(node(2), [unlock(Method::Keycode)]);
    rig.wait(30.0);
    assert_eq!(told(&mut rig), []);
    rig.hear(node(2), [unlock(Method::Keycode)]);
    assert_eq!(told(&mut rig), UNLOCKED_BY_KEYCODE, "whoever enters a code again has operated the lock again");
}

#[test]
fn there_and_back_within_the_wait_are_two_events() {
    let mut rig = house();
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(0.5);
    rig.hear(node(2), [LOCKED]);
    rig.wait(5.0);
    let unknown = Some(Method::Unknown);
    assert_eq!(told(&mut rig), [("lock.unlocked", unknown), ("lock.locked", unknown)]);
}

#[test]
fn a_jam_is_a_warning_and_no_event_and_takes_back_what_was_only_hoped() {
    let mut rig = house();
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(0.2);
    rig.hear(node(2), [Signal::Lock(LockState::Jammed)]);
    rig.wait(4.8);
    rig.hear(node(2), [Signal::Lock(LockState::Jammed), LOCKED]);
    rig.wait(60.0);
    assert_eq!(told(&mut rig), []);

    rig.hear(node(2), [Signal::Lock(LockState::Jammed)]);
    let warnings = |rig: &Rig| -> Vec<Option<String>> {
        let device = rig.hub.as_ref().unwrap().devices().find(|d| d.key == node(2)).unwrap();
        device.lock.warnings().into_iter().map(|w| w.warning_code).collect()
    };
    assert_eq!(warnings(&rig), [Some("lock_jammed".into())]);
    // On the events that carry warnings, too.
    rig.link(network(), LinkNews::BridgeDown(portcullis::signal::DownReason::Unreachable));
    let lost = rig.last(EventType::DeviceDisconnected).expect("told");
    assert_eq!(lost.details.device_warnings.as_ref().unwrap()[0].warning_code.as_deref(), Some("lock_jammed"));
    rig.told();
    rig.hear(node(2), [unlock(Method::Manual)]);
    assert_eq!(warnings(&rig), []);
}

#[test]
fn a_dump_is_no_news_and_a_poll_that_reveals_a_missed_operation_is() {
    let mut rig = house();
    rig.hear(node(2), [Signal::Remembered(Box::new(UNLOCKED))]);
    rig.wait(10.0);
    assert_eq!(told(&mut rig), []);
    rig.hear(node(2), [LOCKED]);
    rig.wait(10.0);
    assert_eq!(told(&mut rig), [], "a poll that only confirms");
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(10.0);
    assert_eq!(told(&mut rig), UNLOCKED_SOMEHOW);
}

#[test]
fn an_operation_missed_over_a_restart_is_told_once() {
    let mut rig = house();
    // The change was heard, and the daemon stopped before it was told.
    rig.hear(node(2), [UNLOCKED]);
    rig.restart(5);
    rig.bridge_up();
    rig.hear(node(2), [Signal::Node(NodeStatus::Alive), Signal::Remembered(Box::new(UNLOCKED))]);
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(10.0);
    rig.hear(node(2), [UNLOCKED]);
    rig.wait(10.0);
    let locks: Vec<_> = told(&mut rig).into_iter().filter(|(t, _)| t.starts_with("lock.")).collect();
    assert_eq!(locks, UNLOCKED_SOMEHOW);
}

#[test]
fn each_refusal_has_a_reason_of_seams_and_a_keypad_that_shuts_says_so_once() {
    let mut rig = house();
    let seams = [
        "unknown_code",
        "expired_code",
        "blocklisted_code",
        "too_many_attempts",
        "blocked_by_privacy_mode",
        "credential_error",
    ];
    use DenyReason::*;
    for reason in
        [UnknownCode, ExpiredCode, DisabledCode, OutsideSchedule, KeypadDisabled, PrivacyMode, Other, TooManyAttempts]
    {
        rig.hear(node(2), [Signal::AccessDenied { reason, user: Some(LockUser(1)) }]);
        let told = rig.last(EventType::LockAccessDenied).and_then(|e| e.details.reason.clone()).expect("told");
        assert!(seams.contains(&told.reason_code.as_str()) && !told.message.is_empty(), "{told:?}");
        rig.told();
    }
    rig.wait(0.5);
    rig.hear(node(2), [Signal::AccessDenied { reason: KeypadDisabled, user: None }]);
    assert_eq!(told(&mut rig), []);
}

#[test]
fn a_bluetooth_lock_that_tells_no_operations_is_not_kept_waiting() {
    let mut rig = Rig::new("[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\n");
    rig.hear(ble(1), [LOCKED]);
    rig.told();
    rig.hear(ble(1), [UNLOCKED]);
    assert_eq!(told(&mut rig), UNLOCKED_SOMEHOW);
    // Once it has told one, its states wait like any other's.
    rig.hear(ble(1), [LOCKED, Signal::LockOperation { locked: true, method: Method::Manual, user: None }]);
    rig.told();
    rig.hear(ble(1), [UNLOCKED]);
    assert_eq!(told(&mut rig), []);
    rig.hear(ble(1), [unlock(Method::Keycode)]);
    assert_eq!(told(&mut rig), UNLOCKED_BY_KEYCODE);
}
