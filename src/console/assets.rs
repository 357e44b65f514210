//! What pages are made with besides themselves: one style sheet, one script, one picture, in the binary. They are asked for under a
//! name that changes with their content, and kept for ever.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("app.js");
const ICON: &str = include_str!("icon.svg");

/// `/console/style.css?1f0c9a2e`
pub static STYLE_HREF: LazyLock<String> = LazyLock::new(|| named("style.css", STYLE));
pub static SCRIPT_HREF: LazyLock<String> = LazyLock::new(|| named("app.js", SCRIPT));

fn named(name: &str, content: &str) -> String {
    format!("/console/{name}?{}", &hex::encode(Sha256::digest(content))[..8])
}

pub async fn style() -> Response {
    kept("text/css; charset=utf-8", STYLE)
}

pub async fn script() -> Response {
    kept("text/javascript; charset=utf-8", SCRIPT)
}

pub async fn icon() -> Response {
    kept("image/svg+xml", ICON)
}

fn kept(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], content)
        .into_response()
}
