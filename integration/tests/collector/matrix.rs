use std::fmt::Write as _;
use std::fs;

use convis_integration::actors::free_port;
use convis_integration::clock::wait_for;
use convis_integration::collector::{Received, Running};
use convis_integration::convis::Convis;
use convis_integration::need::root;
use convis_integration::{need, sums, turns};

use super::{EVENTS, PATIENCE, check_events, events, play};

/// One way to send.
struct Row {
    protocol: &'static str,
    compression: &'static str,
    temporality: &'static str,
    port: u16,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        for compression in ["none", "gzip", "zstd"] {
            for temporality in ["cumulative", "delta"] {
                rows.push(Row { protocol, compression, temporality, port: free_port() });
            }
        }
    }
    rows
}

impl Row {
    fn name(&self) -> String {
        format!("{} with {}, {}", self.protocol, self.compression, self.temporality)
    }

    fn sink(&self) -> String {
        let Self { protocol, compression, temporality, port } = self;
        format!(
            "otlp,endpoint=http://127.0.0.1:{port},protocol={protocol},compression={compression},\
             temporality={temporality}"
        )
    }
}

/// A Collector's configuration: for each row a receiver of its own that writes a file of its own.
fn configuration(rows: &[Row], folder: &str) -> String {
    let (mut receivers, mut exporters, mut pipelines) = (String::new(), String::new(), String::new());
    // Writing to a string cannot fail.
    for (number, row) in rows.iter().enumerate() {
        let protocol = if row.protocol == "grpc" { "grpc" } else { "http" };
        let endpoint = format!("{{endpoint: '127.0.0.1:{}'}}", row.port);
        let add = |to: &mut String, line: String| _ = writeln!(to, "  {line}");
        add(&mut receivers, format!("otlp/{number}: {{protocols: {{{protocol}: {endpoint}}}}}"));
        add(
            &mut exporters,
            format!("file/{number}: {{path: '{folder}/{number}.jsonl', flush_interval: 200ms}}"),
        );
        for signal in ["logs", "metrics"] {
            let ends = format!("{{receivers: [otlp/{number}], exporters: [file/{number}]}}");
            add(&mut pipelines, format!("  {signal}/{number}: {ends}"));
        }
    }
    format!("receivers:\n{receivers}exporters:\n{exporters}service:\n  pipelines:\n{pipelines}")
}

/// Scenario: one convis sends ten connections to a Collector that writes files, in every protocol, compression and
/// temporality there is, all at once.
/// Guarantees: each file holds every event and every counter, exact.
#[test]
fn a_collector_understands_every_protocol() {
    need!(root());
    let _turn = turns::together();
    let (rows, folder) = (rows(), tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    fs::write(&config, configuration(&rows, &folder.path().display().to_string())).unwrap();
    let ports: Vec<u16> = rows.iter().map(|row| row.port).collect();
    let collector = need!(Running::start(&config, &[], &ports));
    let mut arguments = vec!["--interval".to_owned(), "2s".to_owned()];
    arguments.extend(rows.iter().flat_map(|row| ["--sink".to_owned(), row.sink()]));
    let convis = Convis::start(&arguments);
    let truth = play();
    wait_for("events and two intervals of metrics", PATIENCE, || {
        let ledger = convis.ledger();
        let exports = |sink: &str| {
            ledger.sum("convis_sink_exports_total", &[("sink", sink), ("signal", "metrics")]) >= Some(2.0)
        };
        let mut sinks = (1..=rows.len()).map(|number| match number {
            1 => "otlp".to_owned(),
            number => format!("otlp/{number}"),
        });
        sinks.all(|sink| ledger.events_of(&sink).sent >= EVENTS as f64 && exports(&sink)).then_some(())
    });
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    collector.stop();

    for (number, row) in rows.iter().enumerate() {
        let received = Received::read(&folder.path().join(format!("{number}.jsonl")));
        check_events(&events(received.logs, &truth), &truth, &row.name());
        if row.temporality == "delta" {
            sums::check(&sums::accumulated(&received.points), &truth);
        } else {
            sums::check(&received.points, &truth);
        }
    }
}
