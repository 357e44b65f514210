//! The system bus and bluetoothd on it: which signals we hear, what we ask.
//!
//! Scanning goes past btleplug, whose `start_scan` switches the adapter on against an administrator's off and asks for the
//! transport *auto*, which leaves a dual-mode controller deaf half of the time (docs/decisions/0701).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use zbus::message::Type;
use zbus::names::UniqueName;
use zbus::zvariant::Value;
use zbus::{Connection, Message, MessageStream};

use super::adverts::{ADAPTER, AdapterProperties, DEVICE, adapter_path, device_path, is_adapter};
use crate::signal::Address;

const BLUEZ: &str = "org.bluez";
const DBUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// bluetoothd answers in milliseconds, and starts a scan within a second or two even while it connects.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// dbus-daemon answers a greeting at once, or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Signals that may wait for us in zbus: a second and a half of a channel filled back to back (2,700 adverts/s).
const SIGNALS: usize = 4096;
/// A controller that is switched off needs a moment to forget what it hung on.
const POWER_OFF_FOR: Duration = Duration::from_secs(1);
const POWER_ON_TRIES: u32 = 10;
/// BlueZ's largest (`PATHLOSS_MAX`): every advert passes.
const PATHLOSS_MAX: u16 = 137;

/// What we want to hear. The bus itself filters: other services and other objects of bluetoothd cost us nothing.
const MATCHES: [&str; 4] = [
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='/org/bluez'",
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager',member='InterfacesAdded'",
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager',member='InterfacesRemoved'",
    "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'",
];

#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("the system bus cannot be reached ({0}); is dbus running?")]
    Connect(String),
    #[error("the system bus was lost ({0})")]
    Lost(String),
}

/// A signal, sorted by who said it.
pub enum Signal {
    /// bluetoothd itself, about an object.
    Bluez(Message),
    /// bluetoothd came (its unique name) or went.
    Owner(Option<String>),
}

#[derive(Clone)]
pub struct Bus {
    connection: Connection,
}

