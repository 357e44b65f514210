//! The configuration: everything that is wrong is told at once, a line each, with the key's path and what would be right.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use portcullis::config::{Config, DevicePlace, Problem};

const EXAMPLE: &str = include_str!("../config.toml.example");

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, Path::new("/nonexistent"), HashMap::new())
}

fn with_env(text: &str, key: &str, value: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, Path::new("/nonexistent"), HashMap::from([(key.to_owned(), value.to_owned())]))
}

/// What is wrong with `text`, as `key: what`.
fn problems(text: &str) -> Vec<String> {
    parse(text).err().unwrap_or_default().iter().map(Problem::to_string).collect()
}

/// The example with every key that is commented out uncommented, and each file that it names made in `dir`.
fn example_in_full(dir: &Path) -> String {
    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let mut text: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line).to_owned() + "\n")
        .collect();
    text = text.replace("mqtt://127.0.0.1:1883", "mqtts://127.0.0.1:8883");
    text = text.replace("ws://127.0.0.1:3000", "wss://127.0.0.1:3000");
    text = text.replace("/etc/portcullis", dir.to_str().unwrap());
    // It is here or in a file, not both.
    text = text.lines().filter(|line| !line.starts_with("heartbeat_url = ")).map(|line| format!("{line}\n")).collect();
    for file in [
        "ca.pem",
        "client.pem",
        "client_key",
        "http.pem",
        "http_key",
        "mqtt_password",
        "zwave_password",
        "webhooks_ca.pem",
    ] {
        std::fs::write(dir.join(file), "x").unwrap();
    }
    std::fs::write(dir.join("heartbeat_url"), "https://hc.example/x\n").unwrap();
    std::fs::write(dir.join("front_door_bindkey"), "231d39c1d7cc1ab1aee224cd096db932\n").unwrap();
    text
}

#[test]
fn the_example_states_exactly_the_defaults() {
    assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn the_example_is_right_with_everything_in_it_uncommented() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::parse(&example_in_full(dir.path()), dir.path(), HashMap::new()).unwrap();
    assert_eq!(config.devices.len(), 3);
    assert_eq!(config.devices[2].place, DevicePlace::Zwave { network: "main".into(), node: 2 });
    assert_eq!(config.devices[2].codes.slots, Some((20, 29)));
    assert!(config.devices[0].bindkey.is_some());
    assert_eq!(config.mqtt.password_file.unwrap(), dir.path().join("mqtt_password"));
}

#[test]
fn the_example_documents_every_key() {
    // The complaint about an unknown key names the known ones.
    let sections = [
        "",
        "[hub]",
        "[adopt]",
        "[ble]",
        "[[zwave]]",
        "[mqtt]",
        "[http]",
        "[events]",
        "[[devices]]",
        "[[devices]]\n[[devices.map]]",
    ];
    let documented: BTreeSet<&str> =
        EXAMPLE.lines().filter_map(|l| l.trim_start_matches('#').split_once(" = ")).map(|(k, _)| k).collect();
    for section in sections {
        let told = problems(&format!("{section}\nqqqqqqqqqqqq = 1\n"));
        let known = told.iter().find_map(|p| p.split_once("known here: ")).expect("the known keys").1;
        for key in known.split(", ") {
            let is_section = [format!("[{key}]"), format!(".{key}]")].iter().any(|header| EXAMPLE.contains(header));
            assert!(is_section || documented.contains(key), "{section} {key} is not in config.toml.example");
        }
    }
}

