//! What the bridge makes of real transcripts: zwave-js 15.29.0 and `@zwave-js/server` 3.10.2 on emulated nodes
//! (`tests/data/zwave/`: `steps.json` with `disableOptimisticValueUpdate`, `steps-optimistic-default.json` without).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Bridge;
use crate::hub::Input;
use crate::signal::{
    CodeNotice, DenyReason, DeviceKey, DownReason, LinkNews, LockState, LockUser, Method, NodeStatus, Secret, Signal,
};
use crate::source::rules::{Rule, Target};
use crate::time::Mono;

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/zwave/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect(&path)
}

/// A bridge that has met the network of the transcripts.
pub(super) fn bridge() -> Bridge {
    let dump = data("state-dump.json");
    let mut bridge = Bridge::new("main".into());
    bridge.message(Mono(0), &dump["version"]);
    bridge.message(
        Mono(0),
        &json!({"type": "result", "success": true, "messageId": "2", "result": {"state": dump["state"]}}),
    );
    assert_eq!(bridge.malformed(), 0);
    bridge.commands();
    bridge
}

/// What each step of a transcript came to, in one go: (step, [(node, signal)]).
fn play(file: &str) -> Vec<(String, Vec<(u16, Signal)>)> {
    let mut bridge = bridge();
    let steps = data(file);
    let said = steps.as_array().unwrap().iter().map(|step| {
        let messages = step["messages"].as_array().unwrap().iter();
        let signals = messages.flat_map(|m| {
            let at = Mono(m["t"].as_u64().unwrap());
            let before = bridge.malformed();
            let said = signals(bridge.message(at, &m["msg"]));
            assert_eq!(bridge.malformed(), before, "{m}");
            said
        });
        (step["step"].as_str().unwrap().to_owned(), signals.collect())
    });
    said.collect()
}

pub(super) fn signals(inputs: Vec<Input>) -> Vec<(u16, Signal)> {
    let of = |input| match input {
        Input::Report(report) => {
            let DeviceKey::Zwave { node, .. } = report.device else { panic!("{:?}", report.device) };
            report.signals.into_iter().map(|s| (node, s)).collect()
        }
        _ => Vec::new(),
    };
    inputs.into_iter().flat_map(of).collect()
}

fn operation(locked: bool, method: Method, user: Option<u32>) -> Signal {
    Signal::LockOperation { locked, method, user: user.map(LockUser) }
}

/// What each step says, states that are only said again left out.
fn told(file: &str) -> Vec<(String, Vec<(u16, Signal)>)> {
    let squeeze = |signals: Vec<(u16, Signal)>| {
        let mut kept: Vec<(u16, Signal)> = Vec::new();
        for said in signals {
            if !kept.contains(&said) {
                kept.push(said);
            }
        }
        kept
    };
    play(file).into_iter().map(|(step, signals)| (step, squeeze(signals))).collect()
}

