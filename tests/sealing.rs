//! Digits of codes at rest: in no file of the state directory, and read back byte for byte with the key alone.

#[path = "support/codes.rs"]
mod codes;
#[path = "support/delivery.rs"]
mod delivery;
#[path = "support/subscriber.rs"]
mod subscriber;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use delivery::append;
use portcullis::event::Dialect;
use portcullis::health::Health;
use portcullis::hub::RowKind;
use portcullis::identity::Identity;
use portcullis::store::{self, DATABASE, Filter, Options, Reader, Store};

fn open(dir: &Path) -> (Store, Arc<Health>) {
    let health = Arc::new(Health::default());
    let options = Options { health: health.clone(), ..Options::new(Dialect::Current) };
    (Store::open_with(dir, options, |_, _| Ok(())).expect("it opens").0, health)
}

/// A store that holds all that carries digits.
async fn filled(dir: &Path) -> Store {
    let (store, _) = open(dir);
    append(&store, codes::events(), codes::rows()).await;
    store
}

/// Every file of the directory, searched for digits.
fn in_the_clear(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let found = files.flat_map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        let holds = move |digits: &&str| bytes.windows(digits.len()).any(|w| w == digits.as_bytes());
        let name = path.display().to_string();
        codes::DIGITS.into_iter().filter(holds).map(|digits| format!("{digits} in {name}")).collect::<Vec<_>>()
    });
    found.collect()
}

fn bodies(reader: &Reader) -> Vec<String> {
    reader.events_after(0, 100).unwrap().into_iter().map(|e| e.body).collect()
}

fn frozen() -> Vec<String> {
    codes::events().iter().map(|e| e.render(Dialect::Current)).collect()
}

fn masked() -> Vec<String> {
    let mask = |body: String| codes::DIGITS.iter().fold(body, |body, digits| body.replace(digits, "****"));
    frozen().into_iter().map(mask).collect()
}

fn held(reader: &Reader) -> serde_json::Value {
    reader.state().unwrap().into_iter().find(|r| r.kind == RowKind::Held).and_then(|r| r.value).expect("it is held")
}

#[tokio::test]
async fn digits_are_in_no_file_and_come_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    assert_eq!(in_the_clear(dir.path()), Vec::<String>::new(), "while it runs");
    assert_eq!(bodies(&store), frozen());
    assert_eq!(
        store.recent_after(0),
        store.events_after(0, 100).unwrap(),
        "what is still in memory is what is on disk"
    );
    drop(store);
    let (store, health) = open(dir.path());
    assert_eq!(bodies(&store), frozen());
    assert_eq!(Some(held(&store)), codes::rows()[0].value);
    assert_eq!(in_the_clear(dir.path()), Vec::<String>::new(), "after a restart");
    assert!(!health.parts().contains_key("code_key"));
    assert_eq!(bodies(&Reader::open(dir.path()).unwrap()), frozen(), "a verb beside it may read the key");
}

#[tokio::test]
async fn without_its_key_digits_are_masked_named_and_all_else_is_there() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    let key = std::fs::read(dir.path().join("code.key")).unwrap();
    std::fs::remove_file(dir.path().join("code.key")).unwrap();
    let (store, health) = open(dir.path());
    assert_eq!(bodies(&store), masked());
    assert_eq!(held(&store)["event"]["details"]["code"], serde_json::Value::Null);
    assert_eq!(held(&store)["number"], 0);
    let told = health.parts().remove("code_key").expect("a part of the health");
    assert!(!told.up && told.detail.contains("masked"), "{told:?}");
    assert!(!dir.path().join(format!("{DATABASE}.damaged-1")).exists(), "a lost key is no damage");
    // What is new is sealed with the new key; the old one, put back, opens what is its own.
    append(&store, codes::events(), Vec::new()).await;
    assert_eq!(bodies(&store)[4..], frozen());
    store.flush().await.unwrap();
    drop(store);
    std::fs::write(dir.path().join("code.key"), key).unwrap();
    let (store, _) = open(dir.path());
    assert_eq!([bodies(&store), Vec::new()].concat(), [frozen(), masked()].concat());
}

/// Goal: a credential seals instead of a file, and what a file's key sealed before stays readable.
///
/// Method: the environment belongs to a process, so this test runs itself again with one that has the credential.
#[tokio::test]
async fn a_credential_takes_the_place_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (before, fresh, credentials) = (dir.path().join("before"), dir.path().join("fresh"), dir.path().join("creds"));
    for made in [&before, &fresh, &credentials] {
        std::fs::create_dir(made).unwrap();
    }
    drop(filled(&before).await);
    std::fs::write(credentials.join("code_key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_a_credential", "--ignored", "--nocapture"])
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .env("SEALING_DIR", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
    assert!(!fresh.join("code.key").exists(), "no key of its own beside the credential");
    assert_eq!(in_the_clear(&fresh), Vec::<String>::new());
    assert_eq!(bodies(&Reader::open(&fresh).unwrap()), masked(), "without the credential");
}

