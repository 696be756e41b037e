use super::*;
use crate::{Secret, SinkKind, testing::Outside};

const URL: &str = "http://h:9090/api/v1/write";

fn config(outside: &Outside, spec: &str) -> PrometheusConfig {
    match outside.sink(spec).map(|sink| sink.kind) {
        Ok(SinkKind::Prometheus(config)) => config,
        other => panic!("{spec}: {other:?}"),
    }
}

fn write(outside: &Outside, keys: &str) -> RemoteWrite {
    match config(outside, &format!("prometheus,endpoint={URL}{keys}")).way {
        PrometheusWay::Write(write) => *write,
        PrometheusWay::Listen(address) => panic!("{keys}: {address}"),
    }
}

/// Scenario: an endpoint and nothing else.
/// Guarantees: the defaults that are documented.
#[test]
fn an_endpoint_is_enough() {
    let expected = RemoteWrite {
        endpoint: URL.parse().unwrap(),
        version: RemoteWriteVersion::V2,
        native_histograms: false,
        credentials: None,
        headers: Vec::new(),
        timeout: Some(Duration::from_secs(10)),
        ca: None,
        identity: None,
    };
    assert_eq!(write(&Outside::default(), ""), expected);
    let labels = config(&Outside::default(), &format!("prometheus,endpoint={URL}")).resource_labels;
    assert_eq!(labels, DEFAULT_RESOURCE_LABELS);
}

/// Scenario: every key.
/// Guarantees: each arrives, the URL with its query as it is, secrets hidden in debug output.
#[test]
fn everything_is_read() {
    let outside = Outside::default()
        .file("/ca", "-----BEGIN CERTIFICATE-----")
        .file("/c", "-----BEGIN CERTIFICATE-----")
        .file("/k", "-----BEGIN PRIVATE KEY-----")
        .file("/pw", "hunt,er2\n");
    let spec = "prometheus,endpoint=https://h/w?token=hunter2,version=1,username=u,password=@/pw,\
                header.X-Scope-OrgID=hunter2,timeout=1s,ca=/ca,cert=/c,key=/k,queue_size=10,\
                resource_labels=service.name+host.name+host.name";
    let sink = outside.sink(spec).unwrap();
    assert!(!format!("{sink:?}").contains("er2"), "{sink:?}");
    assert_eq!(sink.delivery.queue_records, Some(10));
    let SinkKind::Prometheus(config) = sink.kind else { panic!() };
    assert_eq!(config.resource_labels, ["host.name", "service.name"]);
    let PrometheusWay::Write(write) = config.way else { panic!() };
    assert_eq!(write.endpoint.as_str(), "https://h/w?token=hunter2");
    assert_eq!((write.version, write.timeout), (RemoteWriteVersion::V1, Some(Duration::from_secs(1))));
    let password = Secret::new("hunt,er2".to_owned());
    assert_eq!(write.credentials, Some(Credentials::Basic { username: "u".to_owned(), password }));
    assert_eq!(write.headers[0].name, "x-scope-orgid");
    assert!(write.ca.is_some() && write.identity.is_some());
}

/// Scenario: what may be written in more than one way.
/// Guarantees: a token, milliseconds, no limit, no labels, a page to fetch.
#[test]
fn forms_of_values() {
    let outside = Outside::default();
    let token = Credentials::Bearer(Secret::new("abc=".to_owned()));
    assert_eq!(write(&outside, ",bearer=abc=").credentials, Some(token));
    assert_eq!(write(&outside, ",version=2").version, RemoteWriteVersion::V2);
    assert!(write(&outside, ",native_histograms=TRUE").native_histograms);
    assert!(!write(&outside, ",native_histograms=false,version=1").native_histograms);
    assert_eq!(write(&outside, ",timeout=250").timeout, Some(Duration::from_millis(250)));
    assert_eq!(write(&outside, ",timeout=0").timeout, None);
    let page = config(&outside, "prometheus,listen=127.0.0.1:9464,resource_labels=none");
    let way = PrometheusWay::Listen(([127, 0, 0, 1], 9464).into());
    assert_eq!(page, PrometheusConfig { way, resource_labels: Vec::new() });
}

