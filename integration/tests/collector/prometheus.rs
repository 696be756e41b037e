use std::collections::BTreeMap;

use convis_integration::actors::{Truth, free_port};
use convis_integration::clock::poll;
use convis_integration::collector::{Running, pipeline};
use convis_integration::convis::Convis;
use convis_integration::database::{Database, Kind, Options};
use convis_integration::need::root;
use convis_integration::truth::Report;
use convis_integration::{need, turns};

use super::{PATIENCE, play};

/// What tells series apart on both ways; each adds labels of its own from the Resource.
const LABELS: [&str; 12] = [
    "__name__",
    "job",
    "instance",
    "le",
    "server_port",
    "convis_connection_role",
    "convis_close_reason",
    "convis_peer_network",
    "network_io_direction",
    "network_transport",
    "network_type",
    "service_peer_name",
];

/// The last value of each series of convis at this server port.
fn series(database: &Database, server_port: u16) -> BTreeMap<String, f64> {
    let selector = format!("{{__name__=~\"convis_tcp_.+\",server_port=\"{server_port}\"}}");
    let named = database.now(&selector).into_iter().map(|series| {
        let labels: Vec<_> = LABELS.map(|name| format!("{name}={:?}", series.label(name))).into();
        (labels.join(" "), series.samples.last().map_or(f64::NAN, |(_, value)| *value))
    });
    let count = named.len();
    let series: BTreeMap<_, _> = named.collect();
    assert_eq!(series.len(), count, "two series have the same labels: {series:#?}");
    series
}

/// The sum of the series whose labels contain all these words.
fn sum(series: &BTreeMap<String, f64>, words: &[&str]) -> f64 {
    let fits = |labels: &&String| words.iter().all(|word| labels.contains(word));
    series.iter().filter(|(labels, _)| fits(labels)).map(|(_, value)| value).sum()
}

fn is_truth(series: &BTreeMap<String, f64>, truth: &Truth) -> bool {
    [("client", &truth.clients), ("server", &truth.servers)].into_iter().all(|(role, reports)| {
        let role = format!("convis_connection_role={role:?}");
        let total = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>() as f64;
        let is = |words: &[&str], expected: f64| {
            (sum(series, &[words, &[role.as_str()]].concat()) - expected).abs() < 0.5
        };
        let io = "\"convis_tcp_connection_io_bytes_total\"";
        is(&[io, "network_io_direction=\"transmit\""], total(|end| end.written))
            && is(&[io, "network_io_direction=\"receive\""], total(|end| end.read))
            && is(&["\"convis_tcp_connection_opened_total\""], total(|_| 1))
            && is(&["\"convis_tcp_connection_closed_total\""], total(|_| 1))
            && is(&["\"convis_tcp_connection_duration_seconds_count\""], total(|_| 1))
    })
}

/// Scenario: one convis writes to a Prometheus itself, and sends OTLP to a Collector with the sample for remote write, which
/// writes to another Prometheus.
/// Guarantees: both have the same series, names, buckets and owners, with the same values, and the sums are the truth.
#[test]
fn a_collector_writes_what_convis_writes_itself() {
    need!(root());
    let _turn = turns::together();
    let own = need!(Database::start(Kind::Prometheus3, Options::default()));
    let theirs = need!(Database::start(Kind::Prometheus3, Options::default()));
    let port = free_port();
    let variables = [("REMOTE_WRITE_URL", theirs.write_url()), ("OTLP_GRPC_PORT", port.to_string())];
    let collector = need!(Running::start(&pipeline("prometheus.yaml"), &variables, &[port]));
    let otlp = format!("otlp,endpoint=http://127.0.0.1:{port},protocol=grpc,signals=metrics");
    let convis = Convis::start(&["--interval", "1s", "--sink", &own.sink(), "--sink", &otlp]);
    let truth = play();

    let read = || [&own, &theirs].map(|database| series(database, truth.server.port()));
    let agreed = poll(PATIENCE, || {
        let [one, other] = read();
        (one == other && is_truth(&one, &truth)).then_some(())
    });
    if agreed.is_none() {
        let [one, other] = read();
        assert_eq!(one, other, "convis's own series, and the Collector's: {}", collector.log());
        panic!("the series are not the truth: {one:#?}");
    }
    assert!(convis.stop().status.success());
}
