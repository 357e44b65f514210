//! Writes the seeds of fuzzing, from the vectors and a Z-Wave transcript: `scripts/fuzz` runs it first.

#[path = "../tests/support/vectors.rs"]
mod vectors;

use std::path::{Path, PathBuf};

use portcullis::source::ble::script;
use vectors::Place;

fn main() -> std::io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let corpus = |target: &str| -> std::io::Result<PathBuf> {
        let dir = fuzz.join(target);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    };
    let decoders = corpus("decoders")?;
    for (n, (place, payload, keyed)) in vectors::payloads().iter().enumerate() {
        let (kind, place) = match place {
            Place::Service(short) => (0, *short),
            Place::Company(id) => (1, *id),
            Place::Gatt(name) => match script::GATT_WORDS.iter().position(|word| word == name) {
                Some(word) => (2, word as u16),
                None => (2, u16::from_str_radix(name, 16).unwrap_or_default()),
            },
        };
        let mut seed = Vec::new();
        script::write(&mut seed, kind | u8::from(*keyed) << 2, place, payload);
        // The same again, and a little later.
        script::write(&mut seed, kind | 0x50, place, payload);
        std::fs::write(decoders.join(format!("vector-{n}")), seed)?;
    }
    let (lines, captures) = (corpus("decode_line")?, corpus("capture")?);
    let all: Vec<serde_json::Value> = serde_json::from_str(vectors::VECTORS)?;
    for (n, vector) in all.iter().enumerate() {
        std::fs::write(lines.join(format!("vector-{n}")), vector.to_string())?;
        let mut ble = vector.clone();
        ble["address"] = "C0:FF:EE:00:00:01".into();
        let header = serde_json::json!({ "portcullis_capture": 1, "start": "2026-01-01T00:00:00Z" });
        let record = serde_json::json!({ "at": 1, "ble": ble });
        std::fs::write(captures.join(format!("vector-{n}")), format!("{header}\n{record}\n"))?;
    }
    let zwave = corpus("zwave")?;
    let data = |name: &str| -> std::io::Result<serde_json::Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/zwave").join(name);
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    };
    let dump = data("state-dump.json")?;
    let empty = Vec::new();
    let nodes = dump["state"]["nodes"].as_array().unwrap_or(&empty);
    for (n, node) in nodes.iter().enumerate() {
        // A network of one node: a seed must stay small to be of use.
        let mut state = dump["state"].clone();
        state["nodes"] = serde_json::json!([node]);
        let state =
            serde_json::json!({"type": "result", "success": true, "messageId": "2", "result": {"state": state}});
        std::fs::write(zwave.join(format!("node-{n}")), format!("{}\n{state}\n", dump["version"]))?;
    }
    let steps = data("steps.json")?;
    for (n, step) in steps.as_array().unwrap_or(&empty).iter().enumerate() {
        let messages = step["messages"].as_array().unwrap_or(&empty).iter().map(|m| m["msg"].to_string());
        let lines: Vec<String> = [dump["version"].to_string()].into_iter().chain(messages).collect();
        std::fs::write(zwave.join(format!("step-{n}")), lines.join("\n"))?;
    }
    Ok(())
}
