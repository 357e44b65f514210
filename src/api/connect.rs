//! `/connected_accounts/create` and `/connected_accounts/delete`: a Z-Wave network is connected by the address of its server while
//! the hub runs, and taken out with its devices. What is done with it is [`crate::service`]'s.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::App;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::params::Params;
use crate::config::ZwaveSection;
use crate::config::check::is_topic_level;
use crate::hub::{RowKind, network_account_id};
use crate::signal::Secret;
use crate::source::zwave::added::{self, Added};
use crate::source::zwave::probe::{ProbeError, probe};
use crate::store::StoreError;
use crate::time::Wall;

/// From the greeting of a server to the dump of its network: a big one on a slow Pi takes seconds.
const MET_WITHIN: Duration = Duration::from_secs(30);
/// Everything of an account is taken out in one step of the hub.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// What becomes of the networks of a running hub.
#[derive(Debug)]
pub enum Change {
    /// It was found to be what it is said to be.
    Add(Added),
    /// By its name.
    Remove(String),
}

/// A change on its way, and where it is answered once it is kept and under way.
#[derive(Debug)]
pub struct Asked {
    pub change: Change,
    pub done: oneshot::Sender<Result<(), Refusal>>,
}

/// The way to whoever makes the changes.
pub type Networks = mpsc::Sender<Asked>;

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("this network is connected already, as {0:?}; /connected_accounts/list shows it")]
    AlreadyThere(String),
    #[error(
        "the configuration has this network as {0:?}; change its [[zwave]] entry, or take it out, and reload (systemctl reload portcullis)"
    )]
    Configured(String),
    #[error("another network has the name {0:?}; give this one another name")]
    NameTaken(String),
    #[error("no network was added under the name {0:?}")]
    Unknown(String),
    #[error("{} networks were added already; take one out first", added::MOST)]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        let kind = match refusal {
            Refusal::AlreadyThere(_) => "already_connected",
            Refusal::Configured(_) | Refusal::Unknown(_) => "refused",
            Refusal::NameTaken(_) => "name_taken",
            Refusal::TooMany => "too_many_networks",
            Refusal::Store(error) => return ApiError::internal(&error),
        };
        ApiError::new(StatusCode::BAD_REQUEST, kind, refusal.to_string())
    }
}

/// `url` of a Z-Wave JS server, and where somebody guards it `username` and `password`; `name` is the network's. It is asked what it is
/// before it is kept, and the answer comes once its devices are being met. A network that was lost is connected anew by the same.
pub async fn create(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (url, name) = (params.must_text("url"), params.text("name"));
    let (username, password) = (params.text("username"), params.text("password").map(Secret::new));
    if !params.is_wrong("url")
        && let Err(what) = ZwaveSection::url(&url.as_str().into())
    {
        params.wrong("url", what);
    }
    if name.as_ref().is_some_and(|name| !is_topic_level(name)) {
        params.wrong("name", "expected letters, digits, _ and -, 64 at most");
    }
    if username.is_none() && password.is_some() {
        params.wrong("password", "has no username beside it");
    }
    params.end()?;
    let server = ZwaveSection { url, username, password, ..ZwaveSection::default() };
    let found = probe(&server).await.map_err(|error| refused(&error))?;
    let network = Added {
        name: name.unwrap_or_else(|| format!("zwave-{:08x}", found.home)),
        url: server.url,
        username: server.username,
        secret: server.password,
        home: found.home,
        connect_webview_id: Uuid::new_v4(),
        added_at: Wall::from(Utc::now()),
    };
    ask(&app, Change::Add(network)).await?;
    let account_id = network_account_id(found.home).to_string();
    let online = |row: Option<&Value>| row.is_some_and(|account| account["online"] == true);
    let met = until(&app, MET_WITHIN, RowKind::Account, &account_id, online).await?;
    let Some(account) = met else {
        let what = "the network is kept, but its server has not shown it yet; /connected_accounts/list shows when it has, /connected_accounts/delete takes it out";
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "not_connected_yet", what));
    };
    Ok(Answer::of("connected_account", app.account(account.unwrap_or_default())))
}

/// Takes a network out, with its devices.
pub async fn delete(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let account_id = params.must_uuid("connected_account_id");
    params.flag("sync");
    params.end()?;
    let (row, added) = read(app.store.clone(), move |store| {
        Ok((store.row(RowKind::Account, &account_id.to_string())?, added::all(store)?))
    })
    .await?;
    let name = match &row {
        Some(account) if account["account_type"] == "ble" => {
            let what = "Bluetooth is this hub's own radio; [ble] enabled = false turns it off";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "refused", what));
        }
        Some(account) => account["name"].as_str().unwrap_or_default().to_owned(),
        // It was kept, and never came up.
        None => {
            let never_met = added.into_iter().find(|network| network_account_id(network.home) == account_id);
            never_met.ok_or_else(super::accounts::missing)?.name
        }
    };
    ask(&app, Change::Remove(name)).await?;
    until(&app, GONE_WITHIN, RowKind::Account, &account_id.to_string(), |row| row.is_none()).await?;
    Ok(Answer::ok())
}

fn refused(error: &ProbeError) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, error.kind(), error.to_string())
}

/// Goes on though the client goes away: what is begun is ended.
async fn ask(app: &App, change: Change) -> Result<(), ApiError> {
    let stopping = || ApiError::new(StatusCode::BAD_REQUEST, "refused", "the hub is stopping");
    let (done, told) = oneshot::channel();
    app.networks.send(Asked { change, done }).await.map_err(|_| stopping())?;
    Ok(told.await.map_err(|_| stopping())??)
}

/// A row of state once it is `so`; `None` where it is not within the time.
pub(super) async fn until(
    app: &App,
    within: Duration,
    kind: RowKind,
    key: &str,
    so: impl Fn(Option<&Value>) -> bool,
) -> Result<Option<Option<Value>>, ApiError> {
    let mut head = app.store.head();
    let waited = tokio::time::timeout(within, async {
        loop {
            head.borrow_and_update();
            let key = key.to_owned();
            let row = read(app.store.clone(), move |store| store.row(kind, &key)).await?;
            if so(row.as_ref()) {
                return Ok(row);
            }
            head.changed().await.map_err(|e| ApiError::internal(&e))?;
        }
    });
    waited.await.ok().transpose()
}
