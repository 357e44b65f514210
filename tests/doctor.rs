//! `portcullis doctor`: what is missing is found, in plain words, with the way to mend it.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/unit.rs"]
mod unit;

use mosquitto::Mosquitto;
use serde_json::Value;
use unit::Home;

/// The findings about one part, as `(state, what, fix)`.
fn findings(home: &Home, part: &str) -> (Option<i32>, Vec<(String, String, String)>) {
    let done = home.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {done:?}"));
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    let all = told["findings"].as_array().unwrap().iter();
    let about = all.filter(|f| f["part"] == part).map(|f| (text(f, "state"), text(f, "what"), text(f, "fix")));
    assert_eq!(told["ok"] == true, done.code == Some(0), "{done:?}");
    (done.code, about.collect())
}

fn mqtt(home: &Home) -> (Option<i32>, (String, String, String)) {
    let (code, mut about) = findings(home, "mqtt");
    assert_eq!(about.len(), 1);
    (code, about.remove(0))
}

#[test]
fn a_broker_that_lets_us_is_tried_with_a_message_there_and_back_in_both_versions() {
    let broker = Mosquitto::start();
    for version in [4, 5] {
        let home = Home::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nversion = {version}", broker.port));
        let (_, (state, what, _)) = mqtt(&home);
        assert_eq!(state, "fine", "{what}");
        assert!(what.contains("gave it back"), "{what}");
    }
}

#[test]
fn a_broker_that_forbids_us_to_write_is_told_with_the_topic_to_allow() {
    let prepare = |dir: &std::path::Path| {
        // Mosquitto gives its root away to the user mosquitto, who must be able to read it.
        std::fs::write(dir.join("acl"), "topic read #\n").unwrap();
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let broker = Mosquitto::prepared("allow_anonymous true\nacl_file {dir}/acl\n", prepare);
    let home = Home::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"", broker.port));
    let (code, (state, what, fix)) = mqtt(&home);
    assert_eq!((code, state.as_str()), (Some(1), "wrong"), "{what}");
    assert!(fix.contains("portcullis/hub-1/doctor"), "{fix}");
}

#[test]
fn no_broker_and_no_zwave_server_are_told_with_what_to_start() {
    let nobody = "[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[[zwave]]\nname = \"main\"\nurl = \"ws://127.0.0.1:1\"";
    let home = Home::new(nobody);
    let (code, (state, _, fix)) = mqtt(&home);
    assert_eq!((code, state.as_str()), (Some(1), "wrong"));
    assert!(fix.contains("apt install mosquitto"), "{fix}");
    let (_, zwave) = findings(&home, "zwave/main");
    assert_eq!(zwave[0].0, "wrong");
    assert!(zwave[0].2.contains("zwave-js-server"), "{zwave:?}");
}

#[test]
fn a_wrong_configuration_is_told_problem_by_problem() {
    let home = Home::new("[mqtt]\nversion = 7\n[hub]\nname = \"a b\"");
    let (code, about) = findings(&home, "config");
    assert_eq!(code, Some(1));
    assert_eq!(about.len(), 2, "{about:?}");
}

#[test]
fn a_running_hub_is_asked_how_its_parts_are_and_a_stopped_one_is_noted() {
    let broker = Mosquitto::start();
    let home = Home::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"", broker.port));
    assert_eq!(findings(&home, "hub").1[0].0, "note");
    let daemon = home.start();
    assert_eq!(findings(&home, "hub").1[0].0, "fine");
    let parts = findings(&home, "hub: control").1;
    assert!(parts[0].1.contains("control.sock"), "{parts:?}");
    assert_eq!(findings(&home, "state").1[0].0, "fine");
    drop(daemon);
}

#[test]
fn it_reads_like_sentences_for_people() {
    let home = Home::new("[mqtt]\nurl = \"mqtt://127.0.0.1:1\"");
    let done = home.run(&["doctor"]);
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("WRONG  mqtt") && done.out.contains("→ "), "{}", done.out);
}
