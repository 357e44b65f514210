//! What a user may ask of the hub, and how it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::codes::Wish;
use super::noise::{self, ThresholdDraft};
use super::tell::Teller;
use super::{CodeDraft, Hub, Origin, Output, life};
use crate::time::Now;

/// Pairs a command with its [`Reply`]; chosen by whoever commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// What a user asks of the hub.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Adopt an unmanaged device: from now on it is managed.
    Adopt {
        device_id: Uuid,
        name: Option<String>,
    },
    /// The opposite: it stays known, unmanaged.
    Release {
        device_id: Uuid,
    },
    /// Forget a device altogether.
    Delete {
        device_id: Uuid,
    },
    /// Say why a device's presence is judged as it is: a [`super::presence::Explanation`], or null for one that is not judged by
    /// silence. Changes nothing.
    Explain {
        device_id: Uuid,
    },
    /// Say how long ago each device was heard: `{device_id: seconds}`. Changes nothing.
    Heard,
    Rename {
        device_id: Uuid,
        name: Option<String>,
    },
    /// Lock or unlock a door. The answer is the attempt, which goes on: see [`super::attempts`].
    Lock {
        device_id: Uuid,
        lock: bool,
    },
    /// Make an access code. This and the next three answer with the code as Seam shapes it, digits included.
    CreateCode {
        device_id: Uuid,
        draft: CodeDraft,
    },
    ChangeCode {
        access_code_id: Uuid,
        draft: CodeDraft,
    },
    /// The spare code that takes over from this one.
    PullBackupCode {
        access_code_id: Uuid,
    },
    /// Take over a code that somebody else put on the lock. Whether that works shows when the lock has been read.
    ConvertCode {
        access_code_id: Uuid,
        is_external_modification_allowed: Option<bool>,
    },
    /// It ends when the lock does not hold it any more.
    DeleteCode {
        access_code_id: Uuid,
    },
    /// Digits that are free on a lock: `{device_id, code}`. Changes nothing.
    GenerateCode {
        device_id: Uuid,
    },
    /// Keeps names with texts or flags with the device; null takes one out.
    Annotate {
        device_id: Uuid,
        changes: BTreeMap<String, Value>,
    },
    /// Makes a noise threshold, or changes the one that has this id.
    SetNoiseThreshold {
        device_id: Uuid,
        threshold_id: Option<Uuid>,
        draft: ThresholdDraft,
    },
    DeleteNoiseThreshold {
        device_id: Uuid,
        threshold_id: Uuid,
    },
    /// Someone completed the connect form of a network.
    Login {
        network: Arc<str>,
        connect_webview_id: Uuid,
    },
    /// A command that may be delivered more than once: what has this `id` is done only once, see [`super::once`].
    Once {
        id: String,
        command: Box<Command>,
    },
}

/// The answer to a [`Command`], shown only after the step that made it is on disk.
pub type Reply = Result<Value, CommandError>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no device with id {0}")]
    NoSuchDevice(Uuid),
    #[error("no access code with id {0}")]
    NoSuchCode(Uuid),
    #[error("{0}")]
    Refused(String),
    /// What was asked for cannot be, whatever the hub and the device are like.
    #[error("{param}: {why}")]
    Wrong { param: &'static str, why: String },
    #[error("too many commands for this device; try again in {retry_after_s} s")]
    TooMany { retry_after_s: u64 },
}

impl CommandError {
    pub(super) fn too_many(wait: Duration) -> CommandError {
        CommandError::TooMany { retry_after_s: wait.as_secs_f64().ceil() as u64 }
    }
}

