//! People who wish for codes, and people at the keypad of a lock: what they did is the measure of what hub and lock come to.

use std::collections::{BTreeMap, HashMap};

use portcullis::event::{Event, EventType};
use portcullis::hub::{CodeDraft, Command, RowKind};
use portcullis::signal::{CodeNotice, Secret};
use portcullis::time::Wall;
use serde_json::Value;
use uuid::Uuid;

use super::dice::Dice;
use super::hub::Rig;
use super::lock::Lock;

/// The slots that the hub may write, by its configuration.
pub const SLOTS: std::ops::RangeInclusive<u16> = 20..=27;

const HOUR: i64 = 3_600_000;

/// What a user wishes of one code.
pub struct Wish {
    digits: String,
    starts: Option<i64>,
    ends: Option<i64>,
    deleted: bool,
    /// How often somebody else, or the lock, got at it.
    attacked: u32,
    /// The lock once kept other dates for it than it was given.
    drifted: bool,
}

#[derive(Default)]
pub struct People {
    wishes: BTreeMap<Uuid, Wish>,
    /// What somebody else put on the lock.
    foreign: BTreeMap<u16, String>,
    serial: u64,
    /// The furthest that the wall clock has been.
    latest: i64,
}

fn draft(digits: &str) -> CodeDraft {
    CodeDraft { code: Some(Secret::new(digits)), ..CodeDraft::default() }
}

impl People {
    fn fresh_digits(&mut self) -> String {
        self.serial += 1;
        format!("{:04}", 1000 + self.serial)
    }

    fn any(&self, dice: &mut Dice) -> Option<Uuid> {
        let ids: Vec<Uuid> = self.wishes.iter().filter(|(_, w)| !w.deleted).map(|(id, _)| *id).collect();
        dice.one_of(&ids)
    }

    /// A user wants one more, a changed one, or one less, at a time when the date is this.
    pub fn wish(&mut self, rig: &mut Rig, device_id: Uuid, now: Wall, dice: &mut Dice) {
        match dice.roll(8) {
            0..=3 => self.create(rig, device_id, now.0, dice),
            4 | 5 => self.change(rig, dice),
            _ => self.delete(rig, dice),
        }
    }

