//! What users ask of codes: checked here, before anything reaches a lock.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::code::{Code, Date, Why};
use super::draft::{self, CodeDraft};
use super::table::{Entry, Table};
use crate::event::{ChangedProperty, CodeFacts, EventType};
use crate::hub::rate::Rate;
use crate::hub::tell::Teller;
use crate::hub::{CommandError, Device, Hub, Output, Reply};
use crate::signal::{DeviceKind, Secret};
use crate::time::{Now, Wall};

/// Seam's limits, a minute and lock.
const CREATED: usize = 10;
const CHANGED: usize = 10;
const DELETED: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// Seam's limit of a name.
const NAME_MOST: usize = 255;

/// How often each kind of wish was made of a lock.
#[derive(Debug)]
pub struct Limits {
    created: Rate,
    changed: Rate,
    deleted: Rate,
}

impl Default for Limits {
    fn default() -> Limits {
        let rate = |most| Rate::new(most, MINUTE);
        Limits { created: rate(CREATED), changed: rate(CHANGED), deleted: rate(DELETED) }
    }
}

fn refused(why: impl Into<String>) -> CommandError {
    CommandError::Refused(why.into())
}

fn wrong(param: &'static str, why: impl Into<String>) -> CommandError {
    CommandError::Wrong { param, why: why.into() }
}

/// A wish, and the code or the lock that it is about.
pub enum Wish {
    Create(CodeDraft),
    Change(Uuid, CodeDraft),
    Delete(Uuid),
    Pull(Uuid),
    Convert(Uuid, Option<bool>),
}

impl Hub {
    /// A wish about a code that there is.
    pub(in crate::hub) fn wish_of_code(&mut self, now: Now, id: Uuid, wish: Wish, out: &mut Output) -> Reply {
        let missing = || CommandError::NoSuchCode(id);
        let device_id = self.codes.device_of(id).ok_or_else(missing)?;
        self.wish(now, device_id, wish, out)
    }

    pub(in crate::hub) fn wish(&mut self, now: Now, device_id: Uuid, wish: Wish, out: &mut Output) -> Reply {
        let missing = || CommandError::NoSuchDevice(device_id);
        let key = self.key_of(device_id).ok_or_else(missing)?;
        let device = self.devices.get_mut(&key).ok_or_else(missing)?;
        let table = self.codes.table(key);
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let done = match wish {
            Wish::Create(draft) => table.create(draft, device, &mut teller),
            Wish::Change(id, draft) => table.change(id, draft, device, &mut teller).map(|()| Some(id)),
            Wish::Delete(id) => table.delete(id, &teller).map(|()| None),
            Wish::Pull(id) => table.pull(id, device, &mut teller).map(Some).map_err(CommandError::Refused),
            Wish::Convert(id, allowed) => table.take_over(id, allowed, device, &mut teller).map(|()| Some(id)),
        };
        // Also where it was refused: that may have been told.
        table.pump(device, &mut teller);
        let shown = |id| table.shown(id, &teller).unwrap_or_default();
        done.map(|id| id.map_or(Value::Null, shown))
    }

    /// Digits that are free on a lock.
    pub(in crate::hub) fn generate_code(&mut self, now: Now, device_id: Uuid, out: &mut Output) -> Reply {
        let missing = || CommandError::NoSuchDevice(device_id);
        let key = self.key_of(device_id).ok_or_else(missing)?;
        let device = self.devices.get_mut(&key).ok_or_else(missing)?;
        let teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let digits = self.codes.table(key).free_digits(None, device, &teller);
        let digits = digits.ok_or_else(|| refused("no free digits were found"))?;
        Ok(json!({"device_id": device_id, "code": digits}))
    }
}

/// Whether the hub writes this lock's codes; if not, what to do about it.
fn must_write(device: &Device) -> Result<(), CommandError> {
    if !device.managed {
        return Err(refused("the device is not managed by this hub; adopt it first"));
    }
    if device.kind().is_some_and(|kind| !matches!(kind, DeviceKind::Lock | DeviceKind::Keypad))
        && device.description.code_slots.is_none_or(|slots| slots == 0)
    {
        return Err(refused("the device takes no access codes"));
    }
    if !device.codes.writes() {
        let what = "the codes of this device are only observed; codes = \"manage\" in its [[devices]] entry lets the hub write them";
        return Err(refused(what));
    }
    Ok(())
}

