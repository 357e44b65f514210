//! The publisher against a real Mosquitto: what is in the log is told, in order, once it can be.

#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/pki.rs"]
mod pki;
#[path = "support/subscriber.rs"]
mod subscriber;

use delivery::{Publisher, append, device, device_row, event};
use mosquitto::Mosquitto;
use portcullis::event::{ChangedProperty, Details, Dialect, Event, EventType};
use portcullis::signal::Secret;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_with_what_to_do_and_mended_without_a_restart() {
    let broker = Mosquitto::prepared("allow_anonymous false\npassword_file {dir}/users\n", |dir| {
        let users = dir.join("users");
        std::fs::write(&users, "hub-1:right\nlistener:right\n").unwrap();
        let made = std::process::Command::new("mosquitto_passwd").arg("-U").arg(&users).status();
        assert!(made.expect("mosquitto_passwd is part of mosquitto").success());
    });
    let password = broker.dir().join("password");
    std::fs::write(&password, "wrong\n").unwrap();
    let mut publisher = Publisher::new(&format!("mqtt://127.0.0.1:{}", broker.port), |c| {
        c.mqtt.username = Some("hub-1".into());
        c.mqtt.password_file = Some(password.clone());
    });
    publisher.settings.pace.retry_most = std::time::Duration::from_millis(300);
    publisher.start();
    publisher.until_state("mqtt.password_file").await;
    assert!(publisher.state().starts_with("down"), "{}", publisher.state());
    assert!(!publisher.state().contains("wrong"), "no secret in the health: {}", publisher.state());
    let mut told = Subscriber::with(broker.port, "portcullis/hub-1/event/#", |options| {
        options.set_credentials("listener", "right");
    })
    .await;
    append(&publisher.store, vec![event(0)], Vec::new()).await;
    std::fs::write(&password, "right\n").unwrap();
    assert_eq!(told.next().await.json()["seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_the_broker_takes_is_set_aside_at_once_and_named() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_packet_size 2000\n");
    let mut told = Subscriber::new(broker.port, "portcullis/hub-1/event/#").await;
    let mut publisher = Publisher::at(broker.port);
    let mut large = event(1);
    large.details.device_name = Some("x".repeat(3000));
    append(&publisher.store, vec![event(0), large, event(2)], Vec::new()).await;
    publisher.start();
    assert_eq!(told.next().await.json()["seq"], 1);
    assert_eq!(told.next().await.json()["seq"], 3);
    publisher.stop().await;
    publisher.store.flush().await.unwrap();
    let aside = publisher.store.undeliverable().unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].seq, 2);
    assert!(aside[0].reason.contains("takes 2000 at most"), "{}", aside[0].reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_a_private_authority_and_a_client_certificate() {
    let pki = pki::Pki::new();
    let broker = Mosquitto::prepared(
        "cafile {dir}/ca.pem\ncertfile {dir}/server.pem\nkeyfile {dir}/server.key\nrequire_certificate true\n\
         use_identity_as_username true\nallow_anonymous false\n",
        |dir| pki.write(dir),
    );
    let url = format!("mqtts://localhost:{}", broker.port);
    let file = |name: &str| Some(broker.dir().join(name));
    for version in [5, 4] {
        let mut publisher = Publisher::new(&url, |c| {
            c.mqtt.version = version;
            c.mqtt.ca_file = file("ca.pem");
            c.mqtt.client_cert_file = file("client.pem");
            c.mqtt.client_key_file = file("client.key");
        });
        append(&publisher.store, (0..10).map(event).collect(), Vec::new()).await;
        publisher.start();
        publisher.until_state("up connected").await;
        let acknowledged = async {
            while publisher.health.mqtt.acknowledged.load(std::sync::atomic::Ordering::Relaxed) < 10 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(subscriber::PATIENCE, acknowledged).await.expect("all are acknowledged");
        publisher.stop().await;
    }
    let mut strange = Publisher::new(&url, |c| c.mqtt.ca_file = file("other-ca.pem"));
    strange.start();
    strange.until_state("certificate").await;
    let mut nobody = Publisher::new(&url, |c| c.mqtt.ca_file = file("ca.pem"));
    nobody.start();
    nobody.until_state("down localhost").await;
    let mut missing = Publisher::new(&url, |c| c.mqtt.ca_file = file("nowhere.pem"));
    missing.start();
    missing.until_state("mqtt.ca_file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_masks_codes_has_their_digits_in_no_message_and_one_that_does_not_has() {
    let broker = Mosquitto::start();
    let secret = || Some(Secret::new("4711"));
    let set = Details { code: secret(), ..Details::default() };
    let property = |from: Option<&str>, to: &str| ChangedProperty {
        property: "code".into(),
        from: from.map(str::to_owned),
        to: Some(to.into()),
    };
    let properties = vec![property(None, "4711"), property(Some("4711"), "47114")];
    let several = Details { changed_properties: Some(properties), ..Details::default() };
    let told = |event_type, details| Event { event_type, details, ..event(0) };
    for masks in [true, false] {
        let mut all = Subscriber::new(broker.port, "portcullis/hub-1/#").await;
        let url = format!("mqtt://127.0.0.1:{}", broker.port);
        let mut publisher = Publisher::new(&url, |c| c.mqtt.code_digits = masks.then_some(false));
        let events = vec![
            told(EventType::AccessCodeSetOnDevice, set.clone()),
            event(1),
            told(EventType::AccessCodeChanged, several.clone()),
        ];
        append(&publisher.store, events, vec![device_row(0, true)]).await;
        publisher.start();
        let (mut with_digits, mut masked) = (0, 0);
        loop {
            let message = all.next().await;
            with_digits += message.text().matches("4711").count();
            masked += message.text().matches("****").count();
            if message.topic.contains("/event/") && message.json()["seq"] == 3 {
                break;
            }
        }
        assert_eq!((with_digits, masked), if masks { (0, 4) } else { (4, 0) });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_hub_leaves_nothing_retained_under_its_old_name() {
    let broker = Mosquitto::start();
    let mut publisher = Publisher::at(broker.port);
    append(&publisher.store, Vec::new(), vec![device_row(0, true)]).await;
    publisher.start();
    let mut told = Subscriber::new(broker.port, "portcullis/#").await;
    told.until(|m| m.topic == "portcullis/hub-1/health").await;
    publisher.stop().await;
    publisher.store.flush().await.unwrap();
    let mut config = portcullis::config::Config::default();
    config.mqtt.url = format!("mqtt://127.0.0.1:{}", broker.port);
    config.hub.name = "attic".into();
    publisher.settings = portcullis::sink::mqtt::Settings::new(&config).unwrap();
    publisher.start();
    for topic in ["health", "status"].map(|t| format!("portcullis/hub-1/{t}")) {
        told.until(|m| m.topic == topic && m.payload.is_empty()).await;
    }
    let mut later = Subscriber::new(broker.port, "portcullis/+/device/#").await;
    assert_eq!(later.next().await.topic, format!("portcullis/attic/device/{}", device(0)));
    assert_eq!(later.so_far().len(), 0);
}
