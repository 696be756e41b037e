use proptest::prelude::*;

use super::*;
use crate::parse_headers;

const GENERIC: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const LOGS: &str = "OTEL_EXPORTER_OTLP_LOGS_HEADERS";

fn plain(headers: &[Header]) -> Vec<(&str, &str)> {
    headers.iter().map(|header| (header.name.as_str(), header.value.expose().as_str())).collect()
}

#[test]
fn a_list_is_w3c_baggage() {
    let table = [
        ("", vec![]),
        ("api-key=abc", vec![("api-key", "abc")]),
        (" a = 1 ,, b=2 ,", vec![("a", "1"), ("b", "2")]),
        ("Authorization=Basic%20dXNlcjpwdw==", vec![("authorization", "Basic dXNlcjpwdw==")]),
        ("authorization=Bearer a.b+c/d", vec![("authorization", "Bearer a.b+c/d")]),
        ("a=x%2Cy%3Dz;p=1", vec![("a", "x,y=z;p=1")]),
        ("a=1,b=2,A=3", vec![("a", "3"), ("b", "2")]),
        ("a=", vec![("a", "")]),
    ];
    for (list, want) in table {
        assert_eq!(plain(&parse_headers(list).unwrap()), want, "{list}");
    }
}

#[test]
fn a_broken_list_is_an_error_that_repeats_nothing_of_it() {
    let table = [
        ("a=1,hunter2", "pair 2 has no `=`; write name=value,..."),
        ("a=1,=hunter2", "pair 2: invalid header name; valid: letters, digits and !#$%&'*+-.^_`|~"),
        ("hunter 2=1", "pair 1: invalid header name; valid: letters, digits and !#$%&'*+-.^_`|~"),
        ("a=hunter2%", "pair 1: broken percent-encoding; a literal `%` is written `%25`"),
        ("a=hunter2%0a", "pair 1: invalid header value; valid: printable ASCII characters and blanks"),
        ("a=%00", "pair 1: invalid header value; valid: printable ASCII characters and blanks"),
        ("a=%c3%a9", "pair 1: invalid header value; valid: printable ASCII characters and blanks"),
        ("Host=h", "pair 1: header `host` is set by convis itself and cannot be given"),
    ];
    for (list, why) in table {
        assert_eq!(parse_headers(list), Err(why.to_owned()), "{list}");
        assert_eq!(
            Outside::env(&[(GENERIC, list)]).refusal("otlp"),
            format!("--sink otlp: {GENERIC}: {why}")
        );
    }
}

#[test]
fn headers_of_the_sink_replace_those_of_the_environment_by_name() {
    let outside = Outside::env(&[(GENERIC, "api-key=env,tenant=env"), (LOGS, "api-key=logs,x=logs")]);
    let table = [
        ("otlp", vec![("api-key", "logs"), ("x", "logs")], vec![("api-key", "env"), ("tenant", "env")]),
        (
            "otlp,header.API-Key=s,header.b=x\\,y",
            vec![("api-key", "s"), ("x", "logs"), ("b", "x,y")],
            vec![("api-key", "s"), ("tenant", "env"), ("b", "x,y")],
        ),
    ];
    for (spec, logs, metrics) in table {
        let config = outside.otlp(spec);
        assert_eq!(plain(&config.logs.unwrap().headers), logs, "{spec}");
        assert_eq!(plain(&config.metrics.unwrap().headers), metrics, "{spec}");
    }
}

/// A value in the sink is not a list: nothing in it is decoded.
#[test]
fn a_value_in_the_sink_is_taken_as_it_is() {
    let outside = Outside::env(&[("KEY", "a%20b;c=d")]);
    assert_eq!(plain(&signal(&outside, "otlp,header.k=${env:KEY}").headers), [("k", "a%20b;c=d")]);
}

#[test]
fn wrong_headers_of_the_sink_name_the_key_but_not_the_value() {
    let outside = Outside::env(&[("BAD", "hunter2\r\nx: y")]);
    let table = [
        ("header.a/b=1", "header.a/b: invalid header name; valid: letters, digits and !#$%&'*+-.^_`|~"),
        (
            "header.a=${env:BAD}",
            "header.a: invalid header value; valid: printable ASCII characters and blanks",
        ),
        ("header.a=1,header.A=2", "header.A: given twice; names differ only in case"),
        (
            "header.Content-Type=x",
            "header.Content-Type: header `content-type` is set by convis itself and cannot be given",
        ),
        (
            "header.grpc-timeout=1S",
            "header.grpc-timeout: header `grpc-timeout` is set by convis itself and cannot be given",
        ),
        (
            "protocol=grpc,header.k-bin=x",
            "header.k-bin: a header name that ends in `-bin` is binary in gRPC; valid: any other name",
        ),
    ];
    for (items, why) in table {
        assert_eq!(outside.refusal(&format!("otlp,{items}")), format!("--sink otlp: {why}"));
    }
    assert_eq!(plain(&signal(&outside, "otlp,header.k-bin=x").headers), [("k-bin", "x")]);
}

proptest! {
    #[test]
    fn any_list_is_safe_and_what_passes_is_fit_to_send(list in "([a-zA-Z-]{1,4}=)?(%[0-9a-f]{2}|.|,|=|;|\n){0,20}") {
        for header in parse_headers(&list).unwrap_or_default() {
            let value = header.value.expose();
            prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert!(!header.name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii_graphic()));
        }
    }
}
