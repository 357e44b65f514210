//! `[[devices.map]]`: what a device says under a name of its own, taken as a signal. See [`crate::source::rules`].

use ::config::{Value, ValueKind};

use super::check;
use super::read::Table;
use crate::source::rules::{RULES_MAX, Rule, TARGETS};

/// The rules of one device; what is wrong is complained about and left out.
pub fn read(tables: Vec<Table>) -> Vec<Rule> {
    if let Some(table) = tables.get(RULES_MAX) {
        table.wrong("", format!("is one too many; a device has at most {RULES_MAX} rules"));
    }
    tables.into_iter().take(RULES_MAX).filter_map(rule).collect()
}

fn rule(mut t: Table) -> Option<Rule> {
    let from = t.must("from", "\"generic_bool\"", check::text);
    let to = t.must("to", "\"door_open\"", check::word(TARGETS));
    let invert = t.get("invert", false, check::boolean);
    let factor = t.get("factor", 1.0, factor);
    t.end();
    Some(Rule { invert, factor, ..Rule::new(&from?, to?) })
}

fn factor(value: &Value) -> Result<f64, String> {
    match value.kind {
        ValueKind::I64(n) if n != 0 => Ok(n as f64),
        ValueKind::Float(f) if f.is_finite() && f != 0.0 => Ok(f),
        _ => Err("is no factor; a number other than 0 is right".into()),
    }
}
