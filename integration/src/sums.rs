//! Metrics of convis against the truth: cumulative sums at one server port.
//!
//! The Resource of metrics is the executable, which all tests share; the server port tells a test's own points.

use std::collections::BTreeMap;

use crate::actors::Truth;
use crate::otlp::Point;
use crate::truth::{Report, Side};

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// The last value of every cumulative series of one metric.
#[derive(Debug)]
pub struct Series(Vec<Point>);

/// Whether a point is about observed connections, not about convis.
pub fn is_observed(point: &Point) -> bool {
    is_observed_metric(&point.metric)
}

/// Whether a metric of this name is about observed connections.
pub fn is_observed_metric(name: &str) -> bool {
    name.starts_with("convis.tcp.") || name == "process.network.io"
}

impl Series {
    /// Of `metric` at this server port, from points in order of arrival. Panics if a series of sums breaks the rules:
    /// cumulative, monotonic, one start time.
    pub fn read(points: &[Point], metric: &str, server_port: u16) -> Self {
        let port = server_port.to_string();
        let mine = |point: &&Point| {
            point.metric == metric && point.attribute("server.port").as_deref() == Some(port.as_str())
        };
        let mut last: BTreeMap<String, &Point> = BTreeMap::new();
        for point in points.iter().filter(mine) {
            if let Some(before) = last.insert(identity(point), point) {
                follows(point, before);
            }
        }
        Self(last.into_values().cloned().collect())
    }

    /// The sum over all series that carry these attributes.
    pub fn sum(&self, wanted: &[(&str, &str)]) -> u64 {
        let fits = |point: &&Point| {
            wanted.iter().all(|(key, value)| point.attribute(key).as_deref() == Some(*value))
        };
        self.0.iter().filter(fits).map(Point::integer).sum()
    }
}

fn identity(point: &Point) -> String {
    format!("{:?} {:?}", point.resource, point.attributes)
}

fn follows(point: &Point, before: &Point) {
    assert_eq!(point.data["aggregationTemporality"], CUMULATIVE, "{point:#?}");
    assert_eq!(point.number("startTimeUnixNano"), before.number("startTimeUnixNano"), "{point:#?}");
    assert!(point.number("timeUnixNano") > before.number("timeUnixNano"), "{before:#?} then {point:#?}");
    if point.kind == "sum" && point.data.get("isMonotonic").is_some_and(|monotonic| monotonic == true) {
        assert!(point.integer() >= before.integer(), "{before:#?} then {point:#?}");
    }
}

/// Points in order of arrival with their deltas added up, as a backend does that keeps totals. Panics if a delta covers
/// time that another one of its series has covered, or if a counter is not a delta.
pub fn accumulated(points: &[Point]) -> Vec<Point> {
    let mut totals: BTreeMap<String, Point> = BTreeMap::new();
    let sums = points.iter().filter(|point| point.kind == "sum" && is_observed(point));
    sums.map(|point| {
        if point.data.get("isMonotonic").is_none_or(|monotonic| monotonic != true) {
            return point.clone();
        }
        assert_eq!(point.data["aggregationTemporality"], DELTA, "{point:#?}");
        let key = format!("{} {}", point.metric, identity(point));
        let total = add(totals.get(&key), point);
        totals.insert(key, total.clone());
        total
    })
    .collect()
}

fn add(before: Option<&Point>, point: &Point) -> Point {
    let mut total = point.clone();
    total.data.insert("aggregationTemporality".to_owned(), CUMULATIVE.into());
    if let Some(before) = before {
        let covered = before.number("timeUnixNano");
        assert!(point.number("startTimeUnixNano") >= covered, "{before:#?} then {point:#?}");
        total.point.insert("asInt".to_owned(), (before.integer() + point.integer()).into());
        total.point.insert("startTimeUnixNano".to_owned(), before.point["startTimeUnixNano"].clone());
    }
    total
}

/// Whether the counters at the truth's server port have reached the truth; for waiting.
pub fn complete(points: &[Point], truth: &Truth) -> bool {
    let closed = Series::read(points, "convis.tcp.connection.closed", truth.server.port());
    closed.sum(&[]) == truth.ends().count() as u64
}

/// Panics unless every counter at the truth's server port equals the truth.
pub fn check(points: &[Point], truth: &Truth) {
    for (side, reports) in [(Side::Client, &truth.clients), (Side::Server, &truth.servers)] {
        let role = side.to_string();
        let role = ("convis.connection.role", role.as_str());
        let series = |name| Series::read(points, name, truth.server.port());
        let total = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
        let count = reports.len() as u64;

        let io = series("convis.tcp.connection.io");
        assert_eq!(
            io.sum(&[role, ("network.io.direction", "transmit")]),
            total(|end| end.written),
            "{role:?} {io:#?}"
        );
        assert_eq!(
            io.sum(&[role, ("network.io.direction", "receive")]),
            total(|end| end.read),
            "{role:?} {io:#?}"
        );
        assert_eq!(series("convis.tcp.connection.opened").sum(&[role]), count, "opened, {role:?}");
        assert_eq!(series("convis.tcp.connection.active").sum(&[role]), 0, "active, {role:?}");

        let closed = series("convis.tcp.connection.closed");
        let first = reports.iter().filter(|end| end.closed_first == Some(true)).count() as u64;
        assert_eq!(
            closed.sum(&[role, ("convis.close.reason", "local_close")]),
            first,
            "{role:?} {closed:#?}"
        );
        assert_eq!(
            closed.sum(&[role, ("convis.close.reason", "peer_close")]),
            count - first,
            "{role:?} {closed:#?}"
        );
    }
}

/// Panics if an observed point is not as every one must be.
pub fn check_form(point: &Point) {
    assert_eq!(point.resource.get("process.pid"), None, "no pid on metrics by default: {point:#?}");
    let started = point.number("startTimeUnixNano");
    assert!(started.is_some_and(|time| time > 0) && started < point.number("timeUnixNano"), "{point:#?}");
    for key in ["client.port", "network.peer.address", "network.local.address", "convis.connection.id"] {
        assert!(!point.attributes.contains_key(key), "{key} is not bounded: {point:#?}");
    }
    if let Some(unit) = unit_of(&point.metric) {
        assert_eq!(point.unit, unit, "{point:#?}");
    }
}

/// Panics unless a point of a known process names it.
pub fn check_owner(point: &Point) {
    for key in ["host.name", "service.name", "service.instance.id", "process.executable.name"] {
        assert!(point.resource.contains_key(key), "{key} is missing: {point:#?}");
    }
}

fn unit_of(metric: &str) -> Option<&'static str> {
    match metric {
        "convis.tcp.connection.io" | "process.network.io" => Some("By"),
        "convis.tcp.connection.duration" | "convis.tcp.handshake.duration" | "convis.tcp.rtt" => Some("s"),
        "convis.tcp.retransmits" => Some("{segment}"),
        name if name.starts_with("convis.tcp.connection.") => Some("{connection}"),
        _ => None,
    }
}
