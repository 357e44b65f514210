//! Who does what when. Pure and seeded: a queue of plans in virtual time, each of which may make further ones.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Dice;
use super::devices::{FITTINGS, Model, Shows, advert};
use crate::source::ble::Advert;
use crate::time::Mono;

/// The front door lock, a Z-Wave lock with user codes.
pub const FRONT_DOOR: u16 = 2;
/// The office lock, likewise.
pub const OFFICE: u16 = 3;
/// The loudness sensor of the stairwell.
pub const STAIRWELL: u16 = 5;

/// Seconds until a lock locks itself.
const AUTO_LOCK: f64 = 30.0;
/// Seconds between two visits on average: often enough to watch, rare enough to follow.
const BETWEEN_VISITS: f64 = 75.0;
/// Seconds in which the failing battery loses a percent.
const BATTERY_PERCENT: f64 = 25.0;
/// Seconds an empty device stays silent until somebody brings a new battery.
const EMPTY: f64 = 900.0;
/// Seconds between the times that the adapter hears nothing, and how long one lasts.
const BETWEEN_STALLS: (f64, f64) = (900.0, 1800.0);
const STALL: (f64, f64) = (20.0, 80.0);

const GUESTS: &[(u16, &str)] = &[(3, "Flat 1's guest"), (4, "Flat 2's guest"), (5, "the cleaner")];

