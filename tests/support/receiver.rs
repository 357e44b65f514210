//! A webhook's endpoint: a real HTTP server that keeps what it is posted and answers as the test says.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::Value;
use tokio::sync::mpsc;

/// A bound on a hanging test, not a wait.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Posted {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Posted {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|h| h.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Status(u16),
    Redirect,
    /// Never, until the connection goes.
    Never,
}

pub struct Receiver {
    pub url: String,
    posted: mpsc::UnboundedReceiver<Posted>,
    plan: Arc<Mutex<Plan>>,
    task: tokio::task::JoinHandle<()>,
}

struct Plan {
    next: VecDeque<Answer>,
    then: Answer,
}

type Shared = (mpsc::UnboundedSender<Posted>, Arc<Mutex<Plan>>);

impl Receiver {
    /// Answers with `next`, one after the other, and with 200 after them.
    pub async fn start(next: impl IntoIterator<Item = Answer>) -> Receiver {
        let plan = Arc::new(Mutex::new(Plan { next: next.into_iter().collect(), then: Answer::Status(200) }));
        let (tell, posted) = mpsc::unbounded_channel();
        let router = Router::new().fallback(any(take)).with_state((tell, plan.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?from=hub", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Receiver { url, posted, plan, task }
    }

    /// From now on, whatever was planned.
    pub fn answer(&self, answer: Answer) {
        *self.plan.lock().expect("no panic") = Plan { next: VecDeque::new(), then: answer };
    }

    pub async fn next(&mut self) -> Posted {
        tokio::time::timeout(PATIENCE, self.posted.recv()).await.expect("a post in time").expect("it serves")
    }

    /// Nothing more has come, now that something else is known to have happened after it.
    pub fn has_nothing(&mut self) -> bool {
        self.posted.try_recv().is_err()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State((tell, plan)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (method, path) = (method.to_string(), uri.path().to_owned());
    let answer = {
        // Under one lock, so that the posts are told in the order of their answers.
        let mut plan = plan.lock().expect("no panic");
        let _ = tell.send(Posted { method, path, headers, body: String::from_utf8(body.to_vec()).expect("text") });
        plan.next.pop_front().unwrap_or(plan.then)
    };
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Answer::Redirect => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        Answer::Never => std::future::pending().await,
    }
}
