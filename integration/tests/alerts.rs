//! The alert rules that ship: Prometheus's own tool runs their tests, and what they speak of is there.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
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

/// The fields of `NerdGraph`'s `AlertsNrqlConditionStaticInput` and of the inputs inside of it, without deprecated ones. GraphQL refuses
/// an input with any other: what is static is said by the mutation, not by a field.
const INPUTS: [(&str, &[&str]); 5] = [
    (
        "",
        &[
            "description",
            "enabled",
            "expiration",
            "name",
            "nrql",
            "runbookUrl",
            "signal",
            "terms",
            "titleTemplate",
            "violationTimeLimitSeconds",
        ],
    ),
    ("/nrql", &["dataAccountId", "query"]),
    (
        "/terms/0",
        &["operator", "prediction", "priority", "threshold", "thresholdDuration", "thresholdOccurrences"],
    ),
    (
        "/signal",
        &[
            "aggregationDelay",
            "aggregationMethod",
            "aggregationTimer",
            "aggregationWindow",
            "evaluationDelay",
            "fillOption",
            "fillValue",
            "slideBy",
        ],
    ),
    (
        "/expiration",
        &[
            "closeViolationsOnExpiration",
            "expirationDuration",
            "ignoreOnExpectedTermination",
            "openViolationOnExpiration",
        ],
    ),
];

/// Values of `NerdGraph`'s enumerations.
const WORDS: [(&str, &[&str]); 4] = [
    ("/terms/0/priority", &["CRITICAL", "WARNING"]),
    ("/terms/0/operator", &["ABOVE", "ABOVE_OR_EQUALS", "BELOW", "BELOW_OR_EQUALS", "EQUALS", "NOT_EQUALS"]),
    ("/terms/0/thresholdOccurrences", &["ALL", "AT_LEAST_ONCE"]),
    ("/signal/aggregationMethod", &["CADENCE", "EVENT_FLOW", "EVENT_TIMER"]),
];

/// Seconds that New Relic documents as possible.
const SECONDS: [(&str, RangeInclusive<u64>); 4] = [
    ("/terms/0/thresholdDuration", 60..=86_400),
    ("/signal/aggregationWindow", 30..=21_600),
    ("/expiration/expirationDuration", 30..=172_800),
    ("/violationTimeLimitSeconds", 300..=2_592_000),
];

/// What `NerdGraph` would refuse.
fn check_input(condition: &Value) {
    for (pointer, known) in INPUTS {
        let input = condition.pointer(pointer).and_then(Value::as_object).expect(pointer);
        let unknown: Vec<_> = input.keys().filter(|key| !known.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{pointer} has no {unknown:?}");
    }
    assert_eq!(condition["terms"].as_array().map(Vec::len), Some(1));
    for (pointer, words) in WORDS {
        let word = condition.pointer(pointer).and_then(Value::as_str).expect(pointer);
        assert!(words.contains(&word), "{pointer}: {word}");
    }
    let seconds = |pointer: &str| condition.pointer(pointer).and_then(Value::as_u64).expect(pointer);
    for (pointer, range) in SECONDS {
        assert!(range.contains(&seconds(pointer)), "{pointer}");
    }
    assert!(seconds("/terms/0/thresholdDuration").is_multiple_of(seconds("/signal/aggregationWindow")));
    assert!(condition.pointer("/terms/0/threshold").is_some_and(Value::is_number));
    let mut waits = ["/signal/aggregationTimer", "/signal/aggregationDelay"];
    if condition["signal"]["aggregationMethod"] != "EVENT_TIMER" {
        waits.reverse();
    }
    assert!((5..=1200).contains(&seconds(waits[0])));
    assert_eq!(condition.pointer(waits[1]), None);
}

/// Scenario: the conditions for New Relic.
/// Guarantees: each is an input that `NerdGraph` takes for a static NRQL condition, reads convis's events, and only attributes that are
/// documented; one is about unexpected connections.
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
        check_input(condition);
        assert_eq!(condition["enabled"], true);
    }
    let about_unexpected = |condition: &&Value| {
        condition["nrql"]["query"]
            .as_str()
            .is_some_and(|query| query.contains("`convis.unexpected` = 'true'"))
    };
    assert_eq!(conditions.iter().filter(about_unexpected).count(), 1);
}
