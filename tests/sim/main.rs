//! A seeded simulation of the whole hub: radio, bridge, clocks, restarts, a failing disk; and what must hold whatever they do.
//!
//! Goal: find histories that nobody thought of. Method: a seed makes a building's history of a few hours; what the log then
//! holds is compared with what happened, by rules simpler than the hub's own. `make sim` runs 10,000 seeds (from `SIM_FROM` on);
//! failures print their seeds, and `SIM_SEED=n cargo test --test sim` plays just that one.

mod codes;
#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/hub.rs"]
#[allow(dead_code)]
mod hub;
#[path = "../support/lock.rs"]
#[allow(dead_code)]
mod lock;
#[path = "../support/people.rs"]
mod people;

use std::collections::{BTreeMap, HashMap, HashSet};

use codes::Door;
use dice::Dice;
use hub::{HOME, NOON, Rig, ble, network, node, report, settings};
use portcullis::event::{ErrorCode, Event, EventType};
use portcullis::hub::{Action, Command, Input, RowKind};
use portcullis::signal::{
    Description, DeviceKey, DeviceKind, DownReason, LinkNews, LockState, LockUser, Method, NodeStatus, Outcome, Signal,
};
use uuid::Uuid;

/// A mistake to plant, to see that it is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A battery is armed again as soon as it is above the threshold.
    LostHysteresis,
    /// Frames come without the counter by which their repeats are known.
    DoubledFrame,
    /// Durations are taken from the wall clock.
    WallForMonotonic,
}

/// Always advertises; tells operations, each frame counted. The yardstick of presence and of operations.
const OPERATED: u8 = 1;
/// A lock that tells its state only.
const STATE: u8 = 2;
/// A sensor whose battery wears.
const SENSOR: u8 = 3;
/// Comes and goes; is in the configuration at times.
const FICKLE: u8 = 4;
/// In no configuration.
const STRANGER: u8 = 9;

const BASE: &str = r#"
    [[zwave]]
    name = "main"
    url = "ws://127.0.0.1:3000"
    [[devices]]
    address = "C0:FF:EE:00:00:01"
    [[devices]]
    address = "C0:FF:EE:00:00:02"
    [[devices]]
    address = "C0:FF:EE:00:00:03"
"#;

/// What is in the configuration, with or without the one that comes and goes.
fn toml(fickle: bool) -> String {
    format!("{BASE}{}{}", codes::ENTRY, if fickle { WITH_FICKLE } else { "" })
}

const WITH_FICKLE: &str = "[[devices]]\naddress = \"C0:FF:EE:00:00:04\"\n";

/// Something that happened, with the number of the output that should tell it: lost with it when the disk loses it.
#[derive(Clone, Copy, Debug)]
enum Fact {
    Operated,
    Charge(u8),
}

struct Sim {
    dice: Dice,
    rig: Rig,
    fault: Fault,
    facts: Vec<(usize, Fact)>,
    hears: bool,
    bridge: bool,
    fickle_is_there: bool,
    fickle_is_listed: bool,
    stranger_is_there: bool,
    charge: u8,
    counter: u32,
    node_locked: bool,
    door: Door,
    /// The radio hears nothing, and does not say so.
    stalled: bool,
    /// How long the radio has been off or stalled.
    deaf_s: u64,
    /// Times at which it was deaf for so long that a device that never stops may be told as lost.
    away: usize,
    /// When the daemon that runs now last heard the device that never stops.
    heard_at: Option<u64>,
    readopted: HashSet<Uuid>,
    /// Attempts, and what they want.
    wanted: HashMap<Uuid, bool>,
    /// Those that a lock was sent.
    sent: HashSet<Uuid>,
    /// Those whose lock has said since that it is as they want it.
    obeyed: HashSet<Uuid>,
}

impl Sim {
    fn new(seed: u64, fault: Fault) -> Sim {
        let mut settings = settings(&toml(false));
        if fault == Fault::LostHysteresis {
            settings.battery.rearm = 0.0;
        }
        let mut rig = Rig::on(settings);
        rig.wall_for_monotonic = fault == Fault::WallForMonotonic;
        Sim {
            dice: Dice(seed),
            rig,
            fault,
            facts: Vec::new(),
            hears: true,
            bridge: false,
            fickle_is_there: true,
            fickle_is_listed: false,
            stranger_is_there: true,
            stalled: false,
            charge: 100,
            counter: 0,
            node_locked: true,
            door: Door::new(seed % 2 == 1),
            deaf_s: 0,
            away: 0,
            heard_at: None,
            readopted: HashSet::new(),
            wanted: HashMap::new(),
            sent: HashSet::new(),
            obeyed: HashSet::new(),
        }
    }

