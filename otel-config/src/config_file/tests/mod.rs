//! What a file means, and what is wrong with it.

mod errors;
mod exporters;
mod schema;

use super::*;
use crate::testing::Outside;

fn outside() -> Outside {
    Outside::env(&[("TOKEN", "hunter2"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-env=1,x-both=env")])
        .file("/key", "hunter3\n")
        .file("/ca.pem", "-----BEGIN CERTIFICATE-----\n")
        .file("/cert.pem", "-----BEGIN CERTIFICATE-----\n")
        .file("/key.pem", "-----BEGIN PRIVATE KEY-----\n")
}

/// The file's content, or its errors.
fn read(text: &str) -> Result<ConfigFile, Vec<String>> {
    outside().read(|sources| {
        let errors = Errors::new("convis.yaml");
        let file = ConfigFile::read(text.as_bytes(), sources, &errors);
        if errors.is_empty() { Ok(file) } else { Err(errors.into_lines()) }
    })
}

/// Scenario: settings of every shape.
/// Guarantees: each is what its flag takes.
#[test]
fn settings_are_what_flags_take() {
    let text = "\
interval: 1m30s
events: [opened, failed]
ring_bytes: 8M
docker_host: [unix:///a, unix:///b]
k8s_labels: true
include_self: false
";
    let settings = read(text).unwrap().settings;
    let flags: Vec<_> = settings
        .iter()
        .map(|setting| {
            (setting.flag.as_str(), setting.values.iter().map(Option::as_deref).collect::<Vec<_>>())
        })
        .collect();
    let want = [
        ("interval", vec![Some("90000ms")]),
        ("events", vec![Some("opened,failed")]),
        ("ring-bytes", vec![Some("8388608")]),
        ("docker-host", vec![Some("unix:///a"), Some("unix:///b")]),
        ("k8s-labels", vec![None]),
        ("include-self", vec![]),
    ];
    assert_eq!(flags, want);
}

/// Scenario: a Collector's file.
/// Guarantees: one line for each of its sections says that convis has none, and what to do.
#[test]
fn sections_of_the_collector_are_refused() {
    let lines = read("receivers: {otlp: {}}\nservice:\n  pipelines: {}\n").unwrap_err();
    let want = ["1: receivers", "2: service"].map(|place| {
        format!(
            "convis.yaml:{place}: a file of convis has no pipelines: every entry of `exporters:` is active; \
             take this section out"
        )
    });
    assert_eq!(lines, want);
}