impl Hub {
    pub(super) fn command(&mut self, now: Now, command: Command, out: &mut Output) -> Reply {
        let device_id = match command {
            Command::Once { id, command } => return self.once(now, id, *command, out),
            Command::Login { network, connect_webview_id } => {
                return self.login(now, &network, connect_webview_id, out);
            }
            Command::Lock { device_id, lock } => return self.attempt(now, device_id, lock, out),
            Command::CreateCode { device_id, draft } => return self.wish(now, device_id, Wish::Create(draft), out),
            Command::ChangeCode { access_code_id: id, draft } => {
                return self.wish_of_code(now, id, Wish::Change(id, draft), out);
            }
            Command::PullBackupCode { access_code_id: id } => {
                return self.wish_of_code(now, id, Wish::Pull(id), out);
            }
            Command::ConvertCode { access_code_id: id, is_external_modification_allowed: allowed } => {
                return self.wish_of_code(now, id, Wish::Convert(id, allowed), out);
            }
            Command::DeleteCode { access_code_id: id } => {
                return self.wish_of_code(now, id, Wish::Delete(id), out);
            }
            Command::GenerateCode { device_id } => return self.generate_code(now, device_id, out),
            Command::Explain { device_id } => {
                return Ok(serde_json::to_value(self.explain(device_id, now.mono)).unwrap_or_default());
            }
            Command::Heard => return Ok(json!(self.heard_ago(now.mono))),
            Command::Adopt { device_id, .. }
            | Command::Release { device_id }
            | Command::Delete { device_id }
            | Command::Rename { device_id, .. }
            | Command::Annotate { device_id, .. }
            | Command::SetNoiseThreshold { device_id, .. }
            | Command::DeleteNoiseThreshold { device_id, .. } => device_id,
        };
        if let (Command::Adopt { .. }, Some(key)) = (&command, self.deleted_key(device_id)) {
            self.readopt(now, key, out);
        }
        let key = self.key_of(device_id).ok_or(CommandError::NoSuchDevice(device_id))?;
        let listed = self.devices.get(&key).is_some_and(|d| d.origin == Origin::Config);
        if listed && matches!(command, Command::Release { .. } | Command::Delete { .. }) {
            let what = "the device is in the configuration; take its [[devices]] entry out and reload";
            return Err(CommandError::Refused(what.into()));
        }
        if matches!(command, Command::Delete { .. }) {
            self.delete(now, key, out);
            return Ok(Value::Null);
        }
        let device = self.devices.get_mut(&key).ok_or(CommandError::NoSuchDevice(device_id))?;
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        let reply = match command {
            Command::Adopt { name, .. } => {
                if !device.managed {
                    life::convert(device, Origin::User, &mut teller);
                }
                if name.is_some() {
                    device.rename(name, &mut teller);
                }
                None
            }
            Command::Release { .. } => {
                if device.managed {
                    life::release(device, Origin::Released, &mut teller);
                }
                None
            }
            Command::Rename { name, .. } => {
                device.rename(name.filter(|n| !n.trim().is_empty()), &mut teller);
                None
            }
            Command::Annotate { changes, .. } => {
                let wrong = |why| CommandError::Wrong { param: "custom_metadata", why };
                device.annotate(changes).map_err(wrong)?;
                None
            }
            Command::SetNoiseThreshold { threshold_id, draft, .. } => {
                let id = threshold_id.unwrap_or_else(|| teller.new_id());
                Some(noise::set(device, id, draft, &mut teller).map_err(CommandError::Refused)?)
            }
            Command::DeleteNoiseThreshold { threshold_id, .. } => {
                if !noise::delete(device, threshold_id) {
                    return Err(CommandError::Refused(format!("the device has no noise threshold {threshold_id}")));
                }
                Some(Value::Null)
            }
            Command::Once { .. }
            | Command::Login { .. }
            | Command::Explain { .. }
            | Command::Heard
            | Command::Delete { .. }
            | Command::Lock { .. }
            | Command::CreateCode { .. }
            | Command::ChangeCode { .. }
            | Command::PullBackupCode { .. }
            | Command::ConvertCode { .. }
            | Command::DeleteCode { .. }
            | Command::GenerateCode { .. } => None,
        };
        teller.keep(device);
        let view = json!(device.view());
        self.pump_codes(now, key, out);
        Ok(reply.unwrap_or(view))
    }

    fn login(&mut self, now: Now, network: &Arc<str>, connect_webview_id: Uuid, out: &mut Output) -> Reply {
        if !self.world.settings.networks.contains(network) {
            return Err(CommandError::Refused(format!("no [[zwave]] network is named {network:?}")));
        }
        self.accounts.login(network, connect_webview_id, &mut Teller::new(&mut self.world, None, now, out));
        Ok(Value::Null)
    }
}