#[test]
fn every_step_of_a_real_transcript_says_what_happened_and_no_more() {
    let lock = |state| (2, Signal::Lock(state));
    let op = |locked, method, user| (2, operation(locked, method, user));
    let denied = |node, reason, user: Option<u32>| (node, Signal::AccessDenied { reason, user: user.map(LockUser) });
    let code = |notice| (2, Signal::Code(notice));
    let (locked, unlocked) = (lock(LockState::Locked), lock(LockState::Unlocked));
    use DenyReason::*;
    use Method::*;
    let expected: Vec<(&str, Vec<(u16, Signal)>)> = vec![
        ("manual_unlock", vec![unlocked.clone(), op(false, Manual, None)]),
        ("manual_lock", vec![locked.clone(), op(true, Manual, None)]),
        ("keypad_unlock user 3 (embedded User Code Report)", vec![unlocked.clone(), op(false, Keycode, Some(3))]),
        ("auto_lock", vec![locked.clone(), op(true, Automatic, None)]),
        ("keypad_unlock user 4 (1-byte params)", vec![unlocked.clone(), op(false, Keycode, Some(4))]),
        ("keypad_lock without user", vec![locked.clone(), op(true, Keycode, None)]),
        ("rf_unlock", vec![unlocked.clone(), op(false, Unknown, None)]),
        ("rf_lock: state report BEFORE notification", vec![locked.clone(), op(true, Unknown, None)]),
        ("keypad_unlock, notification only, no state report", vec![unlocked.clone(), op(false, Keycode, Some(3))]),
        (
            "radio retransmission: same keypad_lock 3x, same sequence number",
            vec![locked.clone(), op(true, Keycode, Some(5))],
        ),
        ("state report only (old lock without notifications): unlocked", vec![unlocked.clone()]),
        ("state report only: locked", vec![locked.clone()]),
        ("jammed", vec![lock(LockState::Jammed)]),
        ("jammed again", vec![]),
        ("jam cleared (idle)", vec![locked.clone()]),
        ("keypad temporarily disabled", vec![denied(2, KeypadDisabled, None)]),
        ("keypad state idle", vec![]),
        ("too many invalid codes (0x13)", vec![denied(2, TooManyAttempts, None)]),
        ("unlock by RF with invalid code (0x14)", vec![denied(2, UnknownCode, None)]),
        ("invalid credential used (0x32)", vec![denied(3, UnknownCode, None)]),
        ("valid credential denied, user disabled (0x2f) user 4", vec![denied(3, DisabledCode, Some(4))]),
        (
            "credential unlock (0x24), 1-byte params",
            vec![(3, operation(false, Keycode, Some(2))), (3, Signal::Lock(LockState::Unlocked))],
        ),
        ("home security: tampering invalid code (7/4)", vec![denied(2, UnknownCode, None)]),
        ("tamper cover removed (7/3)", vec![(2, Signal::Tamper(true))]),
        ("tamper cleared (7/0)", vec![(2, Signal::Tamper(false))]),
        ("battery 55", vec![(2, Signal::Battery { percent: 55 })]),
        ("battery LOW 0xFF (v1)", vec![(2, Signal::BatteryLow(true))]),
        ("battery 90", vec![(2, Signal::BatteryLow(false)), (2, Signal::Battery { percent: 90 })]),
        (
            "battery v2 20% replace soon",
            vec![
                (3, Signal::BatteryLow(true)),
                (3, Signal::BatteryCharging(false)),
                (3, Signal::Battery { percent: 20 }),
            ],
        ),
        ("power management: replace battery now (8/11)", vec![(2, Signal::BatteryLow(true))]),
        ("loudness sensor 71.5 dB", vec![(5, Signal::SoundLevel { decibels: 71.5 })]),
        (
            "keypad entry control: ENTER 1234",
            vec![(4, Signal::Code(CodeNotice::Typed { digits: Secret::new("1234") }))],
        ),
        ("door sensor open", vec![(6, Signal::Door { open: true })]),
        ("CMD unlock but the bolt jams", vec![lock(LockState::Jammed)]),
        ("CMD user code get 7 (empty slot)", vec![code(CodeNotice::Slot { slot: 7, digits: None })]),
        ("CMD user code get 7", vec![code(CodeNotice::Slot { slot: 7, digits: Some(Secret::new("0815")) })]),
        ("device side: code 7 added at keypad, notified", vec![code(CodeNotice::Added { slot: 7 })]),
        ("device side: code 7 deleted at keypad, notified", vec![code(CodeNotice::Deleted { slot: 7 })]),
        ("CMD node.ping on silent lock", vec![(2, Signal::Node(NodeStatus::Dead))]),
        (
            "node 2 revives and reports by itself",
            vec![(2, Signal::Node(NodeStatus::Alive)), unlocked.clone(), op(false, Manual, None)],
        ),
        ("CMD ping sleeping node", vec![(6, Signal::Node(NodeStatus::Awake)), (6, Signal::Node(NodeStatus::Asleep))]),
        (
            "factory reset on lock 3 (Device Reset Locally)",
            vec![(3, Signal::Node(NodeStatus::Dead)), (3, Signal::Removed)],
        ),
        ("CMD begin_exclusion + device excluded", vec![(5, Signal::Removed)]),
    ];
    // The value that comes before its notification may be left out: the notification says the same.
    let state = |s: &(u16, Signal)| matches!(s.1, Signal::Lock(LockState::Locked | LockState::Unlocked));
    let said = told("steps.json");
    for (step, expected) in expected {
        let (_, said) = said.iter().find(|(name, _)| name == step).expect(step);
        let operated = expected.iter().any(|s| matches!(s.1, Signal::LockOperation { .. }));
        let bare = |signals: &[(u16, Signal)]| -> Vec<(u16, Signal)> {
            signals.iter().filter(|s| !(operated && state(s))).cloned().collect()
        };
        assert_eq!(bare(said), bare(&expected), "{step}");
    }
}

