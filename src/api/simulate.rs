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
use super::connect::until;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::params::Params;
use crate::hub::RowKind;
use crate::signal::{Address, DeviceKey, Secret};

/// The lock tells that it was programmed, and then its slot is read.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

/// A node that is lost or found is judged in a few seconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

/// Something that shall happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The device falls silent, until it is to be heard again.
    Lost,
    Found,
    /// It is taken out of the building.
    Removed,
    /// Its whole account is lost, for a while: the bridge refuses us, or the radio is off.
    AccountLost,
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
    /// The device; of an account, any device that it could have.
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
        .route("/devices/simulate/connect", post(connect))
        .route("/devices/simulate/disconnect", post(disconnect))
        .route("/devices/simulate/remove", post(remove))
        .route("/connected_accounts/simulate/disconnect", post(disconnect_account))
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

async fn connect(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    simulate(&app, params, Happening::Found, |device| device.is_some_and(|d| d["online"] == true)).await
}

async fn disconnect(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    simulate(&app, params, Happening::Lost, |device| device.is_none_or(|d| d["online"] == false)).await
}

async fn remove(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    simulate(&app, params, Happening::Removed, |device| device.is_none()).await
}

/// Answers once the hub shows it. That a Bluetooth device is silent takes the hub minutes to be sure of: it is not waited for.
async fn simulate(
    app: &App,
    mut params: Params,
    happening: Happening,
    so: impl Fn(Option<&Value>) -> bool,
) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    let patient = !matches!(happen(app, device_id, happening).await?, DeviceKey::Ble(_));
    if patient {
        until(app, SHOWN_WITHIN, RowKind::Device, &device_id.to_string(), so).await?;
    }
    Ok(Answer::ok())
}

async fn disconnect_account(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let account_id = params.must_uuid("connected_account_id");
    params.end()?;
    let row = read(app.store.clone(), move |store| store.row(RowKind::Account, &account_id.to_string())).await?;
    let account = row.ok_or_else(super::accounts::missing)?;
    let home = account["state"]["home"].as_u64().and_then(|home| u32::try_from(home).ok());
    let device = home.map_or(DeviceKey::Ble(Address::default()), |home| DeviceKey::Zwave { home, node: 0 });
    tell(&app, device, Happening::AccountLost).await?;
    if home.is_some() {
        let lost = |account: Option<&Value>| account.is_none_or(|a| a["online"] == false);
        until(&app, SHOWN_WITHIN, RowKind::Account, &account_id.to_string(), lost).await?;
    }
    Ok(Answer::ok())
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

async fn happen(app: &App, device_id: Uuid, happening: Happening) -> Result<DeviceKey, ApiError> {
    let row = read(app.store.clone(), move |store| store.row(RowKind::Device, &device_id.to_string())).await?;
    let key = row.and_then(|row| serde_json::from_value(row["key"].clone()).ok());
    let device: DeviceKey =
        key.ok_or_else(|| ApiError::not_found("device", "no such device; /devices/list shows all"))?;
    tell(app, device, happening).await?;
    Ok(device)
}

async fn tell(app: &App, device: DeviceKey, happening: Happening) -> Result<(), ApiError> {
    let (done, told) = oneshot::channel();
    let refused = |why| ApiError::new(StatusCode::BAD_REQUEST, "refused", why);
    let gone = || refused("the building is no more".to_owned());
    let simulator = app.simulator.as_ref().ok_or_else(gone)?;
    simulator.send(Simulated { device, happening, done }).await.map_err(|_| gone())?;
    told.await.map_err(|_| gone())?.map_err(refused)
}
