//! What a request asks for, in both wire dialects of Seam's SDKs: a query, or a JSON body.
//!
//! A handler takes each parameter by name and type; what is wrong with any of them is collected and refused at once.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode, header};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::envelope::ApiError;
use super::keys::Scope;
use super::spec::{Asked, Kind};
use crate::time::Wall;

/// What is wrong with a scalar that a query repeats.
const TWICE: &str = "given more than once";

/// A body is one packet or a few; who takes longer is holding a place.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A parameter as it came.
enum Given {
    /// A query's values, in order.
    Query(Vec<String>),
    Json(Value),
}

pub struct Params {
    given: BTreeMap<String, Given>,
    /// Today's SDKs: an array repeats its key, and nothing else makes one.
    strict: bool,
    problems: Vec<(String, String)>,
    /// Hears what is asked for, where somebody wants to know.
    asked: Option<Asked>,
    /// What the caller's key opens.
    scope: Scope,
    /// The request as a link: host and path, then its parameters as a query.
    link: (String, Vec<(String, String)>),
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Params, ApiError> {
        let mut params = Params::of_query(request.uri().query().unwrap_or_default());
        // Whoever lets a request in says what for; where nobody did, the least.
        params.asked = request.extensions().get().cloned();
        params.scope = request.extensions().get().copied().unwrap_or(Scope::Read);
        let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        params.link.0 = format!("{host}{}", request.uri().path());
        if request.method() != Method::GET {
            let body = tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, state)).await;
            let slow = format!("the body has not come within {} s", BODY_WITHIN.as_secs());
            let body = body.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", slow))?;
            let body = body.map_err(|e| {
                let what = format!("the body cannot be read: {}", e.body_text());
                let kind =
                    if e.status() == StatusCode::PAYLOAD_TOO_LARGE { "payload_too_large" } else { "invalid_input" };
                ApiError::new(e.status(), kind, what)
            })?;
            params.add_body(&body)?;
        }
        Ok(params)
    }
}

