//! OTLP/JSON, zstd and exponential histograms, as a real OpenTelemetry Collector reads them.

use std::thread::sleep;
use std::time::Duration;

use convis_integration::actors::Scene;
use convis_integration::collector::Collector;
use convis_integration::convis::Convis;
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::otlp::Point;
use convis_integration::traffic::Exchange;
use convis_integration::{ends, need, sums, turns};
use serde_json::Value;

const CONNECTIONS: usize = 10;

/// Scenario: ten connections, reported as JSON that zstd compresses, histograms with exponential buckets, to a Collector
/// that writes a file.
/// Guarantees: the file holds every event and every counter, exact, and convis's own metrics; each duration that the events
/// tell is in its bucket.
#[test]
fn a_collector_understands_json() {
    need!(root());
    let _turn = turns::together();
    let collector = need!(Collector::start());
    let sink = format!(
        "otlp,endpoint=http://127.0.0.1:{},protocol=http/json,compression=zstd,\
         histogram=base2_exponential_bucket_histogram",
        collector.http
    );
    let convis = Convis::start(&["--interval", "1s", "--sink", &sink]);
    let exchange = Exchange { send: 54_321, expect: 9_876, ..Exchange::default() };
    let truth = Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play();
    sleep(Duration::from_millis(1200));
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);

    let received = collector.finish();
    let events: Vec<Event> = received
        .logs
        .into_iter()
        .map(|log| log.event)
        .filter(|event| event.is_at(truth.server.port()))
        .collect();
    assert_eq!(events.len(), 4 * CONNECTIONS, "{events:#?}");
    for client in &truth.clients {
        let server = truth.other_end(client);
        ends::check(&ends::find(&events, client), client, server);
        ends::check(&ends::find(&events, server), server, client);
    }
    sums::check(&received.points, &truth);
    for role in ["client", "server"] {
        check_durations(&received.points, truth.server.port(), role, &durations(&events, role));
    }
    assert!(received.points.iter().any(|point| point.metric == "convis.events.seen"));
    assert!(received.points.iter().all(|point| point.kind != "histogram"));
}

/// What the closed events of this role say, in seconds.
fn durations(events: &[Event], role: &str) -> Vec<f64> {
    let of_role = events.iter().filter(|event| event.attributes["convis.connection.role"] == role);
    of_role.filter_map(|event| event.attributes.get("convis.connection.duration")?.as_f64()).collect()
}

/// Panics unless the last point of durations holds these, each in its bucket by the definition.
fn check_durations(points: &[Point], port: u16, role: &str, expected: &[f64]) {
    let port = port.to_string();
    let mine = |point: &&Point| {
        point.metric == "convis.tcp.connection.duration"
            && point.attribute("server.port").as_ref() == Some(&port)
            && point.attribute("convis.connection.role").as_deref() == Some(role)
            && point.number("count").is_some_and(|count| count > 0)
    };
    let point = points.iter().rfind(mine).unwrap_or_else(|| panic!("no durations of the {role}"));
    assert_eq!((point.kind.as_str(), expected.len()), ("exponentialHistogram", CONNECTIONS), "{point:#?}");
    assert_eq!(point.number("count"), Some(CONNECTIONS as u64), "{point:#?}");
    let sum = point.point["sum"].as_f64().unwrap_or(f64::NAN);
    assert!((sum - expected.iter().sum::<f64>()).abs() < 1e-9, "{expected:?} {point:#?}");

    let positive = &point.point["positive"];
    let per_octave = f64::from(small(&point.point["scale"])).exp2();
    let counts = positive["bucketCounts"].as_array().map_or(&[][..], Vec::as_slice);
    let mut held = 0;
    for (index, count) in (small(&positive["offset"])..).zip(counts) {
        let [above, up_to] = [index, index + 1].map(|bound| (f64::from(bound) / per_octave).exp2());
        let fitting = expected.iter().filter(|duration| above < **duration && **duration <= up_to).count();
        assert_eq!(small(count), i32::try_from(fitting).unwrap_or(-1), "{index}: {expected:?} {point:#?}");
        held += fitting;
    }
    assert_eq!(held, CONNECTIONS, "{expected:?} {point:#?}");
}

/// An integer as a number or a string; 0 where it is left out.
fn small(number: &Value) -> i32 {
    let wide = number.as_i64().or_else(|| number.as_str()?.parse().ok());
    wide.and_then(|wide| i32::try_from(wide).ok()).unwrap_or(0)
}
