//! Digits of access codes at rest: sealed with AES-256-CCM, so that who has the card or a backup without its key has no codes.
//!
//! The key is systemd's credential `code_key` (LoadCredential=), or else the file `code.key` in the state directory, made on the
//! first start and readable by the hub alone. What was sealed with the file's key stays readable beside a credential. Without the
//! right key digits read as [`MASK`] in events and as `null` in rows; all else is as it was.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aes::Aes256;
use aes::cipher::KeyInit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ccm::Ccm;
use ccm::aead::AeadInOut;
use ccm::consts::{U13, U16};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;
use crate::event::MASK;

/// The key's file in the state directory.
pub const FILE: &str = "code.key";
/// Its name among systemd's credentials.
const CREDENTIAL: &str = "code_key";
/// A key of fewer bytes is no key: 32 hex digits are 128 bits.
const KEY_LEAST: usize = 32;

const NONCE: usize = 13;
const TAG: usize = 16;

/// In the JSON of a row, digits (and the secrets of webhooks) are texts under these names and under no others.
const DIGITS: [&str; 3] = ["code", "digits", "secret"];
/// What stands there instead: `{"sealed": BASE64}`.
const SEALED: &str = "sealed";
/// How that is written. Within a text its quotes would be escaped, so this is nowhere else.
const SEALED_BEGINS: &str = r#"{"sealed":"#;

/// How digits begin in a frozen event. Within a text its quotes would be escaped, so this is nowhere else.
const CODE: &str = r#""code":""#;

type Cipher = Ccm<Aes256, U16, U13>;

struct Key {
    cipher: Cipher,
    /// Tells keys apart without telling them.
    id: String,
}

impl Key {
    /// From the content of its file: at least [`KEY_LEAST`] bytes, whatever they are.
    fn new(content: &[u8]) -> Option<Key> {
        let content = content.trim_ascii();
        let derive = |purpose: &[u8]| Sha256::new().chain_update(purpose).chain_update(content).finalize();
        (content.len() >= KEY_LEAST).then(|| Key {
            cipher: Cipher::new_from_slice(&derive(b"portcullis codes at rest\0")).expect("32 bytes"),
            id: hex::encode(&derive(b"portcullis key id\0")[..8]),
        })
    }
}

/// Seals with its first key, opens with any.
#[derive(Default)]
pub struct Seal {
    keys: Vec<Key>,
    /// That something could not be opened is told once.
    told: AtomicBool,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal({} keys)", self.keys.len())
    }
}

impl Seal {
    /// The keys that can be read from here; none where there is none, or somebody else may not read it.
    pub fn of(dir: &Path) -> Seal {
        let places = [credential(), Some(dir.join(FILE))];
        let keys = places.into_iter().flatten().filter_map(|path| Key::new(&std::fs::read(path).ok()?));
        Seal { keys: keys.collect(), told: AtomicBool::new(false) }
    }

    /// The same for the hub itself, which makes a key where there is none.
    pub fn of_hub(dir: &Path) -> Result<Seal, StoreError> {
        let seal = Seal::of(dir);
        if let Some(path) = credential().filter(|p| std::fs::read(p).is_ok_and(|content| Key::new(&content).is_none()))
        {
            let what = "store.code_key_short: the credential holds no key of 32 bytes or more, and is not used";
            tracing::error!(path = %path.display(), "{what}");
        }
        if !seal.keys.is_empty() {
            return Ok(seal);
        }
        let path = dir.join(FILE);
        make(dir, &path).map_err(|source| StoreError::File { path, source })?;
        Ok(Seal::of(dir))
    }

    /// The id of the key that seals.
    pub fn id(&self) -> Option<&str> {
        self.keys.first().map(|key| key.id.as_str())
    }