    fn create(&mut self, rig: &mut Rig, device_id: Uuid, now: i64, dice: &mut Dice) {
        let digits = self.fresh_digits();
        let (starts, ends) = match dice.roll(6) {
            0 => (Some(now + 600_000), Some(now + 2 * HOUR)),
            1 => (None, Some(now + HOUR)),
            // Still in force at the end, or still to come.
            2 => (Some(now + HOUR), Some(now + 500 * HOUR)),
            3 => (Some(now + 70 * HOUR), Some(now + 500 * HOUR)),
            _ => (None, None),
        };
        let draft = CodeDraft { starts_at: starts.map(Wall), ends_at: ends.map(Wall), ..draft(&digits) };
        if let Ok(view) = rig.command(Command::CreateCode { device_id, draft }) {
            let id = view["access_code_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            let wish = Wish { digits, starts, ends, deleted: false, attacked: 0, drifted: false };
            self.wishes.insert(id, wish);
        }
    }

    fn change(&mut self, rig: &mut Rig, dice: &mut Dice) {
        let Some(access_code_id) = self.any(dice) else { return };
        let digits = self.fresh_digits();
        if rig.command(Command::ChangeCode { access_code_id, draft: draft(&digits) }).is_ok() {
            self.wishes.get_mut(&access_code_id).expect("a wish").digits = digits;
        }
    }

    fn delete(&mut self, rig: &mut Rig, dice: &mut Dice) {
        let Some(access_code_id) = self.any(dice) else { return };
        if rig.command(Command::DeleteCode { access_code_id }).is_ok() {
            self.wishes.get_mut(&access_code_id).expect("a wish").deleted = true;
        }
    }

    /// Somebody programs a code at the keypad, to a slot that is empty; what the lock says of it, unless it says nothing. Of one that
    /// hides its codes nobody can tell whose they are where the hub is about to write.
    pub fn add(&mut self, rig: &Rig, lock: &mut Lock, dice: &mut Dice) -> Option<CodeNotice> {
        let slot = 18 + dice.roll(10) as u16;
        let digits = format!("9{}", self.fresh_digits());
        // Where the hub knows a code of its own, it would be an attack.
        let ours = owner(rig, slot).is_some_and(|(_, row)| lock.hides || row["state"]["reported"] == "set");
        if lock.table.contains_key(&slot) || ours {
            return None;
        }
        lock.table.insert(slot, digits.clone());
        self.foreign.insert(slot, digits);
        (dice.roll(3) > 0).then_some(CodeNotice::Added { slot })
    }

    /// And takes one away again.
    pub fn remove(&mut self, lock: &mut Lock, dice: &mut Dice) -> Option<CodeNotice> {
        let slots: Vec<u16> = self.foreign.keys().copied().collect();
        let slot = dice.one_of(&slots)?;
        self.foreign.remove(&slot);
        lock.table.remove(&slot);
        Some(CodeNotice::Deleted { slot })
    }

    /// Writes over a code that the lock confirmed, or erases it; perhaps without a word of it.
    pub fn attack(&mut self, rig: &Rig, lock: &mut Lock, dice: &mut Dice) -> Option<CodeNotice> {
        let set: Vec<(u16, Uuid)> = rig
            .rows(RowKind::Code)
            .filter(|(_, row)| row["is_managed"] == true && row["status"] == "set")
            .filter_map(|(key, row)| Some((row["slot"].as_u64()? as u16, key.parse().ok()?)))
            .collect();
        if lock.hides {
            return None;
        }
        let (slot, id) = dice.one_of(&set)?;
        self.wishes.get_mut(&id)?.attacked += 1;
        let erased = dice.often();
        if erased {
            lock.table.remove(&slot);
        } else {
            lock.table.insert(slot, format!("8{}", self.fresh_digits()));
        }
        let notice = if erased { CodeNotice::Deleted { slot } } else { CodeNotice::Added { slot } };
        dice.often().then_some(notice)
    }

    /// The lock keeps other dates for a code, or none, and says nothing of it.
    pub fn dates_drift(&mut self, rig: &Rig, lock: &mut Lock, dice: &mut Dice) {
        let slots: Vec<u16> = lock.dates.keys().copied().collect();
        let Some(slot) = dice.one_of(&slots) else { return };
        if let Some(wish) = owner(rig, slot).and_then(|(id, _)| self.wishes.get_mut(&id)) {
            (wish.attacked, wish.drifted) = (wish.attacked + 1, true);
        }
        let dates = lock.dates.remove(&slot);
        if let Some(mut dates) = dates.filter(|_| dice.often()) {
            // It opens too early and too long, or hardly ever.
            if dice.often() {
                dates.until += chrono::TimeDelta::days(30);
                dates.from -= chrono::TimeDelta::days(20);
            } else {
                dates.until = dates.from + chrono::TimeDelta::minutes(30);
            }
            lock.dates.insert(slot, dates);
        }
    }

    /// No lock opens to a code that is still to come, and was so all the time.
    pub fn nothing_opens_early(&mut self, lock: &Lock, now: Wall) -> Result<(), String> {
        self.latest = self.latest.max(now.0);
        let latest = self.latest;
        let early = |wish: &&Wish| wish.starts.is_some_and(|starts| latest < starts) && !wish.drifted;
        match self.wishes.values().filter(early).find(|wish| lock.opens(&wish.digits, now)) {
            Some(wish) => Err(format!("{} opens ahead of its time", wish.digits)),
            None => Ok(()),
        }
    }

    /// When all faults have ended long ago: the lock holds what is wanted, and what is not ours was never touched.
    pub fn all_is_as_wished(&self, rig: &Rig, lock: &Lock, now: Wall) -> Result<(), String> {
        let table = &lock.table;
        for (slot, digits) in &self.foreign {
            if table.get(slot) != Some(digits) {
                return Err(format!("slot {slot} was {digits} of somebody else, and is {:?}", table.get(slot)));
            }
        }
        for (id, wish) in &self.wishes {
            let row = rig.row(RowKind::Code, &id.to_string()).cloned().unwrap_or_default();
            let on_lock = table.values().filter(|d| **d == wish.digits).count();
            let begun = wish.starts.is_none_or(|starts| starts <= now.0);
            let ended = wish.ends.is_some_and(|ends| ends <= now.0);
            let (wanted, opens) = (!wish.deleted && begun && !ended, lock.opens(&wish.digits, now));
            let excused = match row["errors"][0]["error_code"].as_str().unwrap_or_default() {
                "conflicting_external_modification" => wish.attacked >= 2,
                "no_space_for_access_code_on_device" => table.range(SLOTS).count() == SLOTS.count(),
                _ => false,
            };
            if wanted && !excused && (on_lock != 1 || !opens || row["status"] != "set") {
                return Err(format!("{} is wanted, {on_lock} times on the lock, opens: {opens}, {row}", wish.digits));
            }
            // One that is still to come may be there, and is not open.
            if !wanted && (opens || on_lock > 0 && (wish.deleted || ended)) {
                return Err(format!("{} is not wanted, and on the lock; {row}", wish.digits));
            }
        }
        Ok(())
    }
}

fn owner(rig: &Rig, slot: u16) -> Option<(Uuid, &Value)> {
    let mut rows = rig.rows(RowKind::Code).filter(|(_, row)| row["slot"] == slot && row["is_managed"] == true);
    rows.next().and_then(|(key, row)| Some((key.parse().ok()?, row)))
}

/// What is told of codes makes sense: each is created once and ends once, and nothing is told of it outside of that; nothing is told
/// twice running; it goes from the lock only after it was told to be there; and it is told to be set with its digits.
pub fn codes_make_sense(log: &[Event]) -> Result<(), String> {
    use EventType::*;
    let mut lives: HashMap<Uuid, Vec<EventType>> = HashMap::new();
    for event in log {
        let Some(id) = event.details.access_code_id else { continue };
        let (told, life) = (event.event_type, lives.entry(id).or_default());
        let begins = matches!(told, AccessCodeCreated | AccessCodeUnmanagedCreated);
        let wrong = |what: &str| Err(format!("{told} is told of {id} {what}: {life:?}"));
        if begins != life.is_empty() {
            return wrong("out of its life");
        }
        if matches!(life.last(), Some(AccessCodeDeleted | AccessCodeUnmanagedRemoved)) {
            return wrong("after its end");
        }
        if !told.as_str().starts_with("access_code.") {
            continue;
        }
        // Users change their minds, and others the lock, as often as they like; and what fails is told of each wish, also of one that
        // comes back with the clock that was set back.
        let name = told.as_str();
        let may_repeat = matches!(told, AccessCodeChanged | AccessCodeModifiedExternalToSeam)
            || name.contains("delay_in_")
            || name.contains("failed_to_set")
            || name.contains("failed_to_remove");
        if life.last() == Some(&told) && !may_repeat {
            return wrong("twice running");
        }
        let there = |t: &&EventType| {
            let there = [AccessCodeSetOnDevice, AccessCodeScheduledOnDevice, AccessCodeUnmanagedConvertedToManaged];
            let stays = [AccessCodeFailedToRemoveFromDevice, AccessCodeDelayInRemovingFromDevice];
            **t == AccessCodeRemovedFromDevice || there.contains(*t) || stays.contains(*t)
        };
        let last = life.iter().rev().find(there);
        if told == AccessCodeRemovedFromDevice && last.is_none_or(|t| *t == AccessCodeRemovedFromDevice) {
            return wrong("and it was never there");
        }
        if told == AccessCodeSetOnDevice && event.details.code.is_none() {
            return wrong("without its digits");
        }
        life.push(told);
    }
    Ok(())
}
