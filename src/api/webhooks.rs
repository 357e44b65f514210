//! `/webhooks/*`: where events are posted to. What is done with them is [`crate::sink::webhook`]'s.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use chrono::Utc;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::foreign;
use super::params::Params;
use crate::event::EventType;
use crate::hub::{Row, RowKind};
use crate::sink::webhook::{Book, Webhook, new_secret};
use crate::store::{StateRow, Store};
use crate::time::Wall;

/// Webhooks of one hub: each costs a task, and sockets when it is slow.
const MOST: usize = 50;
/// Rows read at once: more than there can be.
const ROWS: usize = 1000;
/// Longer addresses are somebody's mistake.
const URL_MOST: usize = 2000;

/// `url`, and `event_types` (all, where it is left out). The answer alone shows the `secret`.
pub async fn create(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let url = params.must_text("url");
    let event_types = event_types(&mut params)?;
    params.end()?;
    let url = endpoint(&url)?;
    let _one_at_a_time = app.own_rows.lock().await;
    if all(&app).await?.len() >= MOST {
        let what = format!("there are {MOST} webhooks already; delete some first");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "too_many_webhooks", what));
    }
    let secret = new_secret().ok_or_else(|| ApiError::internal(&"the system gives no random bytes"))?;
    let webhook = Webhook {
        webhook_id: Uuid::new_v4(),
        url,
        event_types: event_types.as_ref().and_then(|types| types.told.clone()),
        never_told: event_types.map(|types| types.never_told).unwrap_or_default(),
        secret: Some(secret.clone()),
        created_at: Wall::from(Utc::now()),
        after: app.store.head().borrow().seq,
        turn: 0,
    };
    keep(&app, webhook.webhook_id, Some(&webhook)).await?;
    let mut answer = shown(&webhook, None);
    answer["secret"] = secret.reveal().into();
    Ok(Answer::of("webhook", answer))
}

pub async fn get(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let id = params.must_uuid("webhook_id");
    params.end()?;
    let all = all(&app).await?;
    let found = all.iter().find(|(webhook, _)| webhook.webhook_id == id).ok_or_else(missing)?;
    Ok(Answer::of("webhook", shown(&found.0, found.1.as_ref())))
}

pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    params.end()?;
    let all = all(&app).await?;
    Ok(Answer::of("webhooks", all.iter().map(|(webhook, book)| shown(webhook, book.as_ref())).collect()))
}

/// Which events are sent; and ours: `is_enabled: true` wakes one whose endpoint was dead.
pub async fn update(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let id = params.must_uuid("webhook_id");
    let event_types = event_types(&mut params)?;
    let enable = params.flag("is_enabled");
    params.end()?;
    if event_types.is_none() && enable != Some(true) {
        let what = "give event_types, or is_enabled=true to wake a disabled one; to end one, /webhooks/delete";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", what));
    }
    let _one_at_a_time = app.own_rows.lock().await;
    let (mut webhook, book) =
        all(&app).await?.into_iter().find(|(webhook, _)| webhook.webhook_id == id).ok_or_else(missing)?;
    if let Some(types) = event_types {
        (webhook.event_types, webhook.never_told) = (types.told, types.never_told);
    }
    if let (Some(true), Some(disabled)) = (enable, book.and_then(|b| b.disabled)) {
        webhook.turn = disabled.turn + 1;
    }
    keep(&app, id, Some(&webhook)).await?;
    Ok(Answer::ok())
}

pub async fn delete(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let id = params.must_uuid("webhook_id");
    params.end()?;
    let _one_at_a_time = app.own_rows.lock().await;
    if all(&app).await?.iter().all(|(webhook, _)| webhook.webhook_id != id) {
        return Err(missing());
    }
    keep(&app, id, None).await?;
    Ok(Answer::ok())
}

/// The types that are asked for.
struct Types {
    /// `None`: all.
    told: Option<Vec<EventType>>,
    never_told: Vec<String>,
}

/// `*` are all, as at Seam.
fn event_types(params: &mut Params) -> Result<Option<Types>, ApiError> {
    let Some(names) = params.list("event_types") else { return Ok(None) };
    if names.iter().any(|name| name == "*") {
        return Ok(Some(Types { told: None, never_told: Vec::new() }));
    }
    let (told, never_told) = foreign::event_types(&names)?;
    Ok(Some(Types { told: Some(told.into_iter().collect()), never_told }))
}

/// A whole address of http or https, without credentials. Whether it may be reached is judged each time that it is.
fn endpoint(url: &str) -> Result<String, ApiError> {
    let wrong = |what: &str| Err(ApiError::invalid_input(vec![("url".to_owned(), what.to_owned())]));
    let Ok(uri) = url.parse::<Uri>() else {
        return wrong("no address; https://example.com/events would be one");
    };
    if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none_or(str::is_empty) {
        return wrong("expected a whole address that begins with https:// (or http://)");
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return wrong("credentials in the address are not sent; the signature says who it is");
    }
    if url.len() > URL_MOST {
        return wrong("too long");
    }
    Ok(url.to_owned())
}

/// Writes the row, and comes back when it is on disk.
async fn keep(app: &App, id: Uuid, webhook: Option<&Webhook>) -> Result<(), ApiError> {
    let value = webhook.map(|w| serde_json::to_value(w).unwrap_or_default());
    app.keep(Row { kind: RowKind::Webhook, key: id.to_string(), value }).await
}

/// Every webhook, oldest first, with what it owes.
async fn all(app: &App) -> Result<Vec<(Webhook, Option<Book>)>, ApiError> {
    let of_kind = |kind| move |store: &Store| store.rows_after(kind, "", ROWS);
    let webhooks = read(app.store.clone(), of_kind(RowKind::Webhook)).await?;
    let books = read(app.store.clone(), of_kind(RowKind::Delivery)).await?;
    let book = |key: &str| books.iter().find(|row| row.key == key).and_then(of::<Book>);
    let mut all: Vec<_> = webhooks.iter().filter_map(|row| Some((of::<Webhook>(row)?, book(&row.key)))).collect();
    all.sort_by_key(|(webhook, _)| (webhook.created_at, webhook.webhook_id));
    Ok(all)
}

fn of<T: DeserializeOwned>(row: &StateRow) -> Option<T> {
    serde_json::from_value(row.value.clone()?).ok()
}

/// Never the secret.
fn shown(webhook: &Webhook, book: Option<&Book>) -> Value {
    let disabled = book.and_then(|b| b.disabled.as_ref()).filter(|d| d.turn == webhook.turn);
    let mut shown = json!({
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "created_at": webhook.created_at.to_string(),
        "is_enabled": disabled.is_none(),
        "events_owed": book.map_or(0, |b| b.owed.len()),
    });
    if let Some(types) = &webhook.event_types {
        let names = types.iter().map(|t| t.as_str()).chain(webhook.never_told.iter().map(String::as_str));
        shown["event_types"] = names.collect();
    }
    if let Some(disabled) = disabled {
        shown["disabled"] = json!({ "at": disabled.at.to_string(), "reason": disabled.why });
    }
    shown
}

fn missing() -> ApiError {
    ApiError::not_found("webhook", "no such webhook; /webhooks/list shows all")
}
