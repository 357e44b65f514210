//! Codes with dates on a hub that does not know the date: a Pi that boots in 1970, and a clock that nobody vouches for.

#[path = "support/house.rs"]
#[allow(dead_code)]
mod house;

use house::{HOUR, House, code};
use portcullis::hub::{Action, CodeDraft};
use portcullis::time::Wall;

/// Power is gone for so many hours; then the clock shows something that nobody vouches for.
fn restart(house: &mut House, hours: u64, shows: i64) {
    house.rig.synchronized = false;
    house.rig.wall_offset += shows;
    house.rig.crash(hours * 3600);
    house.sent.clear();
    house.rig.asked.clear();
    house.bridge_up();
}

/// The hub looks at it every minute.
fn clock_is_set(house: &mut House, shows: i64) {
    house.rig.wall_offset -= shows;
    house.rig.synchronized = true;
    house.pass(70.0);
}

/// Decades back, and years ahead.
const WRONG: [i64; 2] = [-56 * 365 * 24 * HOUR, 5 * 365 * 24 * HOUR];

#[test]
fn without_a_date_what_has_dates_stays_as_it_is_and_with_one_what_is_over_goes_first() {
    for wrong in WRONG {
        let mut house = House::new();
        let [over, to_come, unwanted] =
            [("1111", 0, 2), ("2222", 1, 20), ("3333", 0, 20)].map(|(digits, from, until)| {
                let draft = house.draft(digits, from, until);
                house.create(draft)
            });
        house.pass(60.0);
        assert_eq!([over, to_come, unwanted].map(|id| house.status(id)), ["set", "unset", "set"]);
        restart(&mut house, 3, wrong);
        let forever = house.create(code("4444"));
        house.delete(unwanted);
        // Long after events stop to wait for the clock.
        house.pass(2.0 * 3600.0);
        assert_eq!([over, to_come, forever].map(|id| house.status(id)), ["set", "unset", "set"], "{wrong}");
        assert_eq!(house.told_of(unwanted).last(), Some(&"deleted"), "a user's word needs no clock");
        assert_eq!(house.told_of(over), ["created", "set_on_device"]);
        assert_eq!(house.told_of(to_come), ["created"], "and it is not late");
        assert_eq!(house.lock().table.values().collect::<Vec<_>>(), ["1111", "4444"]);

        house.sent.clear();
        clock_is_set(&mut house, wrong);
        assert_eq!(house.told_of(over)[2..], ["removed_from_device", "deleted"]);
        assert_eq!(house.told_of(to_come)[1..], ["set_on_device"]);
        let cleared = house.sent.iter().position(|(_, a)| matches!(a, Action::ClearCode { .. }));
        let written = house.sent.iter().position(|(_, a)| matches!(a, Action::SetCode { .. }));
        assert!(cleared.is_some() && cleared < written, "{:?}", house.sent);
        assert!(
            house.row(forever)["created_at"].as_str().unwrap().starts_with("2026-01-15T15:"),
            "{}",
            house.row(forever)
        );
    }
}

#[test]
fn codes_that_are_made_or_given_dates_without_a_date_wait_for_it() {
    for wrong in WRONG {
        let mut house = House::new();
        let forever = house.create(code("1111"));
        house.pass(60.0);
        let now = house.wall().0;
        let until = |hours: i64| CodeDraft { ends_at: Some(Wall(now + hours * HOUR)), ..CodeDraft::default() };
        restart(&mut house, 1, wrong);
        house.change(forever, until(2));
        let guest = house.create(CodeDraft { code: code("2222").code, ..until(3) });
        house.pass(600.0);
        assert_eq!((house.told_of(guest), house.lock().table.len()), (vec!["created"], 1));
        clock_is_set(&mut house, wrong);
        assert_eq!((house.told_of(guest).last(), house.lock().table.len()), (Some(&"set_on_device"), 2));
        house.pass(3600.0);
        assert_eq!(house.told_of(forever).last(), Some(&"deleted"));
    }
}

#[test]
fn what_is_being_removed_or_changed_on_the_lock_in_the_dark_is_found_in_the_light() {
    let mut house = House::new();
    let draft = house.draft("1111", 0, 20);
    let guest = house.create(draft);
    house.pass(60.0);
    restart(&mut house, 1, WRONG[0]);
    house.lock().table.clear();
    house.says(portcullis::signal::CodeNotice::Deleted { slot: 20 });
    house.pass(600.0);
    assert_eq!((house.told_of(guest).len(), house.sent.len()), (2, 0));
    clock_is_set(&mut house, WRONG[0]);
    assert_eq!(house.told_of(guest)[2..], ["deleted_external_to_seam", "set_on_device"]);
}
