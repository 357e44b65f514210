//! Questions with a suggestion each: on a terminal, from a pipe, or (with `--yes`) taken as suggested.

use std::io::{BufRead, IsTerminal, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::cli::Failure;
use crate::signal::Secret;

pub struct Asker {
    /// Take what is suggested.
    yes: bool,
    /// Say nothing: the answer is one JSON object.
    silent: bool,
}

impl Asker {
    pub fn new(yes: bool, silent: bool) -> Asker {
        Asker { yes, silent }
    }

    /// Whether nobody is there to be asked.
    pub fn takes_all(&self) -> bool {
        self.yes
    }

    pub fn say(&self, text: &str) {
        if !self.silent {
            // Who has gone away need not hear it; what is asked next will tell.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// A line of text; an empty one is the suggestion. Asked again until `check` is content.
    pub fn line(
        &mut self,
        question: &str,
        suggested: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<String, Failure> {
        if self.yes {
            return Ok(suggested.to_owned());
        }
        let shown = if suggested.is_empty() { String::new() } else { format!(" [{suggested}]") };
        loop {
            let given = read(&format!("{question}{shown}: "))?;
            let answer = if given.is_empty() { suggested } else { &given };
            match check(answer) {
                Ok(()) => return Ok(answer.to_owned()),
                Err(why) => self.say(&format!("  {why}")),
            }
        }
    }

    pub fn agrees(&mut self, question: &str, suggested: bool) -> Result<bool, Failure> {
        if self.yes {
            return Ok(suggested);
        }
        let shown = if suggested { "[Y/n]" } else { "[y/N]" };
        loop {
            match read(&format!("{question} {shown} "))?.to_lowercase().as_str() {
                "" => return Ok(suggested),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => self.say("  y or n"),
            }
        }
    }

    /// A line that no terminal shows.
    pub fn secret(&mut self, question: &str) -> Result<Secret, Failure> {
        let hidden = Hidden::start();
        let given = read(&format!("{question}: "));
        if hidden.is_some() {
            self.say("");
        }
        Ok(Secret::new(given?))
    }
}

fn read(prompt: &str) -> Result<String, Failure> {
    let mut out = std::io::stdout();
    write!(out, "{prompt}")?;
    out.flush()?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(Failure::failed("no answer, so nothing was written; --yes takes what is suggested"));
    }
    // What came from a pipe was not typed, so the line is not ended yet.
    if !std::io::stdin().is_terminal() {
        writeln!(out)?;
    }
    Ok(line.trim().to_owned())
}

/// The terminal does not show what is typed, for as long as this lives.
struct Hidden(Termios);

impl Hidden {
    fn start() -> Option<Hidden> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &silent).ok()?;
        Some(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
