use super::decode;
use crate::source::ble::decode::testing::check;

#[test]
fn sealed_sensors_tell_doors_and_events() {
    check(
        decode,
        &[
            (
                "name=GV5121195A mef88:59940000f0b91937ae50b6372c866ac2f3d061e717c02cef",
                "battery_percent=100 event:motion=motion",
            ),
            ("mef88:59940000f0b91937ae50b6372c866ac2f3d061e717c02cef", "event:motion=motion"),
            ("name=GV51242F68 mef88:08a2000125c25957fd7a750ef234a218bb15467c5b737b04", "event:vibration=vibration"),
            ("name=GV51260F45 mef88:01c400016b98d35dcbbc1316c4c93f2bf92bec8659ce2040", "event:button_1=press"),
            ("name=GV51307479 mef88:477500ae6750fa3447445146492085c27610ea02b3a0063f", "presence=true"),
            (
                "name=GV51225634 mec88:0108f30ad232393756340105 mef88:f30a0000648248e86020622588c02fd258cb3f1b8544d930",
                "battery_percent=100 event:button_0=press",
            ),
        ],
    );
}

#[test]
fn a_damaged_seal_says_nothing() {
    check(
        decode,
        &[
            ("name=GV5121195A mef88:59940000f0b91937ae50b6372c866ac2f3d061e717c00000", "refused=malformed"),
            ("name=Another mef88:59940000f0b91937ae50b6372c866ac2f3d061e717c00000", "none"),
        ],
    );
}

#[test]
fn a_door_sensor_is_open_at_two_only() {
    check(
        decode,
        &[
            (
                "name=GV51230B3D mef88:3dec0000de4377d55e55f991496e36bdc67f8b2c27067497",
                "door_open=true battery_percent=100",
            ),
            ("name=GV51230B3D mef88:3dec000159db6bd9bed7aff72a26aa4bd72dfa94573e5be9", "door_open=false"),
        ],
    );
}

#[test]
fn a_presence_sensor_shares_its_company_with_lamps() {
    check(
        decode,
        &[
            ("name=GVH5127969935 m8843:ec0002010101", "occupancy=true motion=false"),
            ("m8803:ec0001010111", "occupancy=true motion=true"),
            ("m8803:ec0001010000", "occupancy=false motion=false"),
            ("m8803:330502000000", "none"),
        ],
    );
}

#[test]
fn thermometers_are_told_by_name_company_and_length() {
    check(
        decode,
        &[
            ("name=GVH5075_2762 mec88:000341c26400", "temperature_c=21.3 humidity_percent=44.2 battery_percent=100"),
            ("name=GVH5106_4E05 m0001:010181867cd8", "temperature_c=-2.5 humidity_percent=59.1 pm25=0"),
            ("name=GV5140303A m0001:0101031abd025d00", "temperature_c=20.3 humidity_percent=45.3 co2_ppm=605"),
            ("name=GVH5110_2EC8 m0001:0101038efe64", "temperature_c=23.3 humidity_percent=21.4 battery_percent=100"),
            ("name=GV5112AC3D m0001:0101033d70640041", "temperature_probe_1=21.2 humidity_probe_1=33.6 !temperature_c"),
            ("name=RZSS m0409:8c645f64 m0001:01010b005864", "none"),
        ],
    );
}

#[test]
fn a_sensor_in_error_says_so_instead_of_a_number() {
    check(
        decode,
        &[
            ("name=GVH5075_2762 mec88:00bc00043e27", "temperature_c=error humidity_percent=error battery_percent=62"),
            ("name=GV5112AC3D m0001:0101034928e40041", "temperature_probe_1=error battery_percent=100"),
        ],
    );
}

#[test]
fn the_beacon_that_sticks_to_a_payload_is_cut_off() {
    check(
        decode,
        &[(
            "name=GVH5075_2762 mec88:000341c264004c000215494e54454c4c495f524f434b535f48575075f2ff0c",
            "temperature_c=21.3 battery_percent=100",
        )],
    );
}

#[test]
fn probes_are_told_with_their_alarms() {
    check(
        decode,
        &[
            (
                "u5550 maf2f:5500644c201a00ffffffff2019001400b1000000",
                "temperature_probe_3=26 temperature_probe_4=25 temperature_alarm_probe_4=177 low_temperature_alarm_probe_4=20 \
             battery_percent=100 !temperature_alarm_probe_3",
            ),
            ("u5550 maf2f:550064fb201a00ffffb100201900ffffffff0000", "refused=out_of_range"),
        ],
    );
}
