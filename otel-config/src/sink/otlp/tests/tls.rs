use super::*;

const CA: &str = "-----BEGIN CERTIFICATE-----\nca\n";
const CERT: &str = "-----BEGIN CERTIFICATE-----\ncert\n";
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nhunter2\n";

fn env(variables: &[(&str, &str)]) -> Outside {
    Outside::env(variables).file("/ca", CA).file("/cert", CERT).file("/key", KEY).file("/text", "hello")
}

#[test]
fn files_of_the_sink_are_read() {
    let outside = env(&[]);

    let signal = signal(&outside, "otlp,endpoint=https://h,ca=/ca,cert=/cert,key=/key");

    assert_eq!(signal.ca.as_deref(), Some(CA.as_bytes()));
    let identity = signal.identity.unwrap();
    assert_eq!(
        (identity.cert.as_slice(), identity.key.expose().as_slice()),
        (CERT.as_bytes(), KEY.as_bytes())
    );
    assert!(outside.warnings().is_empty());
}

#[test]
fn files_of_the_environment_are_read_by_signal() {
    let outside = env(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca"),
        ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/cert"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "/cert"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/key"),
    ]);

    let config = outside.otlp("otlp");

    let (logs, metrics) = (config.logs.unwrap(), config.metrics.unwrap());
    assert_eq!((logs.ca.as_deref(), metrics.ca.as_deref()), (Some(CERT.as_bytes()), Some(CA.as_bytes())));
    assert!(logs.identity.is_none() && metrics.identity.is_some());
    assert_eq!(outside.otlp("otlp,ca=/ca").logs.unwrap().ca.as_deref(), Some(CA.as_bytes()));
}

#[test]
fn a_certificate_and_its_key_need_each_other() {
    let both = "a certificate and its key need each other; set";
    let cert = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
    let key = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    let table = [
        (env(&[]), "otlp,cert=/cert", format!("cert: {both} `key` too")),
        (env(&[]), "otlp,key=/key", format!("key: {both} `cert` too")),
        (env(&[(key, "/key")]), "otlp,cert=/cert", format!("cert: {both} `key` too")),
        (env(&[(cert, "/cert")]), "otlp", format!("{cert}: {both} `{key}` too")),
        (env(&[(key, "/key")]), "otlp", format!("{key}: {both} `{cert}` too")),
    ];
    for (outside, spec, why) in table {
        assert_eq!(outside.refusal(spec), format!("--sink otlp: {why}"), "{spec}");
    }
}

#[test]
fn a_file_that_does_not_fit_is_an_error() {
    let table = [
        ("ca=/gone", "ca: file `/gone`: entity not found"),
        ("ca=", "ca: file ``: entity not found"),
        ("ca=/text", "ca: file `/text`: no PEM certificate in it"),
        ("ca=/key", "ca: file `/key`: no PEM certificate in it"),
        ("cert=/cert,key=/cert", "key: file `/cert`: no PEM private key in it"),
        ("cert=/cert,key=@/key", "key: this is PEM; valid: the path of a PEM file, without `@`"),
    ];
    for (items, why) in table {
        assert_eq!(env(&[]).refusal(&format!("otlp,{items}")), format!("--sink otlp: {why}"));
    }
    let line = env(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/gone")]).refusal("otlp");
    assert_eq!(line, "--sink otlp: OTEL_EXPORTER_OTLP_CERTIFICATE: file `/gone`: entity not found");
}

#[test]
fn certificates_for_an_endpoint_without_tls_are_pointed_out() {
    let outside = env(&[]);
    outside.otlp("otlp,endpoint=http://h,ca=/ca,signals=logs");
    assert_eq!(outside.warnings(), ["certificates are not used for logs: its endpoint is http, without TLS"]);
}
