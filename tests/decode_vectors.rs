//! Goal: what other projects' test suites say an advert means, `portcullis decode` says, too.
//! Method: the vectors of `data/ble-vectors.json` (each names where it comes from) go through the path of `portcullis decode`,
//! line by line; each is held against its `expected` in the words that matter for a door. Where we answer otherwise on purpose, the
//! vector is in [`DISAGREEMENTS`] with the decision that says why; a disagreement that went away is an error as well.

use std::collections::BTreeMap;

use portcullis::source::ble::line;
use serde_json::{Map, Value, json};

const VECTORS: &str = include_str!("data/ble-vectors.json");

/// The words held against the vectors; of the others the peers' spelling differs from project to project.
const CORE: &[&str] = &[
    "lock_state",
    "door_open",
    "battery_percent",
    "battery_low",
    "tamper",
    "motion",
    "vibration",
    "sound_detected",
    "connectivity",
    "doorbell",
    "occupancy",
    "presence",
    "encrypted",
    "decrypt_ok",
    "lock_method",
    "lock_user_id",
    "lockout_alarm",
    "duress_alarm",
    "battery_charging",
    "temperature_c",
    "humidity_percent",
    "water_leak",
    "smoke",
];

/// Vectors that are answered otherwise on purpose, by id, with the page of `docs/decisions` that says why.
const DISAGREEMENTS: &[(&str, &str)] = &[
    // The peer's own name for what the vocabulary has a word for.
    ("bthome_v2-225", "0101"),
    ("bthome_v2-234", "0101"),
    ("mibeacon-302", "0101"),
    // Motion is motion, also from a lamp that never says when it ends.
    ("mibeacon-047", "0102"),
    // Lifting the handle to lock is no unlocking.
    ("mibeacon-084", "0103"),
    // A frame without an object says nothing.
    ("mibeacon-296", "0104"),
    // A beacon with a nil UUID, which nothing says is a lock.
    ("yale_adv-010", "0203"),
    // Below zero is below zero.
    ("eddystone-007", "0204"),
    // A percentage that is computed from a voltage, and motion from a counter that was never seen before.
    ("ruuvi-017", "0205"),
    ("ruuvi-019", "0205"),
    // The same word as another project's leak sensor has.
    ("mocreo-008", "0101"),
    // One of the two structures of the packet is not in the vector.
    ("teltonika-006", "0205"),
];

#[test]
fn every_vector_means_what_its_source_says() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::<&str, [u32; 2]>::new();
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let difference = difference(vector);
        if !vector["disputed"].is_null() {
            continue;
        }
        counts.entry(vector["family"].as_str().unwrap()).or_default()[usize::from(difference.is_some())] += 1;
        match (difference, DISAGREEMENTS.iter().any(|(known, _)| *known == id)) {
            (Some(difference), false) => wrong.push(format!("{id}: {difference}")),
            (None, true) => wrong.push(format!("{id} is no disagreement any more")),
            _ => {}
        }
    }
    println!("right and otherwise by family: {counts:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A refused advert says why in the vectors' words, where those words are the reasons of this hub.
#[test]
fn a_refusal_names_the_reason() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let mut seen = 0;
    for vector in &vectors {
        let reason = vector["reject_reason"].as_str().unwrap_or_default();
        let ours = match reason {
            "no_key" | "plaintext_while_key_set" | "address_mismatch" => reason,
            "wrong_key" | "tampered_ciphertext" | "tampered_counter" => "wrong_key",
            _ => continue,
        };
        // Of a version that is unknown, whether a key would help is unknown as well.
        if vector["id"] == "bthome_v2-153" {
            continue;
        }
        assert_eq!(answer(vector)["reject"], ours, "{}", vector["id"]);
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

fn answer(vector: &Value) -> Value {
    serde_json::to_value(line::answer(vector.to_string().as_bytes(), |_| None)).unwrap()
}

fn difference(vector: &Value) -> Option<String> {
    let answer = answer(vector);
    let Some(steps) = vector["steps"].as_array() else { return step_difference(&vector["expected"], &answer) };
    let answers = answer["steps"].as_array().cloned().unwrap_or_default();
    if answers.len() != steps.len() {
        return Some(format!("{} answers to {} steps", answers.len(), steps.len()));
    }
    let mut differences = steps.iter().zip(&answers).enumerate().filter_map(|(n, (step, answer))| {
        step_difference(&step["expected"], answer).map(|difference| format!("step {n}: {difference}"))
    });
    differences.next()
}

fn step_difference(expected: &Value, answer: &Value) -> Option<String> {
    let nothing = Map::new();
    let says = answer["signals"].as_object().unwrap_or(&nothing);
    let accepted = expected["accepted"].as_bool().unwrap_or(true);
    if answer["accepted"] != json!(accepted) {
        return Some(format!("accepted is {}, not {accepted}", answer["accepted"]));
    }
    CORE.iter().find_map(|word| {
        let is_about_the_frame = matches!(*word, "encrypted" | "decrypt_ok");
        let (theirs, ours) = (&expected[*word], says.get(*word).unwrap_or(&Value::Null));
        let same = match (theirs, ours) {
            _ if !accepted => ours.is_null() || !theirs.is_null() || is_about_the_frame,
            (Value::Number(a), Value::Number(b)) => (a.as_f64()? - b.as_f64()?).abs() <= 0.051,
            // Not encrypted and not said to be is the same.
            _ if is_about_the_frame => (*theirs == json!(true)) == (*ours == json!(true)),
            _ => theirs == ours,
        };
        (!same).then(|| format!("{word} is {ours}, not {theirs}"))
    })
}
