//! `portcullis decode`: decode adverts given as JSON lines on standard input.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use super::{Context, Failure};
use crate::source::ble::line::{self, Answer, MAX_LINE};

/// Decode adverts given as JSON lines on standard input
///
/// Each line is answered with one line: the family that knew the advert, whether it is believed, and what it says. Nothing
/// is remembered from line to line, and no daemon, adapter or configuration is needed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {}

const HELP: &str = r#"An advert, as in a capture (short and long UUIDs alike):
  echo '{"address":"54:48:E6:8F:80:A5","service_data":{"fcd2":"401f01"}}' | portcullis decode
  {"family":"bthome_v2","accepted":true,"signals":{"encrypted":false,"trigger_based":false,"lock_state":"unlocked"}}

An encrypted one, with its key (or give --config FILE, and the bindkey of the device with that address is taken from there):
  {"address":"54:48:E6:8F:80:A5","service_data":{"fcd2":"4123583422110053cbb4a8"},"bindkey":"231d39c1d7cc1ab1aee224cd096db932"}

Manufacturer data by company id, a value read over a connection, and a sequence of one device with times in seconds:
  {"manufacturer_data":{"0969":"e7ab46ac8f927c0f001104"},"service_data":{"fd3d":"64406405007500f812"}}
  {"gatt":{"2a19":"64"}}
  {"address":"54:48:E6:8F:80:A5","steps":[{"t":0,"service_data":{"fcd2":"400009"}},{"t":1,"service_data":{"fcd2":"400009"}}]}

A refused advert has "accepted":false and a "reject": no_key, wrong_key, plaintext_while_key_set, replay, malformed ...
A line that is no record is answered with {"error":"..."}."#;

pub fn run(_args: Args, context: &Context) -> Result<(), Failure> {
    let keys: HashMap<_, _> = match context.config_if_given()? {
        Some(config) => config.known().into_iter().collect(),
        None => HashMap::new(),
    };
    let mut input = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut text = Vec::new();
    loop {
        // Answers leave at once when nobody has asked more yet, and in bulk when somebody has.
        if input.buffer().is_empty() {
            output.flush()?;
        }
        let answer = match read_line(&mut input, &mut text)? {
            Line::End => break,
            Line::TooLong => Answer::Error { error: format!("no record: longer than {MAX_LINE} bytes") },
            Line::Whole => line::answer(&text, |address| keys.get(address).and_then(|known| known.bindkey.clone())),
        };
        serde_json::to_writer(&mut output, &answer).map_err(io::Error::from)?;
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(())
}

enum Line {
    Whole,
    /// Read to its end and thrown away.
    TooLong,
    End,
}

fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Line> {
    text.clear();
    let limit = MAX_LINE as u64 + 1;
    if input.take(limit).read_until(b'\n', text)? == 0 {
        return Ok(Line::End);
    }
    if text.last() == Some(&b'\n') {
        text.pop();
    } else if text.len() > MAX_LINE {
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_any_length_costs_bounded_memory_and_the_next_is_read() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let input = [&long[..], b"\n{}\nlast"].concat();
        let (mut input, mut text) = (BufReader::new(&input[..]), Vec::new());
        assert!(matches!(read_line(&mut input, &mut text), Ok(Line::TooLong)));
        assert!(text.capacity() <= 2 * MAX_LINE + 2);
        assert!(matches!(read_line(&mut input, &mut text), Ok(Line::Whole)));
        assert_eq!(text, b"{}");
        assert!(matches!(read_line(&mut input, &mut text), Ok(Line::Whole)));
        assert_eq!(text, b"last");
        assert!(matches!(read_line(&mut input, &mut text), Ok(Line::End)));
    }
}
