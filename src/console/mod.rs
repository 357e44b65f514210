//! The console: a few pages at `/`, made here and shown by any browser, for those who would rather see than ask.
//!
//! It is a client of the API in the same process: whatever it shows or does goes through the API's own routes with the scope of the
//! key that somebody signed in with ([`ask`]), so it can show and do nothing that the API would not. A browser is let in by a session
//! ([`session`]), never by a key that it keeps. Pages work without JavaScript; with it they follow the hub (`app.js`).

mod act;
mod ask;
mod assets;
mod chart;
mod codes;
mod delivery;
mod device;
mod devices;
mod events;
mod found;
mod layout;
mod noise;
mod now;
mod sentences;
mod session;
mod sign_in;
mod webhooks;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::html;

use crate::api::App;
use session::{Sessions, Visitor};

/// Bytes of a form: far above any of ours.
const FORM_MOST: usize = 16 << 10;

/// Everything comes from the hub itself, nothing is written into a page, and no other page shows one of these in a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What the pages are made with.
#[derive(Clone)]
struct Console {
    app: App,
    /// The API, as it answers to whoever asks in this process.
    api: Router,
    sessions: Arc<Sessions>,
}

/// Whether a path is the console's, which lets in by itself.
pub fn is_its(path: &str) -> bool {
    path == "/" || path.starts_with("/console/")
}

/// The API, and the console beside it.
pub fn beside(api: Router, app: App) -> Router {
    let console = Console { app, api: api.clone(), sessions: Arc::default() };
    let pages = Router::new()
        .route("/", get(now::show))
        .route("/console/events/stream", get(events::follow))
        .route("/console/devices", get(devices::show))
        .route("/console/devices/{id}", get(device::show))
        .route("/console/found", get(found::show))
        .route("/console/codes", get(codes::show))
        .route("/console/hub", get(delivery::show))
        .route("/console/do/{what}", post(act::act))
        .route("/console/sign-out", post(sign_in::leave))
        .route("/console/{*rest}", get(nothing))
        .layer(middleware::from_fn_with_state(console.clone(), session::enter));
    let open = Router::new()
        .route("/console/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/console/style.css", get(assets::style))
        .route("/console/app.js", get(assets::script))
        .route("/console/icon.svg", get(assets::icon));
    let console = pages
        .merge(open)
        .layer(middleware::from_fn(guarded))
        .layer(DefaultBodyLimit::max(FORM_MOST))
        .with_state(console);
    api.merge(console)
}

async fn nothing(State(console): State<Console>, visitor: Visitor) -> Response {
    let sorry = html! { p { "There is no such page here." } p { a href="/" { "What happens now" } } };
    layout::page(&console, &visitor, layout::Tab::None, "Not found", sorry)
        .with_status(StatusCode::NOT_FOUND)
        .into_response()
}

/// What a browser is told about every page. What is shown is somebody's, so it is kept nowhere but where it says otherwise.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not less: without a referrer a browser does not say where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
