//! Pages of a list: `limit` and `page_cursor` in, `pagination` out. A list is in the order of its keys, so that a page that is
//! asked for later neither repeats nor leaves out what was there before.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use super::envelope::{Answer, ApiError};
use super::events::read;
use super::params::Params;
use crate::hub::RowKind;
use crate::store::StateRow;

/// Most things on a page, as at Seam; also where nothing is said.
const LIMIT: usize = 500;
/// Rows that are read at once.
const CHUNK: usize = 100;
/// What a cursor begins with, before the last key of its page.
const CURSOR: &str = "after:";

/// One page of a list of state rows.
pub struct Page {
    kind: RowKind,
    /// Only these, where they are named.
    only: Option<BTreeSet<String>>,
    after: String,
    limit: usize,
}

impl Page {
    /// Takes `limit` and `page_cursor`. `only` are the keys that the list is about, if not all.
    pub fn of(kind: RowKind, only: Option<Vec<Uuid>>, params: &mut Params) -> Page {
        let limit = params.number("limit", LIMIT).unwrap_or(LIMIT);
        let after = params.text("page_cursor").map(|cursor| decoded(&cursor));
        if after == Some(None) {
            params.wrong("page_cursor", "expected a next_page_cursor of this hub");
        }
        let only = only.map(|ids| ids.iter().map(Uuid::to_string).collect());
        Page { kind, only, after: after.flatten().unwrap_or_default(), limit }
    }

    /// And only those of them that have one of these keys.
    pub fn among(mut self, keys: BTreeSet<String>) -> Page {
        self.only = Some(match self.only {
            Some(only) => only.intersection(&keys).cloned().collect(),
            None => keys,
        });
        self
    }

    /// The page under `key`, of what `shape` makes of the rows that it wants. Refuses what was wrong with the parameters.
    pub async fn answer(
        self,
        app: &App,
        params: Params,
        key: &str,
        shape: impl Fn(StateRow) -> Option<Value> + Send + 'static,
    ) -> Result<Answer, ApiError> {
        let links = params.link_with("page_cursor", "");
        params.end()?;
        let limit = self.limit;
        let mut found = read(app.store.clone(), move |store| {
            let mut found = Vec::new();
            let mut after = self.after;
            while found.len() <= limit {
                let rows = match &self.only {
                    None => store.rows_after(self.kind, &after, CHUNK)?,
                    Some(keys) => some(store, self.kind, keys, &after)?,
                };
                let Some(last) = rows.last() else { break };
                after.clone_from(&last.key);
                found.extend(rows.into_iter().filter_map(|row| Some((row.key.clone(), shape(row)?))));
            }
            Ok(found)
        })
        .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let cursor = found.last().filter(|_| more).map(|(key, _)| BASE64.encode(format!("{CURSOR}{key}")));
        let scheme = if app.names.tls { "https" } else { "http" };
        let pagination = json!({
            "has_next_page": cursor.is_some(),
            "next_page_url": cursor.as_ref().map(|cursor| format!("{scheme}://{links}{cursor}")),
            "next_page_cursor": cursor,
        });
        let things = found.into_iter().map(|(_, thing)| thing).collect();
        Ok(Answer::of(key, things).with("pagination", pagination))
    }
}

/// Those of `keys` after `after` that there are, up to a chunk.
fn some(
    store: &crate::store::Store,
    kind: RowKind,
    keys: &BTreeSet<String>,
    after: &str,
) -> Result<Vec<StateRow>, crate::store::StoreError> {
    let mut rows = Vec::new();
    for key in keys.range(after.to_owned()..).filter(|key| key.as_str() > after) {
        if let Some(value) = store.row(kind, key)? {
            rows.push(StateRow { rev: 0, kind, key: key.clone(), value: Some(value) });
        }
        if rows.len() == CHUNK {
            break;
        }
    }
    Ok(rows)
}

/// The key in a cursor; `None` where it is none.
fn decoded(cursor: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(cursor).ok()?).ok()?;
    Some(text.strip_prefix(CURSOR)?.to_owned())
}
