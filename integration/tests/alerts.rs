//! The alert rules that ship: Prometheus's own tool runs their tests, and what they speak of is there.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use convis_integration::need;
use convis_integration::packages;
use convis_integration::process::run;
use convis_integration::vm::kernels::Suite;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-config/alerts")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file of the repository")
}

fn promtool(program: &Path, arguments: [&str; 3]) {
    let mut command = Command::new(program);
    command.current_dir(folder()).args(arguments);
    let (status, process) = run("promtool", command, PATIENCE);
    assert!(status.success(), "{arguments:?}: {}{}", process.stdout(), process.stderr());
}

/// Scenario: series of each alert that should fire and of some that should not, in the rules' own test.
/// Guarantees: the rules are valid, and fire exactly then, with their labels and texts.
#[test]
fn prometheus_rules_fire_when_they_should() {
    let prometheus = need!(packages::program(Suite("bookworm"), "prometheus"));
    let promtool_of_it = prometheus.with_file_name("promtool");
    promtool(&promtool_of_it, ["check", "rules", "prometheus.yaml"]);
    promtool(&promtool_of_it, ["test", "rules", "prometheus.test.yaml"]);
}

/// Every metric that the documentation knows, as Prometheus has it.
fn documented_metrics() -> BTreeSet<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = read(&docs.join("events-and-metrics.md")) + &read(&docs.join("loss.md"));
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
    let names = words.filter(|word| word.starts_with("convis")).map(|word| word.replace('.', "_"));
    let totals = names.flat_map(|name| [format!("{name}_total"), format!("{name}_bytes_total"), name]);
    totals.collect()
}

/// Scenario: the metrics that the rules of Prometheus read.
/// Guarantees: each is documented under its name.
#[test]
fn prometheus_rules_read_what_there_is() {
    let text = read(&folder().join("prometheus.yaml"));
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
    let read: BTreeSet<&str> =
        words.filter(|word| word.starts_with("convis_") && word.ends_with("_total")).collect();
    assert!(read.len() >= 5, "{read:?}");
    let known = documented_metrics();
    let unknown: Vec<_> = read.iter().filter(|name| !known.contains(**name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Scenario: the conditions for New Relic.
/// Guarantees: each has what a static NRQL condition must have, reads convis's events, and only attributes that are documented;
/// one is about unexpected connections.
#[test]
fn new_relic_conditions_are_whole() {
    let conditions: Value = serde_json::from_str(&read(&folder().join("newrelic.json"))).expect("JSON");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let known = read(&docs.join("events-and-metrics.md")) + &read(&docs.join("newrelic.md"));
    let conditions = conditions.as_array().expect("a list");
    for condition in conditions {
        let text = |pointer: &str| condition.pointer(pointer).and_then(Value::as_str).expect(pointer);
        let query = text("/nrql/query");
        assert!(query.starts_with("SELECT ") && query.contains(" FROM ConvisConnection WHERE "), "{query}");
        assert!(query.contains(" FACET ") && !query.contains(" SINCE "), "{query}");
        let quoted: Vec<&str> = query.split('`').skip(1).step_by(2).collect();
        assert!(!quoted.is_empty() && query.matches('`').count() == 2 * quoted.len(), "{query}");
        for attribute in quoted {
            assert!(known.contains(&format!("`{attribute}`")), "{attribute} is nowhere in the documentation");
        }
        assert_eq!(text("/type"), "STATIC");
        assert!(["CRITICAL", "WARNING"].contains(&text("/terms/0/priority")));
        assert!(["ABOVE", "BELOW"].contains(&text("/terms/0/operator")));
        for number in ["/terms/0/threshold", "/terms/0/thresholdDuration", "/signal/aggregationWindow"] {
            assert!(condition.pointer(number).is_some_and(Value::is_u64), "{number}");
        }
        assert_eq!(condition["enabled"], true);
    }
    let about_unexpected = |condition: &&Value| {
        condition["nrql"]["query"]
            .as_str()
            .is_some_and(|query| query.contains("`convis.unexpected` = 'true'"))
    };
    assert_eq!(conditions.iter().filter(about_unexpected).count(), 1);
}
