//! What goes into the bundle, each thing by the names of what is wanted of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{only, redact};
use crate::cli::daemon::Daemon;
use crate::cli::{Context, Failure, doctor};
use crate::config::Config;
use crate::hub::RowKind;
use crate::store::{Reader, StateRow};

/// Some hours of a hub in trouble, days of one that is well.
const LOG_LINES: usize = 3000;
/// Of a log file, from its end.
const LOG_BYTES: usize = 2 << 20;

/// What of a device helps.
const OF_A_DEVICE: [&str; 6] =
    ["device_id", "device_type", "is_managed", "created_at", "can_remotely_unlock", "trouble"];
const OF_ITS_PROPERTIES: [&str; 16] = [
    "name",
    "online",
    "online_since",
    "key",
    "kind",
    "family",
    "firmware",
    "manufacturer",
    "battery",
    "locked",
    "lock_state",
    "door_open",
    "tampered",
    "privacy_mode",
    "max_active_codes_supported",
    "accessory_keypad",
];

pub enum Content {
    Json(Value),
    Lines(String),
}

pub struct Gathered {
    pub files: Vec<(&'static str, Content)>,
    pub secrets: Vec<String>,
    pub digits: Vec<String>,
    pub names: Vec<String>,
}

/// All that can be had; what cannot is told in its place.
pub async fn all(context: &Context, log_file: Option<&Path>) -> Gathered {
    let text = std::fs::read_to_string(&context.config_path).unwrap_or_default();
    let written: Option<toml::Table> = text.parse().ok();
    let written = written.and_then(|table| serde_json::to_value(table).ok()).unwrap_or_default();
    let loaded = Config::load(&context.config_path);
    // What is wrong with it is the doctor's to tell; where the state is can be seen all the same.
    let config = loaded.clone().unwrap_or_else(|_| fallback(&written));
    let rows = Reader::open(&config.state_dir).and_then(|reader| Ok((reader.state()?, reader.outline()?)));
    let (rows, store) = match rows {
        Ok((rows, outline)) => (rows, outline),
        Err(e) => (Vec::new(), json!({"error": e.to_string()})),
    };
    let running = running(&config).await;
    let (health, metrics) = running.unwrap_or_else(|failure| (json!({"error": failure.message()}), String::new()));
    let findings = doctor::findings_of(&loaded, context).await;
    let files = vec![
        ("config.json", Content::Json(redact::config(written.clone()))),
        ("doctor.json", Content::Json(json!(findings))),
        ("devices.json", Content::Json(devices(&rows, &health))),
        ("health.json", Content::Json(health)),
        ("metrics.txt", Content::Lines(metrics)),
        ("store.json", Content::Json(store)),
        ("versions.json", Content::Json(versions().await)),
        ("journal.txt", Content::Lines(log(log_file).await)),
    ];
    let mut secrets = secrets(&written, &context.config_path);
    secrets.extend(kept_secrets(&rows));
    Gathered { files, secrets, digits: digits(&rows), names: names(&rows, &written) }
}

fn fallback(written: &Value) -> Config {
    let mut config = Config::default();
    if let Some(dir) = written["state_dir"].as_str() {
        config.state_dir = dir.into();
    }
    config
}

async fn running(config: &Config) -> Result<(Value, String), Failure> {
    let mut daemon = Daemon::must(config).await?;
    let health = daemon.ask("/health", json!({}), "health").await?;
    Ok((health, daemon.text("/metrics").await?))
}

fn devices(rows: &[StateRow], health: &Value) -> Value {
    let troubles = crate::cli::troubles::of_health(health);
    crate::api::device_shape::all(rows, uuid::Uuid::nil())
        .map(|mut device| {
            if let Some(trouble) = device["properties"]["key"].as_str().and_then(|key| troubles.get(key)) {
                device["trouble"] = json!(trouble.code);
            }
            let codes = |issues: &str| -> Value {
                let words = device[issues].as_array().into_iter().flatten();
                words.map(|i| only(i, &["error_code", "warning_code", "created_at"])).collect()
            };
            let mut shown = only(&device, &OF_A_DEVICE);
            (shown["errors"], shown["warnings"]) = (codes("errors"), codes("warnings"));
            shown["properties"] = only(&device["properties"], &OF_ITS_PROPERTIES);
            shown
        })
        .collect()
}

/// What is secret in the configuration, and in the files that it names.
fn secrets(written: &Value, config: &Path) -> Vec<String> {
    let beside = config.parent().unwrap_or(Path::new("."));
    let mut secrets = Vec::new();
    walk(written, "", &mut |key, text| match key {
        "bindkey" | "heartbeat_url" => secrets.push(text.to_owned()),
        // One that is long is a certificate's key, in lines.
        key if key.ends_with("_file") && !key.contains("ca_") && !key.contains("cert") => {
            let text = std::fs::read_to_string(beside.join(text)).unwrap_or_default();
            secrets.extend(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.starts_with("-----")));
        }
        _ => {}
    });
    secrets
}

