//! Goal: whatever bytes a stranger sends, a decoder answers, says little, and says nothing impossible.
//! Method: the vectors' adverts and GATT values are cut, stretched, flipped and given to other families by a seeded generator;
//! each answer is held against what must be true of every one. `PORTCULLIS_CASES` asks for more than the default,
//! `PORTCULLIS_SEED` plays a run again.

use std::time::{Duration, Instant};

use portcullis::signal::Address;
use portcullis::source::ble::decode::{self, Decoded, Gatt, MAX_PAYLOAD, Memory, Name, Value, signals};
use portcullis::source::ble::{Advert, uuid16};
use portcullis::time::Mono;
use serde_json::Value as Json;

const VECTORS: &str = include_str!("data/ble-vectors.json");
const CASES: u64 = 20_000;
/// What one advert may say at most: a BTHome payload of one-byte objects fills the longest service data with this many.
const STATEMENTS: usize = MAX_PAYLOAD;
/// Hex of the longest payload, or a URL with every byte expanded.
const TEXT: usize = 2 * MAX_PAYLOAD;
/// The promise is 50 µs in a release build; a debug build on a busy machine gets room.
const TIME: Duration = Duration::from_millis(200);

/// xorshift64*: enough to wander, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

#[derive(Default)]
struct Seeds {
    adverts: Vec<Advert>,
    gatt: Vec<(String, Vec<u8>)>,
}

fn seeds() -> Seeds {
    let vectors: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    let mut seeds = Seeds::default();
    for vector in &vectors {
        let steps = vector["steps"].as_array().cloned().unwrap_or_default();
        for part in std::iter::once(vector).chain(&steps) {
            for (name, value) in part["gatt"].as_object().into_iter().flatten() {
                seeds.gatt.push((name.clone(), hex::decode(value.as_str().unwrap()).unwrap()));
            }
            seeds.adverts.push(advert(vector, part));
        }
    }
    seeds
}

fn advert(vector: &Json, part: &Json) -> Advert {
    let bytes = |value: &Json| hex::decode(value.as_str().unwrap()).unwrap();
    let uuid = |text: &str| match u16::from_str_radix(text, 16) {
        Ok(short) => uuid16(short),
        Err(_) => text.parse().unwrap(),
    };
    let mut advert = Advert {
        address: vector["address"].as_str().and_then(|a| a.parse().ok()).unwrap_or_default(),
        name: vector["name"].as_str().map(Into::into),
        ..Advert::default()
    };
    for (id, value) in part["manufacturer_data"].as_object().into_iter().flatten() {
        advert.manufacturer_data.insert(u16::from_str_radix(id, 16).unwrap(), bytes(value));
    }
    for (id, value) in part["service_data"].as_object().into_iter().flatten() {
        advert.service_data.insert(uuid(id), bytes(value));
    }
    advert.service_uuids =
        part["service_uuids"].as_array().into_iter().flatten().map(|u| uuid(u.as_str().unwrap())).collect();
    advert
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        match random.below(6) {
            0 => bytes.truncate(random.below(bytes.len() + 1)),
            1 => {
                let more = random.below(24);
                bytes.extend(random.bytes(more));
            }
            2 | 3 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            4 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] = [0, 0xFF, 0x7F, 0x80, random.next() as u8][random.below(5)];
            }
            _ => {
                let length = [random.below(40), random.below(300), MAX_PAYLOAD][random.below(3)];
                *bytes = random.bytes(length);
            }
        }
    }
}

fn check(decoded: &Decoded, took: Duration, of: &dyn Fn() -> String) {
    assert!(took < TIME, "{took:?} for {}", of());
    assert!(decoded.says.len() <= STATEMENTS, "{} statements for {}", decoded.says.len(), of());
    for statement in &decoded.says {
        if decoded.reject.is_some() {
            assert!(statement.name.is_about_the_frame(), "refused, yet says {statement:?} of {}", of());
        }
        match (&statement.name, &statement.value) {
            (Name::BatteryPercent, value) => {
                let percent = value.number().expect("a number");
                assert!((0.0..=100.0).contains(&percent), "{percent} % for {}", of());
            }
            (_, Value::Float(number)) => assert!(number.is_finite(), "{statement:?} for {}", of()),
            (_, Value::Text(text)) => assert!(text.len() <= TEXT, "{} letters for {}", text.len(), of()),
            _ => {}
        }
    }
    if decoded.reject.is_some() {
        assert!(signals::signals(decoded).is_empty(), "refused, yet signals for {}", of());
    }
}

#[test]
fn whatever_the_bytes_a_decoder_answers_and_says_nothing_impossible() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("PORTCULLIS_CASES").unwrap_or(CASES);
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = number("PORTCULLIS_SEED").unwrap_or(clock | 1);
    println!("PORTCULLIS_SEED={seed}");
    let mut random = Random(seed);
    let seeds = seeds();
    let mut memory = Memory::default();
    let mut accepted = 0;
    for case in 0..cases {
        let mut advert = seeds.adverts[random.below(seeds.adverts.len())].clone();
        for bytes in advert.manufacturer_data.values_mut().chain(advert.service_data.values_mut()) {
            if random.below(3) > 0 {
                mutate(bytes, &mut random);
            }
        }
        // Two devices' data in one advert, or another sender's.
        if random.below(4) == 0 {
            let other = &seeds.adverts[random.below(seeds.adverts.len())];
            advert.manufacturer_data.extend(other.manufacturer_data.clone());
            advert.service_data.extend(other.service_data.clone());
        }
        if random.below(8) == 0 {
            advert.address = Address(random.next().to_be_bytes()[..6].try_into().unwrap());
        }
        if random.below(3) == 0 {
            memory = Memory::default();
        }
        let started = Instant::now();
        let decoded = decode::decode(&advert, None, &mut memory, Mono(case));
        if let Some(decoded) = &decoded {
            check(decoded, started.elapsed(), &|| format!("{advert:?}"));
            accepted += u64::from(decoded.accepted());
        }

        let (name, value) = &seeds.gatt[random.below(seeds.gatt.len())];
        let mut value = value.clone();
        mutate(&mut value, &mut random);
        let started = Instant::now();
        if let Some(decoded) = decode::decode_gatt(&Gatt { name, value: &value }) {
            check(&decoded, started.elapsed(), &|| format!("{name} {}", hex::encode(&value)));
        }
    }
    // Mutations that nobody accepts would try nothing but the first length check.
    assert!(accepted > cases / 10, "{accepted} of {cases} accepted");
}
