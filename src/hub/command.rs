//! What a user may ask of the hub, and how it answers.

use serde_json::Value;
use uuid::Uuid;

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
    Rename {
        device_id: Uuid,
        name: Option<String>,
    },
}

/// The answer to a [`Command`], shown only after the step that made it is on disk.
pub type Reply = Result<Value, CommandError>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no device with id {0}")]
    NoSuchDevice(Uuid),
    #[error("{0}")]
    Refused(String),
}
