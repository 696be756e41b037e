use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use convis_integration::actors::{Truth, free_port};
use convis_integration::clock::wait_for;
use convis_integration::collector::{Collector, Running, binary, pipeline, pipelines};
use convis_integration::convis::Convis;
use convis_integration::http;
use convis_integration::ledger::Ledger;
use convis_integration::need::root;
use convis_integration::oracle::{Oracle, Request};
use convis_integration::process::run;
use convis_integration::truth::Report;
use convis_integration::{need, sums, turns};

use super::{EVENTS, PATIENCE, check_events, events, play};

/// Scenario: every sample pipeline is given to the Collector's own check.
/// Guarantees: users can take them as they are.
#[test]
fn sample_pipelines_are_valid() {
    let collector = need!(binary());
    let names = pipelines();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let mut command = Command::new(&collector);
        command.arg("validate").arg("--config").arg(pipeline(&name));
        // As a DaemonSet gives it.
        command.env("K8S_NODE_NAME", "node-1");
        let (status, process) = run("otelcol-convis", command, Duration::from_secs(20));
        assert!(status.success(), "{name}: {}", process.stderr());
    }
}

/// A sample with its OTLP port.
fn start(name: &str, mut variables: Vec<(&str, String)>) -> Result<(Running, u16), String> {
    let port = free_port();
    variables.push(("OTLP_GRPC_PORT", port.to_string()));
    variables.push(("OTLP_HTTP_PORT", free_port().to_string()));
    Ok((Running::start(&pipeline(name), &variables, &[port])?, port))
}

/// Scenario: convis sends ten connections to the samples for a file, for the log, for Loki and for a scraping Prometheus.
/// Guarantees: the file has all events and sums; the log shows each event; what would be Loki gets each event with its
/// name, and no Resource whose attributes would make a stream for each process; a scrape has the sums of the truth.
#[test]
fn samples_deliver_everything() {
    need!(root());
    let _turn = turns::together();
    let loki = need!(Oracle::start("none"));
    let scrape = free_port();
    let file = need!(Collector::start());
    let (debug, to_debug) = need!(start("debug.yaml", Vec::new()));
    let url = format!("http://127.0.0.1:{}/otlp", loki.ports().http);
    let (_loki, to_loki) = need!(start("loki.yaml", vec![("LOKI_URL", url)]));
    let (_scrape, to_scrape) =
        need!(start("prometheus-scrape.yaml", vec![("SCRAPE_PORT", scrape.to_string())]));
    let sink = |port, signals| {
        ["--sink".to_owned(), format!("otlp,endpoint=http://127.0.0.1:{port},protocol=grpc{signals}")]
    };
    let mut arguments = vec!["--interval".to_owned(), "1s".to_owned()];
    for (port, signals) in [
        (file.grpc, ""),
        (to_debug, ",signals=logs"),
        (to_loki, ",signals=logs"),
        (to_scrape, ",signals=metrics"),
    ] {
        arguments.extend(sink(port, signals));
    }
    let convis = Convis::start(&arguments);
    let truth = play();

    check_log(&debug, &truth);
    check_loki(&loki, &truth);
    check_scrape(SocketAddr::from(([127, 0, 0, 1], scrape)), &truth);
    assert!(convis.stop().status.success());
    let received = file.finish();
    check_events(&events(received.logs, &truth), &truth, "file.yaml");
    sums::check(&received.points, &truth);
}

/// Each event has one line with its server's port.
fn check_log(debug: &Running, truth: &Truth) {
    let line = format!("-> server.port: Int({})", truth.server.port());
    let count = || debug.log().lines().filter(|said| said.contains(&line)).count();
    wait_for("events in the Collector's log", PATIENCE, || (count() >= EVENTS).then_some(()));
    assert_eq!(count(), EVENTS);
}

fn check_loki(loki: &Oracle, truth: &Truth) {
    let logs = || loki.requests().iter().flat_map(Request::logs).collect::<Vec<_>>();
    wait_for("events at Loki", PATIENCE, || (events(logs(), truth).len() >= EVENTS).then_some(()));
    check_events(&events(logs(), truth), truth, "loki.yaml");
    for event in events(logs(), truth) {
        assert_eq!(event.text("event_name"), event.name, "{event:#?}");
        assert!(!event.text("service.instance.id").is_empty(), "{event:#?}");
        for key in ["service.instance.id", "k8s.pod.name"] {
            assert!(!event.resource.contains_key(key), "{key} would be an index label: {event:#?}");
        }
        assert!(event.resource.contains_key("service.name"), "{event:#?}");
    }
    for request in loki.requests() {
        assert_eq!(request.field("path"), "/otlp/v1/logs");
    }
}

/// The samples of one scrape at the truth's port.
struct Scraped {
    ledger: Ledger,
    port: String,
}

impl Scraped {
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let port = ("server_port", self.port.as_str());
        self.ledger.sum(name, &[labels, &[port]].concat())
    }
}

fn check_scrape(address: SocketAddr, truth: &Truth) {
    let port = truth.server.port().to_string();
    let scrape = || {
        let (code, body) = http::get(address, "/metrics").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(code, 200, "{body}");
        // Labels of `target_info` hold anything.
        let lines: Vec<_> = body.lines().filter(|line| line.starts_with("convis_tcp_")).collect();
        Scraped { ledger: Ledger::parse(&lines.join("\n")), port: port.clone() }
    };
    let count = truth.ends().count() as f64;
    let found = wait_for("all sums in a scrape", PATIENCE, || {
        Some(scrape()).filter(|found| found.sum("convis_tcp_connection_closed_total", &[]) == Some(count))
    });
    for (role, reports) in [("client", &truth.clients), ("server", &truth.servers)] {
        let role = ("convis_connection_role", role);
        let total = |of: fn(&Report) -> u64| Some(reports.iter().map(of).sum::<u64>() as f64);
        let io = |direction| {
            found.sum("convis_tcp_connection_io_bytes_total", &[role, ("network_io_direction", direction)])
        };
        assert_eq!(io("transmit"), total(|end| end.written), "{role:?}");
        assert_eq!(io("receive"), total(|end| end.read), "{role:?}");
        assert_eq!(found.sum("convis_tcp_connection_opened_total", &[role]), total(|_| 1), "{role:?}");
        assert_eq!(found.sum("convis_tcp_connection_active", &[role]), Some(0.0), "{role:?}");
        assert_eq!(
            found.sum("convis_tcp_connection_duration_seconds_count", &[role]),
            total(|_| 1),
            "{role:?}"
        );
    }
}
