//! `/undeliverable/*`: events that a sink would not take, and another try for them. Ours, not Seam's.

use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::params::Params;
use crate::store::Undeliverable;

pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    let aside = read(app.store.clone(), |store| store.undeliverable()).await?;
    Ok(Answer::of("undeliverable", aside.iter().map(shown).collect()))
}

/// Asks every sink to try again what it set aside; answers with what that is.
pub async fn retry(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    let aside = read(app.store.clone(), |store| store.undeliverable()).await?;
    let mut sinks: Vec<&str> = aside.iter().map(|u| u.sink.as_str()).collect();
    sinks.dedup();
    for sink in sinks {
        app.store.drive_again(sink).map_err(|e| ApiError::internal(&e))?;
    }
    app.store.flush().await.map_err(|e| ApiError::internal(&e))?;
    Ok(Answer::of("undeliverable", aside.iter().map(shown).collect()))
}

pub fn shown(aside: &Undeliverable) -> Value {
    json!({ "sink": aside.sink, "seq": aside.seq, "reason": aside.reason, "again": aside.again })
}
