use super::*;

const GENERIC: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const LOGS: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

/// Endpoint of logs and of metrics.
fn endpoints(outside: &Outside, spec: &str) -> (String, String) {
    let config = outside.otlp(spec);
    let url = |signal: Option<OtlpSignal>| signal.unwrap().endpoint.to_string();
    (url(config.logs), url(config.metrics))
}

#[test]
fn http_base_gets_the_signals_path_and_no_other_change() {
    let table = [
        ("http://h:4318", "http://h:4318/v1/logs", "http://h:4318/v1/metrics"),
        ("http://h:4318/", "http://h:4318/v1/logs", "http://h:4318/v1/metrics"),
        ("https://h/base", "https://h/base/v1/logs", "https://h/base/v1/metrics"),
        ("https://h/base/", "https://h/base/v1/logs", "https://h/base/v1/metrics"),
        ("https://h:8443/a//b//", "https://h:8443/a//b//v1/logs", "https://h:8443/a//b//v1/metrics"),
        ("http://[::1]:80/x?y=1", "http://[::1]/x/v1/logs?y=1", "http://[::1]/x/v1/metrics?y=1"),
    ];
    for (base, logs, metrics) in table {
        let want = (logs.to_owned(), metrics.to_owned());
        assert_eq!(endpoints(&Outside::env(&[(GENERIC, base)]), "otlp"), want, "{base}");
        assert_eq!(endpoints(&Outside::default(), &format!("otlp,endpoint={base}")), want, "{base}");
    }
}

#[test]
fn http_endpoint_of_one_signal_is_taken_as_it_is() {
    let table = [
        ("http://h:9/", "http://h:9/"),
        ("http://h:9", "http://h:9/"),
        ("http://h:9/in", "http://h:9/in"),
        ("https://h/v1/logs/", "https://h/v1/logs/"),
        ("https://h/x?y=1", "https://h/x?y=1"),
    ];
    for (written, logs) in table {
        let want = (logs.to_owned(), "http://base:1/v1/metrics".to_owned());
        let outside = Outside::env(&[(LOGS, written), (GENERIC, "http://base:1")]);
        assert_eq!(endpoints(&outside, "otlp"), want, "{written}");
        let spec = format!("otlp,logs_endpoint={written},endpoint=http://base:1");
        assert_eq!(endpoints(&Outside::default(), &spec), want, "{written}");
    }
}

#[test]
fn port_of_the_scheme_when_absent() {
    for (base, port) in [("http://h", 80), ("https://h", 443)] {
        let endpoint = signal(&Outside::default(), &format!("otlp,endpoint={base}")).endpoint;
        assert_eq!(endpoint.port_or_known_default(), Some(port), "{base}");
    }
}

#[test]
fn the_sink_wins_over_the_signals_variable_over_the_generic_one() {
    let outside =
        Outside::env(&[(GENERIC, "http://generic"), (LOGS, "http://logs/l"), (METRICS, "http://metrics/m")]);
    let table = [
        ("otlp", "http://logs/l", "http://metrics/m"),
        ("otlp,endpoint=http://s", "http://s/v1/logs", "http://s/v1/metrics"),
        ("otlp,endpoint=http://s,logs_endpoint=http://t/l", "http://t/l", "http://s/v1/metrics"),
        ("otlp,metrics_endpoint=http://t/m", "http://logs/l", "http://t/m"),
    ];
    for (spec, logs, metrics) in table {
        assert_eq!(endpoints(&outside, spec), (logs.to_owned(), metrics.to_owned()), "{spec}");
    }
}

#[test]
fn protocol_is_explicit_or_seen_from_the_endpoint() {
    let (grpc, http, json) = (Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson);
    let table = [
        ("otlp", http, "http://localhost:4318/v1/logs"),
        ("otlp,protocol=grpc", grpc, "http://localhost:4317/"),
        ("otlp,protocol=http/protobuf", http, "http://localhost:4318/v1/logs"),
        ("otlp,protocol=http/json", json, "http://localhost:4318/v1/logs"),
        ("otlp,protocol=HTTP/JSON", json, "http://localhost:4318/v1/logs"),
        ("otlp,endpoint=http://h:4317,protocol=http/json", json, "http://h:4317/v1/logs"),
        ("otlp,logs_endpoint=http://h/in,protocol=http/json", json, "http://h/in"),
        ("otlp,protocol=GRPC", grpc, "http://localhost:4317/"),
        ("otlp,endpoint=http://h:4318", http, "http://h:4318/v1/logs"),
        ("otlp,endpoint=https://h", http, "https://h/v1/logs"),
        ("otlp,endpoint=https://h,protocol=grpc", grpc, "https://h/"),
        ("otlp,endpoint=http://h:4317", grpc, "http://h:4317/"),
        ("otlp,endpoint=https://h:4317/prefix", grpc, "https://h:4317/prefix"),
        ("otlp,endpoint=http://h:4317,protocol=http/protobuf", http, "http://h:4317/v1/logs"),
        ("otlp,endpoint=h:4317", grpc, "https://h:4317/"),
        ("otlp,endpoint=h:4318", grpc, "https://h:4318/"),
        ("otlp,endpoint=h", grpc, "https://h/"),
        ("otlp,endpoint=[::1]:4317", grpc, "https://[::1]:4317/"),
        ("otlp,endpoint=h:4317,insecure=true", grpc, "http://h:4317/"),
        ("otlp,endpoint=h:4317,insecure=false", grpc, "https://h:4317/"),
        ("otlp,endpoint=https://h:4317,insecure=true", grpc, "https://h:4317/"),
        ("otlp,endpoint=http://h:4317,insecure=false", grpc, "http://h:4317/"),
    ];
    for (spec, protocol, endpoint) in table {
        let signal = signal(&Outside::default(), spec);
        assert_eq!((signal.protocol, signal.endpoint.as_str()), (protocol, endpoint), "{spec}");
    }
}

