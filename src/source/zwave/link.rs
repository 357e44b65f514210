//! The WebSocket to one zwave-js-server: kept up for ever, its messages handed to the [`Bridge`] and what they mean to the hub.
//!
//! What it promises: a lost link is tried again with jittered backoff until it is back; a silent one is found out; why it is down is told
//! once per reason; a message of any size or shape costs bounded memory and is counted where it cannot be read. Whatever happened while
//! it was down comes with the dump that follows each connection, and with the poll of every lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::socket::{self, ConnectError, Socket};
use super::{Bridge, Rules};
use crate::config::ZwaveSection;
use crate::engine::Clock;
use crate::health::{Health, count};
use crate::hub::{Action, Input};
use crate::signal::{DownReason, LinkNews};
use crate::source::Inputs;
use crate::time::Mono;

/// A server on the same box or in the same house answers at once; one that does not in this time is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// After a connection, the server's greeting and its dump are due: a big network on a slow Pi takes seconds.
const DUMP_WITHIN: Duration = Duration::from_secs(60);
/// Our pings: often enough to notice a dead server within [`SILENT_AFTER`], at no cost worth naming.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Two pings went unanswered, and some slack.
const SILENT_AFTER: Duration = Duration::from_secs(40);
/// First pause before the next attempt; a restarted server is back after 4 to 10 s, so the early attempts come quickly.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// A link that was up and is lost is told as lost after this long: a hiccup is mended by then, a server that was killed is not (it takes
/// 4 s at the least to be back).
const GRACE: Duration = Duration::from_secs(3);
/// A bridge that was never up since the hub started is told as lost after this long: both may just have booted, and the bridge is the
/// slower of the two.
const START_GRACE: Duration = Duration::from_secs(60);
/// A stick that does not answer is reset by its driver, which takes it about 6 s.
const STICK_GRACE: Duration = Duration::from_secs(10);
/// At the most this long after the server is back, it is noticed.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Why a connection ended, or never came to be.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Connect(ConnectError),
    #[error("no answer within {} s", CONNECT_WITHIN.as_secs())]
    Timeout,
    #[error("the server's driver is not ready: the Z-Wave stick is missing or still starting")]
    DriverDown,
    #[error("the server and this hub share no schema; update the older of the two")]
    Incompatible,
    #[error("the server closed the connection")]
    Closed,
    #[error("nothing was heard of the server for {} s", SILENT_AFTER.as_secs())]
    Silent,
    #[error("the server sent no state of its network within {} s", DUMP_WITHIN.as_secs())]
    NoDump,
    #[error("the connection broke: {0}")]
    Broke(tungstenite::Error),
    #[error("the hub is stopping")]
    Stopping,
}

impl Ended {
    fn reason(&self) -> DownReason {
        match self {
            Ended::Connect(ConnectError::Refused(_)) => DownReason::Refused,
            Ended::DriverDown => DownReason::DriverDown,
            Ended::Incompatible => DownReason::Incompatible,
            _ => DownReason::Unreachable,
        }
    }
}

/// What a link is made from.
pub struct Network {
    pub server: ZwaveSection,
    pub rules: Rules,
    pub inputs: Inputs,
    /// What the hub asks of any source; other networks' business is passed over.
    pub actions: mpsc::UnboundedReceiver<Action>,
    pub clock: Clock,
    pub health: Arc<Health>,
    /// Hears all that the socket says, as it came, for `record`.
    pub tap: Option<Tap>,
}

