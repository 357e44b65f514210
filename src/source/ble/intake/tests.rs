//! The intake in simulated time: what is believed, what is told once, and what is remembered.

use aes::Aes128;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U4, U13};

use super::*;
use crate::signal::{LockState, LockUser, Method};
use crate::source::ble::uuid16;
use crate::source::rules::Target;

const LOCK: Address = Address([0x54, 0x48, 0xE6, 0x8F, 0x80, 0xA5]);
const KEY: [u8; 16] = [0x23, 0x1d, 0x39, 0xc1, 0xd7, 0xcc, 0x1a, 0xb1, 0xae, 0xe2, 0x24, 0xcd, 0x09, 0x6d, 0xb9, 0x32];
const LOCKED: &[u8] = &[0x1F, 0];
const UNLOCKED: &[u8] = &[0x1F, 1];

fn s(seconds: u64) -> Mono {
    Mono(seconds * 1000)
}

fn hci(n: u8) -> Arc<str> {
    format!("hci{n}").into()
}

fn advert(address: Address, uuid: u16, data: impl Into<Vec<u8>>) -> Advert {
    Advert { address, service_data: [(uuid16(uuid), data.into())].into(), ..Advert::default() }
}

/// BTHome version 2, encrypted.
fn sealed(counter: u32, objects: &[u8]) -> Advert {
    sealed_with(&KEY, counter, objects)
}

fn sealed_with(key: &[u8; 16], counter: u32, objects: &[u8]) -> Advert {
    let mut nonce = [0; 13];
    nonce[..6].copy_from_slice(&LOCK.0);
    nonce[6..9].copy_from_slice(&[0xD2, 0xFC, 0x41]);
    nonce[9..].copy_from_slice(&counter.to_le_bytes());
    let mut text = objects.to_vec();
    let cipher = ccm::Ccm::<Aes128, U4, U13>::new(key.into());
    let tag = cipher.encrypt_inout_detached(&nonce.into(), &[], text.as_mut_slice().into()).unwrap();
    advert(LOCK, 0xFCD2, [&[0x41][..], &text, &counter.to_le_bytes(), &tag].concat())
}

fn keyed() -> Known {
    Known { bindkey: Some(BindKey::new(KEY)), ..Known::default() }
}

fn ours(known: Known) -> Intake {
    Intake::new([(LOCK, known)])
}

fn hear(intake: &mut Intake, at: u64, advert: &Advert) -> Option<Vec<Signal>> {
    intake.advert(s(at), &hci(0), advert).map(|report| report.signals)
}

const IS_LOCKED: Signal = Signal::Lock(LockState::Locked);
const IS_UNLOCKED: Signal = Signal::Lock(LockState::Unlocked);

#[test]
fn a_replayed_frame_changes_nothing_and_is_no_sign_of_life() {
    let mut intake = ours(keyed());
    assert_eq!(hear(&mut intake, 0, &sealed(1000, UNLOCKED)), Some(vec![IS_UNLOCKED]));
    assert_eq!(hear(&mut intake, 10, &sealed(1001, LOCKED)), Some(vec![IS_LOCKED]));
    for n in 0..100 {
        // Far from the last frames, or it would be taken for one that was late.
        assert_eq!(hear(&mut intake, 20 + n, &sealed(500, UNLOCKED)), None);
        assert_eq!(intake.refused(), Some(Reject::Replay));
    }
    assert_eq!(hear(&mut intake, 200, &sealed(1002, UNLOCKED)), Some(vec![IS_UNLOCKED]));
}

#[test]
fn a_restart_does_not_reopen_the_replay_window() {
    let mut intake = ours(Known { counter: Some(1001), ..keyed() });
    assert_eq!(hear(&mut intake, 0, &sealed(1000, UNLOCKED)), None);
    assert_eq!(hear(&mut intake, 0, &sealed(1001, UNLOCKED)), Some(vec![]), "what it said is stored");
    assert_eq!(hear(&mut intake, 1, &sealed(1002, LOCKED)), Some(vec![IS_LOCKED]));
}

#[test]
fn the_counter_that_admitted_a_change_is_reported_and_one_that_was_refused_is_not() {
    let mut intake = ours(keyed());
    assert_eq!(intake.advert(s(0), &hci(0), &sealed(7, LOCKED)).unwrap().counter, Some(7));
    assert_eq!(intake.advert(s(60), &hci(0), &sealed(7, LOCKED)).unwrap().counter, None);
}