impl Table {
    fn shown(&self, id: Uuid, teller: &Teller<'_>) -> Option<Value> {
        let spare = self.spare().is_some();
        Some(self.entries.get(&id)?.code.view(teller.settings.workspace_id, spare, teller.date()))
    }

    /// Digits as the lock takes them, and that no other code has or keeps: a code that is being taken away does not count.
    fn check(&self, digits: &Secret, but: Option<Uuid>, device: &Device, now: Date) -> Result<(), CommandError> {
        draft::check(digits, &device.codes.lengths(&device.description)).map_err(CommandError::Refused)?;
        let stays = |c: &Code| !c.managed || !c.deleting && !c.has_ended(now);
        let same = |c: &Code| c.digits.as_ref() == Some(digits) && stays(c) && Some(c.access_code_id) != but;
        match self.entries.values().any(|e| same(&e.code)) {
            true => Err(refused("another code on this lock has the same digits; choose others, or let the hub choose")),
            false => Ok(()),
        }
    }

    fn create(
        &mut self,
        draft: CodeDraft,
        device: &Device,
        teller: &mut Teller<'_>,
    ) -> Result<Option<Uuid>, CommandError> {
        must_write(device)?;
        let wall = teller.now.wall;
        let dates = if draft.ongoing { (None, None) } else { (draft.starts_at, draft.ends_at) };
        check_dates(dates, teller.date())?;
        check_name(draft.name.as_deref())?;
        if let Some(digits) = &draft.code {
            self.check(digits, None, device, teller.date())?;
        }
        self.limits.created.admit(teller.now.mono).map_err(CommandError::too_many)?;
        let digits = match draft.code {
            Some(digits) => digits,
            None => {
                let made_up = self.free_digits(draft.preferred_code_length, device, teller);
                made_up.ok_or_else(|| refused("no free digits were found; give the code's"))?
            }
        };
        let mut code = Code::new(self.new_id(teller), device.device_id, self.key, wall);
        (code.starts_at, code.ends_at) = dates;
        code.name = draft.name;
        code.digits = Some(digits);
        code.uses_pool = draft.use_backup_access_code_pool.unwrap_or(false);
        code.common_code_key.clone_from(&draft.common_code_key);
        code.allows_external = draft.is_external_modification_allowed.unwrap_or(false);
        let id = code.access_code_id;
        self.insert(code);
        if let Some(entry) = self.entries.get(&id) {
            entry.tell(EventType::AccessCodeCreated, device, teller, |_, _| {});
        }
        Ok(Some(id))
    }

    fn change(
        &mut self,
        id: Uuid,
        draft: CodeDraft,
        device: &Device,
        teller: &mut Teller<'_>,
    ) -> Result<(), CommandError> {
        must_write(device)?;
        let code = self.entries.get(&id).map(|e| e.code.clone()).ok_or(CommandError::NoSuchCode(id))?;
        if !code.managed {
            return Err(refused("the code is not managed by this hub; convert it first"));
        }
        if code.deleting {
            return Err(refused("the code is being deleted"));
        }
        let dates = match draft.ongoing {
            true => (None, None),
            false => (draft.starts_at.or(code.starts_at), draft.ends_at.or(code.ends_at)),
        };
        if dates != (code.starts_at, code.ends_at) {
            check_dates(dates, teller.date())?;
        }
        check_name(draft.name.as_deref())?;
        if let Some(digits) = &draft.code {
            self.check(digits, Some(id), device, teller.date())?;
        }
        self.limits.changed.admit(teller.now.mono).map_err(CommandError::too_many)?;
        let Some(entry) = self.entries.get_mut(&id) else { return Err(CommandError::NoSuchCode(id)) };
        let new = &mut entry.code;
        new.begin_anew();
        new.name = draft.name.or(new.name.take());
        new.digits = draft.code.or(new.digits.take());
        (new.starts_at, new.ends_at) = dates;
        new.uses_pool = draft.use_backup_access_code_pool.unwrap_or(new.uses_pool);
        new.allows_external = draft.is_external_modification_allowed.unwrap_or(new.allows_external);
        entry.soft.retry_at = None;
        entry.tell_change(&code, device, teller);
        Ok(())
    }

