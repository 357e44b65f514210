//! What hubs log in tests, kept in the directory that `PORTCULLIS_TEST_LOGS` names, if it names one: `scripts/digits` looks through it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

fn place() -> Option<PathBuf> {
    let dir = std::env::var_os("PORTCULLIS_TEST_LOGS").filter(|dir| !dir.is_empty())?;
    Some(Path::new(&dir).join(uuid::Uuid::new_v4().to_string()))
}

/// The log of a daemon, which goes on being written, and outlives its own directory. One on a disk of its own, which a test
/// fills or breaks, cannot.
pub fn keep(log: &Path) {
    if let Some(place) = place()
        && let Err(error) = std::fs::hard_link(log, place)
    {
        assert_eq!(error.kind(), std::io::ErrorKind::CrossesDevices, "{}: {error}", log.display());
    }
}

/// All that there is to log of the hubs in this process, however little it matters.
pub fn keep_ours() {
    if let Some(place) = place() {
        let file = std::fs::File::create(place).expect("a log file");
        let log = tracing_subscriber::fmt().with_env_filter("portcullis=trace").with_writer(file);
        // Another test of this process may have begun before.
        let _ = log.try_init();
    }
}