fn event(value: Value) -> Value {
    json!({"type": "event", "event": value})
}

/// The frames that a lock sends for an operation, as zwave-js tells them: the value, then the notification.
fn frame(code: u16, mode: u16) -> [Value; 2] {
    let args =
        json!({"commandClass": 98, "endpoint": 0, "property": "currentMode", "newValue": mode, "prevValue": mode});
    [
        event(json!({"source": "node", "event": "value updated", "nodeId": 2, "args": args})),
        event(
            json!({"source": "node", "event": "notification", "nodeId": 2, "endpointIndex": 0, "ccId": 113, "args": {"type": 6, "event": code}}),
        ),
    ]
}

fn operations(said: &[(u16, Signal)]) -> Vec<&Signal> {
    said.iter().map(|(_, s)| s).filter(|s| matches!(s, Signal::LockOperation { .. })).collect()
}

#[test]
fn what_the_driver_hopes_of_a_command_is_no_state() {
    let said = told("steps-optimistic-default.json");
    let step = |name: &str| said.iter().find(|(step, _)| step == name).unwrap().1.clone();
    assert_eq!(step("CMD unlock but the bolt jams"), [(2, Signal::Lock(LockState::Jammed))]);
    let unlocked = step("CMD node.set_value lock=unsecured");
    assert_eq!(operations(&unlocked), [&operation(false, Method::Unknown, None)]);
}

#[test]
fn a_report_that_comes_4_s_late_is_not_believed_before_the_lock_was_asked() {
    // [how the lock answers the poll, what comes of it]
    for (answer, expected) in [(0, vec![]), (255, vec![operation(true, Method::Manual, None)])] {
        let mut bridge = bridge();
        let mut say = |at: u64, messages: &[Value]| -> Vec<(u16, Signal)> {
            let said = messages.iter().flat_map(|m| signals(bridge.message(Mono(at), m))).collect();
            if at == 15_300 {
                assert_eq!(bridge.commands().len(), 1, "the lock is asked");
            }
            said
        };
        say(11_000, &frame(1, 255));
        say(12_500, &frame(2, 0));
        // The first frame once more.
        assert_eq!(say(15_300, &frame(1, 255)), []);
        let answered = say(15_400, &frame(1, answer)[..1]);
        assert_eq!(operations(&answered), expected.iter().collect::<Vec<_>>());
        assert!(!answered.contains(&(2, Signal::Lock(LockState::Locked))), "{answered:?}");
    }
}

#[test]
fn a_late_repetition_that_contradicts_nothing_is_no_second_operation() {
    let mut bridge = bridge();
    let mut say = |at| -> Vec<(u16, Signal)> {
        frame(1, 255).iter().flat_map(|m| signals(bridge.message(Mono(at), m))).collect()
    };
    assert_eq!(operations(&say(11_000)).len(), 1);
    assert_eq!(operations(&say(15_300)).len(), 0);
    // But whoever locks a locked door again later has done so.
    assert_eq!(operations(&say(21_000)).len(), 1);
}

