//! `portcullis demo`: run a simulated building, with an MQTT broker of its own unless you name one.

use super::{Context, Failure};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
