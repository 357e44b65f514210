//! A lock whose codes the hub manages, with people who wish for codes and people at its keypad.

use portcullis::hub::Action;
use portcullis::signal::{CodeNotice, Description, DeviceKey, DeviceKind, NodeStatus, Outcome, Signal};

use super::dice::Dice;
use super::hub::{NOON, Rig, node};
use super::lock::{Lock, MOODS, Mood, asked};
use super::people::{People, codes_make_sense};
use portcullis::time::Wall;

/// Its entry in the configuration.
pub const ENTRY: &str =
    "[[devices]]\nzwave = \"main\"\nnode = 4\ncodes = \"manage\"\nslots = \"20-27\"\ntime_zone = \"Europe/Vienna\"\n";

fn door() -> DeviceKey {
    node(4)
}

#[derive(Default)]
pub struct Door {
    lock: Lock,
    people: People,
    moods: Vec<Mood>,
    /// It keeps dates.
    dated: bool,
    /// When it was last asked something.
    asked_at: u64,
    /// So far ahead somebody vouched for the wall clock to be.
    furthest: i64,
}

impl Door {
    pub fn new(dated: bool) -> Door {
        Door { dated, ..Door::default() }
    }

    /// What a bridge says of it as it comes up.
    pub fn dump(&self, rig: &mut Rig) {
        let what = Description {
            kind: Some(DeviceKind::Lock),
            can_lock: Some(true),
            code_slots: Some(30),
            code_digits: Some((4, 10)),
            code_schedules: Some(self.dated),
            ..Description::default()
        };
        let status = if self.lock.away { NodeStatus::Dead } else { NodeStatus::Alive };
        rig.hear(door(), [Signal::Described(Box::new(what)), Signal::Node(status)]);
    }

    /// Something happens to it.
    pub fn step(&mut self, rig: &mut Rig, bridge: bool, dice: &mut Dice) {
        for _ in 0..dice.roll(3) {
            self.moods.extend(dice.one_of(&MOODS));
        }
        // What the disk does not take was not wished for; and what the hub knows is on no disk then.
        if rig.disk_fails || !rig.hub.as_ref().is_some_and(|hub| hub.devices().any(|d| d.key == door())) {
            return;
        }
        match dice.roll(16) {
            0..=9 => {
                let now = Wall(rig.at as i64 + NOON);
                let device_id = rig.id(door());
                self.people.wish(rig, device_id, now, dice);
            }
            10 => {
                let away = self.lock.away;
                self.lock.away = !away;
                if bridge {
                    rig.hear(door(), [Signal::Node(if away { NodeStatus::Alive } else { NodeStatus::Dead })]);
                }
            }
            n if self.is_quiet(rig) => {
                let Door { lock, people, .. } = self;
                let notice = match n {
                    11 | 12 => people.add(rig, lock, dice),
                    13 => people.remove(lock, dice),
                    14 => people.attack(rig, lock, dice),
                    _ => {
                        people.dates_drift(rig, lock, dice);
                        None
                    }
                };
                if let Some(notice) = notice.filter(|_| bridge && !self.lock.away) {
                    rig.hear(door(), [Signal::Code(notice)]);
                }
            }
            _ => {}
        }
    }

    /// The hub is not about to write: within the seconds between its looking and its writing nobody can help it.
    fn is_quiet(&self, rig: &Rig) -> bool {
        rig.at - self.asked_at > 6000 && !rig.asked.iter().any(|action| asked(action).is_some())
    }

    /// What was asked that is about something else.
    pub fn leaves(&self, rig: &mut Rig) -> Vec<Action> {
        let all = std::mem::take(&mut rig.asked).into_iter();
        let (ours, others) = all.partition(|action| asked(action).is_some());
        rig.asked = ours;
        others
    }

    /// It does what it was asked; without a bridge nothing gets there.
    pub fn obey(&mut self, rig: &mut Rig, bridge: bool) {
        let others = self.leaves(rig);
        for action in std::mem::replace(&mut rig.asked, others) {
            self.asked_at = rig.at;
            match slot(&action) {
                Some(slot) if !bridge => {
                    let notice = CodeNotice::Refused { slot, reason: Outcome::LinkDown };
                    rig.hear(door(), [Signal::Code(notice)]);
                }
                _ => self.lock.obey(rig, &action, &mut self.moods),
            }
        }
    }

    /// The daemon that asked is gone: some of it is done, and nobody hears of it.
    pub fn obey_nobody(&mut self, rig: &mut Rig, dice: &mut Dice) {
        let others = self.leaves(rig);
        for action in std::mem::replace(&mut rig.asked, others) {
            if dice.often() {
                self.lock.act(&action, Mood::Obedient);
            }
        }
    }

    pub fn nothing_opens_early(&mut self, rig: &Rig) -> Result<(), String> {
        if rig.synchronized {
            self.furthest = self.furthest.max(rig.wall_offset);
        }
        self.people.nothing_opens_early(&self.lock, Wall(rig.at as i64 + self.furthest))
    }

    /// The faults stop, and more than a day passes.
    pub fn ends_well(&mut self, rig: &mut Rig) -> Result<(), String> {
        self.moods.clear();
        self.lock.away = false;
        rig.hear(door(), [Signal::Node(NodeStatus::Alive)]);
        let end = rig.at + 27 * 3_600_000;
        while rig.wait_for_something(end) {
            self.leaves(rig);
            self.obey(rig, true);
        }
        self.people.all_is_as_wished(rig, &self.lock, rig.wall())?;
        codes_make_sense(&rig.log)
    }
}

fn slot(action: &Action) -> Option<u16> {
    match action {
        Action::SetCode { slot, .. }
        | Action::ClearCode { slot, .. }
        | Action::ReadCode { slot, .. }
        | Action::SetSchedule { slot, .. }
        | Action::ReadSchedule { slot, .. }
        | Action::SetClock { slot, .. } => Some(*slot),
        _ => None,
    }
}
