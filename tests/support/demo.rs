//! `portcullis demo`, in one of the dialects of events; ends with its guard.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use portcullis::event::Dialect;
use serde_json::Value;

pub struct Demo {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    pub api_key: String,
    /// The file with which every verb works on it.
    pub config: String,
}

impl Demo {
    /// Comes back when it is ready. Its end after three minutes is a bound on a hanging test.
    pub fn start(dialect: Dialect, arguments: &[&str]) -> Demo {
        // A port of its own: several demos run at once, and would all find the usual one free.
        let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["demo", "--json", "--seconds", "180", "--http", &http])
            .args(arguments)
            .env("PORTCULLIS__EVENTS__DIALECT", if dialect == Dialect::Classic { "classic" } else { "current" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        // Nobody reads its events; they must not hold it up.
        std::thread::spawn(move || lines.for_each(drop));
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Demo { endpoint: text("http"), api_key: text("api_key"), config: text("config"), child }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
