//! What the database is made of and how much is in it, for whoever looks for a fault: nothing of its content.

use serde_json::{Value, json};

use super::reader::{Reader, cursors, extent};
use super::{DATABASE, StoreError};

impl Reader {
    /// `{schema, rows, events, cursors, bytes, last_seq, log_id, undeliverable}`.
    pub fn outline(&self) -> Result<Value, StoreError> {
        let c = self.connection();
        let mut statement = c.prepare("SELECT name, type, sql FROM sqlite_master ORDER BY type DESC, name")?;
        let objects: Vec<(String, String, Option<String>)> =
            statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect::<Result<_, _>>()?;
        let mut rows = serde_json::Map::new();
        for (name, ..) in objects.iter().filter(|(_, kind, _)| kind == "table") {
            let count: u64 = c.query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |r| r.get(0))?;
            rows.insert(name.clone(), count.into());
        }
        let pairs = |sql: &str| -> Result<Value, rusqlite::Error> {
            let mut statement = c.prepare(sql)?;
            let pairs = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, json!(r.get::<_, u64>(1)?))))?;
            Ok(Value::Object(pairs.collect::<Result<_, _>>()?))
        };
        let events =
            pairs("SELECT coalesce(t.name, '?'), count(*) FROM event LEFT JOIN type t USING (type) GROUP BY 1")?;
        let undeliverable = pairs("SELECT sink, count(*) FROM undeliverable GROUP BY 1")?;
        let cursors: serde_json::Map<_, _> = cursors(&c)?.into_iter().map(|(sink, seq)| (sink, seq.into())).collect();
        let last_seq = extent(&c)?.seq;
        drop(statement);
        drop(c);
        Ok(json!({
            "schema": objects.into_iter().filter_map(|(.., sql)| sql).collect::<Vec<_>>(),
            "rows": rows,
            "events": events,
            "undeliverable": undeliverable,
            "cursors": cursors,
            "bytes": self.sizes(),
            "last_seq": last_seq,
            "log_id": self.log_id(),
        }))
    }

    /// Of the files beside the database, too.
    fn sizes(&self) -> Value {
        let files = self.path().parent().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let database = |name: &str| name.starts_with(DATABASE.trim_end_matches(".db"));
        let sized = files.filter_map(|file| {
            let name = file.file_name().into_string().ok().filter(|name| database(name))?;
            Some((name, file.metadata().ok()?.len().into()))
        });
        Value::Object(sized.collect())
    }
}
