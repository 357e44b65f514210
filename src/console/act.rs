//! What the forms of the pages do: each is one request to the API, then back to where the form was.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::ask::Refusal;
use super::layout::Page;
use super::session::{Told, Visitor};
use super::{Console, events, layout, sign_in};

/// The fields of a form, or of a query.
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn of(bytes: &[u8]) -> Form {
        Form(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field without the blanks around it; an empty one that is not there is the same.
    pub fn text(&self, key: &str) -> String {
        self.all(key).next().unwrap_or_default().to_owned()
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.trim())
    }

    /// The same for the API: what is empty is not said.
    fn value(&self, key: &str) -> Value {
        Some(self.text(key)).filter(|text| !text.is_empty()).into()
    }
}

/// What is asked of the API, and what is told when it is done.
struct Order {
    path: &'static str,
    body: Value,
    told: &'static str,
}

pub async fn act(State(console): State<Console>, visitor: Visitor, Path(what): Path<String>, body: Bytes) -> Response {
    let form = Form::of(&body);
    if !visitor.sent(&form.text("word")) {
        return not_ours().into_response();
    }
    let back = form.text("back");
    let back = sign_in::within(&back);
    let (told, place) = match done(&console, &visitor, &what, &form).await {
        Ok((told, place)) => (told, place),
        Err(refusal) if refusal.status == StatusCode::FORBIDDEN => {
            return layout::page(&console, &visitor, layout::Tab::None, "Not allowed", layout::refused(&refusal))
                .with_status(StatusCode::FORBIDDEN)
                .into_response();
        }
        Err(refusal) => (Some(Told { good: false, what: refusal.message, secret: None }), None),
    };
    if let Some(told) = told {
        console.sessions.tell(&visitor, told);
    }
    layout::see(place.as_deref().unwrap_or(back))
}

/// A form that another page made somebody send.
pub fn not_ours() -> Page {
    layout::bare(
        StatusCode::FORBIDDEN,
        "Not sent from here",
        "This was not sent by a page of the console. Nothing was done.",
    )
}

type Done = (Option<Told>, Option<String>);

async fn done(console: &Console, visitor: &Visitor, what: &str, form: &Form) -> Result<Done, Refusal> {
    let order = order(what, form, console.app.names.time_zone)?;
    let attempt = matches!(what, "lock" | "unlock");
    let key = match what {
        "lock" | "unlock" => "action_attempt",
        "webhook-create" => "webhook",
        "adopt" | "key" if !form.text("bindkey").is_empty() => "bindkey",
        _ => "ok",
    };
    let answer = console.ask(visitor, order.path, order.body, key).await?;
    if attempt {
        // The device's page shows how it goes on.
        let id = |key: &str| answer[key].as_str().unwrap_or_default();
        let place = format!("/console/devices/{}?attempt={}#attempt", id("device_id"), id("action_attempt_id"));
        return Ok((None, Some(place)));
    }
    let secret = answer["secret"].as_str().map(str::to_owned);
    let place = (what == "adopt" || what == "delete").then(|| match what {
        "adopt" => format!("/console/devices/{}", form.text("device_id")),
        _ => "/console/devices".to_owned(),
    });
    let told = match answer.as_str() {
        Some("opens") => format!("{} The bind key opens what it sends.", order.told),
        Some("untried") => {
            format!("{} What came so far does not tell whether the bind key fits; this page will.", order.told)
        }
        _ => order.told.to_owned(),
    };
    Ok((Some(Told { good: true, what: told, secret }), place))
}