/// Bind keys that devices were adopted with, and what webhooks are signed with.
fn kept_secrets(rows: &[StateRow]) -> impl Iterator<Item = String> {
    rows.iter().filter_map(|row| Some(row.value.as_ref()?["secret"].as_str()?.to_owned()))
}

/// Digits of codes that this user can open.
fn digits(rows: &[StateRow]) -> Vec<String> {
    let mut digits = BTreeSet::new();
    for row in rows {
        let Some(value) = &row.value else { continue };
        walk(value, "", &mut |key, text| {
            if matches!(key, "code" | "digits" | "pin") && text.bytes().all(|b| b.is_ascii_digit()) {
                digits.insert(text.to_owned());
            }
        });
    }
    digits.into_iter().collect()
}

/// Names that people gave: of devices, codes and guests. The longest first, for one may hold another.
fn names(rows: &[StateRow], written: &Value) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut hear = |key: &str, text: &str| {
        if matches!(key, "name" | "configured_name" | "display_name" | "nickname") {
            names.insert(text.to_owned());
        }
    };
    for row in rows.iter().filter(|row| row.kind != RowKind::Webhook) {
        row.value.iter().for_each(|value| walk(value, "", &mut hear));
    }
    written["devices"].as_array().into_iter().flatten().for_each(|device| walk(device, "", &mut hear));
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names
}

fn walk(value: &Value, key: &str, hear: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => hear(key, text),
        Value::Array(items) => items.iter().for_each(|item| walk(item, key, hear)),
        Value::Object(table) => table.iter().for_each(|(key, value)| walk(value, key, hear)),
        _ => {}
    }
}

async fn versions() -> Value {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or("?").trim_matches('"');
    let uname = nix::sys::utsname::uname().ok();
    let uname = |of: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map(|u| of(u).to_string_lossy().into_owned())
    };
    json!({
        "portcullis": env!("CARGO_PKG_VERSION"),
        "system": system,
        "kernel": uname(|u| u.release()),
        "machine": uname(|u| u.machine()),
        "bluez": said("bluetoothctl", &["--version"]).await,
        "mosquitto": said("dpkg-query", &["--show", "--showformat=${Version}", "mosquitto"]).await,
        "systemd": said("systemctl", &["--version"]).await.and_then(|text| text.lines().next().map(str::to_owned)),
        "sqlite": rusqlite::version(),
    })
}

/// What a command says, where there is one.
async fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let ran = tokio::process::Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(std::time::Duration::from_secs(10), ran).await.ok()?.ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

async fn log(file: Option<&Path>) -> String {
    if let Some(file) = file {
        return match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_BYTES)..]).into_owned(),
            Err(e) => format!("{}: {e}\n", file.display()),
        };
    }
    let lines = LOG_LINES.to_string();
    let journal = said("journalctl", &["--unit=portcullis", "--output=json", "--no-pager", "--lines", &lines]).await;
    let journal =
        journal.unwrap_or_else(|| "the journal cannot be read; run this as root, or give --log-file\n".into());
    let line = |line: &str| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let wanted = |key: &&String| {
            matches!(key.as_str(), "__REALTIME_TIMESTAMP" | "PRIORITY" | "MESSAGE" | "EXIT_STATUS" | "UNIT_RESULT")
                || key.starts_with("F_")
        };
        let keys: Vec<&str> = entry.as_object()?.keys().filter(wanted).map(String::as_str).collect();
        Some(only(&entry, &keys).to_string())
    };
    journal.lines().map(|l| line(l).unwrap_or_else(|| l.to_owned()) + "\n").collect()
}
