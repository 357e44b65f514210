//! Access codes from the command line to the keypad and back: the real `portcullis run` and `portcullis codes`, a real Mosquitto, and
//! emulated locks under the real zwave-js driver and server. What a subscriber is told is what the locks did, in its order, none
//! twice; and no digits are where they need not be.

#[path = "support/codes_house.rs"]
mod codes_house;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/logs.rs"]
mod logs;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/zwave.rs"]
mod zwave;

use codes_house::{ADA, BOB, CAROL, GRACE, House, STRANGER, THIEF, assert_no_digits, command_line};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_from_the_command_line_to_the_keypad_and_back_and_each_step_is_told_once() {
    let mut house = House::new().await;

    let done = house.codes(&["set", "Front door", "--name", "Ada", "--code-file", "FILE", "--wait"], ADA).await;
    assert!(
        done.succeeded && done.out.contains("****") && done.out.contains("set, slot 4"),
        "{}{}",
        done.out,
        done.err
    );
    house.expect(&["2 access_code.created #1", &format!("2 access_code.set_on_device #1 {ADA}")]).await;
    assert_eq!(house.held(2).await, json!({"4": ADA}));
    house.enters(2, 4, "2 lock.unlocked keycode #1").await;

    // Other digits, another name.
    let ada = house.codes[0].clone();
    let done = house.codes(&["change", &ada, "--name", "Grace", "--code-file", "FILE", "--wait"], GRACE).await;
    assert!(done.succeeded && done.out.contains("Grace"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.changed #1", "2 access_code.name_changed #1", "2 access_code.code_changed #1"]).await;
    house.expect(&[&format!("2 access_code.set_on_device #1 {GRACE}")]).await;
    assert_eq!(house.held(2).await, json!({"4": GRACE}));

    // The same digits twice on one lock: refused before the lock hears of it.
    let writes = house.rig.inside(2).await["writes"].clone();
    let done = house.codes(&["set", "Front door", "--code-file", "FILE", "--wait"], GRACE).await;
    assert!(!done.succeeded && done.err.contains("same digits"), "{}{}", done.out, done.err);
    assert_eq!(house.rig.inside(2).await["writes"], writes);

    // A code that somebody programs at the keypad, outside our slots.
    house.rig.node(2, "program", json!({"slot": 9, "code": STRANGER})).await;
    house.expect(&["2 access_code.unmanaged.created #2"]).await;
    house.enters(2, 9, "2 lock.unlocked keycode #2").await;
    house.rig.node(2, "program", json!({"slot": 9})).await;
    house.expect(&["2 access_code.unmanaged.removed #2"]).await;

    // On User Credential, too.
    let done = house.codes(&["set", "Back door", "--name", "Bob", "--code-file", "FILE", "--wait"], BOB).await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    house.expect(&["3 access_code.created #3", &format!("3 access_code.set_on_device #3 {BOB}")]).await;
    assert_eq!(house.held(3).await, json!({"4": BOB}));
    let bob = house.codes[2].clone();
    let done = house.codes(&["remove", &bob, "--wait"], "").await;
    assert!(done.succeeded && done.out.contains("gone"), "{}{}", done.out, done.err);
    house.expect(&["3 access_code.removed_from_device #3", "3 access_code.deleted #3"]).await;
    assert_eq!(house.held(3).await, json!({}));

    let done = house.codes(&["list"], "").await;
    assert!(done.out.lines().count() == 1 && done.out.contains("Grace"), "{}{}", done.out, done.err);
    let done = house.codes(&["remove", &ada, "--wait"], "").await;
    assert!(done.succeeded && done.out.contains("gone"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.removed_from_device #1", "2 access_code.deleted #1"]).await;
    assert_eq!(house.held(2).await, json!({}));
    house.nothing_more().await;
    house.digits_are_nowhere();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_codes_and_locks_that_do_not_obey_are_told_and_an_observed_lock_is_never_written() {
    let mut house = House::new().await;
    // The driver writes once when it gets to know a lock.
    let before = house.rig.inside(7).await["writes"].clone();
    let set = |name: &'static str| ["set", "Front door", "--name", name, "--code-file", "FILE", "--wait"];
    assert!(house.codes(&set("Ada"), ADA).await.succeeded, "{}", house.said);
    let ada_set = format!("2 access_code.set_on_device #1 {ADA}");
    house.expect(&["2 access_code.created #1", &ada_set]).await;

    // Somebody changes it at the keypad: it is put back. Again, by erasing it: it is left to them, until a user says otherwise.
    house.rig.node(2, "program", json!({"slot": 4, "code": THIEF})).await;
    house.expect(&["2 access_code.modified_external_to_seam #1", &ada_set]).await;
    assert_eq!(house.held(2).await, json!({"4": ADA}));
    house.rig.node(2, "program", json!({"slot": 4})).await;
    house.expect(&["2 access_code.deleted_external_to_seam #1", "2 access_code.failed_to_set_on_device #1"]).await;
    assert_eq!(house.held(2).await, json!({}));
    let done = house.codes(&["list", "Front door"], "").await;
    assert!(done.out.contains("it is left alone"), "{}", done.out);
    let ada = house.codes[0].clone();
    let done = house.codes(&["change", &ada, "--name", "Grace", "--wait"], "").await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    house.expect(&["2 access_code.changed #1", "2 access_code.name_changed #1", &ada_set]).await;
    assert_eq!(house.held(2).await, json!({"5": ADA}), "in another slot");

    // One that is erased once is put back.
    house.rig.node(2, "program", json!({"slot": 5})).await;
    house.expect(&["2 access_code.deleted_external_to_seam #1", &ada_set]).await;
    assert_eq!(house.held(2).await, json!({"5": ADA}));

    // A lock that ignores what it takes is not believed; once it obeys, the code is set.
    house.rig.node(2, "behave", json!({"codes": "ignored"})).await;
    let verb = house.start(&set("Carol"), CAROL);
    assert_no_digits("a verb's command line", &command_line(verb.0.id()));
    house.expect(&["2 access_code.created #2", "2 access_code.failed_to_set_on_device #2"]).await;
    assert_eq!(house.held(2).await, json!({"5": ADA}));
    house.rig.node(2, "behave", json!({"codes": null})).await;
    house.expect(&[&format!("2 access_code.set_on_device #2 {CAROL}")]).await;
    let done = house.end(verb).await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    assert!(done.out.contains("did not"), "it says why it takes so long: {}", done.out);
    assert_eq!(house.held(2).await, json!({"4": CAROL, "5": ADA}));

    // No third slot: told, and never written elsewhere.
    let done = house.codes(&["set", "Front door", "--code-file", "FILE", "--wait", "2"], BOB).await;
    assert!(!done.succeeded && done.out.contains("All slots"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.created #3", "2 access_code.failed_to_set_on_device #3"]).await;
    assert_eq!(house.held(2).await, json!({"4": CAROL, "5": ADA}));

    // A lock that is only observed: nothing is written, all is told.
    let done = house.codes(&["set", "Cellar", "--code-file", "FILE", "--wait"], BOB).await;
    assert!(!done.succeeded && done.err.contains("only observed"), "{}{}", done.out, done.err);
    house.rig.node(7, "program", json!({"slot": 2, "code": STRANGER})).await;
    house.expect(&["7 access_code.unmanaged.created #4"]).await;
    house.enters(7, 2, "7 lock.unlocked keycode #4").await;
    let inside = house.rig.inside(7).await;
    assert_eq!((&inside["writes"], &inside["codes"]), (&before, &json!({"2": STRANGER})));
    house.nothing_more().await;
    house.digits_are_nowhere();
}

/// So many seconds from now, as the command line takes it.
fn seconds_from_now(seconds: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Waits for a wall clock to be there.
async fn until(time: &str) {
    until_then(time.parse().expect("a time")).await;
}

async fn until_then(time: chrono::DateTime<chrono::Utc>) {
    tokio::time::sleep((time - chrono::Utc::now()).to_std().unwrap_or_default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_end_in_time_also_over_a_crash_are_taken_over_and_are_kept_by_a_lock_that_hides_them() {
    let mut house = House::new().await;
    let set = |name: &'static str| ["set", "Front door", "--name", name, "--code-file", "FILE", "--wait"];

    // Its time ends.
    let ends = seconds_from_now(8);
    let done = house.codes(&[&set("Ada")[..], &["--ends", &ends]].concat(), ADA).await;
    assert!(done.succeeded && done.out.contains("until"), "{}{}", done.out, done.err);
    house.expect(&["2 access_code.created #1", &format!("2 access_code.set_on_device #1 {ADA}")]).await;
    assert!(seconds_from_now(0) < ends, "it is set in time");
    house.expect(&["2 access_code.removed_from_device #1", "2 access_code.deleted #1"]).await;
    assert!(seconds_from_now(0) > ends, "and not removed before");
    assert_eq!(house.held(2).await, json!({}));

    // It ends while nobody is there to see it.
    let ends = seconds_from_now(8);
    let done = house.codes(&[&set("Grace")[..], &["--ends", &ends]].concat(), GRACE).await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    house.expect(&["2 access_code.created #2", &format!("2 access_code.set_on_device #2 {GRACE}")]).await;
    house.daemon.take().expect("it runs").kill();
    house.crashed = true;
    until(&ends).await;
    assert_eq!(house.held(2).await.as_object().expect("codes").len(), 1);
    house.start_daemon();
    house.expect(&["2 access_code.removed_from_device #2", "2 access_code.deleted #2"]).await;
    assert_eq!(house.held(2).await, json!({}));

    // What somebody programmed in one of our slots is taken over; outside them it is not ours to take.
    house.rig.node(2, "program", json!({"slot": 4, "code": THIEF})).await;
    house.expect(&["2 access_code.unmanaged.created #3"]).await;
    house.rig.node(2, "program", json!({"slot": 9, "code": STRANGER})).await;
    house.expect(&["2 access_code.unmanaged.created #4"]).await;
    let convert = |house: &House, n: usize| {
        let body = json!({"access_code_id": house.codes[n]}).to_string();
        house.ask("POST", "/access_codes/unmanaged/convert_to_managed", &body)
    };
    let answer = convert(&house, 2);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    house.expect(&["2 access_code.unmanaged.converted_to_managed #3"]).await;
    let answer = convert(&house, 3);
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("4-5 only"), "{answer}");
    house.expect(&["2 access_code.unmanaged.failed_to_convert_to_managed #4"]).await;
    let id = house.codes[2].clone();
    assert!(house.codes(&["remove", &id, "--wait"], "").await.succeeded, "{}", house.said);
    house.expect(&["2 access_code.removed_from_device #3", "2 access_code.deleted #3"]).await;
    assert_eq!(house.held(2).await, json!({"9": STRANGER}));

    // A lock that shows asterisks: it is believed that it took what it took, and that is shown.
    house.rig.node(2, "behave", json!({"codes": "hidden"})).await;
    assert!(house.codes(&set("Bob"), BOB).await.succeeded, "{}", house.said);
    house.expect(&["2 access_code.created #5", &format!("2 access_code.set_on_device #5 {BOB}")]).await;
    let devices = house.ask("POST", "/devices/list", "{}");
    assert!(devices.contains(r#""confirmation":"accepted""#), "{devices}");
    let id = house.codes[4].clone();
    assert!(house.codes(&["change", &id, "--code-file", "FILE", "--wait"], CAROL).await.succeeded, "{}", house.said);
    house.expect(&["2 access_code.changed #5", "2 access_code.code_changed #5"]).await;
    house.expect(&[&format!("2 access_code.set_on_device #5 {CAROL}")]).await;
    let held = house.held(2).await.as_object().cloned().expect("codes");
    assert!(held.len() == 2 && held.values().any(|digits| digits == CAROL), "{held:?}");
    assert!(house.codes(&["remove", &id, "--wait"], "").await.succeeded, "{}", house.said);
    house.expect(&["2 access_code.removed_from_device #5", "2 access_code.deleted #5"]).await;
    assert_eq!(house.held(2).await, json!({"9": STRANGER}), "never touched");
    house.nothing_more().await;
    house.digits_are_nowhere();
}

/// A whole minute, so many seconds from now or a little later.
fn minute_from_now(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    let at = chrono::Utc::now().timestamp() + seconds;
    chrono::DateTime::from_timestamp((at + 59) / 60 * 60, 0).expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_keeps_dates_has_codes_ahead_of_their_time_and_opens_to_them_in_it() {
    let mut house = House::dated().await;
    let text = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let shown = |at: chrono::DateTime<chrono::Utc>| {
        at.with_timezone(&chrono_tz::Europe::Vienna).format("%Y-%m-%dT%H:%M").to_string()
    };
    let set = |name: &'static str| ["set", "Garden", "--name", name, "--code-file", "FILE"];

    // In two hours, for a day. It is there at once, and opens only then.
    let (starts, ends) = (minute_from_now(7200), minute_from_now(7200 + 24 * 3600));
    let (from, until) = (text(starts), text(ends));
    let done = house.codes(&[&set("Ada")[..], &["--starts", &from, "--ends", &until]].concat(), ADA).await;
    assert!(done.succeeded, "{}{}", done.out, done.err);
    house.expect(&["8 access_code.created #1", &format!("8 access_code.scheduled_on_device #1 {ADA}")]).await;
    let inside = house.rig.inside(8).await;
    assert_eq!((&inside["codes"], &inside["dates"]), (&json!({"4": ADA}), &json!({"4": [shown(starts), shown(ends)]})));
    house.rig.node(8, "types", json!({"code": ADA})).await;
    house.expect(&["8 lock.access_denied"]).await;
    house.rig.node(8, "types", json!({"code": ADA, "ahead": 123})).await;
    house.expect(&["8 lock.unlocked keycode #1"]).await;
    house.rig.operate(8, "manual_lock").await;
    house.expect(&["8 lock.locked manual"]).await;

    // Soon, and the lock lets go of no dates after that: the second one's are kept by the hub.
    let begins = minute_from_now(45);
    let (from, until) = (text(begins), text(minute_from_now(3600)));
    let dates = ["--starts", &from, "--ends", &until];
    assert!(house.codes(&[&set("Bob")[..], &dates].concat(), BOB).await.succeeded, "{}", house.said);
    house.expect(&["8 access_code.created #2", &format!("8 access_code.scheduled_on_device #2 {BOB}")]).await;
    house.rig.node(8, "behave", json!({"dates": "ignored"})).await;
    assert!(house.codes(&[&set("Carol")[..], &dates].concat(), CAROL).await.succeeded, "{}", house.said);
    house.expect(&["8 access_code.created #3"]).await;
    until_then(begins).await;
    house.expect(&[&format!("8 access_code.set_on_device #2 {BOB}")]).await;
    house.expect(&[&format!("8 access_code.set_on_device #3 {CAROL}")]).await;
    let inside = house.rig.inside(8).await;
    assert_eq!(inside["codes"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(inside["dates"].as_object().map(serde_json::Map::len), Some(2), "{inside}");
    let devices = house.ask("POST", "/devices/list", "{}");
    assert!(devices.contains(r#""schedules":"hub""#), "{devices}");
    // As each lock states it: User Code has 4 to 10 digits, this lock's User Credential 4 to 8.
    for lengths in ["[4,5,6,7,8,9,10]", "[4,5,6,7,8]"] {
        assert!(devices.contains(&format!(r#""supported_code_lengths":{lengths}"#)), "{devices}");
    }

    // What it kept is gone with the code.
    house.rig.node(8, "behave", json!({"dates": null})).await;
    let ada = house.codes[0].clone();
    assert!(house.codes(&["remove", &ada, "--wait"], "").await.succeeded, "{}", house.said);
    house.expect(&["8 access_code.removed_from_device #1", "8 access_code.deleted #1"]).await;
    let inside = house.rig.inside(8).await;
    assert!(inside["codes"].get("4").is_none() && inside["dates"].get("4").is_none(), "{inside}");
    house.nothing_more().await;
    house.digits_are_nowhere();
}
