//! Events against the JSON Schemas in `docs/`, judged by a validator that others wrote (jsonschema-rs, in the SDK checks' environment).
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

struct Judge {
    /// It ends when this process does, and with it its standard input.
    _process: Child,
    ask: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
}

static JUDGE: LazyLock<Mutex<Judge>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut process = Command::new(root.join(".tools/sdk/bin/python"))
        .arg(root.join("tests/sdk/hold_events.py"))
        .arg(root.join("docs/schemas/events.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("scripts/prepare installs the SDK checks");
    let (ask, says) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
    Mutex::new(Judge { _process: process, ask, says: BufReader::new(says).lines() })
});

/// Panics where an event, as it is sent, is not what its schema says.
pub fn check(event: &str) {
    let verdict = {
        let mut judge = JUDGE.lock().unwrap_or_else(|e| e.into_inner());
        writeln!(judge.ask, "{event}").expect("it listens");
        judge.says.next().expect("a verdict").expect("text")
    };
    assert!(verdict == "holds", "{verdict}: {event}");
}
