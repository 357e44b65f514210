//! Changes of a configuration that leave everything else in it as it was written, comments too.

use std::fmt;

use ::config::{Value as Given, ValueKind};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::config::check;

/// One thing that is to be otherwise.
#[derive(Clone, Debug)]
pub enum Change {
    /// Section (empty: above them all), key, value.
    Set(&'static str, &'static str, Value),
    /// One network more.
    Network(NewNetwork),
}

#[derive(Clone, Debug)]
pub struct NewNetwork {
    pub name: String,
    pub url: String,
}

impl Change {
    pub fn text(section: &'static str, key: &'static str, text: &str) -> Change {
        Change::Set(section, key, text.into())
    }

    pub fn number(section: &'static str, key: &'static str, number: i64) -> Change {
        Change::Set(section, key, number.into())
    }

    pub fn yes(section: &'static str, key: &'static str, yes: bool) -> Change {
        Change::Set(section, key, yes.into())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Set("", key, value) => write!(f, "{key} = {value}"),
            Change::Set(section, key, value) => write!(f, "[{section}] {key} = {value}"),
            Change::Network(network) => write!(f, "[[zwave]] name = {:?}, url = {:?}", network.name, network.url),
        }
    }
}

/// The text with the changes in it.
pub fn apply(text: &str, changes: &[Change]) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|_| "is no TOML".to_owned())?;
    for change in changes {
        match change {
            Change::Set("", key, new) => set(document.as_table_mut(), key, new),
            Change::Set(section, key, new) => {
                let table = document.entry(section).or_insert_with(toml_edit::table);
                set(table.as_table_mut().ok_or(format!("{section} is no section"))?, key, new);
            }
            Change::Network(network) => {
                let networks = document.entry("zwave").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
                let networks = networks.as_array_of_tables_mut().ok_or("zwave is not written as [[zwave]]")?;
                let mut table = Table::new();
                table.insert("name", value(&network.name));
                table.insert("url", value(&network.url));
                table.decor_mut().set_prefix("\n# Found by portcullis setup.\n");
                networks.push(table);
            }
        }
    }
    Ok(document.to_string())
}

/// With what stood around the old value and its key, comments above all.
fn set(table: &mut Table, key: &str, new: &Value) {
    let mut new = new.clone();
    match table.get_mut(key) {
        Some(old) => {
            if let Some(old) = old.as_value() {
                *new.decor_mut() = old.decor().clone();
            }
            *old = Item::Value(new);
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

/// As the configuration would read it.
pub fn sound_url(url: &str, schemes: &'static [&'static str], example: &'static str) -> Result<(), String> {
    let path = schemes.contains(&"ws");
    match url.is_empty() {
        true => Ok(()),
        false => check::url(schemes, path, example)(&Given::new(None, ValueKind::String(url.to_owned()))).map(drop),
    }
}
