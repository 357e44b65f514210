//! The demo is the whole path: what it prints first is where it can be reached, and a stranger's MQTT client gets the events.
#![cfg(feature = "embedded-broker")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Ends its process when the test does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> (Process, impl Iterator<Item = String> + use<>) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (Process(child), lines)
}

fn demo(arguments: &[&str]) -> (Process, Value, impl Iterator<Item = String> + use<>) {
    // 60 seconds are a bound on a hanging test, not a wait.
    // An address of its own: several demos run at once here, and would all find the usual one free.
    let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let common = ["demo", "--json", "--seconds", "60", "--http", &http];
    let (process, mut lines) = start(Command::new(env!("CARGO_BIN_EXE_portcullis")).args(common).args(arguments));
    let ready: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    (process, ready, lines)
}

#[test]
fn subscribers_of_both_versions_of_mqtt_see_the_building_live() {
    let (_demo, ready, _unread) = demo(&["--speed", "20"]);
    assert_eq!(ready["ready"], true);
    let url = ready["mqtt"].as_str().unwrap();
    let port = url.rsplit(':').next().unwrap();
    for version in ["5", "311"] {
        let topic = "portcullis/demo/event/+/lock/#";
        let options = ["-V", version, "-p", port, "-t", topic, "-C", "1", "-W", "40"];
        let (_subscriber, mut lines) = start(Command::new("mosquitto_sub").args(options));
        let event: Value = serde_json::from_str(&lines.next().expect("an event within 40 s")).unwrap();
        assert!(event["event_type"].as_str().unwrap().starts_with("lock."), "{event}");
        assert!(event["seq"].as_u64().unwrap() > 0 && event["log_id"].is_string(), "{event}");
    }
}

#[test]
fn the_building_shows_a_keypad_unlock_a_refused_code_a_low_battery_and_a_tampered_keypad() {
    let (_demo, _, lines) = demo(&["--speed", "100", "--seed", "3"]);
    let mut wanted = vec!["lock.unlocked", "lock.access_denied", "device.low_battery", "device.tampered"];
    let mut keycode = false;
    for line in lines {
        let event: Value = serde_json::from_str(&line).unwrap();
        wanted.retain(|t| event["event_type"] != *t);
        keycode |= event["event_type"] == "lock.unlocked" && event["method"] == "keycode";
        if wanted.is_empty() && keycode {
            return;
        }
    }
    panic!("a minute passed without {wanted:?} (keycode unlock: {keycode})");
}

#[test]
fn the_key_of_the_ready_line_opens_the_api_and_no_other_does() {
    let key = "seam_demo1_0123456789abcdef";
    let (_demo, ready, _unread) = demo(&["--api-key", key]);
    assert_eq!(ready["api_key"], key);
    let http = ready["http"].as_str().unwrap();
    let status = |authorization: Option<&str>| {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--retry",
            "20",
            "--retry-connrefused",
            "--retry-delay",
            "1",
        ]);
        curl.args(authorization.map(|a| ["-H".to_owned(), format!("Authorization: Bearer {a}")]).into_iter().flatten());
        let out = curl.arg(format!("{http}/devices/list")).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(status(Some(key)), "200");
    assert_eq!(status(Some("seam_demo1_0123456789abcdee")), "401");
    assert_eq!(status(None), "401");
}

#[test]
fn what_a_bridge_says_is_recorded_for_its_owner_alone_and_replays_as_the_events_it_was() {
    use std::os::unix::fs::PermissionsExt;
    let (_demo, ready, live) = demo(&["--speed", "30"]);
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("capture");
    let config = ready["config"].as_str().unwrap();
    let portcullis = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["--config", config]).args(arguments).arg(&capture);
        command
    };
    let (recorder, _) = start(portcullis(&["record", "--seconds", "30"]).stderr(Stdio::null()));
    // Once two operations were told live, the recorder beside has heard the second at least.
    let told = live.filter(|line| line.contains("\"method\":\"keycode\"") || line.contains("\"method\":\"manual\""));
    assert_eq!(told.take(2).count(), 2);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(recorder.0.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    let mut recorder = recorder;
    assert!(recorder.0.wait().unwrap().success());
    assert_eq!(std::fs::metadata(&capture).unwrap().permissions().mode() & 0o777, 0o600);
    let replayed = portcullis(&["replay"]).output().unwrap();
    let replayed = String::from_utf8(replayed.stdout).unwrap();
    assert!(replayed.contains("\"event_type\":\"lock.unlocked\""), "{replayed}");
}

#[test]
fn a_door_is_unlocked_and_locked_from_the_command_line() {
    let (_demo, ready, live) = demo(&["--speed", "5"]);
    let config = ready["config"].as_str().unwrap();
    let portcullis = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let out = command.args(["--config", config]).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    // The network is there once one of its devices is.
    let mut live = live.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    live.by_ref().find(|event| event["event_type"] == "connected_account.completed_first_sync").unwrap();
    let (code, said, error) = portcullis(&["unlock", "Front door"]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{said}");
    assert!(said.starts_with("Front door: unlocking …\nFront door: unlocked after "), "{said}");
    let unlocked = live.by_ref().find(|event| event["event_type"] == "lock.unlocked" && event["method"] == "seamapi");
    let attempt = unlocked.unwrap()["action_attempt_id"].clone();
    assert!(attempt.is_string());

    let (code, said, _) = portcullis(&["lock", "Front door", "--json"]);
    let ended: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &ended["status"], &ended["action_type"]),
        (Some(0), &"success".into(), &"LOCK_DOOR".into()),
        "{said}"
    );
    assert!(ended["action_attempt_id"] != attempt);

    let (code, said, _) = portcullis(&["lock", "Front door", "--wait", "0", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["status"], "pending");

    let (code, _, error) = portcullis(&["lock", "Stairwell loudness"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot be operated"), "{error}");
    let (code, _, error) = portcullis(&["lock", "No such door"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("portcullis devices") || error.contains("/devices/list"), "{error}");
}
