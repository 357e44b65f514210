//! Files that take another's place whole, with its owner and its rights; what was there stays beside them.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use chrono::Utc;

use crate::cli::Failure;
use crate::signal;

/// Who runs the hub of a package.
const GROUP: &str = "portcullis";

/// Where a file is.
pub fn directory(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned())
}

/// Puts `text` in the place of `path`, on disk or not at all; returns where the earlier one was copied to.
pub fn replace(path: &Path, text: &str) -> Result<Option<PathBuf>, Failure> {
    let earlier = std::fs::metadata(path).ok();
    let backup = match &earlier {
        Some(_) => Some(back_up(path)?),
        None => None,
    };
    let new = beside(path, "new");
    let mode = earlier.as_ref().map_or(0o640, |meta| meta.mode() & 0o7777);
    write(&new, text.as_bytes(), mode)?;
    give(&new, earlier.as_ref());
    std::fs::rename(&new, path).map_err(|e| cannot(path, &e))?;
    Ok(backup)
}

fn back_up(path: &Path) -> Result<PathBuf, Failure> {
    let stamp = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
    let text = std::fs::read(path).map_err(|e| cannot(path, &e))?;
    let meta = std::fs::metadata(path).map_err(|e| cannot(path, &e))?;
    let mut names = std::iter::once(stamp.clone()).chain((2..).map(|n| format!("{stamp}-{n}")));
    let backup = names.find_map(|name| Some(beside(path, &name)).filter(|p| !p.exists())).unwrap_or_default();
    write(&backup, &text, meta.mode() & 0o7777)?;
    give(&backup, Some(&meta));
    Ok(backup)
}

/// `config.toml` → `config.toml.WORD`
fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{word}"));
    name.into()
}

/// A new file, synced. One of an interrupted run is in nobody's way.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    std::fs::create_dir_all(directory(path)).map_err(|e| cannot(path, &e))?;
    let _ = std::fs::remove_file(path);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let wrote = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    wrote.map_err(|e| cannot(path, &e))
}

/// The earlier one's owner, or else the hub's group. Who is not root keeps it as it is.
fn give(path: &Path, earlier: Option<&std::fs::Metadata>) {
    let group = || nix::unistd::Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw());
    let (user, group) = earlier.map_or_else(|| (None, group()), |meta| (Some(meta.uid()), Some(meta.gid())));
    let _ = chown(path, user, group);
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    let root = if error.kind() == std::io::ErrorKind::PermissionDenied { "; run this as root" } else { "" };
    Failure::failed(format!("{}: {error}{root}", path.display()))
}

/// The secret alone in a file, without the end of its line.
pub fn read_secret(file: &Path) -> Result<signal::Secret, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| cannot(file, &e))?;
    Ok(signal::Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// A secret on its way to its file: gone again unless it is kept.
pub struct Secret {
    new: PathBuf,
    place: PathBuf,
}

impl Secret {
    pub fn new(dir: &Path, name: &str, secret: &signal::Secret) -> Result<Secret, Failure> {
        let place = dir.join(name);
        let new = beside(&place, "new");
        write(&new, secret.reveal().as_bytes(), 0o640)?;
        Ok(Secret { new, place })
    }

    /// Where it can be read until then.
    pub fn path(&self) -> &Path {
        &self.new
    }

    /// Read by whoever reads the configuration, and by nobody else.
    pub fn keep(&self, config: &Path) -> Result<(), Failure> {
        give(&self.new, std::fs::metadata(config).ok().as_ref());
        std::fs::rename(&self.new, &self.place).map_err(|e| cannot(&self.place, &e))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.new);
    }
}