impl Params {
    fn of_query(query: &str) -> Params {
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut strict = false;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "_strict" => strict = value == "true",
                key => given.entry(key.trim_end_matches("[]").to_owned()).or_default().push(value.into_owned()),
            }
        }
        let given = given.into_iter().map(|(k, v)| (k, Given::Query(v))).collect();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Params { given, strict, problems: Vec::new(), asked: None, scope: Scope::Read, link: (String::new(), query) }
    }

    fn add_body(&mut self, body: &[u8]) -> Result<(), ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let wrong = |what: String| ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", what);
        match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => {
                body.iter().for_each(|(key, value)| flatten(key, value, &mut self.link.1));
                self.given.extend(body.into_iter().map(|(k, v)| (k, Given::Json(v))));
            }
            Ok(_) => return Err(wrong("the body is JSON, but no object; {\"device_id\": \"…\"} would be one".into())),
            Err(e) => return Err(wrong(format!("the body is no JSON: {e}"))),
        }
        Ok(())
    }

    /// Whether the caller may see the digits of codes.
    pub fn sees_codes(&self) -> bool {
        self.scope >= Scope::Codes
    }

    /// The same request again, but for one parameter; without its scheme.
    pub fn link_with(&self, key: &str, value: &str) -> String {
        let others = self.link.1.iter().filter(|(name, _)| name != key);
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair(key, value).finish();
        format!("{}?{query}", self.link.0)
    }

    fn hear(&self, name: &str, kind: Kind, required: bool) {
        if let Some(asked) = &self.asked {
            asked.hear(name, kind, required);
        }
    }

    /// Whether something was wrong with it already.
    pub fn is_wrong(&self, key: &str) -> bool {
        self.problems.iter().any(|(wrong, _)| wrong == key)
    }

    pub fn wrong(&mut self, key: &str, what: impl Into<String>) {
        self.problems.push((key.to_owned(), what.into()));
    }

    /// The items of a list; `None` where it is absent or null.
    fn items(&mut self, key: &str) -> Option<Vec<String>> {
        match self.given.remove(key)? {
            Given::Query(values) if values.iter().all(String::is_empty) => {
                (values.len() == 1 && self.strict).then(Vec::new)
            }
            Given::Query(values) if !self.strict && values.len() == 1 => {
                Some(values[0].split(',').map(|v| v.trim().to_owned()).collect())
            }
            Given::Query(values) => Some(values),
            Given::Json(Value::Null) => None,
            Given::Json(Value::Array(items)) => {
                let items: Option<Vec<String>> = items.iter().map(|i| i.as_str().map(str::to_owned)).collect();
                if items.is_none() {
                    self.wrong(key, "expected a list of strings");
                }
                items
            }
            Given::Json(_) => {
                self.wrong(key, "expected a list");
                None
            }
        }
    }

    /// Whether it is given, and as null.
    pub fn is_null(&self, key: &str) -> bool {
        match self.given.get(key) {
            Some(Given::Json(value)) => value.is_null(),
            Some(Given::Query(values)) => values.iter().all(String::is_empty),
            None => false,
        }
    }

    /// The one value of a scalar; `None` where it is absent or null.
    fn scalar(&mut self, key: &str) -> Option<Value> {
        match self.given.remove(key)? {
            Given::Query(mut values) if values.len() == 1 => values.pop().filter(|v| !v.is_empty()).map(Value::String),
            Given::Query(_) => {
                self.wrong(key, TWICE);
                None
            }
            Given::Json(Value::Null) => None,
            Given::Json(value) => Some(value),
        }
    }

    pub fn text(&mut self, key: &str) -> Option<String> {
        self.hear(key, Kind::Text, false);
        match self.scalar(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(key, "expected a string");
                None
            }
        }
    }

    /// A text without which nothing can be done.
    pub fn must_text(&mut self, key: &str) -> String {
        self.hear(key, Kind::Text, true);
        let text = self.text(key);
        self.required(key, text)
    }

    /// A list of texts.
    pub fn list(&mut self, key: &str) -> Option<Vec<String>> {
        self.hear(key, Kind::Texts, false);
        self.items(key)
    }

    /// Names with values; in a query with a dot, or in brackets. There null is an empty value, and all else a text.
    pub fn record(&mut self, key: &str) -> Option<BTreeMap<String, Value>> {
        self.hear(key, Kind::Record, false);
        match self.given.remove(key) {
            Some(Given::Json(Value::Object(record))) => return Some(record.into_iter().collect()),
            Some(Given::Query(values)) if values.iter().all(String::is_empty) => return None,
            Some(Given::Json(Value::Null)) | None => {}
            Some(_) => self.wrong(key, "expected an object"),
        }
        let inner = |name: &str| {
            let rest = name.strip_prefix(key)?;
            let bracketed = || rest.strip_prefix('[')?.strip_suffix(']');
            Some(rest.strip_prefix('.').or_else(bracketed)?.to_owned())
        };
        let names: Vec<(String, String)> =
            self.given.keys().filter_map(|name| Some((name.clone(), inner(name)?))).collect();
        let mut record = BTreeMap::new();
        for (name, inner) in names {
            record.insert(inner, self.scalar(&name).unwrap_or_default());
        }
        (!record.is_empty()).then_some(record)
    }

    pub fn uuid(&mut self, key: &str) -> Option<Uuid> {
        self.hear(key, Kind::Uuid, false);
        let text = self.text(key)?;
        self.parsed(key, &text)
    }

    /// A parameter without which nothing can be done.
    pub fn must_uuid(&mut self, key: &str) -> Uuid {
        self.hear(key, Kind::Uuid, true);
        let id = self.uuid(key);
        self.required(key, id)
    }

    /// Absent, null or empty are the same: nothing was given.
    fn required<T: Default>(&mut self, key: &str, given: Option<T>) -> T {
        if given.is_none() && !self.is_wrong(key) {
            self.wrong(key, "required");
        }
        given.unwrap_or_default()
    }

    /// `key` and its plural together.
    pub fn uuids(&mut self, key: &str, plural: &str) -> Option<Vec<Uuid>> {
        self.hear(key, Kind::Uuid, false);
        self.hear(plural, Kind::Uuids, false);
        let texts = self.texts(key, plural)?;
        // Complained of under a name that the path takes.
        let named = if key.is_empty() { plural } else { key };
        Some(texts.iter().filter_map(|text| self.parsed(named, text)).collect())
    }

    pub fn texts(&mut self, key: &str, plural: &str) -> Option<Vec<String>> {
        self.hear(key, Kind::Text, false);
        self.hear(plural, Kind::Texts, false);
        let (one, many) = (self.text(key), self.items(plural));
        (one.is_some() || many.is_some()).then(|| one.into_iter().chain(many.unwrap_or_default()).collect())
    }

    fn parsed(&mut self, key: &str, text: &str) -> Option<Uuid> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(key, "expected a UUID");
        }
        parsed
    }

    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.hear(key, Kind::Flag, false);
        let flag = match self.scalar(key)? {
            Value::Bool(flag) => Some(flag),
            Value::String(text) => match text.as_str() {
                "true" => Some(true),
                "false" => Some(false),
                "1" | "yes" if !self.strict => Some(true),
                "0" | "no" if !self.strict => Some(false),
                _ => None,
            },
            _ => None,
        };
        if flag.is_none() {
            self.wrong(key, "expected true or false");
        }
        flag
    }

    pub fn number(&mut self, key: &str, most: usize) -> Option<usize> {
        self.hear(key, Kind::Number(most), false);
        let number = match self.scalar(key)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64().and_then(|n| usize::try_from(n).ok()),
        };
        let number = number.filter(|n| *n <= most);
        if number.is_none() {
            self.wrong(key, format!("expected a whole number up to {most}"));
        }
        number
    }

    pub fn decimal(&mut self, key: &str) -> Option<f64> {
        self.hear(key, Kind::Decimal, false);
        let number = match self.scalar(key)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        let number = number.filter(|n: &f64| n.is_finite());
        if number.is_none() {
            self.wrong(key, "expected a number");
        }
        number
    }

    pub fn time(&mut self, key: &str) -> Option<Wall> {
        self.hear(key, Kind::Time, false);
        let text = self.text(key)?;
        self.date(key, &text)
    }

    /// Two times, earlier one first.
    pub fn between(&mut self, key: &str) -> Option<(Wall, Wall)> {
        self.hear(key, Kind::Between, false);
        let items = self.items(key)?;
        match items.as_slice() {
            [from, to] => Some((self.date(key, from)?, self.date(key, to)?)),
            _ => {
                self.wrong(key, "expected two times");
                None
            }
        }
    }

    fn date(&mut self, key: &str, text: &str) -> Option<Wall> {
        let date = DateTime::parse_from_rfc3339(text).ok().map(|t| Wall::from(t.with_timezone(&Utc)));
        if date.is_none() {
            self.wrong(key, "expected a time like 2026-01-31T12:00:00Z");
        }
        date
    }

    /// Refuses the request where anything was wrong. Parameters that nobody asked about are let be, as Seam does.
    pub fn end(self) -> Result<(), ApiError> {
        if let Some((key, what)) = self.problems.iter().find(|(_, what)| what == TWICE) {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_query_params", format!("{key}: {what}")));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::invalid_input(self.problems)) }
    }
}

