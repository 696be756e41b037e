mod endpoints;
mod headers;
mod options;
mod secrets;
mod tls;

use super::*;
use crate::testing::Outside;

/// The settings of the first signal that the sink sends.
fn signal(outside: &Outside, spec: &str) -> OtlpSignal {
    let config = outside.otlp(spec);
    config.logs.or(config.metrics).unwrap_or_else(|| panic!("{spec}: no signal"))
}

#[test]
fn nothing_given_gives_the_defaults() {
    let outside = Outside::default();
    let at = |path| OtlpSignal {
        endpoint: Url::parse(&format!("http://localhost:4318{path}")).unwrap(),
        protocol: Protocol::HttpProtobuf,
        headers: Vec::new(),
        compression: Compression::None,
        timeout: Some(Duration::from_secs(10)),
        ca: None,
        identity: None,
    };

    let config = outside.otlp("otlp");

    let temporality = Temporality::Cumulative;
    assert_eq!(
        config,
        OtlpConfig {
            logs: Some(at("/v1/logs")),
            metrics: Some(at("/v1/metrics")),
            temporality,
            histogram: HistogramForm::Explicit,
        }
    );
    assert!(outside.warnings().is_empty());
}

/// "Empty environment variable = unset", for each variable there is.
#[test]
fn empty_variables_count_as_unset() {
    let mut outside = Outside::default();
    for suffix in [
        "ENDPOINT",
        "PROTOCOL",
        "INSECURE",
        "HEADERS",
        "COMPRESSION",
        "TIMEOUT",
        "CERTIFICATE",
        "CLIENT_CERTIFICATE",
        "CLIENT_KEY",
        "TEMPORALITY_PREFERENCE",
        "DEFAULT_HISTOGRAM_AGGREGATION",
    ] {
        for signal in ["", "LOGS_", "METRICS_"] {
            outside.set(&format!("OTEL_EXPORTER_OTLP_{signal}{suffix}"), "");
        }
    }

    assert_eq!(outside.otlp("otlp"), Outside::default().otlp("otlp"));
    assert!(outside.warnings().is_empty());
}

#[test]
fn unknown_keys_name_the_valid_ones() {
    assert_eq!(
        Outside::default().refusal("otlp,endpont=http://h"),
        "--sink otlp: unknown key `endpont`; valid keys: endpoint, logs_endpoint, metrics_endpoint, protocol, \
         header.NAME, compression, timeout, ca, cert, key, insecure, signals, temporality, histogram, \
         events, queue_size, storage, storage_size, retry, retry_initial, retry_max, retry_elapsed"
    );
}

/// Both signals read the generic variables: what is wrong with one is said once.
#[test]
fn a_warning_is_given_once() {
    let outside = Outside::env(&[("OTEL_EXPORTER_OTLP_COMPRESSION", "lz4")]);

    outside.otlp("otlp");

    assert_eq!(
        outside.warnings(),
        ["OTEL_EXPORTER_OTLP_COMPRESSION is ignored: `lz4` is unknown; valid: gzip, zstd, none"]
    );
}
