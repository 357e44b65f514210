//! How a verb talks to the running daemon: the API over the control socket. Without a daemon a verb may read the store itself.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::Failure;
use crate::api::control;
use crate::config::Config;

/// What comes to an end within this is an answer; a daemon that takes longer is in trouble.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub struct Daemon {
    requests: SendRequest<Full<Bytes>>,
}

impl Daemon {
    /// `None` where no daemon runs on this state directory.
    pub async fn connect(config: &Config) -> Result<Option<Daemon>, Failure> {
        for path in control::paths(&config.state_dir) {
            match UnixStream::connect(&path).await {
                Ok(stream) => {
                    let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
                    tokio::spawn(connection);
                    return Ok(Some(Daemon { requests }));
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    let who =
                        "members of the group portcullis may (adduser YOU portcullis, then log in anew), and root";
                    return Err(Failure::failed(format!("{}: {e}; {who}", path.display())));
                }
                Err(e) => return Err(Failure::failed(format!("{}: {e}", path.display()))),
            }
        }
        Ok(None)
    }

    /// The running daemon, for what cannot be done without one.
    pub async fn must(config: &Config) -> Result<Daemon, Failure> {
        let missing = || {
            let how = "start it (systemctl start portcullis, or portcullis run)";
            Failure::failed(format!("no hub runs on {}; {how}", config.state_dir.display()))
        };
        Daemon::connect(config).await?.ok_or_else(missing)
    }

    /// Asks, and takes `key` of the answer.
    pub async fn ask(&mut self, path: &str, body: Value, key: &str) -> Result<Value, Failure> {
        self.ask_within(ANSWER_WITHIN, path, body, key).await
    }

    /// For what may take the hub longer.
    pub async fn ask_within(&mut self, within: Duration, path: &str, body: Value, key: &str) -> Result<Value, Failure> {
        let answer = tokio::time::timeout(within, self.post(path, body)).await;
        let mut answer = answer.map_err(|_| too_slow(within))??;
        Ok(answer[key].take())
    }

    async fn post(&mut self, path: &str, body: Value) -> Result<Value, Failure> {
        let response = self.send(Method::POST, path, body.to_string()).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| Failure::failed(format!("{path}: {status}")))?;
        match status {
            StatusCode::OK => Ok(answer),
            _ => Err(Failure::failed(answer["error"]["message"].as_str().unwrap_or(path).to_owned())),
        }
    }

    /// A page that is no JSON.
    pub async fn text(&mut self, path: &str) -> Result<String, Failure> {
        let answer = async {
            let response = self.send(Method::GET, path, String::new()).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if status == StatusCode::OK { Ok(text) } else { Err(Failure::failed(format!("{path}: {status}"))) }
        };
        tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(|_| too_slow(ANSWER_WITHIN))?
    }

    /// Follows the event stream; `tell` gets each event's JSON until it says false.
    pub async fn follow(
        mut self,
        query: &str,
        mut tell: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let response = self.send(Method::GET, &format!("/events/stream?{query}"), String::new()).await?;
        if response.status() != StatusCode::OK {
            let bytes = response.into_body().collect().await?.to_bytes();
            let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            return Err(Failure::failed(answer["error"]["message"].as_str().unwrap_or("the hub refused").to_owned()));
        }
        let mut chunks = response.into_body().into_data_stream();
        let mut buffer = Vec::new();
        while let Some(chunk) = chunks.next().await {
            buffer.extend_from_slice(&chunk?);
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(event) = line.trim_end().strip_prefix("data:")
                    && !tell(event.trim_start())?
                {
                    return Ok(());
                }
            }
        }
        Err(Failure::failed("the hub has stopped"))
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        self.requests.ready().await?;
        let request = Request::builder().method(method).uri(path).header("host", "hub");
        let request = request.header("content-type", "application/json").body(Full::from(body))?;
        Ok(self.requests.send_request(request).await?)
    }
}

fn too_slow(within: Duration) -> Failure {
    Failure::failed(format!("the hub has not answered within {} s; see its log", within.as_secs()))
}

/// Runs a verb that waits for things.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
