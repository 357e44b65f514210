//! `/noise_sensors/*`: what hears noise, and the thresholds above which it is told.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::App;
use super::devices::{Which, list_of};
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::params::Params;
use crate::hub::{Command, DailyTime, RowKind, ThresholdDraft};

pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    Ok(list_of(Which::NoiseSensors, &app, params).await?.also("devices", "noise_sensors"))
}

pub async fn list_thresholds(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id").to_string();
    params.end()?;
    let device = read(app.store.clone(), move |store| store.row(RowKind::Device, &device_id)).await?;
    let device =
        device.ok_or_else(|| ApiError::not_found("device", "no such device; /noise_sensors/list shows all"))?;
    Ok(Answer::of("noise_thresholds", thresholds(device, app.names.time_zone).collect()))
}

/// The thresholds of a device, their times with the zone in which they are read: their own, the device's or the hub's.
fn thresholds(mut device: Value, of_hub: chrono_tz::Tz) -> impl Iterator<Item = Value> {
    let zone = device["state"]["time_zone"].as_str().unwrap_or(of_hub.name()).to_owned();
    let thresholds = device["noise_thresholds"].as_array_mut().map(std::mem::take).unwrap_or_default();
    thresholds.into_iter().map(move |mut threshold| {
        for time in ["starts_daily_at", "ends_daily_at"] {
            if let Some(bare) = threshold[time].as_str().filter(|time| !time.contains('[')) {
                threshold[time] = format!("{bare}[{zone}]").into();
            }
        }
        threshold
    })
}

pub async fn get_threshold(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let id = params.must_uuid("noise_threshold_id");
    params.end()?;
    let (_, threshold) = find(&app, id).await?;
    Ok(Answer::of("noise_threshold", threshold))
}

pub async fn create_threshold(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    let draft = draft(&mut params);
    for (key, missing) in [
        ("starts_daily_at", draft.starts_daily_at.is_none()),
        ("ends_daily_at", draft.ends_daily_at.is_none()),
        ("noise_threshold_decibels", draft.decibels.is_none()),
    ] {
        if missing && !params.is_wrong(key) {
            params.wrong(key, "required");
        }
    }
    params.end()?;
    let device = read(app.store.clone(), move |store| store.row(RowKind::Device, &device_id.to_string())).await?;
    // Of one that is not known the hub itself says so.
    if device.is_some_and(|device| device["kind"] != "noise_sensor") {
        let what = "hears no noise; /noise_sensors/list shows what does";
        return Err(ApiError::invalid_input(vec![("device_id".to_owned(), what.to_owned())]));
    }
    let made = app.command(Command::SetNoiseThreshold { device_id, threshold_id: None, draft }).await?;
    let id = made["noise_threshold_id"].as_str().and_then(|id| id.parse().ok());
    let (_, threshold) = find(&app, id.unwrap_or_default()).await?;
    Ok(Answer::of("noise_threshold", threshold))
}

pub async fn update_threshold(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (threshold_id, device_id) = (params.must_uuid("noise_threshold_id"), params.uuid("device_id"));
    let draft = draft(&mut params);
    params.end()?;
    let device_id = of_device(&app, threshold_id, device_id).await?;
    app.command(Command::SetNoiseThreshold { device_id, threshold_id: Some(threshold_id), draft }).await?;
    Ok(Answer::ok())
}

pub async fn delete_threshold(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let (threshold_id, device_id) = (params.must_uuid("noise_threshold_id"), params.uuid("device_id"));
    params.end()?;
    let device_id = of_device(&app, threshold_id, device_id).await?;
    app.command(Command::DeleteNoiseThreshold { device_id, threshold_id }).await?;
    Ok(Answer::ok())
}

fn draft(params: &mut Params) -> ThresholdDraft {
    let mut time = |key| {
        let text = params.text(key)?;
        if let Err(error) = text.parse::<DailyTime>() {
            params.wrong(key, error.to_string());
        }
        Some(text)
    };
    let (starts_daily_at, ends_daily_at) = (time("starts_daily_at"), time("ends_daily_at"));
    ThresholdDraft {
        name: params.text("name"),
        decibels: params.decimal("noise_threshold_decibels"),
        starts_daily_at,
        ends_daily_at,
        // Ours: how long a level must last.
        duration_s: params.number("duration_seconds", 24 * 3600).and_then(|s| u32::try_from(s).ok()),
    }
}

/// The device that has a threshold; the one that was named, if one was.
async fn of_device(app: &App, threshold: Uuid, named: Option<Uuid>) -> Result<Uuid, ApiError> {
    let (device, _) = find(app, threshold).await?;
    match named {
        Some(other) if other != device => {
            let what = format!("the threshold is one of device {device}");
            Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", what))
        }
        _ => Ok(device),
    }
}

/// A threshold and whose it is.
async fn find(app: &App, id: Uuid) -> Result<(Uuid, Value), ApiError> {
    let (id, index, zone) = (id.to_string(), app.index.clone(), app.names.time_zone);
    let missing = || ApiError::not_found("noise_threshold", "no such noise threshold");
    let found = read(app.store.clone(), move |store| {
        let Some(device) = index.look(store, |known| known.device_of_threshold(&id))? else { return Ok(None) };
        let device = store.row(RowKind::Device, &device)?.unwrap_or_default();
        Ok(thresholds(device, zone).find(|t| t["noise_threshold_id"] == id.as_str()))
    });
    let found = found.await?.ok_or_else(missing)?;
    let device = found["device_id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(missing)?;
    Ok((device, found))
}
