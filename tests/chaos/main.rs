//! The store on a disk that loses power, fills up and fails. `scripts/chaos` makes it long; without settings it is short.

#[path = "../support/daemon.rs"]
mod daemon;
mod damage;
mod disk;
mod faults;
#[path = "../support/logs.rs"]
mod logs;
#[path = "../support/mosquitto.rs"]
mod mosquitto;
mod power;
#[path = "../support/scratch.rs"]
mod scratch;
mod shim;
#[path = "../support/subscriber.rs"]
mod subscriber;
mod work;

pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}
