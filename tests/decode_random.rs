//! Goal: no bytes that a radio can carry make a decoder panic, talk without end, or mean something in an advert that it refuses.
//! Method: scripts of random and of mutated real adverts go through every decoder, with and without a key, and its promises are
//! held after each ([`script::play`]). proptest prints the case that failed, shrunk, and keeps its seed. `fuzz/` goes on where
//! this ends.

#[path = "support/vectors.rs"]
mod vectors;

use std::sync::LazyLock;

use portcullis::source::ble::{line, script};
use proptest::prelude::*;
use vectors::Place;

static REAL: LazyLock<Vec<(Place, Vec<u8>, bool)>> = LazyLock::new(vectors::payloads);

fn kind_and_place(place: &Place) -> (u8, u16) {
    match place {
        Place::Service(short) => (0, *short),
        Place::Company(id) => (1, *id),
        Place::Gatt(name) => {
            let word = script::GATT_WORDS.iter().position(|word| word == name);
            (2, word.map_or_else(|| u16::from_str_radix(name, 16).unwrap(), |n| n as u16))
        }
    }
}

/// What may happen to bytes on the way.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(usize, u8),
    Cut(usize),
    Append(Vec<u8>),
    Repeat,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (0..64usize, 1..=255u8).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (0..64usize).prop_map(Mutation::Cut),
        prop::collection::vec(any::<u8>(), 0..32).prop_map(Mutation::Append),
        Just(Mutation::Repeat),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        match mutation {
            Mutation::Flip(at, bits) => {
                let len = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= bits;
                }
            }
            Mutation::Cut(to) => bytes.truncate(*to),
            Mutation::Append(more) => bytes.extend(more),
            Mutation::Repeat => bytes.extend_from_within(..),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_keep_every_promise(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        script::play(&bytes);
    }

    #[test]
    fn real_adverts_damaged_on_the_way_keep_every_promise(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0..=255u8, prop::collection::vec(mutation(), 0..4)), 1..8)
    ) {
        let mut bytes = Vec::new();
        for (index, flags, mutations) in picks {
            let (place, payload, _) = index.get(&REAL);
            let (kind, place) = kind_and_place(place);
            script::write(&mut bytes, kind | flags & 0xFC, place, &mutate(payload.clone(), &mutations));
        }
        script::play(&bytes);
    }

    #[test]
    fn any_line_is_answered(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for line in [text.as_bytes(), &bytes] {
            prop_assert!(serde_json::to_string(&line::answer(line, |_| None)).is_ok());
        }
    }
}