    pub fn knows(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// Nonce, sealed text, tag. Without a key nothing is kept: better lost than in the clear.
    fn seal(&self, place: &[u8], text: &str) -> Vec<u8> {
        let Some(key) = self.keys.first() else { return Vec::new() };
        let nonce = nonce();
        let mut sealed = [&nonce, text.as_bytes()].concat();
        match key.cipher.encrypt_inout_detached(&nonce.into(), place, (&mut sealed[NONCE..]).into()) {
            Ok(tag) => sealed.extend_from_slice(&tag),
            // Longer than 64 KiB: no code is.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    fn open(&self, place: &[u8], sealed: &[u8]) -> Option<String> {
        let opened = sealed.split_first_chunk::<NONCE>().and_then(|(nonce, rest)| {
            let (text, tag) = rest.split_last_chunk::<TAG>()?;
            self.keys.iter().find_map(|key| {
                let mut text = text.to_vec();
                let (nonce, tag) = ((*nonce).into(), (*tag).into());
                key.cipher.decrypt_inout_detached(&nonce, place, text.as_mut_slice().into(), &tag).ok()?;
                String::from_utf8(text).ok()
            })
        });
        if opened.is_none() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "store.code_sealed: digits of codes are sealed with a key that is not here; they are masked"
            );
        }
        opened
    }

    /// Whether something could not be opened so far.
    pub fn lacks_a_key(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// An event's body without its digits, and these, sealed; `None` where it has none.
    pub fn seal_body(&self, place: &[u8], body: &str) -> Option<(String, Vec<u8>)> {
        let mut pieces = body.split(CODE);
        let mut bare = pieces.next()?.to_owned();
        let mut digits = Vec::new();
        for piece in pieces {
            let (inside, rest) = piece.split_at(end_of_text(piece));
            digits.push(inside);
            bare.push_str(CODE);
            bare.push_str(rest);
        }
        // No JSON text holds a bare line break.
        (!digits.is_empty()).then(|| (bare, self.seal(place, &digits.join("\n"))))
    }

    /// The whole body; masked where the key is missing.
    pub fn open_body(&self, place: &[u8], bare: &str, sealed: &[u8]) -> String {
        let digits = self.open(place, sealed);
        let mut digits = digits.as_ref().map(|d| d.split('\n'));
        let mut pieces = bare.split(CODE);
        let mut body = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            body.push_str(CODE);
            body.push_str(digits.as_mut().map_or(MASK, |d| d.next().unwrap_or_default()));
            body.push_str(piece);
        }
        body
    }

    /// A row's value as it is written: JSON, without digits in the clear.
    pub fn seal_row(&self, place: &[u8], value: &Value) -> String {
        if !holds(value, &|v| v.is_string()) {
            return value.to_string();
        }
        let mut value = value.clone();
        each(&mut value, &|digits| {
            if let Value::String(text) = digits {
                let sealed = BASE64.encode(self.seal(place, text));
                *digits = Map::from_iter([(SEALED.to_owned(), Value::String(sealed))]).into();
            }
        });
        value.to_string()
    }

    /// The same of a row's text. Most have nothing to open, and are not parsed for it.
    pub fn open_text(&self, place: &[u8], text: String) -> String {
        if !text.contains(SEALED_BEGINS) {
            return text;
        }
        serde_json::from_str(&text).map_or(text, |value| self.open_row(place, value).to_string())
    }

    /// The value as it was handed in; digits are `null` where the key is missing.
    pub fn open_row(&self, place: &[u8], mut value: Value) -> Value {
        let sealed = |v: &Value| v.get(SEALED).is_some_and(Value::is_string);
        if holds(&value, &sealed) {
            each(&mut value, &|digits| {
                if let Some(text) = digits.get(SEALED).and_then(Value::as_str) {
                    let opened = BASE64.decode(text).ok().and_then(|sealed| self.open(place, &sealed));
                    *digits = opened.map_or(Value::Null, Value::String);
                }
            });
        }
        value
    }
}

fn credential() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(CREDENTIAL)).filter(|path| path.is_file())
}