#[test]
fn a_battery_change_that_resets_the_counter_is_got_over() {
    let mut intake = ours(keyed());
    assert_eq!(hear(&mut intake, 0, &sealed(90_000, LOCKED)), Some(vec![IS_LOCKED]));
    let told: Vec<_> = (0..8).map(|n| hear(&mut intake, 100 + n * 60, &sealed(n as u32, UNLOCKED))).collect();
    assert_eq!(told.iter().filter(|t| t.is_none()).count(), 4, "refused until it has counted up five times");
    assert_eq!(told[4..], vec![Some(vec![IS_UNLOCKED]); 4]);
}

#[test]
fn a_device_with_a_key_is_not_believed_in_the_clear() {
    let mut intake = ours(keyed());
    assert_eq!(hear(&mut intake, 0, &advert(LOCK, 0xFCD2, [0x40, 0x1F, 1])), Some(vec![]));
    assert_eq!(intake.refused(), Some(Reject::PlaintextWhileKeySet));
    // Not in the words of another family, either.
    let mibeacon = hex::decode("4040390e110b000920020001800000005f").unwrap();
    assert_eq!(hear(&mut intake, 1, &advert(LOCK, 0xFE95, mibeacon)), Some(vec![]));
    assert_eq!(intake.refused(), Some(Reject::PlaintextWhileKeySet));
}

#[test]
fn a_refused_advert_does_not_excuse_a_device_from_being_heard() {
    let mut intake = ours(keyed());
    intake.advert(s(0), &hci(0), &sealed(1, LOCKED));
    // The trigger bit, in the clear: a forger says that the device need not be heard.
    let forged = intake.advert(s(1), &hci(0), &advert(LOCK, 0xFCD2, [0x44, 0x1F, 1])).unwrap();
    assert!(!forged.irregular);
}

#[test]
fn wrong_key_missing_key_and_stale_counter_are_told_apart_and_end_when_all_is_well() {
    let mut other = KEY;
    other[0] ^= 1;
    let mut intake = ours(keyed());
    let problem = |intake: &Intake| intake.problem(LOCK).map(|p| (p.reject, p.refused, p.worked_before));
    hear(&mut intake, 0, &sealed_with(&other, 1, LOCKED));
    hear(&mut intake, 1, &sealed_with(&other, 2, LOCKED));
    assert_eq!(problem(&intake), Some((Reject::WrongKey, 2, false)));
    hear(&mut intake, 2, &sealed(9, LOCKED));
    assert_eq!(problem(&intake), None);
    hear(&mut intake, 3, &sealed(3, LOCKED));
    assert_eq!(problem(&intake), Some((Reject::Replay, 1, true)));
    let mut keyless = ours(Known::default());
    hear(&mut keyless, 0, &sealed(1, LOCKED));
    assert_eq!(problem(&keyless), Some((Reject::NoKey, 1, false)));
    assert_eq!(keyless.problems().count(), 1);
}

/// A MiBeacon lock, unlocked from outside with password 7.
fn unlocked_with_password(frame: u8, time: u8) -> Advert {
    let mut data = hex::decode("4040390e110b000910070002800000005f").unwrap();
    data[4] = frame;
    data[13] = time;
    advert(LOCK, 0xFE95, data)
}

#[test]
fn a_repeated_frame_is_not_a_second_unlock_on_any_adapter() {
    let mut intake = ours(Known::default());
    let unlock = Signal::LockOperation { locked: false, method: Method::Keycode, user: Some(LockUser(7)) };
    let mut told = Vec::new();
    for at in [0, 0, 1, 3, 9, 100, 599] {
        for adapter in 0..2 {
            let report = intake.advert(s(at), &hci(adapter), &unlocked_with_password(17, 1)).unwrap();
            told.extend(report.signals);
        }
    }
    assert_eq!(told, vec![unlock.clone()]);
    let next = intake.advert(s(600), &hci(0), &unlocked_with_password(18, 200)).unwrap();
    assert_eq!(next.signals, vec![unlock]);
}