/// Each alone: the path, and a piece of what is said about it.
#[test]
fn each_mistake_is_one_line_with_its_path_and_the_way_out() {
    let device = |rest: &str| format!("[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\n{rest}\n");
    let node = |rest: &str| format!("[[zwave]]\nname = \"main\"\nurl = \"ws://h\"\n[[devices]]\n{rest}\n");
    let cases: Vec<(String, &str, &str)> = vec![
        ("[mqtt]\nverison = 5".into(), "mqtt.verison", "did you mean version?"),
        ("[mqqt]\nversion = 5".into(), "mqqt", "did you mean mqtt?"),
        ("[mqtt]\nversion = \"5\"".into(), "mqtt.version", "a whole number from 4 to 5"),
        ("[mqtt]\nversion = 3".into(), "mqtt.version", "from 4 to 5"),
        ("[mqtt]\ncommands = \"yes\"".into(), "mqtt.commands", "true or false"),
        ("[mqtt]\nurl = \"localhost:1883\"".into(), "mqtt.url", "mqtt://127.0.0.1:1883"),
        ("[mqtt]\nurl = \"http://localhost\"".into(), "mqtt.url", "mqtt or mqtts"),
        ("[mqtt]\nurl = \"mqtt://\"".into(), "mqtt.url", "host"),
        ("[mqtt]\nurl = \"mqtt://h:99999\"".into(), "mqtt.url", "port"),
        ("[mqtt]\nurl = \"mqtt://h/x\"".into(), "mqtt.url", "more than a host"),
        ("[mqtt]\nprefix = \"a/b c\"".into(), "mqtt.prefix", "topic levels"),
        ("[mqtt]\nprefix = \"a/#\"".into(), "mqtt.prefix", "topic levels"),
        ("[mqtt]\nca_file = \"/etc/hostname\"".into(), "mqtt.ca_file", "mqtts://"),
        ("[mqtt]\nusername = \"u\"\npassword_file = \"/nonexistent/p\"".into(), "mqtt.password_file", "No such file"),
        ("[mqtt]\npassword_file = \"/etc/hostname\"".into(), "mqtt.password_file", "username"),
        ("[mqtt]\nurl = \"mqtts://h\"\nclient_cert_file = \"/etc/hostname\"".into(), "mqtt.client_key_file", "both"),
        ("[hub]\nname = \"hub 1\"".into(), "hub.name", "letters, digits"),
        ("[hub]\nname = \"\"".into(), "hub.name", "empty"),
        ("[hub]\nname = 7".into(), "hub.name", "a whole number"),
        ("[hub]\nworkspace_id = \"mine\"".into(), "hub.workspace_id", "UUID"),
        ("[hub]\ntime_zone = \"Europe/Viena\"".into(), "hub.time_zone", "Europe/Vienna"),
        ("[hub]\nheartbeat_url = \"hc-ping.com/x\"".into(), "hub.heartbeat_url", "no URL of the web; https://"),
        ("[hub]\nheartbeat_url = \"https://u:p@hc/x\"".into(), "hub.heartbeat_url", "no URL of the web; https://"),
        ("[hub]\nheartbeat_every_s = 5".into(), "hub.heartbeat_every_s", "from 10"),
        ("[adopt]\nble = \"all\"".into(), "adopt.ble", "\"listed\" or \"known\""),
        ("[ble]\nadapters = \"hci0\"".into(), "ble.adapters", "a list"),
        ("[ble]\nadapters = [\"usb\"]".into(), "ble.adapters", "hci0"),
        ("[[zwave]]\nname = \"main\"".into(), "zwave[0].url", "ws://127.0.0.1:3000"),
        ("[[zwave]]\nname = \"main\"\nurl = \"http://h\"".into(), "zwave[0].url", "ws"),
        ("[[zwave]]\nname = \"main\"\nurl = \"ws://u:p@h\"".into(), "zwave[0].url", "password_file"),
        (
            "[[zwave]]\nname = \"main\"\nurl = \"ws://h\"\nca_file = \"/etc/hostname\"".into(),
            "zwave[0].ca_file",
            "wss://",
        ),
        (
            "[[zwave]]\nname = \"main\"\nurl = \"ws://h\"\npassword_file = \"/etc/hostname\"".into(),
            "zwave[0].password_file",
            "username",
        ),
        ("[zwave]\nname = \"main\"".into(), "zwave", "[[zwave]]"),
        ("hub = 3".into(), "hub", "[hub]"),
        ("[http]\nlisten = \"8470\"".into(), "http.listen", "127.0.0.1:8470"),
        ("[http]\nlisten = \"0.0.0.0:8470\"".into(), "http.listen", "tls_cert_file"),
        ("[events]\ndialect = \"modern\"".into(), "events.dialect", "\"classic\" or \"current\""),
        ("[events]\nretention_days = 0".into(), "events.retention_days", "from 1"),
        ("[events]\nretention_days = 1.5".into(), "events.retention_days", "whole number"),
        ("state_dir = \"state\"".into(), "state_dir", "full path"),
        ("[[devices]]\nname = \"x\"".into(), "devices[0].address", "C0:FF:EE:00:00:01"),
        ("[[devices]]\naddress = \"C0:FF:EE\"".into(), "devices[0].address", "six hex bytes"),
        (device("bindkey = \"231d\""), "devices[0].bindkey", "has 4 hex digits; 32"),
        (device("bindkey = \"231d39c1d7cc1ab1aee224cd096db9\""), "devices[0].bindkey", "has 30 hex digits; 32"),
        (device("bindkey = \"zz1d39c1d7cc1ab1aee224cd096db932\""), "devices[0].bindkey", "no hex digits"),
        (device("bindkey = 12"), "devices[0].bindkey", "text in quotes"),
        (device("bindkey_file = \"/etc/hostname\""), "devices[0].bindkey_file", "32 hex digits"),
        (device("model = \"toaster\""), "devices[0].model", "lock_pro"),
        (device("node = 2"), "devices[0].address", "either"),
        (device("gatt_battery = 1"), "devices[0].gatt_battery", "true or false"),
        (device("[[devices.map]]\nfrom = \"count\""), "devices[0].map[0].to", "door_open"),
        (device("[[devices.map]]\nfrom = \"count\"\nto = \"dor_open\""), "devices[0].map[0].to", "door_open"),
        (
            device("[[devices.map]]\nfrom = \"count\"\nto = \"motion\"\nfactor = 0"),
            "devices[0].map[0].factor",
            "other than 0",
        ),
        (device("interval_s = 0"), "devices[0].interval_s", "from 1"),
        (device("slots = \"1-9\""), "devices[0].slots", "manage"),
        (device("codes = \"manage\"\nslots = \"9-1\""), "devices[0].slots", "20-29"),
        (device("[[devices]]\naddress = \"c0:ff:ee:00:00:01\""), "devices[1].address", "devices[0]"),
        (device("id = \"x\""), "devices[0].id", "UUID"),
        (node("zwave = \"other\"\nnode = 2"), "devices[0].zwave", "main"),
        (node("zwave = \"main\""), "devices[0].node", "missing"),
        (node("node = 2"), "devices[0].zwave", "missing"),
        (node("zwave = \"main\"\nnode = 240"), "devices[0].node", "Long Range"),
        (node("zwave = \"main\"\nnode = 0"), "devices[0].node", "from 1"),
        (
            node("zwave = \"main\"\nnode = 2\nbindkey = \"231d39c1d7cc1ab1aee224cd096db932\""),
            "devices[0].bindkey",
            "Z-Wave",
        ),
        (node("zwave = \"main\"\nnode = 2\n[[devices]]\nzwave = \"main\"\nnode = 2"), "devices[1].node", "devices[0]"),
        (
            "[[zwave]]\nname=\"a\"\nurl=\"ws://h\"\n[[zwave]]\nname=\"a\"\nurl=\"ws://g\"".into(),
            "zwave[1].name",
            "zwave[0]",
        ),
    ];
    for (text, key, piece) in cases {
        let told = problems(&text);
        assert_eq!(told.len(), 1, "{text}\n{told:#?}");
        assert!(told[0].starts_with(&format!("{key}: ")) && told[0].contains(piece), "{text}\n{told:#?}");
        assert!(!told[0].contains('\n'), "{told:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = problems(
        "[hub]\nname = \"a b\"\ntime_zone = \"Mars\"\n[mqtt]\nversion = 7\nurll = \"x\"\n[[devices]]\naddress = \"x\"\nbindkey = \"0\"\n",
    );
    let keys: Vec<&str> = told.iter().map(|p| p.split_once(": ").unwrap().0).collect();
    let wanted = ["hub.name", "hub.time_zone", "mqtt.version", "mqtt.urll", "devices[0].address", "devices[0].bindkey"];
    assert_eq!(BTreeSet::from_iter(keys), BTreeSet::from(wanted));
    assert_eq!(told.len(), wanted.len());
}

#[test]
fn a_mistake_in_the_toml_itself_is_told_with_its_place_and_without_the_line() {
    let told = problems("[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nbindkey = 231d39c1d7cc1ab1aee224cd096db932\n");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("line 3, column "), "{told:?}");
    assert!(!told[0].contains("39c1d7"), "a key is in the error: {told:?}");
}

