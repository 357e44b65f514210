//! `/access_codes/*`: the codes that this hub keeps on locks. Those that somebody else put there are in [`super::unmanaged_codes`].

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::page::Page;
use super::params::Params;
use crate::hub::{CodeDraft, Command, RowKind};
use crate::signal::Secret;

/// Digits of a code at Seam; what one lock in particular takes, the hub knows.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=12;
/// Devices that one request may give a code to.
const DEVICES_MOST: usize = 100;

pub async fn list(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    list_of(true, &app, params).await
}

pub async fn get(State(app): State<App>, params: Params) -> Result<Answer, ApiError> {
    get_of(true, &app, params).await
}

/// A page of codes by every filter of Seam's; of those that are managed, or of the others.
pub async fn list_of(managed: bool, app: &App, mut params: Params) -> Result<Answer, ApiError> {
    let ids = params.uuids("", "access_code_ids");
    let device = params.uuid("device_id").map(|id| id.to_string());
    let search = params.text("search").map(|text| text.to_lowercase());
    let key = params.text("common_code_key");
    // By something that no code of a hub has.
    let foreign = ["customer_key", "user_identifier_key", "access_grant_id", "access_grant_key", "access_method_id"];
    let foreign = foreign.iter().filter_map(|key| params.text(key)).count() > 0;
    let page = Page::of(RowKind::Code, ids, &mut params);
    let digits = params.sees_codes();
    let wanted = app.look(move |known| {
        known.codes(|code| {
            !foreign
                && code.is_managed == managed
                && device.as_ref().is_none_or(|id| code.device_id == *id)
                && key.as_ref().is_none_or(|key| code.common_code_key.as_ref() == Some(key))
        })
    });
    page.among(wanted.await?)
        .answer(app, params, "access_codes", move |row| {
            let code = shown(row.value?, digits);
            let named = |text: &String| code["name"].as_str().is_some_and(|name| name.to_lowercase().contains(text));
            (code["is_managed"] == managed && search.as_ref().is_none_or(named)).then_some(code)
        })
        .await
}

/// One code, by its id or by its device and digits.
pub async fn get_of(managed: bool, app: &App, mut params: Params) -> Result<Answer, ApiError> {
    let (id, device, code) = (params.uuid("access_code_id"), params.uuid("device_id"), params.text("code"));
    if id.is_none() && (device.is_none() || code.is_none()) {
        params.wrong("access_code_id", "required, or device_id and code");
    }
    let digits = params.sees_codes();
    params.end()?;
    let found = match (id, device, code) {
        (Some(id), ..) => read(app.store.clone(), move |store| store.row(RowKind::Code, &id.to_string())).await?,
        // Whoever may not see digits may not guess them either.
        (None, Some(device), Some(code)) if digits => {
            let of_device = app.codes(move |c| c.device_id == device.to_string()).await?;
            of_device.into_iter().find(|c| c["code"] == code.as_str() && c["is_managed"] == managed)
        }
        _ => {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "this key may not see codes; ask by access_code_id",
            ));
        }
    };
    let found = found.filter(|code| code["is_managed"] == managed).ok_or_else(missing)?;
    Ok(Answer::of("access_code", shown(found, digits)))
}

pub async fn create(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    let mut draft = draft(&mut params);
    draft.common_code_key = params.text("common_code_key");
    params.end()?;
    share(&app, &mut draft).await?;
    let made = app.command(Command::CreateCode { device_id, draft }).await?;
    Ok(Answer::of("access_code", shown(made, true)))
}