#[test]
fn a_dump_only_remembers_and_every_lock_in_it_is_asked() {
    let dump = data("state-dump.json");
    let mut bridge = Bridge::new("main".into());
    bridge.message(Mono(0), &dump["version"]);
    bridge.commands();
    let inputs =
        bridge.message(Mono(0), &json!({"type": "result", "success": true, "result": {"state": dump["state"]}}));
    let asked: Vec<String> = bridge.commands().iter().map(|c| c["messageId"].as_str().unwrap().to_owned()).collect();
    assert!(asked.contains(&"poll:2".to_owned()), "{asked:?}");
    for (node, signal) in signals(inputs) {
        let old = matches!(signal, Signal::Remembered(_) | Signal::Described(_) | Signal::Node(_));
        assert!(old, "{node}: {signal:?}");
    }
}

#[test]
fn states_that_are_told_again_after_a_restart_of_the_driver_are_no_news() {
    let mut bridge = bridge();
    let value = |part: &str, value: u16| {
        let args = json!({"commandClass": 113, "property": "Access Control", "propertyKey": part, "newValue": value, "prevValue": value});
        event(json!({"source": "node", "event": "value updated", "nodeId": 2, "args": args}))
    };
    let mut say = |m: &Value| signals(bridge.message(Mono(1), m));
    assert_eq!(say(&value("Lock state", 11)).len(), 1);
    assert_eq!(say(&value("Keypad state", 16)).len(), 1);
    assert_eq!(say(&value("Lock state", 11)), []);
    assert_eq!(say(&value("Keypad state", 16)), []);
}

#[test]
fn an_alarm_that_the_driver_also_tells_as_a_notification_is_one_operation() {
    let mut bridge = bridge();
    let value = |property: &str, value: u16| {
        let args = json!({"commandClass": 113, "property": property, "newValue": value});
        event(json!({"source": "node", "event": "value updated", "nodeId": 2, "args": args}))
    };
    let [mode, notification] = frame(1, 255);
    let messages = [value("alarmType", 21), value("alarmLevel", 1), mode, notification];
    let said: Vec<_> = messages.iter().flat_map(|m| signals(bridge.message(Mono(9), m))).collect();
    assert_eq!(operations(&said), [&operation(true, Method::Manual, None)]);
}

#[test]
fn an_association_that_leads_elsewhere_is_a_second_master() {
    let mut bridge = bridge();
    let mut answer = |result: Value, success: bool| {
        signals(bridge.message(
            Mono(1),
            &json!({"type": "result", "messageId": "associations:2", "success": success, "result": result}),
        ))
    };
    let group = |node: u16| json!({"associations": {"1": [{"nodeId": 1}, {"nodeId": node}]}});
    assert_eq!(answer(group(1), true), [(2, Signal::ThirdParty(false))]);
    assert_eq!(answer(group(9), true), [(2, Signal::ThirdParty(true))]);
    assert_eq!(answer(Value::Null, false), [(2, Signal::ThirdParty(false))]);
}

