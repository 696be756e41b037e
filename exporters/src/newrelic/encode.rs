//! Events as one JSON array of flat objects: strings and numbers, nothing else.

use std::io::Write as _;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::name;
use crate::batch::Slice;
use crate::model::{Event, EventBatch, Resource, Value};

/// The type of all events, `FROM` in NRQL.
const EVENT_TYPE: &str = "ConvisConnection";
/// Attributes of one event; the documentation says 254 in one place and 255 in another.
const MAX_ATTRIBUTES: usize = 250;
/// Longest string, in characters.
const MAX_VALUE: usize = 4096;
/// Events whose time is further from now are not taken, in either direction.
const MAX_AGE_MILLIS: u64 = 24 * 60 * 60 * 1000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// What came of encoding.
pub(crate) struct Encoded {
    /// The array; empty when no event is left.
    pub(crate) json: Vec<u8>,
    /// Events left out because their time is too far from now.
    pub(crate) expired: u64,
    /// Time of the oldest event in it, milliseconds since the Unix epoch.
    pub(crate) oldest: Option<u64>,
}

/// Encodes requests.
#[derive(Default)]
pub(crate) struct Encoder {
    /// Names of the event at hand.
    names: Vec<&'static str>,
    /// Whether it was said that an event had too many attributes.
    said: bool,
}

/// Events share Resources: each is encoded once per request.
type Resources = FxHashMap<*const Resource, Vec<Member>>;

/// An attribute of a Resource, encoded.
struct Member {
    name: String,
    value: Vec<u8>,
}

impl Encoder {
    /// Encodes what can still be taken at `now`, nanoseconds since the Unix epoch.
    pub(crate) fn encode(&mut self, slices: &[Slice<EventBatch>], now: u64) -> Encoded {
        let mut encoded = Encoded { json: Vec::new(), expired: 0, oldest: None };
        let mut resources = Resources::default();
        for event in slices.iter().flat_map(|slice| &slice.batch.events[slice.from..slice.to]) {
            let millis = event.time_unix_nanos / NANOS_PER_MILLI;
            if !is_taken(millis, now) {
                encoded.expired += 1;
                continue;
            }
            encoded.oldest = Some(encoded.oldest.map_or(millis, |oldest| oldest.min(millis)));
            encoded.json.push(if encoded.json.is_empty() { b'[' } else { b',' });
            self.event(event, millis, &mut resources, &mut encoded.json);
        }
        if !encoded.json.is_empty() {
            encoded.json.push(b']');
        }
        encoded
    }

    /// What the event says comes first, so that it stays when there is too much.
    fn event(&mut self, event: &Event, millis: u64, resources: &mut Resources, json: &mut Vec<u8>) {
        json.extend_from_slice(b"{\"eventType\":\"");
        json.extend_from_slice(EVENT_TYPE.as_bytes());
        // Writing to a vector cannot fail.
        let _ = write!(json, "\",\"timestamp\":{millis},\"event.name\":\"{}\"", event.name().as_str());
        self.names.clear();
        self.names.extend(["eventType", "timestamp", "event.name"]);
        let mut surplus = 0;
        event.visit(|name, attribute| {
            if self.names.len() == MAX_ATTRIBUTES {
                surplus += 1;
            } else if is_sayable(attribute) {
                self.names.push(name);
                let _ = write!(json, ",\"{name}\":");
                value(attribute, json);
            }
        });
        let of_resource =
            resources.entry(Arc::as_ptr(&event.resource)).or_insert_with(|| members(&event.resource));
        let mut attributes = self.names.len();
        for member in of_resource.iter().filter(|member| !self.names.contains(&member.name.as_str())) {
            if attributes == MAX_ATTRIBUTES {
                surplus += 1;
                continue;
            }
            attributes += 1;
            let _ = write!(json, ",\"{}\":", member.name);
            json.extend_from_slice(&member.value);
        }
        json.push(b'}');
        if surplus > 0 && !std::mem::replace(&mut self.said, true) {
            tracing::warn!(
                "New Relic takes {MAX_ATTRIBUTES} attributes of an event: {surplus} of its Resource were left out, and \
                 more from others like it; choose fewer labels"
            );
        }
    }
}

/// Whether an event of this time, milliseconds, is taken at `now`, nanoseconds, both since the Unix epoch.
pub(super) fn is_taken(millis: u64, now: u64) -> bool {
    millis.abs_diff(now / NANOS_PER_MILLI) <= MAX_AGE_MILLIS
}

/// The attributes of a Resource, each legal name once: the first stays.
fn members(resource: &Resource) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::with_capacity(resource.attributes().len());
    for (key, attribute) in resource.attributes() {
        let Some(name) = name::legal(key).filter(|_| is_sayable(attribute)) else {
            continue;
        };
        if members.iter().any(|member| member.name == name) {
            continue;
        }
        let mut encoded = Vec::new();
        value(attribute, &mut encoded);
        members.push(Member { name: name.into_owned(), value: encoded });
    }
    members
}

/// JSON has no word for what is no number.
fn is_sayable(attribute: Value<'_>) -> bool {
    !matches!(attribute, Value::Double(number) if !number.is_finite())
}

fn value(attribute: Value<'_>, json: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match attribute {
        Value::Str(text) => return string(text, json),
        Value::List(items) => return string(&items.join(","), json),
        Value::Int(number) => write!(json, "{number}"),
        Value::Double(number) => write!(json, "{number:?}"),
        Value::Bool(_) | Value::Address(_) | Value::Id(_) => write!(json, "\"{attribute}\""),
    };
}

/// A string with its quotes, escaped, of bounded length.
fn string(text: &str, json: &mut Vec<u8>) {
    let end = if text.len() > MAX_VALUE { text.char_indices().nth(MAX_VALUE) } else { None };
    let text = end.map_or(text, |(end, _)| &text[..end]);
    // Neither serialising a string nor writing to a vector can fail.
    let _ = serde_json::to_writer(json, text);
}