/// Codes with one `common_code_key` have the same digits: those of the first one.
async fn share(app: &App, draft: &mut CodeDraft) -> Result<(), ApiError> {
    let Some(key) = draft.common_code_key.clone() else { return Ok(()) };
    let linked = app.codes(move |code| code.common_code_key.as_ref() == Some(&key)).await?;
    let digits = linked.iter().filter(|code| code["status"] != "removing").find_map(|code| code["code"].as_str());
    match (digits, &draft.code) {
        (Some(digits), Some(other)) if other.reveal() != digits => {
            let what = "a code with this common_code_key has other digits; leave code out, or change that one first";
            Err(ApiError::invalid_input(vec![("code".to_owned(), what.to_owned())]))
        }
        (Some(digits), _) => {
            draft.code = Some(Secret::new(digits));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// The same code on several devices, under one `common_code_key`: on all of them or on none. What was asked for before is not made
/// again, since this is a PUT, which SDKs repeat.
pub async fn create_multiple(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let mut devices = params.uuids("", "device_ids").unwrap_or_default();
    if devices.is_empty() || devices.len() > DEVICES_MOST {
        params.wrong("device_ids", format!("1 to {DEVICES_MOST} devices are wanted"));
    }
    let mut draft = draft(&mut params);
    params.text("behavior_when_code_cannot_be_shared");
    params.end()?;
    devices.sort_unstable();
    devices.dedup();
    if let Some(made) = made_before(&app, &devices, &draft).await? {
        return Ok(Answer::of("access_codes", made.into_iter().map(|code| shown(code, true)).collect()));
    }
    if draft.code.is_none() {
        let generated = app.command(Command::GenerateCode { device_id: devices[0] }).await?;
        draft.code = generated["code"].as_str().map(Secret::new);
    }
    draft.common_code_key = Some(Uuid::new_v4().to_string());
    let mut made = Vec::new();
    for device_id in devices {
        match app.command(Command::CreateCode { device_id, draft: draft.clone() }).await {
            Ok(code) => made.push(shown(code, true)),
            Err(error) => {
                for access_code_id in made.iter().filter_map(id_of) {
                    app.command(Command::DeleteCode { access_code_id }).await?;
                }
                return Err(error);
            }
        }
    }
    Ok(Answer::of("access_codes", made.into()))
}

/// The codes of an earlier request for just this, where there was one.
async fn made_before(app: &App, devices: &[Uuid], draft: &CodeDraft) -> Result<Option<Vec<Value>>, ApiError> {
    let date = |wall: Option<crate::time::Wall>| json!(wall.map(|w| w.to_string()));
    let is_asked = |code: &&Value| {
        code["common_code_key"].is_string()
            && code["status"] != "removing"
            && code["name"] == json!(draft.name)
            && draft.code.as_ref().is_none_or(|digits| code["code"] == digits.reveal())
            && draft.starts_at.is_none_or(|_| code["starts_at"] == date(draft.starts_at))
            && code["ends_at"] == date(draft.ends_at)
    };
    let ids: Vec<String> = devices.iter().map(Uuid::to_string).collect();
    let all = app.codes(move |code| code.common_code_key.is_some() && ids.contains(&code.device_id)).await?;
    let asked: Vec<&Value> = all.iter().filter(is_asked).collect();
    for first in asked.iter().filter(|code| code["device_id"] == json!(devices[0])) {
        let together: Vec<Value> = asked
            .iter()
            .filter(|code| code["common_code_key"] == first["common_code_key"])
            .map(|code| (*code).clone())
            .collect();
        let is_of = |device: &Uuid| together.iter().any(|code| code["device_id"] == json!(device));
        if together.len() == devices.len() && devices.iter().all(is_of) {
            return Ok(Some(together));
        }
    }
    Ok(None)
}

pub async fn update(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let access_code_id = params.must_uuid("access_code_id");
    params.uuid("device_id");
    if params.flag("is_managed") == Some(false) {
        params.wrong("is_managed", "a code of this hub's cannot be let go of; delete it");
    }
    let draft = draft(&mut params);
    params.end()?;
    app.command(Command::ChangeCode { access_code_id, draft }).await?;
    Ok(Answer::ok())
}

/// Every code under a `common_code_key`.
pub async fn update_multiple(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let key = params.must_text("common_code_key");
    let draft = draft(&mut params);
    params.end()?;
    let codes = app.codes(move |code| code.common_code_key.as_ref() == Some(&key)).await?;
    let linked: Vec<Uuid> = codes.iter().filter_map(id_of).collect();
    if linked.is_empty() {
        return Err(missing());
    }
    for access_code_id in linked {
        app.command(Command::ChangeCode { access_code_id, draft: draft.clone() }).await?;
    }
    Ok(Answer::ok())
}

pub async fn delete(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let access_code_id = params.must_uuid("access_code_id");
    params.uuid("device_id");
    params.end()?;
    app.command(Command::DeleteCode { access_code_id }).await?;
    Ok(Answer::ok())
}

pub async fn generate_code(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let device_id = params.must_uuid("device_id");
    params.end()?;
    let generated = app.command(Command::GenerateCode { device_id }).await?;
    Ok(Answer::of("generated_code", generated))
}

pub async fn pull_backup(State(app): State<App>, mut params: Params) -> Result<Answer, ApiError> {
    let access_code_id = params.must_uuid("access_code_id");
    params.end()?;
    let backup = app.command(Command::PullBackupCode { access_code_id }).await?;
    Ok(Answer::of("access_code", shown(backup, true)).also("access_code", "backup_access_code"))
}

/// What a request says of a code.
fn draft(params: &mut Params) -> CodeDraft {
    let code = params.text("code");
    if let Some(digits) = &code
        && !(DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
    {
        params.wrong("code", "expected 4 to 12 digits");
    }
    // Given as null, a time takes the code's end or beginning away.
    let endless = params.is_null("starts_at") && params.is_null("ends_at");
    let (starts_at, ends_at) = (params.time("starts_at"), params.time("ends_at"));
    if starts_at.zip(ends_at).is_some_and(|(starts, ends)| ends <= starts) {
        params.wrong("ends_at", "must be after starts_at");
    }
    let kind = params.text("type");
    if !matches!(kind.as_deref(), None | Some("ongoing" | "time_bound")) {
        params.wrong("type", "expected ongoing or time_bound");
    }
    for key in ["is_offline_access_code", "use_offline_access_code"] {
        if params.flag(key) == Some(true) {
            params.wrong(key, "no lock of a hub has offline codes");
        }
    }
    if params.flag("is_one_time_use") == Some(true) {
        params.wrong("is_one_time_use", "no lock of a hub has codes for one use");
    }
    let allowed = params.flag("is_external_modification_allowed");
    CodeDraft {
        name: params.text("name"),
        code: code.map(Secret::new),
        starts_at,
        ends_at,
        ongoing: endless || kind.as_deref() == Some("ongoing"),
        use_backup_access_code_pool: params.flag("use_backup_access_code_pool"),
        is_external_modification_allowed: params.flag("allow_external_modification").or(allowed),
        preferred_code_length: params.number("preferred_code_length", *DIGITS.end()).and_then(|n| u8::try_from(n).ok()),
        ..CodeDraft::default()
    }
}

fn id_of(code: &Value) -> Option<Uuid> {
    code["access_code_id"].as_str()?.parse().ok()
}

pub fn missing() -> ApiError {
    ApiError::not_found(
        "access_code",
        "no such access code; /access_codes/list and /access_codes/unmanaged/list show all",
    )
}

/// A code without the hub's own memory beside it, and for who may not see them without its digits.
pub fn shown(mut row: Value, digits: bool) -> Value {
    if let Some(code) = row.as_object_mut() {
        code.remove("state");
        if !digits {
            code.insert("code".into(), Value::Null);
        }
    }
    row
}
