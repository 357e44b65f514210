//! Who is signed in. A session is made of a key, once, and lives in memory: the browser keeps a random word that opens nothing else,
//! and a restart, or the key's revocation, ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Console, layout};
use crate::api::keys::{Key, Scope};
use crate::api::tcp::Gate;

/// Sessions at once; who signed in longest ago goes first.
const MOST: usize = 256;
/// Without a page asked for, a session ends: a night shift and a little.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// And in any case.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The header by which the console's script says that it asks.
const REFRESH: &str = "x-refresh";

type Id = [u8; 32];

/// What somebody did last, told on the next page.
#[derive(Clone, Debug)]
pub struct Told {
    pub good: bool,
    pub what: String,
    /// Shown this once: the secret of a new webhook.
    pub secret: Option<String>,
}

struct Session {
    key: Key,
    /// In every form: a page of somebody else's cannot know it.
    form_word: String,
    begun: Instant,
    used: Instant,
    told: Option<Told>,
}

/// By the hash of the browser's word.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<Id, Session>>,
}

impl Sessions {
    /// The word for the browser.
    pub fn begin(&self, key: Key) -> Option<String> {
        let (word, form_word) = (random()?, random()?);
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        open.retain(|_, session| session.lives(now));
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.begun).map(|(id, _)| *id);
            oldest.and_then(|id| open.remove(&id));
        }
        open.insert(id(&word), Session { key, form_word, begun: now, used: now, told: None });
        Some(word)
    }

    pub fn end(&self, visitor: &Visitor) {
        self.open.lock().unwrap_or_else(|e| e.into_inner()).remove(&visitor.id);
    }

    /// What a page asks for by itself is no use that somebody makes of a session.
    fn visitor(&self, word: &str, by_itself: bool) -> Option<Visitor> {
        let (id, now) = (id(word), Instant::now());
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        let session = open.get_mut(&id).filter(|session| session.lives(now))?;
        if !by_itself {
            session.used = now;
        }
        Some(Visitor { key: session.key.clone(), form_word: session.form_word.clone(), id, by_itself })
    }

    pub fn tell(&self, visitor: &Visitor, told: Told) {
        if let Some(session) = self.open.lock().unwrap_or_else(|e| e.into_inner()).get_mut(&visitor.id) {
            session.told = Some(told);
        }
    }

    /// For somebody who will see it: not for the script that renews parts of a page while a form is on its way.
    pub fn take_told(&self, visitor: &Visitor) -> Option<Told> {
        if visitor.by_itself {
            return None;
        }
        self.open.lock().unwrap_or_else(|e| e.into_inner()).get_mut(&visitor.id)?.told.take()
    }
}

impl Session {
    fn lives(&self, now: Instant) -> bool {
        now.duration_since(self.used) < IDLE && now.duration_since(self.begun) < LONGEST
    }
}

/// Who asks for a page.
#[derive(Clone)]
pub struct Visitor {
    pub key: Key,
    form_word: String,
    id: Id,
    /// The page that is open asks, not who looks at it.
    by_itself: bool,
}

impl Visitor {
    pub fn scope(&self) -> Scope {
        self.key.scope
    }

    pub fn form_word(&self) -> &str {
        &self.form_word
    }

