//! The publisher against a real Mosquitto: what is in the log is told, in order, once it can be.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/subscriber.rs"]
mod subscriber;

use delivery::{Publisher, append, device, device_row, event};
use mosquitto::Mosquitto;
use portcullis::event::Dialect;
use subscriber::Subscriber;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_as_it_was_frozen_with_its_place_in_the_log() {
    let broker = Mosquitto::start();
    let mut told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let mut publisher = Publisher::at(broker.port);
    publisher.start();
    let event = event(0);
    append(&publisher.store, vec![event.clone()], Vec::new()).await;
    let message = told.next().await;
    assert_eq!(message.topic, format!("portcullis/hub-1/event/{}/lock/unlocked", device(0)));
    let frozen = event.render(Dialect::Classic);
    let expected = format!(r#"{},"seq":1,"log_id":"{}"}}"#, frozen.trim_end_matches('}'), publisher.store.log_id());
    assert_eq!(message.text(), expected);
    assert!(!message.retain);
    let id = event.event_id.to_string();
    for (name, value) in [("event_id", id.as_str()), ("event_type", "lock.unlocked"), ("seq", "1")] {
        assert!(message.properties.contains(&(name.into(), value.into())), "{name} in {:?}", message.properties);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_3_1_1_the_same_events_arrive() {
    let broker = Mosquitto::start();
    let mut told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let mut publisher = Publisher::new(&format!("mqtt://127.0.0.1:{}", broker.port), |c| c.mqtt.version = 4);
    append(&publisher.store, (0..300).map(event).collect(), Vec::new()).await;
    publisher.start();
    for seq in 1..=300 {
        assert_eq!(told.next().await.json()["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_from_before_the_broker_was_there_comes_first_and_in_order() {
    let mut broker = Mosquitto::start();
    let mut told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    broker.stop();
    let mut publisher = Publisher::at(broker.port);
    publisher.start();
    append(&publisher.store, (0..1000).map(event).collect(), Vec::new()).await;
    publisher.until_state("down 127.0.0.1").await;
    broker.restart();
    for seq in 1..=1000 {
        assert_eq!(told.next().await.json()["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_state_is_retained_and_a_removed_one_leaves_no_ghost() {
    let broker = Mosquitto::start();
    let mut publisher = Publisher::at(broker.port);
    publisher.start();
    append(&publisher.store, Vec::new(), vec![device_row(0, true), device_row(1, true)]).await;
    let mut told = Subscriber::new(broker.port, "portcullis/hub-1/device/#").await;
    told.until(|m| m.topic.ends_with(&device(1).to_string())).await;
    let mut gone = device_row(1, false);
    gone.value = None;
    append(&publisher.store, Vec::new(), vec![device_row(0, false), gone]).await;
    told.until(|m| m.payload.is_empty()).await;
    let mut later = Subscriber::new(broker.port, "portcullis/hub-1/device/#").await;
    let kept = later.next().await;
    assert!(kept.retain);
    assert_eq!(kept.json()["device_id"], device(0).to_string());
    assert_eq!(kept.json()["connected"], false);
    assert!(later.so_far().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_is_online_while_it_runs_and_offline_after_a_stop_or_a_death() {
    let broker = Mosquitto::start();
    let mut publisher = Publisher::at(broker.port);
    let mut status = Subscriber::new(broker.port, "portcullis/hub-1/status").await;
    publisher.start();
    assert_eq!(status.next().await.text(), "online");
    publisher.stop().await;
    assert_eq!(status.next().await.text(), "offline");
    publisher.start();
    assert_eq!(status.next().await.text(), "online");
    publisher.kill().await;
    assert_eq!(status.next().await.text(), "offline", "the will");
}