/// A JSON value as the parameters of a query.
fn flatten(key: &str, value: &Value, query: &mut Vec<(String, String)>) {
    match value {
        Value::Object(record) => record.iter().for_each(|(name, v)| flatten(&format!("{key}.{name}"), v, query)),
        Value::Array(items) if items.is_empty() => query.push((key.to_owned(), String::new())),
        Value::Array(items) => items.iter().for_each(|item| flatten(key, item, query)),
        Value::Null => query.push((key.to_owned(), String::new())),
        Value::String(text) => query.push((key.to_owned(), text.clone())),
        other => query.push((key.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "018f6b0a-0000-7000-8000-00000000000a";
    const B: &str = "018f6b0a-0000-7000-8000-00000000000b";

    fn body(text: &str) -> Params {
        let mut params = Params::of_query("");
        params.add_body(text.as_bytes()).unwrap();
        params
    }

    #[test]
    fn both_wire_dialects_say_the_same() {
        let wanted: Vec<Uuid> = vec![A.parse().unwrap(), B.parse().unwrap()];
        let same = [
            Params::of_query(&format!("device_ids={A}&device_ids={B}&_strict=true")),
            Params::of_query(&format!("device_ids={A},{B}")),
            Params::of_query(&format!("device_ids[]={A}&device_ids[]={B}")),
            body(&format!("{{\"device_ids\": [\"{A}\", \"{B}\"]}}")),
            body(&format!("{{\"device_id\": \"{A}\", \"device_ids\": [\"{B}\"]}}")),
        ];
        for mut params in same {
            assert_eq!(params.uuids("device_id", "device_ids").unwrap(), wanted);
            params.end().unwrap();
        }
    }

    #[test]
    fn what_is_required_is_neither_null_nor_empty() {
        for mut params in
            [body("{}"), body("{\"device_id\": null, \"url\": null}"), Params::of_query("device_id=&url=&_strict=true")]
        {
            params.must_uuid("device_id");
            params.must_text("url");
            let wanted = [("device_id", "required"), ("url", "required")];
            assert_eq!(params.problems, wanted.map(|(key, what)| (key.to_owned(), what.to_owned())));
        }
        let mut wrong = body("{\"device_id\": 3}");
        wrong.must_uuid("device_id");
        assert_eq!(wrong.problems.len(), 1, "one complaint is enough: {:?}", wrong.problems);
    }

    #[test]
    fn an_empty_list_is_not_the_same_as_none() {
        assert_eq!(Params::of_query("types=&_strict=true").texts("type", "types"), Some(vec![]));
        assert_eq!(Params::of_query("").texts("type", "types"), None);
        assert_eq!(body("{\"types\": null}").texts("type", "types"), None);
    }

    #[test]
    fn a_record_is_the_same_in_json_and_with_dots_or_brackets_in_a_query() {
        let wanted = BTreeMap::from([("floor".to_owned(), Value::from("2")), ("old".to_owned(), Value::Null)]);
        for mut params in [
            body("{\"has\": {\"floor\": \"2\", \"old\": null}}"),
            Params::of_query("has.floor=2&has.old=&_strict=true"),
            Params::of_query("has[floor]=2&has[old]="),
        ] {
            assert_eq!(params.record("has"), Some(wanted.clone()));
            params.end().unwrap();
        }
        assert_eq!(Params::of_query("hash.x=1").record("has"), None);
    }

    #[test]
    fn a_link_asks_the_same_of_another_page() {
        let asked = body(&format!("{{\"device_ids\": [\"{A}\", \"{B}\"], \"limit\": 2, \"page_cursor\": \"old\"}}"));
        let link = asked.link_with("page_cursor", "new");
        let mut again = Params::of_query(link.split_once('?').unwrap().1);
        assert_eq!(again.list("device_ids").unwrap(), [A, B]);
        assert_eq!((again.number("limit", 9), again.text("page_cursor").as_deref()), (Some(2), Some("new")));
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_parameters_name() {
        for mut params in [
            Params::of_query("device_id=x&since=yesterday&limit=501"),
            body("{\"device_id\": 3, \"since\": \"yesterday\", \"limit\": -1}"),
        ] {
            params.uuid("device_id");
            params.time("since");
            params.number("limit", 500);
            assert_eq!(
                params.problems.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(),
                ["device_id", "since", "limit"]
            );
            assert!(params.end().is_err());
        }
        let mut twice = Params::of_query("device_id=a&device_id=b");
        twice.uuid("device_id");
        assert!(twice.end().is_err());
    }
}