#[test]
fn an_operation_tells_the_locks_own_time() {
    let mut intake = ours(Known::default());
    let report = intake.advert(s(0), &hci(0), &unlocked_with_password(1, 0)).unwrap();
    assert_eq!(report.occurred_at.unwrap().to_string(), "2020-07-04T04:05:20.000Z");
}

#[test]
fn a_rule_makes_a_signal_of_what_the_hub_does_not_know() {
    let rules = [Rule::new("generic_bool", Target::DoorOpen), Rule::new("button=press", Target::Doorbell)];
    let mut intake = ours(Known { rules: rules.into(), ..Known::default() });
    let told = hear(&mut intake, 0, &advert(LOCK, 0xFCD2, [0x40, 0x0F, 1, 0x3A, 1]));
    assert_eq!(told, Some(vec![Signal::Door { open: true }, Signal::Doorbell]));
    let again = hear(&mut intake, 1, &advert(LOCK, 0xFCD2, [0x40, 0x0F, 1, 0x3A, 1]));
    assert_eq!(again, Some(vec![Signal::Door { open: true }]), "a mapped bell rings once, too");
}

#[test]
fn a_rule_reaches_one_of_several() {
    let mut intake = ours(Known { rules: [Rule::new("door_2", Target::DoorOpen)].into(), ..Known::default() });
    let told = hear(&mut intake, 0, &advert(LOCK, 0xFCD2, [0x40, 0x1A, 0, 0x1A, 1]));
    assert_eq!(told, Some(vec![Signal::Door { open: true }]));
}

#[test]
fn a_model_that_its_owner_told_is_used_until_the_device_names_its_own() {
    let mut switchbot = Advert { address: LOCK, ..Advert::default() };
    switchbot.manufacturer_data.insert(0x0969, vec![0xEE, 0xF5, 0xE6, 0x09, 0x8F, 0xE8, 0x11, 0x97, 0x08, 0x20]);
    let told = |intake: &mut Intake, advert: &Advert| intake.advert(s(0), &hci(0), advert).unwrap().signals;
    let mut intake = ours(Known::default());
    assert!(told(&mut intake, &switchbot).is_empty(), "it may be anything");
    intake.know([(LOCK, Known { model: Some("lock"), ..Known::default() })]);
    assert!(told(&mut intake, &switchbot).contains(&Signal::Lock(LockState::Unlocked)));
    let mut contact = switchbot.clone();
    contact.service_data.insert(uuid16(0xFD3D), b"d\0\x64".to_vec());
    intake.advert(s(1), &hci(0), &contact);
    assert!(!told(&mut intake, &switchbot).iter().any(|signal| matches!(signal, Signal::Lock(_))));
}

#[test]
fn a_flood_of_strangers_costs_nothing_of_ours() {
    let mut intake = ours(keyed());
    hear(&mut intake, 0, &sealed(10, LOCKED));
    for n in 0..20_000u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let stranger = advert(Address([0xF0, 0, a, b, c, d]), 0xFCD2, [0x40, 0x1F, 1]);
        intake.advert(s(1), &hci(0), &stranger);
    }
    assert!(intake.forgotten() > 15_000);
    assert_eq!(hear(&mut intake, 2, &sealed(9, UNLOCKED)), None, "the counter is remembered");
    assert_eq!(hear(&mut intake, 2, &sealed(11, UNLOCKED)), Some(vec![IS_UNLOCKED]));
}

#[test]
fn a_name_is_told_when_it_is_news_and_never_longer_than_a_name() {
    let mut intake = ours(Known::default());
    let named = |name: &str| Advert { name: Some(name.into()), ..advert(LOCK, 0xFCD2, [0x40, 0x1F, 1]) };
    let mut told = |name: &str| intake.advert(s(0), &hci(0), &named(name)).unwrap().name;
    assert_eq!(told("Door").as_deref(), Some("Door"));
    assert_eq!(told("Door"), None);
    assert_eq!(told(&"ü".repeat(1000)).unwrap().len(), NAME_MAX);
}

#[test]
fn a_stranger_says_its_name_again_and_again_since_it_is_not_believed_at_once() {
    let mut intake = Intake::default();
    let named = Advert { name: Some("Door".into()), ..advert(LOCK, 0xFCD2, [0x40, 0x1F, 1]) };
    for n in 0..3 {
        assert_eq!(intake.advert(s(n * 60), &hci(0), &named).unwrap().name.as_deref(), Some("Door"));
    }
}

