//! `portcullis decode`: decode adverts given as JSON lines on standard input.

use super::{Context, Failure};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
