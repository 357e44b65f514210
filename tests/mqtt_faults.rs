//! The publisher against a broker that refuses, forgets, falls silent and hangs up.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use delivery::{Publisher, append, event};
use portcullis::sink::mqtt::SINK;
use scripted::{Answer, Manners, Scripted};

async fn publisher(broker: &Scripted, events: u64) -> Publisher {
    let mut publisher = Publisher::at(broker.port);
    publisher.settings.pace.ack = Duration::from_millis(600);
    append(&publisher.store, (0..events).map(event).collect(), Vec::new()).await;
    publisher.start();
    publisher
}

/// The last time that each event was taken is in the order of the log.
fn assert_ends_in_order(taken: &[u64], last: u64) {
    let tail = &taken[taken.len() - last as usize..];
    assert_eq!(tail, (1..=last).collect::<Vec<_>>(), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_refused_for_lack_of_rights_waits_and_so_do_those_behind_it() {
    const NOT_AUTHORIZED: u8 = 0x87;
    let broker = Scripted::start(Manners::default(), |seq, before| match (seq, before) {
        (2, 0..3) => Answer::Ack(NOT_AUTHORIZED),
        _ => Answer::Ack(0),
    })
    .await;
    let publisher = publisher(&broker, 6).await;
    publisher.until_state("event 2 refused").await;
    assert!(publisher.state().contains("not authorized"), "{}", publisher.state());
    broker.until(|b| b.taken().ends_with(&[2, 3, 4, 5, 6])).await;
    assert_eq!(publisher.store.undeliverable().unwrap(), [], "a right can be given");
    publisher.until_state("connected").await;
    assert!(!publisher.state().contains("refused"), "{}", publisher.state());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_never_taken_is_set_aside_after_five_tries_and_the_others_go_on() {
    const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
    let broker = Scripted::start(Manners::default(), |seq, _| match seq {
        2 => Answer::Ack(PAYLOAD_FORMAT_INVALID),
        _ => Answer::Ack(0),
    })
    .await;
    let mut publisher = publisher(&broker, 4).await;
    broker.until(|b| b.taken().ends_with(&[3, 4]) && b.seen().iter().filter(|p| p.seq() == Some(2)).count() == 5).await;
    publisher.stop().await;
    publisher.store.flush().await.unwrap();
    let aside = publisher.store.undeliverable().unwrap();
    assert_eq!(aside.iter().map(|u| (u.sink.as_str(), u.seq)).collect::<Vec<_>>(), [(SINK, 2)]);
    assert!(aside[0].reason.contains("payload format invalid"), "{}", aside[0].reason);
    assert_eq!(publisher.health.mqtt.undeliverable.load(Ordering::Relaxed), 1);
    assert_eq!(publisher.store.cursor(SINK).unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_sent_again_by_command() {
    let broker = Scripted::start(Manners::default(), |seq, before| match (seq, before) {
        (2, 0..5) => Answer::Ack(0x90),
        _ => Answer::Ack(0),
    })
    .await;
    let publisher = publisher(&broker, 3).await;
    broker.until(|b| b.taken().ends_with(&[3]) && b.seen().iter().filter(|p| p.seq() == Some(2)).count() == 5).await;
    publisher.store.drive_again(SINK).unwrap();
    broker.until(|b| b.taken().ends_with(&[2])).await;
    let told = async {
        while !publisher.store.undeliverable().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(subscriber::PATIENCE, told).await.expect("it is no longer undeliverable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_up_at_one_event_does_not_keep_the_others() {
    let broker = Scripted::start(Manners::default(), |seq, _| match seq {
        3 => Answer::HangUp,
        _ => Answer::Ack(0),
    })
    .await;
    let mut publisher = publisher(&broker, 5).await;
    publisher.settings.pace.retry_most = Duration::from_millis(300);
    publisher.kill().await;
    publisher.start();
    broker.until(|b| b.taken().ends_with(&[4, 5])).await;
    publisher.stop().await;
    publisher.store.flush().await.unwrap();
    let aside: Vec<u64> = publisher.store.undeliverable().unwrap().iter().map(|u| u.seq).collect();
    assert_eq!(aside, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_without_an_answer_is_sent_again_on_a_new_connection() {
    let broker = Scripted::start(Manners::default(), |seq, before| match (seq, before) {
        (2, 0) => Answer::Silence,
        _ => Answer::Ack(0),
    })
    .await;
    let _publisher = publisher(&broker, 4).await;
    broker.until(|b| b.taken().ends_with(&[2, 3, 4])).await;
    assert_eq!(broker.connections().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_nothing_ends_the_connection_and_loses_nothing() {
    let broker = Scripted::start(Manners::default(), |seq, before| match (seq, before) {
        (2, 0) => Answer::Stray,
        _ => Answer::Ack(0),
    })
    .await;
    let _publisher = publisher(&broker, 4).await;
    broker.until(|b| b.taken().ends_with(&[2, 3, 4])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_with_one_name_do_not_take_the_session_from_each_other_for_ever() {
    const SESSION_TAKEN_OVER: u8 = 0x8e;
    let broker = Scripted::start(Manners::default(), |_, _| Answer::Disconnect(SESSION_TAKEN_OVER)).await;
    let publisher = publisher(&broker, 1).await;
    publisher.until_state("second daemon").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(broker.connections().len(), 1, "half a minute passes before the next try");
    assert_eq!(publisher.store.undeliverable().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_found_within_one_and_a_half_keep_alives() {
    let broker = Scripted::start(Manners { ignores_pings: true, ..Manners::default() }, |_, _| Answer::Ack(0)).await;
    let mut publisher = Publisher::at(broker.port);
    // The shortest that rumqttc takes.
    publisher.settings.pace.keep_alive = Duration::from_secs(5);
    let started = Instant::now();
    publisher.start();
    publisher.until_state("no answer to a ping").await;
    assert!(started.elapsed() < Duration::from_millis(7_500), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_takes_one_at_a_time_gets_one_at_a_time() {
    const RECEIVE_MAXIMUM: u8 = 0x21;
    let manners = Manners { connack: vec![RECEIVE_MAXIMUM, 0, 1], ..Manners::default() };
    // The first event is never answered: with more than one on its way, the second would be seen before the deadline.
    let broker = Scripted::start(manners, |seq, before| match (seq, before) {
        (1, 0) => Answer::Silence,
        _ => Answer::Ack(0),
    })
    .await;
    let _publisher = publisher(&broker, 3).await;
    broker.until(|b| b.taken().len() >= 3).await;
    let first: Vec<u64> = broker.seen().iter().filter(|p| p.connection == 0).filter_map(|p| p.seq()).collect();
    assert_eq!(first, [1]);
    assert_ends_in_order(&broker.taken(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_acknowledgement_sends_again_and_one_after_it_does_not() {
    let broker = Scripted::start(Manners::default(), |seq, before| match (seq, before) {
        (3, 0) => Answer::Silence,
        _ => Answer::Ack(0),
    })
    .await;
    let mut publisher = publisher(&broker, 3).await;
    publisher.settings.pace.ack = Duration::from_secs(20);
    broker.until(|b| b.seen().iter().any(|p| p.seq() == Some(3))).await;
    publisher.stop().await;
    publisher.store.flush().await.unwrap();
    assert_eq!(publisher.store.cursor(SINK).unwrap(), 2);
    publisher.start();
    broker.until(|b| b.taken().ends_with(&[3])).await;
    assert_eq!(broker.taken(), [1, 2, 3]);
}
