//! Every command in the README and in docs/ works: each block of `sh` is run as it is printed, beside a demo with a real Mosquitto.
//!
//! A comment before a block says what else becomes of it:
//!
//! - `<!-- run: until it speaks -->`: each line is run until it says something, for those that follow and do not end;
//! - `<!-- run: it says WHAT -->`: and what it says must have that in it;
//! - `<!-- run: it may find something -->`: it may end with 1, as `doctor` does where it finds something wrong;
//! - `<!-- run by: make test-system, NAME -->`: on a machine that boots, by `paper NAME` in tests/system/inside;
//! - `<!-- not run: WHY -->`.
//!
//! Whether they are run or not, verbs, options, targets of make and paths of the tree must be there. Here `sudo` is who we are already,
//! and what stands for something of the reader's (DEVICE_ID …) is put in.
#![cfg(feature = "embedded-broker")]

#[path = "support/mosquitto.rs"]
mod mosquitto;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use mosquitto::Mosquitto;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

/// A bound on a hanging command, not a wait.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Run,
    UntilItSpeaks,
    MayFindSomething,
    Says,
    /// On a machine that boots, under this name.
    System,
    NotRun,
}

#[derive(Debug)]
struct Block {
    file: String,
    line: usize,
    how: How,
    /// The comment before it.
    said: String,
    text: String,
}

fn papers() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut papers: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].iter().map(|name| root.join(name)).collect();
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    papers.extend(docs.filter(|path| path.extension().is_some_and(|e| e == "md")));
    papers.sort();
    papers
}

fn blocks() -> Vec<Block> {
    papers().iter().flat_map(|path| blocks_of(path)).collect()
}

fn blocks_of(path: &Path) -> Vec<Block> {
    let file = path.file_name().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let (mut blocks, mut open, mut said) = (Vec::new(), None::<Block>, String::new());
    let mut fenced = false;
    for (n, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                blocks.extend(open.take());
                fenced = false;
            }
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some("sh")) if !fenced => {
                let how = how(&said).unwrap_or_else(|| panic!("{file}:{n}: {said:?} says nothing that is known"));
                open = Some(Block {
                    file: file.clone(),
                    line: n + 1,
                    how,
                    said: std::mem::take(&mut said),
                    text: String::new(),
                });
            }
            (None, Some(_)) => fenced = !fenced,
            // A command that no fence shows would be run by nobody.
            (None, None) if !fenced => {
                let indented = line.strip_prefix("    ").unwrap_or_default();
                let command =
                    ["portcullis ", "sudo ", "make ", "mosquitto_", "curl ", "cargo ", "scripts/", "systemctl "];
                assert!(
                    !command.iter().any(|c| indented.starts_with(c)),
                    "{file}:{}: {indented:?} is in no block of sh",
                    n + 1
                );
                if let Some(comment) = line.strip_prefix("<!-- ").and_then(|l| l.strip_suffix(" -->")) {
                    said = comment.to_owned();
                } else if !line.is_empty() {
                    said.clear();
                }
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{file}: a block without an end");
    blocks
}

fn how(said: &str) -> Option<How> {
    Some(match said {
        "" => How::Run,
        "run: until it speaks" => How::UntilItSpeaks,
        "run: it may find something" => How::MayFindSomething,
        said if said.starts_with("run: it says ") => How::Says,
        said if said.starts_with("run by: make test-system, ") => How::System,
        said if said.starts_with("not run: ") && said.len() > 20 => How::NotRun,
        _ => return None,
    })
}

/// A demo with a broker beside it, on which the commands of the papers work.
struct Place {
    dir: tempfile::TempDir,
    _broker: Mosquitto,
    demo: Child,
    /// Somebody who goes in and out, so that there is something to hear.
    people: Option<Child>,
    environment: Vec<(String, String)>,
    instead: Vec<(String, String)>,
}

