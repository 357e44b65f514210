//! What becomes of access codes on locks that misbehave, through the whole hub, on the real zwave-js driver and server: each event that a
//! guest's host would act on, from its real cause. The hub's clock runs four times as fast: its delays are minutes.

#[path = "support/logs.rs"]
mod logs;
#[path = "support/zwave.rs"]
mod zwave;
#[path = "support/zwave_hub.rs"]
mod zwave_hub;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use portcullis::hub::{CodeDraft, Command};
use portcullis::signal::Secret;
use portcullis::time::Wall;
use serde_json::{Value, json};
use uuid::Uuid;
use zwave_hub::{Hub, node};

const ADA: &str = "52709410";
const BOB: &str = "52709411";
const THIEF: &str = "52709412";

fn managed(nodes: &[u16]) -> String {
    let entry = |n: &u16| format!("[[devices]]\nzwave = \"main\"\nnode = {n}\ncodes = \"manage\"\nslots = \"2-5\"\n");
    nodes.iter().map(entry).collect()
}

fn digits(digits: &str) -> CodeDraft {
    CodeDraft { code: Some(Secret::new(digits)), ..CodeDraft::default() }
}

impl Hub {
    async fn create(&self, on: u16, draft: CodeDraft) -> Uuid {
        let view = self.command(Command::CreateCode { device_id: node(on).device_id(0), draft }).await;
        id(&view["access_code_id"])
    }

    async fn delete(&self, access_code_id: Uuid) {
        self.command(Command::DeleteCode { access_code_id }).await;
    }

    async fn behave(&self, on: u16, how: Value) {
        self.rig.node(on, "behave", json!({"codes": how})).await;
    }

    /// The digits that a lock holds, without their slots.
    async fn held(&self, on: u16) -> Vec<String> {
        let codes = self.rig.inside(on).await["codes"].clone();
        codes.as_object().expect("codes").values().filter_map(|c| c.as_str().map(str::to_owned)).collect()
    }
}

