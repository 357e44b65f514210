//! Scenarios of the judge in simulated time: devices that send every two seconds unless said otherwise.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::signal::Address;

fn key(n: u8) -> DeviceKey {
    DeviceKey::Ble(Address([0xC0, 0xFF, 0xEE, 0, 0, n]))
}

fn link(n: u8) -> Link {
    Link::Adapter(format!("hci{n}").into())
}

const DEVICE: ErrorCode = ErrorCode::DeviceDisconnected;
const HUB: ErrorCode = ErrorCode::HubDisconnected;

/// A judge, its clock, and what it said: (second, device, `None` for present).
#[derive(Default)]
struct Room {
    judge: Judge,
    now: u64,
    said: Vec<(u64, DeviceKey, Option<ErrorCode>)>,
    restarts: Vec<u64>,
}

impl Room {
    fn with(devices: u8) -> Room {
        let mut room = Room::default();
        (1..=devices).for_each(|n| room.judge.watch(key(n), None, false, Mono(0)));
        room
    }

    fn advance(&mut self, to: u64) {
        while let Some(at) = self.judge.wake_at().filter(|at| at.0 <= to) {
            let (mut verdicts, mut actions) = (Vec::new(), Vec::new());
            self.judge.judge(at, &mut verdicts, &mut actions);
            self.said.extend(verdicts.into_iter().map(|(key, code)| (at.0 / 1000, key, code)));
            self.restarts.extend(actions.iter().map(|_| at.0 / 1000));
        }
        self.now = to;
    }

    fn heard(&mut self, device: DeviceKey, adapter: u8) {
        if self.judge.heard(device, &link(adapter), false, Mono(self.now)) {
            self.said.push((self.now / 1000, device, None));
        }
    }

    /// These are heard on these adapters for so long, each every two seconds, a little apart.
    fn hears(&mut self, devices: &[u8], adapters: &[u8], seconds: u64) {
        let end = self.now + seconds * 1000;
        let begin = self.now;
        for slot in (begin..end).step_by(2000) {
            for (n, device) in devices.iter().enumerate() {
                self.advance(slot + n as u64 * 20);
                adapters.iter().for_each(|adapter| self.heard(key(*device), *adapter));
            }
        }
        self.advance(end);
    }

    fn silence(&mut self, seconds: u64) {
        self.advance(self.now + seconds * 1000);
    }

    /// What was said since the last call.
    fn said(&mut self) -> Vec<(DeviceKey, Option<ErrorCode>)> {
        self.said.drain(..).map(|(_, key, code)| (key, code)).collect()
    }

    fn patience(&self, device: u8) -> f32 {
        self.judge.explain(&key(device), Mono(self.now)).expect("a watched device").adapters[0].deadline_s
    }
}

#[test]
fn a_device_that_leaves_is_told_within_half_a_minute_and_back_on_its_first_advert() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    assert_eq!(room.said().len(), 4);
    let left = room.now / 1000;
    room.hears(&[1, 2, 3], &[0], 600);
    let (at, device, code) = room.said[0];
    assert_eq!((device, code, room.said.len()), (key(4), Some(DEVICE), 1));
    assert!((20..=30).contains(&(at - left)), "{}", at - left);
    room.heard(key(4), 0);
    assert_eq!(room.said.last(), Some(&(room.now / 1000, key(4), None)));
}

#[test]
fn silence_of_everything_is_the_adapters() {
    let mut room = Room::with(3);
    room.hears(&[1, 2, 3], &[0], 1200);
    room.said();
    let from = room.now / 1000;
    room.silence(100);
    room.hears(&[1, 2, 3], &[0], 60);
    assert_eq!(room.said(), []);
    assert!(matches!(room.restarts[..], [at] if (58..=61).contains(&(at - from))), "{:?}", room.restarts);
}