impl Place {
    fn new() -> Place {
        let (dir, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
        let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
        let (bin, settings) = (dir.path().join("bin"), dir.path().join(".config"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&settings).unwrap();
        std::fs::write(bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n").unwrap();
        std::fs::set_permissions(bin.join("sudo"), std::fs::Permissions::from_mode(0o755)).unwrap();
        // Where Mosquitto's clients look for their options.
        for client in ["mosquitto_sub", "mosquitto_pub", "mosquitto_rr"] {
            std::fs::write(settings.join(client), format!("-p {}\n", broker.port)).unwrap();
        }
        let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let path =
            format!("{}:{}:{}", bin.display(), binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut environment = vec![
            ("PATH".to_owned(), path),
            ("HOME".into(), dir.path().display().to_string()),
            ("XDG_CONFIG_HOME".into(), settings.display().to_string()),
            ("PORTCULLIS__HUB__NAME".into(), "hub-1".into()),
            ("PORTCULLIS__MQTT__COMMANDS".into(), "true".into()),
        ];
        let mqtt = format!("mqtt://127.0.0.1:{}", broker.port);
        let mut demo = Command::new(binary)
            .args(["demo", "--json", "--speed", "1", "--seconds", "900", "--http", &http, "--mqtt", &mqtt])
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        environment.push(("PORTCULLIS_CONFIG".into(), ready["config"].as_str().unwrap().into()));
        let instead = vec![("127.0.0.1:8470".to_owned(), http), ("mqtt://127.0.0.1:1883".into(), mqtt)];
        let mut place = Place { dir, _broker: broker, demo, people: None, environment, instead };
        place.furnish();
        place
    }

    /// What the papers take to be there: a lock called Front door with a code, a device that nobody adopted, an event.
    fn furnish(&mut self) {
        let devices: Vec<Value> = serde_json::from_str(&self.said("portcullis devices --json")).unwrap();
        let id = |device: &Value| device["device_id"].as_str().unwrap().to_owned();
        let lock = devices.iter().find(|d| d["can_program_online_access_codes"] == true).map(id).expect("a lock");
        self.said(&format!("portcullis adopt {lock} --name 'Front door'"));
        let code: Value =
            serde_json::from_str(&self.said("portcullis codes set 'Front door' --name Ada --json")).unwrap();
        let code = code["access_code_id"].as_str().expect("a code").to_owned();
        let stranger = devices.iter().find(|d| d["properties"]["kind"] == "noise_sensor").map(id).expect("a sensor");
        self.said(&format!("portcullis release {stranger}"));
        let event: Value = serde_json::from_str(&self.said("portcullis events list --limit 1 --json")).unwrap();
        for (name, value) in [
            ("STRANGER_ID", stranger),
            ("DEVICE_ID", lock),
            ("ACCESS_CODE_ID", code),
            ("EVENT_ID", event["event_id"].as_str().unwrap().to_owned()),
        ] {
            self.instead.push((name.to_owned(), value));
        }
        let in_and_out = "while portcullis unlock Office && portcullis lock Office; do :; done";
        let people = self.command(in_and_out).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.people = Some(people.unwrap());
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.dir.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    fn said(&self, script: &str) -> String {
        let (code, out) = self.run(script);
        assert_eq!(code, Some(0), "{script}: {out}");
        out
    }

    /// To its end: its exit code, and what it said.
    fn run(&self, script: &str) -> (Option<i32>, String) {
        let mut child = self.command(script).spawn().unwrap();
        let (told, end) = mpsc::channel();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text);
            let _ = told.send(text);
        });
        let out = end.recv_timeout(PATIENCE);
        if out.is_err() {
            end_group(&child);
        }
        let code = child.wait().unwrap().code();
        let errors = errors.join().unwrap();
        match (out, code) {
            (Ok(out), Some(0)) => (Some(0), out),
            (Ok(out), code) => (code, out + &errors),
            (Err(_), _) => (None, format!("it has not ended within {} s: {errors}", PATIENCE.as_secs())),
        }
    }

    /// Its first word, after which it is ended.
    fn first_word(&self, script: &str) -> Option<String> {
        let mut child = self.command(script).spawn().unwrap();
        let (told, word) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let _ = told.send(BufReader::new(out).lines().next().and_then(Result::ok));
        });
        let word = word.recv_timeout(PATIENCE).ok().flatten();
        end_group(&child);
        child.wait().unwrap();
        word
    }

