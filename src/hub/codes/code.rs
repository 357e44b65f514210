//! One access code: what is wanted of it, what the lock reports of it, and how the world sees it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::event::Issue;
use crate::signal::{DeviceKey, Secret};
use crate::time::Wall;

/// Writes of one code that are remembered until one is confirmed: more often nobody changes their mind.
const TRIED_MOST: usize = 8;

/// The durable part of a code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Code {
    pub access_code_id: Uuid,
    pub device_id: Uuid,
    pub key: DeviceKey,
    /// Ours to write; one that was found on the lock is not.
    pub managed: bool,
    pub name: Option<String>,
    /// What codes that were made together have in common.
    #[serde(default)]
    pub common_code_key: Option<String>,
    /// Those that are wanted, or that were found. `None`: the lock does not show them.
    pub digits: Option<Secret>,
    pub starts_at: Option<Wall>,
    pub ends_at: Option<Wall>,
    pub created_at: Wall,
    pub allows_external: bool,
    pub uses_pool: bool,
    /// A spare one, or one that was.
    pub is_backup: bool,
    /// The spare one that took over.
    pub pulled: Option<Uuid>,
    /// The one that it took over from.
    pub stands_in_for: Option<Uuid>,
    pub deleting: bool,
    /// Somebody else wants the slot: nothing is written until a user says otherwise.
    pub left_alone: bool,
    /// How often somebody else changed or erased it.
    pub overwritten: u8,
    pub converting: bool,
    pub slot: Option<u16>,
    pub reported: Reported,
    /// What the lock has confirmed last.
    pub held: Option<Held>,
    /// What was written since; each may be there.
    pub tried: Vec<Held>,
    /// When the slot was first written for this code.
    pub written_at: Option<Wall>,
    /// What the world was told to be set.
    pub told: Option<Held>,
    pub problem: Option<Problem>,
    pub episode: Episode,
    /// When the lock was last seen to hold it.
    pub compared_at: Option<Wall>,
}

/// Digits where they may be forgotten: without the key of the store they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub digits: Option<Secret>,
}

/// What the lock is known to hold in a code's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    #[default]
    Unknown,
    Empty,
    /// What is in `held`.
    Set,
    /// Something of ours, and nobody knows what.
    Full,
}

/// Why a code is not as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Refused,
    Unreachable,
    Ignored,
    Duplicate,
    NoSpace,
    Conflict,
    Hidden,
    NotOurs,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub why: Why,
    pub since: Wall,
}

/// From a wish to its fulfilment: delay and failure are told once each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub wants: bool,
    pub delay_told: Option<Wall>,
    pub failed_told: bool,
}

impl Code {
    pub fn new(access_code_id: Uuid, device_id: Uuid, key: DeviceKey, created_at: Wall) -> Code {
        Code {
            access_code_id,
            device_id,
            key,
            managed: true,
            name: None,
            common_code_key: None,
            digits: None,
            starts_at: None,
            ends_at: None,
            created_at,
            allows_external: false,
            uses_pool: false,
            is_backup: false,
            pulled: None,
            stands_in_for: None,
            deleting: false,
            left_alone: false,
            overwritten: 0,
            converting: false,
            slot: None,
            reported: Reported::Unknown,
            held: None,
            tried: Vec::new(),
            written_at: None,
            told: None,
            problem: None,
            episode: Episode::default(),
            compared_at: None,
        }
    }

    pub fn has_ended(&self, now: Wall) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// Whether the lock should hold it now.
    pub fn is_wanted(&self, now: Wall) -> bool {
        let begun = self.starts_at.is_none_or(|start| start <= now);
        self.managed && !self.deleting && !self.left_alone && begun && !self.has_ended(now)
    }

    /// Whether the lock confirmed the digits that are wanted.
    pub fn is_set(&self) -> bool {
        self.reported == Reported::Set && self.held.as_ref().is_some_and(|held| held.digits == self.digits)
    }

    /// Whether something of ours is in the slot, or may be.
    pub fn may_be_on_lock(&self) -> bool {
        self.slot.is_some() && (!self.tried.is_empty() || self.held.is_some())
    }

    /// Whether what was read is something that we wrote.
    pub fn wrote(&self, digits: &Secret) -> bool {
        let same = |held: &Held| held.digits.as_ref().is_none_or(|d| d == digits);
        self.tried.iter().any(same) || self.held.as_ref().is_some_and(same)
    }

    /// Whether the lock holds these digits for this code, or may, or should.
    pub fn has(&self, digits: &Secret) -> bool {
        let same = |held: &Held| held.digits.as_ref() == Some(digits);
        self.digits.as_ref() == Some(digits) || self.tried.iter().any(same) || self.held.as_ref().is_some_and(same)
    }

    pub fn try_to_write(&mut self, now: Wall) {
        let held = Held { digits: self.digits.clone() };
        if !self.tried.contains(&held) {
            self.tried.push(held);
            if self.tried.len() > TRIED_MOST {
                self.tried.remove(0);
            }
        }
        self.written_at.get_or_insert(now);
    }

    /// The lock holds these digits of ours.
    pub fn confirm(&mut self, digits: Option<Secret>, now: Wall) {
        if digits == self.digits {
            self.tried.clear();
        }
        (self.reported, self.held) = (Reported::Set, Some(Held { digits }));
        self.compared_at = Some(now);
    }

