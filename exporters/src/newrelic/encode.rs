//! Events as one JSON array of flat objects: strings and numbers, nothing else.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::members::Members;
use crate::batch::{self, Slice};
use crate::json;
use crate::model::text::Text;
use crate::model::{Event, EventBatch, Resource, Value};

/// The type of all events, `FROM` in NRQL.
const EVENT_TYPE: &str = "ConvisConnection";
/// Attributes of one event; the documentation says 254 in one place and 255 in another.
pub(super) const MAX_ATTRIBUTES: usize = 250;
/// Those that are no attributes of the event elsewhere: type, time and name.
const OWN_ATTRIBUTES: usize = 3;
/// Longest string, in characters.
const MAX_VALUE: usize = 4096;
/// Events whose time is further from now are not taken, in either direction.
const MAX_AGE_MILLIS: u64 = 24 * 60 * 60 * 1000;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// About the size of a closed event, in bytes.
const BYTES_PER_EVENT: usize = 1400;

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
    /// Whether it was said that an event had too many attributes.
    said: bool,
}

/// Events share Resources: each is encoded once per request.
type Resources = FxHashMap<*const Resource, Members>;

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
            if encoded.json.is_empty() {
                encoded.json.reserve(batch::records(slices) * BYTES_PER_EVENT);
                encoded.json.push(b'[');
            } else {
                encoded.json.push(b',');
            }
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
        json.extend_from_slice(b"\",\"timestamp\":");
        json::integer(json, millis);
        json.extend_from_slice(b",\"event.name\":\"");
        json.extend_from_slice(event.name().as_str().as_bytes());
        json.push(b'"');
        let mut attributes = OWN_ATTRIBUTES;
        let mut surplus = 0;
        event.visit(|name, attribute| {
            debug_assert!(Event::may_have(name), "{name}");
            if attributes == MAX_ATTRIBUTES {
                surplus += 1;
            } else if is_sayable(attribute) {
                attributes += 1;
                json::name(json, b',', name);
                value(attribute, json);
            }
        });
        let of_resource =
            resources.entry(Arc::as_ptr(&event.resource)).or_insert_with(|| Members::of(&event.resource));
        surplus += of_resource.write(event, attributes, json);
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

/// JSON has no word for what is no number.
pub(super) fn is_sayable(attribute: Value<'_>) -> bool {
    !matches!(attribute, Value::Double(number) if !number.is_finite())
}

#[inline]
pub(super) fn value(attribute: Value<'_>, json: &mut Vec<u8>) {
    match attribute {
        Value::Str(text) => string(text, json),
        Value::List(items) => string(&items.join(","), json),
        Value::Int(number) => json::integer(json, number),
        Value::Double(number) => json::double(json, number),
        Value::Bool(flag) => string(if flag { "true" } else { "false" }, json),
        Value::Address(address) => json::text(json, &Text::ip(address)),
        Value::Id(id) => json::text(json, &Text::hex(id)),
    }
}

/// A string with its quotes, escaped, of bounded length.
fn string(text: &str, json: &mut Vec<u8>) {
    let end = if text.len() > MAX_VALUE { text.char_indices().nth(MAX_VALUE) } else { None };
    json::string(json, end.map_or(text, |(end, _)| &text[..end]));
}
