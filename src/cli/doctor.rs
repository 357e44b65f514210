//! `portcullis doctor`: check everything the hub needs and say how to mend what is missing.

use super::{Context, Failure};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
