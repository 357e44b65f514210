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
    drive(".tools/sdk/bin/python", &["tests/sdk/check.py"], &Demo::start(Dialect::Current, &[]));
}

/// The default. An SDK does not mind the older words, and every event that came of its doings is one of the classic catalogue.
#[test]
fn in_the_classic_dialect_each_event_has_what_its_catalogue_lists() {
    let demo = Demo::start(Dialect::Classic, &[]);
    drive(".tools/sdk/bin/python", &["tests/sdk/check.py"], &demo);
    let url = format!("{}/events/list?since=1970-01-01T00:00:00.000Z", demo.endpoint);
    let key = format!("Authorization: Bearer {}", demo.api_key);
    let listed = Command::new("curl").args(["-sf", "-H", &key, &url]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let events = listed["events"].as_array().unwrap();
    assert!(events.iter().any(|e| e["method"] == "seamapi"), "an unlock through the API");
    events.iter().for_each(|event| words::check(&event.to_string(), Dialect::Classic));
}

#[test]
fn the_node_sdk_of_today_finds_what_its_schemas_say() {
    drive("node", &["tests/sdk/node/check.mjs", "seam"], &Demo::start(Dialect::Current, &[]));
}

#[test]
fn the_node_sdk_that_speaks_the_older_dialect_finds_the_same() {
    drive("node", &["tests/sdk/node/check.mjs", "seam-lts"], &Demo::start(Dialect::Current, &[]));
}