#[test]
fn deafness_that_lasts_is_told_as_the_hubs_and_taken_back_when_it_ends() {
    let mut room = Room::with(3);
    room.hears(&[1, 2, 3], &[0], 1200);
    room.said();
    room.silence(600);
    assert_eq!(room.said(), [(key(1), Some(HUB)), (key(2), Some(HUB)), (key(3), Some(HUB))]);
    // The first advert of any of them ends it for all; the one that left meanwhile is then told as lost itself.
    room.hears(&[1, 2], &[0], 300);
    assert_eq!(room.said(), [(key(1), None), (key(2), None), (key(3), None), (key(3), Some(DEVICE))]);
}

#[test]
fn of_two_devices_the_silence_is_their_own() {
    let mut room = Room::with(2);
    room.hears(&[1, 2], &[0], 1200);
    room.said();
    room.silence(60);
    assert_eq!(room.said(), [(key(1), Some(DEVICE)), (key(2), Some(DEVICE))]);
    assert!(room.restarts.is_empty());
}

#[test]
fn strangers_too_show_whether_the_adapter_hears() {
    let mut room = Room::with(1);
    room.hears(&[1, 101, 102], &[0], 1200);
    room.said();
    room.silence(60);
    room.hears(&[1, 101, 102], &[0], 60);
    assert_eq!(room.said(), []);
    room.hears(&[101, 102], &[0], 60);
    assert_eq!(room.said(), [(key(1), Some(DEVICE))]);
}

#[test]
fn a_device_that_another_adapter_hears_is_not_lost_with_the_deaf_one() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 60);
    for _ in 0..600 {
        room.hears(&[1, 2, 3], &[0, 1], 2);
        room.heard(key(4), 0);
    }
    room.said();
    room.hears(&[1, 2, 3], &[1], 300);
    assert_eq!(room.said(), [(key(4), Some(HUB))]);
}

#[test]
fn an_adapter_that_is_off_loses_its_devices_with_the_hub_however_few() {
    let mut room = Room::with(1);
    room.hears(&[1], &[0], 1200);
    room.said();
    room.judge.adapter(&link(0), false, Mono(room.now));
    room.silence(100);
    assert_eq!(room.said(), []);
    room.silence(100);
    assert_eq!(room.said(), [(key(1), Some(HUB))]);
    room.judge.adapter(&link(0), true, Mono(room.now));
    room.hears(&[1], &[0], 10);
    assert_eq!(room.said(), [(key(1), None)]);
}

#[test]
fn few_slow_devices_do_not_make_an_adapter_deaf() {
    let mut room = Room::with(3);
    for _ in 0..100 {
        for n in 1..=3 {
            room.silence(15);
            room.heard(key(n), 0);
        }
    }
    room.said();
    room.silence(80);
    assert_eq!((room.said(), &room.restarts[..]), (Vec::new(), &[][..]));
}

#[test]
fn devices_that_send_together_make_no_adapter_deaf_in_between() {
    let all: Vec<u8> = (1..=30).collect();
    let mut room = Room::with(30);
    // Switched on by the same switch: all of them every ten seconds, within half a second.
    let send = |room: &mut Room, devices: &[u8], seconds: u64| {
        for _ in 0..seconds / 10 {
            let begin = room.now;
            for device in devices {
                room.advance(begin + u64::from(*device) * 15);
                room.heard(key(*device), 0);
            }
            room.advance(begin + 10_000);
        }
    };
    send(&mut room, &all, 3600);
    room.said();
    let left = room.now / 1000;
    send(&mut room, &all[1..], 120);
    assert!(
        matches!(room.said[..], [(at, device, Some(DEVICE))] if device == key(1) && at - left <= 60),
        "{:?}",
        room.said
    );
    // And their common silence is still the adapter's.
    room.said();
    room.silence(100);
    send(&mut room, &all[1..], 60);
    assert_eq!(room.said(), []);
}

#[test]
fn a_device_that_speaks_only_when_something_happens_is_never_lost_by_silence() {
    let mut room = Room::with(4);
    room.judge.heard(key(4), &link(0), true, Mono(0));
    room.hears(&[1, 2, 3], &[0], 90_000);
    assert!(!room.said().contains(&(key(4), Some(DEVICE))));
}