#[test]
fn a_rule_of_the_configuration_says_what_a_value_means() {
    let rule = |from: &str, to| (2, [Rule::new(from, to)].as_slice().into());
    let said = |rule, messages: &[Value]| -> Vec<(u16, Signal)> {
        let mut bridge = Bridge::new("main".into()).with_rules([rule].into());
        messages.iter().flat_map(|m| signals(bridge.message(Mono(1), m))).collect()
    };
    let value = |args: Value| [event(json!({"source": "node", "event": "value updated", "nodeId": 2, "args": args}))];
    let parameter = value(json!({"commandClass": 112, "endpoint": 0, "property": 8, "newValue": 1}));
    assert_eq!(said(rule("112-0-8", Target::Privacy), &parameter), [(2, Signal::Privacy(true))]);
    assert_eq!(said(rule("112-1-8", Target::Privacy), &parameter), []);
    let sensor =
        value(json!({"commandClass": 113, "property": "Home Security", "propertyKey": "Sensor status", "newValue": 2}));
    let intrusion = "113-0-Home Security-Sensor status=2";
    assert_eq!(said(rule(intrusion, Target::Moved), &sensor), [(2, Signal::Moved)]);
    assert_eq!(said(rule("notification-6-1", Target::Nothing), &frame(1, 255)[1..]), []);
    assert_eq!(said(rule("notification-6-1", Target::Doorbell), &frame(1, 255)[1..]), [(2, Signal::Doorbell)]);
}

#[test]
fn a_server_that_shares_no_schema_is_told_as_incompatible() {
    for (low, high, fits) in [(0, 50, true), (0, 31, true), (45, 60, true), (0, 30, false), (51, 60, false)] {
        let mut bridge = Bridge::new("main".into());
        let version = json!({"type": "version", "homeId": 1, "minSchemaVersion": low, "maxSchemaVersion": high});
        let inputs = bridge.message(Mono(0), &version);
        let down = matches!(&inputs[..], [Input::Link(_, LinkNews::BridgeDown(DownReason::Incompatible))]);
        assert_eq!((down, bridge.commands().is_empty()), (!fits, !fits), "{low} to {high}: {inputs:?}");
    }
}

/// Words that make a message of the protocol likely.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "type",
        "event",
        "result",
        "version",
        "source",
        "node",
        "controller",
        "driver",
        "args",
        "nodeId",
        "ccId",
        "state",
        "nodes",
        "values",
        "commandClass",
        "property",
        "propertyKey",
        "newValue",
        "value",
        "currentMode",
        "parameters",
        "userId",
        "data",
        "homeId",
        "ownNodeId",
        "notification",
        "value updated",
        "ready",
        "nodeState",
        "endpoints",
        "commandClasses",
        "messageId",
        "poll:2",
        "associations:2",
        "associations",
        "alarmType",
        "alarmLevel",
        "userCode",
        "userIdStatus",
        "Access Control",
        "Lock state",
        "eventType",
        "eventData",
        "status",
        "node removed",
        "success",
    ];
    prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn json_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u16..300).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..8).prop_map(|o| o.into_iter().collect()),
        ]
    })
}

/// A real message with pieces of it replaced by anything.
fn damaged() -> impl Strategy<Value = Value> {
    let steps = data("steps.json");
    let messages = steps.as_array().unwrap().iter().flat_map(|s| s["messages"].as_array().unwrap());
    let messages: Vec<Value> = messages.map(|m| m["msg"].clone()).collect();
    let pieces = proptest::collection::vec((any::<proptest::sample::Index>(), json_tree()), 0..4);
    (proptest::sample::select(messages), pieces).prop_map(|(mut message, pieces)| {
        for (index, piece) in pieces {
            let mut places = Vec::new();
            pointers(&message, String::new(), &mut places);
            let place = index.get(&places).clone();
            if let Some(value) = message.pointer_mut(&place) {
                *value = piece;
            }
        }
        message
    })
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(o) => o.iter().for_each(|(k, v)| pointers(v, format!("{at}/{k}"), out)),
        Value::Array(a) => a.iter().enumerate().for_each(|(n, v)| pointers(v, format!("{at}/{n}"), out)),
        _ => {}
    }
    out.push(at);
}

proptest! {
    #[test]
    fn no_message_makes_the_reader_panic(messages in proptest::collection::vec(prop_oneof![json_tree(), damaged()], 1..20)) {
        let mut bridge = bridge();
        for (n, message) in messages.iter().enumerate() {
            bridge.message(Mono(n as u64 * 700), message);
            bridge.commands();
        }
    }
}
