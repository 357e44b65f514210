//! The envelopes of every answer: `{KEY: …, "ok": true}` or `{"error": {…}, "ok": false}`, and a `seam-request-id`.

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A good answer.
#[derive(Debug, Default)]
pub struct Answer(Map<String, Value>);

impl Answer {
    /// `{"ok": true}` alone.
    pub fn ok() -> Answer {
        Answer::default()
    }

    pub fn of(key: &str, value: Value) -> Answer {
        Answer::ok().with(key, value)
    }

    pub fn with(mut self, key: &str, value: Value) -> Answer {
        self.0.insert(key.to_owned(), value);
        self
    }

    /// What is under `key`, under another one too.
    pub fn also(self, key: &str, other: &str) -> Answer {
        let value = self.0.get(key).cloned().unwrap_or_default();
        self.with(other, value)
    }
}

impl IntoResponse for Answer {
    fn into_response(mut self) -> Response {
        self.0.insert("ok".into(), Value::Bool(true));
        Json(Value::Object(self.0)).into_response()
    }
}

/// A refusal, with a type that programs can tell apart and a message that people can act on.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    kind: String,
    message: String,
    /// What is wrong with each parameter; `_errors` of `invalid_input`.
    validation: Vec<(String, String)>,
    /// When to come again, in seconds.
    retry_after_s: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, kind: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError { status, kind: kind.into(), message: message.into(), validation: Vec::new(), retry_after_s: None }
    }

    /// 400: `problems` are pairs of parameter and complaint.
    pub fn invalid_input(problems: Vec<(String, String)>) -> ApiError {
        let message = problems.iter().map(|(param, what)| format!("{param}: {what}")).collect::<Vec<_>>().join("; ");
        ApiError { validation: problems, ..ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", message) }
    }

    /// 404: `device_not_found` …
    pub fn not_found(what: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, format!("{what}_not_found"), message)
    }

    /// 429: `Retry-After` says when.
    pub fn too_many(message: impl Into<String>, retry_after_s: u64) -> ApiError {
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
        ApiError { retry_after_s: Some(retry_after_s), ..error }
    }

    /// 500. The caller is told that it failed, the log is told how.
    pub fn internal(error: &dyn std::fmt::Display) -> ApiError {
        tracing::error!(%error, "api.failed");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the hub could not answer; its log says why (journalctl -u portcullis)",
        )
    }
}

impl ApiError {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"type": self.kind, "message": self.message});
        // What is wrong with no parameter in particular is wrong with the request.
        if self.kind == "invalid_input" {
            let whole = if self.validation.is_empty() { json!([error["message"]]) } else { json!([]) };
            let mut errors = Map::from_iter([("_errors".to_owned(), whole)]);
            for (param, what) in self.validation {
                let entry = errors.entry(param).or_insert_with(|| json!({"_errors": []}));
                entry["_errors"].as_array_mut().expect("made just so").push(what.into());
            }
            error["validation_errors"] = Value::Object(errors);
        }
        let mut response = (self.status, Json(json!({"error": error, "ok": false}))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Most of a refused request's body that is still read, and for how long.
const UNWANTED_MOST: usize = 64 << 10;
const UNWANTED_WITHIN: Duration = Duration::from_secs(1);

/// Reads what a refused request still sends. Otherwise its connection is closed behind the answer, and a client that goes on using it
/// finds its next request, which it may not repeat, unanswered.
pub async fn read_out(request: Request) {
    let body = axum::body::to_bytes(request.into_body(), UNWANTED_MOST);
    let _ = tokio::time::timeout(UNWANTED_WITHIN, body).await;
}

/// Gives every answer a `seam-request-id`.
pub async fn request_id(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        response.headers_mut().insert("seam-request-id", id);
    }
    response
}
