//! A bluetoothd of our own on a private bus: adapters, discovery, adverts and GATT as BlueZ 5.66 shows them, and faults on demand.
//!
//! It keeps BlueZ's manners where they matter: adverts are signals only while somebody discovers; power off ends every
//! discovery and says so; a device object appears with its first advert; identical data are told again and again.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use zbus::message::{Header, Type};
use zbus::zvariant::{ObjectPath, OwnedValue, Value};
use zbus::{Connection, Message, MessageStream};

pub const ADAPTER: &str = "org.bluez.Adapter1";
pub const DEVICE: &str = "org.bluez.Device1";
const SERVICE: &str = "org.bluez.GattService1";
const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const OBJECTS: &str = "org.freedesktop.DBus.ObjectManager";

/// Longer than anything takes here; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub type Properties = BTreeMap<String, Value<'static>>;

/// A private dbus-daemon; ends with its guard.
pub struct Bus {
    child: Child,
    pub address: String,
    dir: tempfile::TempDir,
}

impl Bus {
    pub async fn start() -> Bus {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = format!("unix:path={}", dir.path().join("bus").display());
        let child = Bus::spawn(&address).await;
        Bus { child, address, dir }
    }

    async fn spawn(address: &str) -> Child {
        let mut child = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1", &format!("--address={address}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("dbus-daemon is installed (apt-get install dbus-daemon)");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut ready).await.expect("it says its address");
        child
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it runs");
    }

    /// Again at the same address.
    pub async fn restart(&mut self) {
        let _ = std::fs::remove_file(self.dir.path().join("bus"));
        self.child = Bus::spawn(&self.address).await;
    }
}

/// What a device does when it is connected to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnConnect {
    Answer,
    /// `le-connection-abort-by-local`.
    Refuse,
    /// bluetoothd never answers the call.
    Hang,
    /// Connected, but its services are never read.
    NeverResolve,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, BTreeMap<String, Properties>>,
    /// Adapter path → clients that discover, with the filter that each set.
    discovering: HashMap<String, HashSet<String>>,
    filters: HashMap<(String, String), HashMap<String, OwnedValue>>,
    on_connect: HashMap<String, OnConnect>,
    refuse_discovery: bool,
    calls: Vec<(String, String)>,
}

