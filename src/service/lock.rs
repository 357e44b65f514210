//! The state directory belongs to one daemon: `flock` on a file in it, for as long as the process lives.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "{dir} is in use by another portcullis{by}: stop that one first (systemctl stop portcullis), or give this one a state_dir of its own"
    )]
    Taken { dir: PathBuf, by: String },
    #[error("state_dir {path}: {source}; it must be a directory that this user can write")]
    Io { path: PathBuf, source: std::io::Error },
}

/// Held for the life of the daemon; the kernel lets go of it even after `kill -9`.
#[derive(Debug)]
pub struct StateLock {
    _file: Flock<File>,
}

impl StateLock {
    /// Makes the directory (for this user only) where it is missing, and locks it.
    pub fn take(dir: &Path) -> Result<StateLock, LockError> {
        let io = |source| LockError::Io { path: dir.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(io)?;
        let path = dir.join("lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path);
        match Flock::lock(file.map_err(io)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // Only for the message that the next one gets.
                let _ =
                    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(*file, "{}", std::process::id()));
                Ok(StateLock { _file: file })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let by = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
                Err(LockError::Taken { dir: dir.to_owned(), by })
            }
            Err((_, errno)) => Err(io(errno.into())),
        }
    }

    /// Whether somebody holds the lock now.
    pub fn is_taken(dir: &Path) -> bool {
        let Ok(file) = OpenOptions::new().read(true).open(dir.join("lock")) else { return false };
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_kept_out_and_told_who_is_in() {
        let dir = tempfile::tempdir().unwrap();
        let held = StateLock::take(&dir.path().join("state")).unwrap();
        assert!(StateLock::is_taken(&dir.path().join("state")));
        let refused = StateLock::take(&dir.path().join("state")).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        assert!(!StateLock::is_taken(&dir.path().join("state")));
        StateLock::take(&dir.path().join("state")).unwrap();
    }
}
