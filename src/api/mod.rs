//! The HTTP API in Seam's shape. One router: it answers on the control socket ([`control`]) and, with keys, over TCP.

mod access_codes;
pub mod accounts;
mod bindkey;
pub mod connect;
pub mod connections;
pub mod control;
pub mod device_shape;
pub mod devices;
pub mod envelope;
mod events;
pub mod explained;
mod foreign;
mod guard;
pub mod index;
pub mod keys;
mod locks;
mod metrics;
mod noise;
mod page;
mod params;
pub mod simulate;
pub mod spec;
pub mod stream;
pub mod tcp;
pub mod undeliverable;
mod unmanaged_codes;
mod webhooks;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config::Config;
use crate::engine::Hand;
use crate::health::Health;
use crate::hub::{Command, CommandError, Row};
use crate::identity::Identity;
use crate::source::ble::intake::Intake;
use crate::store::{Batch, Store};
use accounts::Adopts;
use connect::Networks;
use envelope::{Answer, ApiError};
use index::Index;
use simulate::Simulator;

/// Clients of the live stream at once.
pub const STREAMS_MOST: usize = 1000;
/// Bytes of a request's body: far above any that is meant.
const BODY_MOST: usize = 256 << 10;

/// What the handlers work with. Nothing is shown that is not on disk: devices and events are read from the store.
#[derive(Clone)]
pub struct App {
    pub identity: Identity,
    pub names: Arc<Names>,
    pub store: Store,
    pub hand: Hand,
    pub health: Arc<Health>,
    /// Held by whoever changes what is read first: the rows that are the API's own.
    pub own_rows: Arc<tokio::sync::Mutex<()>>,
    /// Where codes, thresholds and names are.
    pub index: Arc<Index>,
    /// Networks come and go by it.
    pub networks: Networks,
    /// Whether new devices are managed on sight; a reload may change it.
    pub adopts: watch::Receiver<Adopts>,
    /// What the radio's ear makes of what it hears: bind keys are tried there.
    pub intake: Arc<Mutex<Intake>>,
    /// The building, where it is a demo's.
    pub simulator: Option<Simulator>,
    /// Places for clients of the live stream.
    pub streams: Arc<tokio::sync::Semaphore>,
    pub tail: Arc<stream::Tail>,
}

/// What of the configuration the API shows or needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    pub hub: String,
    pub state_dir: PathBuf,
    /// Whose times of day the console shows, and where a daily time without a zone is read.
    pub time_zone: chrono_tz::Tz,
    /// Links begin with https.
    pub tls: bool,
}

impl Names {
    pub fn new(config: &Config) -> Names {
        let tls = config.http.tls_cert_file.is_some();
        Names {
            hub: config.hub.name.clone(),
            state_dir: config.state_dir.clone(),
            time_zone: config.hub.time_zone,
            tls,
        }
    }
}

impl App {
    /// Writes a row of the API's own, and comes back when it is on disk.
    async fn keep(&self, row: Row) -> Result<(), ApiError> {
        let written = self.store.append(Batch { events: Vec::new(), rows: vec![row], then: None });
        written.map_err(|e| ApiError::internal(&e))?;
        self.store.flush().await.map_err(|e| ApiError::internal(&e))
    }

    /// Asks the hub; answers once its answer is on disk.
    async fn command(&self, command: Command) -> Result<Value, ApiError> {
        self.hand.command(command).await.map_err(|error| match error {
            CommandError::NoSuchDevice(_) => ApiError::not_found("device", error.to_string()),
            CommandError::NoSuchCode(_) => ApiError::not_found("access_code", error.to_string()),
            CommandError::TooMany { retry_after_s } => ApiError::too_many(error.to_string(), retry_after_s),
            CommandError::Wrong { param, why } => ApiError::invalid_input(vec![(param.to_owned(), why)]),
            CommandError::Refused(why) => ApiError::new(StatusCode::BAD_REQUEST, "refused", why),
        })
    }
}

/// Paths as they are added, so that they can be told.
#[derive(Default)]
struct Routes {
    router: Router<App>,
    paths: Vec<&'static str>,
}

impl Routes {
    fn route(mut self, path: &'static str, ways: MethodRouter<App>) -> Routes {
        self.paths.push(path);
        Routes { router: self.router.route(path, ways), paths: self.paths }
    }
}

/// Every path of a hub.
pub fn paths() -> Vec<&'static str> {
    routes().paths
}

pub fn router(app: App) -> Router {
    let simulate = app.simulator.is_some().then(simulate::routes).unwrap_or_default();
    simulate
        .merge(routes().router)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MOST))
        .with_state(app)
}