#[test]
fn a_sleepy_device_is_judged_by_the_interval_it_declared() {
    let mut room = Room::with(3);
    room.judge.watch(key(4), Some(Duration::from_secs(600)), false, Mono(0));
    for _ in 0..20 {
        room.heard(key(4), 0);
        room.hears(&[1, 2, 3], &[0], 600);
    }
    room.said();
    // One wake-up missed, and heard again.
    room.hears(&[1, 2, 3], &[0], 700);
    room.heard(key(4), 0);
    assert_eq!(room.said(), []);
    room.hears(&[1, 2, 3], &[0], 10 * 600 + 400);
    assert_eq!(room.said(), [(key(4), Some(DEVICE))]);
}

#[test]
fn a_burst_teaches_nothing() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1200);
    let before = room.patience(1);
    for _ in 0..20 {
        for _ in 0..10 {
            room.silence(0);
            room.advance(room.now + 100);
            room.heard(key(1), 0);
        }
        room.hears(&[1, 2, 3, 4], &[0], 60);
    }
    assert!((room.patience(1) - before).abs() <= 0.3 * before, "{before} {}", room.patience(1));
}

#[test]
fn a_slow_rhythm_is_learned_at_once_and_remembered() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1200);
    for _ in 0..10 {
        room.hears(&[2, 3, 4], &[0], 10);
        room.heard(key(1), 0);
    }
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    room.said();
    room.hears(&[2, 3, 4], &[0], 40);
    room.heard(key(1), 0);
    assert_eq!(room.said(), []);
}

#[test]
fn what_everybody_misses_is_nobodys_silence() {
    let all: Vec<u8> = (1..=60).collect();
    let mut room = Room::with(60);
    room.hears(&all, &[0], 1200);
    room.said();
    // For a minute one of twenty adverts comes through, of one device after the other.
    for n in 0..90u32 {
        room.advance(room.now + 667);
        room.heard(key(1 + (n * 7 % 60) as u8), 0);
    }
    room.hears(&all, &[0], 60);
    assert_eq!(room.said(), []);
    // And when most leave together, those who stay are heard as ever: that is no trouble of the radio's.
    room.hears(&all[..4], &[0], 120);
    assert_eq!(room.said().len(), 56);
}

#[test]
fn what_everybody_misses_for_a_while_is_nobodys_own_loss() {
    let mut room = Room::with(40);
    let all: Vec<u8> = (1..=40).collect();
    room.hears(&all, &[0], 1200);
    let loss = |room: &Room| room.judge.explain(&key(1), Mono(room.now)).map_or(1.0, |e| e.adapters[0].loss);
    let before = loss(&room);
    // Half of all adverts drown, for half an hour.
    let mut dice = 1u64;
    for _ in 0..900 {
        let begin = room.now;
        for n in &all {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            room.advance(begin + u64::from(*n) * 20);
            if dice >> 63 == 1 {
                room.heard(key(*n), 0);
            }
        }
        room.advance(begin + 2000);
    }
    assert!(loss(&room) < before + 0.2, "{before} {}", loss(&room));
}

#[test]
fn a_device_that_quickened_as_it_left_is_still_told_as_lost() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 60);
    for _ in 0..100 {
        room.hears(&[2, 3, 4], &[0], 10);
        room.heard(key(1), 0);
    }
    room.said();
    // Too few quick adverts to learn the rhythm from, and longer than it is patient.
    for _ in 0..8 {
        room.hears(&[2, 3, 4], &[0], 5);
        room.heard(key(1), 0);
    }
    room.hears(&[2, 3, 4], &[0], 600);
    assert_eq!(room.said(), [(key(1), Some(DEVICE))]);
}

#[test]
fn a_device_that_slows_down_far_is_lost_once_and_not_at_every_advert() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    room.said();
    for _ in 0..40 {
        room.hears(&[2, 3, 4], &[0], 60);
        room.heard(key(1), 0);
    }
    assert_eq!(room.said(), [(key(1), Some(DEVICE)), (key(1), None)]);
    room.hears(&[1, 2, 3, 4], &[0], 60);
    room.hears(&[2, 3, 4], &[0], 100);
    room.heard(key(1), 0);
    assert_eq!(room.said(), [], "it may slow down again");
}

