//! HTTP on sockets of strangers: so many at once, each with an end to its patience.
//!
//! Who sends a head or a body too slowly is cut off, and so is who does not take what was written: memory and places are for those
//! who use them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// What a connection may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// At once: the streams that there may be, and room for everybody else.
    pub connections: usize,
    /// For a request's head, also the next one's on a connection that is kept.
    pub head: Duration,
    /// Within which something of what was written must be taken.
    pub write: Duration,
    /// The head's bytes.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: super::STREAMS_MOST + 256,
            head: Duration::from_secs(10),
            write: Duration::from_secs(30),
            head_bytes: 32 << 10,
        }
    }
}

/// Answers until it is dropped, and with it every connection.
pub async fn serve<L>(mut listener: L, router: Router, limits: &Limits) -> io::Result<()>
where
    L: Listener<Addr = SocketAddr>,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let (socket, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        // Who finds no place is hung up on: to wait would fill the kernel's queue for those who are here.
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::debug!(%peer, "http.full");
            continue;
        };
        let socket = TokioIo::new(Patient { socket, most: limits.write, stalled: None });
        let peer = Peer(peer.ip());
        let router = TowerToHyperService::new(router.clone());
        let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.head_bytes);
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = http.serve_connection(socket, answer).await {
                tracing::debug!(?peer, %error, "http.broken");
            }
        });
    }
}

/// A socket that gives up when nothing of what is written is taken for too long.
struct Patient<S> {
    socket: S,
    most: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn waits<T>(&mut self, c: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let most = self.most;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + most)));
        ready!(stalled.as_mut().poll(c));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing of what was written is taken")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, c: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(c, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, c: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(c, bytes);
        self.waits(c, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, c: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(c);
        self.waits(c, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, c: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.socket).poll_shutdown(c);
        self.waits(c, closed)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        c: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(c, slices);
        self.waits(c, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
