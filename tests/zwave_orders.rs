//! What is asked of Z-Wave locks, on the real zwave-js driver and server: codes are written, read and erased, and each way in which a
//! lock misbehaves is told as what it is.

#[path = "support/logs.rs"]
mod logs;
#[path = "support/zwave.rs"]
mod zwave;
#[path = "support/zwave_hub.rs"]
mod zwave_hub;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::ZwaveSection;
use portcullis::engine::Clock;
use portcullis::health::Health;
use portcullis::hub::{Action, Input};
use portcullis::signal::{CodeNotice, LinkNews, Outcome, Secret, Signal};
use portcullis::source::zwave::{Rules, link};
use serde_json::json;
use tokio::sync::mpsc;
use zwave::Rig;
use zwave_hub::{PATIENCE, node};

/// The link to the network, without a hub: what is asked goes in, what nodes said of their codes comes out.
struct Link {
    rig: Rig,
    actions: mpsc::UnboundedSender<Action>,
    inputs: mpsc::Receiver<Input>,
}

impl Link {
    async fn new() -> Link {
        logs::keep_ours();
        let rig = Rig::start().await;
        let (actions, asked) = mpsc::unbounded_channel();
        let (hand, inputs) = mpsc::channel(4096);
        tokio::spawn(link::run(link::Network {
            server: ZwaveSection { name: "main".into(), url: rig.url.clone(), ..ZwaveSection::default() },
            rules: Rules::new(),
            inputs: hand,
            actions: asked,
            clock: Clock::start(),
            health: Arc::new(Health::default()),
            tap: None,
        }));
        let mut link = Link { rig, actions, inputs };
        while !matches!(link.input().await, Input::Link(_, LinkNews::BridgeSynced { .. })) {}
        link
    }

    async fn input(&mut self) -> Input {
        self.inputs.recv().await.expect("the link lives")
    }

    fn ask(&self, action: Action) {
        self.actions.send(action).expect("the link lives");
    }

    fn set(&self, on: u16, slot: u16, digits: &str) {
        self.ask(Action::SetCode { device: node(on), slot, digits: Secret::new(digits) });
    }

    fn clear(&self, on: u16, slot: u16) {
        self.ask(Action::ClearCode { device: node(on), slot });
    }

    fn read(&self, on: u16, slot: u16) {
        self.ask(Action::ReadCode { device: node(on), slot });
    }

    /// The next that is said of a code of this node, other than that it was taken.
    async fn told(&mut self, of: u16) -> CodeNotice {
        loop {
            let Input::Report(report) = self.input().await else { continue };
            let codes = report.signals.into_iter().filter_map(|s| if let Signal::Code(c) = s { Some(c) } else { None });
            let mut codes = codes.filter(|c| !matches!(c, CodeNotice::Accepted { .. }));
            if report.device == node(of)
                && let Some(code) = codes.next()
            {
                return code;
            }
        }
    }

