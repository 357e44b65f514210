//! Plays a capture in virtual time on the real path from decoder to hub. Same capture, same events, byte for byte.

use std::io::BufRead;
use std::time::Duration;

use super::ble::intake::{Intake, Known};
use super::capture::{Header, Record, What};
use crate::event::Event;
use crate::hub::{Hub, Input, Output, Settings};
use crate::signal::{Address, Link, LinkNews};
use crate::time::{Mono, Now, Wall};

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("line {line}: {what}")]
    Line { line: usize, what: String },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Plays `capture`; `tell` gets each event as it comes.
pub fn replay(
    settings: Settings,
    known: Vec<(Address, Known)>,
    capture: impl BufRead,
    mut tell: impl FnMut(&Event),
) -> Result<(), ReplayError> {
    let mut lines = capture.lines().enumerate();
    let header: Header = match lines.next() {
        Some((_, line)) => serde_json::from_str(&line?)
            .map_err(|e| ReplayError::Line { line: 1, what: format!("no capture header: {e}") })?,
        None => return Err(ReplayError::Line { line: 1, what: "an empty capture".into() }),
    };
    let start = Wall::from(header.start);
    let mut steps = 0u128;
    let mut now = |at: Mono| {
        steps += 1;
        Now {
            mono: at,
            wall: Wall(start.0 + at.0 as i64),
            synchronized: true,
            entropy: steps.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        }
    };
    let mut hub = Hub::new(settings, now(Mono(0)));
    let mut intake = Intake::new(known);
    let mut out = Output::default();
    let mut play = |hub: &mut Hub, at: Mono, input: Input| {
        // Timers fire at their own moment, before whatever comes after them.
        while let Some(due) = hub.wake_at().filter(|due| *due < at) {
            hub.step(now(due), Input::Wake, &mut out);
        }
        hub.step(now(at), input, &mut out);
        out.events.drain(..).for_each(|e| tell(&e));
        out = Output::default();
    };
    for (n, line) in lines {
        let bad = |what: String| ReplayError::Line { line: n + 1, what };
        let record: Record = serde_json::from_str(&line?).map_err(|e| bad(e.to_string()))?;
        let at = Mono(Duration::from_secs_f64(record.at.clamp(0.0, 1e9)).as_millis() as u64);
        match record.what {
            What::Ble(ble) => {
                let advert = ble.advert().map_err(bad)?;
                if let Some(report) = intake.advert(at, &ble.adapter, &advert) {
                    play(&mut hub, at, Input::Report(report));
                }
            }
            What::Adapter(a) => {
                let news = LinkNews::Adapter { powered: a.powered, scanning: a.scanning.unwrap_or(a.powered) };
                play(&mut hub, at, Input::Link(Link::Adapter(a.adapter), news));
            }
            What::End(_) => play(&mut hub, at, Input::Wake),
            What::Gatt(_) | What::Restart(_) | What::Wall(_) => {}
        }
    }
    Ok(())
}
