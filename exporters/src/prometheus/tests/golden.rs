use std::fmt::Write as _;
use std::sync::Arc;

use convis_otel_config::{RemoteWrite, RemoteWriteVersion};

use super::{ended, message, metrics, native_metrics, to, writer};
use crate::batch::Slice;
use crate::model::MetricBatch;
use crate::outcome::Exporter as _;
use crate::prometheus::wire::{v1, v2};
use crate::testing::assert_golden;

/// Encodes the sample batch, a later one and their end, each as one request.
fn bodies(version: RemoteWriteVersion) -> Vec<Vec<u8>> {
    encoded(&to("http://127.0.0.1:1", version), [metrics(0), metrics(10), ended(20)])
}

fn encoded(config: &RemoteWrite, batches: [Arc<MetricBatch>; 3]) -> Vec<Vec<u8>> {
    let mut writer = writer(config);
    let encode = |batch| {
        let payload = writer.encode(&[Slice::whole(batch)]);
        writer.settled(true);
        payload.body.to_vec()
    };
    batches.into_iter().map(encode).collect()
}

/// NaN has many bits, of which only some mean anything.
fn number(value: f64) -> String {
    if value.is_nan() { format!("NaN:{:016x}", value.to_bits()) } else { value.to_string() }
}

/// Scenario: two Resources with every kind of series begin, go on and end, by remote write 1.0.
/// Guarantees: names, labels, values and times as documented.
#[test]
fn version_1() {
    let mut text = String::new();
    for body in bodies(RemoteWriteVersion::V1) {
        for series in message::<v1::WriteRequest>(&body).timeseries {
            for label in &series.labels {
                write!(text, "{}={:?} ", label.name, label.value).unwrap();
            }
            for sample in &series.samples {
                write!(text, "{}@{} ", number(sample.value), sample.timestamp).unwrap();
            }
            text = text.trim_end().to_owned() + "\n";
        }
        text.push('\n');
    }
    assert_golden("prometheus_v1.txt", &text);
}

/// Scenario: the same by 2.0.
/// Guarantees: the same, with kind, help, unit and start times; symbols start with the empty one and are there once.
#[test]
fn version_2() {
    let text: String = bodies(RemoteWriteVersion::V2).iter().map(|body| shown(&message(body))).collect();
    assert_golden("prometheus_v2.txt", &text);
}

/// The first, a later and the last request of a sink that sends native histograms.
fn native_bodies() -> Vec<Vec<u8>> {
    let config = RemoteWrite { native_histograms: true, ..to("http://127.0.0.1:1", RemoteWriteVersion::V2) };
    encoded(&config, [native_metrics(0), native_metrics(10), ended(20)])
}

/// Scenario: the same by 2.0, with native histograms.
/// Guarantees: one series of a histogram, with schema, spans, deltas, hint and both times; no other is another.
#[test]
fn version_2_with_native_histograms() {
    let text: String = native_bodies().iter().map(|body| shown(&message(body))).collect();
    assert_golden("prometheus_v2_native.txt", &text);
}

/// A 2.0 request as text, a series a line.
fn shown(request: &v2::Request) -> String {
    let mut text = String::new();
    let symbol = |index: u32| request.symbols[index as usize].as_str();
    assert_eq!(symbol(0), "");
    let mut once = request.symbols.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), request.symbols.len());
    for series in &request.timeseries {
        for pair in series.labels_refs.chunks(2) {
            write!(text, "{}={:?} ", symbol(pair[0]), symbol(pair[1])).unwrap();
        }
        for sample in &series.samples {
            write!(text, "{}@{}", number(sample.value), sample.timestamp).unwrap();
            write!(text, "<{} ", sample.start_timestamp).unwrap();
        }
        for of in &series.histograms {
            let spans: Vec<_> = of.positive_spans.iter().map(|span| (span.offset, span.length)).collect();
            write!(text, "{{count {:?} sum {} schema {} ", of.count, number(of.sum), of.schema).unwrap();
            write!(text, "zero {:?} up to {} ", of.zero_count, of.zero_threshold).unwrap();
            write!(text, "spans {spans:?} deltas {:?} hint {}", of.positive_deltas, of.reset_hint).unwrap();
            write!(text, "}}@{}<{} ", of.timestamp, of.start_timestamp).unwrap();
        }
        let metadata = series.metadata.unwrap();
        let (help, unit) = (symbol(metadata.help_ref), symbol(metadata.unit_ref));
        writeln!(text, "{:?} {help:?} {unit:?}", v2::Kind::try_from(metadata.kind).unwrap()).unwrap();
    }
    text + "\n"
}

/// Scenario: the first request of each version.
/// Guarantees: its bytes before compression, so that no encoder changes them unseen.
#[test]
fn bytes_on_the_wire() {
    let table = [
        (bodies(RemoteWriteVersion::V1), "1"),
        (bodies(RemoteWriteVersion::V2), "2"),
        (native_bodies(), "2_native"),
    ];
    for (bodies, name) in table {
        let message = snap::raw::Decoder::new().decompress_vec(&bodies[0]).unwrap();
        let lines: Vec<_> = message
            .chunks(32)
            .map(|bytes| bytes.iter().fold(String::new(), |line, byte| format!("{line}{byte:02x}")))
            .collect();
        assert_golden(&format!("prometheus_v{name}.hex"), &(lines.join("\n") + "\n"));
    }
}
