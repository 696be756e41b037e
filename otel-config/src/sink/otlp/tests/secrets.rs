//! Nothing that is printed holds a secret.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2";

#[test]
fn debug_of_a_whole_sink_hides_header_values_keys_and_queries() {
    let outside = Outside::env(&[("OTEL_EXPORTER_OTLP_HEADERS", "tenant=hunter2")])
        .file("/cert", "-----BEGIN CERTIFICATE-----")
        .file("/key", "-----BEGIN PRIVATE KEY-----hunter2");
    let spec = "otlp,endpoint=https://h?token=hunter2,header.api-key=hunter2,cert=/cert,key=/key";

    let sink = outside.sink(spec).unwrap();

    let printed = format!("{sink:?} {sink:#?}");
    assert!(!printed.contains(SECRET), "{printed}");
    // What was hidden is there, as numbers would be too.
    assert!(!printed.contains("104, 117, 110"), "{printed}");
    let signal = signal(&outside, spec);
    assert_eq!(signal.headers[1].value.expose(), SECRET);
    assert_eq!(signal.endpoint.query(), Some("token=hunter2"));
}

#[test]
fn no_error_and_no_warning_repeats_a_secret() {
    let outside = Outside::env(&[("BAD", "hunter2\n")])
        .file("/key", "-----BEGIN PRIVATE KEY-----hunter2")
        .file("/bad", "hunter2\u{e9}");
    let specs = [
        "header.api-key=hunter2",
        "otlp,header.api-key=hunter1,hunter2",
        "otlp,header.api-key=hunter1,hunter2=",
        "otlp,header.api-key=hunter1,hunter2=x,hunter2=x",
        "otlp,header.api-key=hunter2\\x",
        "otlp,header.api-key=hunter2\\",
        "otlp,header.api-key=${hunter2}",
        "otlp,header.api-key=@hunter2",
        "otlp,header.api-key=hunter2,header.API-KEY=hunter2",
        "otlp,header.api-key=${env:BAD}",
        "otlp,header.api-key=@/bad",
        "otlp,header.host=hunter2",
        "otlp,header.a b=hunter2",
        "otlp,header.a/b=hunter2",
        "otlp,header.api-key=hunter2,nokey=1",
        "otlp,header.api-key=hunter2,protocol=xml",
        "otlp,key=@/key,cert=/cert",
        "otlp,ca=@/key",
        "otlp,endpoint=http://user:hunter2@h",
        "otlp,endpoint=http://hunter2@h",
        "otlp,endpoint=user:hunter2@h:4317",
        "otlp,endpoint=http://user:hunter2@h:99999",
        "otlp,endpoint=http://user:hunter2",
        "otlp,endpoint=ftp://user:hunter2@h",
        "otlp,logs_endpoint=https://:hunter2@h/",
        "stdout,header.api-key=hunter2",
        "otlpp,header.api-key=hunter2",
    ];
    for spec in specs {
        let error = outside.sink(spec).expect_err(spec);
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains(SECRET), "{spec}: {printed}");
    }
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@h"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer hunter2=="),
    ] {
        let error = Outside::env(&[(name, value)]).sink("otlp").expect_err(name);
        assert!(!format!("{error} {error:?}").contains(SECRET), "{name}: {error}");
    }
    assert!(!outside.warnings().concat().contains(SECRET));
}

proptest! {
    /// Wherever a secret in a header stops being well written, its text stays out of what is printed.
    #[test]
    fn a_header_value_is_never_printed(before in "(a|,|=|\\\\|\\$|\\{|@|%|\n){0,8}", after in "(a|,|=|\\\\|\\$|@|\n){0,8}") {
        let spec = format!("otlp,header.api-key={before}HUNTER2{after}");
        let printed = format!("{:?}", Outside::default().sink(&spec));
        prop_assert!(!printed.contains("HUNTER2"), "{}", printed);

        let outside = Outside::env(&[("OTEL_EXPORTER_OTLP_HEADERS", &format!("api-key={before}HUNTER2{after}"))]);
        let printed = format!("{:?} {:?}", outside.sink("otlp"), outside.warnings());
        prop_assert!(!printed.contains("HUNTER2"), "{}", printed);
    }
}
