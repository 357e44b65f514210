//! What a disk may hold after the power went: all that was synced, and of the rest any part, torn at any sector.

use std::collections::BTreeMap;

use portcullis::source::demo::Dice;

use crate::shim::Op;

/// A write is whole or torn at these.
const SECTOR: usize = 512;

enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Default)]
struct File {
    /// What is on the platters.
    synced: Vec<u8>,
    /// What the kernel would still write.
    pending: Vec<Change>,
}

enum Naming {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

/// How much of what was not synced is there.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// The process died, the machine lives.
    All,
    Nothing,
    /// Each write is there, or is not, or is torn; names up to some moment.
    Some,
}

#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// Names as a running process sees them, and as the directory on the platters has them.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
}

impl Disk {
    pub fn apply(&mut self, op: &Op, dice: &mut Dice) {
        let file = self.names.get(&op.name).copied();
        match (op.kind, file) {
            (b'C', _) => {
                self.files.push(File::default());
                self.rename(Naming::Link(op.name.clone(), self.files.len() - 1));
            }
            (b'U', _) => self.rename(Naming::Unlink(op.name.clone())),
            (b'R', _) => {
                let to = String::from_utf8_lossy(&op.data).rsplit('/').next().unwrap_or_default().to_owned();
                self.rename(Naming::Rename(op.name.clone(), to));
            }
            (b'S', _) if op.name.is_empty() => {
                for naming in std::mem::take(&mut self.pending_names) {
                    name(&mut self.synced_names, &naming);
                }
            }
            (b'W', Some(n)) => {
                self.files[n].pending.push(Change::Write { offset: op.offset as usize, data: op.data.clone() });
            }
            (b'T', Some(n)) => self.files[n].pending.push(Change::Length(op.offset as usize)),
            (b'S', Some(n)) => self.files[n].settle(Cut::All, dice),
            // The kernel reports an error once and takes the pages for clean: what it could not write it never will.
            (b'F', Some(n)) => self.files[n].settle(Cut::Some, dice),
            _ => {}
        }
    }

    fn rename(&mut self, naming: Naming) {
        name(&mut self.names, &naming);
        self.pending_names.push(naming);
    }

    /// The files as they are found when the power is back.
    pub fn after_power_loss(&self, cut: Cut, dice: &mut Dice) -> BTreeMap<String, Vec<u8>> {
        let pending = self.pending_names.len();
        let reached = match cut {
            Cut::All => pending,
            Cut::Nothing => 0,
            Cut::Some => dice.roll() as usize % (pending + 1),
        };
        let mut names = self.synced_names.clone();
        self.pending_names[..reached].iter().for_each(|naming| name(&mut names, naming));
        names.into_iter().map(|(name, n)| (name, self.files[n].cut(cut, dice))).collect()
    }
}

fn name(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Link(name, file) => {
            names.insert(name.clone(), *file);
        }
        Naming::Unlink(name) => {
            names.remove(name);
        }
        Naming::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

impl File {
    fn settle(&mut self, cut: Cut, dice: &mut Dice) {
        self.synced = self.cut(cut, dice);
        self.pending.clear();
    }

    fn cut(&self, cut: Cut, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        if matches!(cut, Cut::Nothing) {
            return bytes;
        }
        for change in &self.pending {
            let fate = if matches!(cut, Cut::All) { 0 } else { dice.roll() % 3 };
            match change {
                Change::Length(length) if fate != 1 => bytes.resize(*length, 0),
                Change::Write { offset, data } if fate == 0 => write(&mut bytes, *offset, data),
                Change::Write { offset, data } if fate == 2 => {
                    for (n, sector) in data.chunks(SECTOR).enumerate() {
                        if dice.roll().is_multiple_of(2) {
                            write(&mut bytes, offset + n * SECTOR, sector);
                        }
                    }
                }
                _ => {}
            }
        }
        bytes
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}
