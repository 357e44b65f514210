//! `/devices/*`: what there is, in Seam's shape, and whose it is.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::{Value, json};
use uuid::Uuid;

use super::device_shape::{self, device};
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::page::Page;
use super::params::Params;
use super::{App, bindkey};
use crate::hub::{Command, RowKind};
use crate::store::StateRow;
use crate::time::Wall;

/// Which devices a path is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Managed,
    Unmanaged,
    /// Managed ones that are locks.
    Locks,
    /// Managed ones that hear noise.
    NoiseSensors,
}

impl Which {
    fn fits(self, view: &Value) -> bool {
        let managed = view["is_managed"] == true;
        match self {
            Which::Managed => managed,
            Which::Unmanaged => !managed,
            Which::Locks => managed && device_shape::is_lock(view),
            Which::NoiseSensors => managed && view["kind"] == "noise_sensor",
        }
    }
}

pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    list_of(Which::Managed, &app, params).await
}

pub async fn list_unmanaged(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    list_of(Which::Unmanaged, &app, params).await
}

pub async fn get(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    get_of(Which::Managed, &app, params).await.map(|device| Answer::of("device", device))
}

pub async fn get_unmanaged(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    get_of(Which::Unmanaged, &app, params).await.map(|device| Answer::of("device", device))
}

/// Seam's catalogue of brands that one can connect an account of. A hub's devices come to it by radio.
pub async fn list_providers(mut params: Params) -> Result<Answer, ApiError> {
    params.text("provider_category");
    params.end()?;
    Ok(Answer::of("device_providers", json!([])))
}

/// A page of devices under `devices`, by every filter of Seam's.
pub async fn list_of(which: Which, app: &App, mut params: Params) -> Result<Answer, ApiError> {
    let ids = params.uuids("", "device_ids");
    let page = Page::of(RowKind::Device, ids, &mut params);
    let wanted = Wanted::of(&mut params);
    let workspace = app.identity.workspace_id;
    page.answer(app, params, "devices", move |row| {
        let device = row.value.filter(|view| which.fits(view)).map(|view| device(view, workspace))?;
        wanted.fits(&device).then_some(device)
    })
    .await
}

/// What a list of devices is narrowed to.
struct Wanted {
    accounts: Option<Vec<Uuid>>,
    types: Option<Vec<String>>,
    manufacturer: Option<String>,
    created_before: Option<Wall>,
    metadata: BTreeMap<String, Value>,
    search: Option<String>,
    /// Flags that must be true, and those that must not.
    include_if: Vec<String>,
    exclude_if: Vec<String>,
    /// By something that no device of a hub has.
    foreign: bool,
}

impl Wanted {
    fn of(params: &mut Params) -> Wanted {
        const FOREIGN: [&str; 5] =
            ["customer_key", "connect_webview_id", "space_id", "unstable_location_id", "user_identifier_key"];
        Wanted {
            accounts: params.uuids("connected_account_id", "connected_account_ids"),
            types: params.texts("device_type", "device_types"),
            manufacturer: params.text("manufacturer").map(|m| m.to_lowercase()),
            created_before: params.time("created_before"),
            metadata: params.record("custom_metadata_has").unwrap_or_default(),
            search: params.text("search").map(|text| text.to_lowercase()),
            include_if: params.list("include_if").unwrap_or_default(),
            exclude_if: params.list("exclude_if").unwrap_or_default(),
            foreign: FOREIGN.iter().filter_map(|key| params.text(key)).count() > 0,
        }
    }

    fn fits(&self, device: &Value) -> bool {
        let is = |value: &Value, text: &str| value.as_str().is_some_and(|v| v.eq_ignore_ascii_case(text));
        // A query knows no flags, only texts.
        let noted = |(name, wanted): (&String, &Value)| match &device["custom_metadata"][name] {
            Value::Bool(flag) => *wanted == *flag || is(wanted, if *flag { "true" } else { "false" }),
            value => value == wanted,
        };
        let found = |text: &String| {
            let said = [&device["device_id"], &device["properties"]["name"], &device["properties"]["manufacturer"]];
            said.iter().any(|v| v.as_str().is_some_and(|v| v.to_lowercase().contains(text)))
        };
        let created = || device["created_at"].as_str().unwrap_or_default();
        !self.foreign
            && self.accounts.as_ref().is_none_or(|ids| ids.iter().any(|id| device["connected_account_id"] == json!(id)))
            && self.types.as_ref().is_none_or(|types| types.iter().any(|t| device["device_type"] == t.as_str()))
            && self.manufacturer.as_ref().is_none_or(|m| is(&device["properties"]["manufacturer"], m))
            // Both are RFC 3339 in UTC with milliseconds, so their order is that of their letters.
            && self.created_before.is_none_or(|before| created() < before.to_string().as_str())
            && self.metadata.iter().all(noted)
            && self.search.as_ref().is_none_or(found)
            && self.include_if.iter().all(|flag| device[flag] == true)
            && !self.exclude_if.iter().any(|flag| device[flag] == true)
    }
}

