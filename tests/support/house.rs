//! A hub with locks on Z-Wave whose codes it manages.

#[path = "hub.rs"]
pub mod hub;
#[path = "lock.rs"]
pub mod lock;

use std::collections::BTreeMap;

use portcullis::event::EventType;
use portcullis::hub::{Action, CodeDraft, Command, CommandError, RowKind};
use portcullis::signal::{CodeNotice, Description, DeviceKey, DeviceKind, NodeStatus, Secret, Signal};
use portcullis::time::Wall;
use serde_json::Value;
use uuid::Uuid;

use hub::{Rig, node};
use lock::{Lock, Mood};

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

pub fn toml(locks: u16, settings: &str) -> String {
    let mut toml = String::from("[[zwave]]\nname = \"main\"\nurl = \"ws://127.0.0.1:3000\"\n");
    for n in 0..locks {
        toml += &format!("[[devices]]\nzwave = \"main\"\nnode = {}\nname = \"Door {n}\"\n{settings}\n", n + 2);
    }
    toml
}

pub const HOUR: i64 = 3_600_000;

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

    pub fn rig_and_lock(&mut self) -> (&mut Rig, &mut Lock) {
        (&mut self.rig, self.locks.get_mut(&node(2)).expect("there is one"))
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
            if !self.rig.wait_for_something(end) {
                break;
            }
        }
        self.rig.wait(end.saturating_sub(self.rig.at) as f64 / 1000.0);
    }

    fn act(&mut self, action: &Action) {
        let Some(device) = lock::asked(action) else { return };
        self.sent.push((self.rig.at, action.clone()));
        if let Some(lock) = self.locks.get_mut(&device) {
            lock.obey(&mut self.rig, action, &mut self.moods);
        }
    }

    pub fn wall(&self) -> Wall {
        self.rig.wall()
    }

    /// Whether the first lock opens to these digits now, by a clock that is right.
    pub fn opens(&self, digits: &str) -> bool {
        self.locks[&node(2)].opens(digits, self.wall())
    }

    /// A draft with these digits, from so many hours from now until so many.
    pub fn draft(&self, digits: &str, from: i64, until: i64) -> CodeDraft {
        let at = |hours: i64| Some(Wall(self.wall().0 + hours * HOUR));
        CodeDraft { starts_at: at(from), ends_at: at(until), ..code(digits) }
    }

    /// What was told of a code, without what all types begin with.
    pub fn told_of(&self, access_code_id: Uuid) -> Vec<&'static str> {
        let of = self.rig.log.iter().filter(|e| e.details.access_code_id == Some(access_code_id));
        of.map(|e| e.event_type.as_str().trim_start_matches("access_code.")).collect()
    }

    /// What the locks were sent, in order, in short.
    pub fn commands(&self) -> Vec<&'static str> {
        let name = |action: &Action| match action {
            Action::SetCode { .. } => "write",
            Action::ClearCode { .. } => "clear",
            Action::ReadCode { .. } => "read",
            Action::SetSchedule { schedule: Some(_), .. } => "dates",
            Action::SetSchedule { schedule: None, .. } => "no dates",
            Action::ReadSchedule { .. } => "read dates",
            Action::SetClock { .. } => "clock",
            _ => "?",
        };
        self.sent.iter().map(|(_, action)| name(action)).collect()
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
