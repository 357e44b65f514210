//! The documents in `docs/` are what the program says of itself, are served as they lie there, and events keep to their schemas.

#[path = "support/unit.rs"]
mod unit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use portcullis::api;
use portcullis::api::keys::Scope;
use portcullis::api::spec::{self, Asked, Operation};
use portcullis::config::Config;
use portcullis::engine::Clock;
use portcullis::service::Running;
use serde_json::Value;
use unit::Home;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

async fn hub() -> (Home, Running) {
    let home = Home::new("[mqtt]\nurl = \"mqtt://127.0.0.1:1\"");
    let text = std::fs::read_to_string(home.config()).unwrap();
    let config = Config::parse(&text, home.path(), HashMap::new()).unwrap();
    let running = Running::start(config, Clock::start()).await.unwrap();
    (home, running)
}

async fn call(router: &Router, method: &str, path: &str, asked: Asked) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.extension(Scope::Admin).extension(asked).body(Body::from("{}")).unwrap();
    TowerToHyperService::new(router.clone()).call(request).await.unwrap()
}

/// Every path with every method that it answers to, and what its handler asks for when it is given nothing.
async fn operations(router: &Router) -> Vec<Operation> {
    let mut operations = Vec::new();
    for path in api::paths() {
        for method in METHODS {
            let asked = Asked::default();
            let answer = call(router, method, path, asked.clone()).await;
            if answer.status() != StatusCode::METHOD_NOT_ALLOWED {
                operations.push(Operation { path, method, parameters: asked.parameters() });
            }
        }
    }
    operations
}

/// The document is the file's; with `SPEC_WRITE=1` it becomes it.
fn holds(file: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = serde_json::to_string_pretty(document).unwrap() + "\n";
    if std::env::var_os("SPEC_WRITE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == text, "docs/{file} is not what the program says: SPEC_WRITE=1 cargo test --test openapi");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_are_what_the_program_says_and_what_is_served() {
    let (_home, hub) = hub().await;
    let router = hub.api();
    let operations = operations(&router).await;
    holds("openapi.json", &spec::openapi(&operations));
    holds("asyncapi.json", &spec::asyncapi());
    holds("schemas/events.json", &spec::event_schemas());
    for (path, file) in [
        ("/openapi.json", "openapi.json"),
        ("/asyncapi.json", "asyncapi.json"),
        ("/schemas/events.json", "schemas/events.json"),
    ] {
        let answer = call(&router, "GET", path, Asked::default()).await;
        let served = to_bytes(answer.into_body(), 1 << 24).await.unwrap();
        let written = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file)).unwrap();
        if std::env::var_os("SPEC_WRITE").is_none() {
            assert!(served == written, "{path} is served as it was when this was built");
        }
    }
    hub.stop(true).await;
}

#[test]
fn every_path_says_what_it_answers_with_and_nothing_else_does() {
    let paths: BTreeSet<&str> = api::paths().into_iter().collect();
    let told: BTreeSet<&str> =
        spec::ANSWERS.iter().map(|(path, _)| *path).chain(spec::OTHERS.iter().copied()).collect();
    assert_eq!(paths, told, "src/api/spec/answers.rs");
}

/// What the catalogue requires of an event, its schema requires, but for what only the current dialect sends.
#[test]
fn schemas_of_the_classic_catalogue_require_what_it_requires() {
    let catalogue: Vec<Value> = serde_json::from_str(include_str!("data/seam/events.json")).unwrap();
    let schemas = spec::event_schemas();
    let mut wrong = BTreeMap::new();
    for entry in catalogue.iter().filter(|e| e["in_seed"] == true) {
        let name = entry["event_type"].as_str().unwrap();
        let schema = &schemas["$defs"][name];
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
        };
        let current_only = [("access_code.deleted", "code"), ("device.battery_status_changed", "battery_level")];
        let required = names(&schema["required"]);
        let missing: Vec<String> = names(&entry["required"])
            .difference(&required)
            .filter(|property| !current_only.contains(&(name, property.as_str())))
            .cloned()
            .collect();
        if !missing.is_empty() {
            wrong.insert(name, missing);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
