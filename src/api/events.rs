//! `/events/list` and `/events/get`: the log, asked. It is followed in [`super::stream`].

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::App;
use super::envelope::{Answer, ApiError};
use super::foreign;
use super::params::Params;
use crate::event::MASK;
use crate::store::{Filter, Store, StoreError, Stored};
use crate::time::Wall;

/// Most events of one answer, as at Seam.
const LIMIT: usize = 500;

pub async fn list(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let about = filter(&mut params)?;
    // An event at `since` itself is meant too.
    let since = params.time("since").map(|since| Wall(since.0.saturating_sub(1)));
    let between = params.between("between");
    // Ours: what people want to see are the last ones.
    let newest_first = params.flag("newest_first").unwrap_or(false);
    let offset = params.number("unstable_offset", usize::MAX / 2).unwrap_or(0);
    let limit = params.number("limit", LIMIT).unwrap_or(LIMIT);
    let digits = params.sees_codes();
    params.end()?;
    let Some(about) = about else { return Ok(Answer::of("events", Value::Array(Vec::new()))) };
    let after = since.or(between.map(|(after, _)| after));
    if about == Filter::default() && after.is_none() {
        let what = "give at least one of since, between, event_ids, device_id, event_type, connected_account_id, access_code_id";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", what));
    }
    let filter = Filter { after, before: between.map(|(_, before)| before), offset, newest_first, ..about };
    let found = read(app.store.clone(), move |store| store.find(&filter, limit)).await?;
    Ok(Answer::of("events", found.iter().map(|event| body(event, digits)).collect()))
}

pub async fn get(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let event_id = params.uuid("event_id");
    let about = filter(&mut params)?;
    let digits = params.sees_codes();
    params.end()?;
    let gone = "the log has no such event; old ones are taken out after [events] retention_days";
    let gone = || ApiError::not_found("event", gone);
    let about = about.ok_or_else(gone)?;
    if event_id.is_none() && (about.device_ids.is_empty() || about.event_types.is_empty()) {
        let what = "give event_id, or device_id and event_type";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", what));
    }
    // Of several, the last one: that is how things are now.
    let filter = Filter { event_ids: event_id.into_iter().collect(), newest_first: event_id.is_none(), ..about };
    let found = read(app.store.clone(), move |store| store.find(&filter, 1)).await?;
    found.first().map(|event| Answer::of("event", body(event, digits))).ok_or_else(gone)
}

/// What is asked about; `None` where that is nothing: a list is given and empty, or it is about what no hub has or tells.
pub fn filter(params: &mut Params) -> Result<Option<Filter>, ApiError> {
    let names = params.texts("event_type", "event_types");
    let event_types = names.map(|names| foreign::event_types(&names)).transpose()?.map(|(told, _)| told);
    let mut nothing = event_types.as_ref().is_some_and(BTreeSet::is_empty);
    nothing |= foreign::is_asked(params);
    let mut set = |key, plural| {
        let ids: Option<BTreeSet<Uuid>> = params.uuids(key, plural).map(BTreeSet::from_iter);
        nothing |= ids.as_ref().is_some_and(BTreeSet::is_empty);
        ids.unwrap_or_default()
    };
    let filter = Filter {
        event_ids: set("", "event_ids"),
        device_ids: set("device_id", "device_ids"),
        account_ids: set("connected_account_id", "connected_account_ids"),
        access_code_ids: set("access_code_id", "access_code_ids"),
        event_types: event_types.unwrap_or_default(),
        ..Filter::default()
    };
    Ok((!nothing).then_some(filter))
}

/// The event as it was frozen, as a value in an answer; without `digits` they are masked.
fn body(event: &Stored, digits: bool) -> Value {
    let mut body = serde_json::from_str(&event.body).unwrap_or_default();
    if !digits {
        mask(&mut body);
    }
    body
}

pub fn text(body: String, digits: bool) -> String {
    if digits || !body.contains("\"code\":") {
        return body;
    }
    let mut value = serde_json::from_str(&body).unwrap_or_default();
    mask(&mut value);
    value.to_string()
}

/// Masks the digits of a code, and those that changed.
fn mask(event: &mut Value) {
    for place in ["/code", "/from/code", "/to/code"] {
        if let Some(code) = event.pointer_mut(place).filter(|code| code.is_string()) {
            *code = MASK.into();
        }
    }
}

/// Reads the disk where it holds up nobody.
pub async fn read<T: Send + 'static>(
    store: Store,
    ask: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let answer = tokio::task::spawn_blocking(move || ask(&store)).await;
    answer.map_err(|e| ApiError::internal(&e))?.map_err(|e| ApiError::internal(&e))
}
