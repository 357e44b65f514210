//! Batteries (and what a device is) read over a connection, from devices that do not say it in their adverts.
//!
//! [`Schedule`] is pure and says who is due. [`read`] does it with btleplug on a thread and runtime of its own, which end with the
//! reading: btleplug's session can be neither closed nor trusted after the bus was lost (a call hangs for 30 s, a background
//! task panics), and this way nothing of it outlives one reading.
//!
//! Promises: one connection at a time per adapter; every step has a time limit; whatever happened, the device is disconnected, or
//! BlueZ would hold it and it would stop advertising; a device that tells its battery in adverts is never connected to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use btleplug::api::{Central, CharPropFlags, Manager as _, Peripheral as _};
use btleplug::platform::{Adapter, Manager, Peripheral};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::signal::Address;
use crate::source::ble::uuid16;
use crate::time::Mono;

const BATTERY_SERVICE: Uuid = uuid16(0x180F);
pub const BATTERY_LEVEL: Uuid = uuid16(0x2A19);
pub const BATTERY_LEVEL_STATUS: Uuid = uuid16(0x2BED);
pub const MODEL: Uuid = uuid16(0x2A24);
pub const FIRMWARE: Uuid = uuid16(0x2A26);
pub const MANUFACTURER: Uuid = uuid16(0x2A29);

/// In this order: what matters comes first, before the device hangs up.
const WANTED: [Uuid; 5] = [BATTERY_LEVEL, BATTERY_LEVEL_STATUS, MANUFACTURER, MODEL, FIRMWARE];

/// Time for its adverts to say the battery by themselves.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// A device that was not configured for it gets more: several rounds of the slowest rotating adverts.
const UNLISTED_FIRST_AFTER: Duration = Duration::from_secs(3600);
/// bluetoothd forgets a device 30 s after its last advert (`TemporaryTimeout`); later a connection cannot even be asked for.
const HEARD_WITHIN: Duration = Duration::from_secs(20);
/// `le-connection-abort-by-local` is common and passes.
const RETRY_MIN: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(6 * 3600);
/// Devices with a plan; more are not polled. Only managed ones can get here.
const DEVICES_MAX: usize = 1024;

/// A connection is made within one or two advertising intervals (10.24 s at most), and includes BlueZ's reading of the services.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(25);
/// Each a few round trips over the air at the slowest connection interval (4 s).
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Anything on the bus alone.
const BUS_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked for by the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub every: Duration,
    /// `[[devices]] gatt_battery`: poll it, or never.
    pub devices: HashMap<Address, bool>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { every: Duration::from_secs(12 * 3600), devices: HashMap::new() }
    }
}

#[derive(Debug)]
struct Plan {
    next: Mono,
    backoff: Backoff,
    heard: Mono,
    adapter: Arc<str>,
}

/// Who is read when.
#[derive(Debug)]
pub struct Schedule {
    settings: Settings,
    plans: HashMap<Address, Plan>,
    /// Devices that said their battery in an advert.
    talkative: HashSet<Address>,
    /// Adapters with a connection under way.
    busy: HashSet<Arc<str>>,
}

impl Schedule {
    pub fn new(settings: Settings) -> Schedule {
        Schedule { settings, plans: HashMap::new(), talkative: HashSet::new(), busy: HashSet::new() }
    }

    /// An advert of a managed device. `says_battery`: it carried the level; `services`: the service UUIDs it names.
    pub fn heard(&mut self, now: Mono, adapter: &Arc<str>, address: Address, says_battery: bool, services: &[Uuid]) {
        if says_battery {
            self.plans.remove(&address);
            if self.talkative.len() < DEVICES_MAX {
                self.talkative.insert(address);
            }
            return;
        }
        if let Some(plan) = self.plans.get_mut(&address) {
            plan.heard = now;
            if !Arc::ptr_eq(&plan.adapter, adapter) && !self.busy.contains(&plan.adapter) {
                plan.adapter = adapter.clone();
            }
            return;
        }
        let first_after = match self.settings.devices.get(&address) {
            Some(true) => FIRST_AFTER,
            None if services.contains(&BATTERY_SERVICE) => UNLISTED_FIRST_AFTER,
            Some(false) | None => return,
        };
        if self.plans.len() < DEVICES_MAX && !self.talkative.contains(&address) {
            let backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
            self.plans.insert(address, Plan { next: now + first_after, backoff, heard: now, adapter: adapter.clone() });
        }
    }