#[derive(Clone)]
pub struct Bluez {
    connection: Connection,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Bluez {
    /// On the bus, with one adapter `hci0` that is on.
    pub async fn start(bus: &Bus) -> Bluez {
        let bluez = Bluez::without_adapter(bus).await;
        bluez.add_adapter("hci0", true).await;
        bluez
    }

    pub async fn without_adapter(bus: &Bus) -> Bluez {
        let builder = zbus::connection::Builder::address(bus.address.as_str()).expect("an address");
        let connection = builder.build().await.expect("a bus that runs");
        let mut calls = MessageStream::from(&connection);
        let bluez = Bluez { connection, state: Arc::default(), changed: Arc::default() };
        let serving = bluez.clone();
        tokio::spawn(async move {
            while let Some(Ok(call)) = calls.next().await {
                if call.message_type() == Type::MethodCall {
                    serving.answer(&call).await;
                }
            }
        });
        bluez.come().await;
        bluez
    }

    /// As if bluetoothd were killed: its name and all it knew are gone, and no signal says so.
    pub async fn crash(&self) {
        *self.lock() = State::default();
        self.connection.release_name("org.bluez").await.expect("it had the name");
    }

    pub async fn come(&self) {
        self.connection.request_name("org.bluez").await.expect("nobody else has the name");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics in here")
    }

    /// Waits until `held` holds of the calls received so far (object path, member).
    pub async fn until(&self, what: &str, held: impl Fn(&[(String, String)]) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if held(&self.lock().calls) {
                    return;
                }
                changed.await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(done.is_ok(), "{what} did not come; calls so far: {:?}", self.lock().calls);
    }

    /// Waits for the `n`th call of a method on an object whose path ends so.
    pub async fn called(&self, object: &str, member: &str, n: usize) {
        let is = |call: &&(String, String)| call.0.ends_with(object) && call.1 == member;
        self.until(&format!("call {n} of {member} on {object}"), |calls| calls.iter().filter(is).count() >= n).await;
    }

    pub fn calls(&self) -> Vec<(String, String)> {
        self.lock().calls.clone()
    }

    pub fn forget_calls(&self) {
        self.lock().calls.clear();
    }

    /// Whether anybody discovers on this adapter, and with which filter (as text).
    pub fn filters(&self, adapter: &str) -> Vec<String> {
        let path = adapter_path(adapter);
        let state = self.lock();
        let clients = state.discovering.get(&path).into_iter().flatten();
        clients.map(|c| format!("{:?}", state.filters.get(&(path.clone(), c.clone())))).collect()
    }

    /// Unique names of those who discover.
    pub fn clients(&self) -> Vec<String> {
        self.lock().discovering.values().flatten().cloned().collect()
    }

    /// As a controller that resets ends every discovery.
    pub async fn end_discovery(&self, adapter: &str) {
        self.lock().discovering.remove(&adapter_path(adapter));
        self.set(&adapter_path(adapter), ADAPTER, properties([("Discovering", false.into())])).await;
    }

    pub fn refuse_discovery(&self, refuse: bool) {
        self.lock().refuse_discovery = refuse;
    }

    pub async fn add_adapter(&self, name: &str, powered: bool) {
        let properties = properties([
            ("Address", "00:AA:01:00:00:23".into()),
            ("AddressType", "public".into()),
            ("Name", "rig".into()),
            ("Alias", "rig".into()),
            ("Modalias", "usb:v1D6Bp0246d0542".into()),
            ("Powered", powered.into()),
            ("Discovering", false.into()),
        ]);
        self.add(&adapter_path(name), ADAPTER, properties).await;
    }

    pub async fn remove_adapter(&self, name: &str) {
        self.lock().discovering.remove(&adapter_path(name));
        self.remove(&adapter_path(name)).await;
    }

    /// Somebody switches an adapter on or off.
    pub async fn power(&self, name: &str, powered: bool) {
        let path = adapter_path(name);
        if !powered && self.lock().discovering.remove(&path).is_some_and(|clients| !clients.is_empty()) {
            self.set(&path, ADAPTER, properties([("Discovering", false.into())])).await;
        }
        self.set(&path, ADAPTER, properties([("Powered", powered.into())])).await;
    }

    /// An advert over the air; false where nobody discovers and so nobody hears it.
    pub async fn advertise(&self, adapter: &str, address: &str, advert: Properties) -> bool {
        let path = adapter_path(adapter);
        if self.lock().discovering.get(&path).is_none_or(HashSet::is_empty) {
            return false;
        }
        let device = device_path(adapter, address);
        if self.lock().objects.contains_key(&device) {
            self.set(&device, DEVICE, advert).await;
            return true;
        }
        let mut all = properties([
            ("Address", address.to_owned().into()),
            ("AddressType", "random".into()),
            ("Alias", address.replace(':', "-").into()),
            ("Paired", false.into()),
            ("Trusted", false.into()),
            ("Blocked", false.into()),
            ("LegacyPairing", false.into()),
            ("Connected", false.into()),
            ("ServicesResolved", false.into()),
            ("Adapter", Value::from(ObjectPath::try_from(path).expect("a path"))),
        ]);
        all.extend(advert);
        self.add(&device, DEVICE, all).await;
        true
    }

    /// bluetoothd's own ageing of a device (`TemporaryTimeout`).
    pub async fn age_out(&self, adapter: &str, address: &str) {
        self.remove(&device_path(adapter, address)).await;
    }

    /// Gives a device that was heard a Battery Service.
    pub async fn add_battery(&self, adapter: &str, address: &str, level: u8, on_connect: OnConnect) {
        let device = device_path(adapter, address);
        self.lock().on_connect.insert(device.clone(), on_connect);
        let (service, characteristic) = (format!("{device}/service000a"), format!("{device}/service000a/char000b"));
        let uuid = |short| Value::from(uuid16(short));
        self.add(&service, SERVICE, properties([("UUID", uuid(0x180f)), ("Primary", true.into())])).await;
        let flags = vec!["read".to_owned()];
        let battery = properties([("UUID", uuid(0x2a19)), ("Flags", flags.into()), ("Value", vec![level].into())]);
        self.add(&characteristic, CHARACTERISTIC, battery).await;
    }

    /// Whether a device is connected now.
    pub fn connected(&self, adapter: &str, address: &str) -> bool {
        self.property(&device_path(adapter, address), DEVICE, "Connected") == Some(true.into())
    }

    async fn add(&self, path: &str, interface: &str, properties: Properties) {
        let body = (ObjectPath::try_from(path).expect("a path"), BTreeMap::from([(interface, wire(&properties))]));
        self.lock().objects.entry(path.into()).or_default().insert(interface.into(), properties.clone());
        self.signal("/", OBJECTS, "InterfacesAdded", &body).await;
    }

    async fn remove(&self, path: &str) {
        let gone: Vec<(String, Vec<String>)> = {
            let mut state = self.lock();
            let below = |p: &&String| *p == path || p.starts_with(&format!("{path}/"));
            let paths: Vec<String> = state.objects.keys().filter(below).cloned().collect();
            let take = |p: String| state.objects.remove(&p).map(|interfaces| (p, interfaces.into_keys().collect()));
            paths.into_iter().rev().filter_map(take).collect()
        };
        for (path, interfaces) in gone {
            let path = ObjectPath::try_from(path).expect("a path");
            self.signal("/", OBJECTS, "InterfacesRemoved", &(path, interfaces)).await;
        }
    }

    async fn set(&self, path: &str, interface: &str, changed: Properties) {
        let body = (interface.to_owned(), wire(&changed), Vec::<String>::new());
        if let Some(properties) = self.lock().objects.get_mut(path).and_then(|o| o.get_mut(interface)) {
            properties.extend(changed);
        }
        self.signal(path, PROPERTIES, "PropertiesChanged", &body).await;
    }

    /// A bus that was killed on purpose hears nothing.
    async fn signal<B: serde::Serialize + zbus::zvariant::DynamicType>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) {
        let _ = self.connection.emit_signal(None::<()>, path, interface, member, body).await;
    }

