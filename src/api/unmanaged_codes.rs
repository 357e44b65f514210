//! `/access_codes/unmanaged/*`: codes that somebody put on a lock without this hub.

use axum::extract::State;

use super::App;
use super::access_codes::{get_of, list_of};
use super::envelope::{Answer, ApiError};
use super::params::Params;
use crate::hub::Command;

pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    list_of(false, &app, params).await
}

pub async fn get(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    get_of(false, &app, params).await
}

/// From now on the hub keeps it, under the same id.
pub async fn convert(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    take_over(&app, params).await
}

/// `is_managed: true` is the same; there is nothing else to change of a code that is somebody else's.
pub async fn update(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    if params.flag("is_managed") != Some(true) {
        params.wrong("is_managed", "expected true; a code that is not managed cannot be changed otherwise");
    }
    take_over(&app, params).await
}

async fn take_over(app: &App, mut params: Params) -> Result<Answer, ApiError> {
    let access_code_id = params.must_uuid("access_code_id");
    // These two say that digits may be overwritten, and that the answer may wait: neither is needed here.
    params.flag("force");
    params.flag("sync");
    let allowed = params.flag("is_external_modification_allowed");
    let is_external_modification_allowed = params.flag("allow_external_modification").or(allowed);
    params.end()?;
    app.command(Command::ConvertCode { access_code_id, is_external_modification_allowed }).await?;
    Ok(Answer::ok())
}

pub async fn delete(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let access_code_id = params.must_uuid("access_code_id");
    params.flag("sync");
    params.end()?;
    app.command(Command::DeleteCode { access_code_id }).await?;
    Ok(Answer::ok())
}
