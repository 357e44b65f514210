//! Seam's own SDKs are at home on the hub: each drives a demo with a script of `tests/sdk/`, in both dialects of the wire.
//!
//! `scripts/prepare` installs them.
#![cfg(feature = "embedded-broker")]

#[path = "support/demo.rs"]
mod demo;
#[path = "support/catalogue.rs"]
mod words;

use std::path::Path;
use std::process::Command;

use demo::Demo;
use portcullis::event::Dialect;
use serde_json::Value;

/// Runs a script with where the demo is; its lines are shown where it fails.
fn drive(program: &str, arguments: &[&str], demo: &Demo) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = if program.contains('/') { root.join(program) } else { program.into() };
    let mut command = Command::new(&program);
    let done = command.args(arguments).args([&demo.endpoint, &demo.api_key]).current_dir(root).output();
    let done = done.unwrap_or_else(|e| panic!("{}: {e} (scripts/prepare installs it)", program.display()));
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
    assert!(out.contains("holds"), "it held nothing:\n{out}\n{err}");
}

#[test]
fn the_python_sdk_finds_what_it_knows_from_seam() {
    let demo = Demo::start(Dialect::Current, &[]);
    drive(".tools/sdk/bin/python", &["tests/sdk/check.py"], &demo);
    assert!(told(&demo, Dialect::Current).iter().any(|e| e["method"] == "remote"), "an unlock through the API");
}

/// Every event that a demo has told, each held against the catalogue and its JSON Schema.
fn told(demo: &Demo, dialect: Dialect) -> Vec<Value> {
    let (_, listed) = ask(demo, &demo.api_key, "/events/list", r#"{"since": "1970-01-01T00:00:00Z"}"#);
    let events = listed["events"].as_array().unwrap().clone();
    events.iter().for_each(|event| words::check(&event.to_string(), dialect));
    events
}

/// The examples of a language in the README, as they are printed.
fn examples(language: &str) -> Vec<&'static str> {
    let blocks = include_str!("../README.md").split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

#[test]
fn the_examples_of_the_readme_run_as_printed() {
    let demo = Demo::start(Dialect::Current, &[]);
    let (root, python) = (Path::new(env!("CARGO_MANIFEST_DIR")), ["-c"].as_slice());
    let node = ["--input-type=module", "-e"].as_slice();
    for (language, program, how) in
        [("python", root.join(".tools/sdk/bin/python"), python), ("js", "node".into(), node)]
    {
        let examples = examples(language);
        assert!(!examples.is_empty(), "no example in {language}");
        for example in examples {
            let mut command = Command::new(&program);
            command.args(how).arg(example).current_dir(root.join("tests/sdk/node"));
            command.env("SEAM_ENDPOINT", &demo.endpoint).env("SEAM_API_KEY", &demo.api_key);
            let done = command.output().unwrap();
            let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            assert!(done.status.success() && !out.is_empty(), "{example}\n{out}\n{err}");
        }
    }
}

/// Asks as curl does: the status, and the answer.
fn ask(demo: &Demo, key: &str, path: &str, body: &str) -> (u16, Value) {
    let (url, key) = (format!("{}{path}", demo.endpoint), format!("Authorization: Bearer {key}"));
    let asked =
        Command::new("curl").args(["-s", "-w", "\n%{http_code}", "-H", &key, "-d", body, &url]).output().unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn a_key_that_may_only_read_sees_codes_without_their_digits_and_cannot_guess_them() {
    let demo = Demo::start(Dialect::Current, &[]);
    let admin = &demo.api_key;
    let (_, locks) = ask(&demo, admin, "/devices/list", r#"{"include_if": ["can_program_online_access_codes"]}"#);
    let device = locks["devices"][0]["device_id"].as_str().unwrap();
    let draft = format!(r#"{{"device_id": "{device}", "code": "73829164"}}"#);
    let (status, made) = ask(&demo, admin, "/access_codes/create", &draft);
    assert_eq!((status, &made["access_code"]["code"]), (200, &"73829164".into()));
    let made = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["--config", &demo.config, "--json", "keys", "create", "--name", "x", "--scope", "read"])
        .output()
        .unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let reader = made["api_key"].as_str().unwrap();
    let events = r#"{"since": "1970-01-01T00:00:00Z", "event_types": ["access_code.set_on_device"]}"#;
    let set = (0..150).find_map(|_| {
        let (_, listed) = ask(&demo, admin, "/events/list", events);
        let set = listed["events"].as_array().unwrap().iter().any(|e| e["code"] == "73829164");
        set.then_some(()).or_else(|| {
            pause();
            None
        })
    });
    set.expect("the code is set within 15 s, and told to who may see it");
    for (path, body) in [("/access_codes/list", "{}"), ("/events/list", events), ("/events/get", events)] {
        let (_, shown) = ask(&demo, reader, path, body);
        assert!(!shown.to_string().contains("73829164"), "{path}: {shown}");
    }
    let (status, listed) = ask(&demo, reader, "/access_codes/list", "{}");
    assert_eq!((status, &listed["access_codes"][0]["code"]), (200, &Value::Null));
    for path in ["/access_codes/get", "/access_codes/create", "/access_codes/generate_code"] {
        assert_eq!(ask(&demo, reader, path, &draft).0, 403, "{path}");
    }
}

/// The default. An SDK does not mind the older words, and every event that came of its doings is one of the classic catalogue.
#[test]
fn in_the_classic_dialect_each_event_has_what_its_catalogue_lists() {
    let demo = Demo::start(Dialect::Classic, &[]);
    drive(".tools/sdk/bin/python", &["tests/sdk/check.py"], &demo);
    let events = told(&demo, Dialect::Classic);
    assert!(events.iter().any(|e| e["method"] == "seamapi"), "an unlock through the API");
}

#[test]
fn the_node_sdk_of_today_finds_what_its_schemas_say() {
    drive("node", &["tests/sdk/node/check.mjs", "seam"], &Demo::start(Dialect::Current, &[]));
}

#[test]
fn the_node_sdk_that_speaks_the_older_dialect_finds_the_same() {
    drive("node", &["tests/sdk/node/check.mjs", "seam-lts"], &Demo::start(Dialect::Current, &[]));
}

#[expect(clippy::disallowed_methods, reason = "a client that lists events looks again; the stream has its own tests")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}