/// Hears the first device after each of these gaps, and the others all the time.
fn after_gaps(room: &mut Room, gaps: &[u64]) {
    for gap in gaps {
        room.hears(&[2, 3, 4], &[0], *gap);
        room.heard(key(1), 0);
    }
}

#[test]
fn a_multiple_of_a_slow_interval_that_was_taken_for_it_is_not_remembered() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    // Every 14 s from now on, a good half of it heard, and just in the beginning never two in a row.
    after_gaps(&mut room, &[28, 56, 28, 28, 56]);
    let slow = |room: &Room| room.judge.explain(&key(1), Mono(room.now)).and_then(|e| e.slow_interval_s).unwrap_or(0.0);
    assert!((27.0..29.0).contains(&slow(&room)), "{}", slow(&room));
    for _ in 0..20 {
        after_gaps(&mut room, &[14, 14, 28, 14, 42]);
    }
    assert!((13.0..15.0).contains(&slow(&room)), "{}", slow(&room));
    assert_eq!(room.judge.explain(&key(1), Mono(room.now)).and_then(|e| e.interval_s).map(f32::round), Some(14.0));
}

#[test]
fn a_slow_rhythm_is_remembered_though_it_did_not_last() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    after_gaps(&mut room, &[12; 6]);
    room.hears(&[1, 2, 3, 4], &[0], 120);
    let slow = room.judge.explain(&key(1), Mono(room.now)).and_then(|e| e.slow_interval_s);
    assert_eq!(slow.map(f32::round), Some(12.0));
}

#[test]
fn who_is_back_as_soon_as_he_was_lost_had_faded_and_the_others_may_fade_too() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    room.said();
    let before = room.patience(2);
    after_gaps(&mut room, &[40]);
    assert_eq!(room.said(), [(key(1), Some(DEVICE)), (key(1), None)]);
    room.hears(&[1, 2, 3, 4], &[0], 10);
    assert!(room.patience(2) > 2.0 * before, "{} {before}", room.patience(2));
    // Who was really away says nothing of fades.
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    after_gaps(&mut room, &[400]);
    room.hears(&[1, 2, 3, 4], &[0], 10);
    assert_eq!(room.patience(2), before);
}

#[test]
fn a_fade_in_which_something_is_heard_now_and_then_is_one() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    let before = room.patience(2);
    // The last gap is a multiple of the one before, as every other is by chance.
    after_gaps(&mut room, &[14, 4, 20]);
    room.hears(&[1, 2, 3, 4], &[0], 10);
    assert_eq!(room.said().len(), 4);
    assert!(room.patience(2) > 2.0 * before, "{} {before}", room.patience(2));
}

#[test]
fn where_others_fade_a_device_whose_losses_are_learned_anew_is_not_waited_for_for_hours() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    after_gaps(&mut room, &[40]);
    room.hears(&[1, 2, 3, 4], &[0], 60);
    after_gaps(&mut room, &[28, 56, 28, 28, 56]);
    // Where the interval turns out to be half of that, its losses have to be learned anew.
    for gap in [14, 14, 28, 14, 42].repeat(20) {
        after_gaps(&mut room, &[gap]);
        assert!(room.patience(1) <= 1200.0, "{}", room.patience(1));
    }
}

#[test]
fn one_long_gap_before_it_leaves_makes_a_device_wait_no_longer_than_ten_minutes() {
    let mut room = Room::with(4);
    for gap in [10, 20].into_iter().cycle().take(201) {
        room.hears(&[2, 3, 4], &[0], gap);
        room.heard(key(1), 0);
    }
    room.said();
    room.hears(&[2, 3, 4], &[0], 200);
    room.heard(key(1), 0);
    assert_eq!(room.patience(1), 600.0);
}

