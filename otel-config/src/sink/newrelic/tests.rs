use super::*;
use crate::{SinkKind, testing::Outside};

/// A license key as they look, of no account.
const KEY: &str = "0123456789abcdef0123456789abcdef0123NRAL";

fn read(outside: &Outside, spec: &str) -> NewRelicConfig {
    match outside.sink(spec).map(|sink| sink.kind) {
        Ok(SinkKind::NewRelic(config)) => config,
        other => panic!("{spec}: {other:?}"),
    }
}

/// Scenario: each region by its word and by the key's first letters, a gateway, and a whole URL.
/// Guarantees: the documented hosts, and the account's path once.
#[test]
fn endpoints_follow_region_key_and_gateway() {
    let us = "https://insights-collector.newrelic.com/v1/accounts/42/events";
    let eu = "https://insights-collector.eu01.nr-data.net/v1/accounts/42/events";
    let jp = "https://insights-collector.jp.nr-data.net/v1/accounts/42/events";
    let gov = "https://gov-insights-collector.newrelic.com/v1/accounts/42/events";
    let table = [
        (format!("key={KEY}"), us),
        (format!("key={KEY},region=us"), us),
        (format!("key={KEY},region=Eu"), eu),
        (format!("key={KEY},region=JP"), jp),
        (format!("key={KEY},region=fedramp"), gov),
        (format!("key=eu01xx{KEY}"), eu),
        (format!("key=jp01x{KEY}"), jp),
        (format!("key=gov01xx{KEY}"), gov),
        (format!("key={KEY},endpoint=http://127.0.0.1:9"), "http://127.0.0.1:9/v1/accounts/42/events"),
        (format!("key={KEY},endpoint=https://gw/nr/"), "https://gw/nr/v1/accounts/42/events"),
        (format!("key={KEY},endpoint=https://gw/v1/accounts/42/events"), "https://gw/v1/accounts/42/events"),
        (
            format!("key={KEY},endpoint=https://gw/v1/accounts/7/events"),
            "https://gw/v1/accounts/7/events/v1/accounts/42/events",
        ),
    ];
    for (settings, want) in table {
        let outside = Outside::default();
        let config = read(&outside, &format!("newrelic,account=42,{settings}"));
        assert_eq!(config.endpoint.as_str(), want, "{settings}");
        assert_eq!(outside.warnings(), Vec::<String>::new(), "{settings}");
    }
}

/// Scenario: a key of one region with the word of another, and a key that is none for data.
/// Guarantees: what is written wins, with one warning that repeats nothing of the key.
#[test]
fn contradictions_are_warned_about() {
    let outside = Outside::default();
    let config = read(&outside, &format!("newrelic,account=1,region=US,key=eu01xx{KEY}"));
    assert_eq!(config.endpoint.host_str(), Some("insights-collector.newrelic.com"));
    read(&outside, "newrelic,account=1,key=NRAK-ABCDEF");
    assert_eq!(
        outside.warnings(),
        [
            "newrelic region is US, yet the key is one of EU; requests will be refused unless that is meant",
            "newrelic key is a user key; data is taken with a license key only",
        ]
    );
}

/// Scenario: everything given, from a file, a variable and in plain.
/// Guarantees: it is read; the key shows nowhere.
#[test]
fn everything_is_read() {
    let pem = "-----BEGIN CERTIFICATE-----";
    let outside = Outside::env(&[("NR_KEY", KEY)]).file("/ca.pem", pem).file("/key", format!("{KEY}\n"));
    for key in ["key=@/key", "key=${env:NR_KEY}"] {
        let spec = format!("newrelic,account=1,{key},timeout=1500,ca=/ca.pem,events=closed,queue_size=7");
        let sink = outside.sink(&spec).unwrap();
        assert!(!format!("{sink:?}").contains(&KEY[..12]));
        assert_eq!(sink.delivery.queue_records, Some(7));
        let config = read(&outside, &spec);
        assert_eq!(config.key.expose(), KEY);
        assert_eq!(config.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(config.ca.as_deref(), Some(pem.as_bytes()));
    }
    assert_eq!(read(&outside, "newrelic,account=1,key=@/key").timeout, Some(DEFAULT_TIMEOUT));
    assert_eq!(read(&outside, "newrelic,account=1,key=@/key,timeout=0").timeout, None);
}

/// Scenario: neither the sink nor the program says which events.
/// Guarantees: also those of connections that live on.
#[test]
fn updates_are_on_by_default() {
    let sink = Outside::default().sink(&format!("newrelic,account=1,key={KEY}")).unwrap();
    assert_eq!(sink.events, None);
    assert_eq!(sink.kind.events(), crate::EventKinds::ALL);
}

/// Scenario: each setting missing or wrong.
/// Guarantees: one line that names it and says what is valid, never with the key or a URL in it.
#[test]
fn mistakes_name_what_is_valid() {
    let table = [
        ("newrelic", "account: missing; set it to the account's number"),
        ("newrelic,account=,key=hunter2", "account: valid: the account's number, digits only"),
        ("newrelic,account=12a,key=hunter2", "account: valid: the account's number, digits only"),
        ("newrelic,account=1", "key: missing; set it to a license key, best by key=@FILE or key=${env:NAME}"),
        ("newrelic,account=1,key=", "key: empty; valid: a license key of the account"),
        (
            "newrelic,account=1,key=hunter2 x",
            "key: it has blanks, line breaks or other characters that no license key has",
        ),
        (
            "newrelic,account=1,key=hunter2,region=MARS",
            "region: `MARS` is unknown; valid: US, EU, JP, FedRAMP",
        ),
        (
            "newrelic,account=1,key=hunter2,endpoint=ftp://hunter2",
            "endpoint: unknown scheme; valid: http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]",
        ),
        (
            "newrelic,account=1,key=hunter2,endpoint=https://u:hunter2@h",
            "endpoint: user and password do not belong in this URL; valid: http://HOST[:PORT][/PATH] or \
             https://HOST[:PORT][/PATH]",
        ),
        (
            "newrelic,account=1,key=hunter2,endpoint=https://h?k=hunter2",
            "endpoint: a query or fragment does not belong in this URL; valid: http://HOST[:PORT][/PATH] or \
             https://HOST[:PORT][/PATH]",
        ),
        (
            "newrelic,account=1,key=hunter2,timeout=soon",
            "timeout: `soon` is no duration; write a whole number with a unit: 500ms, 10s, 2m or 1h, or milliseconds \
             without one",
        ),
        (
            "newrelic,account=1,key=a,hunter2=1",
            "item 3: unknown key; a comma inside a value is written `\\,`; valid keys: account, key, region, endpoint, \
             timeout, ca, events, queue_size, storage, storage_size, retry, retry_initial, retry_max, retry_elapsed",
        ),
    ];
    for (spec, line) in table {
        let refusal = Outside::default().refusal(spec);
        assert_eq!(refusal, format!("--sink newrelic: {line}"), "{spec}");
        assert!(!refusal.contains("hunter2"));
    }
}
