//! The attribute names of OpenTelemetry's semantic conventions, release 1.44.0.

/// The schema that convis says it follows.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

const REGISTRY: &str = include_str!("../testdata/semconv-1.44-attributes.txt");
/// Defined by the specification of the metrics SDK, not by the conventions.
const OVERFLOW: &str = "otel.metric.overflow";

/// Whether a key is convis' own or one that the conventions know.
pub fn is_known(key: &str) -> bool {
    key.starts_with("convis.") || key == OVERFLOW || REGISTRY.lines().any(|name| names(name, key))
}

/// A registry line such as `k8s.pod.label.<key>` names a whole family.
fn names(line: &str, key: &str) -> bool {
    line.strip_suffix("<key>")
        .map_or(line == key, |family| key.len() > family.len() && key.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::is_known;

    /// Scenario: own, registered, templated and unknown keys.
    /// Guarantees: an invented or misspelt key does not pass.
    #[test]
    fn tells_known_from_unknown() {
        assert!(
            ["convis.close.reason", "process.pid", "k8s.pod.label.app", "network.io.direction"]
                .map(is_known)
                .iter()
                .all(|known| *known)
        );
        assert!(
            !["process.pids", "net.peer.ip", "k8s.pod.label.", "pid"]
                .map(is_known)
                .iter()
                .any(|known| *known)
        );
    }
}