    fn run(mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            self.step();
            self.answer()?;
            self.who_was_just_heard_is_there()?;
            self.door.nothing_opens_early(&self.rig)?;
        }
        // Everything that waits may come out.
        self.rig.disk_fails = false;
        self.rig.synchronized = true;
        self.pass(300);
        self.check()?;
        self.rig.wall_offset = NOON;
        if !self.bridge {
            self.bridge();
        }
        self.door.ends_well(&mut self.rig)
    }

    /// Hands over a frame of a counted sender, perhaps more than once.
    fn frame(&mut self, n: u8, signals: Vec<Signal>, fact: Option<Fact>) {
        self.counter += 1;
        if !self.hears || self.stalled {
            return;
        }
        let mut frame = report(ble(n), signals);
        frame.counter = Some(self.counter).filter(|_| self.fault != Fault::DoubledFrame);
        self.facts.extend(fact.map(|fact| (self.rig.next_output(), fact)));
        for _ in 0..=self.dice.roll(3) {
            self.rig.give(Input::Report(frame.clone()));
        }
    }

    fn pass(&mut self, seconds: u64) {
        // Ten seconds apart, as a slow beacon: some silences are shorter than any timeout.
        for _ in 0..seconds.div_ceil(10) {
            let hears = self.hears && !self.stalled;
            if hears {
                self.heard_at = Some(self.rig.at);
                let fickle = self.fickle_is_there.then_some(FICKLE);
                let stranger = self.stranger_is_there.then_some(STRANGER);
                for n in [OPERATED, STATE, SENSOR].into_iter().chain(fickle).chain(stranger) {
                    self.rig.hear(ble(n), []);
                }
            }
            self.rig.wait(10.0);
            self.door.obey(&mut self.rig, self.bridge);
            if !hears {
                self.deaf_s += 10;
                // No timeout is shorter than a minute.
                self.away += usize::from(self.deaf_s == 60);
            }
        }
    }

    fn step(&mut self) {
        match self.dice.roll(34) {
            0..=5 => {
                let seconds = 10 + self.dice.roll(120);
                self.pass(seconds);
            }
            6 | 7 => {
                let locked = self.dice.often();
                let operation = Signal::LockOperation { locked, method: Method::Keycode, user: Some(LockUser(3)) };
                self.frame(OPERATED, vec![operation], Some(Fact::Operated));
            }
            8 => {
                let state = if self.dice.often() { LockState::Locked } else { LockState::Unlocked };
                self.frame(STATE, vec![Signal::Lock(state)], None);
            }
            9..=12 => self.wear(),
            13 => {
                let on = self.dice.often();
                self.frame(SENSOR, vec![Signal::Tamper(on)], None);
            }
            14 => self.fickle_is_there = !self.fickle_is_there,
            15 => self.stranger_is_there = !self.stranger_is_there,
            16 => self.radio(),
            17 => self.bridge(),
            18 => self.node(),
            19 => self.clock(),
            20 => self.stop(),
            21 => self.rig.disk_fails = self.dice.often(),
            22 => self.user(),
            23 | 24 => self.operate(),
            25 => {
                self.stalled = !self.stalled;
                self.deaf_s = 0;
            }
            27..=33 => self.door.step(&mut self.rig, self.bridge, &mut self.dice),
            _ => {
                self.fickle_is_listed = !self.fickle_is_listed;
                let rearm = if self.fault == Fault::LostHysteresis { Some(0.0) } else { None };
                self.rig.configure_with(&toml(self.fickle_is_listed), |settings| {
                    settings.battery.rearm = rearm.unwrap_or(settings.battery.rearm);
                });
            }
        }
    }

    /// The battery wears, jitters by a percent or two, and is replaced when it is empty.
    fn wear(&mut self) {
        self.charge = match self.charge {
            0..=4 => 100,
            // Most of its life near the threshold, where it is hard.
            c if c > 40 => 30,
            c => c - self.dice.roll(3) as u8,
        };
        let percent = (self.charge + self.dice.roll(4) as u8).min(100);
        self.frame(SENSOR, vec![Signal::Battery { percent }], Some(Fact::Charge(percent)));
    }

    fn radio(&mut self) {
        self.hears = !self.hears;
        self.stalled = false;
        self.deaf_s = 0;
        self.rig.adapter(self.hears);
    }

    /// The bridge goes or comes, with the dump of everything it remembers.
    fn bridge(&mut self) {
        self.bridge = !self.bridge;
        if !self.bridge {
            return self.rig.link(network(), LinkNews::BridgeDown(DownReason::Unreachable));
        }
        self.rig.link(network(), LinkNews::BridgeUp { home: HOME });
        for n in [2, 3] {
            let kind = Some(DeviceKind::Lock);
            let locked = if self.node_locked { LockState::Locked } else { LockState::Unlocked };
            self.rig.hear(
                node(n),
                [
                    Signal::Described(Box::new(Description { kind, can_lock: Some(true), ..Description::default() })),
                    Signal::Remembered(Box::new(Signal::Lock(locked))),
                    Signal::Remembered(Box::new(Signal::Battery { percent: 70 })),
                    Signal::Node(NodeStatus::Alive),
                ],
            );
        }
        self.door.dump(&mut self.rig);
        self.rig.link(network(), LinkNews::BridgeSynced { home: HOME });
    }

    fn node(&mut self) {
        if !self.bridge {
            return;
        }
        let n = 2 + self.dice.roll(2) as u16;
        match self.dice.roll(4) {
            0 => self.rig.hear(node(n), [Signal::Node(NodeStatus::Dead)]),
            1 => self.rig.hear(node(n), [Signal::Node(NodeStatus::Alive)]),
            _ => {
                self.is_so(!self.node_locked);
                let (locked, method) = (self.node_locked, Method::Manual);
                self.rig.hear(node(n), [Signal::LockOperation { locked, method, user: None }]);
            }
        }
    }

    /// A lock will say that it is so; that is an answer to all who want it.
    fn is_so(&mut self, locked: bool) {
        self.node_locked = locked;
        self.obeyed.extend(self.wanted.iter().filter(|(_, wants)| **wants == locked).map(|(id, _)| *id));
    }

    /// Somebody wants a door locked or unlocked.
    fn operate(&mut self) {
        let key = node(2 + self.dice.roll(2) as u16);
        let lock = self.dice.often();
        let device_id = self.rig.hub.as_ref().unwrap().devices().find(|d| d.key == key).map(|d| d.device_id);
        let Some(device_id) = device_id else { return };
        if let Ok(view) = self.rig.command(Command::Lock { device_id, lock }) {
            self.wanted.extend(view["action_attempt_id"].as_str().and_then(|id| id.parse().ok()).map(|id| (id, lock)));
        }
    }

    /// The locks do what they were asked, or something else; and no attempt is asked for twice.
    fn answer(&mut self) -> Result<(), String> {
        for action in self.door.leaves(&mut self.rig) {
            let Action::SetLock { device, attempt, lock } = action else { continue };
            if !self.sent.insert(attempt) {
                return Err(format!("attempt {attempt} was sent to the lock twice"));
            }
            if !self.bridge {
                let outcome = Outcome::LinkDown;
                self.rig.hear(device, [Signal::Attempted { attempt, outcome }]);
                continue;
            }
            let state = Signal::Lock(if lock { LockState::Locked } else { LockState::Unlocked });
            match self.dice.roll(8) {
                0 => self.rig.hear(device, [Signal::Attempted { attempt, outcome: Outcome::Refused }]),
                1 => self.rig.hear(device, [Signal::Lock(LockState::Jammed)]),
                2 => self.pass(60),
                n => {
                    self.rig.wait(n as f64);
                    self.is_so(lock);
                    self.rig.hear(
                        device,
                        [state, Signal::LockOperation { locked: lock, method: Method::Unknown, user: None }],
                    );
                }
            }
        }
        Ok(())
    }

    /// No silence of less than 25 s is judged, whatever the clocks on the wall say.
    fn who_was_just_heard_is_there(&mut self) -> Result<(), String> {
        self.rig.give(Input::Wake);
        let ago = self.heard_at.map_or(u64::MAX, |at| self.rig.at - at);
        let there = self.rig.hub.as_ref().unwrap().devices().any(|d| d.key == ble(OPERATED) && d.connected);
        if ago < 25_000 && !there {
            return Err(format!("a device is lost that was heard {ago} ms ago"));
        }
        Ok(())
    }

    fn clock(&mut self) {
        let hour = 3_600_000;
        match self.dice.roll(6) {
            0 => self.rig.wall_offset += hour,
            1 => self.rig.wall_offset -= hour,
            2 => self.rig.wall_offset -= 24 * hour,
            // Back in 1970, as a Pi without its battery; then set.
            3 => (self.rig.wall_offset, self.rig.synchronized) = (0, false),
            _ => (self.rig.wall_offset, self.rig.synchronized) = (NOON, true),
        }
    }

    fn stop(&mut self) {
        let away = 1 + self.dice.roll(60);
        if self.dice.often() {
            self.rig.restart(away);
        } else {
            self.rig.crash(away);
        }
        self.door.obey_nobody(&mut self.rig, &mut self.dice);
        self.heard_at = None;
        let committed = self.rig.committed;
        self.facts.retain(|(output, _)| *output <= committed);
        // A source starts anew with its daemon: what it says first, it says again.
        self.bridge = false;
        if !self.hears {
            self.rig.adapter(false);
        }
        // Configured anew is what the file says.
        if self.dice.often() {
            self.bridge();
        }
    }

    fn user(&mut self) {
        let key = [node(2), node(3), ble(STRANGER)][self.dice.roll(3) as usize];
        let device = self.rig.hub.as_ref().unwrap().devices().find(|d| d.key == key).map(|d| d.device_id);
        let device_id = device.unwrap_or_else(|| key.device_id(0));
        let command = match self.dice.roll(4) {
            0 => Command::Adopt { device_id, name: None },
            1 => Command::Release { device_id },
            2 => Command::Rename { device_id, name: Some(format!("name {}", self.dice.roll(5))) },
            _ => Command::Delete { device_id },
        };
        if matches!(command, Command::Adopt { .. }) && device.is_none() {
            self.readopted.insert(device_id);
        }
        let _ = self.rig.command(command);
    }

    fn check(&self) -> Result<(), String> {
        let log = &self.rig.log;
        ids_and_dates(log)?;
        alternate(log)?;
        self.nothing_after_deletion(log)?;
        let of = |key: DeviceKey, types: &[EventType]| {
            let id = key.device_id(0);
            log.iter().filter(|e| e.device_id == Some(id) && types.contains(&e.event_type)).count()
        };
        let bolts = [EventType::LockLocked, EventType::LockUnlocked];
        let operated = self.facts.iter().filter(|(_, f)| matches!(f, Fact::Operated)).count();
        let told = of(ble(OPERATED), &bolts);
        if told != operated {
            return Err(format!("{operated} operations, {told} told"));
        }
        let discharges = self.discharges();
        let told = of(ble(SENSOR), &[EventType::DeviceLowBattery]);
        if told != discharges {
            return Err(format!("{discharges} discharges, {told} told as low"));
        }
        let lost = of(ble(OPERATED), &[EventType::DeviceDisconnected]);
        if lost > self.away {
            return Err(format!("a device that never stops was lost {lost} times, the radio {} times", self.away));
        }
        self.attempts_end_once()?;
        nobody_is_blamed_for_the_radio(log)
    }

    /// Every attempt has an end, told once; a success rests on what the lock said.
    fn attempts_end_once(&self) -> Result<(), String> {
        let mut ended = HashSet::new();
        for event in self.rig.log.iter().filter(|e| e.event_type.as_str().starts_with("action_attempt.")) {
            let id = event.details.action_attempt_id.ok_or("an attempt without id")?;
            if !ended.insert(id) {
                return Err(format!("the end of attempt {id} is told twice"));
            }
        }
        for (id, row) in self.rig.rows(RowKind::Attempt) {
            let id: Uuid = id.parse().map_err(|_| "an attempt's row without id")?;
            match row["status"].as_str() {
                Some("pending") => return Err(format!("attempt {id} has no end")),
                Some("success") if !self.obeyed.contains(&id) => {
                    return Err(format!("attempt {id} succeeded and the lock said nothing"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The discharges by the readings that were kept: at or under 20 %, then above 25 %.
    fn discharges(&self) -> usize {
        let (mut armed, mut count) = (true, 0);
        for (_, fact) in &self.facts {
            match fact {
                Fact::Charge(percent) if *percent <= 20 && armed => (armed, count) = (false, count + 1),
                Fact::Charge(percent) if *percent > 25 => armed = true,
                _ => {}
            }
        }
        count
    }

    fn nothing_after_deletion(&self, log: &[Event]) -> Result<(), String> {
        let mut deleted = HashSet::new();
        for event in log {
            let Some(id) = event.device_id.filter(|id| !self.readopted.contains(id)) else { continue };
            if deleted.contains(&id) {
                return Err(format!("{} is told of {id} after its deletion", event.event_type));
            }
            if event.event_type == EventType::DeviceDeleted {
                deleted.insert(id);
            }
        }
        Ok(())
    }
}

fn ids_and_dates(log: &[Event]) -> Result<(), String> {
    let ids: HashSet<Uuid> = log.iter().map(|e| e.event_id).collect();
    if ids.len() != log.len() {
        return Err(format!("{} events have {} ids", log.len(), ids.len()));
    }
    match log.windows(2).find(|w| w[1].created_at < w[0].created_at) {
        Some(w) => Err(format!("created_at runs back from {} to {}", w[0].created_at, w[1].created_at)),
        None => Ok(()),
    }
}

/// The one that never stops falls silent with all others only. Where three or more are known, that is the radio's doing. (The others
/// tell no operations: where the radio hears for just a moment, it is heard and they are not.)
fn nobody_is_blamed_for_the_radio(log: &[Event]) -> Result<(), String> {
    let of_radio: HashMap<Uuid, u8> =
        [OPERATED, STATE, SENSOR, FICKLE, STRANGER].into_iter().map(|n| (ble(n).device_id(0), n)).collect();
    let mut known = HashSet::new();
    for event in log {
        let Some(n) = event.device_id.and_then(|id| of_radio.get(&id)) else { continue };
        match event.event_type {
            EventType::DeviceConnected | EventType::DeviceUnmanagedConnected => drop(known.insert(*n)),
            EventType::DeviceDeleted => drop(known.remove(n)),
            EventType::DeviceDisconnected | EventType::DeviceUnmanagedDisconnected
                if event.details.error_code == Some(ErrorCode::DeviceDisconnected) =>
            {
                if *n == OPERATED && known.len() >= 3 {
                    return Err(format!("at {} the silence of all is blamed on one", event.created_at));
                }
                known.remove(n);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Connected and disconnected by turns, of each device and each account; and so the bolt of a lock that tells its state.
fn alternate(log: &[Event]) -> Result<(), String> {
    let mut up: HashMap<Uuid, bool> = HashMap::new();
    let mut bolt: Option<EventType> = None;
    for event in log {
        let subject = event.device_id.unwrap_or(event.connected_account_id);
        let now = match event.event_type {
            EventType::DeviceConnected | EventType::DeviceUnmanagedConnected | EventType::ConnectedAccountConnected => {
                true
            }
            EventType::DeviceDisconnected
            | EventType::DeviceUnmanagedDisconnected
            | EventType::ConnectedAccountDisconnected => false,
            EventType::DeviceDeleted | EventType::DeviceRemoved => {
                up.remove(&subject);
                continue;
            }
            EventType::LockLocked | EventType::LockUnlocked if subject == ble(STATE).device_id(0) => {
                if bolt.replace(event.event_type) == Some(event.event_type) {
                    return Err(format!("{} is told twice running", event.event_type));
                }
                continue;
            }
            _ => continue,
        };
        if up.insert(subject, now).unwrap_or(false) == now {
            return Err(format!("{} is told of {subject}, which is so already", event.event_type));
        }
    }
    Ok(())
}

/// Ten hours or so.
const STEPS: usize = 200;

/// Failures after which a thread stops: enough to see what they have in common.
const SHOWN: usize = 10;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = number("SIM_FROM").unwrap_or(0);
            from..from + number("SIM_SEEDS").unwrap_or(300)
        }
    }
}

#[test]
fn what_must_hold_holds_whatever_happens() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failed = std::thread::scope(|scope| {
        let run = |n: u64| {
            move || {
                let failed = |seed: &u64| Sim::new(*seed, Fault::None).run(STEPS).err().map(|why| (*seed, why));
                seeds()
                    .filter(|seed| seed % threads == n)
                    .filter_map(|seed| failed(&seed))
                    .take(SHOWN)
                    .collect::<Vec<_>>()
            }
        };
        let runs: Vec<_> = (0..threads).map(|n| scope.spawn(run(n))).collect();
        runs.into_iter().flat_map(|r| r.join().unwrap()).collect::<BTreeMap<_, _>>()
    });
    let failed: Vec<String> = failed
        .into_iter()
        .map(|(seed, why)| format!("seed {seed}: {why}; SIM_SEED={seed} cargo test --test sim"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Seeds within which a planted fault must show.
const SOON: u64 = 20;

fn is_caught(fault: Fault) -> Option<String> {
    (0..SOON).find_map(|seed| Sim::new(seed, fault).run(STEPS).err())
}

#[test]
fn a_lost_hysteresis_is_caught() {
    let why = is_caught(Fault::LostHysteresis).expect("nothing was noticed");
    assert!(why.contains("told as low"), "{why}");
}

#[test]
fn a_doubled_frame_let_through_is_caught() {
    let why = is_caught(Fault::DoubledFrame).expect("nothing was noticed");
    assert!(why.contains("operations"), "{why}");
}

#[test]
fn the_wall_clock_taken_for_the_monotonic_one_is_caught() {
    is_caught(Fault::WallForMonotonic).expect("nothing was noticed");
}
