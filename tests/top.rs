//! `portcullis top`: one frame for scripts, and a live one on a real pseudo-terminal that is given back as it was.
#![cfg(feature = "embedded-broker")]

#[path = "support/demo.rs"]
mod demo;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use demo::Demo;
use nix::sys::termios::{LocalFlags, tcgetattr};
use portcullis::event::Dialect;
use serde_json::Value;

fn top(demo: &Demo, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["top", "--config", &demo.config]).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn one_frame_shows_adverts_by_the_second_parts_devices_and_events() {
    let demo = Demo::start(Dialect::Classic, &["--speed", "20"]);
    let done = top(&demo, &["--once", "--every", "1"]).output().unwrap();
    let frame = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{frame}");
    for word in
        ["Portcullis", "adverts", "backlog", "ok    mqtt", "zwave/demo", "online of", "Flat 1 lock", "last events"]
    {
        assert!(frame.contains(word), "{word}: {frame}");
    }
    let json = top(&demo, &["--once", "--every", "1", "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    // The demo's radio counts as a real one does: eight senders, twenty times as fast as life.
    assert!(json["rates"]["adverts"].as_f64().unwrap() > 1.0, "{json}");
    let heard = json["heard_ago_s"].as_object().unwrap();
    assert!(heard.len() >= 6 && heard.values().all(|ago| ago.as_f64().unwrap() >= 0.0), "{heard:?}");
}

#[test]
fn without_a_terminal_or_a_hub_it_says_what_to_do() {
    let demo = Demo::start(Dialect::Classic, &[]);
    let done = top(&demo, &[]).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(2) && said.contains("--once"), "{said}");
    let config = demo.config.clone();
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("config.toml");
    std::fs::write(&own, format!("state_dir = {:?}\n", dir.path().join("state"))).unwrap();
    let done =
        Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["top", "--once", "--config"]).arg(&own).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(1) && said.contains("systemctl start portcullis"), "{config}: {said}");
}

#[test]
fn on_a_terminal_it_is_live_and_q_gives_the_terminal_back() {
    let demo = Demo::start(Dialect::Classic, &["--speed", "20"]);
    let terminal = nix::pty::openpty(None, None).unwrap();
    let before = tcgetattr(&terminal.slave).unwrap();
    let side = || Stdio::from(terminal.slave.try_clone().unwrap());
    let mut child = top(&demo, &["--every", "1"]).stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    let mut master = std::fs::File::from(terminal.master.try_clone().unwrap());
    let (mut shown, mut buffer) = (String::new(), [0; 8192]);
    // Three frames, so that it goes on by itself.
    while shown.matches("\x1b[H").count() < 3 {
        let n = master.read(&mut buffer).unwrap();
        shown += &String::from_utf8_lossy(&buffer[..n]);
    }
    assert!(!tcgetattr(&terminal.slave).unwrap().local_flags.contains(LocalFlags::ECHO), "keys are not shown");
    master.write_all(b"q").unwrap();
    // Somebody must read what it says last, or it blocks.
    let reader = std::thread::spawn(move || {
        while let Ok(n) = master.read(&mut buffer) {
            shown += &String::from_utf8_lossy(&buffer[..n]);
            if shown.contains("\x1b[?1049l") {
                break;
            }
        }
        shown
    });
    assert!(child.wait().unwrap().success());
    let shown = reader.join().unwrap();
    assert!(shown.starts_with("\x1b[?1049h") && shown.contains("\x1b[?1049l"), "{shown:?}");
    assert_eq!(tcgetattr(&terminal.slave).unwrap().local_flags, before.local_flags);
}
