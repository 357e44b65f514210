//! How the world sees a code.

use serde_json::{Value, json};
use uuid::Uuid;

use super::code::{Code, Date, Problem, Why};
use crate::event::Issue;
use crate::time::Wall;

impl Code {
    /// In Seam's words.
    pub fn status(&self, now: Date) -> &'static str {
        match (self.managed, self.is_wanted(now)) {
            (false, _) => "set",
            (true, true) if !self.has_begun(now) => "unset",
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
    pub fn view(&self, workspace_id: Uuid, backup_available: bool, now: Date) -> Value {
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
                "is_scheduled_on_device": self.told_ahead.is_some(),
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
}
