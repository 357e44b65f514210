//! What a process that crashes leaves behind holds no digits of codes: no core dump, of the daemon or of a verb, whether the machine writes
//! cores to files or pipes them to a program; and what is complained of is not quoted.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/logs.rs"]
mod logs;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use daemon::Daemon;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DIGITS: &str = "52709416";

/// Where a daemon says that it is ready.
struct Notices(UnixDatagram);

impl Notices {
    fn new(dir: &Path) -> Notices {
        let socket = UnixDatagram::bind(dir.join("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        Notices(socket)
    }

    fn wait_for_ready(&self) {
        let mut notice = [0; 4096];
        while !String::from_utf8_lossy(&notice).contains("READY=1") {
            notice = [0; 4096];
            self.0.recv(&mut notice).expect("a daemon that says when it is ready");
        }
    }
}

/// A program in this directory, which may leave cores of any size.
fn start(dir: &Path, program: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("ulimit -c unlimited; {program}")])
        .current_dir(dir)
        .env("PORTCULLIS__HTTP__LISTEN", "127.0.0.1:0")
        .env("NOTIFY_SOCKET", dir.join("notify"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}

/// It answers what it is given with a line.
fn answers(child: &mut Child) {
    child.stdin.as_mut().expect("piped").write_all(b"{}\n").expect("it reads");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it speaks");
    assert!(!line.is_empty());
}

fn crash(mut child: Child, signal: Signal) -> ExitStatus {
    kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
    child.wait().expect("it ends")
}

#[test]
fn a_process_that_crashes_leaves_no_core() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = start(dir.path(), "read line; echo $line; read line");
    answers(&mut shell);
    if !crash(shell, Signal::SIGABRT).core_dumped() {
        println!("skipped: nothing leaves a core on this machine");
        return;
    }
    let notices = Notices::new(dir.path());
    let state = dir.path().join("state");
    let config = format!("state_dir = {state:?}\n[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n");
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    std::fs::create_dir_all(state).unwrap();
    let files = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    let before = files(dir.path());
    let binary = env!("CARGO_BIN_EXE_portcullis");
    // The first SIGSEGV that comes from nowhere goes to Rust's own handler, and is passed over; the kernel treats all of these alike.
    for signal in [Signal::SIGABRT, Signal::SIGQUIT, Signal::SIGFPE] {
        let daemon = start(dir.path(), &format!("exec {binary} run --config config.toml"));
        notices.wait_for_ready();
        let mut verb = start(dir.path(), &format!("exec {binary} decode"));
        answers(&mut verb);
        for child in [daemon, verb] {
            let status = crash(child, signal);
            assert_eq!((status.signal(), status.core_dumped()), (Some(signal as i32), false), "{status}");
        }
    }
    assert_eq!(files(dir.path()), before);
}

fn ask(dir: &Path, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(dir.join("state/control.sock")).expect("a control socket");
    let head = "host: hub\r\nconnection: close\r\ncontent-type: application/json";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn digits_that_come_in_a_wrong_form_are_refused_and_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let notices = Notices::new(dir.path());
    let environment = [("RUST_LOG", Path::new("debug")), ("NOTIFY_SOCKET", &dir.path().join("notify"))];
    let config = "[ble]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n";
    let daemon = Daemon::with(dir.path(), config, &environment);
    notices.wait_for_ready();
    let id = "00000000-0000-4000-8000-000000000000";
    for code in [
        DIGITS.to_owned(),
        format!("[{DIGITS}]"),
        format!("[\"{DIGITS}\"]"),
        format!("{{\"code\": \"{DIGITS}\"}}"),
        format!("\"{DIGITS}\", \"ends_at\": \"{DIGITS}\""),
        format!("\"{DIGITS}\""),
        format!("\"{DIGITS}"),
    ] {
        for path in ["create", "update", "create_multiple", "unmanaged/convert_to_managed", "delete"] {
            let body = format!("{{\"device_id\": \"{id}\", \"access_code_id\": \"{id}\", \"code\": {code}}}");
            let answer = ask(dir.path(), &format!("/access_codes/{path}"), &body);
            assert!(answer.starts_with("HTTP/1.1 4"), "{path} {code}: {answer}");
            assert!(!answer.contains(DIGITS), "{path} {code}: {answer}");
        }
    }
    assert!(daemon.stop());
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("DEBUG") && !log.contains(DIGITS), "{log}");
}
