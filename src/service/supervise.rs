//! Keeps a part running: one that panics or ends is named, reported in `health`, and started again with backoff.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::health::Health;

/// First pause before a part is started again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// A part that always fails costs a log line a minute.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A part that ran this long was well: its next pause is short again.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// Tells a part to end by itself; a part that has nothing to finish may ignore it and is dropped.
pub type Stop = watch::Receiver<bool>;

/// Comes back when the part is to end.
pub async fn stopped(mut stop: Stop) {
    // The sender gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A running part.
pub struct Part {
    name: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Part {
    /// Starts a part. `make` is called for every start and is handed what tells it to end.
    pub fn start<F, R, E>(name: impl Into<String>, health: Arc<Health>, make: F) -> Part
    where
        F: FnMut(Stop) -> R + Send + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (stop, told) = watch::channel(false);
        let name = name.into();
        let task = tokio::spawn(keep_running(name.clone(), health, told, make));
        Part { name, stop, task }
    }

    /// Asks it to end, gives it `grace`, then drops it.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::debug!(part = self.name, "part.dropped: it did not end by itself in time");
        }
    }
}

async fn keep_running<F, R, E>(name: String, health: Arc<Health>, stop: Stop, mut make: F)
where
    F: FnMut(Stop) -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let mut pause = PAUSE_MIN;
    loop {
        let started = tokio::time::Instant::now();
        let mut run = Dropped(tokio::spawn(make(stop.clone())));
        let ended = (&mut run.0).await;
        if *stop.borrow() {
            return;
        }
        if started.elapsed() >= WELL_AFTER {
            pause = PAUSE_MIN;
        }
        let why = match ended {
            Ok(Err(error)) => error.to_string(),
            ended => why(ended.map(|_| "it ended".to_owned())),
        };
        tracing::error!(part = name, why, again_in_s = pause.as_secs(), "part.failed");
        health.set(&name, false, format!("failed ({why}); started again in {} s", pause.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(stop.clone()) => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A task that does not outlive its supervisor.
struct Dropped<T>(JoinHandle<T>);

impl<T> Drop for Dropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a task ended, in words.
pub fn why(ended: Result<String, JoinError>) -> String {
    match ended {
        Ok(why) => why,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => {
                let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("it panicked: {}", text.unwrap_or_else(|| "no message".into()))
            }
            Err(error) => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_or_fails_is_named_and_started_again() {
        let health = Arc::new(Health::default());
        let starts = Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        let part = Part::start("zwave/main", health.clone(), move |stop| {
            let n = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match n {
                    0 => panic!("a bug"),
                    1 => Err("no such host"),
                    _ => {
                        stopped(stop).await;
                        Ok(())
                    }
                }
            }
        });
        tokio::time::sleep(PAUSE_MIN / 2).await;
        assert!(health.parts()["zwave/main"].detail.contains("it panicked: a bug"), "{:?}", health.parts());
        tokio::time::sleep(PAUSE_MIN).await;
        assert!(health.parts()["zwave/main"].detail.contains("no such host"), "{:?}", health.parts());
        tokio::time::sleep(PAUSE_MAX).await;
        assert_eq!(starts.load(Ordering::SeqCst), 3);
        part.stop(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_will_not_end_is_dropped_in_time() {
        let part =
            Part::start("stubborn", Arc::new(Health::default()), |_stop| std::future::pending::<Result<(), &str>>());
        tokio::task::yield_now().await;
        let asked = tokio::time::Instant::now();
        part.stop(Duration::from_secs(1)).await;
        assert!(asked.elapsed() <= Duration::from_secs(2));
    }
}