impl Bus {
    /// Connects and subscribes. `address` overrides `DBUS_SYSTEM_BUS_ADDRESS` and the usual socket.
    pub async fn connect(address: Option<&str>) -> Result<(Bus, MessageStream), BusError> {
        let failed = |e: zbus::Error| BusError::Connect(e.to_string());
        let builder = match address {
            Some(address) => zbus::connection::Builder::address(address),
            None => zbus::connection::Builder::system(),
        };
        let building = builder.map_err(failed)?.method_timeout(CALL_TIMEOUT).max_queued(SIGNALS).build();
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, building)
            .await
            .map_err(|_| BusError::Connect("no answer".into()))?
            .map_err(failed)?;
        let messages = MessageStream::from(&connection);
        for rule in MATCHES {
            connection
                .call_method(Some(DBUS), "/org/freedesktop/DBus", Some(DBUS), "AddMatch", &rule)
                .await
                .map_err(failed)?;
        }
        Ok((Bus { connection }, messages))
    }

    /// bluetoothd's unique name, while it runs.
    pub async fn owner(&self) -> Result<Option<String>, BusError> {
        let asked =
            self.connection.call_method(Some(DBUS), "/org/freedesktop/DBus", Some(DBUS), "GetNameOwner", &BLUEZ);
        match asked.await {
            Ok(answer) => Ok(answer.body().deserialize::<String>().ok()),
            Err(zbus::Error::MethodError(..)) => Ok(None),
            Err(e) => Err(BusError::Lost(e.to_string())),
        }
    }

    /// Sorts a message. What does not come from `owner` is nobody's word on radios: anyone may send us signals.
    pub fn sort(message: Message, owner: Option<&str>) -> Option<Signal> {
        if message.message_type() != Type::Signal {
            return None;
        }
        let header = message.header();
        let sender = header.sender().map(UniqueName::as_str)?;
        if sender == DBUS {
            let body = message.body();
            let (name, _, new): (&str, &str, &str) = body.deserialize().ok()?;
            return (name == BLUEZ).then(|| Signal::Owner((!new.is_empty()).then(|| new.to_owned())));
        }
        (Some(sender) == owner).then_some(())?;
        Some(Signal::Bluez(message))
    }

    /// The adapters that bluetoothd has now. By introspection: `GetManagedObjects` would list every stranger's device too.
    pub async fn adapters(&self) -> zbus::Result<Vec<(Arc<str>, AdapterProperties)>> {
        let answer = self.call("/org/bluez", "org.freedesktop.DBus.Introspectable", "Introspect", &()).await?;
        let body = answer.body();
        let xml: &str = body.deserialize()?;
        let mut adapters = Vec::new();
        for name in
            xml.split("<node name=\"").skip(1).filter_map(|rest| rest.split('"').next()).filter(|n| is_adapter(n))
        {
            let answer = self.call(&adapter_path(name), PROPERTIES, "GetAll", &ADAPTER).await?;
            adapters.push((name.into(), answer.body().deserialize()?));
        }
        Ok(adapters)
    }

    /// Starts our scan of an adapter that is on; one that runs already is stopped before.
    pub async fn scan(&self, adapter: &str) -> Result<(), String> {
        let path = adapter_path(adapter);
        // Refused where none of ours runs, which is fine.
        let _ = self.call(&path, ADAPTER, "StopDiscovery", &()).await;
        // Every advert of every device, on LE alone. A path loss makes BlueZ tell the RSSI of each advert, not only changes of
        // 8 dB: so each is a signal, even one without data, and a sign of life. Unlike a threshold of RSSI it filters nothing
        // in the kernel, which would swallow adverts of a controller that does not measure it.
        let filter = HashMap::from([
            ("Transport", Value::from("le")),
            ("DuplicateData", true.into()),
            ("Pathloss", PATHLOSS_MAX.into()),
        ]);
        self.call(&path, ADAPTER, "SetDiscoveryFilter", &filter).await.map_err(plain)?;
        self.call(&path, ADAPTER, "StartDiscovery", &()).await.map_err(plain)?;
        Ok(())
    }

    /// Only for an adapter that nobody else uses. What we switched off we switch on again, even where that takes some tries:
    /// an adapter that is off is left alone.
    pub async fn power_cycle(&self, adapter: &str) -> Result<(), String> {
        self.power(adapter, false).await?;
        for _ in 1..POWER_ON_TRIES {
            tokio::time::sleep(POWER_OFF_FOR).await;
            if self.power(adapter, true).await.is_ok() {
                return Ok(());
            }
        }
        self.power(adapter, true).await
    }

    async fn power(&self, adapter: &str, on: bool) -> Result<(), String> {
        let wanted = (ADAPTER, "Powered", Value::from(on));
        self.call(&adapter_path(adapter), PROPERTIES, "Set", &wanted).await.map(drop).map_err(plain)
    }

    /// The name of a device whose object is older than our connection.
    pub async fn name(&self, adapter: &str, address: Address) -> Option<String> {
        let answer = self.call(&device_path(adapter, address), PROPERTIES, "Get", &(DEVICE, "Name")).await.ok()?;
        match answer.body().deserialize::<Value<'_>>().ok()? {
            Value::Str(name) => Some(name.to_string()),
            _ => None,
        }
    }

    async fn call<B>(&self, path: &str, interface: &str, member: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.connection.call_method(Some(BLUEZ), path, Some(interface), member, body).await
    }
}

/// What bluetoothd refused, and what helps.
fn plain(error: zbus::Error) -> String {
    let zbus::Error::MethodError(name, message, _) = &error else { return error.to_string() };
    let said = message.as_deref().unwrap_or_default();
    match name.as_str() {
        "org.freedesktop.DBus.Error.AccessDenied" => {
            format!("the bus does not let us talk to bluetoothd; add this user to the group `bluetooth` ({said})")
        }
        "org.bluez.Error.NotReady" => "the adapter is not ready".into(),
        "org.bluez.Error.InProgress" => "bluetoothd is still busy with an earlier request".into(),
        name => format!("{name}: {said}"),
    }
}
