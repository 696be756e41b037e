use std::sync::Arc;

use convis_otel_config::HistogramForm;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::Value as Json;

use super::encoding::assert_golden_text;
use crate::batch::Slice;
use crate::model::{EventBatch, MetricBatch, Resource, Role};
use crate::otlp::delta::Delta;
use crate::otlp::encode_metrics::encode;
use crate::otlp::json::{Object, double};
use crate::otlp::{encode_logs, encode_logs_json, json_metrics};
use crate::testing::samples;

/// That both forms of a request are the same message to the generated types, and the JSON one is strict.
fn assert_equal_forms(slices: &[Slice<EventBatch>]) -> Vec<u8> {
    let json = encode_logs_json(slices);
    let of_json: ExportLogsServiceRequest = serde_json::from_slice(&json).unwrap();
    assert_eq!(of_json, ExportLogsServiceRequest::decode(encode_logs(slices).as_slice()).unwrap());
    assert_strict(&serde_json::from_slice(&json).unwrap());
    json
}

/// The JSON form of a request, which is that of the same message.
fn metrics_json(request: &ExportMetricsServiceRequest) -> String {
    let json = json_metrics::write(request);
    assert_eq!(&serde_json::from_slice::<ExportMetricsServiceRequest>(&json).unwrap(), request);
    assert_strict(&serde_json::from_slice(&json).unwrap());
    String::from_utf8(json).unwrap()
}

/// No null, which some receivers refuse; 64-bit integers as decimal strings and all others as numbers.
fn assert_strict(json: &Json) {
    const STRINGS: [&str; 7] = [
        "timeUnixNano",
        "startTimeUnixNano",
        "observedTimeUnixNano",
        "count",
        "zeroCount",
        "asInt",
        "intValue",
    ];
    const NUMBERS: [&str; 5] = ["severityNumber", "aggregationTemporality", "flags", "scale", "offset"];
    match json {
        Json::Null => panic!("null"),
        Json::Array(items) => items.iter().for_each(assert_strict),
        Json::Object(members) => {
            for (name, member) in members {
                if STRINGS.contains(&name.as_str()) {
                    assert!(member.as_str().unwrap().parse::<i64>().is_ok(), "{name}: {member}");
                }
                if NUMBERS.contains(&name.as_str()) {
                    assert!(member.is_i64(), "{name}: {member}");
                }
                if name == "bucketCounts" {
                    assert!(member.as_array().unwrap().iter().all(Json::is_string), "{name}: {member}");
                }
                assert_strict(member);
            }
        }
        Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Scenario: events of all kinds.
/// Guarantees: the JSON request is the one on file, byte for byte, and the same message as the protobuf one.
#[test]
fn logs_in_json_equal_the_golden_file() {
    let json = assert_equal_forms(&[Slice::whole(samples::events())]);
    assert_golden_text("otlp_logs_wire.json", &String::from_utf8(json).unwrap());
}

/// Scenario: points of all kinds, with the ends of series.
/// Guarantees: the JSON request is the one on file, byte for byte, and the same message as the protobuf one.
#[test]
fn metrics_in_json_equal_the_golden_file() {
    let request = encode(&[Slice::whole(samples::metrics())], HistogramForm::Explicit, None);
    assert_golden_text("otlp_metrics_wire.json", &metrics_json(&request));
}

/// Scenario: histograms with exponential buckets, and the end of one.
/// Guarantees: the JSON request is the one on file, byte for byte, and the same message as the protobuf one.
#[test]
fn exponential_histograms_in_json_equal_the_golden_file() {
    let request = encode(
        &[Slice::whole(samples::exponential(&[0.0, 0.25, 0.3, 4.0]))],
        HistogramForm::Exponential,
        None,
    );
    assert_golden_text("otlp_exponential_wire.json", &metrics_json(&request));
}

/// Scenario: nothing, and only points that say nothing new.
/// Guarantees: no request at all.
#[test]
fn nothing_is_no_request() {
    let events = samples::events();
    assert!(encode_logs_json(&[]).is_empty());
    assert!(encode_logs_json(&[Slice { from: 3, to: 3, ..Slice::whole(events) }]).is_empty());
    let batch = Arc::new(MetricBatch { resources: Vec::new(), ..MetricBatch::clone(&samples::metrics()) });
    let mut delta = Delta::default();
    assert!(
        encode(&[Slice::whole(batch)], HistogramForm::Explicit, Some(&mut delta)).resource_metrics.is_empty()
    );
}

/// Scenario: floating point numbers that JSON has and has not.
/// Guarantees: the former read back the same, the latter are the strings of the protobuf JSON mapping.
#[test]
fn doubles_are_those_of_the_mapping() {
    let written = |number: f64| {
        let mut out = Vec::new();
        double(&mut out, number);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(written),
        ["\"NaN\"", "\"Infinity\"", "\"-Infinity\""]
    );
    for number in [0.0, -0.0, 1.0, 0.1, 5e-324, f64::MAX, 1e21, 1e-7] {
        let read: f64 = serde_json::from_str(&written(number)).unwrap();
        assert_eq!(read.to_bits(), number.to_bits(), "{}", written(number));
    }
}

proptest! {
    /// Scenario: Resources with any text, also what JSON has to escape.
    /// Guarantees: both forms are the same message.
    #[test]
    fn any_text_is_the_same_in_both_forms(texts in prop::collection::vec("(\\PC|[\"\\\\\u{0}-\u{20}\u{7f}]){0,20}", 0..4), number: i64) {
        let resource = Resource::builder()
            .with("process.executable.name", texts.concat())
            .with("number", number)
            .with("flag", number > 0)
            .with("list", texts);
        let ends = ["10.0.0.2:53412", "[2001:db8::1]:443"];
        let event = samples::event(&Arc::new(resource.build()), Some(Role::Client), ends, samples::closed(1, 2));
        assert_equal_forms(&[Slice::whole(Arc::new(EventBatch { events: vec![event] }))]);
    }

    /// Scenario: any text as a string.
    /// Guarantees: a strict parser reads it back.
    #[test]
    fn strings_read_back(text in "\\PC*|.*") {
        let mut out = Vec::new();
        Object::write(&mut out, |object| object.string("text", &text));
        let json: Json = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(json["text"].as_str(), Some(text.as_str()));
    }
}
