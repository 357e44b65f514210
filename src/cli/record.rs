//! `portcullis record`: record what radios and bridges say into a capture.

use super::{Context, Failure};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
