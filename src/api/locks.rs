//! `/locks/*` and `/action_attempts/*`: locks, and what became of operating them.

use axum::extract::State;
use serde_json::Value;

use super::App;
use super::devices::{Which, get_of, list_of};
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::page::Page;
use super::params::Params;
use crate::hub::{Command, RowKind};

/// Under both names: older SDKs of Seam's look for `devices`, others for `locks`.
pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    Ok(list_of(Which::Locks, &app, params).await?.also("devices", "locks"))
}

pub async fn get(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    let lock = get_of(Which::Locks, &app, params).await?;
    Ok(Answer::of("device", lock).also("device", "lock"))
}

pub async fn lock_door(state: State<App>, params: Params) -> Result<Answer, ApiError> {
    operate(state, params, true).await
}

pub async fn unlock_door(state: State<App>, params: Params) -> Result<Answer, ApiError> {
    operate(state, params, false).await
}

/// Answers with the attempt, which goes on; `/action_attempts/get` tells what became of it.
async fn operate(State(app): State<App>, mut params: Params, lock: bool) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    let attempt = app.command(Command::Lock { device_id, lock }).await?;
    Ok(Answer::of("action_attempt", shown(attempt)))
}

pub async fn get_attempt(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let id = params.must_uuid("action_attempt_id").to_string();
    params.end()?;
    let row = read(app.store.clone(), move |store| store.row(RowKind::Attempt, &id)).await?;
    let gone = || ApiError::not_found("action_attempt", "no such attempt; one is remembered for a day");
    row.map(|row| Answer::of("action_attempt", shown(row))).ok_or_else(gone)
}

pub async fn list_attempts(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let ids = params.uuids("", "action_attempt_ids");
    let device = params.uuid("device_id").map(|id| id.to_string());
    let page = Page::of(RowKind::Attempt, ids, &mut params);
    page.answer(&app, params, "action_attempts", move |row| {
        row.value.filter(|attempt| device.as_ref().is_none_or(|id| attempt["device_id"] == id.as_str())).map(shown)
    })
    .await
}

/// An attempt without the hub's own memory beside it.
fn shown(mut row: Value) -> Value {
    row.as_object_mut().map(|attempt| attempt.remove("state"));
    row
}