/// One device, by `device_id` or `name`.
pub async fn get_of(which: Which, app: &App, mut params: Params) -> Result<Value, ApiError> {
    let (id, name) = (params.uuid("device_id"), params.text("name"));
    if id.is_none() && name.is_none() {
        params.wrong("device_id", "required, or name");
    }
    params.end()?;
    let view = match id {
        Some(id) => read(app.store.clone(), move |store| store.row(RowKind::Device, &id.to_string())).await?,
        None => {
            let (index, name) = (app.index.clone(), name.unwrap_or_default());
            let named = read(app.store.clone(), move |store| {
                let named = index.look(store, |known| known.devices_named(&name))?;
                let views: Result<Vec<_>, _> = named.iter().map(|id| store.row(RowKind::Device, id)).collect();
                Ok(views?.into_iter().flatten().find(|view| which.fits(view)))
            });
            named.await?
        }
    };
    let missing =
        || ApiError::not_found("device", "no such device; /devices/list and /devices/unmanaged/list show all");
    let view = view.filter(|view| which.fits(view)).ok_or_else(missing)?;
    Ok(device(view, app.identity.workspace_id))
}

/// Ours: everything that is known of a device, and what its presence is judged by.
pub async fn explain(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    let missing = || ApiError::not_found("device", "no such device; portcullis devices shows all");
    let rows = read(app.store.clone(), move |store| {
        let row = |kind| store.row(kind, &device_id.to_string());
        Ok((row(RowKind::Device)?, row(RowKind::Presence)?))
    });
    let (device, presence) = rows.await?;
    let mut explanation = json!({"device": device.ok_or_else(missing)?, "presence": presence});
    explanation["needs_bindkey"] = bindkey::is_wanted(&app, &explanation["device"]).into();
    if let Ok(judged) = app.hand.command(Command::Explain { device_id }).await {
        explanation["presence"] = judged;
    }
    Ok(Answer::of("explanation", explanation))
}

/// Ours: how many seconds ago each device was heard, of those whose presence is judged by hearing.
pub async fn heard(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    Ok(Answer::of("heard_ago_s", app.command(Command::Heard).await?))
}

/// The device's row and its presence model, as they are on disk.
pub fn explanation(rows: &[StateRow], device_id: &str) -> Option<Value> {
    let row = |kind| rows.iter().find(|r| r.kind == kind && r.key == device_id).and_then(|r| r.value.clone());
    Some(json!({"device": row(RowKind::Device)?, "presence": row(RowKind::Presence)}))
}

/// `is_managed: true` adopts, `false` releases; `name` renames, and `custom_metadata` notes. Ours: with `is_managed: true`, `bindkey` is
/// tried on what the device sends, and refused where it does not open that; the answer says whether it `opens`, or is `untried` yet.
pub async fn update(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    let managed = params.flag("is_managed");
    let within = params.record("properties").unwrap_or_default();
    let name = params.text("name").or_else(|| within.get("name")?.as_str().map(str::to_owned));
    let changes = params.record("custom_metadata");
    let adopt = managed == Some(true);
    let key = bindkey::asked(&mut params);
    if key.is_some() && !adopt {
        params.wrong("bindkey", "goes with is_managed = true");
    }
    params.end()?;
    let tried = match key {
        Some(key) => Some(bindkey::tried(&app, device_id, key).await?),
        None => None,
    };
    if adopt {
        app.command(Command::Adopt { device_id, name: name.clone() }).await?;
    }
    if let Some(tried) = &tried {
        bindkey::keep(&app, device_id, tried).await?;
    }
    // Where nothing is asked, it is asked whether there is such a device.
    if changes.is_some() || (managed.is_none() && name.is_none()) {
        app.command(Command::Annotate { device_id, changes: changes.unwrap_or_default() }).await?;
    }
    if name.is_some() && !adopt {
        app.command(Command::Rename { device_id, name }).await?;
    }
    if managed == Some(false) {
        app.command(Command::Release { device_id }).await?;
    }
    Ok(match tried {
        Some(tried) => Answer::of("bindkey", tried.word().into()),
        None => Answer::ok(),
    })
}

pub async fn delete(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    app.command(Command::Delete { device_id }).await?;
    bindkey::forget(&app, device_id).await?;
    Ok(Answer::ok())
}