/// Something that the world would notice.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// `hci0` hears this.
    Advert(Box<Advert>),
    /// The Z-Wave driver is told this by a node.
    Zwave(u16, Zwave),
    /// What a bystander would say of it.
    Story(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zwave {
    Keypad { locked: bool, user: u16 },
    Manual { locked: bool },
    AutoLock,
    TooManyCodes,
    Jammed(bool),
    Battery(u8),
    Loudness(f64),
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Advert(usize),
    Visit,
    Step(Act),
    BatteryDrops,
    StallBegins,
    StallEnds,
}

/// A single step of somebody's.
#[derive(Clone, Copy, Debug)]
enum Act {
    UnlockFront { user: u16 },
    LeaveFront,
    AutoLock(u16),
    Door { device: usize, open: bool },
    Bolt { device: usize, locked: bool },
    Office { user: u16 },
    Loud(f64),
    Tamper { device: usize, on: bool },
    Jam(bool),
    NewBattery,
}

pub struct Building {
    dice: Dice,
    plans: BTreeMap<(Mono, u64), Plan>,
    made: u64,
    shows: Vec<Shows>,
    sent: Vec<u32>,
    deaf: bool,
    /// The device with the failing battery is silent.
    empty: bool,
    /// The Z-Wave locks that stand unlocked, and when they lock themselves.
    unlocked: BTreeMap<u16, Mono>,
    visits: u64,
    ready: std::collections::VecDeque<Happening>,
}

fn index(model: Model) -> usize {
    FITTINGS.iter().position(|f| f.model == model).unwrap_or(0)
}

impl Building {
    pub fn new(seed: u64) -> Building {
        let mut building = Building {
            dice: Dice::new(seed),
            plans: BTreeMap::new(),
            made: 0,
            shows: vec![Shows { battery: 87, locked: true, open: false, tampered: false }; FITTINGS.len()],
            sent: vec![1000; FITTINGS.len()],
            deaf: false,
            empty: false,
            unlocked: BTreeMap::new(),
            visits: 0,
            ready: Default::default(),
        };
        building.shows[index(Model::BthomeWindow)].battery = 23;
        for n in 0..FITTINGS.len() {
            let first = building.dice.between(0.1, 3.0);
            building.plan(Mono(0), first, Plan::Advert(n));
        }
        building.plan(Mono(0), 12.0, Plan::Visit);
        building.plan(Mono(0), BATTERY_PERCENT, Plan::BatteryDrops);
        let stall = building.dice.between(BETWEEN_STALLS.0, BETWEEN_STALLS.1);
        building.plan(Mono(0), stall, Plan::StallBegins);
        building
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Mono {
        self.plans.keys().next().map_or(Mono(u64::MAX), |(at, _)| *at)
    }

    /// Everything that happens at [`Building::next_at`].
    pub fn step(&mut self) -> Vec<Happening> {
        if let Some(((at, _), plan)) = self.plans.pop_first() {
            self.carry_out(at, plan);
        }
        self.ready.drain(..).collect()
    }

    fn plan(&mut self, now: Mono, seconds: f64, plan: Plan) {
        self.made += 1;
        self.plans.insert((now + Duration::from_secs_f64(seconds), self.made), plan);
    }

    fn tell(&mut self, story: impl Into<String>) {
        self.ready.push_back(Happening::Story(story.into()));
    }

    fn zwave(&mut self, node: u16, what: Zwave) {
        self.ready.push_back(Happening::Zwave(node, what));
    }

    fn carry_out(&mut self, at: Mono, plan: Plan) {
        match plan {
            Plan::Advert(n) => {
                let fitting = &FITTINGS[n];
                let jitter = self.dice.between(0.0, 0.01);
                self.plan(at, fitting.interval + jitter, Plan::Advert(n));
                let silent = self.empty && fitting.model == Model::BthomeWindow;
                self.sent[n] += 1;
                // One advert in ten is lost on the air.
                if !self.deaf && !silent && self.dice.chance() > 0.1 {
                    let rssi = -60 - (self.dice.roll() % 20) as i16;
                    let heard = advert(fitting, self.shows[n], self.sent[n], rssi);
                    self.ready.push_back(Happening::Advert(Box::new(heard)));
                }
            }
            Plan::Visit => {
                self.visit(at);
                let pause = -BETWEEN_VISITS * (1.0 - self.dice.chance()).ln();
                self.plan(at, pause.clamp(8.0, 300.0), Plan::Visit);
            }
            Plan::BatteryDrops => {
                let device = index(Model::BthomeWindow);
                let battery = &mut self.shows[device].battery;
                *battery = battery.saturating_sub(1);
                if *battery > 0 {
                    self.plan(at, BATTERY_PERCENT, Plan::BatteryDrops);
                } else {
                    self.empty = true;
                    self.tell(format!("The battery of {} is empty: it falls silent", FITTINGS[device].name));
                    self.plan(at, EMPTY, Plan::Step(Act::NewBattery));
                }
            }
            Plan::StallBegins => {
                self.deaf = true;
                self.tell("The Bluetooth adapter stalls and hears nothing (nobody has left)");
                let lasts = self.dice.between(STALL.0, STALL.1);
                self.plan(at, lasts, Plan::StallEnds);
            }
            Plan::StallEnds => {
                self.deaf = false;
                self.tell("The adapter hears again");
                let next = self.dice.between(BETWEEN_STALLS.0, BETWEEN_STALLS.1);
                self.plan(at, next, Plan::StallBegins);
            }
            Plan::Step(act) => self.act(at, act),
        }
    }

    /// Somebody does something. The first visits show one of everything; later ones are drawn.
    fn visit(&mut self, at: Mono) {
        let kind = if self.visits < 7 { self.visits } else { self.dice.roll() % 16 };
        self.visits += 1;
        let (user, _) = *self.dice.pick(GUESTS);
        let contact = index(Model::BthomeDoor);
        let flat = if self.dice.chance() < 0.5 { index(Model::BthomeLock) } else { index(Model::SwitchbotLock) };
        match kind {
            1 => {
                self.tell("Somebody tries code after code at the front door");
                self.zwave(FRONT_DOOR, Zwave::TooManyCodes);
            }
            3 => {
                let level = self.dice.between(74.0, 92.0);
                self.tell(format!("A party begins in the stairwell: {level:.0} dB"));
                self.act(at, Act::Loud(level));
                self.plan(at, 90.0, Plan::Step(Act::Loud(41.0)));
            }
            4 => {
                let device = index(Model::SwitchbotKeypad);
                self.tell("Somebody pulls the keypad off the garden gate");
                self.act(at, Act::Tamper { device, on: true });
                self.plan(at, 120.0, Plan::Step(Act::Tamper { device, on: false }));
            }
            5 => {
                self.tell("The office lock jams on its way");
                self.act(at, Act::Jam(true));
                self.plan(at, 45.0, Plan::Step(Act::Jam(false)));
            }
            2 | 6..=8 => {
                self.tell("Somebody leaves by the front door");
                self.act(at, Act::LeaveFront);
                self.plan(at, 3.0, Plan::Step(Act::Door { device: contact, open: true }));
                self.plan(at, 8.0, Plan::Step(Act::Door { device: contact, open: false }));
            }
            9 | 10 => {
                self.tell("The cleaner opens the office with her code");
                self.act(at, Act::Office { user: 5 });
            }
            _ => {
                let who = GUESTS.iter().find(|(u, _)| *u == user).map_or("somebody", |(_, who)| *who);
                self.tell(format!("At the front door, {who} types a code (slot {user})"));
                self.act(at, Act::UnlockFront { user });
                self.plan(at, 2.0, Plan::Step(Act::Door { device: contact, open: true }));
                self.plan(at, 6.0, Plan::Step(Act::Door { device: contact, open: false }));
                self.plan(at, 20.0, Plan::Step(Act::Bolt { device: flat, locked: false }));
                self.plan(at, 40.0, Plan::Step(Act::Bolt { device: flat, locked: true }));
            }
        }
    }

    fn unlock(&mut self, at: Mono, node: u16, how: Zwave) {
        self.zwave(node, how);
        self.unlocked.insert(node, at + Duration::from_secs_f64(AUTO_LOCK));
        self.plan(at, AUTO_LOCK, Plan::Step(Act::AutoLock(node)));
    }

    fn act(&mut self, at: Mono, act: Act) {
        match act {
            Act::UnlockFront { user } => self.unlock(at, FRONT_DOOR, Zwave::Keypad { locked: false, user }),
            Act::LeaveFront => self.unlock(at, FRONT_DOOR, Zwave::Manual { locked: false }),
            Act::Office { user } => self.unlock(at, OFFICE, Zwave::Keypad { locked: false, user }),
            // Whoever unlocked it again has started the time anew.
            Act::AutoLock(node) if self.unlocked.get(&node).is_some_and(|due| *due <= at) => {
                self.unlocked.remove(&node);
                self.tell(if node == OFFICE { "The office locks itself" } else { "The front door locks itself" });
                self.zwave(node, Zwave::AutoLock);
            }
            Act::AutoLock(_) => {}
            Act::Door { device, open } => self.shows[device].open = open,
            Act::Bolt { device, locked } => {
                self.tell(format!(
                    "{} is turned by hand: {}",
                    FITTINGS[device].name,
                    if locked { "locked" } else { "unlocked" }
                ));
                self.shows[device].locked = locked;
            }
            Act::Loud(decibels) => self.zwave(STAIRWELL, Zwave::Loudness(decibels)),
            Act::Tamper { device, on } => self.shows[device].tampered = on,
            Act::Jam(jammed) => self.zwave(OFFICE, Zwave::Jammed(jammed)),
            Act::NewBattery => {
                let device = index(Model::BthomeWindow);
                self.tell(format!("{} gets a new battery", FITTINGS[device].name));
                self.shows[device].battery = 100;
                self.empty = false;
                self.plan(at, BATTERY_PERCENT, Plan::BatteryDrops);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(seed: u64) -> Vec<(Mono, Happening)> {
        let mut building = Building::new(seed);
        let mut happened = Vec::new();
        while building.next_at() < Mono(3_600_000) {
            let at = building.next_at();
            happened.extend(building.step().into_iter().map(|h| (at, h)));
        }
        happened
    }

    #[test]
    fn the_same_seed_makes_the_same_building() {
        assert_eq!(hour(7), hour(7));
        assert_ne!(hour(7), hour(8));
    }

    #[test]
    fn an_hour_shows_every_kind_of_happening() {
        let told: Vec<String> =
            hour(1).into_iter().filter_map(|(_, h)| if let Happening::Story(s) = h { Some(s) } else { None }).collect();
        for word in ["types a code", "code after code", "party", "keypad off", "jams", "stalls", "empty", "leaves"] {
            assert!(told.iter().any(|s| s.contains(word)), "nobody told {word:?}");
        }
    }

    #[test]
    fn adverts_come_at_their_interval_and_never_while_the_adapter_stalls() {
        let mut deaf = false;
        for (_, happening) in hour(3) {
            match happening {
                Happening::Story(s) if s.contains("stalls") => deaf = true,
                Happening::Story(s) if s.contains("hears again") => deaf = false,
                Happening::Advert(_) => assert!(!deaf),
                _ => {}
            }
        }
    }
}
