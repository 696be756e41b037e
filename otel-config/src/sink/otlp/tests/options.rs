use super::*;

const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const LOGS_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const HISTOGRAM: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn timeout_of_the_sink_has_a_unit_or_is_milliseconds() {
    let outside = Outside::env(&[(TIMEOUT, "1")]);
    let table = [
        ("10s", Some(ms(10_000))),
        ("500ms", Some(ms(500))),
        ("1500", Some(ms(1_500))),
        ("0", None),
        ("0s", None),
    ];
    for (written, want) in table {
        assert_eq!(signal(&outside, &format!("otlp,timeout={written}")).timeout, want, "{written}");
    }
    for written in ["", "-1", "1.5s", "soon", "99999999999999999999"] {
        assert_eq!(
            outside.refusal(&format!("otlp,timeout={written}")),
            format!(
                "--sink otlp: timeout: `{written}` is no duration; write a whole number with a unit: 500ms, 10s, 2m \
                 or 1h, or milliseconds without one"
            )
        );
    }
}

#[test]
fn timeout_variables_are_milliseconds() {
    let table = [
        // (generic, logs, want, warnings)
        ("", "", Some(ms(10_000)), 0),
        ("2000", "", Some(ms(2_000)), 0),
        ("2000", "3000", Some(ms(3_000)), 0),
        ("2000", "0", None, 0),
        ("0", "", None, 0),
        ("-1", "", Some(ms(10_000)), 1),
        ("10s", "", Some(ms(10_000)), 1),
        ("2000", "x", Some(ms(2_000)), 1),
    ];
    for (generic, logs, want, warnings) in table {
        let outside = Outside::env(&[(TIMEOUT, generic), (LOGS_TIMEOUT, logs)]);
        assert_eq!(signal(&outside, "otlp").timeout, want, "{generic} {logs}");
        assert_eq!(outside.warnings().len(), warnings, "{generic} {logs}");
    }
}

#[test]
fn compression_is_gzip_unless_the_endpoint_is_this_host() {
    let (gzip, none) = (Compression::Gzip, Compression::None);
    let table = [
        ("endpoint=http://localhost:4318", none),
        ("endpoint=http://127.1.2.3:4318", none),
        ("endpoint=http://[::1]:4318", none),
        ("endpoint=http://a.localhost", none),
        ("endpoint=http://localhost.example.com", gzip),
        ("endpoint=https://otlp.example.com", gzip),
        ("endpoint=10.0.0.1:4317", gzip),
        ("endpoint=http://10.0.0.1,compression=none", none),
        ("compression=gzip", gzip),
        ("compression=GZIP", gzip),
        ("compression=zstd", Compression::Zstd),
    ];
    for (items, want) in table {
        assert_eq!(signal(&Outside::default(), &format!("otlp,{items}")).compression, want, "{items}");
    }
    assert_eq!(
        Outside::default().refusal("otlp,compression=lz4"),
        "--sink otlp: compression: `lz4` is unknown; valid: gzip, zstd, none"
    );
}

#[test]
fn compression_comes_from_the_environment() {
    let (gzip, zstd, none) = (Compression::Gzip, Compression::Zstd, Compression::None);
    let table = [
        // (generic, logs, want for logs, for metrics, warnings)
        ("none", "gzip", gzip, none, 0),
        ("zstd", "", zstd, zstd, 0),
        ("none", "ZSTD", zstd, none, 0),
        ("lz4", "", gzip, gzip, 1),
        ("zstd", "lz4", zstd, zstd, 1),
    ];
    for (generic, own, logs, metrics, warnings) in table {
        let outside = Outside::env(&[
            ("OTEL_EXPORTER_OTLP_COMPRESSION", generic),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", own),
        ]);
        let config = outside.otlp("otlp,endpoint=http://10.0.0.1");
        let read = (config.logs.unwrap().compression, config.metrics.unwrap().compression);
        assert_eq!(read, (logs, metrics), "{generic} {own}");
        assert_eq!(outside.warnings().len(), warnings, "{generic} {own}");
    }
}

