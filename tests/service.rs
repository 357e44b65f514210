//! The daemon as systemd sees it: ready, watched, reloaded, stopped, killed; and the unit itself.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/unit.rs"]
mod unit;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use mosquitto::Mosquitto;
use nix::sys::signal::Signal;
use subscriber::Subscriber;
use unit::Home;

/// A broker that takes connections and says nothing: the worst one to say goodbye to.
fn silent_broker() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("[mqtt]\nurl = \"mqtt://{}\"", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn it_says_when_it_is_ready_feeds_the_watchdog_while_idle_and_stops_within_five_seconds() {
    let (_broker, config) = silent_broker();
    let home = Home::new(&config);
    let daemon = home.start_watched(Some(Duration::from_millis(400)));
    for _ in 0..3 {
        daemon.wait_for("WATCHDOG=1");
    }
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for("STOPPING=1");
    let (status, took) = daemon.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_and_told_who_is_there() {
    let (_broker, config) = silent_broker();
    let home = Home::new(&config);
    let daemon = home.start();
    let refused = home.run(&["run"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains(&format!("process {}", daemon.pid())), "{}", refused.err);
    assert!(refused.err.contains("state_dir"), "{}", refused.err);
}

#[test]
fn killed_without_warning_it_comes_back_as_the_same_hub() {
    let (_broker, config) = silent_broker();
    let home = Home::new(&config);
    let who = |home: &Home| std::fs::read_to_string(home.state().join("identity.json")).unwrap();
    let daemon = home.start();
    let before = who(&home);
    daemon.kill();
    let daemon = home.start();
    assert_eq!(who(&home), before);
    assert!(home.run(&["accounts"]).code == Some(0), "its control socket answers again");
    assert!(daemon.stop().0.success());
}

#[tokio::test]
async fn a_reload_changes_what_changed_and_keeps_the_connection_to_the_broker() {
    let broker = Mosquitto::start();
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"", broker.port);
    let home = Home::new(&mqtt);
    let mut status = Subscriber::new(broker.port, "+/hub-1/status").await;
    let daemon = home.start();
    status.until(|told| told.text() == "online").await;

    home.configure(&format!("{mqtt}\n[[devices]]\naddress = \"C0:FF:EE:00:00:01\""));
    daemon.signal(Signal::SIGHUP);
    let told = daemon.wait_for("READY=1");
    assert!(told[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told:?}");

    // Another prefix is another line to the broker. What the first one said in all: goodbye, once, now.
    home.configure(&format!("{mqtt}\nprefix = \"other\""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("READY=1");
    let mut first_line_said = Vec::new();
    loop {
        let told = status.next().await;
        match told.topic.as_str() {
            "other/hub-1/status" if told.text() == "online" => break,
            _ => first_line_said.push(told.text().to_owned()),
        }
    }
    assert_eq!(first_line_said, ["offline"], "the first reload has cut the connection");
    assert!(daemon.stop().0.success());
    status.until(|told| told.topic == "other/hub-1/status" && told.text() == "offline").await;
}

#[test]
fn a_wrong_configuration_at_a_reload_changes_nothing_and_is_named() {
    let (_broker, config) = silent_broker();
    let home = Home::new(&config);
    let daemon = home.start();
    home.configure("[mqtt]\nversion = 7");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("READY=1");
    assert!(home.log().contains("mqtt.version"), "{}", home.log());
    // The verbs read the configuration too: put it right for them.
    home.configure(&config);
    assert_eq!(home.run(&["accounts"]).code, Some(0), "it runs on");
    assert!(daemon.stop().0.success());
}

#[test]
fn what_a_running_hub_cannot_change_waits_for_a_restart_and_is_named() {
    let (_broker, config) = silent_broker();
    let home = Home::new(&config);
    let daemon = home.start();
    home.configure(&format!("{config}\n[hub]\nname = \"other\"\n[events]\ndialect = \"current\""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("READY=1");
    let log = home.log();
    assert!(log.contains("hub.name") && log.contains("events.dialect"), "{log}");
}

#[test]
fn the_state_is_for_the_hub_and_its_group_alone() {
    let (_broker, config) = silent_broker();
    let home = Home::new(&config);
    let daemon = home.start();
    let mode = |name: &str| std::fs::metadata(home.state().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o750);
    assert_eq!(mode("control.sock"), 0o660);
    assert_eq!(mode("lock") & 0o007, 0);
    drop(daemon);
}

/// The unit with the built binary in it, so that systemd-analyze finds one.
fn unit_file(dir: &std::path::Path) -> std::path::PathBuf {
    let unit = include_str!("../systemd/portcullis.service");
    let unit = unit.replace("/usr/bin/portcullis", env!("CARGO_BIN_EXE_portcullis"));
    let unit: String = unit.lines().filter(|l| !l.starts_with("Documentation=")).map(|l| format!("{l}\n")).collect();
    let path = dir.join("portcullis.service");
    std::fs::write(&path, unit).unwrap();
    path
}

#[test]
fn the_unit_is_sound_and_exposes_little() {
    let dir = tempfile::tempdir().unwrap();
    let unit = unit_file(dir.path());
    let analyze = |arguments: &[&str]| {
        let done = Command::new("systemd-analyze").args(arguments).arg(&unit).output();
        let done = done.expect("systemd-analyze is installed (Debian's package systemd)");
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (fine, said) = analyze(&["verify"]);
    assert!(fine && said.trim().is_empty(), "{said}");
    // In tenths: 2.0.
    let (fine, said) = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert!(fine, "{said}");
}

#[test]
fn a_broken_hub_is_restarted_and_a_wrong_configuration_is_not() {
    let unit = include_str!("../systemd/portcullis.service");
    for line in ["Type=notify", "Restart=always", "RestartPreventExitStatus=2", "WatchdogSec=30"] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    let home = Home::new("[mqtt]\nversion = 7");
    assert_eq!(home.run(&["run"]).code, Some(2));
}

#[test]
fn a_logfilter_that_cannot_be_read_is_told_in_plain_words() {
    let (_broker, config) = silent_broker();
    let done = Home::new(&config).run(&["run", "--log", "portcullis=loud"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("portcullis::hub=debug"), "{}", done.err);
}