#[test]
fn a_payload_that_no_radio_can_send_is_refused() {
    let mut intake = ours(Known::default());
    let mut long = vec![0x40, 0x1F, 1];
    long.resize(decode::MAX_PAYLOAD + 1, 0);
    assert_eq!(hear(&mut intake, 0, &advert(LOCK, 0xFCD2, long)), Some(vec![]));
    assert_eq!(intake.refused(), Some(Reject::Malformed));
}

#[test]
fn another_list_of_devices_keeps_what_is_remembered_of_those_whose_key_stayed() {
    let mut intake = ours(keyed());
    hear(&mut intake, 0, &sealed(10, LOCKED));
    intake.know([(LOCK, keyed())]);
    assert_eq!(hear(&mut intake, 1, &sealed(4, UNLOCKED)), None);
    intake.forget(LOCK);
    assert!(!intake.knows(LOCK));
}

#[test]
fn a_key_is_tried_on_what_a_device_sends_and_nothing_changes_by_it() {
    let (right, mut wrong) = (BindKey::new(KEY), KEY);
    wrong[15] ^= 1;
    let wrong = BindKey::new(wrong);
    for mut intake in [Intake::default(), ours(Known::default())] {
        assert_eq!(intake.opens(LOCK, &right), None, "it sent nothing yet");
        hear(&mut intake, 0, &advert(LOCK, 0xFCD2, [0x40, 0x1F, 1]));
        assert_eq!((intake.opens(LOCK, &right), intake.wants_a_key(LOCK)), (None, false), "what it sent wants none");
        hear(&mut intake, 1, &sealed(7, LOCKED));
        assert!(intake.wants_a_key(LOCK));
        assert_eq!([intake.opens(LOCK, &wrong), intake.opens(LOCK, &right)], [Some(false), Some(true)]);
        // A name that comes between, as the answer to a scan, is no reason to believe that it is in the clear.
        hear(&mut intake, 2, &Advert { address: LOCK, name: Some("Door".into()), ..Advert::default() });
        assert!(intake.wants_a_key(LOCK));
        assert_eq!(hear(&mut intake, 3, &sealed(8, LOCKED)), Some(vec![]), "and is not believed with a key only tried");
    }
}

#[test]
fn a_device_is_understood_from_the_first_advert_after_its_key_and_may_be_given_another() {
    let mut other = KEY;
    other[0] ^= 1;
    let mut intake = Intake::default();
    hear(&mut intake, 0, &sealed(90_000, LOCKED));
    intake.give_key(LOCK, BindKey::new(KEY));
    assert!(intake.knows(LOCK));
    assert_eq!(hear(&mut intake, 1, &sealed(90_001, UNLOCKED)), Some(vec![IS_UNLOCKED]));
    assert!(!intake.wants_a_key(LOCK));
    // The same key again makes no recording fresh.
    intake.give_key(LOCK, BindKey::new(KEY));
    assert_eq!(hear(&mut intake, 20, &sealed(80_000, LOCKED)), None);
    // It was reset, has another key and counts anew.
    hear(&mut intake, 30, &sealed_with(&other, 1, LOCKED));
    assert_eq!([KEY, other].map(|key| intake.opens(LOCK, &BindKey::new(key))), [Some(false), Some(true)]);
    intake.give_key(LOCK, BindKey::new(other));
    assert_eq!(intake.problem(LOCK), None);
    assert_eq!(hear(&mut intake, 31, &sealed_with(&other, 2, LOCKED)), Some(vec![IS_LOCKED]));
}

#[test]
fn a_key_is_tried_on_no_advert_of_long_ago() {
    let mut other = KEY;
    other[0] ^= 1;
    let mut intake = Intake::default();
    hear(&mut intake, 0, &sealed(1, LOCKED));
    hear(&mut intake, 1, &sealed_with(&other, 1, LOCKED));
    hear(&mut intake, 5, &sealed_with(&other, 2, LOCKED));
    assert_eq!([KEY, other].map(|key| intake.opens(LOCK, &BindKey::new(key))), [Some(false), Some(true)]);
}
