//! What the API and the events are, for machines: OpenAPI, AsyncAPI and JSON Schemas.
//!
//! They are made of the program itself. Which parameters a path takes is what its handler asks for ([`Asked`] listens while a test
//! calls each with nothing), which events there are is [`crate::event::EventType`]. They lie in `docs/`, are served from there, and
//! `tests/openapi.rs` fails where they are not what the program says (`SPEC_WRITE=1` writes them anew).

mod answers;
mod events;
mod mqtt;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

pub use answers::{ANSWERS, OTHERS};
pub use events::{schema as event_schema, schemas as event_schemas};
pub use mqtt::document as asyncapi;

const OPENAPI: &str = include_str!("../../../docs/openapi.json");
const ASYNCAPI: &str = include_str!("../../../docs/asyncapi.json");
const EVENTS: &str = include_str!("../../../docs/schemas/events.json");

/// `/openapi.json`
pub async fn serve_openapi() -> Response {
    document(OPENAPI)
}

/// `/asyncapi.json`
pub async fn serve_asyncapi() -> Response {
    document(ASYNCAPI)
}

/// `/schemas/events.json`
pub async fn serve_events() -> Response {
    document(EVENTS)
}

fn document(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Uuid,
    Flag,
    /// A whole number up to this.
    Number(usize),
    Decimal,
    Time,
    Texts,
    Uuids,
    /// Two times.
    Between,
    Record,
}

impl Kind {
    fn schema(self) -> Value {
        let array = |items: Value| json!({"type": "array", "items": items});
        match self {
            Kind::Text => json!({"type": "string"}),
            Kind::Uuid => json!({"type": "string", "format": "uuid"}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Number(most) if most > u32::MAX as usize => json!({"type": "integer", "minimum": 0}),
            Kind::Number(most) => json!({"type": "integer", "minimum": 0, "maximum": most}),
            Kind::Decimal => json!({"type": "number"}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::Texts => array(json!({"type": "string"})),
            Kind::Uuids => array(json!({"type": "string", "format": "uuid"})),
            Kind::Between => json!({
                "type": "array", "items": {"type": "string", "format": "date-time"}, "minItems": 2, "maxItems": 2
            }),
            Kind::Record => json!({"type": "object"}),
        }
    }
}

/// Hears which parameters a handler asks for: an extension of the request.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<BTreeMap<String, (Kind, bool)>>>);

impl Asked {
    /// The first word about a parameter holds, and once required is required.
    pub fn hear(&self, name: &str, kind: Kind, required: bool) {
        if !name.is_empty() {
            let mut asked = self.0.lock().unwrap_or_else(|e| e.into_inner());
            asked.entry(name.to_owned()).or_insert((kind, required)).1 |= required;
        }
    }

    pub fn parameters(&self) -> BTreeMap<String, (Kind, bool)> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

/// A path, a method it answers to, and the parameters that it takes.
pub struct Operation {
    pub path: &'static str,
    pub method: &'static str,
    pub parameters: BTreeMap<String, (Kind, bool)>,
}

/// The OpenAPI document of these operations.
pub fn openapi(operations: &[Operation]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let described = paths.entry(operation.path).or_default();
        described.insert(operation.method.to_lowercase(), describe(operation));
    }
    let mut schemas = answers::schemas();
    schemas.insert("Event".into(), events::any());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Devices, events and codes of one hub, in the shapes of Seam's API. Parameters go in a query or in a JSON body; those that are not known are let be.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8470"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "portcullis keys create"}},
            "schemas": schemas,
            "responses": {"Refused": {
                "description": "Why not.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
            }},
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let in_query = matches!(operation.method, "GET" | "DELETE");
    let name = operation.path.trim_matches('/').replace('/', "_");
    let mut described = json!({
        "operationId": format!("{}_{name}", operation.method.to_lowercase()),
        "responses": responses(operation.path),
    });
    if in_query {
        let parameters = operation.parameters.iter().map(|(name, (kind, required))| {
            let mut parameter = json!({"name": name, "in": "query", "required": required, "schema": kind.schema()});
            if *kind == Kind::Record {
                parameter["style"] = "deepObject".into();
            }
            parameter
        });
        described["parameters"] = parameters.collect();
    } else {
        let properties: Map<String, Value> =
            operation.parameters.iter().map(|(name, (kind, _))| (name.clone(), kind.schema())).collect();
        let required: Vec<&String> =
            operation.parameters.iter().filter(|(_, (_, must))| *must).map(|(n, _)| n).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required});
        described["requestBody"] = json!({
            "required": !required.is_empty(), "content": {"application/json": {"schema": schema}}
        });
    }
    described
}

/// The good answer, and every refusal that any path may give.
fn responses(path: &str) -> Value {
    let content = |schema: Value| json!({"application/json": {"schema": schema}});
    let good = match answers::of(path) {
        None => json!({"description": "A document, counters for Prometheus, or a stream of server-sent events."}),
        Some(answer) => json!({"description": "Done.", "content": content(answer)}),
    };
    let mut responses = json!({"200": good});
    for status in ["400", "401", "403", "404", "408", "413", "429"] {
        responses[status] = json!({"$ref": "#/components/responses/Refused"});
    }
    responses
}