    /// The slot is not this code's any more.
    pub fn lose_slot(&mut self) {
        (self.slot, self.reported, self.held, self.told) = (None, Reported::Unknown, None, None);
        self.written_at = None;
        self.tried.clear();
    }

    pub fn begin_anew(&mut self) {
        (self.left_alone, self.overwritten, self.problem) = (false, 0, None);
        self.episode = Episode { wants: self.episode.wants, ..Episode::default() };
    }

    /// In Seam's words.
    pub fn status(&self, now: Wall) -> &'static str {
        match (self.managed, self.is_wanted(now)) {
            (false, _) => "set",
            (true, true) if self.is_set() => "set",
            (true, true) => "setting",
            (true, false) if self.slot.is_some() => "removing",
            (true, false) => "unset",
        }
    }

    pub fn errors(&self) -> Vec<Issue> {
        let Some(Problem { why, since }) = self.problem else { return Vec::new() };
        let (code, message) = match why {
            Why::Duplicate => ("duplicate_code_on_device", "Another code on the lock has the same digits."),
            Why::NoSpace => ("no_space_for_access_code_on_device", "All slots that the hub may write are taken."),
            Why::Conflict => (
                "conflicting_external_modification",
                "Somebody else keeps changing the code on the lock: it is left alone.",
            ),
            Why::Hidden => ("provider_issue", "The lock does not show the digits of this code."),
            Why::NotOurs => ("insufficient_permissions", "The hub may not write the slot of this code."),
            Why::Refused | Why::Unreachable | Why::Ignored => {
                let message = match why {
                    Why::Refused => "The lock refused what was asked of it.",
                    Why::Unreachable => "The lock does not answer.",
                    _ => "The lock said that it did it, and did not.",
                };
                let code = if self.episode.wants { "failed_to_set_on_device" } else { "failed_to_remove_from_device" };
                (code, message)
            }
        };
        vec![Issue::error(Some(since), code, message)]
    }

    pub fn warnings(&self) -> Vec<Issue> {
        let mut warnings = Vec::new();
        if let Some(since) = self.episode.delay_told {
            let (code, message) = match self.episode.wants {
                true => ("delay_in_setting_on_device", "Setting the code on the lock takes longer than usual."),
                false => ("delay_in_removing_from_device", "Removing the code from the lock takes longer than usual."),
            };
            warnings.push(Issue::warning(Some(since), code, message));
        }
        if self.pulled.is_some() {
            let message = "A backup code stands in for this one.";
            warnings.push(Issue::warning(Some(self.created_at), "using_backup_access_code", message));
        }
        if self.deleting {
            let message = "The code is being taken from the lock.";
            warnings.push(Issue::warning(Some(self.created_at), "being_deleted", message));
        }
        warnings
    }

    /// As Seam shapes it, digits included; `slot` beside it.
    pub fn view(&self, workspace_id: Uuid, backup_available: bool, now: Wall) -> Value {
        let date = |date: Option<Wall>| date.map(|d| d.to_string());
        let mut errors = json!(self.errors());
        for error in errors.as_array_mut().into_iter().flatten() {
            error["is_access_code_error"] = true.into();
        }
        let status = self.status(now);
        let mut view = json!({
            "access_code_id": self.access_code_id,
            "workspace_id": workspace_id,
            "device_id": self.device_id,
            "name": self.name,
            "code": self.digits,
            "type": if self.starts_at.is_some() || self.ends_at.is_some() { "time_bound" } else { "ongoing" },
            "created_at": self.created_at.to_string(),
            "errors": errors,
            "warnings": self.warnings(),
            "is_managed": self.managed,
            "status": status,
            "slot": self.slot,
        });
        if view["type"] == "time_bound" {
            view["starts_at"] = json!(date(self.starts_at).unwrap_or_else(|| self.created_at.to_string()));
            view["ends_at"] = json!(date(self.ends_at));
        }
        if self.managed {
            let mutation = match status {
                "setting" if self.told.is_none() => Some(("creating", "The code is being set on the lock.")),
                "removing" => Some(("deleting", "The code is being removed from the lock.")),
                _ => None,
            };
            let mutations: Vec<Value> = mutation
                .map(|(code, message)| {
                    json!({"created_at": self.created_at.to_string(), "mutation_code": code, "message": message})
                })
                .into_iter()
                .collect();
            let more = json!({
                "common_code_key": self.common_code_key,
                "is_backup": self.is_backup,
                "is_backup_access_code_available": backup_available,
                "is_external_modification_allowed": self.allows_external,
                "is_one_time_use": false,
                "is_offline_access_code": false,
                "is_scheduled_on_device": false,
                "is_waiting_for_code_assignment": false,
                "pulled_backup_access_code_id": self.pulled,
                "pending_mutations": mutations,
            });
            if let (Some(view), Value::Object(more)) = (view.as_object_mut(), more) {
                view.extend(more);
            }
        }
        view
    }

    pub fn from_row(mut row: Value) -> Option<Code> {
        serde_json::from_value(row.get_mut("state")?.take()).ok()
    }
}
