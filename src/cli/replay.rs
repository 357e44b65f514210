//! `portcullis replay`: play a capture in virtual time and print the events that come of it.

use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use super::{Context, Failure};
use crate::source::replay::replay;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The capture; `-` is standard input
    capture: PathBuf,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let capture: Box<dyn std::io::Read> = match args.capture.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(
            std::fs::File::open(&args.capture)
                .map_err(|e| Failure::failed(format!("{}: {e}", args.capture.display())))?,
        ),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut broken = Ok(());
    replay(config.settings(None), Vec::new(), BufReader::with_capacity(1 << 16, capture), |event| {
        if broken.is_ok() {
            broken = writeln!(out, "{}", event.render(config.events.dialect));
        }
    })?;
    broken?;
    out.flush()?;
    Ok(())
}
