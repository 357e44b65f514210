//! An MQTT 5 subscriber with a persistent session: what it was sent while it was away it gets later.
#![allow(dead_code)]

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Longer than anything takes here; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone, Debug)]
pub struct Told {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
    pub properties: Vec<(String, String)>,
    pub correlation: Option<Vec<u8>>,
}

impl Told {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("JSON")
    }
}

pub struct Subscriber {
    told: mpsc::UnboundedReceiver<Told>,
    /// Counts the subscriptions that were granted.
    subscribed: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Subscriber {
    /// Subscribed when it returns.
    pub async fn new(port: u16, filter: &str) -> Subscriber {
        Subscriber::with(port, filter, |_| {}).await
    }

    pub async fn with(port: u16, filter: &str, set: impl FnOnce(&mut MqttOptions)) -> Subscriber {
        let mut options = MqttOptions::new(format!("subscriber-{}", uuid::Uuid::new_v4()), "127.0.0.1", port);
        options.set_clean_start(false).set_session_expiry_interval(Some(3600)).set_max_packet_size(Some(4 << 20));
        set(&mut options);
        let (client, mut events) = AsyncClient::new(options, 16);
        let (sender, told) = mpsc::unbounded_channel();
        let (granted, subscribed) = watch::channel(0);
        client.subscribe(filter, QoS::AtLeastOnce).await.expect("room in the channel");
        let filter = filter.to_owned();
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::SubAck(_))) => granted.send_modify(|n| *n += 1),
                    Ok(Event::Incoming(Incoming::ConnAck(ack))) if !ack.session_present && *granted.borrow() > 0 => {
                        let _ = client.try_subscribe(&filter, QoS::AtLeastOnce);
                    }
                    Ok(Event::Incoming(Incoming::Publish(p))) => {
                        let told = Told {
                            topic: String::from_utf8_lossy(&p.topic).into_owned(),
                            payload: p.payload.to_vec(),
                            retain: p.retain,
                            correlation: p
                                .properties
                                .as_ref()
                                .and_then(|p| Some(p.correlation_data.as_ref()?.to_vec())),
                            properties: p.properties.map(|p| p.user_properties).unwrap_or_default(),
                        };
                        if sender.send(told).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    // The broker is away: there is nothing to await but time.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let mut subscriber = Subscriber { told, subscribed, task };
        subscriber.subscribed_again().await;
        subscriber
    }

    /// Waits for a subscription that was not waited for yet: the broker has forgotten the last one.
    pub async fn subscribed_again(&mut self) {
        let granted = tokio::time::timeout(PATIENCE, self.subscribed.changed()).await;
        granted.expect("a broker that answers").expect("it lives");
    }

    pub async fn next(&mut self) -> Told {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("a message in time").expect("it lives")
    }

    /// The next one for which `wanted` holds.
    pub async fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Told {
        loop {
            let told = self.next().await;
            if wanted(&told) {
                return told;
            }
        }
    }

    /// What has come by now.
    pub fn so_far(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}
