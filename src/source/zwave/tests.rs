//! What the bridge makes of real transcripts: zwave-js 15.29.0 and `@zwave-js/server` 3.10.2 on emulated nodes
//! (`tests/data/zwave/`: `steps.json` with `disableOptimisticValueUpdate`, `steps-optimistic-default.json` without).

use serde_json::{Value, json};

use super::Bridge;
use crate::hub::Input;
use crate::signal::{CodeNotice, DenyReason, DeviceKey, LockState, LockUser, Method, NodeStatus, Secret, Signal};
use crate::time::Mono;

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/zwave/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect(&path)
}

/// A bridge that has met the network of the transcripts.
fn bridge() -> Bridge {
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

fn signals(inputs: Vec<Input>) -> Vec<(u16, Signal)> {
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
        ("battery 90", vec![(2, Signal::Battery { percent: 90 })]),
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
