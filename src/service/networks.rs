//! Z-Wave networks that come and go while the hub runs: kept first, then the hub and the parts follow.
//!
//! ```text
//! add:    row on disk → the hub knows the name → its login is announced → the link starts
//! remove: row gone    → the hub tells its account and devices as deleted → the link ends
//! ```
//!
//! One at a time. A crash in between is made good by the next start, which begins with the rows.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::Site;
use crate::api::connect::{Asked, Change, Refusal};
use crate::engine::Hand;
use crate::hub::{Command, Row, RowKind};
use crate::source::zwave::added::{Added, MOST};
use crate::store::{Batch, Store, StoreError};

/// Changes that may wait for their turn.
pub const WAITING_MOST: usize = 8;

pub struct Networks {
    pub site: Arc<Mutex<Site>>,
    pub store: Store,
    pub hand: Hand,
}

impl Networks {
    /// Makes each change, until nobody can ask any more.
    pub async fn tend(self, mut asked: mpsc::Receiver<Asked>) {
        while let Some(Asked { change, done }) = asked.recv().await {
            let made = match change {
                Change::Add(network) => self.add(network).await,
                Change::Remove(name) => self.remove(&name).await,
            };
            let _ = done.send(made);
        }
    }

    async fn add(&self, mut network: Added) -> Result<(), Refusal> {
        let before = self.takes_the_place_of(&network).await?;
        let is_new = before.is_none();
        if let Some(before) = before {
            // Its account goes on under its name.
            (network.name, network.added_at) = (before.name, before.added_at);
        }
        self.keep(network.row()).await?;
        let (name, connect_webview_id) = (network.name.clone(), network.connect_webview_id);
        tracing::info!(network = name, home_id = format!("{:08x}", network.home), is_new, "zwave.added");
        let mut site = self.site.lock().await;
        site.added.retain(|other| other.name != name);
        site.added.push(network);
        site.tell_hub().await;
        if !is_new {
            site.reconfigure().await;
        }
        // Nobody may wait for the disk with the site in hand: a stop needs it.
        drop(site);
        let login = Command::Login { network: name.as_str().into(), connect_webview_id };
        if let Err(error) = self.hand.command(login).await {
            tracing::error!(network = name, %error, "zwave.login_untold");
        }
        if is_new {
            self.site.lock().await.reconfigure().await;
        }
        Ok(())
    }

    /// The network that is connected anew by this one; none where it is another.
    async fn takes_the_place_of(&self, network: &Added) -> Result<Option<Added>, Refusal> {
        let store = self.store.clone();
        let accounts = move || store.rows_after(RowKind::Account, "", usize::MAX);
        let accounts = tokio::task::spawn_blocking(accounts).await.map_err(|_| StoreError::Stopped)??;
        let of_home = accounts.iter().filter_map(|row| row.value.as_ref());
        let mut of_home = of_home.filter(|account| account["state"]["home"] == network.home);
        let account = of_home.next();
        let name = || account.and_then(|account| account["name"].as_str()).unwrap_or_default().to_owned();
        if account.is_some_and(|account| account["online"] == true) {
            return Err(Refusal::AlreadyThere(name()));
        }
        let site = self.site.lock().await;
        let same = |other: &&Added| other.home == network.home || other.url == network.url;
        if let Some(before) = site.added.iter().find(same) {
            return Ok(Some(before.clone()));
        }
        if let Some(other) = site.file.zwave.iter().find(|n| n.url == network.url || n.name == name()) {
            return Err(Refusal::Configured(other.name.clone()));
        }
        let mut names = site.file.zwave.iter().map(|n| &n.name).chain(site.added.iter().map(|n| &n.name));
        if names.any(|name| *name == network.name) {
            return Err(Refusal::NameTaken(network.name.clone()));
        }
        if site.added.len() >= MOST {
            return Err(Refusal::TooMany);
        }
        Ok(None)
    }

    async fn remove(&self, name: &str) -> Result<(), Refusal> {
        {
            let site = self.site.lock().await;
            if site.file.zwave.iter().any(|network| network.name == name) {
                return Err(Refusal::Configured(name.to_owned()));
            }
            if site.added.iter().all(|network| network.name != name) {
                return Err(Refusal::Unknown(name.to_owned()));
            }
        }
        self.keep(Row { kind: RowKind::Network, key: name.to_owned(), value: None }).await?;
        tracing::info!(network = name, "zwave.taken_out");
        let mut site = self.site.lock().await;
        site.added.retain(|network| network.name != name);
        site.tell_hub().await;
        site.reconfigure().await;
        Ok(())
    }

    /// Comes back when the row is on disk.
    async fn keep(&self, row: Row) -> Result<(), StoreError> {
        self.store.append(Batch { events: Vec::new(), rows: vec![row], then: None })?;
        self.store.flush().await
    }
}
