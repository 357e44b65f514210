//! A door lock on a Bluetooth adapter, for the machine of `make test-bluez`: it advertises BTHome v2 and turns its bolt every
//! few seconds, and has a battery that only a connection tells. Usage: vm-sensor hci1
//!
//! It talks to bluetoothd as a peripheral (org.bluez.LEAdvertisingManager1, GattManager1), the other side of what we test.

use std::collections::HashMap;
use std::time::Duration;

use zbus::interface;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};

/// Two states of the bolt are heard apart by several adverts of 100 ms each.
const TURN_EVERY: Duration = Duration::from_secs(3);
const BATTERY_PERCENT: u8 = 12;
const SERVICE: &str = "/app/service0";
const CHARACTERISTIC: &str = "/app/service0/char0";
const BTHOME: &str = "0000fcd2-0000-1000-8000-00805f9b34fb";

struct Advertisement {
    payload: Vec<u8>,
}

#[interface(name = "org.bluez.LEAdvertisement1")]
impl Advertisement {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "peripheral"
    }

    #[zbus(property)]
    fn local_name(&self) -> &str {
        "door"
    }

    #[zbus(property)]
    fn service_data(&self) -> HashMap<String, OwnedValue> {
        let data = Value::from(self.payload.clone()).try_to_owned().expect("no file descriptors here");
        HashMap::from([(BTHOME.to_owned(), data)])
    }

    fn release(&self) {}
}

/// The objects of our GATT application, as bluetoothd asks for them once.
struct App;

type Properties = HashMap<&'static str, OwnedValue>;

#[interface(name = "org.freedesktop.DBus.ObjectManager")]
impl App {
    fn get_managed_objects(&self) -> HashMap<OwnedObjectPath, HashMap<&'static str, Properties>> {
        let own = |value: Value<'_>| value.try_to_owned().expect("no file descriptors here");
        let path = ObjectPath::from_static_str_unchecked;
        let uuid = |short: &str| own(format!("0000{short}-0000-1000-8000-00805f9b34fb").into());
        let service = HashMap::from([("UUID", uuid("180f")), ("Primary", own(true.into()))]);
        let battery = HashMap::from([
            ("UUID", uuid("2a19")),
            ("Service", own(path(SERVICE).into())),
            ("Flags", own(vec!["read"].into())),
        ]);
        HashMap::from([
            (path(SERVICE).into(), HashMap::from([("org.bluez.GattService1", service)])),
            (path(CHARACTERISTIC).into(), HashMap::from([("org.bluez.GattCharacteristic1", battery)])),
        ])
    }
}

struct Battery;

#[interface(name = "org.bluez.GattCharacteristic1")]
impl Battery {
    fn read_value(&self, _options: HashMap<String, OwnedValue>) -> Vec<u8> {
        println!("battery read");
        vec![BATTERY_PERCENT]
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> zbus::Result<()> {
    let adapter = format!("/org/bluez/{}", std::env::args().nth(1).unwrap_or_else(|| "hci1".into()));
    // Served before anything is said: bluetoothd asks back at once.
    let serving = zbus::connection::Builder::system()?.serve_at("/app", App)?.serve_at(CHARACTERISTIC, Battery)?;
    let bus = serving.build().await?;
    let objects = bus.object_server();
    let nothing = HashMap::<String, OwnedValue>::new();
    let call = async |interface: &str, member: &str, body: &(ObjectPath<'static>, HashMap<String, OwnedValue>)| {
        bus.call_method(Some("org.bluez"), adapter.as_str(), Some(interface), member, body).await.map(drop)
    };
    let app = (ObjectPath::from_static_str_unchecked("/app"), nothing.clone());
    call("org.bluez.GattManager1", "RegisterApplication", &app).await?;
    println!("sensor on {adapter}");
    for packet in 0u8.. {
        let payload = vec![0x40, 0x00, packet, 0x1F, packet & 1];
        let path = ObjectPath::try_from(format!("/advert{packet}"))?;
        objects.at(&path, Advertisement { payload }).await?;
        call("org.bluez.LEAdvertisingManager1", "RegisterAdvertisement", &(path.clone(), nothing.clone())).await?;
        tokio::time::sleep(TURN_EVERY).await;
        let gone = bus.call_method(
            Some("org.bluez"),
            adapter.as_str(),
            Some("org.bluez.LEAdvertisingManager1"),
            "UnregisterAdvertisement",
            &path,
        );
        gone.await?;
        objects.remove::<Advertisement, _>(&path).await?;
    }
    Ok(())
}
