//! BlueZ's signals as adverts: one signal, one [`Advert`].
//!
//! With our discovery filter ([`super::bus`]) each advertising event changes `RSSI`, and manufacturer and service data are told
//! each time they are heard. So of a signal, the data are of this moment, and what BlueZ tells only when it changes (name,
//! service UUIDs, RSSI) is remembered here and rides along. A signal with none of RSSI and data is no advert: a connection, a
//! name read over GATT, an object that bluetoothd restored from its disk.
//!
//! Promise: memory is bounded, whatever the radio says. Addresses come from strangers.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;
use zbus::zvariant::as_value::{self, optional};
use zbus::zvariant::{ObjectPath, Type};

use crate::signal::Address;
use crate::source::ble::Advert;

pub const ADAPTER: &str = "org.bluez.Adapter1";
pub const DEVICE: &str = "org.bluez.Device1";

/// Devices remembered in each of two generations: twice as many as a crowded place holds, at about 200 bytes each.
const GENERATION: usize = 2048;

/// An AD structure's length is one byte; its type takes one (Core 5.4, Vol 3, Part C, 11).
const NAME_LEN_MAX: usize = 248;

/// More than fit in an advertising event's 31 + 31 bytes; after a connection the list has every service of the device.
const UUIDS_MAX: usize = 32;

type Bytes<'a> = as_value::Deserialize<'a, Vec<u8>>;

/// The properties of `org.bluez.Device1` that make an advert.
#[derive(Default, Deserialize, Type)]
#[zvariant(signature = "dict")]
#[serde(default, rename_all = "PascalCase")]
struct DeviceProperties<'a> {
    #[serde(with = "optional", rename = "RSSI")]
    rssi: Option<i16>,
    #[serde(with = "optional", borrow)]
    name: Option<&'a str>,
    #[serde(with = "optional", rename = "UUIDs", borrow)]
    uuids: Option<Vec<&'a str>>,
    #[serde(with = "optional", borrow)]
    manufacturer_data: Option<HashMap<u16, Bytes<'a>>>,
    #[serde(with = "optional", borrow)]
    service_data: Option<HashMap<&'a str, Bytes<'a>>>,
}

/// The properties of `org.bluez.Adapter1` that scanning depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Type)]
#[zvariant(signature = "dict")]
#[serde(default, rename_all = "PascalCase")]
pub struct AdapterProperties {
    #[serde(with = "optional")]
    pub address: Option<String>,
    #[serde(with = "optional")]
    pub powered: Option<bool>,
    #[serde(with = "optional")]
    pub discovering: Option<bool>,
}

impl AdapterProperties {
    pub fn address(&self) -> Option<Address> {
        self.address.as_deref()?.parse().ok()
    }

    #[cfg(test)]
    pub fn powered(powered: bool) -> AdapterProperties {
        AdapterProperties { powered: Some(powered), ..AdapterProperties::default() }
    }
}

/// What a signal of bluetoothd says.
#[derive(Debug, PartialEq)]
pub enum Said {
    Advert { adapter: Arc<str>, advert: Advert },
    Adapter { adapter: Arc<str>, properties: AdapterProperties },
    AdapterGone { adapter: Arc<str> },
}

/// The interfaces of an object, as `InterfacesAdded` lists them.
#[derive(Default, Deserialize, Type)]
#[zvariant(signature = "a{sa{sv}}")]
#[serde(default)]
struct Interfaces<'a> {
    #[serde(rename = "org.bluez.Adapter1", deserialize_with = "some")]
    adapter: Option<AdapterProperties>,
    #[serde(rename = "org.bluez.Device1", deserialize_with = "some", borrow)]
    device: Option<DeviceProperties<'a>>,
}

/// D-Bus has no options: an interface that is listed is there.
fn some<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// What BlueZ tells of a device only when it changes.
#[derive(Clone, Debug, Default)]
struct Device {
    introduced: bool,
    rssi: Option<i16>,
    name: Option<Arc<str>>,
    uuids: Vec<Uuid>,
}

/// Reads signals; remembers devices. One for a connection to the bus.
#[derive(Default)]
pub struct Reader {
    adapters: Vec<Arc<str>>,
    young: HashMap<(Arc<str>, Address), Device>,
    old: HashMap<(Arc<str>, Address), Device>,
    /// Device objects that bluetoothd made and has not removed since we listen.
    objects: usize,
}

