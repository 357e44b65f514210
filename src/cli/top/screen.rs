//! The terminal, taken over and given back: ANSI's alternate screen (ECMA-48 and xterm's ?1049), keys as they are pressed.

use std::io::{Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Where the size cannot be asked for.
const USUAL: (usize, usize) = (80, 24);

/// Given back when it is dropped.
pub struct Screen(Option<Termios>);

impl Screen {
    pub fn open() -> std::io::Result<Screen> {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw)?;
        }
        let screen = Screen(before);
        let mut out = std::io::stdout();
        write!(out, "{ENTER}")?;
        out.flush()?;
        Ok(screen)
    }

    /// Keys as they come. The thread that reads them ends with the process.
    pub fn keys(&self) -> mpsc::Receiver<u8> {
        let (send, keys) = mpsc::channel(16);
        std::thread::spawn(move || {
            let mut byte = [0];
            while matches!(std::io::stdin().read(&mut byte), Ok(1)) && send.blocking_send(byte[0]).is_ok() {}
        });
        keys
    }

    pub fn size(&self) -> (usize, usize) {
        terminal_size::terminal_size().map_or(USUAL, |(width, height)| (width.0.into(), height.0.into()))
    }

    /// Shows the lines, each with what was behind it wiped, and wipes what is below: no flicker.
    pub fn show(&self, lines: &[String]) -> std::io::Result<()> {
        let mut text = "\x1b[H".to_owned();
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                text += "\r\n";
            }
            text += line;
            text += "\x1b[K";
        }
        text += "\x1b[J";
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        let _ = write!(out, "{LEAVE}");
        let _ = out.flush();
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
