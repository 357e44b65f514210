//! The machine under the hub: its disk, its clock, and the hub itself where it runs.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use serde_json::json;

use super::Finding;
use crate::cli::daemon::Daemon;
use crate::cli::troubles;
use crate::config::Config;
use crate::service::StateLock;
use crate::trust::{self, Service};

/// A log of 30 days of a busy house is some 50 MB; with less than that left, a full disk is near.
const FREE_LOW: u64 = 100 << 20;
/// eMMC tells its wear in tenths (JEDEC eMMC 5.1, DEVICE_LIFE_TIME_EST): from 0x09 on, more than 80 % are used.
const WORN: u32 = 9;

pub fn state(config: &Config) -> Vec<Finding> {
    let dir = &config.state_dir;
    let part = "state";
    if !dir.is_dir() {
        let parent = dir.parent().unwrap_or(dir);
        return vec![match writable(parent) {
            Ok(()) => Finding::fine(part, format!("{} is not there yet; the hub makes it", dir.display())),
            Err(e) => {
                let fix = format!(
                    "make it for the hub's user: install -d -o portcullis -g portcullis -m 750 {}",
                    dir.display()
                );
                Finding::wrong(part, format!("{} is not there and cannot be made: {e}", dir.display()), fix)
            }
        }];
    }
    let mut findings = vec![match writable(dir) {
        Ok(()) => Finding::fine(part, format!("{} can be written", dir.display())),
        Err(e) => {
            let fix =
                format!("run this as the hub's user, or give it the directory: chown portcullis: {}", dir.display());
            Finding::wrong(part, format!("{} cannot be written: {e}", dir.display()), fix)
        }
    }];
    findings.extend(free(dir));
    findings.extend(worn(Path::new("/sys/block")));
    findings
}

fn writable(dir: &Path) -> std::io::Result<()> {
    nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK).map_err(Into::into)
}

#[allow(clippy::useless_conversion)] // 32 bits wide on armhf
fn free(dir: &Path) -> Option<Finding> {
    let disk = statvfs(dir).ok()?;
    let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    let text = format!("{} MB are free for it", free >> 20);
    Some(match free < FREE_LOW {
        true => Finding::wrong(
            "state",
            text,
            "make room (journalctl --vacuum-size=100M), or shorten [events] retention_days",
        ),
        false => Finding::fine("state", text),
    })
}

/// Only eMMC says how worn it is; an SD card keeps it to itself.
fn worn(block: &Path) -> Option<Finding> {
    let told = std::fs::read_dir(block).ok()?.flatten().filter_map(|disk| {
        let path: PathBuf = disk.path().join("device/life_time");
        let text = std::fs::read_to_string(path).ok()?;
        let worst =
            text.split_whitespace().filter_map(|w| u32::from_str_radix(w.trim_start_matches("0x"), 16).ok()).max()?;
        Some((disk.file_name().to_string_lossy().into_owned(), worst))
    });
    let (disk, tenths) = told.max_by_key(|(_, tenths)| *tenths)?;
    let text = format!("{disk} has used {} to {} % of its life", tenths.saturating_sub(1) * 10, tenths * 10);
    Some(match tenths >= WORN {
        true => Finding::wrong("disk", text, "replace it soon, and keep a backup elsewhere"),
        false => Finding::fine("disk", text),
    })
}

pub async fn clock() -> Finding {
    match trust::ask().await {
        Service::Vouches => Finding::fine("clock", "is set by a time service"),
        Service::NotYet => Finding::wrong(
            "clock",
            "the time service has not set it yet; events wait up to two minutes, then are marked clock_unsynchronized",
            "see timedatectl timesync-status; the hub needs a way to a time server, or a clock with a battery",
        ),
        Service::None => Finding::note(
            "clock",
            "nobody sets it; dates of events are as right as it is",
            "timedatectl set-ntp true (package systemd-timesyncd or chrony)",
        ),
    }
}

/// The hub that runs, and what it says of its parts.
pub async fn hub(config: &Config) -> Vec<Finding> {
    let part = "hub";
    let mut daemon = match Daemon::connect(config).await {
        Ok(Some(daemon)) => daemon,
        Ok(None) if StateLock::is_taken(&config.state_dir) => {
            let fix = "see its log (journalctl -u portcullis); systemctl restart portcullis";
            return vec![Finding::wrong(
                part,
                "one runs on this state directory, but its control socket does not answer",
                fix,
            )];
        }
        Ok(None) => {
            return vec![Finding::note(part, "does not run", "systemctl enable --now portcullis, or portcullis run")];
        }
        Err(failure) => {
            return vec![Finding::wrong(
                part,
                failure.message(),
                "run this as root, or as a member of the group portcullis",
            )];
        }
    };
    match daemon.ask("/health", json!({}), "health").await {
        Ok(health) => {
            let version = health["version"].as_str().unwrap_or("?").to_owned();
            let mut findings = vec![Finding::fine(part, format!("runs, version {version}"))];
            for (name, state) in health["parts"].as_object().into_iter().flatten() {
                let detail = state["detail"].as_str().unwrap_or_default();
                findings.push(match state["up"] == true {
                    true => Finding::fine(format!("hub: {name}"), detail),
                    false => Finding::wrong(
                        format!("hub: {name}"),
                        detail,
                        "it is tried again by itself; what is above says why",
                    ),
                });
            }
            for (key, trouble) in troubles::of_health(&health) {
                findings.push(Finding::wrong(key, trouble.what, trouble.fix));
            }
            findings
        }
        Err(failure) => vec![Finding::wrong(part, failure.message(), "see its log: journalctl -u portcullis")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::State;

    #[test]
    fn a_worn_card_is_told_before_it_fails_and_a_silent_one_is_not_guessed_at() {
        let block = tempfile::tempdir().unwrap();
        assert_eq!(worn(block.path()), None);
        let device = block.path().join("mmcblk0/device");
        std::fs::create_dir_all(&device).unwrap();
        for (text, state) in [("0x01 0x02\n", State::Fine), ("0x02 0x09\n", State::Wrong)] {
            std::fs::write(device.join("life_time"), text).unwrap();
            assert_eq!(worn(block.path()).unwrap().state, state);
        }
    }
}