/// A listener on a link, with the name of its network.
pub type Tap = Arc<dyn Fn(Mono, &Arc<str>, Tapped<'_>) + Send + Sync>;

/// What a tap hears.
#[derive(Debug)]
pub enum Tapped<'a> {
    Message(&'a Value),
    /// The connection is lost, or could not be made.
    Lost,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the hub takes no more inputs")]
    Stopping,
}

/// Keeps the link up until the hub stops.
pub async fn run(network: Network) -> Result<(), LinkError> {
    let name: Arc<str> = network.server.name.as_str().into();
    let bridge = Bridge::new(name.clone()).with_rules(network.rules.clone());
    let part = format!("zwave/{name}");
    let mut link =
        LinkState { name, part, network, bridge, was_up: false, down: None, since: Instant::now(), pause: PAUSE_MIN };
    loop {
        let ended = link.connection().await;
        if matches!(ended, Ended::Stopping) {
            return Err(LinkError::Stopping);
        }
        link.lost(&ended).await?;
        link.wait().await?;
    }
}

struct LinkState {
    /// Of the network.
    name: Arc<str>,
    network: Network,
    bridge: Bridge,
    /// The name in `health`.
    part: String,
    was_up: bool,
    /// Why it is down, and whether the hub has been told that.
    down: Option<(DownReason, bool)>,
    /// Since when it is down.
    since: Instant,
    pause: Duration,
}

/// Comes back when `at` has come; never without one.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl LinkState {
    /// One connection, from the first packet to its end.
    async fn connection(&mut self) -> Ended {
        let server = self.network.server.clone();
        let mut connecting = std::pin::pin!(connect(&server));
        let mut socket = loop {
            tokio::select! {
                connected = &mut connecting => match connected {
                    Ok(socket) => break socket,
                    Err(ended) => return ended,
                },
                () = reached(self.tell_at()) => if self.tell().await.is_err() { return Ended::Stopping },
            }
        };
        let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let opened = Instant::now();
        let mut heard = opened;
        let mut dumped = false;
        loop {
            let tell_at = self.tell_at();
            let now = self.network.clock.mono();
            let due = self.bridge.wake_at(now).map(|at| Instant::now() + self.network.clock.until(at));
            let received = tokio::select! {
                received = socket.next() => received,
                action = self.network.actions.recv() => {
                    let Some(action) = action else { return Ended::Stopping };
                    let inputs = self.bridge.act(self.network.clock.mono(), &action);
                    if let Err(ended) = self.after(inputs, &mut socket).await {
                        return ended;
                    }
                    continue;
                }
                () = reached(due) => {
                    let inputs = self.bridge.due(self.network.clock.mono());
                    if let Err(ended) = self.after(inputs, &mut socket).await {
                        return ended;
                    }
                    continue;
                }
                () = reached(tell_at) => {
                    if self.tell().await.is_err() {
                        return Ended::Stopping;
                    }
                    continue;
                }
                _ = pings.tick() => {
                    if heard.elapsed() > SILENT_AFTER {
                        return Ended::Silent;
                    }
                    if !dumped && opened.elapsed() > DUMP_WITHIN {
                        return Ended::NoDump;
                    }
                    if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                        return Ended::Broke(error);
                    }
                    continue;
                }
            };
            heard = Instant::now();
            match received {
                Some(Ok(Message::Text(text))) => match self.message(text.as_bytes()).await {
                    Ok(up) => dumped |= up,
                    Err(ended) => return ended,
                },
                Some(Ok(Message::Close(frame))) => {
                    let again = frame.is_some_and(|f| f.code == CloseCode::Again);
                    return if again { Ended::DriverDown } else { Ended::Closed };
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ended::Broke(error),
                None => return Ended::Closed,
            }
            if let Err(ended) = self.after(Vec::new(), &mut socket).await {
                return ended;
            }
        }
    }

    /// Hands over what the bridge has to say, and sends what it has to ask.
    async fn after(&mut self, inputs: Vec<Input>, socket: &mut Socket) -> Result<(), Ended> {
        for input in inputs {
            self.input(input).await?;
        }
        for command in self.bridge.commands() {
            send(socket, &command).await.map_err(Ended::Broke)?;
        }
        Ok(())
    }

    /// Takes one message; true where it says that the bridge is up.
    async fn message(&mut self, text: &[u8]) -> Result<bool, Ended> {
        let health = self.network.health.clone();
        count(&health.zwave.messages);
        let Ok(message) = serde_json::from_slice::<Value>(text) else {
            count(&health.zwave.malformed);
            // Never the text itself: it may carry a code.
            tracing::warn!(network = %self.name, bytes = text.len(), "zwave.not_json");
            return Ok(false);
        };
        self.tap(Tapped::Message(&message));
        let before = self.bridge.malformed();
        let inputs = self.bridge.message(self.network.clock.mono(), &message);
        let malformed = self.bridge.malformed() - before;
        if malformed > 0 {
            health.zwave.malformed.fetch_add(malformed, Ordering::Relaxed);
            tracing::debug!(network = %self.name, malformed, bytes = text.len(), "zwave.malformed");
        }
        let mut up = false;
        let mut ended = None;
        for input in inputs {
            match &input {
                Input::Link(_, LinkNews::BridgeUp { home }) => {
                    up = true;
                    self.was_up = true;
                    self.down = None;
                    self.pause = PAUSE_MIN;
                    tracing::info!(network = %self.name, home_id = format!("{home:08x}"), "zwave.up");
                    health.set(&self.part, true, format!("connected, home id {home:08x}"));
                }
                // Told by the end of the connection.
                Input::Link(_, LinkNews::BridgeDown(DownReason::Incompatible)) => {
                    ended = Some(Ended::Incompatible);
                    continue;
                }
                Input::Link(_, LinkNews::BridgeDown(reason)) => {
                    self.is_down(*reason, "the Z-Wave stick does not answer");
                    continue;
                }
                _ => {}
            }
            self.input(input).await?;
        }
        ended.map_or(Ok(up), Err)
    }

    async fn input(&self, input: Input) -> Result<(), Ended> {
        self.network.inputs.send(input).await.map_err(|_| Ended::Stopping)
    }

    fn tap(&self, what: Tapped<'_>) {
        if let Some(tap) = &self.network.tap {
            tap(self.network.clock.mono(), &self.name, what);
        }
    }

    async fn lost(&mut self, ended: &Ended) -> Result<(), LinkError> {
        self.tap(Tapped::Lost);
        // That it is down is told when the grace is over; that nothing was done is told now.
        for input in self.bridge.down(ended.reason()) {
            if matches!(input, Input::Report(_)) {
                self.input(input).await.map_err(|_| LinkError::Stopping)?;
            }
        }
        self.is_down(ended.reason(), &ended.to_string());
        Ok(())
    }

    /// It is down, for this reason from now on. The hub is told once the grace is over.
    fn is_down(&mut self, reason: DownReason, why: &str) {
        self.network.health.set(&self.part, false, why);
        if self.down.is_none() && self.was_up {
            self.since = Instant::now();
        }
        if self.down.is_none_or(|(before, _)| before != reason) {
            tracing::warn!(network = %self.name, ?reason, why, "zwave.down");
            self.down = Some((reason, false));
        }
    }

    fn tell_at(&self) -> Option<Instant> {
        let (reason, told) = self.down?;
        let grace = match reason {
            // No waiting will mend these.
            DownReason::Refused | DownReason::Incompatible => Duration::ZERO,
            _ if !self.was_up => START_GRACE,
            DownReason::Unreachable => GRACE,
            DownReason::DriverDown => STICK_GRACE,
        };
        (!told).then(|| self.since + grace)
    }

    async fn tell(&mut self) -> Result<(), Ended> {
        let Some((reason, told)) = &mut self.down else { return Ok(()) };
        *told = true;
        let news = Input::Link(self.bridge.link(), LinkNews::BridgeDown(*reason));
        self.input(news).await
    }

    /// The pause before the next attempt.
    async fn wait(&mut self) -> Result<(), LinkError> {
        let again = Instant::now() + jittered(self.pause, uuid::Uuid::new_v4().as_u64_pair().0);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        loop {
            let tell_at = self.tell_at();
            tokio::select! {
                () = tokio::time::sleep_until(again) => break,
                () = reached(tell_at) => self.tell().await.map_err(|_| LinkError::Stopping)?,
                // How locks are is asked anew by the dump that follows.
                action = self.network.actions.recv() => {
                    let Some(action) = action else { return Err(LinkError::Stopping) };
                    for input in self.bridge.act(self.network.clock.mono(), &action) {
                        self.input(input).await.map_err(|_| LinkError::Stopping)?;
                    }
                }
            }
        }
        count(&self.network.health.zwave.reconnects);
        Ok(())
    }
}

async fn connect(server: &ZwaveSection) -> Result<Socket, Ended> {
    match tokio::time::timeout(CONNECT_WITHIN, socket::connect(server)).await {
        Err(_) => Err(Ended::Timeout),
        Ok(connected) => connected.map_err(Ended::Connect),
    }
}

async fn send(socket: &mut Socket, command: &Value) -> Result<(), tungstenite::Error> {
    socket.send(Message::Text(command.to_string().into())).await
}

/// Between half of the pause and all of it, so that hubs that lost one server do not come back as one.
fn jittered(pause: Duration, dice: u64) -> Duration {
    pause / 2 + (pause / 2).mul_f64(dice as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_over_half_of_the_pause() {
        let pause = Duration::from_secs(8);
        assert_eq!(jittered(pause, 0), pause / 2);
        assert_eq!(jittered(pause, u64::MAX), pause);
    }
}
