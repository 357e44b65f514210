use super::decode;
use crate::source::ble::decode::testing::{check, check_sequence};

#[test]
fn a_lock_tells_bolt_and_door() {
    check(
        decode,
        &[
            (
                "m0969:eef5e6098fe811970820 sfd3d:6f8064",
                "lock_state=unlocked door_open=true battery_percent=100 sequence=17 unlocked_alarm=false door_left_open=false",
            ),
            ("m0969:aabbccddeeff078400200000 sfd3d:6f8050", "lock_state=locked door_open=true battery_percent=80"),
            ("m0969:aabbccddeeff07a000200000 sfd3d:6f8050", "lock_state=locking door_open=false"),
            ("m0969:aabbccddeeff07c400300000 sfd3d:6f8050", "lock_state=jammed"),
            ("m0969:aabbccddeeff07e000200000 sfd3d:6f8050", "lock_state=unknown lock_status_raw=NOT_FULLY_LOCKED"),
            ("m0969:aabbccddeeff21801000 sfd3d:2d0064", "lock_state=locked unlocked_alarm=true !door_open"),
        ],
    );
}

#[test]
fn a_lock_pro_and_its_kin_tell_bolt_and_door() {
    check(
        decode,
        &[
            ("m0969:f7610748e6e83a8a00640000 sfd3d:2480e4", "lock_state=unlocked door_open=false battery_percent=100"),
            ("m0969:aabbccddeeff2188100a0040 sfd3d:2400e4", "door_open=true unlocked_alarm=true battery_percent=10"),
            (
                "m0969:aabbccddeeff218010374013 sfd3d:00110010a5b8",
                "lock_state=locked power_alarm=true battery_status=3",
            ),
            ("m0969:aabbccddeeff21b810374013 sfd3d:00110010a5b8", "lock_state=unknown lock_status_raw=HALF_LOCKED"),
            ("m0969:b0e9fee61a7103000033000c00000000 sfd3d:00803300116909", "lock_state=locked battery_percent=51"),
            (
                "m0969:b0e9fe6fc9a60a00002e000c00000000 sfd3d:00802e00116908",
                "lock_state=locked battery_percent=46 !door_open",
            ),
            // Status 8 to 15 is defined nowhere.
            ("m0969:aabbccddeeff21c800570000 sfd3d:2400e4", "refused=malformed"),
        ],
    );
}

#[test]
fn an_uncalibrated_lock_does_not_know_its_bolt() {
    check(
        decode,
        &[
            (
                "m0969:aabbccddeeff07100000 sfd3d:6f8050",
                "lock_state=unknown lock_state_valid=false lock_status_raw=UNLOCKED",
            ),
            // The bit is clear in every capture of this generation, and the state sound.
            ("m0969:b0e9feb05efe0e02003d0008 sfd3d:00803d0010ff90", "lock_state=locked lock_state_valid=false"),
        ],
    );
}

#[test]
fn keypads_tell_alarms_and_the_bell() {
    check(
        decode,
        &[
            ("m0969:eb1302e6230f8f6400000000 sfd3d:790064", "battery_percent=100 keypad_attempt=143"),
            (
                "m0969:aabbccddeeff055a020000000000 sfd3d:00005a00110378",
                "tamper=true duress_alarm=false doorbell=false",
            ),
            (
                "m0969:aabbccddeeff05da050000000800 sfd3d:00005a00110378",
                "lockout_alarm=true duress_alarm=true doorbell=true \
          battery_charging=true battery_percent=90",
            ),
            ("m0969:b0e9fedeb68c2b6000000000000032 sfd3d:00006001115198", "battery_percent=96 radar_triggered_level=0"),
        ],
    );
}

#[test]
fn a_bell_that_goes_on_ringing_rang_once() {
    check_sequence(
        decode,
        &[
            ("m0969:aabbccddeeff055a000000000900 sfd3d:00005a00110378", "doorbell=true doorbell_seq=1"),
            // Somebody stands before it: another frame, the same ring.
            ("m0969:aabbccddeeff065a000000000902 sfd3d:00005a00110378", "doorbell=false"),
            ("m0969:aabbccddeeff075a000000000102 sfd3d:00005a00110378", "doorbell=false"),
            ("m0969:aabbccddeeff085a000000000a02 sfd3d:00005a00110378", "doorbell=true doorbell_seq=2"),
        ],
    );
}

