//! The HTTP API in Seam's shape. One router: it answers on the control socket ([`control`]) and, with keys, over TCP.

pub mod control;
pub mod devices;
pub mod envelope;
mod events;
pub mod keys;
mod params;
pub mod tcp;
pub mod undeliverable;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use serde_json::json;

use crate::config::Config;
use crate::engine::Hand;
use crate::health::Health;
use crate::identity::Identity;
use crate::store::Store;
use envelope::{Answer, ApiError};

/// What the handlers work with. Nothing is shown that is not on disk: devices and events are read from the store.
#[derive(Clone)]
pub struct App {
    pub identity: Identity,
    pub names: Arc<Names>,
    pub store: Store,
    pub hand: Hand,
    pub health: Arc<Health>,
}

/// What of the configuration the API shows or needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    pub hub: String,
    pub state_dir: PathBuf,
}

impl Names {
    pub fn new(config: &Config) -> Names {
        Names { hub: config.hub.name.clone(), state_dir: config.state_dir.clone() }
    }
}

pub fn router(app: App) -> Router {
    Router::new()
        .route("/health", read(health))
        .route("/events/list", read(events::list))
        .route("/events/get", read(events::get))
        .route("/events/stream", get(events::stream))
        .route("/devices/list", read(devices::list))
        .route("/devices/get", read(devices::get))
        .route("/devices/explain", read(devices::explain))
        .route("/devices/update", write(devices::update))
        .route("/devices/delete", write(devices::delete))
        .route("/devices/unmanaged/list", read(devices::list_unmanaged))
        .route("/devices/unmanaged/get", read(devices::get_unmanaged))
        .route("/devices/unmanaged/update", write(devices::update))
        .route("/connected_accounts/list", read(devices::list_accounts))
        .route("/connected_accounts/get", read(devices::get_account))
        .route("/undeliverable/list", read(undeliverable::list))
        .route("/undeliverable/retry", write(undeliverable::retry))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(envelope::request_id))
        .with_state(app)
}

/// Seam's SDKs ask in two dialects: GET with a query, or POST with JSON. Both mean the same here.
fn read<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    get(handler.clone()).post(handler)
}

/// And they change with POST, or with PATCH, PUT and DELETE; never with GET, which a browser sends for anybody.
fn write<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    post(handler.clone()).patch(handler.clone()).put(handler.clone()).delete(handler)
}

async fn no_such_path(request: Request) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {} here", request.uri().path()))
}

async fn no_such_method(request: Request) -> ApiError {
    let what = format!("{} does not answer to {}", request.uri().path(), request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", what)
}

async fn health(State(app): State<App>) -> Answer {
    let head = *app.store.head().borrow();
    let health = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hub": app.names.hub,
        "hub_id": app.identity.hub_id,
        "workspace_id": app.identity.workspace_id,
        "log_id": app.store.log_id(),
        "last_seq": head.seq,
        "parts": app.health.parts(),
        "counters": &*app.health,
    });
    Answer::of("health", health)
}
