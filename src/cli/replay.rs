//! `portcullis replay`: play a capture in virtual time and print the events that come of it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use super::{Context, Failure};
use crate::source::replay::replay;

/// Read at once from the capture: a few hundred lines.
const BUFFER: usize = 1 << 16;

/// Play a capture in virtual time and print each event that comes of it as one JSON line.
///
/// The path from decoder to hub is the real one; a day takes seconds, and the same capture gives the same bytes. No state
/// directory is touched and no radio or broker is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis replay --config config.toml capture.jsonl
  portcullis record | portcullis replay --config config.toml -")]
pub struct Args {
    /// The capture, as `portcullis record` writes it; `-` is standard input
    capture: PathBuf,
}

pub fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let name = args.capture.display().to_string();
    let capture: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(BufReader::with_capacity(BUFFER, std::io::stdin())),
        _ => {
            let file = File::open(&args.capture).map_err(|e| Failure::failed(format!("{name}: {e}")))?;
            Box::new(BufReader::with_capacity(BUFFER, file))
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let played = replay(&config, capture, |event| {
        if written.is_ok() {
            written = writeln!(out, "{}", event.render(config.events.dialect));
        }
    });
    match written.and_then(|()| out.flush()) {
        // Whoever reads has had enough (`head`).
        Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(()),
        written => written?,
    }
    played.map_err(|e| Failure::failed(format!("{name}: {e}")))
}
