//! A consumer of a fleet: drops doubles by `event_id`, and says what is missing by `seq`, per hub and log.
//!
//!     fleet-consumer FLEET_DIR USER
//!
//! It reads on from where the durable consumer of the user's name was. What it knows is in memory: a real one keeps it in a database, in the
//! transaction of what an event means there, and acknowledges after that (`consumer.py` does).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, consumer::AckPolicy, consumer::pull};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BATCH: usize = 500;

/// What every event has, whatever its type.
#[derive(Deserialize)]
struct Event {
    event_id: String,
    log_id: String,
    seq: u64,
}

#[derive(Default)]
struct Book {
    ids: HashSet<String>,
    seqs: BTreeMap<(String, String), BTreeSet<u64>>,
    doubles: u64,
    /// Came for the first time, but after a later one of the same log.
    late: u64,
}

impl Book {
    fn take(&mut self, hub: &str, event: Event, is_backfill: bool) {
        if !self.ids.insert(event.event_id) {
            self.doubles += 1;
            return;
        }
        let seqs = self.seqs.entry((hub.to_owned(), event.log_id)).or_default();
        self.late += u64::from(!is_backfill && seqs.last().is_some_and(|last| *last > event.seq));
        seqs.insert(event.seq);
    }

    /// Holes up to the last event of each log, which begins at 1.
    fn gaps(&self) -> Vec<Value> {
        let mut gaps = Vec::new();
        for ((hub, log_id), seqs) in &self.seqs {
            let mut expected = 1;
            for seq in seqs {
                if *seq > expected {
                    gaps.push(json!([hub, log_id, expected, seq - 1]));
                }
                expected = seq + 1;
            }
        }
        gaps
    }
}

async fn connect(fleet: &Path, user: &str) -> Result<async_nats::Client, Failure> {
    let nodes: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(fleet.join("nodes.json"))?)?;
    let addresses =
        nodes.values().map(|n| format!("tls://{}:{}", n["host"].as_str().unwrap_or_default(), n["client"]).parse());
    let addresses: Vec<async_nats::ServerAddr> = addresses.collect::<Result<_, _>>()?;
    let password = std::fs::read_to_string(fleet.join("readers").join(user).join("mqtt_password"))?;
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.trim().to_owned());
    Ok(options.add_root_certificates(fleet.join("ca.pem")).require_tls(true).connect(addresses).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fleet, user] = &arguments[..] else { return Err("fleet-consumer FLEET_DIR USER".into()) };
    let client = connect(Path::new(fleet), user).await?;
    let stream = jetstream::new(client).get_stream("EVENTS").await?;
    let durable = format!("{user}-rust");
    let config = pull::Config {
        durable_name: Some(durable.clone()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let consumer = stream.get_or_create_consumer(&durable, config).await?;
    let mut book = Book::default();
    loop {
        let mut batch = consumer.fetch().max_messages(BATCH).expires(Duration::from_secs(2)).messages().await?;
        let mut taken = Vec::new();
        while let Some(message) = batch.next().await {
            let message = message?;
            // portcullis.HUB.event.… or portcullis.HUB.backfill.…, the first as the MQTT listener keeps it.
            let mut levels = message.subject.trim_start_matches("$MQTT.msgs.").split('.').skip(1);
            let (hub, kind) = (levels.next().unwrap_or_default(), levels.next().unwrap_or_default());
            book.take(hub, serde_json::from_slice(&message.payload)?, kind == "backfill");
            taken.push(message);
        }
        if taken.is_empty() {
            break;
        }
        for message in taken {
            message.ack().await?;
        }
    }
    let hubs: BTreeSet<&String> = book.seqs.keys().map(|(hub, _)| hub).collect();
    let (hubs, events) = (hubs.len(), book.ids.len());
    println!(
        "{}",
        json!({"hubs": hubs, "events": events, "doubles": book.doubles, "late": book.late, "gaps": book.gaps()})
    );
    Ok(())
}
