//! Goal: `portcullis decode` is there for pipes: it answers each line when it comes, survives every line, and needs nothing else.
//! Method: the binary itself, on its own standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Ends the process, whatever becomes of the test.
struct Decode(Child);

impl Drop for Decode {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn decode(args: &[&str]) -> Decode {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("decode").args(args).env_remove("PORTCULLIS_CONFIG");
    Decode(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
}

fn ask(decode: &mut Decode, answers: &mut impl BufRead, line: &[u8]) -> Value {
    let input = decode.0.stdin.as_mut().unwrap();
    input.write_all(line).unwrap();
    input.write_all(b"\n").unwrap();
    let mut answer = String::new();
    answers.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn each_line_is_answered_when_it_comes_and_none_ends_it() {
    let mut decode = decode(&[]);
    let mut answers = BufReader::new(decode.0.stdout.take().unwrap());
    let lock = br#"{"address":"54:48:E6:8F:80:A5","service_data":{"fcd2":"401f01"}}"#;
    assert_eq!(ask(&mut decode, &mut answers, lock)["signals"]["lock_state"], "unlocked");
    let bad: [&[u8]; 5] = [b"", b"\xff\xfe", b"{}", b"[[[[", br#"{"service_data":{"fcd2":7}}"#];
    for line in bad {
        assert!(ask(&mut decode, &mut answers, line)["error"].is_string());
    }
    assert_eq!(ask(&mut decode, &mut answers, br#"{"gatt":{"2a19":"64"}}"#)["signals"]["battery_percent"], 100);
    drop(decode.0.stdin.take());
    assert!(decode.0.wait().unwrap().success());
}

#[test]
fn a_key_comes_from_the_configuration_that_is_named_and_a_wrong_one_is_a_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    let device = "[[devices]]\naddress = \"54:48:E6:8F:80:A5\"\nbindkey = \"231d39c1d7cc1ab1aee224cd096db932\"\n";
    std::fs::write(&config, device).unwrap();
    let mut decode = self::decode(&["--config", config.to_str().unwrap()]);
    let mut answers = BufReader::new(decode.0.stdout.take().unwrap());
    let sealed = br#"{"address":"54:48:E6:8F:80:A5","service_data":{"fcd2":"4123583422110053cbb4a8"}}"#;
    let answer = ask(&mut decode, &mut answers, sealed);
    assert_eq!((&answer["accepted"], &answer["signals"]["lock_state"]), (&true.into(), &"unlocked".into()));

    let mut missing = self::decode(&["--config", "/nonexistent/config.toml"]);
    drop(missing.0.stdin.take());
    assert_eq!(missing.0.wait().unwrap().code(), Some(2));
}
