//! The API, asked in this process as any program asks it: by the same routes, with the scope of the visitor's key.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::Console;
use super::session::Visitor;
use crate::api::tcp::needed;

/// Most bytes of an answer: 500 devices have half a megabyte.
const ANSWER_MOST: usize = 16 << 20;
/// Pages of a list that are read: a hub of more than 2,000 devices is not shown whole.
const PAGES_MOST: usize = 4;

/// Why the API would not.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Console {
    /// Asks for what is under `key` in the answer.
    pub async fn ask(&self, visitor: &Visitor, path: &str, body: Value, key: &str) -> Result<Value, Refusal> {
        Ok(self.answer(visitor, path, body).await?[key].take())
    }

    /// Every page of a list.
    pub async fn all(&self, visitor: &Visitor, path: &str, mut body: Value, key: &str) -> Result<Vec<Value>, Refusal> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MOST {
            let mut answer = self.answer(visitor, path, body.clone()).await?;
            all.extend(answer[key].as_array_mut().map(std::mem::take).unwrap_or_default());
            match answer["pagination"]["next_page_cursor"].take() {
                Value::Null => break,
                cursor => body["page_cursor"] = cursor,
            }
        }
        Ok(all)
    }

    async fn answer(&self, visitor: &Visitor, path: &str, body: Value) -> Result<Value, Refusal> {
        if !visitor.may(path) {
            let message = format!("Your key may not do that; it takes one of scope {:?}.", needed(&Method::POST, path));
            return Err(Refusal { status: StatusCode::FORBIDDEN, message });
        }
        let request = Request::post(path).header(header::HOST, "localhost").extension(visitor.scope());
        let request = request.body(Body::from(body.to_string())).map_err(|e| Refusal::internal(&e))?;
        let answer =
            TowerToHyperService::new(self.api.clone()).call(request).await.map_err(|e| Refusal::internal(&e))?;
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), ANSWER_MOST).await.map_err(|e| Refusal::internal(&e))?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|e| Refusal::internal(&e))?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(Refusal { status, message: sentence(answer["error"]["message"].as_str().unwrap_or("the hub refused")) })
    }
}

impl Visitor {
    /// Whether the visitor's key opens this path: what it does not open is not offered either.
    pub fn may(&self, path: &str) -> bool {
        self.scope() >= needed(&Method::POST, path)
    }
}

impl Refusal {
    fn internal(error: &dyn std::fmt::Display) -> Refusal {
        tracing::error!(%error, "console.failed");
        Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "The hub could not answer; its log says why.".into(),
        }
    }
}

/// A message of the API as a sentence of a page.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Ids as the API wants several of them.
pub fn ids<'a>(of: impl Iterator<Item = &'a str>) -> Value {
    json!(of.collect::<std::collections::BTreeSet<_>>())
}