    fn delete(&mut self, id: Uuid, teller: &Teller<'_>) -> Result<(), CommandError> {
        let entry = self.entries.get_mut(&id).ok_or(CommandError::NoSuchCode(id))?;
        if !entry.code.managed {
            return Err(refused(
                "the code is not managed by this hub, which never touches such codes; convert it first",
            ));
        }
        self.limits.deleted.admit(teller.now.mono).map_err(CommandError::too_many)?;
        entry.code.deleting = true;
        entry.soft.retry_at = None;
        Ok(())
    }

    /// A code that somebody else put on the lock becomes ours, once it was read.
    fn take_over(
        &mut self,
        id: Uuid,
        allowed: Option<bool>,
        device: &Device,
        teller: &mut Teller<'_>,
    ) -> Result<(), CommandError> {
        must_write(device)?;
        let entry = self.entries.get_mut(&id).ok_or(CommandError::NoSuchCode(id))?;
        if entry.code.managed {
            return Err(refused("the code is managed already"));
        }
        self.limits.changed.admit(teller.now.mono).map_err(CommandError::too_many)?;
        entry.code.allows_external = allowed.unwrap_or(false);
        entry.code.converting = true;
        entry.code.problem = None;
        let slots = device.codes.slots(&device.description);
        if entry.code.slot.is_none_or(|slot| !slots.contains(&slot)) {
            self.cannot_convert(id, Why::NotOurs, device, teller);
            return Err(refused(format!("the hub may write the slots {}-{} only", slots.start(), slots.end())));
        }
        Ok(())
    }
}

impl Entry {
    /// Tells what is different from before. New digits are told when the lock has them.
    fn tell_change(&self, before: &Code, device: &Device, teller: &mut Teller<'_>) {
        let now = &self.code;
        let date = |date: Option<Wall>| date.map(|d| d.to_string());
        let changes = [
            ("name", before.name.clone(), now.name.clone()),
            ("starts_at", date(before.starts_at), date(now.starts_at)),
            ("ends_at", date(before.ends_at), date(now.ends_at)),
        ];
        let changes = changes.into_iter().filter(|(_, from, to)| from != to);
        let mut changed: Vec<ChangedProperty> =
            changes.map(|(property, from, to)| ChangedProperty { property: property.into(), from, to }).collect();
        if before.digits != now.digits {
            changed.push(ChangedProperty { property: "code".into(), from: None, to: None });
        }
        if changed.is_empty() {
            return;
        }
        self.tell(EventType::AccessCodeChanged, device, teller, |d, _| d.changed_properties = Some(changed));
        if before.name != now.name {
            self.tell(EventType::AccessCodeNameChanged, device, teller, |d, _| {
                d.description = Some("The code has another name.".into());
                d.from = Some(CodeFacts::Name { name: before.name.clone() });
                d.to = Some(CodeFacts::Name { name: now.name.clone() });
            });
        }
        if (before.starts_at, before.ends_at) != (now.starts_at, now.ends_at) {
            let frame =
                |code: &Code| CodeFacts::TimeFrame { starts_at: date(code.starts_at), ends_at: date(code.ends_at) };
            self.tell(EventType::AccessCodeTimeFrameChanged, device, teller, |d, _| {
                d.description = Some("The code is valid at another time.".into());
                (d.from, d.to) = (Some(frame(before)), Some(frame(now)));
            });
        }
    }
}

fn check_dates((starts_at, ends_at): (Option<Wall>, Option<Wall>), now: Date) -> Result<(), CommandError> {
    match (starts_at, ends_at) {
        (Some(start), Some(end)) if end <= start => Err(wrong("ends_at", "must be after starts_at")),
        (_, Some(end)) if now.is_some_and(|now| end <= now) => Err(wrong("ends_at", "is past")),
        _ => Ok(()),
    }
}

fn check_name(name: Option<&str>) -> Result<(), CommandError> {
    match name.is_some_and(|n| n.trim().is_empty() || n.chars().count() > NAME_MOST) {
        true => Err(wrong("name", format!("expected 1 to {NAME_MOST} characters"))),
        false => Ok(()),
    }
}