impl Reader {
    /// Device objects that bluetoothd holds, as far as we saw them come and go.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// What a signal says; `None` where it is of no interest.
    pub fn signal(&mut self, message: &zbus::Message) -> zbus::Result<Option<Said>> {
        let header = message.header();
        let (Some(path), Some(member)) = (header.path(), header.member()) else { return Ok(None) };
        let body = message.body();
        match member.as_str() {
            "PropertiesChanged" => {
                let Some(at) = Place::of(path) else { return Ok(None) };
                match at.address {
                    Some(address) => {
                        let (interface, changed, gone): (&str, DeviceProperties<'_>, Vec<&str>) = body.deserialize()?;
                        if interface != DEVICE {
                            return Ok(None);
                        }
                        Ok(self.device(at.adapter, address, changed, gone.contains(&"RSSI")))
                    }
                    None => {
                        let (interface, properties, _): (&str, AdapterProperties, Vec<&str>) = body.deserialize()?;
                        if interface != ADAPTER || properties == AdapterProperties::default() {
                            return Ok(None);
                        }
                        Ok(Some(Said::Adapter { adapter: self.adapter(at.adapter), properties }))
                    }
                }
            }
            "InterfacesAdded" => {
                let (object, interfaces): (ObjectPath<'_>, Interfaces<'_>) = body.deserialize()?;
                let Some(at) = Place::of(&object) else { return Ok(None) };
                match (at.address, interfaces) {
                    (Some(address), Interfaces { device: Some(properties), .. }) => {
                        self.objects += 1;
                        let adapter = self.adapter(at.adapter);
                        self.remember(adapter, address).introduced = true;
                        Ok(self.device(at.adapter, address, properties, false))
                    }
                    (None, Interfaces { adapter: Some(properties), .. }) => {
                        Ok(Some(Said::Adapter { adapter: self.adapter(at.adapter), properties }))
                    }
                    _ => Ok(None),
                }
            }
            "InterfacesRemoved" => {
                let (object, interfaces): (ObjectPath<'_>, Vec<&str>) = body.deserialize()?;
                let Some(at) = Place::of(&object) else { return Ok(None) };
                match at.address {
                    Some(address) if interfaces.contains(&DEVICE) => {
                        self.objects = self.objects.saturating_sub(1);
                        let key = (self.adapter(at.adapter), address);
                        self.young.remove(&key);
                        self.old.remove(&key);
                        Ok(None)
                    }
                    None if interfaces.contains(&ADAPTER) => {
                        Ok(Some(Said::AdapterGone { adapter: self.adapter(at.adapter) }))
                    }
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The answer to a question for the name of a device.
    pub fn named(&mut self, adapter: &Arc<str>, address: Address, name: Option<&str>) {
        let device = self.remember(adapter.clone(), address);
        device.introduced = true;
        device.name = name.map(shortened).or(device.name.take());
    }

    /// Whether BlueZ has described this device to us: if its object is older than our connection, we know no name.
    pub fn introduced(&self, key: &(Arc<str>, Address)) -> bool {
        self.young.get(key).or_else(|| self.old.get(key)).is_some_and(|d| d.introduced)
    }

    fn device(
        &mut self,
        adapter: &str,
        address: Address,
        heard: DeviceProperties<'_>,
        rssi_gone: bool,
    ) -> Option<Said> {
        let is_advert = heard.rssi.is_some() || heard.manufacturer_data.is_some() || heard.service_data.is_some();
        let adapter = self.adapter(adapter);
        let device = self.remember(adapter.clone(), address);
        if rssi_gone {
            device.rssi = None;
        }
        // 127 is "not available" (Core 5.4, Vol 4, Part E, 7.7.65.2).
        device.rssi = heard.rssi.filter(|rssi| *rssi != 127).or(device.rssi);
        if let Some(name) = heard.name
            && device.name.as_deref() != Some(name)
        {
            device.name = Some(shortened(name));
        }
        if let Some(uuids) = heard.uuids {
            device.uuids = uuids.into_iter().filter_map(|u| u.parse().ok()).take(UUIDS_MAX).collect();
        }
        if !is_advert {
            return None;
        }
        let service_data = heard.service_data.unwrap_or_default();
        let advert = Advert {
            address,
            rssi: device.rssi,
            name: device.name.clone(),
            manufacturer_data: heard.manufacturer_data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)).collect(),
            service_data: service_data.into_iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.0))).collect(),
            service_uuids: device.uuids.clone(),
        };
        Some(Said::Advert { adapter, advert })
    }

    /// Two generations: a device heard lately is in the young one, and when that is full the old one is forgotten.
    fn remember(&mut self, adapter: Arc<str>, address: Address) -> &mut Device {
        let key = (adapter, address);
        if !self.young.contains_key(&key) {
            let device = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= GENERATION {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key.clone(), device);
        }
        self.young.entry(key).or_default()
    }

    /// One name for all reports of an adapter, so that none of them allocates.
    fn adapter(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.adapters.iter().find(|a| &***a == name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.adapters.push(name.clone());
        name
    }
}

fn shortened(name: &str) -> Arc<str> {
    name[..name.floor_char_boundary(NAME_LEN_MAX)].into()
}

/// An object of bluetoothd: `/org/bluez/hci0` or `/org/bluez/hci0/dev_C0_FF_EE_00_00_01`.
#[derive(Debug, PartialEq)]
struct Place<'a> {
    adapter: &'a str,
    address: Option<Address>,
}

impl Place<'_> {
    fn of<'a>(path: &'a ObjectPath<'_>) -> Option<Place<'a>> {
        let mut parts = path.as_str().strip_prefix("/org/bluez/")?.split('/');
        let adapter = parts.next().filter(|a| is_adapter(a))?;
        let address = match parts.next() {
            Some(device) => Some(device.strip_prefix("dev_")?.replace('_', ":").parse().ok()?),
            None => None,
        };
        // Services and characteristics lie below a device.
        parts.next().is_none().then_some(Place { adapter, address })
    }
}

