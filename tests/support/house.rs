//! A hub with locks on Z-Wave whose codes it manages.

use std::collections::BTreeMap;

use portcullis::event::EventType;
use portcullis::hub::{Action, CodeDraft, Command, CommandError, RowKind};
use portcullis::signal::{CodeNotice, Description, DeviceKey, DeviceKind, LockTime, NodeStatus, Secret, Signal};
use portcullis::time::Wall;
use serde_json::Value;
use uuid::Uuid;

use super::hub::{Rig, node};
use super::lock::{Lock, Mood};

pub struct House {
    pub rig: Rig,
    pub locks: BTreeMap<DeviceKey, Lock>,
    /// Of the writes to come, the first first; then they are obedient.
    pub moods: Vec<Mood>,
    /// Commands of codes that were sent, in order, with the time.
    pub sent: Vec<(u64, Action)>,
    /// The locks can keep dates.
    dated: bool,
}

/// By whose clocks the locks are that can keep dates.
pub const PLACE: chrono_tz::Tz = chrono_tz::Europe::Vienna;

pub fn toml(locks: u16, settings: &str) -> String {
    let mut toml = String::from("[[zwave]]\nname = \"main\"\nurl = \"ws://127.0.0.1:3000\"\n");
    for n in 0..locks {
        toml += &format!("[[devices]]\nzwave = \"main\"\nnode = {}\nname = \"Door {n}\"\n{settings}\n", n + 2);
    }
    toml
}

/// A draft with these digits.
pub fn code(digits: &str) -> CodeDraft {
    CodeDraft { code: Some(Secret::new(digits)), ..CodeDraft::default() }
}

impl House {
    /// One lock with slots 20 to 29 for the hub.
    pub fn new() -> House {
        House::with(1, "codes = \"manage\"\nslots = \"20-29\"")
    }

    /// The same, and it can keep dates.
    pub fn dated() -> House {
        House::begin(1, "codes = \"manage\"\nslots = \"20-29\"\ntime_zone = \"Europe/Vienna\"", true)
    }

    pub fn with(locks: u16, settings: &str) -> House {
        House::begin(locks, settings, false)
    }

    pub fn begin(locks: u16, settings: &str, dated: bool) -> House {
        let rig = Rig::new(&toml(locks, settings));
        let locks = (0..locks).map(|n| (node(n + 2), Lock::default())).collect();
        let mut house = House { rig, locks, moods: Vec::new(), sent: Vec::new(), dated };
        house.bridge_up();
        house.rig.told();
        house
    }

    pub fn bridge_up(&mut self) {
        self.rig.bridge_up();
        for key in self.locks.keys().copied().collect::<Vec<_>>() {
            let what = Description {
                kind: Some(DeviceKind::Lock),
                can_lock: Some(true),
                code_slots: Some(250),
                code_digits: Some((4, 10)),
                code_schedules: Some(self.dated),
                ..Description::default()
            };
            self.rig.hear(key, [Signal::Described(Box::new(what)), Signal::Node(NodeStatus::Alive)]);
        }
    }

    pub fn lock(&mut self) -> &mut Lock {
        self.locks.get_mut(&node(2)).expect("there is one")
    }

    pub fn says(&mut self, notice: CodeNotice) {
        self.rig.hear(node(2), [Signal::Code(notice)]);
    }

    /// The locks do what they were told; a few hundred milliseconds later each time.
    pub fn pass(&mut self, seconds: f64) {
        let end = self.rig.at + (seconds * 1000.0) as u64;
        loop {
            for action in std::mem::take(&mut self.rig.asked) {
                self.act(&action);
            }
            let next = self.rig.wakes().filter(|at| *at <= end);
            match next {
                _ if !self.rig.asked.is_empty() => {}
                Some(at) => self.rig.wait((at - self.rig.at) as f64 / 1000.0),
                None => break,
            }
        }
        self.rig.wait(end.saturating_sub(self.rig.at) as f64 / 1000.0);
    }