/// Scenario: every mistake that these keys allow.
/// Guarantees: one line that says what is valid, without a value that may be secret.
#[test]
fn mistakes_name_what_is_valid() {
    let table = [
        (
            "endpoint=hunter2",
            "endpoint: relative URL without a base; valid: http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
        ),
        (
            "endpoint=ftp://h/hunter2",
            "endpoint: unknown scheme; valid: http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
        ),
        (
            "endpoint=http://u:hunter2@h/w",
            "endpoint: user and password do not belong in a URL; use the keys `username` and `password`",
        ),
        ("endpoint=http://h,listen=127.0.0.1:1", "listen: there is an `endpoint` too; use a sink for each"),
        ("endpoint=http://h,version=3", "version: `3` is unknown; valid: 1, 2"),
        ("endpoint=http://h,username=u", "username: user and password need each other; set `password` too"),
        (
            "endpoint=http://h,password=hunter2",
            "password: user and password need each other; set `username` too",
        ),
        ("endpoint=http://h,username=a:b,password=hunter2", "username: valid: a name without a colon"),
        (
            "endpoint=http://h,username=u,password=p,bearer=hunter2",
            "bearer: there are `username` or `password` too; set one way only",
        ),
        (
            "endpoint=http://h,bearer=hunter2 x",
            "bearer: invalid token; valid: printable ASCII characters without blanks",
        ),
        (
            "endpoint=http://h,bearer=b,header.Authorization=hunter2",
            "header.Authorization: there are credentials in other keys too; set one way only",
        ),
        (
            "endpoint=http://h,header.x-prometheus-remote-write-version=9",
            "header.x-prometheus-remote-write-version: header `x-prometheus-remote-write-version` is set by convis itself; use the key `version`",
        ),
        (
            "endpoint=http://h,header.content-encoding=gzip",
            "header.content-encoding: header `content-encoding` is set by convis itself and cannot be given",
        ),
        (
            "endpoint=http://h,timeout=soon",
            "timeout: `soon` is no duration; write a whole number with a unit: 500ms, 10s, 2m or 1h, or milliseconds without one",
        ),
        (
            "endpoint=http://h,native_histograms=yes",
            "native_histograms: `yes` is unknown; valid: true, false",
        ),
        (
            "endpoint=http://h,native_histograms=true,version=1",
            "native_histograms: remote write 1.0 has no native histograms; set `version` to 2 or take it out",
        ),
        (
            "listen=127.0.0.1:1,native_histograms=true",
            "native_histograms: Prometheus's text format has no native histograms: a page at `listen` has classic ones; \
             use an `endpoint`",
        ),
        ("listen=9464", "listen: valid: ADDRESS:PORT, such as 127.0.0.1:9464 or [::]:9464"),
        (
            "listen=127.0.0.1:1,header.a=hunter2",
            "listen: `header.NAME` belongs to an `endpoint`; it has no use with `listen`",
        ),
        (
            "listen=127.0.0.1:1,resource_labels=a++b",
            "resource_labels: valid: keys of Resource attributes joined by `+`, such as host.name+container.name, or none",
        ),
    ];
    for (keys, line) in table {
        assert_eq!(
            Outside::default().refusal(&format!("prometheus,{keys}")),
            format!("--sink prometheus: {line}")
        );
    }
    let line = Outside::default().refusal("prometheus");
    assert!(
        line.starts_with("--sink prometheus: endpoint: neither `endpoint` nor `listen` is given; set"),
        "{line}"
    );
}

/// Exponential buckets are measured only for a sink that sends them.
#[test]
fn exponential_buckets_are_wanted_where_they_are_sent() {
    for (keys, want) in [
        ("endpoint=http://h", false),
        ("endpoint=http://h,native_histograms=true", true),
        ("endpoint=http://h,native_histograms=false", false),
        ("listen=127.0.0.1:1", false),
    ] {
        let sink = Outside::default().sink(&format!("prometheus,{keys}")).unwrap();
        assert_eq!(sink.kind.wants_exponential(), want, "{keys}");
    }
}
