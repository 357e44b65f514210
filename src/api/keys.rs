//! API keys: who may ask over TCP, and for what. Kept hashed in `keys.json` in the state directory, mode 0600.
//!
//! A key is 192 random bits, so one round of SHA-256 hides it as well as any slow hash would. The file is the only truth: it is
//! looked at with every request, and read again when it is another one, so that a revoked key is refused at once.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::signal::Secret;

/// Seam's clients want keys that begin so, but none that begin like its other tokens (`seam_at`, `seam_cst`, `seam_pk`).
const PREFIX: &str = "seam_k";
/// Keys of one hub: more than people and programs that should have one.
const MOST: usize = 100;

/// What a key opens. Each holds the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See devices, accounts and events, never a code.
    Read,
    /// And lock and unlock.
    Operate,
    /// And see and change access codes.
    Codes,
    /// And adopt, release, rename and delete.
    Admin,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The public part of the key itself.
    pub key_id: String,
    pub name: String,
    pub scope: Scope,
    pub created_at: String,
    /// SHA-256 of the whole key, in hex.
    hash: String,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is damaged ({source}); remove it and create the keys anew", path = path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("no key {0}; `portcullis keys list` shows them")]
    Unknown(String),
    #[error(
        "{0:?} is no key: it begins with seam_ (not seam_at, seam_cst or seam_pk), then 16 to 120 letters, digits, _ or -"
    )]
    BadKey(String),
    #[error("there are {MOST} keys already; revoke some first")]
    TooMany,
}

/// Their file in the state directory.
pub const FILE: &str = "keys.json";

/// The keys of one hub, on disk.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    read: Mutex<Option<Read>>,
}

/// What was read of the file, when it was this one.
#[derive(Clone, Debug)]
struct Read {
    stamp: Stamp,
    keys: Arc<[Key]>,
}

/// Tells a file from the one that was there before. Every write makes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Clocks of file systems tick some hundred times a second: two files of one tick could have one stamp. One that is younger than this
/// (whole seconds are compared) is read again the next time.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            inode: meta.ino(),
            length: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let changed = UNIX_EPOCH + Duration::from_secs(self.changed.0.max(0) as u64);
        now.duration_since(changed).is_ok_and(|age| age > SETTLED_AFTER)
    }
}

impl Keys {
    pub fn of(state_dir: &Path) -> Keys {
        Keys { path: state_dir.join(FILE), read: Mutex::default() }
    }

    /// As the file has them now, read only where it is another one.
    fn current(&self, now: SystemTime) -> Result<Arc<[Key]>, KeyError> {
        let stamp = match std::fs::metadata(&self.path) {
            Ok(meta) => Stamp::of(&meta),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(source) => return Err(self.io(source)),
        };
        let mut read = self.read.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(read) = read.as_ref().filter(|read| read.stamp == stamp) {
            return Ok(read.keys.clone());
        }
        let keys: Arc<[Key]> = self.list()?.into();
        *read = stamp.is_settled(now).then(|| Read { stamp, keys: keys.clone() });
        Ok(keys)
    }

