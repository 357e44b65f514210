//! `portcullis support-bundle`: what helps is in it, and no secret, whatever was planted where.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/unit.rs"]
mod unit;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use mosquitto::Mosquitto;
use portcullis::source::demo::bridge::Bridge;
use serde_json::{Value, json};
use unit::Home;

const BINDKEY: &str = "231d39c1d7cc1ab1aee224cd096db932";
const OTHER_BINDKEY: &str = "aabbccddeeff00112233445566778899";
const DIGITS: &str = "73829164";

/// Everything in the bundle, by file.
fn unpacked(bundle: &Path) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let done = Command::new("tar").arg("-xzf").arg(bundle).arg("-C").arg(dir.path()).status().unwrap();
    assert!(done.success());
    let inner = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let files = std::fs::read_dir(inner).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn json_of(files: &[(String, String)], name: &str) -> Value {
    let (_, text) = files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("no {name}"));
    serde_json::from_str(text).unwrap()
}

fn ask(home: &Home, path: &str, body: Value) -> Value {
    let socket = home.state().join("control.sock");
    let url = format!("http://hub{path}");
    let mut curl = Command::new("curl");
    curl.args(["-s", "--unix-socket"]).arg(socket).args(["-H", "content-type: application/json", "-d"]);
    let done = curl.arg(body.to_string()).arg(url).output().unwrap();
    serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{path}: {e}: {done:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_are_planted_everywhere_are_nowhere_in_it() {
    let (broker, bridge) = (Mosquitto::start(), Bridge::start(10.0).await.unwrap());
    let home = Home::new(&format!(
        "# comment-secret\n[hub]\nheartbeat_url = \"http://127.0.0.1:1/heartbeat-secret\"\n\
         [adopt]\ncodes = \"manage\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nusername = \"user-secret\"\npassword_file = \"pw\"\n\
         [[zwave]]\nname = \"main\"\nurl = \"{}\"\nusername = \"zuser-secret\"\npassword_file = \"zpw\"\n\
         [[devices]]\naddress = \"C0:FF:EE:00:00:01\"\nname = \"Anna Guesthouse\"\nbindkey = \"{BINDKEY}\"\n\
         [[devices]]\naddress = \"C0:FF:EE:00:00:02\"\nbindkey_file = \"bk\"\n",
        broker.port,
        bridge.url(),
    ));
    for (file, secret) in [("pw", "password-secret"), ("zpw", "zpassword-secret"), ("bk", OTHER_BINDKEY)] {
        std::fs::write(home.path().join(file), format!("{secret}\n")).unwrap();
    }
    let daemon = home.start();
    let locks = || ask(&home, "/locks/list", json!({}))["locks"].as_array().cloned().unwrap_or_default();
    let lock = loop {
        let able = locks().into_iter().find(|lock| lock["can_program_online_access_codes"] == true);
        match able {
            Some(lock) => break lock["device_id"].clone(),
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    };
    let made = ask(&home, "/access_codes/create", json!({"device_id": lock, "code": DIGITS, "name": "Bertha Lodger"}));
    assert_eq!(made["access_code"]["code"], DIGITS, "{made}");
    let hook = ask(&home, "/webhooks/create", json!({"url": "https://example.com/webhook-secret"}));
    let hook_secret = hook["webhook"]["secret"].as_str().expect("a secret").to_owned();
    let key = home.run(&["keys", "create", "--name", "x"]).out.trim().to_owned();
    // A log that holds what no log should: the second net is there for it.
    let log = home.path().join("foreign.log");
    let spilled = format!(
        "a {BINDKEY} {OTHER_BINDKEY} password-secret zpassword-secret code {DIGITS}, Bertha Lodger at Anna Guesthouse\n"
    );
    std::fs::write(&log, home.log() + &spilled).unwrap();

    let bundle = home.path().join("bundle.tar.gz");
    let out = bundle.to_str().unwrap();
    let done = home.run(&["support-bundle", "--output", out, "--log-file", log.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(std::fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpacked(&bundle);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "README.txt",
            "config.json",
            "devices.json",
            "doctor.json",
            "health.json",
            "journal.txt",
            "metrics.txt",
            "store.json",
            "versions.json"
        ]
    );
    let hook_secret = hook_secret.trim_start_matches("whsec_");
    for secret in [
        "comment-secret",
        "heartbeat-secret",
        "user-secret",
        "password-secret",
        "webhook-secret",
        BINDKEY,
        OTHER_BINDKEY,
        DIGITS,
        "Anna",
        "Guesthouse",
        "Bertha",
        &key,
        hook_secret,
    ] {
        for (file, text) in &files {
            assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{secret} is in {file}: {text}");
        }
    }
    // And what helps is there.
    assert_eq!(json_of(&files, "config.json")["mqtt"]["url"], format!("mqtt://127.0.0.1:{}", broker.port));
    assert!(json_of(&files, "doctor.json").to_string().contains("gave it back"));
    assert_eq!(json_of(&files, "health.json")["parts"]["control"]["up"], true);
    let store = json_of(&files, "store.json");
    assert!(
        store["rows"]["event"].as_u64().unwrap() > 0 && store["schema"].to_string().contains("CREATE TABLE"),
        "{store:#}"
    );
    assert!(store["cursors"]["mqtt"].is_u64() && store["bytes"]["portcullis.db"].as_u64().unwrap() > 0, "{store:#}");
    assert!(json_of(&files, "devices.json").as_array().unwrap().len() > 2);
    let text = |name: &str| &files.iter().find(|(file, _)| file == name).unwrap().1;
    assert!(text("journal.txt").contains("service.started") && text("metrics.txt").contains("portcullis_info"));

    // With names, where they were asked for; still no secret.
    let named = home.path().join("named.tar.gz");
    home.run(&["support-bundle", "--names", "--output", named.to_str().unwrap(), "--log-file", log.to_str().unwrap()]);
    let all: String = unpacked(&named).into_iter().map(|(_, text)| text).collect();
    assert!(all.contains("Anna Guesthouse") && !all.contains(DIGITS) && !all.contains(BINDKEY));
    // What is there already is not overwritten.
    assert_eq!(home.run(&["support-bundle", "--output", out]).code, Some(1));
    drop(daemon);
}

#[test]
fn of_a_hub_that_cannot_even_start_what_is_wrong_is_in_it() {
    let home = Home::new("[mqtt]\nversion = 7\npassword = \"stray-secret\"");
    let bundle = home.path().join("bundle.tar.gz");
    let done = home.run(&["support-bundle", "--output", bundle.to_str().unwrap(), "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let files = unpacked(&bundle);
    assert!(json_of(&files, "doctor.json").to_string().contains("mqtt.version"));
    assert!(json_of(&files, "store.json")["error"].is_string() && json_of(&files, "health.json")["error"].is_string());
    assert!(files.iter().all(|(_, text)| !text.contains("stray-secret")), "{files:?}");
}
