//! The checks themselves: they pass what is right and fail what is wrong, before they judge convis.

use std::panic::catch_unwind;

use convis_integration::actors::{Scene, Truth, canonical};
use convis_integration::event::{CLOSED, Event, OPENED};
use convis_integration::flow::community_id;
use convis_integration::otlp::points;
use convis_integration::traffic::Exchange;
use convis_integration::truth::{Report, Side};
use convis_integration::{ends, sums, turns};
use serde_json::{Map, Value, json};

fn scene() -> Truth {
    let exchange = Exchange { send: 1000, expect: 500, ..Exchange::default() };
    Scene::one("127.0.0.1:0", exchange).play()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

/// What a perfect convis would say of an end.
fn perfect(report: &Report) -> [Event; 2] {
    let [local, peer, client, server] =
        [report.local, report.peer, report.client(), report.server()].map(canonical);
    let resource = object(json!({
        "process.pid": report.pid,
        "process.parent_pid": report.parent_pid,
        "process.executable.name": report.executable_name(),
        "process.executable.path": report.executable,
    }));
    let common = object(json!({
        "network.transport": "tcp", "network.type": "ipv4",
        "network.local.address": local.ip().to_string(), "network.local.port": local.port(),
        "network.peer.address": peer.ip().to_string(), "network.peer.port": peer.port(),
        "client.address": client.ip().to_string(), "client.port": client.port(),
        "server.address": server.ip().to_string(), "server.port": server.port(),
        "convis.connection.role": report.side.to_string(), "convis.connection.id": report.side.to_string(),
        "convis.flow.id": community_id(client, server), "convis.network.namespace": 1,
        "convis.process.attribution": "kernel",
    }));
    let mut opened = common.clone();
    if report.side == Side::Client {
        opened.insert("convis.tcp.handshake.duration".to_owned(), json!(0.00001));
    }
    let first = report.closed_first == Some(true);
    let mut closed = common;
    closed.extend(object(json!({
        "convis.bytes.sent": report.written, "convis.bytes.received": report.read,
        "convis.connection.duration": std::time::Duration::from_nanos(report.ended - report.opened).as_secs_f64(),
        "convis.close.reason": if first { "local_close" } else { "peer_close" },
    })));
    let event = |name: &str, timestamp, attributes| Event {
        timestamp,
        name: name.to_owned(),
        severity: json!("INFO"),
        resource: resource.clone(),
        attributes,
    };
    [event(OPENED, report.opened, opened), event(CLOSED, report.ended, closed)]
}

fn judge(events: &[Event], truth: &Truth) -> bool {
    let (client, server) = truth.first();
    catch_unwind(|| {
        ends::check(&ends::find(events, client), client, server);
        ends::check(&ends::find(events, server), server, client);
    })
    .is_ok()
}

/// Scenario: events made from the truth, then each of their members changed, then one missing, then one twice.
/// Guarantees: only the unchanged ones pass.
#[test]
fn every_deviation_of_an_event_is_found() {
    let _turn = turns::together();
    let truth = scene();
    let events: Vec<Event> = truth.ends().flat_map(perfect).collect();
    assert!(judge(&events, &truth));

    for (index, event) in events.iter().enumerate() {
        for key in event.attributes.keys().chain(event.resource.keys()) {
            let mut wrong = events.clone();
            let holder = if event.attributes.contains_key(key) {
                &mut wrong[index].attributes
            } else {
                &mut wrong[index].resource
            };
            let value = if key.ends_with("address") {
                json!("10.9.8.7")
            } else if key.ends_with("port") {
                json!(1)
            } else {
                json!(-77)
            };
            holder.insert(key.clone(), value);
            let free = key == "convis.network.namespace" || key == "convis.tcp.handshake.duration";
            assert!(free || !judge(&wrong, &truth), "{key} of {} may be anything", event.name);
        }
        let late = |by: u64| {
            let mut wrong = events.clone();
            wrong[index].timestamp += by;
            judge(&wrong, &truth)
        };
        assert!(!late(3_600_000_000_000), "an hour late");
    }
    assert!(!judge(&events[1..], &truth), "one event missing");
    let twice: Vec<Event> = events.iter().chain(&events[..1]).cloned().collect();
    assert!(!judge(&twice, &truth), "one event twice");
}

/// Metrics as a perfect convis would send them, plus a surplus of bytes and connections.
fn metrics(truth: &Truth, time: u64, surplus: u64) -> Value {
    let port = truth.server.port();
    let mut metrics = Vec::new();
    let mut sum = |name: &str, value: u64, role: &str, extra: Option<(&str, &str)>| {
        let mut attributes = vec![
            json!({"key": "server.port", "value": {"intValue": port.to_string()}}),
            json!({"key": "convis.connection.role", "value": {"stringValue": role}}),
        ];
        if let Some((key, value)) = extra {
            attributes.push(json!({"key": key, "value": {"stringValue": value}}));
        }
        let point =
            json!({"attributes": attributes, "startTimeUnixNano": 1, "timeUnixNano": time, "asInt": value});
        metrics.push(json!({"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point]}}));
    };
    for report in truth.ends() {
        let role = report.side.to_string();
        let reason = if report.closed_first == Some(true) { "local_close" } else { "peer_close" };
        let direction = |direction| Some(("network.io.direction", direction));
        sum("convis.tcp.connection.io", report.written + surplus, &role, direction("transmit"));
        sum("convis.tcp.connection.io", report.read, &role, direction("receive"));
        sum("convis.tcp.connection.opened", 1, &role, None);
        sum("convis.tcp.connection.closed", 1 + surplus, &role, Some(("convis.close.reason", reason)));
    }
    json!({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": metrics}]}]})
}

/// Scenario: counters made from the truth, once complete, once with a surplus, once running backwards.
/// Guarantees: only the first pass, and repeated cumulative points are not added up.
#[test]
fn every_deviation_of_a_sum_is_found() {
    let _turn = turns::together();
    let truth = scene();
    let judge = |messages: &[Value]| {
        let points: Vec<_> = messages.iter().flat_map(points).collect();
        catch_unwind(|| sums::check(&points, &truth)).is_ok() && sums::complete(&points, &truth)
    };
    assert!(judge(&[metrics(&truth, 10, 0), metrics(&truth, 20, 0)]));
    assert!(!judge(&[]));
    assert!(!judge(&[metrics(&truth, 10, 1)]));
    assert!(!judge(&[metrics(&truth, 10, 1), metrics(&truth, 20, 0)]), "backwards");
    assert!(!judge(&[metrics(&truth, 20, 0), metrics(&truth, 20, 0)]), "twice at one instant");
}
