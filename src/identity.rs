//! Who this hub is: workspace and hub ids, kept in a small file beside the database so that they outlive it.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Its name in the state directory.
pub const FILE: &str = "identity.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub workspace_id: Uuid,
    pub hub_id: Uuid,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is damaged ({source}); restore it from a backup, or remove it to become a new hub")]
    Damaged { path: String, source: serde_json::Error },
}

impl Identity {
    /// That of a hub that has run already.
    pub fn read(dir: &Path) -> Option<Identity> {
        serde_json::from_slice(&std::fs::read(dir.join("identity.json")).ok()?).ok()
    }

    /// Reads `DIR/identity.json`, or makes it. `workspace_id` from the configuration wins.
    pub fn load_or_make(dir: &Path, workspace_id: Option<Uuid>) -> Result<Identity, IdentityError> {
        let path = dir.join(FILE);
        let name = path.display().to_string();
        let io = |source| IdentityError::Io { path: name.clone(), source };
        let mut identity = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| IdentityError::Damaged { path: name.clone(), source })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let made = Identity { workspace_id: workspace_id.unwrap_or_else(Uuid::now_v7), hub_id: Uuid::now_v7() };
                let temporary = dir.join("identity.json.new");
                let mut file = std::fs::File::create(&temporary).map_err(io)?;
                file.write_all(&serde_json::to_vec_pretty(&made).expect("an identity is JSON")).map_err(io)?;
                file.sync_all().map_err(io)?;
                std::fs::rename(&temporary, &path).map_err(io)?;
                std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io)?;
                made
            }
            Err(e) => return Err(io(e)),
        };
        identity.workspace_id = workspace_id.unwrap_or(identity.workspace_id);
        Ok(identity)
    }
}
