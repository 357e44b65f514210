//! The BLE vectors as bytes, for tests and tools that start from real adverts.

use serde_json::Value;

pub const VECTORS: &str = include_str!("../data/ble-vectors.json");

/// What a payload is: service data or manufacturer data of a place, or a GATT value of a name.
#[derive(Clone, Debug)]
pub enum Place {
    Service(u16),
    Company(u16),
    Gatt(String),
}

/// Every payload of every vector, with its place and whether a key comes with it.
pub fn payloads() -> Vec<(Place, Vec<u8>, bool)> {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let mut out = Vec::new();
    for vector in &vectors {
        let keyed = vector["bindkey"].is_string();
        let steps = vector["steps"].as_array();
        for advert in steps.map_or(vec![vector], |steps| steps.iter().collect()) {
            let mut add = |field: &str, place: fn(&str) -> Place| {
                for (name, hex) in advert[field].as_object().into_iter().flatten() {
                    out.push((place(name), hex::decode(hex.as_str().unwrap()).unwrap(), keyed));
                }
            };
            add("service_data", |name| Place::Service(short(name)));
            add("manufacturer_data", |name| Place::Company(short(name)));
            add("gatt", |name| Place::Gatt(name.to_owned()));
        }
    }
    out
}

fn short(name: &str) -> u16 {
    u16::from_str_radix(name, 16).unwrap()
}