    fn act(&mut self, action: &Action) {
        let (Action::SetCode { device, .. }
        | Action::ClearCode { device, .. }
        | Action::ReadCode { device, .. }
        | Action::SetSchedule { device, .. }
        | Action::SetClock { device, .. }) = action
        else {
            return;
        };
        self.sent.push((self.rig.at, action.clone()));
        if matches!(action, Action::SetClock { .. }) {
            return self.set_clock(*device);
        }
        let reads = matches!(action, Action::ReadCode { .. });
        let mood = if reads || self.moods.is_empty() { Mood::Obedient } else { self.moods.remove(0) };
        let said = self.locks.get_mut(device).map(|lock| lock.act(action, mood)).unwrap_or_default();
        self.rig.wait(0.2);
        for notice in said {
            self.rig.hear(*device, [Signal::Code(notice)]);
        }
    }

    /// It shows what the wall clock does, in UTC, where it is not wrong.
    fn set_clock(&mut self, device: DeviceKey) {
        let lock = &self.locks[&device];
        let minutes = self.wall().0.div_euclid(60_000) + lock.clock_off;
        let shows = LockTime { minute_of_day: minutes.rem_euclid(24 * 60) as u16, utc: true };
        let time = (!lock.away).then_some(shows);
        let place = lock.place.map(|(standard, summer)| Signal::Code(CodeNotice::Place { standard, summer }));
        self.rig.wait(0.2);
        self.rig.hear(device, place.into_iter().collect::<Vec<_>>());
        self.rig.hear(device, [Signal::Code(CodeNotice::Clock(time))]);
    }

    pub fn wall(&self) -> Wall {
        Wall(self.rig.at as i64 + self.rig.wall_offset)
    }

    /// Whether the first lock opens to these digits now, by a clock that is right.
    pub fn opens(&self, digits: &str) -> bool {
        self.locks[&node(2)].opens(digits, self.wall().utc().with_timezone(&PLACE).naive_local())
    }

    pub fn device_id(&self) -> Uuid {
        self.rig.id(node(2))
    }

    pub fn create(&mut self, draft: CodeDraft) -> Uuid {
        let device_id = self.device_id();
        let view = self.rig.command(Command::CreateCode { device_id, draft }).expect("a code");
        id(&view)
    }

    pub fn change(&mut self, access_code_id: Uuid, draft: CodeDraft) -> Value {
        self.rig.command(Command::ChangeCode { access_code_id, draft }).expect("changed")
    }

    pub fn delete(&mut self, access_code_id: Uuid) {
        self.rig.command(Command::DeleteCode { access_code_id }).expect("deleted");
    }

    pub fn try_to_create(&mut self, draft: CodeDraft) -> Result<Value, CommandError> {
        let device_id = self.device_id();
        self.rig.command(Command::CreateCode { device_id, draft })
    }

    /// The code as it is on disk.
    pub fn row(&self, id: Uuid) -> Value {
        self.rig.row(RowKind::Code, &id.to_string()).cloned().unwrap_or_default()
    }

    pub fn status(&self, id: Uuid) -> String {
        self.row(id)["status"].as_str().unwrap_or("gone").to_owned()
    }

    /// The one code that nobody here made.
    pub fn unmanaged(&self) -> Uuid {
        let mut rows = self.rig.rows(RowKind::Code).filter(|(_, row)| row["is_managed"] == false);
        let found = rows.next().map(|(key, _)| key.parse().expect("an id")).expect("an unmanaged code");
        assert!(rows.next().is_none(), "there are several");
        found
    }

    /// How often a type was told.
    pub fn count(&self, event_type: EventType) -> usize {
        self.rig.log.iter().filter(|e| e.event_type == event_type).count()
    }
}

pub fn id(view: &Value) -> Uuid {
    view["access_code_id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}
