//! The frame of every page: where one is, who one is, and what was done last.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::ask::Refusal;
use super::assets::{SCRIPT_HREF, STYLE_HREF};
use super::session::{Told, Visitor};
use super::{Console, words};
use crate::api::keys::Scope;

/// The places of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Now,
    Devices,
    Codes,
    Hub,
    None,
}

const TABS: [(Tab, &str, &str); 4] = [
    (Tab::Now, "/", "Now"),
    (Tab::Devices, "/console/devices", "Devices"),
    (Tab::Codes, "/console/codes", "Codes"),
    (Tab::Hub, "/console/hub", "Hub"),
];

/// A page, before it is sent.
pub struct Page {
    status: StatusCode,
    markup: Markup,
}

impl Page {
    pub fn with_status(self, status: StatusCode) -> Page {
        Page { status, ..self }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        (self.status, Html(self.markup.into_string())).into_response()
    }
}

/// A page for somebody who is signed in.
pub fn page(console: &Console, visitor: &Visitor, here: Tab, title: &str, content: Markup) -> Page {
    following(console, visitor, here, title, None, content)
}

/// One that follows the events which `stream` gives, and shows what they change.
pub fn following(
    console: &Console,
    visitor: &Visitor,
    here: Tab,
    title: &str,
    stream: Option<&str>,
    content: Markup,
) -> Page {
    let hub = &console.app.names.hub;
    let told = console.sessions.take_told(visitor);
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            div.bar {
                a.brand href="/" { (words::mark()) span { (hub) } }
                nav aria-label="Console" {
                    @for (tab, href, name) in TABS {
                        a href=(href) aria-current=[(tab == here).then_some("page")] { (name) }
                    }
                }
                form.out method="post" action="/console/sign-out" {
                    (word(visitor))
                    button.quiet type="submit" title={ "Signed in with the key " (visitor.key.name) } { "Sign out" }
                }
            }
        }
        main #main tabindex="-1" data-stream=[stream] {
            div.head { h1 { (title) } @if stream.is_some() { p.link #link role="status" {} } }
            @if let Some(told) = &told { (said(told)) }
            (content)
        }
        footer { p { "Portcullis " (env!("CARGO_PKG_VERSION")) " · signed in as " b { (visitor.key.name) } ", who may " (may(visitor.scope())) "." } }
    };
    Page { status: StatusCode::OK, markup: document(&format!("{title} · {hub}"), body) }
}

/// A page for somebody who is not.
pub fn bare(status: StatusCode, title: &str, sentence: &str) -> Page {
    outside(status, title, html! { p { (sentence) } p { a href="/" { "Again" } } })
}

pub fn outside(status: StatusCode, title: &str, content: Markup) -> Page {
    let body =
        html! { main.alone #main { div.brand { (words::mark()) span { "Portcullis" } } h1 { (title) } (content) } };
    Page { status, markup: document(title, body) }
}

fn document(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="/console/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href=(*STYLE_HREF);
                script src=(*SCRIPT_HREF) defer {}
            }
            body { (words::icons()) (body) }
        }
    }
}

fn said(told: &Told) -> Markup {
    html! {
        div.told.good[told.good].bad[!told.good] role=(if told.good { "status" } else { "alert" }) {
            p { (told.what) }
            @if let Some(secret) = &told.secret { p { "It is shown this once: " code { (secret) } } }
        }
    }
}

/// What makes a form one of ours.
pub fn word(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="word" value=(visitor.form_word()); }
}

/// A form that does `what` and comes back to `back`.
pub fn form(visitor: &Visitor, what: &str, back: &str, content: Markup) -> Markup {
    html! {
        form method="post" action={ "/console/do/" (what) } {
            (word(visitor))
            input type="hidden" name="back" value=(back);
            (content)
        }
    }
}

/// A button that asks again before it does what cannot be undone.
pub fn sure(visitor: &Visitor, what: &str, back: &str, name: &str, warning: &str, hidden: Markup) -> Markup {
    html! {
        details.sure {
            summary { (name) }
            (form(visitor, what, back, html! { (hidden) p { (warning) } button.danger type="submit" { (name) } }))
        }
    }
}

/// What could not be shown, in the place of it.
pub fn refused(refusal: &Refusal) -> Markup {
    html! { p.told.bad role="alert" { (refusal.message) } }
}

/// Nothing there, and what to do about it.
pub fn empty(sentence: &str) -> Markup {
    html! { p.empty { (sentence) } }
}

/// Goes on with GET.
pub fn see(place: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place.to_owned())]).into_response()
}

fn may(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "look",
        Scope::Operate => "look, lock and unlock",
        Scope::Codes => "look, operate locks and change codes",
        Scope::Admin => "do everything",
    }
}
