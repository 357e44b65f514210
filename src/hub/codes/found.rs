//! Codes that somebody else put on the lock: told, named in what they open, never written; and taken over when a user asks for it.

use uuid::Uuid;

use super::Content;
use super::code::{Code, Held, Problem, Why};
use super::table::Table;
use crate::event::EventType;
use crate::hub::Device;
use crate::hub::tell::Teller;

impl Table {
    /// What is in a slot that is not ours.
    pub fn found_there(&mut self, slot: u16, content: &Content, device: &Device, teller: &mut Teller<'_>) {
        let known = self.at(slot).map(|e| (e.code.access_code_id, e.code.digits.clone(), e.code.converting));
        match (known, content) {
            (None, Content::Empty) => {}
            (None, _) => self.found(slot, content, device, teller),
            (Some((id, ..)), Content::Empty) => {
                self.forget(id, Some(EventType::AccessCodeUnmanagedRemoved), device, teller);
            }
            (Some((id, before, _)), Content::Digits(digits)) if before.as_ref().is_some_and(|d| d != digits) => {
                // Another code, and perhaps another person.
                self.forget(id, Some(EventType::AccessCodeUnmanagedRemoved), device, teller);
                self.found(slot, content, device, teller);
            }
            (Some((id, _, converting)), Content::Digits(digits)) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.code.digits = Some(digits.clone());
                }
                if converting {
                    self.convert(id, device, teller);
                }
            }
            (Some((id, _, true)), Content::Hidden) => self.cannot_convert(id, Why::Hidden, device, teller),
            (Some(_), Content::Hidden) => {}
            (Some((id, ..)), Content::Unread) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.soft.check = true;
                }
            }
        }
    }

    /// A code that nobody here wrote. Within the slots that may be read its digits are asked for.
    fn found(&mut self, slot: u16, content: &Content, device: &Device, teller: &mut Teller<'_>) {
        let mut code = Code::new(self.new_id(teller), device.device_id, self.key, teller.now.wall);
        (code.managed, code.slot, code.compared_at) = (false, Some(slot), Some(teller.now.wall));
        if let Content::Digits(digits) = content {
            code.digits = Some(digits.clone());
        }
        let id = code.access_code_id;
        self.insert(code);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.soft.check = *content == Content::Unread;
            entry.tell(EventType::AccessCodeUnmanagedCreated, device, teller, |_, _| {});
        }
    }

    /// It was read, and is ours from now on.
    fn convert(&mut self, id: Uuid, device: &Device, teller: &mut Teller<'_>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let code = &mut entry.code;
        (code.managed, code.converting, code.problem) = (true, false, None);
        code.confirm(code.digits.clone(), teller.now.wall);
        code.told = Some(Held { digits: code.digits.clone() });
        entry.tell(EventType::AccessCodeUnmanagedConvertedToManaged, device, teller, |_, _| {});
    }

    /// It could not be taken over, and is as it was.
    pub fn cannot_convert(&mut self, id: Uuid, why: Why, device: &Device, teller: &mut Teller<'_>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.soft.check = false;
        if std::mem::take(&mut entry.code.converting) {
            entry.code.problem = Some(Problem { why, since: teller.now.wall });
            let failed = EventType::AccessCodeUnmanagedFailedToConvertToManaged;
            entry.tell(failed, device, teller, |_, _| {});
        }
    }
}
