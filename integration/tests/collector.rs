//! A real OpenTelemetry Collector as the receiver, and the sample pipelines for it.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use convis_integration::actors::Scene;
use convis_integration::collector::{Collector, binary, pipeline};
use convis_integration::convis::Convis;
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::process::run;
use convis_integration::traffic::Exchange;
use convis_integration::{ends, need, sums, turns};

const CONNECTIONS: usize = 10;

/// Scenario: every sample pipeline is given to the Collector's own check.
/// Guarantees: users can take them as they are.
#[test]
fn sample_pipelines_are_valid() {
    let collector = need!(binary());
    for name in ["debug.yaml", "prometheus.yaml", "file.yaml"] {
        let mut command = Command::new(&collector);
        command.arg("validate").arg("--config").arg(pipeline(name));
        let (status, process) = run("otelcol-convis", command, Duration::from_secs(20));
        assert!(status.success(), "{name}: {}", process.stderr());
    }
}

/// Sends ten connections through a Collector and compares the file it writes.
fn passes_through(protocol: &str) {
    let collector = need!(Collector::start());
    let port = if protocol == "grpc" { collector.grpc } else { collector.http };
    let sink = format!("otlp,endpoint=http://127.0.0.1:{port},protocol={protocol},compression=gzip");
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
}

/// Scenario: ten connections over gRPC to a Collector that writes a file.
/// Guarantees: the file holds every event and every counter, exact.
#[test]
fn a_collector_understands_it_over_grpc() {
    need!(root());
    let _turn = turns::together();
    passes_through("grpc");
}

/// Scenario: the same over HTTP.
/// Guarantees: the same.
#[test]
fn a_collector_understands_it_over_http() {
    need!(root());
    let _turn = turns::together();
    passes_through("http/protobuf");
}
