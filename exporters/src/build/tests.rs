mod reload;

use std::path::Path;
use std::time::Duration;

use convis_otel_config::{Compression, HistogramForm, OtlpConfig, OtlpSignal, Protocol, Temporality};
use tokio::time::Instant;

use super::build;
use crate::accounting::{DropReason, StatsSnapshot};
use crate::retry::RetryPolicy;
use crate::settings::Settings;
use crate::sink::Signal;
use crate::testing::http::{Answer, Receiver};
use crate::testing::{grpc, samples, signal};
use convis_otel_config::{
    EventKinds, FileConfig, PrometheusConfig, PrometheusWay, SinkConfig, SinkKind, Storage,
};

fn http(base: &str, path: &str) -> OtlpSignal {
    OtlpSignal {
        compression: Compression::Gzip,
        timeout: Some(Duration::from_millis(200)),
        ..signal(&format!("{base}/{path}"), Protocol::HttpProtobuf)
    }
}

fn otlp(logs: Option<OtlpSignal>, metrics: Option<OtlpSignal>) -> SinkConfig {
    SinkKind::Otlp(OtlpConfig {
        logs,
        metrics,
        temporality: Temporality::Cumulative,
        histogram: HistogramForm::Explicit,
    })
    .into()
}

fn settings() -> Settings {
    let retry = RetryPolicy { initial: Duration::from_millis(10), ..RetryPolicy::default() };
    Settings {
        event_delay: Duration::from_millis(10),
        events: Some(EventKinds::ALL),
        retry,
        ..Settings::default()
    }
}

fn snapshots(sinks: &[crate::Sink]) -> Vec<(String, Signal, StatsSnapshot)> {
    let lanes = sinks.iter().flat_map(crate::Sink::stats);
    lanes.map(|lane| (lane.sink.to_string(), lane.signal, lane.stats.snapshot())).collect()
}