    pub fn list(&self) -> Result<Vec<Key>, KeyError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| KeyError::Damaged { path: self.path.clone(), source })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(self.io(source)),
        }
    }

    /// Makes a key; this is the only time that it is seen.
    pub fn create(&self, name: &str, scope: Scope, created_at: String) -> Result<(Key, Secret), KeyError> {
        let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        self.add(
            &format!("{PREFIX}{}_{}", hex::encode(&random[..4]), hex::encode(&random[8..])),
            name,
            scope,
            created_at,
        )
    }

    /// Takes a key that somebody else made.
    pub fn add(&self, key: &str, name: &str, scope: Scope, created_at: String) -> Result<(Key, Secret), KeyError> {
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let body = key.strip_prefix("seam_").filter(|b| (16..=120).contains(&b.len()) && b.chars().all(sound));
        if body.is_none_or(|b| ["at", "cst", "pk"].iter().any(|other| b.starts_with(other))) {
            return Err(KeyError::BadKey(key.chars().take(8).collect()));
        }
        let made = Key {
            key_id: key.chars().take(PREFIX.len() + 8).collect(),
            name: name.to_owned(),
            scope,
            created_at,
            hash: hash(key),
        };
        let mut keys = self.list()?;
        keys.retain(|k| k.hash != made.hash);
        if keys.len() >= MOST {
            return Err(KeyError::TooMany);
        }
        keys.push(made.clone());
        self.write(&keys)?;
        Ok((made, Secret::new(key)))
    }

    pub fn revoke(&self, key_id: &str) -> Result<(), KeyError> {
        let mut keys = self.list()?;
        let before = keys.len();
        keys.retain(|k| k.key_id != key_id);
        if keys.len() == before {
            return Err(KeyError::Unknown(key_id.chars().take(40).collect()));
        }
        self.write(&keys)
    }

    /// The key that this is, if it is one. Takes the same time for every wrong one.
    pub fn check(&self, presented: &str) -> Result<Option<Key>, KeyError> {
        let hash = hash(presented);
        let mut found = None;
        let keys = self.current(SystemTime::now())?;
        for key in keys.iter() {
            if bool::from(key.hash.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(key);
            }
        }
        Ok(found.cloned())
    }

    /// Whether a key that was let in before still is one.
    pub fn has(&self, key: &Key) -> Result<bool, KeyError> {
        Ok(self.list()?.contains(key))
    }

    fn write(&self, keys: &[Key]) -> Result<(), KeyError> {
        let io = |source| self.io(source);
        let temporary = self.path.with_extension("json.new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(io)?;
        file.write_all(&serde_json::to_vec_pretty(keys).expect("keys are JSON")).map_err(io)?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&temporary, &self.path).map_err(io)
    }

    fn io(&self, source: std::io::Error) -> KeyError {
        KeyError::Io { path: self.path.clone(), source }
    }
}

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, Keys) {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        (dir, keys)
    }

    #[test]
    fn a_key_opens_until_it_is_revoked_and_is_never_on_disk() {
        let (dir, keys) = keys();
        let (made, secret) = keys.create("cleaning app", Scope::Operate, "now".into()).unwrap();
        assert_eq!(keys.check(secret.reveal()).unwrap(), Some(made.clone()));
        let on_disk = std::fs::read_to_string(dir.path().join("keys.json")).unwrap();
        assert!(!on_disk.contains(secret.reveal()));
        keys.revoke(&made.key_id).unwrap();
        assert_eq!(keys.check(secret.reveal()).unwrap(), None);
        assert!(matches!(keys.revoke(&made.key_id), Err(KeyError::Unknown(_))));
    }

    #[test]
    fn a_file_that_is_known_is_not_read_again_and_another_one_holds_at_once() {
        let (dir, keys) = keys();
        let (made, _) = keys.create("x", Scope::Read, "now".into()).unwrap();
        let (now, later) = (SystemTime::now(), SystemTime::now() + Duration::from_secs(10));
        let young = keys.current(now).unwrap();
        assert!(!Arc::ptr_eq(&young, &keys.current(now).unwrap()), "another one of the same moment would look alike");
        let settled = keys.current(later).unwrap();
        assert!(Arc::ptr_eq(&settled, &keys.current(later).unwrap()), "not read again");
        // Another process revokes it, and makes the file look as old as it was.
        Keys::of(dir.path()).revoke(&made.key_id).unwrap();
        let file = std::fs::File::options().write(true).open(dir.path().join(FILE)).unwrap();
        file.set_modified(now).unwrap();
        assert!(keys.current(later).unwrap().is_empty());
    }

    #[test]
    fn the_file_is_for_the_hub_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, keys) = keys();
        keys.create("x", Scope::Read, "now".into()).unwrap();
        let mode = std::fs::metadata(dir.path().join("keys.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_looks_like_another_token_of_seams_is_no_key() {
        let (_dir, keys) = keys();
        for bad in [
            "seam_at1_0123456789abcdef0123",
            "seam_cst1_0123456789abcdef",
            "seam_pk_0123456789abcdef",
            "seam_short",
            "x",
        ] {
            assert!(matches!(keys.add(bad, "x", Scope::Read, "now".into()), Err(KeyError::BadKey(_))), "{bad}");
        }
        keys.add("seam_demo1_0123456789abcdef", "x", Scope::Read, "now".into()).unwrap();
        assert!(keys.check("seam_demo1_0123456789abcdee").unwrap().is_none());
    }
}