/// `hci0` …
pub fn is_adapter(name: &str) -> bool {
    name.strip_prefix("hci").is_some_and(|n| !n.is_empty() && n.len() <= 5 && n.bytes().all(|b| b.is_ascii_digit()))
}

pub fn adapter_path(adapter: &str) -> String {
    format!("/org/bluez/{adapter}")
}

pub fn device_path(adapter: &str, address: Address) -> String {
    format!("/org/bluez/{adapter}/dev_{}", address.to_string().replace(':', "_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use zbus::Message;
    use zbus::zvariant::Value;

    use super::*;
    use crate::source::ble::uuid16;

    type Properties = BTreeMap<&'static str, Value<'static>>;

    const THERE: &str = "/org/bluez/hci0/dev_C0_FF_EE_00_00_01";

    fn address() -> Address {
        "C0:FF:EE:00:00:01".parse().unwrap()
    }

    fn changed(path: &str, interface: &str, changed: Properties, gone: &[&str]) -> Message {
        Message::signal(path.to_owned(), "org.freedesktop.DBus.Properties", "PropertiesChanged")
            .unwrap()
            .build(&(interface, changed, gone))
            .unwrap()
    }

    fn added(path: &str, interface: &str, properties: Properties) -> Message {
        Message::signal("/", "org.freedesktop.DBus.ObjectManager", "InterfacesAdded")
            .unwrap()
            .build(&(ObjectPath::try_from(path).unwrap(), BTreeMap::from([(interface, properties)])))
            .unwrap()
    }

    fn manufacturer(id: u16, data: &[u8]) -> (&'static str, Value<'static>) {
        ("ManufacturerData", HashMap::from([(id, Value::from(data.to_vec()))]).into())
    }

    fn service(id: u16, data: &[u8]) -> (&'static str, Value<'static>) {
        ("ServiceData", HashMap::from([(uuid16(id).to_string(), Value::from(data.to_vec()))]).into())
    }

    fn advert(reader: &mut Reader, message: &Message) -> Advert {
        match reader.signal(message).unwrap() {
            Some(Said::Advert { advert, .. }) => advert,
            other => panic!("no advert: {other:?}"),
        }
    }

    #[test]
    fn one_signal_is_one_advert_with_all_that_it_carried() {
        let mut reader = Reader::default();
        let message = added(
            THERE,
            DEVICE,
            Properties::from([
                ("Address", "C0:FF:EE:00:00:01".into()),
                ("Name", "Front door".into()),
                ("Paired", false.into()),
                ("RSSI", (-60i16).into()),
                ("UUIDs", vec![uuid16(0x180f).to_string()].into()),
                manufacturer(0x0969, &[1, 2, 3]),
                service(0xfcd2, &[0x40, 1, 87]),
            ]),
        );
        let heard = advert(&mut reader, &message);
        assert_eq!(
            heard,
            Advert {
                address: address(),
                rssi: Some(-60),
                name: Some("Front door".into()),
                manufacturer_data: BTreeMap::from([(0x0969, vec![1, 2, 3])]),
                service_data: BTreeMap::from([(uuid16(0xfcd2), vec![0x40, 1, 87])]),
                service_uuids: vec![uuid16(0x180f)],
            }
        );
    }

    #[test]
    fn data_are_of_the_moment_and_name_and_rssi_ride_along() {
        let mut reader = Reader::default();
        let first = Properties::from([("Name", "Sensor".into()), ("RSSI", (-60i16).into()), manufacturer(1, &[9])]);
        advert(&mut reader, &added(THERE, DEVICE, first));
        let heard = advert(&mut reader, &changed(THERE, DEVICE, Properties::from([service(0xfcd2, &[0x40])]), &[]));
        assert_eq!((heard.name.as_deref(), heard.rssi), (Some("Sensor"), Some(-60)));
        assert!(heard.manufacturer_data.is_empty(), "the manufacturer data were of another moment");
    }

    #[test]
    fn what_is_no_advert_makes_none() {
        let mut reader = Reader::default();
        let restored = Properties::from([("Address", "C0:FF:EE:00:00:01".into()), ("Name", "Old".into())]);
        for message in [
            added(THERE, DEVICE, restored),
            changed(THERE, DEVICE, Properties::from([("Connected", true.into())]), &[]),
            changed(THERE, DEVICE, Properties::new(), &["RSSI"]),
            changed(THERE, "org.bluez.Battery1", Properties::from([("Percentage", 80u8.into())]), &[]),
            changed(&format!("{THERE}/service000a"), "org.bluez.GattService1", Properties::new(), &[]),
        ] {
            assert_eq!(reader.signal(&message).unwrap(), None);
        }
        // An RSSI that BlueZ took back is not told as if it were of now.
        let heard = advert(&mut reader, &changed(THERE, DEVICE, Properties::from([manufacturer(1, &[])]), &[]));
        assert_eq!((heard.rssi, heard.name.as_deref()), (None, Some("Old")));
    }

    #[test]
    fn an_adapter_tells_its_power_and_its_scan() {
        let mut reader = Reader::default();
        let said =
            reader.signal(&changed("/org/bluez/hci1", ADAPTER, Properties::from([("Powered", true.into())]), &[]));
        let properties = AdapterProperties::powered(true);
        assert_eq!(said.unwrap(), Some(Said::Adapter { adapter: "hci1".into(), properties }));
        let gone = Message::signal("/", "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved")
            .unwrap()
            .build(&(ObjectPath::try_from("/org/bluez/hci1").unwrap(), vec![ADAPTER]))
            .unwrap();
        assert_eq!(reader.signal(&gone).unwrap(), Some(Said::AdapterGone { adapter: "hci1".into() }));
    }

    #[test]
    fn a_property_of_another_type_is_an_error_and_no_panic() {
        let mut reader = Reader::default();
        let odd = changed(THERE, DEVICE, Properties::from([("RSSI", "loud".into()), manufacturer(1, &[])]), &[]);
        assert!(reader.signal(&odd).is_err());
    }

    #[test]
    fn strangers_never_cost_more_than_two_generations() {
        let mut reader = Reader::default();
        for n in 0..3 * GENERATION as u32 {
            let [a, b, c, d] = n.to_be_bytes();
            reader.device("hci0", Address([0xC0, 0, a, b, c, d]), DeviceProperties::default(), false);
        }
        assert!(reader.young.len() + reader.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn only_adapters_and_devices_are_places() {
        for path in
            ["/org/bluez", "/org/bluez/hcix", "/org/bluez/hci0/dev_C0_FF", "/org/bluez/hci0/dev_C0_FF_EE_00_00_01/x"]
        {
            assert_eq!(Place::of(&ObjectPath::try_from(path).unwrap()), None, "{path}");
        }
        let there = Place::of(&ObjectPath::try_from(THERE).unwrap()).map(|p| (p.adapter.to_owned(), p.address));
        assert_eq!(there, Some(("hci0".to_owned(), Some(address()))));
        assert_eq!(device_path("hci0", address()), THERE);
    }
}
