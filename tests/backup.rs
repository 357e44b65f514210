//! `backup`, `restore` and `undeliverable` as verbs, beside a hub that runs.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/unit.rs"]
mod unit;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use delivery::{append, device, event};
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::event::Dialect;
use portcullis::hub::{Row, RowKind};
use portcullis::identity::Identity;
use portcullis::service::Running;
use portcullis::store::{Batch, Reader, Store};
use serde_json::{Value, json};
use unit::Home;

fn home() -> Home {
    Home::new("[mqtt]\nurl = \"mqtt://127.0.0.1:1\"")
}

async fn verb(home: &Home, arguments: &[&str]) -> unit::Done {
    let mut command = home.command(arguments);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the binary is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    unit::Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

/// A row that says how many events there were with it.
fn counted(n: u64) -> Row {
    Row { kind: RowKind::Device, key: device(0).to_string(), value: Some(json!({ "n": n })) }
}

/// Goal: a backup taken in the middle of a burst is the state at one moment: a prefix of the log, and the state that belongs to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_in_a_burst_is_a_prefix_with_its_state() {
    let home = home();
    let (store, _) = Store::open(&made(&home), Dialect::Classic).unwrap();
    append(&store, vec![event(0)], vec![counted(1)]).await;
    let enough = Arc::new(AtomicU64::new(0));
    let (burst, kept) = (store.clone(), enough.clone());
    let writing = std::thread::spawn(move || {
        let mut n = 1;
        while kept.load(Ordering::Relaxed) < 3 {
            // Each as soon as the one before it is on disk.
            let (kept, on_disk) = std::sync::mpsc::channel();
            let then = Some(Box::new(move || kept.send(()).unwrap()) as Box<_>);
            burst.append(Batch { events: vec![event(n)], rows: vec![counted(n + 1)], then }).unwrap();
            on_disk.recv().unwrap();
            n += 1;
        }
    });
    for n in 0..3 {
        let before = store.head().borrow().seq;
        let to = home.path().join(format!("backup-{n}"));
        let done = verb(&home, &["backup", to.to_str().unwrap(), "--json"]).await;
        assert_eq!(done.code, Some(0), "{}", done.err);
        let after = store.head().borrow().seq;
        let copy = Reader::open(&to).unwrap();
        let seqs: Vec<u64> = copy.events_after(0, usize::MAX >> 1).unwrap().iter().map(|e| e.seq).collect();
        let last = seqs.len() as u64;
        assert_eq!(seqs, (1..=last).collect::<Vec<_>>(), "no gap");
        assert!(before <= last && last <= after, "{before} <= {last} <= {after}");
        assert_eq!(copy.state().unwrap()[0].value, Some(json!({ "n": last })), "the state is of the same moment");
        assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap()["last_seq"], last);
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(to.clone()), mode(to.join("portcullis.db"))), (0o700, 0o600));
        enough.fetch_add(1, Ordering::Relaxed);
    }
    writing.join().unwrap();
    let again = verb(&home, &["backup", home.path().join("backup-0").to_str().unwrap()]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("there is a backup already"), "{}", again.err);
}

/// The state directory, with an identity as the daemon makes it.
fn made(home: &Home) -> std::path::PathBuf {
    std::fs::create_dir_all(home.state()).unwrap();
    Identity::load_or_make(&home.state(), None).unwrap();
    home.state()
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_refuses_while_a_hub_runs_and_then_brings_back_what_the_backup_has() {
    let home = home();
    let daemon = home.start();
    let to = home.path().join("backup");
    let to = to.to_str().unwrap();
    let done = home.run(&["backup", to]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let refused = home.run(&["restore", to]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("in use by another portcullis"), "{}", refused.err);
    assert!(!home.state().join("portcullis.db.before-restore").exists(), "nothing was touched");
    let before = home.run(&["accounts", "--json"]).out;
    daemon.stop();
    std::fs::remove_dir_all(home.state()).unwrap();
    let done = home.run(&["restore", to]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let daemon = home.start();
    assert_eq!(home.run(&["accounts", "--json"]).out, before, "the same hub, with what it knew");
    daemon.stop();
    let nothing = home.run(&["restore", home.path().join("nowhere").to_str().unwrap()]);
    assert_eq!(nothing.code, Some(1));
    assert!(home.state().join("portcullis.db").exists(), "a wrong name costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_listed_and_driven_again_by_a_verb() {
    let home = home();
    let text = std::fs::read_to_string(home.config()).unwrap();
    let config = Config::parse(&text, home.path(), HashMap::new()).unwrap();
    let hub = Running::start(config, Clock::start()).await.unwrap();
    let nothing = verb(&home, &["undeliverable"]).await;
    assert!(nothing.out.contains("Nothing was set aside"), "{nothing:?}");
    hub.store.set_aside("mqtt", 1, "too large".into()).unwrap();
    hub.store.flush().await.unwrap();
    let listed = verb(&home, &["undeliverable", "--json"]).await;
    let aside = json!([{"sink": "mqtt", "seq": 1, "reason": "too large", "again": false}]);
    assert_eq!(serde_json::from_str::<Value>(&listed.out).unwrap(), aside, "{}", listed.err);
    let head = *hub.store.head().borrow();
    assert_eq!(verb(&home, &["undeliverable", "--again"]).await.code, Some(0));
    assert!(hub.store.undeliverable().unwrap()[0].again);
    assert_eq!(hub.store.head().borrow().again, head.again + 1, "the sink is told");
    hub.stop(true).await;
    let stopped = verb(&home, &["undeliverable"]).await;
    assert!(stopped.out.contains("too large"), "{stopped:?}");
}
