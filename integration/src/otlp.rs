//! OTLP in its JSON form, flattened: what the oracle and the Collector's file exporter wrote down.
//!
//! 64-bit integers may be numbers (the oracle) or strings (OTLP's own JSON form).

use serde_json::{Map, Value};

use crate::event::Event;

/// One log record with everything that stands above it.
#[derive(Clone, Debug)]
pub struct Log {
    /// As the JSON sink would have shown it.
    pub event: Event,
    /// When convis read it, in nanoseconds since 1970.
    pub observed: u64,
    /// The severity as OTLP numbers it.
    pub severity: u64,
    /// The body.
    pub body: Value,
    /// The scope that wrote it.
    pub scope: Scope,
}

/// One data point with everything that stands above it.
#[derive(Clone, Debug)]
pub struct Point {
    /// The metric's name.
    pub metric: String,
    /// The metric's unit.
    pub unit: String,
    /// Sum, histogram, ...: the object that held the point, without its points.
    pub data: Map<String, Value>,
    /// Which of them.
    pub kind: String,
    /// Attributes of the Resource.
    pub resource: Map<String, Value>,
    /// Attributes of the point.
    pub attributes: Map<String, Value>,
    /// The point itself.
    pub point: Map<String, Value>,
    /// The scope that wrote it.
    pub scope: Scope,
}

/// Who wrote it, by which conventions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema of the scope or, where it has none, of the resource.
    pub schema_url: String,
}

impl Point {
    /// The value of an integer sum.
    pub fn integer(&self) -> u64 {
        self.number("asInt").unwrap_or_else(|| panic!("not an integer point: {self:#?}"))
    }

    /// A 64-bit field of the point.
    pub fn number(&self, key: &str) -> Option<u64> {
        integer(self.point.get(key)?)
    }

    /// An attribute as text, whatever its type.
    pub fn attribute(&self, key: &str) -> Option<String> {
        self.attributes.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

/// All log records of one message, in order.
pub fn logs(message: &Value) -> Vec<Log> {
    scoped(message, "resourceLogs", "scopeLogs", "logRecords").into_iter().map(log).collect()
}

/// All data points of one message, in order.
pub fn points(message: &Value) -> Vec<Point> {
    scoped(message, "resourceMetrics", "scopeMetrics", "metrics").iter().flat_map(metric_points).collect()
}

/// The log records of one message that are about connections to this server port, in order.
pub fn logs_at(message: &Value, server_port: u16) -> Vec<Log> {
    let records = scoped(message, "resourceLogs", "scopeLogs", "logRecords").into_iter();
    records.filter(|found| is_at(found.item, server_port)).map(log).collect()
}

/// The data points of one message with this server port, in order.
pub fn points_at(message: &Value, server_port: u16) -> Vec<Point> {
    let metrics = scoped(message, "resourceMetrics", "scopeMetrics", "metrics");
    metrics.iter().flat_map(|metric| points_that(metric, |point| is_at(point, server_port))).collect()
}

/// How many log records and data points one message carries.
pub fn records(message: &Value) -> usize {
    let logs = scoped(message, "resourceLogs", "scopeLogs", "logRecords").len();
    let metrics = scoped(message, "resourceMetrics", "scopeMetrics", "metrics");
    let points = |metric: &Scoped<'_>| {
        kind(metric.item).map_or(0, |kind| list(&metric.item[kind], "dataPoints").len())
    };
    logs + metrics.iter().map(points).sum::<usize>()
}

/// How many Resources one message carries.
pub fn resources(message: &Value) -> usize {
    list(message, "resourceLogs").len() + list(message, "resourceMetrics").len()
}

/// The first envelope without content; `None` when there is none, as it should be.
pub fn empty_envelope(message: &Value) -> Option<String> {
    let levels: [&[&str]; 2] =
        [&["resourceLogs", "scopeLogs", "logRecords"], &["resourceMetrics", "scopeMetrics", "metrics"]];
    if resources(message) == 0 {
        return Some("a message without Resources".to_owned());
    }
    let hollow = levels.iter().find_map(|path| empty_below(message, path));
    hollow.or_else(|| {
        let metrics = scoped(message, "resourceMetrics", "scopeMetrics", "metrics");
        let empty = metrics.into_iter().find(|item| metric_points(item).is_empty())?;
        Some(format!("a metric without points: {}", empty.item))
    })
}

fn empty_below(parent: &Value, path: &[&str]) -> Option<String> {
    let (children_key, rest) = path.split_first()?;
    let children = list(parent, children_key);
    let inner = rest.first()?;
    children.iter().find_map(|child| {
        if list(child, inner).is_empty() {
            Some(format!("{children_key} without {inner}"))
        } else {
            empty_below(child, rest)
        }
    })
}

#[derive(Clone, Copy)]
struct Scoped<'a> {
    resource: &'a Value,
    scope: &'a Value,
    item: &'a Value,
}

fn scoped<'a>(message: &'a Value, resources: &str, scopes: &str, items: &str) -> Vec<Scoped<'a>> {
    let mut found = Vec::new();
    for resource in list(message, resources) {
        for scope in list(resource, scopes) {
            for item in list(scope, items) {
                found.push(Scoped { resource, scope, item });
            }
        }
    }
    found
}