    /// Whether a form is of one of our pages.
    pub fn sent(&self, form_word: &str) -> bool {
        bool::from(form_word.as_bytes().ct_eq(self.form_word.as_bytes()))
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, StatusCode> {
        parts.extensions.get().cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// Lets in who has a session whose key still opens something; others are asked to sign in.
pub async fn enter(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let word = cookie(request.headers(), console.app.names.tls);
    let by_itself = request.headers().contains_key(REFRESH) || is_stream(&request);
    let visitor = word.and_then(|word| console.sessions.visitor(word, by_itself));
    // Nothing is let in past the API's own gate.
    let gate = request.extensions().get::<Arc<Gate>>().cloned();
    let (Some(visitor), Some(gate)) = (visitor, gate) else { return sign_in(&request) };
    match gate.still_opens(&visitor.key) {
        Ok(true) => {}
        Ok(false) => {
            console.sessions.end(&visitor);
            return sign_in(&request);
        }
        Err(refusal) => return layout::bare(refusal.status(), "Not now", refusal.message()).into_response(),
    }
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// What is asked of by a script, not by a person, is told plainly.
fn sign_in(request: &Request) -> Response {
    if is_stream(request) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let asked = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let to = if request.method() == Method::GET && asked != "/" { asked } else { "" };
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("to", to).finish();
    let place = if to.is_empty() { "/console/sign-in".to_owned() } else { format!("/console/sign-in?{query}") };
    layout::see(&place)
}

fn is_stream(request: &Request) -> bool {
    request.uri().path().ends_with("/stream")
}

/// Its prefix keeps other names of the same host from setting it; a browser takes that over TLS only.
fn name(tls: bool) -> &'static str {
    if tls { "__Host-portcullis" } else { "portcullis" }
}

fn cookie(headers: &HeaderMap, tls: bool) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|h| h.to_str().ok());
    let mut pairs = all.flat_map(|h| h.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(n, _)| *n == name(tls)).map(|(_, word)| word)
}

/// `Set-Cookie` of a word; of an empty one, which takes it away.
pub fn set_cookie(word: &str, tls: bool) -> String {
    let age = if word.is_empty() { 0 } else { LONGEST.as_secs() };
    let secure = if tls { "; Secure" } else { "" };
    format!("{}={word}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}", name(tls))
}

fn id(word: &str) -> Id {
    Sha256::digest(word.as_bytes()).into()
}

/// 256 bits.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::keys::Keys;

    fn key(name: &str) -> Key {
        let dir = tempfile::tempdir().unwrap();
        Keys::of(dir.path()).create(name, Scope::Read, "now".into()).unwrap().0
    }

    #[test]
    fn a_session_is_opened_by_its_word_alone_and_ends_with_it() {
        let sessions = Sessions::default();
        let word = sessions.begin(key("a")).unwrap();
        let visitor = sessions.visitor(&word, false).unwrap();
        assert!(sessions.visitor("", false).is_none() && sessions.visitor(&random().unwrap(), false).is_none());
        assert!(visitor.sent(visitor.form_word()) && !visitor.sent("") && !visitor.sent(&word));
        sessions.end(&visitor);
        assert!(sessions.visitor(&word, false).is_none());
    }

    #[test]
    fn what_was_done_is_told_to_who_looks_and_an_open_page_keeps_no_session_alive() {
        let sessions = Sessions::default();
        let word = sessions.begin(key("a")).unwrap();
        let used = || sessions.open.lock().unwrap()[&id(&word)].used;
        let (page, before) = (sessions.visitor(&word, true).unwrap(), used());
        sessions.tell(&page, Told { good: true, what: "Done.".into(), secret: None });
        assert!(sessions.take_told(&page).is_none());
        assert_eq!(used(), before);
        let person = sessions.visitor(&word, false).unwrap();
        assert_eq!(sessions.take_told(&person).unwrap().what, "Done.");
        assert!(used() > before);
    }

    #[test]
    fn many_who_sign_in_drive_out_the_oldest_and_fill_no_memory() {
        let (sessions, key) = (Sessions::default(), key("a"));
        let words: Vec<String> = (0..=MOST).map(|_| sessions.begin(key.clone()).unwrap()).collect();
        assert!(sessions.visitor(&words[0], false).is_none() && sessions.visitor(&words[MOST], false).is_some());
        assert_eq!(sessions.open.lock().unwrap().len(), MOST);
    }

    #[test]
    fn nobody_is_signed_in_for_ever() {
        let begun = Instant::now();
        let session = Session { key: key("a"), form_word: String::new(), begun, used: begun, told: None };
        assert!(session.lives(begun + IDLE / 2) && !session.lives(begun + IDLE));
        let busy = Session { used: begun + LONGEST, ..session };
        assert!(!busy.lives(begun + LONGEST));
    }

    #[test]
    fn a_script_cannot_read_the_cookie_and_no_other_site_sends_it() {
        assert_eq!(set_cookie("w", false), "portcullis=w; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800");
        let secure = set_cookie("w", true);
        assert!(secure.starts_with("__Host-portcullis=w;") && secure.ends_with("; Secure"));
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "other=1; portcullis=word".parse().unwrap());
        assert_eq!((cookie(&headers, false), cookie(&headers, true)), (Some("word"), None));
    }
}