    fn put_in(&self, text: &str) -> String {
        // What is sent now.
        let text = text.replace("2026-01-01T12:00:00Z", &chrono::Utc::now().to_rfc3339());
        self.instead.iter().fold(text, |text, (name, value)| text.replace(name, value))
    }
}

fn end_group(child: &Child) {
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(people) = &mut self.people {
            end_group(people);
            let _ = people.wait();
        }
        let _ = self.demo.kill();
        let _ = self.demo.wait();
    }
}

#[test]
fn every_command_of_the_papers_works_as_printed() {
    let place = Place::new();
    let mut failed = Vec::new();
    let mut run = 0;
    for block in blocks() {
        let text = place.put_in(&block.text);
        let why = match block.how {
            How::Run | How::MayFindSomething => match place.run(&text) {
                (Some(0), _) => None,
                (Some(1), _) if block.how == How::MayFindSomething => None,
                (code, said) => Some(format!("ended with {code:?}\n{said}")),
            },
            How::Says => {
                let wanted = block.said.trim_start_matches("run: it says ");
                let (code, said) = place.run(&text);
                (code != Some(0) || !said.contains(wanted))
                    .then(|| format!("ended with {code:?}, without {wanted}\n{said}"))
            }
            How::UntilItSpeaks => {
                let mute = text.lines().find(|line| place.first_word(line).is_none());
                mute.map(|line| format!("{line} said nothing"))
            }
            How::System | How::NotRun => continue,
        };
        run += 1;
        failed.extend(why.map(|why| format!("{}:{}\n{}\n{why}", block.file, block.line, block.text)));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(run > 20, "only {run} blocks were run");
}

#[test]
fn what_the_booted_machine_is_to_run_is_run_there() {
    let inside = include_str!("system/inside");
    let mut texts = std::collections::BTreeMap::new();
    for block in blocks().iter().filter(|block| block.how == How::System) {
        let name = block.said.rsplit(", ").next().unwrap();
        assert!(inside.contains(&format!("paper {name}")), "{}:{}: no `paper {name}` there", block.file, block.line);
        // The first of a name is run, so the others must be it.
        let first = texts.entry(name).or_insert(&block.text);
        assert_eq!(*first, &block.text, "{}:{}", block.file, block.line);
    }
}

#[test]
fn what_the_papers_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = include_str!("../Makefile");
    let help = |verb: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_portcullis")).args([verb, "--help"]).output().unwrap();
        String::from_utf8(if done.status.success() { done.stdout } else { Vec::new() }).unwrap()
    };
    let mut asked = BTreeSet::new();
    for block in blocks() {
        for line in block.text.lines() {
            let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            let at = format!("{}:{}: {line}", block.file, block.line);
            for pair in words.windows(2) {
                match pair {
                    ["make", target] if target.chars().all(|c| c.is_ascii_lowercase() || c == '-') => {
                        assert!(makefile.contains(&format!("\n{target}:")), "{at}");
                    }
                    ["portcullis", verb]
                        if verb.starts_with(|c: char| c.is_ascii_lowercase()) && asked.insert((*verb).to_owned()) =>
                    {
                        assert!(!help(verb).is_empty(), "{at}: no such verb");
                    }
                    _ => {}
                }
            }
            for path in words.iter().filter(|w| w.starts_with("scripts/") || w.starts_with("tests/")) {
                assert!(root.join(path).exists(), "{at}: {path} is not there");
            }
        }
    }
    assert!(asked.len() > 10, "{asked:?}");
}

/// `[text](path)`, but for those that lead into the world.
#[test]
fn links_between_the_papers_lead_somewhere() {
    for path in papers() {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            let there = target.is_empty() || target.contains("://") || path.parent().unwrap().join(target).exists();
            assert!(there, "{}: {link}", path.display());
        }
    }
}
