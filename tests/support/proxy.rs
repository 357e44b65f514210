//! A network between a client and a broker that can be cut in the middle of a packet, or fall silent without closing.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// No cut is planned.
const NEVER: i64 = i64::MAX;

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// Nothing passes, and nobody is told.
    silent: watch::Sender<bool>,
    /// Counts the cuts: a connection ends with the count in which it began.
    cuts: watch::Sender<usize>,
    /// Bytes that still pass before a cut: to the broker, and from it.
    left: [AtomicI64; 2],
    connections: AtomicUsize,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Proxy {
    pub async fn to(broker: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            silent: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            left: [AtomicI64::new(NEVER), AtomicI64::new(NEVER)],
            connections: AtomicUsize::new(0),
            running: Mutex::default(),
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let connection = tokio::spawn(serving.clone().serve(client, ([127, 0, 0, 1], broker).into()));
                let mut running = serving.running.lock().unwrap();
                running.retain(|c| !c.is_finished());
                running.push(connection);
            }
        });
        Proxy { port, shared, task }
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts once so many bytes more have passed to the broker.
    pub fn cut_after_sent(&self, bytes: u64) {
        self.shared.left[0].store(bytes as i64, Ordering::Relaxed);
    }

    /// Cuts once so many bytes more have come from the broker.
    pub fn cut_after_answered(&self, bytes: u64) {
        self.shared.left[1].store(bytes as i64, Ordering::Relaxed);
    }

    pub fn fall_silent(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    pub fn heal(&self) {
        self.shared.left.iter().for_each(|left| left.store(NEVER, Ordering::Relaxed));
        self.fall_silent(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.running.lock().unwrap().iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn cut(&self) {
        self.left.iter().for_each(|left| left.store(NEVER, Ordering::Relaxed));
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    async fn serve(self: Arc<Shared>, client: TcpStream, broker: SocketAddr) {
        let mut cuts = self.cuts.subscribe();
        let Ok(broker) = TcpStream::connect(broker).await else { return };
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
        tokio::select! {
            () = self.pass(from_client, to_broker, 0) => {}
            () = self.pass(from_broker, to_client, 1) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: usize) {
        let mut silent = self.silent.subscribe();
        let mut bytes = [0; 4096];
        loop {
            let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
            let _ = silent.wait_for(|silent| !silent).await;
            let planned = self.left[way].load(Ordering::Relaxed) != NEVER;
            let left = if planned { self.left[way].fetch_sub(read as i64, Ordering::Relaxed) } else { NEVER };
            let pass = read.min(left.max(0) as usize);
            if to.write_all(&bytes[..pass]).await.is_err() {
                return;
            }
            if left <= read as i64 {
                return self.cut();
            }
        }
    }
}