/// Waits until every lane has nothing left to do.
async fn idle(sinks: &[crate::Sink]) {
    let waiting = async {
        while snapshots(sinks).iter().any(|(_, _, lane)| lane.queued() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
}

/// Scenario: two OTLP sinks, over HTTP with both signals and over gRPC with one; the first answer to a request hangs.
/// Guarantees: names, lanes and counts; a retry after the timeout; every record arrives once at each.
#[tokio::test]
async fn sinks_deliver_and_count() {
    let (web, base) = Receiver::start(vec![Answer::Hang]).await;
    let (rpc, endpoint) = grpc::Receiver::start(Vec::new()).await;
    let configs = [
        otlp(Some(http(&base, "v1/logs")), Some(http(&base, "v1/metrics"))),
        otlp(Some(signal(&endpoint, Protocol::Grpc)), None),
    ];
    let (sinks, runners) = build(&configs, &settings()).unwrap();
    assert_eq!(sinks[0].name(), "otlp");
    assert_eq!(sinks[1].name(), "otlp/2");
    assert!(sinks[0].takes(Signal::Metrics) && !sinks[1].takes(Signal::Metrics));
    for sink in &sinks {
        sink.offer_events(&samples::events());
        sink.offer_metrics(&samples::metrics());
    }
    idle(&sinks).await;
    let sent: Vec<_> =
        snapshots(&sinks).iter().map(|(sink, lane, stats)| (sink.clone(), *lane, stats.sent)).collect();
    assert_eq!(
        sent,
        [
            ("otlp".to_owned(), Signal::Events, samples::EVENTS),
            ("otlp".to_owned(), Signal::Metrics, 6),
            ("otlp/2".to_owned(), Signal::Events, samples::EVENTS),
        ]
    );
    assert_eq!(snapshots(&sinks).iter().map(|(_, _, stats)| stats.retries).sum::<u64>(), 1);
    assert_eq!(web.asked().len(), 3);
    assert_eq!(rpc.asked().len(), 1);
    assert!(runners.stop(Instant::now() + Duration::from_secs(5)).await.is_empty());
}

/// Scenario: nothing listens, then the process stops.
/// Guarantees: it stops without waiting for the deadline, and what could not be sent is counted.
#[tokio::test]
async fn a_stop_with_a_dead_receiver_is_quick_and_counted() {
    let (sinks, runners) =
        build(&[otlp(Some(http("http://127.0.0.1:1", "v1/logs")), None)], &settings()).unwrap();
    sinks[0].offer_events(&samples::events());
    let begin = Instant::now();
    assert!(runners.stop(begin + Duration::from_mins(1)).await.is_empty());
    assert!(begin.elapsed() < Duration::from_secs(20));
    let (_, _, stats) = &snapshots(&sinks)[0];
    assert_eq!((stats.accepted, stats.dropped_for(DropReason::Shutdown)), (samples::EVENTS, samples::EVENTS));
}

/// Scenario: the second sink cannot be built.
/// Guarantees: the error names it, and the first was not started.
#[tokio::test]
async fn nothing_starts_unless_everything_can() {
    let mut broken = signal("https://localhost", Protocol::HttpProtobuf);
    broken.ca = Some(b"nothing".to_vec());
    let fine = otlp(None, Some(http("http://127.0.0.1:1", "v1/metrics")));
    let error = build(&[fine, otlp(Some(broken), None)], &settings()).err().unwrap();
    assert_eq!(error.to_string(), "sink otlp/2: no PEM certificate to trust; check `ca`");
}

/// Scenario: every sink is dropped without a stop.
/// Guarantees: the lanes end well once they have nothing left.
#[tokio::test]
async fn lanes_end_when_their_sinks_are_gone() {
    let (_web, base) = Receiver::start(Vec::new()).await;
    let (sinks, mut runners) = build(&[otlp(Some(http(&base, "v1/logs")), None)], &settings()).unwrap();
    sinks[0].offer_events(&samples::events());
    let stats = sinks[0].stats();
    drop(sinks);
    assert!(runners.failed().await.is_none());
    assert_eq!(stats[0].stats.snapshot().sent, samples::EVENTS);
}

/// Scenario: a sink that takes only some kinds of events, beside one that takes what all are given.
/// Guarantees: each gets its own kinds, and nothing else is accepted or counted.
#[tokio::test]
async fn each_sink_gets_the_kinds_it_takes() {
    let (_web, base) = Receiver::start(Vec::new()).await;
    let mut few = otlp(Some(http(&base, "v1/logs")), None);
    few.events = Some(EventKinds { failed: true, ..EventKinds::NONE });
    let (sinks, runners) = build(&[few, otlp(Some(http(&base, "v1/logs")), None)], &settings()).unwrap();
    assert!(!sinks[0].kinds().opened && sinks[1].kinds().opened);
    let events = samples::events();
    let failed = events.events.iter().filter(|event| event.name().short() == "failed").count() as u64;
    assert!(failed > 0 && failed < events.events.len() as u64);
    for sink in &sinks {
        sink.offer_events(&events);
    }
    idle(&sinks).await;
    let sent: Vec<_> = snapshots(&sinks).iter().map(|(_, _, lane)| (lane.accepted, lane.sent)).collect();
    let all = events.events.len() as u64;
    assert_eq!(sent, [(failed, failed), (all, all)]);
    drop(sinks);
    assert!(runners.stop(Instant::now()).await.is_empty());
}

/// Scenario: two sinks share a storage directory, a second process wants the same, and the place of one is a file.
/// Guarantees: sinks have places of their own; what is in use or cannot be used is an error of one line that names the sink.
#[tokio::test]
async fn storage_belongs_to_one_sink_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let with = |directory: &Path| {
        let mut sink = otlp(Some(http("http://127.0.0.1:1", "v1/logs")), None);
        sink.delivery.storage = Some(Storage { directory: directory.to_owned(), max_bytes: 1 << 20 });
        sink
    };
    let sinks = [with(folder.path()), with(folder.path())];
    let (first, runners) = build(&sinks, &settings()).unwrap();
    let error = build(&sinks, &settings()).err().unwrap().to_string();
    let place = folder.path().join("otlp");
    let expected = format!(
        "sink otlp: storage: cannot use {}: another convis uses it; give each its own `storage` directory",
        place.display()
    );
    assert_eq!(error, expected);
    drop(first);
    assert!(runners.stop(Instant::now()).await.is_empty());

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = build(&[with(&file)], &settings()).err().unwrap().to_string();
    assert!(error.starts_with("sink otlp: storage: cannot make "), "{error}");
    assert!(error.ends_with("choose another `storage` directory") && error.lines().count() == 1, "{error}");
}

/// Scenario: two sinks with one file, by the same path, by another way to it, and as what the other renames it to; two that
/// listen on one address; beside them two to one device and two that let the system choose a port.
/// Guarantees: each pair that would destroy or hide what the other does is refused in one line with both names; the rest runs.
#[tokio::test]
async fn what_only_one_can_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &Path| SinkConfig::from(SinkKind::File(file_at(path)));
    let path = folder.path().join("events.jsonl");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    for second in [path.clone(), link.join("events.jsonl"), folder.path().join("events.jsonl.3")] {
        let error =
            build(&[otlp(None, None), file(&path), file(&second)], &settings()).err().unwrap().to_string();
        assert!(error.starts_with("sink file/2: sink file already writes "), "{error}");
        assert!(error.ends_with("give each its own `path`") && error.lines().count() == 1, "{error}");
    }
    let listen = |address: &str| {
        let way = PrometheusWay::Listen(address.parse().unwrap());
        SinkConfig::from(SinkKind::Prometheus(PrometheusConfig { way, resource_labels: Vec::new() }))
    };
    let error =
        build(&[listen("127.0.0.1:9"), listen("127.0.0.1:9")], &settings()).err().unwrap().to_string();
    let expected =
        "sink prometheus/2: sink prometheus already listens on 127.0.0.1:9; give each its own `listen`";
    assert_eq!(error, expected);

    let null = Path::new("/dev/null");
    let beside = folder.path().join("events.jsonl.7");
    let any = "127.0.0.1:0";
    let together = [file(null), file(null), file(&path), file(&beside), listen(any), listen(any)];
    let (sinks, runners) = build(&together, &settings()).unwrap();
    assert_eq!(sinks.len(), together.len());
    drop(sinks);
    assert!(runners.stop(Instant::now()).await.is_empty());
}

fn file_at(path: &Path) -> FileConfig {
    FileConfig { path: path.to_owned(), max_bytes: 1 << 20, max_backups: 5 }
}
