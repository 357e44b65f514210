//! Goal: whatever happens between the log and the subscriber, a subscriber that follows `seq` and `event_id` ends with exactly
//! the log.
//!
//! Method: a publisher and a real Mosquitto, with a network between them that can be cut and can fall silent; everything that
//! happens is drawn from a seed. `PORTCULLIS_STEPS` makes it longer (`make chaos` does), `PORTCULLIS_SEED` is the seed.

#[path = "support/checker.rs"]
mod checker;
#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/pki.rs"]
mod pki;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use checker::Checker;
use chrono::Utc;
use delivery::{Publisher, append, device_row};
use mosquitto::Mosquitto;
use portcullis::event::Event;
use portcullis::sink::mqtt::{SINK, Version};
use portcullis::source::demo::Dice;
use portcullis::time::Wall;
use proxy::Proxy;
use subscriber::{PATIENCE, Subscriber};

const EVENTS: &str = "portcullis/hub-1/event/#";

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Waits until the subscriber holds the whole log, and compares.
async fn settle(publisher: &Publisher, told: &mut Subscriber, checker: &mut Checker) {
    let deadline = Instant::now() + PATIENCE;
    let head = publisher.store.head().borrow().seq;
    while (checker.count() as u64) < head && Instant::now() < deadline {
        told.so_far().into_iter().for_each(|message| checker.take(message));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = publisher.store.events_after(0, usize::MAX >> 1).unwrap();
    let compared = checker.compare(&log, publisher.store.log_id());
    assert_eq!(compared, Ok(()), "{} of {head} told; the publisher: {}", checker.count(), publisher.state());
    assert_eq!(publisher.store.undeliverable().unwrap(), [], "none was refused, so none may be set aside");
}

/// The `n`th event, as of now: in a long run old ones would be too old to be kept.
fn event(n: u64) -> Event {
    let now = Wall::from(Utc::now());
    Event { created_at: now, occurred_at: now, ..delivery::event(n) }
}

fn impatient(publisher: &mut Publisher) {
    publisher.settings.pace.retry_first = Duration::from_millis(10);
    publisher.settings.pace.retry_most = Duration::from_millis(100);
    publisher.settings.pace.ack = Duration::from_secs(3);
}

struct Walk {
    dice: Dice,
    broker: Mosquitto,
    proxy: Proxy,
    publisher: Publisher,
    appended: u64,
    did: [u64; 7],
}

impl Walk {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice.roll() % below
    }

    async fn step(&mut self) {
        let what = match self.roll(100) {
            0..50 => 0,
            50..62 => 1,
            62..74 => 2,
            74..82 => 3,
            82..88 => 4,
            88..94 => 5,
            _ => 6,
        };
        self.did[what] += 1;
        match what {
            0 => {
                let first = self.appended;
                self.appended += 1 + self.roll(100);
                append(&self.publisher.store, (first..self.appended).map(event).collect(), Vec::new()).await;
            }
            // Some events more, and the cut comes in the middle of one, or of an acknowledgement.
            1 => self.proxy.cut_after_sent(1_500 + self.dice.roll() % 60_000),
            2 => self.proxy.cut_after_answered(40 + self.dice.roll() % 600),
            3 => self.proxy.cut(),
            4 => tokio::task::block_in_place(|| self.broker.restart()),
            5 => {
                self.publisher.kill().await;
                self.publisher.settings.version = if self.roll(2) == 0 { Version::V4 } else { Version::V5 };
                self.publisher.start();
            }
            _ => {
                self.publisher.stop().await;
                self.publisher.start();
            }
        }
        tokio::time::sleep(Duration::from_millis(self.dice.roll() % 25)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_the_subscriber_ends_with_exactly_the_log() {
    let (steps, seed) = (number("PORTCULLIS_STEPS", 150), number("PORTCULLIS_SEED", 11));
    let broker = Mosquitto::start();
    let proxy = Proxy::to(broker.port).await;
    let mut publisher = Publisher::at(proxy.port);
    impatient(&mut publisher);
    publisher.start();
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    let mut checker = Checker::default();
    let mut walk = Walk { dice: Dice::new(seed), broker, proxy, publisher, appended: 0, did: [0; 7] };
    for step in 1..=steps {
        walk.step().await;
        told.so_far().into_iter().for_each(|message| checker.take(message));
        // Now and then all is well for a while.
        if step % 50 == 0 || step == steps {
            walk.proxy.heal();
            settle(&walk.publisher, &mut told, &mut checker).await;
        }
    }
    walk.publisher.stop().await;
    walk.publisher.store.flush().await.unwrap();
    assert_eq!(walk.publisher.store.cursor(SINK).unwrap(), walk.appended);
    let [bursts, sent, answered, cuts, restarts, kills, stops] = walk.did;
    println!(
        "seed {seed}: {} events, {} doubles, {} connections; {bursts} bursts, {} cuts, {restarts} broker restarts, \
         {kills} kills and {stops} stops of the publisher",
        walk.appended,
        checker.doubles,
        walk.proxy.connections(),
        sent + answered + cuts,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_without_a_broker_is_told_in_order_when_it_comes() {
    // Two events a minute in the long run; the log, the page size and the window are the same in the short one.
    let events = if std::env::var_os("PORTCULLIS_STEPS").is_some() { 20_160 } else { 4_000 };
    let mut broker = Mosquitto::start();
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    broker.stop();
    let mut publisher = Publisher::at(broker.port);
    impatient(&mut publisher);
    publisher.start();
    publisher.until_state("down 127.0.0.1").await;
    let week_ms = 7 * 24 * 3600 * 1000;
    let began = Wall(Utc::now().timestamp_millis() - week_ms as i64);
    for first in (0..events).step_by(500) {
        let at = |n: u64| Wall(began.0 + (n * week_ms / events) as i64);
        let batch = (first..first + 500).map(|n| portcullis::event::Event {
            created_at: at(n),
            occurred_at: at(n),
            ..event(n)
        });
        append(&publisher.store, batch.collect(), vec![device_row(first, false)]).await;
    }
    broker.restart();
    let started = Instant::now();
    let mut checker = Checker::default();
    for seq in 1..=events {
        let message = told.next().await;
        assert_eq!(message.json()["seq"], seq, "a backlog comes in the order of the log, across devices too");
        checker.take(message);
    }
    println!("{events} events in {:?}", started.elapsed());
    settle(&publisher, &mut told, &mut checker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_falls_silent_is_found_within_one_and_a_half_keep_alives_and_costs_nothing() {
    let broker = Mosquitto::start();
    let proxy = Proxy::to(broker.port).await;
    let mut publisher = Publisher::at(proxy.port);
    impatient(&mut publisher);
    publisher.settings.pace.keep_alive = Duration::from_secs(5);
    publisher.settings.pace.ack = Duration::from_secs(60);
    publisher.settings.pace.connect = Duration::from_secs(1);
    publisher.start();
    publisher.until_state("up connected").await;
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    proxy.fall_silent(true);
    let silent = Instant::now();
    append(&publisher.store, (0..500).map(event).collect(), Vec::new()).await;
    publisher.until_state("no answer to a ping").await;
    assert!(silent.elapsed() < Duration::from_millis(7_500), "{:?}", silent.elapsed());
    proxy.heal();
    settle(&publisher, &mut told, &mut Checker::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_killed_or_replaced_is_told_everything_that_it_does_not_know() {
    let mut broker = Mosquitto::start();
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    let mut publisher = Publisher::at(broker.port);
    impatient(&mut publisher);
    publisher.start();
    let mut checker = Checker::default();
    for round in 0..3u64 {
        append(&publisher.store, (round * 300..round * 300 + 200).map(event).collect(), vec![device_row(0, true)])
            .await;
        settle(&publisher, &mut told, &mut checker).await;
        broker.kill();
        append(&publisher.store, (round * 300 + 200..round * 300 + 300).map(event).collect(), Vec::new()).await;
        broker.forget();
        // It knows no session and no subscription: who listens must subscribe before the backlog comes.
        let held = publisher.settings.clone();
        publisher.kill().await;
        broker.restart();
        told.subscribed_again().await;
        publisher.settings = held;
        publisher.start();
        settle(&publisher, &mut told, &mut checker).await;
        let mut standing = Subscriber::new(broker.port, "portcullis/hub-1/#").await;
        standing.until(|m| m.topic.ends_with("/status") && m.text() == "online").await;
        Subscriber::new(broker.port, "portcullis/hub-1/device/#").await.next().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_with_one_name_are_told_of_each_other_and_both_logs_arrive_when_one_stops() {
    let broker = Mosquitto::start();
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    let (mut first, mut second) = (Publisher::at(broker.port), Publisher::at(broker.port));
    for publisher in [&mut first, &mut second] {
        impatient(publisher);
    }
    first.start();
    first.until_state("up connected").await;
    second.start();
    first.until_state("second daemon").await;
    append(&first.store, (0..200).map(event).collect(), Vec::new()).await;
    append(&second.store, (200..400).map(event).collect(), Vec::new()).await;
    second.until_state("second daemon").await;
    let mut checkers = [Checker::default(), Checker::default()];
    let logs = [first.store.log_id(), second.store.log_id()].map(|id| id.to_string());
    let deadline = Instant::now() + PATIENCE;
    while checkers.iter().any(|c| c.count() < 200) && Instant::now() < deadline {
        let message = told.next().await;
        let log = usize::from(message.json()["log_id"] == logs[1]);
        checkers[log].take(message);
    }
    second.stop().await;
    first.until_state("up connected").await;
    for (publisher, checker) in [&first, &second].into_iter().zip(&checkers) {
        let log = publisher.store.events_after(0, 1_000).unwrap();
        assert_eq!(checker.compare(&log, publisher.store.log_id()), Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_brokers_rules_forbid_waits_and_goes_out_when_they_are_mended() {
    let rules = |events: &str| format!("topic readwrite #\nuser hub-1\ntopic write portcullis/hub-1/status\n{events}");
    let mut broker =
        Mosquitto::prepared("allow_anonymous true\npassword_file {dir}/users\nacl_file {dir}/rules\n", |dir| {
            std::fs::write(dir.join("rules"), rules("topic deny portcullis/hub-1/event/#\n")).unwrap();
            std::fs::write(dir.join("users"), "hub-1:pass\n").unwrap();
            let made = std::process::Command::new("mosquitto_passwd").arg("-U").arg(dir.join("users")).status();
            assert!(made.expect("mosquitto_passwd is part of mosquitto").success());
        });
    let password = broker.dir().join("password");
    std::fs::write(&password, "pass").unwrap();
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    let mut publisher = Publisher::new(&format!("mqtt://127.0.0.1:{}", broker.port), |c| {
        c.mqtt.username = Some("hub-1".into());
        c.mqtt.password_file = Some(password);
    });
    impatient(&mut publisher);
    publisher.start();
    append(&publisher.store, (0..20).map(event).collect(), Vec::new()).await;
    publisher.until_state("event 1 refused").await;
    assert!(publisher.state().contains("not authorized"), "{}", publisher.state());
    std::fs::write(broker.dir().join("rules"), rules("topic write portcullis/hub-1/#\n")).unwrap();
    tokio::task::block_in_place(|| broker.restart());
    settle(&publisher, &mut told, &mut Checker::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_is_named_and_a_new_one_is_taken_without_a_restart() {
    let pki = pki::Pki::new();
    let tls = "cafile {dir}/ca.pem\ncertfile {dir}/server.pem\nkeyfile {dir}/server.key\nrequire_certificate true\n\
               use_identity_as_username true\nallow_anonymous false\n";
    let mut broker = Mosquitto::prepared(tls, |dir| pki.write(dir));
    let dir = broker.dir().to_owned();
    let put = |from: &str, to: &str| std::fs::copy(dir.join(from), dir.join(to)).map(drop).unwrap();
    let mut publisher = Publisher::new(&format!("mqtts://localhost:{}", broker.port), |c| {
        c.mqtt.ca_file = Some(dir.join("ca.pem"));
        c.mqtt.client_cert_file = Some(dir.join("used.pem"));
        c.mqtt.client_key_file = Some(dir.join("client.key"));
    });
    impatient(&mut publisher);
    put("client.pem", "used.pem");
    put("server.pem", "kept.pem");
    publisher.start();
    publisher.until_state("up connected").await;

    // The broker's own has expired.
    put("expired-server.pem", "server.pem");
    tokio::task::block_in_place(|| broker.restart());
    append(&publisher.store, (0..50).map(event).collect(), Vec::new()).await;
    publisher.until_state("xpired").await;
    put("kept.pem", "server.pem");
    tokio::task::block_in_place(|| broker.restart());
    publisher.until_state("up connected").await;

    // Ours has: it is seen when the connection is made anew, and told by the broker.
    put("expired-client.pem", "used.pem");
    tokio::task::block_in_place(|| broker.restart());
    publisher.until_state("xpired").await;
    put("client.pem", "used.pem");
    publisher.until_state("up connected").await;
    let acknowledged = async {
        while publisher.health.mqtt.acknowledged.load(Ordering::Relaxed) < 50 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.expect("all are acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_brokers_receive_maximum_and_packet_limit_are_kept_to() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_inflight_messages 3\nmax_packet_size 3000\n");
    let mut told = Subscriber::new(broker.port, EVENTS).await;
    let mut publisher = Publisher::at(broker.port);
    impatient(&mut publisher);
    append(&publisher.store, (0..500).map(event).collect(), Vec::new()).await;
    publisher.start();
    settle(&publisher, &mut told, &mut Checker::default()).await;
    assert_eq!(publisher.health.mqtt.reconnects.load(Ordering::Relaxed), 0, "the broker found nothing to complain of");
}
