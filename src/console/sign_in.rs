//! Signing in with an API key, and out again.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::act::Form;
use super::session::{Visitor, set_cookie};
use super::{Console, is_its, layout};
use crate::api::connections::Peer;
use crate::api::tcp::Gate;

pub async fn show(RawQuery(query): RawQuery) -> Response {
    let to = Form::of(query.unwrap_or_default().as_bytes()).text("to");
    page(StatusCode::OK, &to, None)
}

pub async fn enter(
    State(console): State<Console>,
    Extension(gate): Extension<Arc<Gate>>,
    peer: Option<Extension<Peer>>,
    body: Bytes,
) -> Response {
    let form = Form::of(&body);
    let (presented, to) = (form.text("key"), form.text("to"));
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |Extension(peer)| peer.0);
    let key = match gate.key(&presented, peer) {
        Ok(key) => key,
        Err(refusal) => return page(refusal.status(), &to, Some(refusal.message())),
    };
    let Some(word) = console.sessions.begin(key) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, &to, Some("the system gives no random bytes"));
    };
    with_cookie(layout::see(within(&to)), &set_cookie(&word, console.app.names.tls))
}

pub async fn leave(State(console): State<Console>, visitor: Visitor, body: Bytes) -> Response {
    if !visitor.sent(&Form::of(&body).text("word")) {
        return super::act::not_ours().into_response();
    }
    console.sessions.end(&visitor);
    with_cookie(layout::see("/console/sign-in"), &set_cookie("", console.app.names.tls))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = cookie.parse() {
        response.headers_mut().insert::<HeaderName>(header::SET_COOKIE, value);
    }
    response
}

/// A place of the console, or its first page.
pub fn within(place: &str) -> &str {
    let path = place.split(['?', '#']).next().unwrap_or_default();
    if is_its(path) && place.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') { place } else { "/" }
}

fn page(status: StatusCode, to: &str, wrong: Option<&str>) -> Response {
    let content: Markup = html! {
        @if let Some(wrong) = wrong { p.told.bad role="alert" { "That did not open it: " (wrong) "." } }
        form.card method="post" action="/console/sign-in" {
            input type="hidden" name="to" value=(within(to));
            label for="key" { "API key" }
            input #key name="key" type="password" required autofocus autocomplete="current-password" spellcheck="false"
                aria-describedby="hint" placeholder="seam_…";
            p.hint #hint { "On the hub, " code { "portcullis keys create --name NAME --scope SCOPE" } " makes one. With "
                code { "read" } " one may look, with " code { "operate" } " also lock and unlock." }
            button type="submit" { "Sign in" }
        }
    };
    layout::outside(status, "Sign in", content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for ours in ["/", "/console/devices?q=a", "/console/devices/1#x", "/?kind=doors"] {
            assert_eq!(within(ours), ours);
        }
        for other in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/events/list", "/console/\r\nx: y"]
        {
            assert_eq!(within(other), "/", "{other:?}");
        }
    }
}