#[test]
fn a_moment_of_hearing_between_two_deaf_times_teaches_no_patience() {
    let mut room = Room::with(4);
    room.hears(&[1, 2, 3, 4], &[0], 1200);
    room.silence(330);
    room.said();
    room.heard(key(1), 0);
    room.silence(300);
    room.hears(&[1, 2, 3, 4], &[0], 60);
    let own: Vec<_> = room.said().into_iter().filter(|(_, code)| *code == Some(DEVICE)).collect();
    assert_eq!(own, []);
}

#[test]
fn a_long_absence_is_no_fade_for_which_others_are_waited() {
    let mut room = Room::with(6);
    room.hears(&[1, 2, 3, 4], &[0], 1800);
    let before = room.patience(1);
    // Too new to be lost before they come back.
    for _ in 0..5 {
        room.hears(&[1, 2, 3, 4, 5, 6], &[0], 2);
    }
    room.said();
    room.hears(&[1, 2, 3, 4], &[0], 800);
    room.hears(&[1, 2, 3, 4, 5, 6], &[0], 60);
    assert_eq!(room.said(), []);
    assert_eq!(room.patience(1), before);
}

#[test]
fn after_a_restart_a_device_has_its_own_patience_from_the_start() {
    let mut room = Room::with(3);
    room.hears(&[1, 2, 3], &[0], 1800);
    let before = room.patience(1);
    let rows = room.judge.model();
    let mut again = Room::default();
    rows.into_iter().for_each(|(row, value)| again.judge.restore(&row, &value.to_string()));
    (1..=3).for_each(|n| again.judge.watch(key(n), None, true, Mono(0)));
    assert_eq!(again.patience(1), before);
    again.hears(&[2, 3], &[0], 15);
    assert_eq!(again.said(), []);
    again.hears(&[2, 3], &[0], 60);
    assert_eq!(again.said(), [(key(1), Some(DEVICE))]);
}

#[test]
fn without_a_model_and_an_adapter_no_silence_has_begun() {
    let mut room = Room::default();
    (1..=4).for_each(|n| room.judge.watch(key(n), None, true, Mono(0)));
    room.silence(2080);
    room.hears(&[3], &[0], 10);
    assert_eq!(room.said(), [], "ten seconds are no silence");
    room.hears(&[3], &[0], 1000);
    assert_eq!(room.said(), [1, 2, 4].map(|n| (key(n), Some(DEVICE))));
}

#[test]
fn without_a_model_the_silence_of_all_after_a_restart_is_nobodys_own() {
    let mut room = Room::default();
    (1..=3).for_each(|n| room.judge.watch(key(n), None, true, Mono(0)));
    room.heard(key(1), 0);
    room.silence(7200);
    assert_eq!(room.said(), []);
    // Once the adapter is heard to hear, who is still silent is gone.
    room.hears(&[2, 3], &[0], 1000);
    assert_eq!(room.said(), [(key(1), Some(DEVICE))]);
}

#[test]
fn the_silence_of_all_is_nobodys_own_though_only_two_of_them_are_known_well() {
    let mut room = Room::with(3);
    room.hears(&[1, 2], &[0], 1800);
    // The third speaks so seldom that it is not known how often.
    room.heard(key(3), 0);
    room.said();
    room.hears(&[1, 2], &[0], 60);
    room.silence(600);
    assert_eq!(room.said(), []);
    room.hears(&[2, 3], &[0], 60);
    assert_eq!(room.said(), [(key(1), Some(DEVICE))]);
}

#[test]
fn what_was_lost_with_the_hub_is_taken_back_though_nobody_knows_which_adapter_heard_it() {
    let mut room = Room::with(3);
    (1..=3).for_each(|n| room.judge.lost_with_hub(&key(n), Mono(0)));
    room.hears(&[1], &[0], 2);
    assert_eq!(room.said(), [(key(1), None), (key(2), None), (key(3), None)]);
}

#[test]
fn an_interval_that_is_not_known_yet_is_not_known_after_a_restart_either() {
    let mut room = Room::with(1);
    room.hears(&[1], &[0], 6);
    let rows = room.judge.model();
    let mut again = Room::default();
    rows.into_iter().for_each(|(row, value)| again.judge.restore(&row, &value.to_string()));
    again.judge.watch(key(1), None, true, Mono(0));
    assert_eq!(again.judge.explain(&key(1), Mono(0)).and_then(|e| e.interval_s), None);
    assert!(again.patience(1) >= 900.0);
}