fn routes() -> Routes {
    Routes::default()
        .route("/health", read(health))
        .route("/metrics", get(metrics::metrics))
        .route("/events/list", read(events::list))
        .route("/events/get", read(events::get))
        .route("/events/stream", get(stream::follow))
        .route("/devices/list", read(devices::list))
        .route("/devices/get", read(devices::get))
        .route("/devices/explain", read(devices::explain))
        .route("/devices/heard", read(devices::heard))
        .route("/devices/update", change(devices::update))
        .route("/devices/delete", remove(devices::delete))
        .route("/devices/list_device_providers", read(devices::list_providers))
        .route("/devices/unmanaged/list", read(devices::list_unmanaged))
        .route("/devices/unmanaged/get", read(devices::get_unmanaged))
        .route("/devices/unmanaged/update", change(devices::update))
        .route("/locks/list", read(locks::list))
        .route("/locks/get", read(locks::get))
        .route("/locks/lock_door", post(locks::lock_door))
        .route("/locks/unlock_door", post(locks::unlock_door))
        .route("/action_attempts/list", read(locks::list_attempts))
        .route("/action_attempts/get", read(locks::get_attempt))
        .route("/access_codes/list", read(access_codes::list))
        .route("/access_codes/get", read(access_codes::get))
        .route("/access_codes/create", post(access_codes::create))
        .route("/access_codes/create_multiple", post(access_codes::create_multiple).put(access_codes::create_multiple))
        .route("/access_codes/update", change(access_codes::update))
        .route("/access_codes/update_multiple", change(access_codes::update_multiple))
        .route("/access_codes/delete", remove(access_codes::delete))
        .route("/access_codes/generate_code", read(access_codes::generate_code))
        .route("/access_codes/pull_backup_access_code", post(access_codes::pull_backup))
        .route("/access_codes/unmanaged/list", read(unmanaged_codes::list))
        .route("/access_codes/unmanaged/get", read(unmanaged_codes::get))
        .route("/access_codes/unmanaged/update", change(unmanaged_codes::update))
        .route("/access_codes/unmanaged/convert_to_managed", change(unmanaged_codes::convert))
        .route("/access_codes/unmanaged/delete", remove(unmanaged_codes::delete))
        .route("/noise_sensors/list", read(noise::list))
        .route("/noise_sensors/noise_thresholds/list", read(noise::list_thresholds))
        .route("/noise_sensors/noise_thresholds/get", read(noise::get_threshold))
        .route("/noise_sensors/noise_thresholds/create", post(noise::create_threshold))
        .route("/noise_sensors/noise_thresholds/update", change(noise::update_threshold))
        .route("/noise_sensors/noise_thresholds/delete", remove(noise::delete_threshold))
        .route("/connected_accounts/list", read(accounts::list))
        .route("/connected_accounts/get", read(accounts::get))
        .route("/connected_accounts/create", post(connect::create))
        .route("/connected_accounts/delete", remove(connect::delete))
        .route("/workspaces/get", read(accounts::get_workspace))
        .route("/workspaces/list", read(accounts::list_workspaces))
        .route("/webhooks/create", post(webhooks::create))
        .route("/webhooks/get", read(webhooks::get))
        .route("/webhooks/list", read(webhooks::list))
        .route("/webhooks/update", change(webhooks::update))
        .route("/webhooks/delete", remove(webhooks::delete))
        .route("/undeliverable/list", read(undeliverable::list))
        .route("/undeliverable/retry", post(undeliverable::retry))
        .route("/openapi.json", get(spec::serve_openapi))
        .route("/asyncapi.json", get(spec::serve_asyncapi))
        .route("/schemas/events.json", get(spec::serve_events))
}

/// Seam's SDKs ask in two dialects: GET with a query, or POST with JSON. Both mean the same here.
fn read<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    get(handler.clone()).post(handler)
}

/// They change with PATCH, or as older ones do with PUT or POST; never with GET, which a browser sends for anybody.
fn change<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    post(handler.clone()).patch(handler.clone()).put(handler)
}

/// And they take out with DELETE, or as older ones do with POST.
fn remove<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    post(handler.clone()).delete(handler)
}

async fn no_such_path(request: Request) -> ApiError {
    let what = format!("there is no {} here", request.uri().path());
    envelope::read_out(request).await;
    ApiError::new(StatusCode::NOT_FOUND, "not_found", what)
}

async fn no_such_method(request: Request) -> ApiError {
    let what = format!("{} does not answer to {}", request.uri().path(), request.method());
    envelope::read_out(request).await;
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
