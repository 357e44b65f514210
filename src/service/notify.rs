//! What systemd is told: ready, reloading, stopping, and that the hub lives.
//!
//! The watchdog is fed only by turns of the hub's loop: an idle loop is asked to turn, and one that does not is let starve.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc;

use crate::hub::Input;

pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// systemd wants the monotonic time with it, to tell this reload from an older one.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "service.notify_failed");
    }
}

/// Counts the turns of the hub's loop.
#[derive(Clone, Debug, Default)]
pub struct Heart(Arc<AtomicU64>);

impl Heart {
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Feeds systemd's watchdog where the unit has one, for as long as the heart beats.
pub async fn watchdog(heart: Heart, inputs: mpsc::Sender<Input>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    feed(heart, inputs, limit, || tell(&[NotifyState::Watchdog])).await;
}

async fn feed(heart: Heart, inputs: mpsc::Sender<Input>, limit: Duration, feed: impl Fn()) {
    // Four chances in a watchdog's time: one late turn is no hang.
    let mut ticks = tokio::time::interval(limit / 4);
    let mut seen = heart.beats();
    let mut hungry = false;
    loop {
        ticks.tick().await;
        let beats = heart.beats();
        if beats != seen {
            seen = beats;
            hungry = false;
            feed();
        } else if !hungry {
            hungry = true;
        } else {
            tracing::error!("service.hub_stuck: the hub's loop has not turned; systemd will restart it");
        }
        // A full queue needs no more: if the loop lives, it turns.
        let _ = inputs.try_send(Input::Wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn watched() -> (Heart, mpsc::Receiver<Input>, Arc<AtomicU64>) {
        let (heart, fed) = (Heart::default(), Arc::new(AtomicU64::new(0)));
        let (inputs, queue) = mpsc::channel(4);
        let (beating, meals) = (heart.clone(), fed.clone());
        tokio::spawn(feed(beating, inputs, LIMIT, move || {
            meals.fetch_add(1, Ordering::Relaxed);
        }));
        (heart, queue, fed)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hub_that_turns_when_asked_is_fed() {
        let (heart, mut queue, fed) = watched();
        tokio::spawn(async move {
            while queue.recv().await.is_some() {
                heart.beat();
            }
        });
        tokio::time::sleep(LIMIT * 10).await;
        assert!(fed.load(Ordering::Relaxed) >= 10, "fed {} times in ten limits", fed.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_hub_starves_the_watchdog() {
        let (heart, _queue, fed) = watched();
        heart.beat();
        tokio::time::sleep(LIMIT * 10).await;
        assert!(fed.load(Ordering::Relaxed) <= 1, "a loop that never turned was fed");
    }
}