#[test]
fn what_is_learned_is_written_only_when_it_moves_a_deadline() {
    let mut room = Room::with(3);
    room.hears(&[1, 2, 3], &[0], 7200);
    assert_eq!(room.judge.model().len(), 4);
    room.hears(&[1, 2, 3], &[0], 600);
    assert_eq!(room.judge.model(), []);
}

#[test]
fn a_model_that_cannot_be_read_is_learned_again() {
    let mut judge = Judge::default();
    for value in [
        serde_json::json!("oops"),
        serde_json::json!({"interval_s": -1e30, "ears": [{"adapter": "hci0", "heard": 1e300, "missed": -5.0}]}),
    ] {
        judge.restore("ble:C0:FF:EE:00:00:01", &value.to_string());
        judge.restore("building", &value.to_string());
        judge.watch(key(1), None, true, Mono(0));
        let deadline = judge.explain(&key(1), Mono(0)).map(|e| e.adapters.first().map_or(0.0, |a| a.deadline_s));
        assert!(deadline.is_some_and(f32::is_finite));
    }
}

#[test]
fn z_wave_is_judged_elsewhere() {
    let mut judge = Judge::default();
    let node = DeviceKey::Zwave { home: 1, node: 2 };
    judge.watch(node, None, true, Mono(0));
    assert!(!judge.heard(node, &Link::Network("main".into()), false, Mono(5)));
    assert_eq!((judge.wake_at(), judge.explain(&node, Mono(5))), (None, None));
}

#[derive(Clone, Debug)]
enum Step {
    Heard { device: u8, adapter: u8, irregular: bool },
    Able { adapter: u8, able: bool },
    Watch { device: u8, present: bool },
    Forget { device: u8 },
    Wait { ms: u64 },
    Store,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6u8, 0..20u8, any::<bool>()).prop_map(|(device, adapter, irregular)| Step::Heard { device, adapter, irregular }),
        1 => (0..20u8, any::<bool>()).prop_map(|(adapter, able)| Step::Able { adapter, able }),
        1 => (0..6u8, any::<bool>()).prop_map(|(device, present)| Step::Watch { device, present }),
        1 => (0..6u8).prop_map(|device| Step::Forget { device }),
        6 => prop_oneof![0..5u64, 0..3000u64, 0..500_000u64].prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Store),
    ]
}

proptest! {
    /// Whatever happens in whatever order: told by turns, never asleep over a due timer, no panic. A failure prints its steps.
    #[test]
    fn what_is_told_alternates(steps in prop::collection::vec(step(), 1..300)) {
        let mut judge = Judge::default();
        let mut present = HashMap::<DeviceKey, bool>::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Heard { device, adapter, irregular } => {
                    if judge.heard(key(device), &link(adapter), irregular, Mono(now)) {
                        prop_assert_eq!(present.insert(key(device), true), Some(false));
                    }
                }
                Step::Able { adapter, able } => judge.adapter(&link(adapter), able, Mono(now)),
                Step::Watch { device, present: there } => {
                    judge.watch(key(device), None, there, Mono(now));
                    present.insert(key(device), there);
                }
                Step::Forget { device } => {
                    judge.forget(&key(device), Mono(now));
                    present.remove(&key(device));
                }
                Step::Wait { ms } => now += ms,
                Step::Store => judge.model().into_iter().for_each(|(row, value)| judge.restore(&row, &value.to_string())),
            }
            let mut verdicts = Vec::new();
            while judge.wake_at().is_some_and(|at| at <= Mono(now)) {
                judge.judge(Mono(now), &mut verdicts, &mut Vec::new());
            }
            for (key, code) in verdicts {
                prop_assert_eq!(present.insert(key, code.is_none()), Some(code.is_some()));
            }
        }
    }
}
