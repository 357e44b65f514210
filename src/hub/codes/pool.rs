//! Spare codes: kept on the lock, so that a guest whose own code does not get there can be given one that works at once.

use uuid::Uuid;

use super::code::Code;
use super::table::{Entry, Table};
use crate::event::EventType;
use crate::hub::Device;
use crate::hub::tell::Teller;

fn is_spare(entry: &&Entry) -> bool {
    let code = &entry.code;
    code.managed && code.is_backup && code.stands_in_for.is_none() && !code.deleting
}

impl Table {
    /// A spare code that is on the lock.
    pub fn spare(&self) -> Option<Uuid> {
        self.entries.values().filter(is_spare).find(|e| e.code.is_set()).map(|e| e.code.access_code_id)
    }

    /// Keeps as many as the configuration says, and one where any code may need it.
    pub fn fill_pool(&mut self, device: &Device, teller: &mut Teller<'_>) {
        if !device.codes.writes() {
            return;
        }
        let wall = teller.now.wall;
        let date = teller.date();
        let may_need = |e: &Entry| e.code.managed && e.code.uses_pool && !e.code.deleting && !e.code.has_ended(date);
        let least = usize::from(self.entries.values().any(may_need));
        let wanted = least.max(usize::from(device.codes.settings.backup));
        let spares: Vec<Uuid> = self.entries.values().filter(is_spare).map(|e| e.code.access_code_id).collect();
        for id in spares.iter().skip(wanted) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.code.deleting = true;
            }
            self.settle(*id, device, teller);
        }
        for _ in spares.len()..wanted {
            let Some(digits) = self.free_digits(None, device, teller) else { return };
            let mut code = Code::new(self.new_id(teller), device.device_id, self.key, wall);
            (code.is_backup, code.digits) = (true, Some(digits));
            let id = code.access_code_id;
            self.insert(code);
            if let Some(entry) = self.entries.get(&id) {
                entry.tell(EventType::AccessCodeCreated, device, teller, |_, _| {});
            }
            self.settle(id, device, teller);
        }
    }

    /// The spare code that stands in for this one from now on.
    pub fn pull(&mut self, id: Uuid, device: &Device, teller: &mut Teller<'_>) -> Result<Uuid, String> {
        let code = self.entries.get(&id).map(|e| e.code.clone()).filter(|c| c.managed);
        let Some(code) = code.filter(|c| !c.is_backup && !c.deleting) else {
            return Err("only a managed code that is no backup code itself can have one pulled".into());
        };
        if let Some(pulled) = code.pulled.filter(|pulled| self.entries.contains_key(pulled)) {
            return Ok(pulled);
        }
        let Some(spare) = self.spare() else {
            return Err(
                "no backup code is on the lock; one is kept there for codes made with use_backup_access_code_pool"
                    .into(),
            );
        };
        if let Some(entry) = self.entries.get_mut(&spare) {
            let backup = &mut entry.code;
            backup.name.clone_from(&code.name);
            (backup.starts_at, backup.ends_at, backup.stands_in_for) = (None, code.ends_at, Some(id));
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.code.pulled = Some(spare);
            let told = EventType::AccessCodeBackupAccessCodePulled;
            entry.tell(told, device, teller, |d, code| d.backup_access_code_id = code.pulled);
        }
        Ok(spare)
    }
}
