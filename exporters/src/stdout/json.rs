//! One JSON object a line: `timestamp`, `event_name`, `severity`, `resource`, `attributes`.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use crate::model::event::SEVERITY_WARN;
use crate::model::{Event, Value};

/// Nine digits whatever the time is, so that lines sort as text.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));

/// Appends an event's line.
pub(crate) fn write(event: &Event, line: &mut String) {
    line.push_str("{\"timestamp\":\"");
    line.push_str(&timestamp(event.time_unix_nanos));
    line.push_str("\",\"event_name\":");
    string(event.name().as_str(), line);
    line.push_str(",\"severity\":");
    string(severity(event.severity()), line);
    line.push_str(",\"resource\":");
    let mut resource = Object::open(line);
    for (key, attribute) in event.resource.attributes() {
        resource.member(key, attribute);
    }
    resource.close();
    line.push_str(",\"attributes\":");
    let mut attributes = Object::open(line);
    event.visit(|key, attribute| attributes.member(key, attribute));
    attributes.close();
    line.push_str("}\n");
}

/// The short name of a severity number, as the OpenTelemetry log data model has it.
const fn severity(number: u8) -> &'static str {
    if number >= SEVERITY_WARN { "WARN" } else { "INFO" }
}

/// RFC 3339 in UTC.
fn timestamp(unix_nanos: u64) -> String {
    let timestamp = Timestamp::from_nanosecond(unix_nanos.into()).unwrap_or(Timestamp::MAX);
    PRINTER.timestamp_to_string(&timestamp)
}

/// A flat object being written.
struct Object<'a> {
    line: &'a mut String,
    separator: &'static str,
}

impl<'a> Object<'a> {
    fn open(line: &'a mut String) -> Self {
        line.push('{');
        Self { line, separator: "" }
    }

    fn member(&mut self, key: &str, attribute: Value<'_>) {
        self.line.push_str(self.separator);
        self.separator = ",";
        string(key, self.line);
        self.line.push(':');
        value(attribute, self.line);
    }

    fn close(self) {
        self.line.push('}');
    }
}

fn value(value: Value<'_>, line: &mut String) {
    match value {
        Value::Str(text) => string(text, line),
        Value::Double(number) if !number.is_finite() => line.push_str("null"),
        // Writing to a string cannot fail.
        Value::Int(_) | Value::Bool(_) => _ = write!(line, "{value}"),
        Value::Double(number) => _ = write!(line, "{number:?}"),
        Value::Address(_) | Value::Id(_) => _ = write!(line, "\"{value}\""),
        Value::List(items) => {
            let mut separator = '[';
            for item in items {
                line.push(separator);
                separator = ',';
                string(item, line);
            }
            line.push_str(if items.is_empty() { "[]" } else { "]" });
        }
    }
}

/// A string with its quotes, escaped.
fn string(text: &str, line: &mut String) {
    // Serialising a string to JSON cannot fail.
    line.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(attribute: Value<'_>) -> String {
        let mut line = String::new();
        value(attribute, &mut line);
        line
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
}
