//! An MQTT 5 broker that does what a test tells it to: the faults that no real one shows on demand.
#![allow(dead_code)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What to do with a publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// PUBACK with this reason code; 0 is success.
    Ack(u8),
    /// Nothing, ever.
    Silence,
    /// Close the connection.
    HangUp,
    /// DISCONNECT with this reason code.
    Disconnect(u8),
    /// A PUBACK for a packet that never was.
    Stray,
}

#[derive(Clone, Debug)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    /// Of which connection, counted from 0.
    pub connection: usize,
    pub answer: Answer,
}

impl Publish {
    /// `seq` of an event; `None` for anything else.
    pub fn seq(&self) -> Option<u64> {
        let event = self.topic.contains("/event/");
        event.then(|| serde_json::from_slice::<serde_json::Value>(&self.payload).ok()?["seq"].as_u64()).flatten()
    }
}

pub struct Scripted {
    pub port: u16,
    seen: Arc<Mutex<Vec<Publish>>>,
    connections: Arc<Mutex<Vec<std::time::Instant>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Default)]
pub struct Manners {
    /// Properties of the CONNACK, encoded.
    pub connack: Vec<u8>,
    pub ignores_pings: bool,
}

impl Scripted {
    /// `script` answers an event by its `seq` and the number of times it was seen before; all else is acknowledged.
    pub async fn start(manners: Manners, script: impl Fn(u64, usize) -> Answer + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, connections) = (Arc::<Mutex<Vec<Publish>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let times = Arc::<Mutex<HashMap<u64, usize>>>::default();
        let (all, counted, script) = (seen.clone(), connections.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let connection = counted.lock().unwrap().len();
                counted.lock().unwrap().push(std::time::Instant::now());
                let (all, script, manners) = (all.clone(), script.clone(), manners.clone());
                let times = times.clone();
                let answer = move |seq| {
                    let before = {
                        let mut times = times.lock().unwrap();
                        let times = times.entry(seq).or_default();
                        *times += 1;
                        *times - 1
                    };
                    script(seq, before)
                };
                tokio::spawn(async move { serve(socket, connection, manners, all, &answer).await });
            }
        });
        Scripted { port, seen, connections, task }
    }

    pub fn seen(&self) -> Vec<Publish> {
        self.seen.lock().unwrap().clone()
    }

    /// The events that were acknowledged with success, in order.
    pub fn taken(&self) -> Vec<u64> {
        self.seen().iter().filter(|p| p.answer == Answer::Ack(0)).filter_map(Publish::seq).collect()
    }

    pub fn connections(&self) -> Vec<std::time::Instant> {
        self.connections.lock().unwrap().clone()
    }

    /// Waits until `enough` holds of what was seen.
    pub async fn until(&self, enough: impl Fn(&Scripted) -> bool) {
        let waiting = async {
            while !enough(self) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let patience = super::subscriber::PATIENCE;
        let seen = || self.seen().iter().filter_map(|p| Some((p.seq()?, p.answer))).collect::<Vec<_>>();
        assert!(tokio::time::timeout(patience, waiting).await.is_ok(), "only {:?}", seen());
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut socket: TcpStream,
    connection: usize,
    manners: Manners,
    all: Arc<Mutex<Vec<Publish>>>,
    script: &(dyn Fn(u64) -> Answer + Send + Sync),
) -> Option<()> {
    loop {
        let (header, body) = packet(&mut socket).await?;
        match header >> 4 {
            1 => {
                let length = manners.connack.len() as u8;
                let mut connack = vec![0x20, 3 + length, 0, 0, length];
                connack.extend_from_slice(&manners.connack);
                socket.write_all(&connack).await.ok()?;
            }
            3 => {
                let topic_length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8_lossy(&body[2..2 + topic_length]).into_owned();
                let id = [body[2 + topic_length], body[3 + topic_length]];
                let properties = 4 + topic_length;
                let payload = body[properties + 1 + usize::from(body[properties])..].to_vec();
                let mut publish = Publish { topic, payload, connection, answer: Answer::Ack(0) };
                if let Some(seq) = publish.seq() {
                    publish.answer = script(seq);
                }
                let answer = publish.answer;
                all.lock().unwrap().push(publish);
                match answer {
                    Answer::Ack(reason) => socket.write_all(&[0x40, 4, id[0], id[1], reason, 0]).await.ok()?,
                    Answer::Stray => socket.write_all(&[0x40, 4, 0, 77, 0, 0]).await.ok()?,
                    Answer::Silence => {}
                    Answer::HangUp => return None,
                    Answer::Disconnect(reason) => {
                        socket.write_all(&[0xe0, 2, reason, 0]).await.ok()?;
                        return None;
                    }
                }
            }
            12 if !manners.ignores_pings => socket.write_all(&[0xd0, 0]).await.ok()?,
            14 => return None,
            _ => {}
        }
    }
}

async fn packet(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let header = socket.read_u8().await.ok()?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = socket.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some((header, body))
}