#[test]
fn a_contact_left_open_too_long_is_open() {
    check(
        decode,
        &[
            ("m0969:aabbccddeeff00100000000000 sfd3d:6400d7", "door_open=true door_left_open=false battery_percent=87"),
            ("m0969:aabbccddeeff00200000000000 sfd3d:6400d7", "door_open=true door_left_open=true"),
            ("sfd3d:64000a040000000000", "door_open=true door_left_open=true motion=false"),
            ("sfd3d:64c00a010000000000", "door_open=false motion=true light_detected=true tested=true"),
            ("s0d00:6480d7020000000000", "door_open=true battery_percent=87"),
        ],
    );
}

#[test]
fn sensors_of_rooms_tell_what_they_measure() {
    check(
        decode,
        &[
            ("m0969:c0219ae8bc49695c0038 sfd3d:7340e2003801", "motion=true battery_percent=98 light_detected=false"),
            ("sfd3d:73c06400000a", "motion=true light_detected=true light_intensity=2"),
            (
                "m0969:c43430374c7a4764f96761c4083c0500000000 sfd3d:260064",
                "water_leak=true tamper=false battery_percent=100",
            ),
            ("m0969:24587c05424e0f000003000000000000 sfd3d:3e000000", "door_open=true"),
            ("m0969:24587c05424e0f200003000000000000 sfd3d:3e000000", "door_open=false"),
            (
                "m0969:b0e9fe6c66aa06cc0456008c sfd3d:0020640010ccc8",
                "motion=true battery_percent=100 battery_range=>=60%",
            ),
            (
                "m0969:b0e9fe543215b7e4079ba4003702d500 sfd3d:350064",
                "temperature_c=27.7 humidity_percent=36 co2_ppm=725",
            ),
            ("sfd3d:6900ba031938", "temperature_c=-25.3 humidity_percent=56 battery_percent=58"),
            ("m0969:b0e9fe6e5e2900ff6826d6648303993480 sfd3d:0000640010b940", "temperature_c=25.3 motion=true"),
            ("m0969:aabbccddeeff00ff66541af182079a3200 sfd3d:7600", "temperature_c=26.7 humidity_percent=50"),
        ],
    );
}

#[test]
fn the_advert_wins_over_a_scan_response_of_another_moment() {
    check(decode, &[("m0969:c4f92675df22dc030096a9 sfd3d:6900ba031938", "temperature_c=22.0 humidity_percent=41")]);
}

#[test]
fn without_its_scan_response_a_device_is_read_only_by_a_remembered_model() {
    check(decode, &[("m0969:eef5e6098fe811970820", "refused=unknown_model")]);
    check_sequence(
        decode,
        &[
            ("m0969:eef5e6098fe811970820 sfd3d:6f8064", "lock_state=unlocked"),
            ("m0969:eef5e6098fe812870820", "lock_state=locked !battery_percent"),
        ],
    );
}

#[test]
fn cut_off_and_unknown_adverts_are_refused() {
    check(
        decode,
        &[
            ("m0969:aabbccddeeff2188105700 sfd3d:2400e4", "refused=malformed"),
            ("sfd3d:6f8050", "refused=malformed"),
            ("m0969:aabbccddeeff0010 sfd3d:6400", "refused=malformed"),
            ("sfd3d:", "refused=malformed"),
            ("m0969:aabbccddeeff0790002000 sfd3d:7f8050", "refused=unknown_model"),
            ("m0969:d7c17d5deb43de00000000 sfd3d:5400e4000000", "refused=no_decodable_object"),
            ("m0969:eef5e6098fe811970820 sfd3d:ef8064", "refused=no_key"),
            ("m004c:0215", "none"),
        ],
    );
}
