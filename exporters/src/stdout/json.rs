//! One JSON object a line: `timestamp`, `event_name`, `severity`, `resource`, `attributes`.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use rustc_hash::FxHashMap;

use crate::batch::{self, Slice};
use crate::json;
use crate::model::event::SEVERITY_WARN;
use crate::model::text::Text;
use crate::model::{Event, EventBatch, Resource, Value};

/// About the size of a closed event's line, in bytes.
const BYTES_PER_EVENT: usize = 1400;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Nine digits whatever the time is, so that lines sort as text.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
/// What follows the point of a timestamp.
const FRACTION: usize = "000000000Z".len();

/// The lines of all events.
pub(crate) fn lines(slices: &[Slice<EventBatch>]) -> Vec<u8> {
    let mut lines = Lines {
        out: Vec::with_capacity(batch::records(slices) * BYTES_PER_EVENT),
        resources: FxHashMap::default(),
        clock: Clock::default(),
    };
    for event in slices.iter().flat_map(|slice| &slice.batch.events[slice.from..slice.to]) {
        lines.event(event);
    }
    lines.out
}

/// Lines being written.
struct Lines {
    out: Vec<u8>,
    /// Events share Resources: where each was written first.
    resources: FxHashMap<*const Resource, Range<usize>>,
    clock: Clock,
}

impl Lines {
    fn event(&mut self, event: &Event) {
        self.out.extend_from_slice(b"{\"timestamp\":\"");
        self.clock.write(&mut self.out, event.time_unix_nanos);
        self.out.extend_from_slice(b"\",\"event_name\":\"");
        self.out.extend_from_slice(event.name().as_str().as_bytes());
        self.out.extend_from_slice(b"\",\"severity\":\"");
        self.out.extend_from_slice(severity(event.severity()).as_bytes());
        self.out.extend_from_slice(b"\",\"resource\":");
        self.resource(&event.resource);
        let out = &mut self.out;
        out.extend_from_slice(b",\"attributes\":");
        let mut before = b'{';
        event.visit(|key, attribute| {
            json::name(out, before, key);
            value(out, attribute);
            before = b',';
        });
        out.extend_from_slice(b"}}\n");
    }

    fn resource(&mut self, resource: &Arc<Resource>) {
        let out = &mut self.out;
        if let Some(written) = self.resources.get(&Arc::as_ptr(resource)) {
            out.extend_from_within(written.clone());
            return;
        }
        let start = out.len();
        out.push(b'{');
        for (index, (key, attribute)) in resource.attributes().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::string(out, key);
            out.push(b':');
            value(out, attribute);
        }
        out.push(b'}');
        self.resources.insert(Arc::as_ptr(resource), start..out.len());
    }
}

/// The short name of a severity number, as the OpenTelemetry log data model has it.
const fn severity(number: u8) -> &'static str {
    if number >= SEVERITY_WARN { "WARN" } else { "INFO" }
}

/// Writes RFC 3339 in UTC. What does not change within a second is remembered.
#[derive(Default)]
struct Clock {
    second: u64,
    /// The text of the second up to its point; empty before the first.
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut Vec<u8>, unix_nanos: u64) {
        let second = unix_nanos / NANOS_PER_SECOND;
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text = timestamp(unix_nanos);
            self.text.truncate(self.text.len() - FRACTION);
        }
        out.extend_from_slice(self.text.as_bytes());
        // A digit more, which is taken off, keeps the zeros in front.
        let fraction = NANOS_PER_SECOND + unix_nanos % NANOS_PER_SECOND;
        out.extend_from_slice(&itoa::Buffer::new().format(fraction).as_bytes()[1..]);
        out.push(b'Z');
    }
}

fn timestamp(unix_nanos: u64) -> String {
    let timestamp = Timestamp::from_nanosecond(unix_nanos.into()).unwrap_or(Timestamp::MAX);
    PRINTER.timestamp_to_string(&timestamp)
}

#[inline]
fn value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Str(text) => json::string(out, text),
        Value::Int(number) => json::integer(out, number),
        Value::Bool(flag) => json::boolean(out, flag),
        Value::Double(number) if number.is_finite() => json::double(out, number),
        Value::Double(_) => out.extend_from_slice(b"null"),
        Value::Address(address) => json::text(out, &Text::ip(address)),
        Value::Id(id) => json::text(out, &Text::hex(id)),
        Value::List(items) => list(out, items),
    }
}

fn list(out: &mut Vec<u8>, items: &[String]) {
    let mut before = b'[';
    for item in items {
        out.push(before);
        before = b',';
        json::string(out, item);
    }
    out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::samples;

    fn written(attribute: Value<'_>) -> String {
        let mut line = Vec::new();
        value(&mut line, attribute);
        String::from_utf8(line).unwrap()
    }

    /// Scenario: each kind of value, with the awkward ones.
    /// Guarantees: native JSON types, and nothing that is no JSON.
    #[test]
    fn values_are_native_json() {
        assert_eq!(written(Value::Str("a\"\n\u{1b}")), r#""a\"\n\u001b""#);
        assert_eq!(written(Value::Int(-7)), "-7");
        assert_eq!(written(Value::Double(1.0)), "1.0");
        assert_eq!(written(Value::Double(1e-7)), "1e-7");
        assert_eq!(written(Value::Double(f64::NAN)), "null");
        assert_eq!(written(Value::Bool(true)), "true");
        assert_eq!(written(Value::Id(255)), "\"00000000000000ff\"");
        assert_eq!(written(Value::List(&[])), "[]");
        assert_eq!(written(Value::List(&["a".into(), "b".into()])), r#"["a","b"]"#);
    }

    /// Scenario: a time without a fraction.
    /// Guarantees: nine digits, UTC.
    #[test]
    fn timestamps_have_nine_digits() {
        assert_eq!(timestamp(1_500_000_000_000_000_000), "2017-07-14T02:40:00.000000000Z");
    }

    proptest! {
        /// Scenario: times one after the other, some within the same second, the first second among them.
        /// Guarantees: what each would be by itself.
        #[test]
        fn a_second_is_not_taken_for_another(
            times in prop::collection::vec(prop_oneof![any::<u64>(), 0..3_000_000_000_u64], 1..9),
        ) {
            let mut clock = Clock::default();
            for time in times {
                let mut out = Vec::new();
                clock.write(&mut out, time);
                prop_assert_eq!(String::from_utf8(out).unwrap(), timestamp(time));
            }
        }
    }

    /// Scenario: events of several Resources, mixed, in one batch and each by itself.
    /// Guarantees: the same lines.
    #[test]
    fn a_resource_said_again_is_the_same() {
        let batch = samples::events();
        let events = batch.events.iter().chain(&batch.events).cloned().collect::<Vec<_>>();
        let by_itself =
            |event: &Event| lines(&[Slice::whole(Arc::new(EventBatch { events: vec![event.clone()] }))]);
        let expected: Vec<u8> = events.iter().flat_map(by_itself).collect();
        assert_eq!(lines(&[Slice::whole(Arc::new(EventBatch { events }))]), expected);
    }
}
