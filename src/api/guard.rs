//! What stands before the API over TCP: whom a request says it is for, whence it comes, and how many there may be.
//!
//! A browser sends requests for any page it shows. `Host` and `Origin` keep such pages out: a page's own name that suddenly points to
//! the hub (DNS rebinding) is no name of the hub's, and another page's origin is not the hub's.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode, Uri, header};

use super::envelope::ApiError;

/// Refuses a request whose `Host` is no address, nor `localhost`, nor one of `allowed`; and one whose `Origin` is another host's.
pub fn names(headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|h| h.to_str().unwrap_or(""));
    let host = text(header::HOST).and_then(host_of);
    let Some(host) = host else {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", "a Host header is missing, or is none"));
    };
    let is_ours = |host: &str| {
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        ip || host == "localhost" || allowed.iter().any(|a| a.eq_ignore_ascii_case(host))
    };
    if !is_ours(&host) {
        let what = format!("{host} is no name of this hub; [http] allowed_hosts takes more");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", what));
    }
    match text(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let page = origin.split_once("://").and_then(|(_, authority)| host_of(authority));
            // An address is ours only where the request itself was sent to it.
            let fits = page.is_some_and(|page| page == host || allowed.iter().any(|a| a.eq_ignore_ascii_case(&page)));
            let what = "pages of other hosts may not ask this hub; [http] allowed_hosts takes more";
            if fits { Ok(()) } else { Err(ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", what)) }
        }
    }
}

/// The host of `host:port`, in lower case.
fn host_of(authority: &str) -> Option<String> {
    let uri: Uri = format!("http://{authority}/").parse().ok()?;
    let plain = uri.authority().is_some_and(|a| !a.as_str().contains('@'));
    uri.host().filter(|host| plain && !host.is_empty()).map(str::to_ascii_lowercase)
}

/// Of whoever asks, so many are remembered; the ones that asked longest ago are forgotten, and start afresh.
const REMEMBERED: usize = 1024;

/// A bucket of tokens for each of many: `per_second` flow in, `burst` fit.
#[derive(Debug)]
pub struct Rate<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    pub fn new(per_second: u32, burst: u32) -> Rate<K> {
        Rate { per_second: per_second.into(), burst: burst.into(), buckets: Mutex::default() }
    }

    /// Takes a token at `now`; where there is none, after how many whole seconds there is.
    pub fn take(&self, who: &K, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(|e| e.into_inner());
        if buckets.len() >= REMEMBERED && !buckets.contains_key(who) {
            let oldest = buckets.iter().min_by_key(|(_, (_, at))| *at).map(|(k, _)| k.clone());
            oldest.and_then(|k| buckets.remove(&k));
        }
        let (tokens, at) = buckets.entry(who.clone()).or_insert((self.burst, now));
        *tokens = (*tokens + now.saturating_duration_since(*at).as_secs_f64() * self.per_second).min(self.burst);
        *at = now;
        if *tokens < 1.0 {
            return Err(((1.0 - *tokens) / self.per_second).ceil().max(1.0) as u64);
        }
        *tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        origin.map(|o| headers.insert(header::ORIGIN, o.parse().unwrap()));
        headers
    }

    #[test]
    fn only_names_of_the_hub_and_its_own_pages_are_let_in() {
        let allowed = ["hub.vpn.example".to_owned()];
        for (host, origin) in [
            ("127.0.0.1:8470", None),
            ("[::1]:8470", None),
            ("localhost", None),
            ("HUB.vpn.example:443", None),
            ("127.0.0.1:8470", Some("http://127.0.0.1:8470")),
            ("127.0.0.1", Some("https://hub.vpn.example")),
        ] {
            assert_eq!(names(&headers(host, origin), &allowed), Ok(()), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("evil.example", None),
            ("localhost.evil.example", None),
            ("127.0.0.1.evil.example", None),
            ("a@127.0.0.1", None),
            ("", None),
            ("127.0.0.1:8470", Some("https://evil.example")),
            ("127.0.0.1:8470", Some("null")),
            ("127.0.0.1:8470", Some("http://192.168.1.7")),
            ("127.0.0.1:8470", Some("http://127.0.0.1@evil.example")),
        ] {
            assert!(names(&headers(host, origin), &allowed).is_err(), "{host} {origin:?}");
        }
        assert!(names(&HeaderMap::new(), &allowed).is_err());
    }

    #[test]
    fn a_burst_is_let_through_then_the_rate_and_nobody_pays_for_another() {
        let (rate, start) = (Rate::new(2, 3), Instant::now());
        assert!((0..3).all(|_| rate.take(&"a", start).is_ok()));
        assert_eq!(rate.take(&"a", start), Err(1));
        assert!(rate.take(&"b", start).is_ok());
        let later = start + Duration::from_millis(500);
        assert!(rate.take(&"a", later).is_ok() && rate.take(&"a", later).is_err());
    }

    #[test]
    fn many_who_ask_once_do_not_fill_the_memory() {
        let (rate, start) = (Rate::new(1, 1), Instant::now());
        for n in 0..3000u64 {
            let _ = rate.take(&n, start + Duration::from_millis(n));
        }
        assert_eq!(rate.buckets.lock().unwrap().len(), REMEMBERED);
    }
}