#[test]
fn protocol_and_insecure_come_from_the_environment() {
    let protocols = |variables: &[_], spec: &str| {
        let config = Outside::env(variables).otlp(spec);
        (config.logs.unwrap().protocol, config.metrics.unwrap().protocol)
    };
    let (grpc, http, json) = (Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson);
    let own = "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL";

    assert_eq!(protocols(&[(PROTOCOL, "grpc")], "otlp"), (grpc, grpc));
    assert_eq!(protocols(&[(PROTOCOL, "grpc"), (own, "http/protobuf")], "otlp"), (http, grpc));
    assert_eq!(protocols(&[(PROTOCOL, "http/json")], "otlp"), (json, json));
    assert_eq!(protocols(&[(PROTOCOL, "http/json"), (own, "grpc")], "otlp"), (grpc, json));
    assert_eq!(protocols(&[(PROTOCOL, "grpc")], "otlp,protocol=http/protobuf"), (http, http));
    assert_eq!(protocols(&[(PROTOCOL, "http/protobuf")], "otlp,endpoint=http://h:4317"), (http, http));
    assert_eq!(protocols(&[(GENERIC, "h:1")], "otlp"), (grpc, grpc));
    assert_eq!(protocols(&[(LOGS, "http://h:4317")], "otlp"), (grpc, http));

    let insecure = |value| {
        let outside = Outside::env(&[("OTEL_EXPORTER_OTLP_INSECURE", value)]);
        (signal(&outside, "otlp,endpoint=h:1").endpoint.scheme().to_owned(), outside.warnings().len())
    };
    for (value, scheme, warnings) in [
        ("true", "http", 0),
        ("TrUe", "http", 0),
        ("false", "https", 0),
        ("1", "https", 1),
        ("yes", "https", 1),
    ] {
        assert_eq!(insecure(value), (scheme.to_owned(), warnings), "{value}");
    }
}

#[test]
fn a_wrong_protocol_is_an_error_in_the_sink_and_a_warning_in_a_variable() {
    let outside = Outside::default();
    let table = [
        ("http/xml", "protocol: `http/xml` is unknown; valid: grpc, http/protobuf, http/json"),
        ("", "protocol: `` is unknown; valid: grpc, http/protobuf, http/json"),
    ];
    for (value, why) in table {
        assert_eq!(outside.refusal(&format!("otlp,protocol={value}")), format!("--sink otlp: {why}"));
    }
    for value in ["http/xml", "json"] {
        let outside = Outside::env(&[(PROTOCOL, "grpc"), ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", value)]);
        assert_eq!(signal(&outside, "otlp").protocol, Protocol::Grpc, "{value}");
        assert!(outside.warnings()[0].starts_with("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL is ignored"), "{value}");
    }
}

#[test]
fn wrong_endpoints_are_errors_wherever_they_come_from() {
    let table = [
        ("", "empty host"),
        ("http://", "empty host"),
        ("ftp://h", "unknown scheme"),
        ("unix:///run/otlp.sock", "unknown scheme"),
        ("http://h:99999", "invalid port number"),
        ("h:port", "invalid port number"),
        ("::1:4317", "empty host"),
        ("http://a b", "invalid international domain name"),
    ];
    for (endpoint, why) in table {
        let line = Outside::default().refusal(&format!("otlp,endpoint={endpoint}"));
        assert!(
            line.starts_with(&format!("--sink otlp: endpoint: {why}; valid: http://HOST")),
            "{endpoint}: {line}"
        );
    }
    let line = Outside::env(&[(GENERIC, "ftp://h")]).refusal("otlp");
    assert!(line.starts_with("--sink otlp: OTEL_EXPORTER_OTLP_ENDPOINT: unknown scheme"), "{line}");
    assert_eq!(
        Outside::default().refusal("otlp,endpoint=h:4318,protocol=http/protobuf"),
        "--sink otlp: endpoint: HTTP needs http:// or https:// before the host; or set protocol=grpc"
    );
    assert_eq!(
        Outside::default().refusal("otlp,endpoint=http://h,insecure=1"),
        "--sink otlp: insecure: `1` is unknown; valid: true, false"
    );
}

#[test]
fn a_base_that_already_has_a_signals_path_is_pointed_out() {
    let outside = Outside::default();
    assert_eq!(endpoints(&outside, "otlp,endpoint=http://h/v1/logs").0, "http://h/v1/logs/v1/logs");
    assert!(outside.warnings()[0].starts_with("endpoint is a base to which v1/logs is added"));
}