#[test]
fn a_secret_is_shown_neither_in_an_error_nor_in_debug_output() {
    for secret in ["231d39c1d7cc1ab1aee224cd096db932ff", "secret-231d39c1d7cc1ab1aee224cd", "231d39c1d7"] {
        let told = problems(&format!("[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nbindkey = \"{secret}\"\n"));
        assert!(!told.is_empty() && !told.iter().any(|p| p.contains("39c1d7")), "{told:?}");
    }
    let told = problems("[mqtt]\nurl = \"mqtt://user:hunter2@host\"\n");
    assert!(told[0].starts_with("mqtt.url: ") && !told[0].contains("hunter2"), "{told:?}");
    let key = "231d39c1d7cc1ab1aee224cd096db932";
    let config = parse(&format!("[[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nbindkey = \"{key}\"\n")).unwrap();
    assert!(!format!("{config:?}").contains("39c1d7") && !format!("{config:?}").contains("35, 29, 57"), "{config:?}");
}

#[test]
fn the_environment_overrides_the_file_and_is_checked_like_it() {
    let file = "[mqtt]\nversion = 4\n";
    assert_eq!(with_env(file, "PORTCULLIS__MQTT__VERSION", "5").unwrap().mqtt.version, 5);
    assert_eq!(with_env(file, "PORTCULLIS__HUB__NAME", "7").unwrap().hub.name, "7");
    assert_eq!(with_env(file, "PORTCULLIS__STATE_DIR", "/srv/p").unwrap().state_dir, Path::new("/srv/p"));
    assert!(with_env(file, "PORTCULLIS__MQTT__COMMANDS", "true").unwrap().mqtt.commands);
    assert_eq!(with_env(file, "PORTCULLIS__BLE__ADAPTERS", "hci0,hci1").unwrap().ble.adapters, ["hci0", "hci1"]);
    assert_eq!(with_env(file, "PORTCULLIS_CONFIG", "/x").unwrap().mqtt.version, 4, "not an override");
    let told = with_env(file, "PORTCULLIS__MQTT__VERSION", "six").unwrap_err();
    assert_eq!(told[0].key, "mqtt.version");
    let told = with_env(file, "PORTCULLIS__MQTT__VERISON", "5").unwrap_err();
    assert!(told[0].to_string().contains("did you mean version?"), "{told:?}");
}

#[test]
fn check_config_says_it_in_the_exit_code_and_on_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let check = |text: &str, json: bool| {
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["check-config", "--config", path.to_str().unwrap()]).args(json.then_some("--json"));
        let done = command.env_clear().output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, out, _) = check(EXAMPLE, false);
    assert_eq!(code, Some(0));
    assert!(out.contains("good"), "{out}");

    let (code, out, err) = check("[mqtt]\nversion = 7\n[hub]\nname = \"a b\"\n", false);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("mqtt.version: ") && err.contains("hub.name: "), "{err}");

    let (code, out, _) = check("[mqtt]\nversion = 7\n[hub]\nname = \"a b\"\n", true);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told["ok"].as_bool()), (Some(2), Some(false)));
    assert_eq!(told["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn no_configuration_at_all_is_told_with_what_to_do() {
    let command = |verb: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args([verb, "--config", "/nonexistent/config.toml"])
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    for verb in ["run", "check-config"] {
        let (code, err) = command(verb);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("config.toml.example"), "{err}");
    }
}
