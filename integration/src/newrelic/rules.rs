//! What New Relic documents about requests to its Event API, enforced.
//!
//! The real API answers 200 to a well-formed request with bad events in it, and drops those later; here they are a 400, so
//! that no test passes by them. Sources: introduction-event-api and data-requirements-limits-custom-event-data in New
//! Relic's documentation of its Event API and of custom events.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::{Map, Value};

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Path of its URL.
    pub path: &'a str,
    /// `Api-Key`
    pub key: Option<&'a str>,
    /// `Content-Type`
    pub content_type: Option<&'a str>,
    /// `Content-Encoding`
    pub content_encoding: Option<&'a str>,
    /// The body, compressed or not.
    pub body: &'a [u8],
}

/// An account that takes events.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Its number.
    pub number: &'a str,
    /// Its license key.
    pub key: &'a str,
    /// Largest request, in bytes, compressed or not: [`MAX_BYTES`].
    pub max_bytes: usize,
}

/// One event: a flat object.
pub type Flat = Map<String, Value>;
/// Status and body of a refusal.
pub type Refusal = (u16, String);

/// Largest request of the real API, in bytes.
pub const MAX_BYTES: usize = 1_000_000;
const MAX_ATTRIBUTES: usize = 254;
const MAX_NAME: usize = 255;
const MAX_VALUE: usize = 4096;
const DAY_MILLIS: u64 = 86_400_000;
const RESERVED: [&str; 5] = ["accountId", "appId", "entity.guid", "entity.name", "entity.type"];

/// What is answered to a request that was taken.
pub const TAKEN: &str = r#"{"success":true, "uuid":"b21da3b8-0001-bfe8-0000-0192f6d7a9c4"}"#;

/// The events of a request, or the refusal.
pub fn judge(request: &Request<'_>, account: &Account<'_>, now_millis: u64) -> Result<Vec<Flat>, Refusal> {
    if request.path != format!("/v1/accounts/{}/events", account.number) {
        return Err((404, format!("no such path: {}", request.path)));
    }
    if request.key != Some(account.key) {
        // A careless server may repeat what it was given.
        return Err((403, format!("{{\"error\":\"invalid key {}\"}}", request.key.unwrap_or_default())));
    }
    if request.content_type != Some("application/json") || request.content_encoding != Some("gzip") {
        return Err((415, "not JSON in gzip".to_owned()));
    }
    let mut json = String::new();
    if flate2::read::GzDecoder::new(request.body).read_to_string(&mut json).is_err() {
        return Err((400, "neither gzip nor UTF-8".to_owned()));
    }
    if json.len() > account.max_bytes || request.body.len() > account.max_bytes {
        return Err((413, String::new()));
    }
    events(&json, now_millis).map_err(|why| (400, why))
}

/// The events of a body; an error says which rule one breaks.
pub fn events(json: &str, now_millis: u64) -> Result<Vec<Flat>, String> {
    let Ok(Value::Array(items)) = serde_json::from_str(json) else {
        return Err("no JSON array".to_owned());
    };
    let keys: usize = items.iter().filter_map(Value::as_object).map(Map::len).sum();
    if items.is_empty() || keys != count_of_keys(json) {
        return Err("no event, or a name twice in one".to_owned());
    }
    let flat = |item| match item {
        Value::Object(event) => match broken_rule(&event, now_millis) {
            None => Ok(event),
            Some(rule) => Err(format!("{rule}: {event:?}")),
        },
        other => Err(format!("no object: {other}")),
    };
    items.into_iter().map(flat).collect()
}

fn broken_rule(event: &Flat, now_millis: u64) -> Option<&'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":._".contains(&byte);
    let is_name = |name: &str| (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits);
    let is_type = |name: &str| {
        !name.is_empty() && !name.starts_with("Metric") && name.bytes().all(|byte| fits(byte) && byte != b'.')
    };
    let in_time = |time: u64| time.abs_diff(now_millis) <= DAY_MILLIS;
    let rules = [
        ("too many attributes", event.len() <= MAX_ATTRIBUTES),
        ("a bad name", event.keys().all(|name| is_name(name))),
        ("a reserved name", RESERVED.iter().all(|name| !event.contains_key(*name))),
        ("neither string nor number", event.values().all(|value| value.is_string() || value.is_number())),
        ("a string too long", texts(event).all(|text| text.chars().count() <= MAX_VALUE)),
        ("no event type", event.get("eventType").and_then(Value::as_str).is_some_and(is_type)),
        ("no integer time of today", event.get("timestamp").and_then(Value::as_u64).is_some_and(in_time)),
    ];
    rules.into_iter().find(|(_, holds)| !holds).map(|(rule, _)| rule)
}

fn texts(event: &Flat) -> impl Iterator<Item = &str> {
    event.values().filter_map(Value::as_str)
}

/// Strings that stand before a colon. A parser keeps one of two equal names and does not tell.
fn count_of_keys(json: &str) -> usize {
    let mut keys = 0;
    let mut bytes = json.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        while let Some(inner) = bytes.next() {
            match inner {
                b'\\' => drop(bytes.next()),
                b'"' => break,
                _ => {}
            }
        }
        keys += usize::from(bytes.peek() == Some(&b':'));
    }
    keys
}

/// Distinct values of one attribute among events, as text.
pub fn values_of(events: &[Flat], name: &str) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    events.iter().filter_map(|event| event.get(name)).map(text).collect()
}
