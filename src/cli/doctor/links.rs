//! What the hub hears with: Bluetooth adapters on the bus, and Z-Wave servers.

use std::time::Duration;

use tokio::time::timeout;
use zbus::fdo;

use super::Finding;
use crate::config::{Config, ZwaveSection};
use crate::source::zwave::probe::{self, ProbeError};

/// On this machine or in this house everything answers at once; longer is broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub async fn ble(config: &Config) -> Vec<Finding> {
    if !config.ble.enabled {
        return vec![Finding::fine("ble", "is not enabled")];
    }
    let adapters = match find_adapters().await {
        Ok(adapters) => adapters,
        Err(finding) => return vec![*finding],
    };
    let mut findings: Vec<Finding> = Vec::new();
    for Adapter { name, address, powered } in &adapters {
        let part = format!("ble/{name}");
        findings.push(match powered {
            true => Finding::fine(part, format!("{address} is on")),
            false => Finding::wrong(
                part,
                format!("{address} is off"),
                "bluetoothctl power on; rfkill unblock bluetooth where it is blocked",
            ),
        });
    }
    if adapters.is_empty() {
        let fix =
            "plug one in; on a Pi: package pi-bluetooth, and no dtoverlay=disable-bt; rfkill list shows blocked ones";
        findings.push(Finding::wrong("ble", "there is no Bluetooth adapter", fix));
    }
    let there = |wanted: &String| adapters.iter().any(|a| a.name == *wanted || a.address.eq_ignore_ascii_case(wanted));
    for missing in config.ble.adapters.iter().filter(|wanted| !there(wanted)) {
        let known: Vec<&str> = adapters.iter().map(|a| a.name.as_str()).collect();
        let fix = format!("plug it in, or mend ble.adapters; there are: {}", known.join(", "));
        findings.push(Finding::wrong(format!("ble/{missing}"), "is configured and not there", fix));
    }
    findings
}

pub struct Adapter {
    /// `hci0`
    pub name: String,
    pub address: String,
    pub powered: bool,
}

/// In the order of their names; or what stands in the way.
pub async fn find_adapters() -> Result<Vec<Adapter>, Box<Finding>> {
    let fix = "systemctl restart bluetooth; then look into journalctl -u bluetooth";
    let slow = || Finding::wrong("ble", format!("BlueZ has not answered within {} s", ANSWER_WITHIN.as_secs()), fix);
    timeout(ANSWER_WITHIN, adapters()).await.unwrap_or_else(|_| Err(Box::new(slow())))
}

async fn adapters() -> Result<Vec<Adapter>, Box<Finding>> {
    let no_bus = |e: zbus::Error| {
        let fix = "systemctl start dbus; in a container, hand /run/dbus/system_bus_socket in";
        Box::new(Finding::wrong("ble", format!("the system bus cannot be reached: {e}"), fix))
    };
    let bus = zbus::Connection::system().await.map_err(no_bus)?;
    let manager = fdo::ObjectManagerProxy::builder(&bus).destination("org.bluez").and_then(|b| b.path("/"));
    let manager = manager.map_err(no_bus)?.build().await.map_err(no_bus)?;
    let objects = manager.get_managed_objects().await.map_err(|e| {
        Box::new(match e {
            fdo::Error::AccessDenied(_) => Finding::wrong(
                "ble",
                "the bus does not let this user talk to BlueZ",
                "the package's /usr/share/dbus-1/system.d/portcullis.conf lets the hub in (systemctl reload dbus after adding it); or run this as root",
            ),
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => Finding::wrong(
                "ble",
                "BlueZ does not run",
                "apt install bluez; systemctl enable --now bluetooth; or [ble] enabled = false",
            ),
            e => Finding::wrong("ble", format!("BlueZ does not answer: {e}"), "systemctl restart bluetooth"),
        })
    })?;
    let mut adapters = Vec::new();
    for (path, interfaces) in &objects {
        let Some(properties) =
            interfaces.iter().find(|(name, _)| name.as_str() == "org.bluez.Adapter1").map(|(_, p)| p)
        else {
            continue;
        };
        let text = |key: &str| properties.get(key).and_then(|v| v.downcast_ref::<String>().ok()).unwrap_or_default();
        let powered = properties.get("Powered").and_then(|v| v.downcast_ref::<bool>().ok()).unwrap_or(false);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        adapters.push(Adapter { name, address: text("Address"), powered });
    }
    adapters.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(adapters)
}

pub async fn zwave(network: &ZwaveSection) -> Finding {
    let part = format!("zwave/{}", network.name);
    match probe::probe(network).await {
        Ok(found) => {
            let what = format!("server {}, schema {}, home id {:08x}", found.server, found.schema, found.home);
            Finding::fine(part, what)
        }
        Err(error @ (ProbeError::Incompatible { .. } | ProbeError::NoStick { .. })) => {
            let (what, fix) = in_two(&error);
            Finding::wrong(part, what, fix)
        }
        Err(error) => {
            let fix = "start zwave-js-server (or zwave-js-ui with its WS server on), or mend the url of this network";
            Finding::wrong(part, error.to_string(), format!("{fix} ({})", network.url))
        }
    }
}

/// What is wrong, and what to do about it: the error says both.
fn in_two(error: &ProbeError) -> (String, String) {
    let text = error.to_string();
    let (what, fix) = text.split_once("; ").unwrap_or((&text, "portcullis doctor --log debug says more"));
    (what.to_owned(), fix.to_owned())
}
