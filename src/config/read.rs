//! Reads a configuration key by key and collects all that is wrong with it, instead of stopping at the first.
//!
//! A section takes its keys from a [`Table`], each with its default and its reader (a function of [`super::check`]); what nobody
//! took is unknown, and the key that it probably means is named.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ::config::{Value, ValueKind};

/// One thing that is wrong: which key, and what would be right. One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `devices[1].bindkey`; empty where the file as a whole is meant.
    pub key: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.what),
            key => write!(f, "{key}: {}", self.what),
        }
    }
}

/// Where problems are collected.
#[derive(Clone, Debug, Default)]
pub struct Problems(Rc<RefCell<Vec<Problem>>>);

impl Problems {
    pub fn add(&self, key: impl Into<String>, what: impl Into<String>) {
        self.0.borrow_mut().push(Problem { key: key.into(), what: what.into() });
    }

    pub fn take(&self) -> Vec<Problem> {
        self.0.take()
    }
}

/// A table of the configuration, while it is read.
pub struct Table {
    path: String,
    given: BTreeMap<String, Value>,
    known: Vec<&'static str>,
    complained: Cell<bool>,
    problems: Problems,
}

impl Table {
    pub fn root(value: Value, problems: &Problems) -> Table {
        Table::of(String::new(), Some(value), problems)
    }

    fn of(path: String, value: Option<Value>, problems: &Problems) -> Table {
        let given = match value.map(|v| v.kind) {
            None => BTreeMap::new(),
            Some(ValueKind::Table(table)) => table.into_iter().collect(),
            Some(kind) => {
                let what = format!("is {}; a section is right: [{path}] with its keys below", kind_of(&kind));
                problems.add(&path, what);
                BTreeMap::new()
            }
        };
        Table { path, given, known: Vec::new(), complained: Cell::new(false), problems: problems.clone() }
    }

    /// The full path of a key of this table; of the table itself with no key.
    pub fn path(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Complains about a key, or about several that do not go together.
    pub fn wrong(&self, key: &str, what: impl Into<String>) {
        self.complained.set(true);
        self.problems.add(self.path(key), what);
    }

    /// Whether something was wrong with this table already.
    pub fn complained(&self) -> bool {
        self.complained.get()
    }

    /// A key with a default. A reader answers with the value, or with what is wrong and what would be right.
    pub fn get<T>(&mut self, key: &'static str, default: T, read: impl FnOnce(&Value) -> Result<T, String>) -> T {
        self.maybe(key, read).unwrap_or(default)
    }

    /// A key that may be absent.
    pub fn maybe<T>(&mut self, key: &'static str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        self.known.push(key);
        let value = self.given.remove(key)?;
        read(&value).map_err(|what| self.wrong(key, what)).ok()
    }

    /// A key that must be there; nothing stands in for it, so `None` is a problem told.
    pub fn must<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.given.contains_key(key) {
            self.wrong(key, format!("is missing; for example {key} = {example}"));
        }
        self.maybe(key, read)
    }

    pub fn section(&mut self, key: &'static str) -> Table {
        self.known.push(key);
        Table::of(self.path(key), self.given.remove(key), &self.problems)
    }

    /// `[[key]]` sections.
    pub fn sections(&mut self, key: &'static str) -> Vec<Table> {
        self.known.push(key);
        let path = self.path(key);
        match self.given.remove(key).map(|v| v.kind) {
            None => Vec::new(),
            Some(ValueKind::Array(items)) => {
                let table = |(n, item)| Table::of(format!("{path}[{n}]"), Some(item), &self.problems);
                items.into_iter().enumerate().map(table).collect()
            }
            Some(kind) => {
                let what =
                    format!("is {}; [[{path}]] sections are right, one for each (in the file only)", kind_of(&kind));
                self.problems.add(&path, what);
                Vec::new()
            }
        }
    }

    /// Nothing more is known: what is left was misspelled, or is of another version.
    pub fn end(self) {
        for key in self.given.keys() {
            let near = nearest(key, self.known.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.problems.add(self.path(key), format!("is no known key; {hint}"));
        }
    }
}

/// What sort of value it is, without the value: it may be a secret.
pub fn kind_of(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "empty",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a section",
        ValueKind::Array(_) => "a list",
    }
}

/// The known word that was probably meant: at most a third of it is different.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near = |k: &&str| distance(&word, &k.to_lowercase());
    known.into_iter().min_by_key(near).filter(|k| near(k) <= k.len().max(3) / 3)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_word_finds_the_one_that_was_meant_and_a_strange_one_finds_none() {
        let known = ["password_file", "prefix", "url", "version"];
        assert_eq!(nearest("pasword_file", known), Some("password_file"));
        assert_eq!(nearest("URL", known), Some("url"));
        assert_eq!(nearest("verison", known), Some("version"));
        assert_eq!(nearest("colour", known), None);
    }
}
