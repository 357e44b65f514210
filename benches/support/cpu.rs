//! The clock of the benches.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The processor time of this thread: what else the machine does meanwhile is no cost of ours.
pub fn time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}