fn order(what: &str, form: &Form, zone: Tz) -> Result<Order, Refusal> {
    let value = |key: &str| form.value(key);
    let order = |path, told, body| Ok(Order { path, body, told });
    let device = || json!({"device_id": value("device_id")});
    let code = || -> Result<Value, Refusal> {
        Ok(json!({
            "device_id": value("device_id"),
            "access_code_id": value("access_code_id"),
            "name": value("name"),
            "code": value("code"),
            "starts_at": moment(zone, &form.text("starts_at"))?,
            "ends_at": moment(zone, &form.text("ends_at"))?,
        }))
    };
    let threshold = || {
        json!({
            "device_id": value("device_id"),
            "noise_threshold_id": value("noise_threshold_id"),
            "name": value("name"),
            "noise_threshold_decibels": value("decibels"),
            "starts_daily_at": value("starts_daily_at"),
            "ends_daily_at": value("ends_daily_at"),
            "duration_seconds": value("duration_seconds"),
        })
    };
    match what {
        "lock" => order("/locks/lock_door", "", device()),
        "unlock" => order("/locks/unlock_door", "", device()),
        "rename" => order(
            "/devices/update",
            "It has its new name.",
            json!({"device_id": value("device_id"), "name": value("name")}),
        ),
        "adopt" => order(
            "/devices/unmanaged/update",
            "It is yours now.",
            json!({"device_id": value("device_id"), "is_managed": true, "name": value("name"), "bindkey": value("bindkey")}),
        ),
        "key" => order(
            "/devices/update",
            "The bind key is kept.",
            json!({"device_id": value("device_id"), "is_managed": true, "bindkey": value("bindkey")}),
        ),
        "release" => order(
            "/devices/update",
            "It is released: still heard, not told of.",
            json!({"device_id": value("device_id"), "is_managed": false}),
        ),
        "delete" => order("/devices/delete", "It is forgotten.", device()),
        "code-create" => order("/access_codes/create", "The code is on its way to the lock.", code()?),
        "code-delete" => order(
            "/access_codes/delete",
            "The code is on its way off the lock.",
            json!({"access_code_id": value("access_code_id")}),
        ),
        "code-drop" => order(
            "/access_codes/unmanaged/delete",
            "The code is on its way off the lock.",
            json!({"access_code_id": value("access_code_id")}),
        ),
        "code-take" => order(
            "/access_codes/unmanaged/convert_to_managed",
            "The hub takes the code over.",
            json!({"access_code_id": value("access_code_id")}),
        ),
        "threshold-create" => order("/noise_sensors/noise_thresholds/create", "The threshold is set.", threshold()),
        "threshold-change" => order("/noise_sensors/noise_thresholds/update", "The threshold is changed.", threshold()),
        "threshold-delete" => order("/noise_sensors/noise_thresholds/delete", "The threshold is gone.", threshold()),
        "account-create" => order(
            "/connected_accounts/create",
            "The network is connected, and its devices are met.",
            json!({"url": value("url"), "name": value("name"), "username": value("username"), "password": value("password")}),
        ),
        "account-delete" => order(
            "/connected_accounts/delete",
            "The network is taken out, with its devices.",
            json!({"connected_account_id": value("connected_account_id")}),
        ),
        "webhook-create" => {
            let types: Vec<&str> = form.all("kind").flat_map(events::types_of).collect();
            let types = if types.is_empty() { Value::Null } else { json!(types) };
            order(
                "/webhooks/create",
                "Events go there from now on. Its secret proves that they are ours.",
                json!({"url": value("url"), "event_types": types}),
            )
        }
        "webhook-wake" => order(
            "/webhooks/update",
            "It is tried again.",
            json!({"webhook_id": value("webhook_id"), "is_enabled": true}),
        ),
        "webhook-delete" => {
            order("/webhooks/delete", "Nothing goes there any more.", json!({"webhook_id": value("webhook_id")}))
        }
        "undeliverable-retry" => order("/undeliverable/retry", "They are tried again.", json!({})),
        _ => Err(Refusal { status: StatusCode::NOT_FOUND, message: "There is nothing of that name to do.".into() }),
    }
}

/// A date and a time of day as a browser's field has them, at the hub's place.
fn moment(zone: Tz, text: &str) -> Result<Value, Refusal> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let wrong = || Refusal { status: StatusCode::BAD_REQUEST, message: "That is no date and time.".into() };
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let local = formats.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok()).ok_or_else(wrong)?;
    let at = zone.from_local_datetime(&local).earliest().ok_or_else(wrong)?;
    Ok(at.to_rfc3339().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_the_hubs() {
        let vienna = chrono_tz::Europe::Vienna;
        assert_eq!(moment(vienna, "2026-07-01T15:00").unwrap(), "2026-07-01T15:00:00+02:00");
        assert_eq!(moment(vienna, "").unwrap(), Value::Null);
        // In that night the clock goes from 2 to 3.
        assert!(moment(vienna, "2026-03-29T02:30").is_err() && moment(vienna, "tomorrow").is_err());
    }

    #[test]
    fn what_is_left_empty_is_not_asked_for() {
        let form = Form::of(b"device_id=a&name=+&code=%201234%20");
        let asked = order("code-create", &form, Tz::UTC).unwrap().body;
        assert_eq!((asked["name"].is_null(), asked["code"].as_str()), (true, Some("1234")));
    }
}