    fn property(&self, path: &str, interface: &str, name: &str) -> Option<Value<'static>> {
        let state = self.lock();
        state.objects.get(path)?.get(interface)?.get(name).map(|v| v.try_clone().expect("no file descriptors here"))
    }

    async fn answer(&self, call: &Message) {
        let header = call.header();
        let text = |part: Option<String>| part.unwrap_or_default();
        let path = text(header.path().map(|p| p.to_string()));
        let interface = text(header.interface().map(|i| i.to_string()));
        let member = text(header.member().map(|m| m.to_string()));
        let ok = match (interface.as_str(), member.as_str()) {
            (OBJECTS, "GetManagedObjects") => self.managed_objects(&header).await,
            (PROPERTIES, "GetAll" | "Get" | "Set") => self.properties(&header, &path, &member, call).await,
            ("org.freedesktop.DBus.Introspectable", _) => self.introspect(&header, &path).await,
            (ADAPTER, _) => self.adapter(&header, &path, &member, call).await,
            (DEVICE, _) => self.device(&header, &path, &member).await,
            (CHARACTERISTIC, "ReadValue") => match self.property(&path, CHARACTERISTIC, "Value") {
                Some(value) => self.connection.reply(&header, &Vec::<u8>::try_from(value).expect("bytes")).await,
                None => self.refuse(&header, "org.freedesktop.DBus.Error.UnknownObject", &path).await,
            },
            _ => self.refuse(&header, "org.freedesktop.DBus.Error.UnknownMethod", &member).await,
        };
        if interface.starts_with("org.bluez") {
            self.lock().calls.push((path, member));
            self.changed.notify_waiters();
        }
        let _ = ok;
    }

    async fn refuse(&self, header: &Header<'_>, name: &str, message: &str) -> zbus::Result<()> {
        self.connection.reply_error(header, name, &message).await
    }

    async fn managed_objects(&self, header: &Header<'_>) -> zbus::Result<()> {
        let objects: HashMap<ObjectPath<'static>, HashMap<String, _>> = {
            let state = self.lock();
            let object = |(path, interfaces): (&String, &BTreeMap<String, Properties>)| {
                let interfaces = interfaces.iter().map(|(name, properties)| (name.clone(), wire(properties)));
                (ObjectPath::try_from(path.clone()).expect("a path"), interfaces.collect())
            };
            state.objects.iter().map(object).collect()
        };
        self.connection.reply(header, &objects).await
    }

    async fn properties(&self, header: &Header<'_>, path: &str, member: &str, call: &Message) -> zbus::Result<()> {
        let body = call.body();
        match member {
            "GetAll" => {
                let interface: String = body.deserialize()?;
                let all = self.lock().objects.get(path).and_then(|o| o.get(&interface)).map(wire);
                match all {
                    Some(all) => self.connection.reply(header, &all).await,
                    None => self.refuse(header, "org.freedesktop.DBus.Error.UnknownObject", path).await,
                }
            }
            "Get" => {
                let (interface, name): (String, String) = body.deserialize()?;
                match self.property(path, &interface, &name) {
                    Some(value) => self.connection.reply(header, &value).await,
                    None => self.refuse(header, "org.freedesktop.DBus.Error.InvalidArgs", &name).await,
                }
            }
            _ => {
                let (_, name, value): (String, String, OwnedValue) = body.deserialize()?;
                self.lock().calls.push((path.to_owned(), format!("Set {name}")));
                self.changed.notify_waiters();
                if name == "Powered" {
                    let adapter = path.rsplit('/').next().unwrap_or_default().to_owned();
                    self.power(&adapter, bool::try_from(value).expect("a boolean")).await;
                }
                self.connection.reply(header, &()).await
            }
        }
    }

    async fn introspect(&self, header: &Header<'_>, path: &str) -> zbus::Result<()> {
        let xml = {
            let state = self.lock();
            let below = format!("{}/", path.trim_end_matches('/'));
            let children: std::collections::BTreeSet<&str> =
                state.objects.keys().filter_map(|p| p.strip_prefix(&below)?.split('/').next()).collect();
            let interfaces = state.objects.get(path).into_iter().flat_map(BTreeMap::keys);
            let interfaces: String = interfaces.map(|i| format!("<interface name=\"{i}\"></interface>")).collect();
            let children: String = children.into_iter().map(|c| format!("<node name=\"{c}\"/>")).collect();
            format!("<node>{interfaces}{children}</node>")
        };
        self.connection.reply(header, &xml).await
    }

    async fn adapter(&self, header: &Header<'_>, path: &str, member: &str, call: &Message) -> zbus::Result<()> {
        let client = header.sender().map(ToString::to_string).unwrap_or_default();
        match member {
            "SetDiscoveryFilter" => {
                let filter: HashMap<String, OwnedValue> = call.body().deserialize()?;
                self.lock().filters.insert((path.to_owned(), client), filter);
                self.connection.reply(header, &()).await
            }
            "StartDiscovery" if self.property(path, ADAPTER, "Powered") != Some(true.into()) => {
                self.refuse(header, "org.bluez.Error.NotReady", "Resource Not Ready").await
            }
            "StartDiscovery" if self.lock().refuse_discovery => {
                self.refuse(header, "org.bluez.Error.Failed", "the test says no").await
            }
            "StartDiscovery" => {
                if !self.lock().discovering.entry(path.to_owned()).or_default().insert(client) {
                    return self.refuse(header, "org.bluez.Error.InProgress", "Operation already in progress").await;
                }
                self.set(path, ADAPTER, properties([("Discovering", true.into())])).await;
                self.connection.reply(header, &()).await
            }
            "StopDiscovery" => {
                let (was, left) = {
                    let mut state = self.lock();
                    let clients = state.discovering.entry(path.to_owned()).or_default();
                    (clients.remove(&client), clients.len())
                };
                if !was {
                    return self.refuse(header, "org.bluez.Error.Failed", "No discovery started").await;
                }
                if left == 0 {
                    self.set(path, ADAPTER, properties([("Discovering", false.into())])).await;
                }
                self.connection.reply(header, &()).await
            }
            _ => self.refuse(header, "org.freedesktop.DBus.Error.UnknownMethod", member).await,
        }
    }

    async fn device(&self, header: &Header<'_>, path: &str, member: &str) -> zbus::Result<()> {
        let connected = |connected: bool| properties([("Connected", connected.into())]);
        let resolved = |resolved: bool| properties([("ServicesResolved", resolved.into())]);
        let on_connect = self.lock().on_connect.get(path).copied().unwrap_or(OnConnect::Refuse);
        match (member, on_connect) {
            ("Connect", OnConnect::Refuse) => {
                self.refuse(header, "org.bluez.Error.Failed", "le-connection-abort-by-local").await
            }
            ("Connect", OnConnect::Hang) => Ok(()),
            ("Connect", answer) => {
                self.set(path, DEVICE, connected(true)).await;
                self.connection.reply(header, &()).await?;
                if answer == OnConnect::Answer {
                    self.set(path, DEVICE, resolved(true)).await;
                }
                Ok(())
            }
            ("Disconnect", _) => {
                self.set(path, DEVICE, connected(false)).await;
                self.set(path, DEVICE, resolved(false)).await;
                self.connection.reply(header, &()).await
            }
            _ => self.refuse(header, "org.freedesktop.DBus.Error.UnknownMethod", member).await,
        }
    }
}