    /// Waits for this to be said, and says what was said instead.
    async fn expect(&mut self, of: u16, expected: CodeNotice) {
        let mut before = Vec::new();
        let said = async {
            loop {
                match self.told(of).await {
                    told if told == expected => break,
                    told => before.push(told),
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, said).await.is_ok();
        assert!(in_time && before.len() < 10, "{expected:?} of node {of} does not come, but {before:?}");
    }
}

fn held(slot: u16, digits: &str) -> CodeNotice {
    CodeNotice::Slot { slot, digits: Some(Secret::new(digits)) }
}

fn empty(slot: u16) -> CodeNotice {
    CodeNotice::Slot { slot, digits: None }
}

fn refused(slot: u16, reason: Outcome) -> CodeNotice {
    CodeNotice::Refused { slot, reason }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_written_changed_erased_and_read_back_on_each_kind_of_lock() {
    let mut link = Link::new().await;
    // User Code version 2, User Credential, User Code version 1.
    for lock in [2, 3, 7] {
        link.set(lock, 4, "0815");
        link.expect(lock, held(4, "0815")).await;
        assert_eq!(link.rig.inside(lock).await["codes"], json!({"4": "0815"}), "node {lock}");
        link.set(lock, 4, "52709411");
        link.expect(lock, held(4, "52709411")).await;
        link.set(lock, 5, "0000");
        link.expect(lock, held(5, "0000")).await;
        assert_eq!(link.rig.inside(lock).await["codes"], json!({"4": "52709411", "5": "0000"}), "node {lock}");
        link.clear(lock, 4);
        link.expect(lock, empty(4)).await;
        link.clear(lock, 4);
        link.expect(lock, empty(4)).await;
        link.read(lock, 5);
        link.expect(lock, held(5, "0000")).await;
        assert_eq!(link.rig.inside(lock).await["codes"], json!({"5": "0000"}), "node {lock}");
    }
    // A credential may be held only once.
    link.set(3, 6, "0000");
    link.expect(3, refused(6, Outcome::Duplicate)).await;
    // More slots than there are.
    link.set(7, 9, "52709412");
    link.expect(7, refused(9, Outcome::Refused)).await;
    // What no keypad can type never reaches the lock.
    let writes = link.rig.inside(2).await["writes"].clone();
    link.set(2, 6, "12");
    link.expect(2, refused(6, Outcome::Refused)).await;
    assert_eq!(link.rig.inside(2).await["writes"], writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_misbehaves_with_codes_is_found_out() {
    let mut link = Link::new().await;
    link.set(2, 3, "52709413");
    link.expect(2, held(3, "52709413")).await;

    // It takes the frame, and does nothing.
    link.rig.node(2, "behave", json!({"codes": "ignored"})).await;
    link.set(2, 3, "52709414");
    link.expect(2, held(3, "52709413")).await;
    link.set(2, 4, "52709414");
    link.expect(2, empty(4)).await;
    link.rig.node(3, "behave", json!({"codes": "ignored"})).await;
    link.set(3, 4, "52709414");
    link.expect(3, refused(4, Outcome::Refused)).await;

    // It shows asterisks.
    link.rig.node(2, "behave", json!({"codes": "hidden"})).await;
    link.set(2, 5, "52709415");
    link.expect(2, CodeNotice::Hidden { slot: 5 }).await;
    link.read(2, 6);
    link.expect(2, empty(6)).await;
    link.rig.node(2, "behave", json!({"codes": null})).await;
    link.read(2, 5);
    link.expect(2, held(5, "52709415")).await;

    // It is programmed and erased at its keypad.
    link.rig.node(2, "program", json!({"slot": 8, "code": "52709416"})).await;
    link.expect(2, CodeNotice::Added { slot: 8 }).await;
    link.read(2, 8);
    link.expect(2, held(8, "52709416")).await;
    link.rig.node(2, "program", json!({"slot": 8})).await;
    link.expect(2, CodeNotice::Deleted { slot: 8 }).await;
    link.read(2, 8);
    link.expect(2, empty(8)).await;

    // It dies midway, and takes nobody along: the other lock's codes are written meanwhile.
    link.rig.node(3, "behave", json!({"codes": null})).await;
    link.rig.node(2, "behave", json!({"codes": "dies"})).await;
    link.set(2, 9, "52709417");
    let begun = Instant::now();
    for slot in 1..=5 {
        link.set(7, slot, &format!("5270948{slot}"));
    }
    link.set(3, 1, "52709418");
    let (mut of_dead, mut of_others) = (Vec::new(), BTreeSet::new());
    while of_dead.is_empty() || of_others.len() < 6 {
        let Input::Report(report) = link.input().await else { continue };
        for signal in report.signals {
            match signal {
                Signal::Code(notice @ CodeNotice::Refused { .. }) => of_dead.push((report.device, notice)),
                Signal::Code(CodeNotice::Slot { slot, digits: Some(_) }) if report.device != node(2) => {
                    of_others.insert((report.device, slot));
                }
                _ => {}
            }
        }
    }
    assert_eq!(of_dead, [(node(2), refused(9, Outcome::Unreachable))]);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());

    // It is back: what it took before it died is there.
    link.rig.node(2, "behave", json!({"codes": null})).await;
    link.rig.node(2, "revive", json!({})).await;
    // A driver that has just given a node up may refuse once more before it tries it again.
    loop {
        link.read(2, 9);
        match link.told(2).await {
            CodeNotice::Refused { slot: 9, .. } => {}
            told => break assert_eq!(told, held(9, "52709417")),
        }
    }

    // The bridge goes away in the middle of things: everything that was asked is answered.
    link.rig.kill_bridge().await;
    for slot in 1..=20 {
        link.read(2, slot);
    }
    for slot in 1..=20 {
        link.expect(2, refused(slot, Outcome::LinkDown)).await;
    }
}