#[tokio::test]
#[ignore = "a part of a_credential_takes_the_place_of_the_file"]
async fn with_a_credential() {
    let Ok(dir) = std::env::var("SEALING_DIR") else { return };
    let dir = Path::new(&dir);
    let store = filled(&dir.join("fresh")).await;
    assert_eq!(bodies(&store), frozen());
    let (store, health) = open(&dir.join("before"));
    assert_eq!(bodies(&store), frozen(), "the file's key still opens");
    assert!(!health.parts().contains_key("code_key"));
}

/// From each schema that there was; the files are dumps of what those versions wrote.
#[tokio::test]
async fn a_database_of_an_earlier_schema_goes_on_with_all_it_holds_and_its_digits_sealed() {
    for (version, dump) in [(1, include_str!("data/store/schema-1.sql"))] {
        let dir = tempfile::tempdir().unwrap();
        let c = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
        c.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        c.execute_batch(dump).unwrap();
        drop(c);
        assert!(!in_the_clear(dir.path()).is_empty(), "schema {version} had them in the clear");
        let (store, health) = open(dir.path());
        assert_eq!(bodies(&store), frozen(), "schema {version}");
        assert_eq!(Some(held(&store)), codes::rows()[0].value);
        assert_eq!(found_by_code(&store), frozen()[..3], "schema {version}");
        assert_eq!(store.state().unwrap().len(), 2);
        assert_eq!(store.log_id().to_string(), "01a20d13-b6c0-7326-a7fb-0f29c259deeb", "it is the same log");
        assert_eq!(store.cursor("mqtt").unwrap(), 2);
        assert_eq!(store.undeliverable().unwrap()[0].reason, "too large");
        assert_eq!(store.retained().unwrap(), ["a/b"]);
        append(&store, codes::events(), codes::rows()).await;
        assert_eq!(store.head().borrow().seq, 8);
        assert_eq!(in_the_clear(dir.path()), Vec::<String>::new(), "schema {version}");
        assert!(health.parts().is_empty());
    }
}

/// The events that are about a code, asked for by their codes.
fn found_by_code(store: &Store) -> Vec<String> {
    let codes = codes::events().iter().filter_map(|e| e.details.access_code_id).collect();
    let filter = Filter { access_code_ids: codes, ..Filter::default() };
    store.find(&filter, 100).unwrap().into_iter().map(|e| e.body).collect()
}

/// Version 3 added to version 2 nothing but the table by which events of a code are found.
#[tokio::test]
async fn events_of_a_database_of_schema_2_are_found_by_their_code() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    let c = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    // The sum is that of src/store/sum.rs over ("schema", "2").
    let back = "DROP TABLE code_event; UPDATE meta SET value = '2', sum = 3768012451 WHERE name = 'schema'";
    c.execute_batch(back).unwrap();
    drop(c);
    let (store, _) = open(dir.path());
    assert_eq!(found_by_code(&store), frozen()[..3]);
    assert_eq!(bodies(&store), frozen());
}

#[tokio::test]
async fn a_damaged_database_of_an_earlier_schema_is_rescued_with_its_digits_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let c = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    c.execute_batch(include_str!("data/store/schema-1.sql")).unwrap();
    c.execute("UPDATE meta SET value = 'x' WHERE name = 'log_id'", []).unwrap();
    drop(c);
    let (store, _) = open(dir.path());
    assert_eq!(bodies(&store), frozen());
    assert_eq!(found_by_code(&store), frozen()[..3]);
    let aside = dir.path().join(format!("{DATABASE}.damaged-1"));
    std::fs::remove_file(aside).expect("it was set aside");
    assert_eq!(in_the_clear(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_brings_the_key_along() {
    let (dir, copy, elsewhere) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Identity::load_or_make(dir.path(), None).unwrap();
    let _store = filled(dir.path()).await;
    drop(open(elsewhere.path()));
    store::backup(dir.path(), copy.path()).unwrap();
    store::restore(copy.path(), elsewhere.path()).unwrap();
    let (restored, health) = open(elsewhere.path());
    assert_eq!(bodies(&restored), frozen());
    assert!(!health.parts().contains_key("code_key"));
}
