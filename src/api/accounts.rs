//! `/connected_accounts/*` and `/workspaces/*`: whose devices there are, and whose hub.

use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::page::Page;
use super::params::Params;
use crate::config::Config;
use crate::hub::{Adopt, RowKind};
use crate::store::StateRow;

pub async fn list(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let page = Page::of(RowKind::Account, None, &mut params);
    let metadata = params.record("custom_metadata_has");
    let search = params.text("search").map(|text| text.to_lowercase());
    // What a hub knows nothing of is nobody's.
    let foreign = params.text("customer_key").or(params.text("user_identifier_key")).or(params.text("space_id"));
    let adopts = app.adopts();
    page.answer(&app, params, "connected_accounts", move |row| {
        let account = account(row.value?, adopts);
        let named = |text: &String| account.to_string().to_lowercase().contains(text);
        let fits = foreign.is_none() && metadata.is_none() && search.as_ref().is_none_or(named);
        fits.then_some(account)
    })
    .await
}

pub async fn get(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (id, email) = (params.uuid("connected_account_id"), params.text("email"));
    if id.is_none() && email.is_none() {
        params.wrong("connected_account_id", "required");
    }
    params.end()?;
    let id = id.unwrap_or_default().to_string();
    let row = read(app.store.clone(), move |store| store.row(RowKind::Account, &id)).await?;
    row.map(|view| Answer::of("connected_account", app.account(view))).ok_or_else(missing)
}

pub fn missing() -> ApiError {
    ApiError::not_found("connected_account", "no such account; /connected_accounts/list shows all")
}

/// The one that this hub is.
pub async fn get_workspace(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    Ok(Answer::of("workspace", workspace(&app)))
}

pub async fn list_workspaces(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    Ok(Answer::of("workspaces", json!([workspace(&app)])))
}

fn workspace(app: &App) -> Value {
    json!({
        "workspace_id": app.identity.workspace_id,
        "name": app.names.hub,
        "company_name": app.names.hub,
        "connect_partner_name": null,
        "connect_webview_customization": {},
        "is_publishable_key_auth_enabled": false,
        "is_sandbox": app.simulator.is_some(),
        "is_suspended": false,
        "organization_id": null,
    })
}

/// Whether new devices are managed on sight, as `[adopt]` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopts {
    pub ble: bool,
    pub zwave: bool,
}

impl Adopts {
    pub fn of(config: &Config) -> Adopts {
        Adopts { ble: config.adopt.ble == Adopt::Known, zwave: config.adopt.zwave == Adopt::Known }
    }
}

impl App {
    pub fn adopts(&self) -> Adopts {
        *self.adopts.borrow()
    }

    /// An account's row in Seam's shape.
    pub fn account(&self, view: Value) -> Value {
        account(view, self.adopts())
    }
}

/// Every account of these rows in Seam's shape, in the order of their ids.
pub fn all(rows: &[StateRow], adopts: Adopts) -> impl Iterator<Item = Value> {
    let mut rows: Vec<&StateRow> = rows.iter().filter(|row| row.kind == RowKind::Account).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.into_iter().filter_map(|row| row.value.clone()).map(move |view| account(view, adopts))
}

fn account(view: Value, adopts: Adopts) -> Value {
    let kind = view["account_type"].as_str().unwrap_or("ble");
    let mut errors = view["errors"].as_array().cloned().unwrap_or_default();
    for error in &mut errors {
        error["is_connected_account_error"] = true.into();
        error["is_bridge_error"] = (error["error_code"] == "bridge_disconnected").into();
    }
    json!({
        "connected_account_id": view["connected_account_id"],
        "account_type": kind,
        "account_type_display_name": if kind == "zwave" { "Z-Wave" } else { "Bluetooth LE" },
        "display_name": view["name"],
        "created_at": view["created_at"],
        "errors": errors,
        "warnings": view["warnings"].as_array().cloned().unwrap_or_default(),
        "custom_metadata": {},
        "automatically_manage_new_devices": if kind == "zwave" { adopts.zwave } else { adopts.ble },
        "accepted_capabilities": ["lock", "noise_sensor"],
    })
}
