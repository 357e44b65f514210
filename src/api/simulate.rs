//! `*/simulate/*`: what the building of a demo can be told to do. A real building has none of these paths.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::App;
use super::access_codes::shown;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::params::Params;
use crate::hub::RowKind;
use crate::signal::{DeviceKey, Secret};

/// The lock tells that it was programmed, and then its slot is read.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

/// Something that shall happen to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A noise above every threshold, long enough for each.
    Noise,
    /// These digits are entered at the keypad.
    Entry(Secret),
    /// The lock key of the keypad is pressed.
    KeypadLock,
    /// Someone programs these digits at the lock itself.
    Programmed(Secret),
}

/// A happening on its way to the building, and where it is answered: with why not, where the device can do no such thing.
#[derive(Debug)]
pub struct Simulated {
    pub device: DeviceKey,
    pub happening: Happening,
    pub done: oneshot::Sender<Result<(), String>>,
}

/// The way to the building.
pub type Simulator = mpsc::Sender<Simulated>;

/// Added where there is a building to tell.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/noise_sensors/simulate/trigger_noise_threshold", post(trigger_noise_threshold))
        .route("/access_codes/simulate/create_unmanaged_access_code", post(create_unmanaged_code))
        .route("/locks/simulate/keypad_code_entry", post(keypad_code_entry))
        .route("/locks/simulate/manual_lock_via_keypad", post(manual_lock_via_keypad))
}

async fn trigger_noise_threshold(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    happen(&app, device_id, Happening::Noise).await?;
    Ok(Answer::ok())
}

async fn keypad_code_entry(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (device_id, digits) = (params.must_uuid("device_id"), params.must_text("code"));
    params.end()?;
    happen(&app, device_id, Happening::Entry(Secret::new(digits))).await?;
    Ok(attempt("SIMULATE_KEYPAD_CODE_ENTRY"))
}

async fn manual_lock_via_keypad(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    happen(&app, device_id, Happening::KeypadLock).await?;
    Ok(attempt("SIMULATE_MANUAL_LOCK_VIA_KEYPAD"))
}

/// Someone programs a code at the lock; answers once the hub has found it there.
async fn create_unmanaged_code(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (device_id, code) = (params.must_uuid("device_id"), params.must_text("code"));
    // A Z-Wave lock keeps no names.
    params.text("name");
    params.end()?;
    happen(&app, device_id, Happening::Programmed(Secret::new(code.clone()))).await?;
    let found = tokio::time::timeout(FOUND_WITHIN, found(&app, device_id, &code)).await;
    let late = |_| ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the hub has not read the code back yet");
    Ok(Answer::of("access_code", shown(found.map_err(late)??, true)))
}

async fn found(app: &App, device_id: Uuid, digits: &str) -> Result<Value, ApiError> {
    let mut head = app.store.head();
    loop {
        head.borrow_and_update();
        let of_device = app.codes(move |code| code.device_id == device_id.to_string() && !code.is_managed).await?;
        if let Some(code) = of_device.into_iter().find(|code| code["code"] == digits) {
            return Ok(code);
        }
        head.changed().await.map_err(|e| ApiError::internal(&e))?;
    }
}

/// Seam answers these with an attempt. Ours is over with the answer, and not remembered.
fn attempt(action_type: &str) -> Answer {
    let id = Uuid::new_v4();
    let over = json!({
        "action_attempt_id": id, "action_type": action_type, "status": "success", "result": {}, "error": null
    });
    Answer::of("action_attempt", over)
}

async fn happen(app: &App, device_id: Uuid, happening: Happening) -> Result<(), ApiError> {
    let row = read(app.store.clone(), move |store| store.row(RowKind::Device, &device_id.to_string())).await?;
    let key = row.and_then(|row| serde_json::from_value(row["key"].clone()).ok());
    let device: DeviceKey =
        key.ok_or_else(|| ApiError::not_found("device", "no such device; /devices/list shows all"))?;
    let (done, told) = oneshot::channel();
    let refused = |why| ApiError::new(StatusCode::BAD_REQUEST, "refused", why);
    let gone = || refused("the building is no more".to_owned());
    let simulator = app.simulator.as_ref().ok_or_else(gone)?;
    simulator.send(Simulated { device, happening, done }).await.map_err(|_| gone())?;
    told.await.map_err(|_| gone())?.map_err(refused)
}
