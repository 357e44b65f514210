//! The HTTP API in Seam's shape. One router: it answers on the control socket ([`control`]) and, with keys, over TCP.

pub mod control;
pub mod envelope;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::json;

use crate::config::Config;
use crate::engine::Hand;
use crate::health::Health;
use crate::identity::Identity;
use crate::store::Store;
use envelope::Answer;

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
        .route("/health", get(health).post(health))
        .layer(axum::middleware::from_fn(envelope::request_id))
        .with_state(app)
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
