//! Networks that were added at run time: rows of [`RowKind::Network`], beside those of the configuration.
//!
//! The configuration wins: a row with the name or the address of one of its networks waits until that is taken out.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{Config, ZwaveSection};
use crate::hub::{Row, RowKind};
use crate::signal::Secret;
use crate::store::{Reader, StoreError};
use crate::time::Wall;

/// Networks of one hub that are added at run time: each is a stick and a server.
pub const MOST: usize = 16;

/// One of them. The row's key is its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Added {
    pub name: String,
    pub url: String,
    pub username: Option<String>,
    /// The password that goes with the username; under this name the store seals it.
    pub secret: Option<Secret>,
    /// Its home id, as the server said when it was added.
    pub home: u32,
    /// Of the form that was completed to add it.
    pub connect_webview_id: Uuid,
    pub added_at: Wall,
}

impl Added {
    /// As a configuration would name it.
    pub fn section(&self) -> ZwaveSection {
        ZwaveSection {
            name: self.name.clone(),
            url: self.url.clone(),
            username: self.username.clone(),
            password: self.secret.clone(),
            ..ZwaveSection::default()
        }
    }

    pub fn row(&self) -> Row {
        Row { kind: RowKind::Network, key: self.name.clone(), value: serde_json::to_value(self).ok() }
    }
}

/// Those that are kept.
pub fn all(store: &Reader) -> Result<Vec<Added>, StoreError> {
    let rows = store.rows_after(RowKind::Network, "", MOST)?;
    Ok(rows.into_iter().filter_map(|row| serde_json::from_value(row.value?).ok()).collect())
}

/// The configuration, with the networks that were added and that it does not name itself.
pub fn with(config: &Config, added: &[Added]) -> Config {
    let mut config = config.clone();
    for network in added {
        if config.zwave.iter().all(|other| other.name != network.name && other.url != network.url) {
            config.zwave.push(network.section());
        }
    }
    config
}
