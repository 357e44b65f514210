//! Doors and their codes through the whole hub, on the real zwave-js driver and server: what is told is what the lock did, and each
//! failure has its type.

#[path = "support/logs.rs"]
mod logs;
#[path = "support/zwave.rs"]
mod zwave;
#[path = "support/zwave_hub.rs"]
mod zwave_hub;

use portcullis::hub::{CodeDraft, Command};
use portcullis::signal::Secret;
use serde_json::json;
use zwave_hub::{Hub, PATIENCE, node};

#[tokio::test(flavor = "multi_thread")]
async fn doors_are_locked_and_unlocked_and_each_failure_has_its_type() {
    let mut hub = Hub::new().await;

    let attempt = hub.ask(2, false).await;
    assert_eq!(attempt["status"], "pending");
    let (mut told, end) = hub.end_of(&attempt).await;
    while !told.iter().any(|t| t.starts_with("lock.")) {
        told.push(hub.word().await);
    }
    told.sort();
    assert_eq!(end["status"], "success", "{end}");
    assert_eq!(told.iter().filter(|t| t.starts_with("lock.")).count(), 1, "{told:?}");
    assert!(told.iter().any(|t| t.starts_with("lock.unlocked seamapi")), "{told:?}");
    assert_eq!(hub.rig.inside(2).await["mode"], 0);

    // It is there already: the lock is asked, and says so again by notification and report.
    let attempt = hub.ask(2, false).await;
    let (_, end) = hub.end_of(&attempt).await;
    assert_eq!(end["status"], "success", "{end}");

    // It moves, and says nothing: it is asked.
    hub.rig.node(3, "behave", json!({"mute": true})).await;
    let attempt = hub.ask(3, false).await;
    let (_, end) = hub.end_of(&attempt).await;
    assert_eq!(end["status"], "success", "{end}");
    while hub.word().await != "lock.unlocked seamapi" {}

    // It jams; once more, it jams once more.
    hub.rig.node(2, "behave", json!({"jams": true})).await;
    for _ in 0..2 {
        let attempt = hub.ask(2, true).await;
        let (told, end) = hub.end_of(&attempt).await;
        assert_eq!((end["status"].as_str(), end["error"]["type"].as_str()), (Some("error"), Some("lock_jammed")));
        assert!(!told.iter().any(|t| t.starts_with("lock.locked")), "{told:?}");
    }
    hub.rig.node(2, "behave", json!({"jams": false})).await;
    let attempt = hub.ask(2, true).await;
    let (_, end) = hub.end_of(&attempt).await;
    assert_eq!(end["status"], "success", "{end}");

    // It takes the command and does nothing.
    hub.rig.node(3, "behave", json!({"mute": false, "stands": true})).await;
    let before = hub.rig.inside(3).await["operations"].as_u64().unwrap();
    let attempt = hub.ask(3, true).await;
    let (told, end) = hub.end_of(&attempt).await;
    assert_eq!(end["error"]["type"], "timed_out", "{told:?} {end}");
    assert_eq!(hub.rig.inside(3).await["operations"].as_u64().unwrap() - before, 1, "asked once");

    // It is dead.
    hub.rig.node(2, "die", json!({})).await;
    let attempt = hub.ask(2, false).await;
    let (told, end) = hub.end_of(&attempt).await;
    assert_eq!(end["error"]["type"], "device_disconnected", "{told:?} {end}");

    // The bridge is gone.
    hub.rig.kill_bridge().await;
    let attempt = hub.ask(3, false).await;
    let (told, end) = hub.end_of(&attempt).await;
    assert_eq!(end["error"]["type"], "hub_disconnected", "{told:?} {end}");
    hub.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codes_life_is_told_from_what_a_real_lock_did() {
    let manage =
        |node: u16| format!("[[devices]]\nzwave = \"main\"\nnode = {node}\ncodes = \"manage\"\nslots = \"4-5\"\n");
    let mut hub = Hub::with(&[2, 3, 7].map(manage).concat()).await;
    let digits = |digits: &str| CodeDraft { code: Some(Secret::new(digits)), ..CodeDraft::default() };
    // User Code version 2, User Credential, User Code version 1.
    for lock in [2, 3, 7] {
        let device_id = node(lock).device_id(0);
        let code = hub.command(Command::CreateCode { device_id, draft: digits("52709410") }).await;
        let access_code_id = code["access_code_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let set = hub.told("access_code.set_on_device").await;
        assert_eq!(
            (&set["access_code_id"], &set["code"]),
            (&code["access_code_id"], &json!("52709410")),
            "node {lock}"
        );
        let inside = hub.rig.inside(lock).await["codes"].as_object().cloned().expect("codes");
        let (slot, held) = inside.iter().next().expect("one code");
        assert_eq!((inside.len(), held), (1, &json!("52709410")), "node {lock}");

        // Whoever enters it is named.
        let user: u16 = slot.parse().expect("a slot");
        hub.rig.node(lock, "operate", json!({"name": "keypad_unlock", "user": user, "short": true})).await;
        let unlocked = hub.told("lock.unlocked").await;
        assert_eq!((&unlocked["method"], &unlocked["access_code_id"]), (&json!("keycode"), &code["access_code_id"]));

        hub.command(Command::ChangeCode { access_code_id, draft: digits("52709411") }).await;
        hub.told("access_code.code_changed").await;
        let changed = async { while hub.rig.inside(lock).await["codes"] != json!({slot: "52709411"}) {} };
        tokio::time::timeout(PATIENCE, changed).await.expect("the lock has the new digits");

        hub.command(Command::DeleteCode { access_code_id }).await;
        hub.told("access_code.removed_from_device").await;
        assert_eq!(hub.rig.inside(lock).await["codes"], json!({}), "node {lock}");
    }

    // A code of somebody else.
    hub.rig.node(2, "program", json!({"slot": 9, "code": "52709412"})).await;
    hub.told("access_code.unmanaged.created").await;
    hub.rig.node(2, "program", json!({"slot": 9})).await;
    hub.told("access_code.unmanaged.removed").await;

    // A lock that ignores a code is not believed; once it obeys, it is told.
    hub.rig.node(2, "behave", json!({"codes": "ignored"})).await;
    let device_id = node(2).device_id(0);
    hub.command(Command::CreateCode { device_id, draft: digits("52709413") }).await;
    while hub.rig.inside(2).await["writes"].as_u64() < Some(4) {
        tokio::task::yield_now().await;
    }
    hub.rig.node(2, "behave", json!({"codes": null})).await;
    hub.told("access_code.set_on_device").await;
    let inside = hub.rig.inside(2).await["codes"].as_object().cloned().expect("codes");
    assert!(inside.values().any(|held| held == "52709413"), "{inside:?}");
    hub.running.stop(true).await;
}