fn id(value: &Value) -> Uuid {
    value.as_str().and_then(|id| id.parse().ok()).expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn delays_and_failures_are_told_once_of_a_dead_lock_and_of_one_that_keeps_what_it_should_forget() {
    let mut hub = Hub::with(&managed(&[2, 7])).await;
    // User Code version 1; version 2 is dead.
    let ada = hub.create(7, digits(ADA)).await;
    hub.told_of(7, "access_code.set_on_device").await;
    hub.behave(7, json!("ignored")).await;
    hub.delete(ada).await;
    hub.rig.node(2, "die", json!({})).await;
    let bob = hub.create(2, digits(BOB)).await;

    let failed = hub.told_of(7, "access_code.failed_to_remove_from_device").await;
    assert_eq!(failed["access_code_errors"][0]["error_code"], "failed_to_remove_from_device");
    let late = hub.told_of(7, "access_code.delay_in_removing_from_device").await;
    assert_eq!(id(&late["access_code_id"]), ada);
    let late = hub.told_of(2, "access_code.delay_in_setting_on_device").await;
    assert_eq!(id(&late["access_code_id"]), bob);
    assert_eq!(late["device_errors"][0]["error_code"], "device_disconnected", "{late}");
    assert_eq!((hub.held(7).await, hub.held(2).await), (vec![ADA.to_owned()], vec![]));

    hub.behave(7, Value::Null).await;
    hub.rig.node(2, "revive", json!({})).await;
    hub.rig.operate(2, "manual_unlock").await;
    hub.told_of(7, "access_code.removed_from_device").await;
    hub.told_of(7, "access_code.deleted").await;
    let set = hub.told_of(2, "access_code.set_on_device").await;
    assert_eq!((id(&set["access_code_id"]), &set["code"]), (bob, &json!(BOB)));
    assert_eq!((hub.held(7).await, hub.held(2).await), (vec![], vec![BOB.to_owned()]));
    let again = |told: &&Value| {
        let event_type = told["event_type"].as_str().unwrap_or_default();
        event_type.contains("delay_in") || event_type.contains("failed_to") && told["device_id"] == failed["device_id"]
    };
    assert_eq!(hub.untold().iter().find(again), None, "once each");
    hub.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_that_refuse_die_midway_and_say_everything_twice_end_with_what_is_wanted() {
    let mut hub = Hub::with(&managed(&[2, 3, 7])).await;
    // User Credential, refusing.
    hub.behave(3, json!("rejected")).await;
    hub.create(3, digits(ADA)).await;
    // It takes the code, and dies of it.
    hub.behave(2, json!("dies")).await;
    hub.create(2, digits(BOB)).await;
    // It says everything twice.
    hub.behave(7, json!("doubled")).await;
    let doubled = hub.create(7, digits(THIEF)).await;
    hub.told_of(7, "access_code.set_on_device").await;
    hub.delete(doubled).await;
    hub.told_of(7, "access_code.removed_from_device").await;
    hub.told_of(7, "access_code.deleted").await;
    assert_eq!(hub.held(7).await, [""; 0]);

    let failed = hub.told_of(3, "access_code.failed_to_set_on_device").await;
    assert_eq!(failed["access_code_errors"][0]["error_code"], "failed_to_set_on_device");
    hub.behave(3, Value::Null).await;
    hub.told_of(3, "access_code.set_on_device").await;
    assert_eq!(hub.held(3).await, [ADA]);

    hub.told_of(2, "device.disconnected").await;
    let writes = hub.rig.inside(2).await["writes"].clone();
    hub.behave(2, Value::Null).await;
    hub.rig.node(2, "revive", json!({})).await;
    hub.rig.operate(2, "manual_unlock").await;
    hub.told_of(2, "access_code.set_on_device").await;
    assert_eq!(
        (hub.held(2).await, &hub.rig.inside(2).await["writes"]),
        (vec![BOB.to_owned()], &writes),
        "it was there"
    );

    let of_codes = |told: &&Value| told["event_type"].as_str().is_some_and(|t| t.starts_with("access_code."));
    let mut more: Vec<String> = hub.untold().iter().filter(of_codes).map(|t| t["event_type"].to_string()).collect();
    more.retain(|t| t != "\"access_code.created\"");
    assert_eq!(more, [""; 0], "and nothing else is told of codes");
    hub.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_code_is_pulled_an_end_is_moved_and_what_drifts_silently_is_found_a_day_later() {
    let mut hub = Hub::with(&format!("{}backup_codes = 1\n", managed(&[2]))).await;
    let draft = CodeDraft { use_backup_access_code_pool: Some(true), ..digits(ADA) };
    let ada = hub.create(2, draft).await;
    let set = [hub.told_of(2, "access_code.set_on_device").await, hub.told_of(2, "access_code.set_on_device").await];
    let spare = set.iter().find(|told| id(&told["access_code_id"]) != ada).expect("a spare one is kept");
    let pulled = hub.command(Command::PullBackupCode { access_code_id: ada }).await;
    let told = hub.told_of(2, "access_code.backup_access_code_pulled").await;
    assert_eq!((&told["backup_access_code_id"], id(&told["access_code_id"])), (&pulled["access_code_id"], ada));
    assert_eq!(pulled["access_code_id"], spare["access_code_id"]);
    hub.rig.node(2, "types", json!({"code": spare["code"]})).await;
    assert_eq!(hub.told_of(2, "lock.unlocked").await["access_code_id"], spare["access_code_id"]);
    let next = hub.told_of(2, "access_code.set_on_device").await;
    assert!(
        id(&next["access_code_id"]) != ada && next["code"] != spare["code"],
        "and the pool is filled again: {next}"
    );

    let end = Wall::from(Utc::now() + TimeDelta::seconds(3600));
    hub.command(Command::ChangeCode {
        access_code_id: ada,
        draft: CodeDraft { ends_at: Some(end), ..CodeDraft::default() },
    })
    .await;
    let told = hub.told_of(2, "access_code.time_frame_changed").await;
    assert_eq!((&told["from"]["ends_at"], &told["to"]["ends_at"]), (&Value::Null, &json!(end.to_string())));

    // Nobody is told that slot 2 holds something else; the daily comparison finds it, here after a day's stop.
    let slot = hub.rig.inside(2).await["codes"].as_object().and_then(|codes| {
        codes.iter().find(|(_, held)| *held == &next["code"]).map(|(slot, _)| slot.parse::<u16>().expect("a slot"))
    });
    let slot = slot.expect("it is there");
    hub.rig.node(2, "program", json!({"slot": slot, "code": THIEF, "silent": true})).await;
    let mut hub = hub.restart(Duration::from_secs(25 * 3600)).await;
    // Ada's end passed meanwhile.
    hub.told_of(2, "access_code.removed_from_device").await;
    let modified = hub.told_of(2, "access_code.modified_external_to_seam").await;
    assert_eq!(modified["access_code_id"], next["access_code_id"]);
    let set = hub.told_of(2, "access_code.set_on_device").await;
    assert_eq!((&set["access_code_id"], &set["code"]), (&next["access_code_id"], &next["code"]), "put right");
    hub.running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_credentials_that_are_lost_or_come_late_and_twice_end_with_one_event_each() {
    let mut hub = Hub::with(&managed(&[3])).await;
    // Each report comes once more, before the one of the next slot: the driver takes it for that.
    hub.rig.node(3, "behave", json!({"repeat": true})).await;
    let (ada, bob) = (hub.create(3, digits(ADA)).await, hub.create(3, digits(BOB)).await);
    for _ in 0..2 {
        hub.told_of(3, "access_code.set_on_device").await;
    }
    assert_eq!(hub.held(3).await, [ADA, BOB]);
    // Some are lost, of the writing and of the reading.
    hub.rig.node(3, "behave", json!({"repeat": false, "lose": 2})).await;
    let thief = hub.create(3, digits(THIEF)).await;
    hub.told_of(3, "access_code.set_on_device").await;
    assert_eq!(hub.held(3).await, [ADA, BOB, THIEF]);
    // And when the hub looks again, because the lock speaks of a slot: that nothing came does not mean that nothing is there.
    let slots = hub.codes().into_iter().filter_map(|row| row["slot"].as_u64()).collect::<Vec<_>>();
    assert_eq!(slots.len(), 3);
    hub.rig.node(3, "behave", json!({"lose": 2})).await;
    for slot in slots {
        hub.rig.node(3, "notify", json!({"type": 6, "event": 14, "parameters": [99, 3, slot, 1]})).await;
    }
    for id in [ada, bob, thief] {
        hub.delete(id).await;
    }
    for _ in 0..3 {
        hub.told_of(3, "access_code.deleted").await;
    }
    assert_eq!(hub.held(3).await, [""; 0]);
    let mut more: Vec<_> = hub.untold().iter().filter_map(|told| told["event_type"].as_str()).collect();
    more.retain(|t| t.starts_with("access_code."));
    more.sort_unstable();
    let once = ["access_code.created", "access_code.removed_from_device"];
    assert_eq!(more, once.iter().flat_map(|t| [*t; 3]).collect::<Vec<_>>(), "and nothing else is told of codes");
    hub.running.stop(true).await;
}