    /// The next device to read, and on which adapter; answer with [`Schedule::done`].
    pub fn due(&mut self, now: Mono, can_connect: impl Fn(&str) -> bool) -> Option<(Arc<str>, Address)> {
        let ready = |p: &Plan| p.next <= now && now.since(p.heard) <= HEARD_WITHIN;
        let ready =
            self.plans.iter().filter(|(_, p)| ready(p) && !self.busy.contains(&p.adapter) && can_connect(&p.adapter));
        let (address, plan) = ready.min_by_key(|(address, p)| (p.next, **address))?;
        let due = (plan.adapter.clone(), *address);
        self.busy.insert(due.0.clone());
        Some(due)
    }

    pub fn done(&mut self, now: Mono, adapter: &Arc<str>, address: Address, success: bool, dice: u64) {
        self.busy.remove(adapter);
        if let Some(plan) = self.plans.get_mut(&address) {
            plan.next = if success {
                plan.backoff.reset();
                now + self.settings.every
            } else {
                now + plan.backoff.pause(dice)
            };
        }
    }

    /// No reading is under way any more: they went with the connection to the bus.
    pub fn all_abandoned(&mut self) {
        self.busy.clear();
    }

    /// When the next device falls due. One that is due already waits for its adapter or for an advert, not for time.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        let heard = |p: &&Plan| now.since(p.heard) <= HEARD_WITHIN && !self.busy.contains(&p.adapter);
        self.plans.values().filter(heard).map(|p| p.next).filter(|next| *next > now).min()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{step} took longer than {} s", .limit.as_secs())]
    Timeout { step: &'static str, limit: Duration },
    #[error("{step}: {source}")]
    Refused { step: &'static str, source: btleplug::Error },
    #[error("{0} is not there")]
    Gone(String),
    #[error("it has no readable battery level")]
    NoBattery,
    #[error("the reading broke down")]
    BrokeDown,
}

/// What was read, in the order of [`WANTED`].
pub type Values = Vec<(Uuid, Vec<u8>)>;

/// Connects, reads, disconnects. Dropping the future lets the thread disconnect by itself.
pub async fn read(adapter: Arc<str>, address: Address) -> Result<Values, ReadError> {
    let (mut answer, answered) = oneshot::channel();
    let name = format!("gatt-{adapter}");
    let work = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let values = runtime.block_on(read_here(&adapter, address, &mut answer));
        let _ = answer.send(values);
        // Takes btleplug's background task along, and with it the connection to the bus.
        runtime.shutdown_background();
    };
    if std::thread::Builder::new().name(name).spawn(work).is_err() {
        return Err(ReadError::BrokeDown);
    }
    answered.await.unwrap_or(Err(ReadError::BrokeDown))
}

async fn read_here(
    adapter: &str,
    address: Address,
    answer: &mut oneshot::Sender<Result<Values, ReadError>>,
) -> Result<Values, ReadError> {
    let manager = step("connecting to the bus", BUS_TIMEOUT, Manager::new()).await?;
    let adapter = find_adapter(&manager, adapter).await?;
    let peripherals = step("listing devices", BUS_TIMEOUT, adapter.peripherals()).await?;
    let peripheral = peripherals.into_iter().find(|p| Address(p.address().into_inner()) == address);
    let peripheral = peripheral.ok_or_else(|| ReadError::Gone(address.to_string()))?;
    let values = tokio::select! {
        values = read_connected(&peripheral) => values,
        () = answer.closed() => Err(ReadError::BrokeDown),
    };
    // Also after a failed connection: one that timed out may still come about.
    let _ = step("disconnecting", BUS_TIMEOUT, peripheral.disconnect()).await;
    values
}

async fn find_adapter(manager: &Manager, name: &str) -> Result<Adapter, ReadError> {
    for adapter in step("listing adapters", BUS_TIMEOUT, manager.adapters()).await? {
        // "hci0 (usb:v1D6Bp0246d0542)"
        let info = step("asking for the adapter", BUS_TIMEOUT, adapter.adapter_info()).await?;
        if info.split(' ').next() == Some(name) {
            return Ok(adapter);
        }
    }
    Err(ReadError::Gone(name.to_owned()))
}

async fn read_connected(peripheral: &Peripheral) -> Result<Values, ReadError> {
    step("connecting", CONNECT_TIMEOUT, peripheral.connect()).await?;
    step("listing its services", STEP_TIMEOUT, peripheral.discover_services()).await?;
    let characteristics = peripheral.characteristics();
    let mut values = Values::new();
    for uuid in WANTED {
        let readable = characteristics.iter().find(|c| c.uuid == uuid && c.properties.contains(CharPropFlags::READ));
        let Some(characteristic) = readable else { continue };
        match step("reading", STEP_TIMEOUT, peripheral.read(characteristic)).await {
            Ok(value) => values.push((uuid, value)),
            Err(error) if values.is_empty() => return Err(error),
            // The battery is in; the rest comes another time.
            Err(_) => break,
        }
    }
    let has_battery = values.iter().any(|(uuid, _)| [BATTERY_LEVEL, BATTERY_LEVEL_STATUS].contains(uuid));
    if has_battery { Ok(values) } else { Err(ReadError::NoBattery) }
}

async fn step<T>(
    step: &'static str,
    limit: Duration,
    doing: impl Future<Output = btleplug::Result<T>>,
) -> Result<T, ReadError> {
    match tokio::time::timeout(limit, doing).await {
        Ok(done) => done.map_err(|source| ReadError::Refused { step, source }),
        Err(_) => Err(ReadError::Timeout { step, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    fn address(n: u8) -> Address {
        Address([0xC0, 0xFF, 0xEE, 0, 0, n])
    }

    fn schedule(devices: &[(u8, bool)]) -> (Schedule, Arc<str>) {
        let devices = devices.iter().map(|(n, poll)| (address(*n), *poll)).collect();
        (Schedule::new(Settings { every: Duration::from_secs(3600), devices }), "hci0".into())
    }

    #[test]
    fn a_configured_device_is_read_on_schedule_one_at_a_time() {
        let (mut schedule, hci0) = schedule(&[(1, true), (2, true)]);
        for at in 0..10 {
            schedule.heard(s(at), &hci0, address(1), false, &[]);
            schedule.heard(s(at), &hci0, address(2), false, &[]);
        }
        assert_eq!(schedule.due(s(4), |_| true), None);
        assert_eq!(schedule.due(s(9), |_| true), Some((hci0.clone(), address(1))));
        assert_eq!(schedule.due(s(9), |_| true), None, "the adapter is busy");
        schedule.done(s(10), &hci0, address(1), true, 0);
        assert_eq!(schedule.due(s(10), |_| true), Some((hci0.clone(), address(2))));
        schedule.done(s(11), &hci0, address(2), true, 0);
        assert_eq!(schedule.wake_at(s(11)), Some(s(3610)));
    }

    #[test]
    fn a_device_that_tells_its_battery_in_adverts_is_never_connected_to() {
        let (mut schedule, hci0) = schedule(&[(1, true)]);
        schedule.heard(s(0), &hci0, address(1), false, &[]);
        schedule.heard(s(1), &hci0, address(1), true, &[]);
        schedule.heard(s(2), &hci0, address(1), false, &[BATTERY_SERVICE]);
        assert_eq!(schedule.due(s(10), |_| true), None);
        assert_eq!(schedule.wake_at(s(10)), None);
    }

    #[test]
    fn an_unlisted_device_is_read_only_if_it_offers_a_battery_and_never_if_it_is_configured_off() {
        let (mut schedule, hci0) = schedule(&[(3, false)]);
        for at in [0, 3590, 3610] {
            schedule.heard(s(at), &hci0, address(1), false, &[]);
            schedule.heard(s(at), &hci0, address(2), false, &[BATTERY_SERVICE]);
            schedule.heard(s(at), &hci0, address(3), false, &[BATTERY_SERVICE]);
        }
        assert_eq!(schedule.due(s(3599), |_| true), None);
        assert_eq!(schedule.due(s(3610), |_| true), Some((hci0.clone(), address(2))));
        schedule.done(s(3610), &hci0, address(2), true, 0);
        assert_eq!(schedule.due(s(3611), |_| true), None);
    }

    #[test]
    fn a_failing_device_backs_off_and_does_not_hold_up_the_others() {
        let (mut schedule, hci0) = schedule(&[(1, true), (2, true)]);
        let mut read = Vec::new();
        for at in 0..3000 {
            schedule.heard(s(at), &hci0, address(1), false, &[]);
            schedule.heard(s(at), &hci0, address(2), false, &[]);
            if let Some((adapter, who)) = schedule.due(s(at), |_| true) {
                read.push(who);
                schedule.done(s(at), &adapter, who, who == address(2), u64::MAX);
            }
        }
        assert_eq!(read.iter().filter(|who| **who == address(2)).count(), 1);
        // 30, 60, 120 … 1920 s apart.
        assert_eq!(read.iter().filter(|who| **who == address(1)).count(), 7);
    }

    #[test]
    fn a_device_that_is_not_heard_is_not_connected_to() {
        let (mut schedule, hci0) = schedule(&[(1, true)]);
        schedule.heard(s(0), &hci0, address(1), false, &[]);
        assert_eq!(schedule.due(s(60), |_| true), None);
        assert_eq!(schedule.wake_at(s(60)), None);
        schedule.heard(s(61), &hci0, address(1), false, &[]);
        assert_eq!(schedule.due(s(61), |_| false), None, "an adapter that is off cannot connect");
        assert_eq!(schedule.due(s(61), |_| true), Some((hci0, address(1))));
    }
}