/// A fresh key. One that is there and is none (a torn write) is kept beside it.
fn make(dir: &Path, path: &Path) -> io::Result<()> {
    if path.exists() {
        let aside = dir.join("code.key.damaged");
        std::fs::rename(path, &aside)?;
        tracing::error!(aside = %aside.display(), "store.code_key_damaged: it was set aside, and a new one is made");
    }
    let temporary = dir.join("code.key.new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    writeln!(file, "{}", hex::encode(random))?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(dir)?.sync_all()
}

/// 104 random bits: those of a UUIDv4 but for the two bytes with its version and variant.
fn nonce() -> [u8; NONCE] {
    let random = Uuid::new_v4().into_bytes();
    std::array::from_fn(|n| random[if n < 6 { n } else { n + 3 }])
}

/// Where the text ends that a piece of JSON begins within.
fn end_of_text(piece: &str) -> usize {
    let mut escaped = false;
    let end = piece.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(piece.len())
}

/// Whether anything under a name of digits is so.
fn holds(value: &Value, so: &impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Object(object) => {
            object.iter().any(|(name, v)| (DIGITS.contains(&name.as_str()) && so(v)) || holds(v, so))
        }
        Value::Array(items) => items.iter().any(|v| holds(v, so)),
        _ => false,
    }
}

/// Visits everything under a name of digits.
fn each(value: &mut Value, visit: &impl Fn(&mut Value)) {
    match value {
        Value::Object(object) => {
            for (name, v) in object.iter_mut() {
                if DIGITS.contains(&name.as_str()) {
                    visit(v);
                }
                each(v, visit);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| each(v, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seal(key: &str) -> Seal {
        Seal { keys: vec![Key::new(key.repeat(40).as_bytes()).unwrap()], told: AtomicBool::default() }
    }

    #[test]
    fn bodies_come_back_byte_for_byte_and_only_with_the_key_and_in_their_place() {
        for body in [
            r#"{"code":"4711"}"#,
            r#"{"from":{"code":"4711"},"to":{"code":"0042"},"name":"\"code\":\"9\""}"#,
            r#"{"code":"","from":{"code":null},"code":"4\"7\\"}"#,
            r#"{"code":"47"#,
        ] {
            let (bare, sealed) = seal("a").seal_body(b"here", body).unwrap();
            for digits in ["4711", "0042", "47"] {
                assert!(!bare.contains(digits), "{bare}");
                assert!(!sealed.windows(digits.len()).any(|w| w == digits.as_bytes()));
            }
            assert_eq!(seal("a").open_body(b"here", &bare, &sealed), body);
            for (key, place) in [("b", &b"here"[..]), ("a", b"there")] {
                let masked = seal(key).open_body(place, &bare, &sealed);
                assert!(masked.contains(r#""code":"****"#) && !masked.contains("47"), "{masked}");
            }
        }
        assert!(seal("a").seal_body(b"", r#"{"error_code":"hub_disconnected","access_code_id":"4711"}"#).is_none());
    }

    #[test]
    fn rows_are_sealed_wherever_digits_are_in_them_and_read_null_without_the_key() {
        let row =
            json!({"code": "4711", "error_code": "4", "state": {"slots": [{"digits": "0042"}, {"digits": null}]}});
        let written = seal("a").seal_row(b"code\0x", &row);
        assert!(!written.contains("4711") && !written.contains("0042"), "{written}");
        let read: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(seal("a").open_row(b"code\0x", read.clone()), row);
        let lost = json!({"code": null, "error_code": "4", "state": {"slots": [{"digits": null}, {"digits": null}]}});
        let other = seal("b");
        assert_eq!(other.open_row(b"code\0x", read.clone()), lost);
        assert!(other.lacks_a_key());
        assert_eq!(seal("a").open_row(b"code\0y", read), lost, "a row cannot take another row's digits");
        assert_ne!(seal("a").seal_row(b"", &row), seal("a").seal_row(b"", &row), "no nonce twice");
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_a_torn_one_is_set_aside() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        assert!(Seal::of(dir.path()).id().is_none());
        let made = Seal::of_hub(dir.path()).unwrap();
        assert_eq!(Seal::of_hub(dir.path()).unwrap().id(), made.id());
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(FILE), "abc").unwrap();
        assert_ne!(Seal::of_hub(dir.path()).unwrap().id(), made.id());
        assert!(dir.path().join("code.key.damaged").exists());
    }
}
