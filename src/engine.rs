//! The one loop: inputs go through the hub, what they came to goes to the store, and only then to anybody.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::health::Health;
use crate::hub::{Action, Command, CommandError, CommandId, Hub, Input, Output, Reply};
use crate::store::{Batch, Store};
use crate::time::{Mono, Now, Wall};
use crate::trust::Trust;

/// Inputs that may wait for the hub; a source that finds it full waits or drops.
pub const INPUTS: usize = 4096;

/// Between two writings of the soft state: a card is worn by commits, and a minute of learning is cheap to lose.
const SOFT_EVERY: Duration = Duration::from_secs(60);

/// The clocks and the dice of a running daemon.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// Virtual seconds to a second: 1, but in a demo.
    speed: f64,
    /// The wall clock at `start`, where the time that passes is not the world's.
    virtual_start: Option<Wall>,
    /// Whether anybody vouches for the wall clock; `trust::watch` keeps it informed.
    pub trust: Arc<Trust>,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { start: Instant::now(), speed: 1.0, virtual_start: None, trust: Arc::default() }
    }

    /// A clock for simulations: from now on, time passes `speed` times as fast.
    pub fn at_speed(speed: f64) -> Clock {
        Clock { start: Instant::now(), speed, virtual_start: Some(Wall::from(Utc::now())), trust: Arc::default() }
    }

    /// The same, with a wall clock that is so far ahead.
    pub fn ahead(self, by: Duration) -> Clock {
        let start = self.virtual_start.unwrap_or_else(|| Wall::from(Utc::now()));
        Clock { virtual_start: Some(Wall(start.0 + by.as_millis() as i64)), ..self }
    }

    pub fn mono(&self) -> Mono {
        Mono((self.start.elapsed().as_secs_f64() * self.speed * 1000.0) as u64)
    }

    pub fn now(&self) -> Now {
        let mono = self.mono();
        let wall = self.virtual_start.map_or_else(|| Wall::from(Utc::now()), |start| Wall(start.0 + mono.0 as i64));
        let synchronized = self.virtual_start.is_some() || self.trust.synchronized(mono, wall);
        Now { mono, wall, synchronized, entropy: Uuid::new_v4().as_u128() }
    }

    /// How long the world has to wait until it is `at` on this clock.
    pub fn until(&self, at: Mono) -> Duration {
        at.since(self.mono()).div_f64(self.speed)
    }
}

type Waiting = Arc<Mutex<HashMap<CommandId, oneshot::Sender<Reply>>>>;

/// How the rest of the daemon reaches the hub.
#[derive(Clone)]
pub struct Hand {
    inputs: mpsc::Sender<Input>,
    waiting: Waiting,
}

impl Hand {
    pub fn inputs(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }

    /// Asks the hub; answers once the answer is on disk.
    pub async fn command(&self, command: Command) -> Reply {
        let id = CommandId(Uuid::new_v4().as_u64_pair().0);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(|e| e.into_inner()).insert(id, answer);
        let stopped = || CommandError::Refused("the hub is stopping".into());
        self.inputs.send(Input::Command(id, command)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

pub struct Engine {
    hub: Hub,
    clock: Clock,
    store: Store,
    health: Arc<Health>,
    inputs: mpsc::Receiver<Input>,
    actions: mpsc::UnboundedSender<Action>,
    waiting: Waiting,
}

impl Engine {
    /// `actions` gets what the hub asks of the sources, after it is on disk.
    pub fn new(
        hub: Hub,
        clock: Clock,
        store: Store,
        health: Arc<Health>,
        actions: mpsc::UnboundedSender<Action>,
    ) -> (Engine, Hand) {
        let (sender, inputs) = mpsc::channel(INPUTS);
        let waiting = Waiting::default();
        let hand = Hand { inputs: sender, waiting: waiting.clone() };
        (Engine { hub, clock, store, health, inputs, actions, waiting }, hand)
    }

    /// Runs until `stop` comes, or every [`Hand`] is gone. `alive` is called after every turn: it feeds the watchdog.
    /// Returns with all that was handed over judged, the soft state written, and everything on disk.
    pub async fn run(mut self, stop: impl Future<Output = ()>, mut alive: impl FnMut()) {
        tokio::pin!(stop);
        let mut soft = tokio::time::interval_at(tokio::time::Instant::now() + SOFT_EVERY, SOFT_EVERY);
        loop {
            let pause = self.hub.wake_at().map(|at| self.clock.until(at));
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.turn(input),
                    None => break,
                },
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => self.turn(Input::Wake),
                _ = soft.tick() => self.keep_soft(),
                () = &mut stop => break,
            }
            alive();
        }
        self.inputs.close();
        while let Ok(input) = self.inputs.try_recv() {
            self.turn(input);
        }
        self.keep_soft();
        self.on_disk().await;
    }

    fn turn(&mut self, input: Input) {
        let mut out = Output::default();
        self.hub.step(self.clock.now(), input, &mut out);
        self.health.hub.strangers_refused.store(self.hub.strangers_refused(), Ordering::Relaxed);
        self.record(out);
    }

    fn keep_soft(&mut self) {
        let rows = self.hub.soft_rows();
        self.record(Output { rows, ..Output::default() });
    }

    /// Comes back once everything handed to the store is on disk.
    async fn on_disk(&self) {
        let (done, wait) = oneshot::channel();
        let then = Box::new(move || {
            let _ = done.send(());
        });
        if self.store.append(Batch { events: Vec::new(), rows: Vec::new(), then: Some(then) }).is_ok() {
            let _ = wait.await;
        }
    }

    fn record(&mut self, out: Output) {
        if out.is_empty() {
            return;
        }
        let Output { events, rows, actions, replies } = out;
        events.iter().for_each(|event| self.health.hub.presence.told(event));
        let (sender, waiting) = (self.actions.clone(), self.waiting.clone());
        let then = move || {
            for action in actions {
                let _ = sender.send(action);
            }
            let mut waiting = waiting.lock().unwrap_or_else(|e| e.into_inner());
            for (id, reply) in replies {
                if let Some(answer) = waiting.remove(&id) {
                    let _ = answer.send(reply);
                }
            }
        };
        if let Err(error) = self.store.append(Batch { events, rows, then: Some(Box::new(then)) }) {
            tracing::error!(%error, "engine.append_failed");
        }
    }
}