#[test]
fn signals_choose_what_is_sent() {
    let table = [
        ("otlp", true, true),
        ("otlp,signals=metrics+logs", true, true),
        ("otlp,signals=logs+metrics", true, true),
        ("otlp,signals=logs", true, false),
        ("otlp,signals=metrics", false, true),
    ];
    for (spec, logs, metrics) in table {
        let config = Outside::default().otlp(spec);
        assert_eq!((config.logs.is_some(), config.metrics.is_some()), (logs, metrics), "{spec}");
    }
    let refusals = [
        ("signals=", "signals: `` is unknown; valid: metrics, logs"),
        ("signals=traces", "signals: `traces` is unknown; valid: metrics, logs"),
        ("signals=logs+", "signals: `` is unknown; valid: metrics, logs"),
        (
            "signals=metrics,logs_endpoint=http://h",
            "signals: it leaves out the signal of `logs_endpoint`; valid: metrics, logs, metrics+logs",
        ),
    ];
    for (items, why) in refusals {
        assert_eq!(Outside::default().refusal(&format!("otlp,{items}")), format!("--sink otlp: {why}"));
    }
}

/// What a signal left out would need is not looked at.
#[test]
fn a_signal_left_out_is_not_read() {
    let outside = Outside::env(&[("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/gone")]);
    assert!(outside.otlp("otlp,signals=metrics").metrics.is_some());
}

#[test]
fn temporality_is_read_without_regard_to_case() {
    let table = [
        ("cumulative", Temporality::Cumulative),
        ("Delta", Temporality::Delta),
        ("LOWMEMORY", Temporality::LowMemory),
    ];
    for (written, want) in table {
        assert_eq!(Outside::default().otlp(&format!("otlp,temporality={written}")).temporality, want);
        assert_eq!(Outside::env(&[(TEMPORALITY, written)]).otlp("otlp").temporality, want);
    }
    let outside = Outside::env(&[(TEMPORALITY, "delta")]);
    assert_eq!(outside.otlp("otlp,temporality=cumulative").temporality, Temporality::Cumulative);
    let outside =
        Outside::env(&[(TEMPORALITY, "never"), ("OTEL_EXPORTER_OTLP_TEMPORALITY_PREFERENCE", "delta")]);
    assert_eq!(outside.otlp("otlp").temporality, Temporality::Cumulative);
    assert_eq!(outside.warnings().len(), 1);
    assert_eq!(
        Outside::default().refusal("otlp,temporality=never"),
        "--sink otlp: temporality: `never` is unknown; valid: cumulative, delta, lowmemory"
    );
}

#[test]
fn histograms_are_explicit_unless_asked_for() {
    const EXPONENTIAL: &str = "base2_exponential_bucket_histogram";
    let table = [
        // (sink, variable, want, warnings)
        ("", "", HistogramForm::Explicit, 0),
        ("", EXPONENTIAL, HistogramForm::Exponential, 0),
        ("", "BASE2_Exponential_Bucket_Histogram", HistogramForm::Exponential, 0),
        ("", "explicit_bucket_histogram", HistogramForm::Explicit, 0),
        ("", "linear", HistogramForm::Explicit, 1),
        (",histogram=base2_exponential_bucket_histogram", "", HistogramForm::Exponential, 0),
        (",histogram=explicit_bucket_histogram", EXPONENTIAL, HistogramForm::Explicit, 0),
    ];
    for (items, variable, want, warnings) in table {
        let outside = Outside::env(&[(HISTOGRAM, variable)]);
        assert_eq!(outside.otlp(&format!("otlp{items}")).histogram, want, "{items} {variable}");
        assert_eq!(outside.warnings().len(), warnings, "{items} {variable}");
    }
    assert_eq!(
        Outside::default().refusal("otlp,histogram=linear"),
        "--sink otlp: histogram: `linear` is unknown; valid: explicit_bucket_histogram, \
         base2_exponential_bucket_histogram"
    );
}

/// Exponential buckets are measured only for a sink that sends them.
#[test]
fn exponential_buckets_are_wanted_where_they_are_sent() {
    let table = [
        ("otlp", false),
        ("otlp,histogram=base2_exponential_bucket_histogram", true),
        ("otlp,histogram=base2_exponential_bucket_histogram,signals=logs", false),
        ("stdout", false),
    ];
    for (spec, want) in table {
        let sink = Outside::default().sink(spec).unwrap();
        assert_eq!(sink.kind.wants_exponential(), want, "{spec}");
    }
}