fn wire(properties: &Properties) -> HashMap<String, OwnedValue> {
    let value = |v: &Value<'static>| v.try_to_owned().expect("no file descriptors here");
    properties.iter().map(|(name, v)| (name.clone(), value(v))).collect()
}

fn adapter_path(name: &str) -> String {
    format!("/org/bluez/{name}")
}

fn device_path(adapter: &str, address: &str) -> String {
    format!("/org/bluez/{adapter}/dev_{}", address.replace(':', "_"))
}

pub fn uuid16(short: u16) -> String {
    format!("0000{short:04x}-0000-1000-8000-00805f9b34fb")
}

pub fn properties<const N: usize>(all: [(&str, Value<'static>); N]) -> Properties {
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What one advert with service data changes.
pub fn service_data(uuid: u16, data: &[u8], rssi: i16) -> Properties {
    let data = HashMap::from([(uuid16(uuid), Value::from(data.to_vec()))]);
    properties([("RSSI", rssi.into()), ("ServiceData", data.into())])
}

/// The same with manufacturer data.
pub fn manufacturer_data(company: u16, data: &[u8], rssi: i16) -> Properties {
    let data = HashMap::from([(company, Value::from(data.to_vec()))]);
    properties([("RSSI", rssi.into()), ("ManufacturerData", data.into())])
}