fn read_scope(resource: &Value, scope: &Value) -> Scope {
    let schema = scope["schemaUrl"].as_str().or_else(|| resource["schemaUrl"].as_str());
    Scope {
        name: text(&scope["scope"], "name"),
        version: text(&scope["scope"], "version"),
        schema_url: schema.unwrap_or_default().to_owned(),
    }
}

fn log(found: Scoped<'_>) -> Log {
    let record = found.item;
    let number = |key: &str| integer(&record[key]).unwrap_or_default();
    Log {
        event: Event {
            timestamp: number("timeUnixNano"),
            name: text(record, "eventName"),
            severity: record["severityNumber"].clone(),
            resource: attributes(&found.resource["resource"]),
            attributes: attributes(record),
        },
        observed: number("observedTimeUnixNano"),
        severity: number("severityNumber"),
        body: any_value(&record["body"]),
        scope: read_scope(found.resource, found.scope),
    }
}

fn metric_points(found: &Scoped<'_>) -> Vec<Point> {
    points_that(found, |_| true)
}

fn points_that(found: &Scoped<'_>, wanted: impl Fn(&Value) -> bool) -> Vec<Point> {
    let metric = found.item;
    let Some(kind) = kind(metric) else {
        return Vec::new();
    };
    let fields = metric[kind].as_object().into_iter().flatten().filter(|(key, _)| *key != "dataPoints");
    let data: Map<String, Value> = fields.map(|(key, value)| (key.clone(), value.clone())).collect();
    let point = |point: &Value| Point {
        metric: text(metric, "name"),
        unit: text(metric, "unit"),
        data: data.clone(),
        kind: kind.to_owned(),
        resource: attributes(&found.resource["resource"]),
        attributes: attributes(point),
        point: object(point),
        scope: read_scope(found.resource, found.scope),
    };
    list(&metric[kind], "dataPoints").iter().filter(|point| wanted(point)).map(point).collect()
}

/// What a metric is: the key of the object with its points.
fn kind(metric: &Value) -> Option<&'static str> {
    const KINDS: [&str; 5] = ["sum", "gauge", "histogram", "exponentialHistogram", "summary"];
    KINDS.into_iter().find(|kind| metric[*kind].is_object())
}

fn is_at(holder: &Value, server_port: u16) -> bool {
    let of_port = |pair: &&Value| pair["key"] == "server.port";
    let port = list(holder, "attributes").iter().find(of_port).map(|pair| &pair["value"]["intValue"]);
    port.and_then(integer) == Some(u64::from(server_port))
}

/// The `attributes` of an object as one flat map; panics on a key that comes twice.
fn attributes(holder: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    for pair in list(holder, "attributes") {
        let before = flat.insert(text(pair, "key"), any_value(&pair["value"]));
        assert!(before.is_none(), "the attribute {} comes twice: {holder}", pair["key"]);
    }
    flat
}

fn any_value(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "intValue" => {
            inner.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(inner.clone(), Value::from)
        }
        "arrayValue" => list(inner, "values").iter().map(any_value).collect(),
        _ => inner.clone(),
    }
}

fn integer(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn text(holder: &Value, key: &str) -> String {
    holder[key].as_str().unwrap_or_default().to_owned()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn list<'a>(holder: &'a Value, key: &str) -> &'a [Value] {
    holder[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{empty_envelope, logs, points};

    /// Scenario: one record as the oracle writes it and as the Collector writes it.
    /// Guarantees: both read the same.
    #[test]
    fn numbers_and_strings_read_the_same() {
        let message = |pid: serde_json::Value, time: serde_json::Value| {
            json!({"resourceLogs": [{
                "resource": {"attributes": [{"key": "process.pid", "value": {"intValue": pid}}]},
                "schemaUrl": "s",
                "scopeLogs": [{
                    "scope": {"name": "convis"},
                    "logRecords": [{"timeUnixNano": time, "severityNumber": 9, "eventName": "e"}],
                }],
            }]})
        };
        for message in [message(json!(7), json!(5)), message(json!("7"), json!("5"))] {
            let log = logs(&message).remove(0);
            assert_eq!(
                (log.event.pid(), log.event.timestamp, log.scope.schema_url.as_str()),
                (Some(7), 5, "s")
            );
            assert_eq!(empty_envelope(&message), None);
        }
    }

    /// Scenario: a sum with a point, a sum without one, a Resource without scopes.
    /// Guarantees: points carry what stands above them, and hollow envelopes are found.
    #[test]
    fn finds_points_and_hollow_envelopes() {
        let metric =
            |points| json!({"name": "m", "unit": "By", "sum": {"isMonotonic": true, "dataPoints": points}});
        let message =
            |metric| json!({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [metric]}]}]});
        let full = message(metric(json!([{"asInt": "5"}])));
        assert_eq!(points(&full)[0].integer(), 5);
        assert_eq!(points(&full)[0].data["isMonotonic"], true);
        assert_eq!(empty_envelope(&full), None);
        assert!(empty_envelope(&message(metric(json!([])))).is_some());
        assert!(empty_envelope(&json!({"resourceMetrics": [{"resource": {}}]})).is_some());
        assert!(empty_envelope(&json!({})).is_some());
    }
}
