//! What a user says of a code.

use crate::signal::Secret;
use crate::time::Wall;

/// What a user wants of a code. What is `None` is left as it is, or to the hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodeDraft {
    pub name: Option<String>,
    /// What codes that were made together have in common.
    pub common_code_key: Option<String>,
    /// Without them the hub makes some up.
    pub code: Option<Secret>,
    pub starts_at: Option<Wall>,
    pub ends_at: Option<Wall>,
    /// From now on without a beginning and an end.
    pub ongoing: bool,
    /// Keep a spare code on the lock for this one.
    pub use_backup_access_code_pool: Option<bool>,
    /// What somebody does to it at the lock is taken over rather than undone.
    pub is_external_modification_allowed: Option<bool>,
    /// Of digits that the hub makes up.
    pub preferred_code_length: Option<u8>,
}
