//! A place for thousands of short-lived databases.
#![allow(dead_code)]

use std::path::Path;

use tempfile::TempDir;

/// In memory where the machine offers it: what these tests take from a disk they take by themselves, and every sync would count.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}
