use convis_integration::certificates::Certificates;
use convis_integration::clock::{poll, wait_for};
use convis_integration::convis::Convis;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::{need, turns};

use super::{EVENTS, PATIENCE, is_each_once, play, times};

/// Scenario: a receiver with a certificate of a private authority that wants one of its clients; convis has the authority's
/// certificate and one of its own, or trusts another authority, or has no certificate; over gRPC and over HTTP.
/// Guarantees: with all of it each event arrives once; else nothing does, all of it waits, and one line says what
/// failed, however often it is tried.
#[test]
fn certificates_decide_who_talks() {
    need!(root());
    let _turn = turns::together();
    let (own, other) = (Certificates::new(), Certificates::new());
    let oracle = need!(Oracle::start_tls(&own));
    let mut arguments = vec!["--shutdown-timeout".to_owned(), "1s".to_owned()];
    for (protocol, port) in [("grpc", oracle.ports().grpc), ("http/protobuf", oracle.ports().http)] {
        let path = |of: &Certificates, name| of.file(name).display().to_string();
        let known = format!(",cert={},key={}", path(&own, "cert.pem"), path(&own, "key.pem"));
        for (ca, identity) in [(&own, known.as_str()), (&other, known.as_str()), (&own, "")] {
            let ca = path(ca, "ca.pem");
            let retry = "retry_initial=200ms,retry_max=200ms";
            let sink =
                format!("otlp,endpoint=https://127.0.0.1:{port},protocol={protocol},signals=logs,ca={ca}");
            arguments.extend(["--sink".to_owned(), format!("{sink}{identity},{retry}")]);
        }
    }
    let convis = Convis::start(&arguments);
    let truth = play();

    let welcome = ["otlp", "otlp/4"];
    // gRPC's own server ends a connection without a certificate and does not say why.
    let refused = [
        ("otlp/2", "TLS with"),
        ("otlp/3", "no connection to"),
        ("otlp/5", "TLS with"),
        ("otlp/6", "TLS with"),
    ];
    for (sink, transport) in welcome.into_iter().zip(["grpc", "http"]) {
        let taken = || {
            let requests = oracle.requests().into_iter();
            let logs: Vec<_> = requests
                .filter(|request| request.field("transport") == transport)
                .flat_map(|request| request.logs())
                .collect();
            times(&logs, &truth)
        };
        let came = poll(PATIENCE, || (taken().len() == EVENTS).then_some(()));
        assert!(came.is_some(), "{} events came to {sink}: {}", taken().len(), convis.stderr());
        assert!(is_each_once(&taken()), "{transport}: {:#?}", taken());
    }
    for (sink, _) in refused {
        wait_for(&format!("many attempts of {sink}"), PATIENCE, || {
            let attempts = convis.ledger().sum("convis_sink_retries_total", &[("sink", sink)]);
            (attempts >= Some(4.0)).then_some(())
        });
        let account = convis.ledger().sink(sink);
        assert!(account.balances() && account.sent < 0.5 && account.dropped < 0.5, "{sink}: {account:?}");
        assert!(account.queued >= EVENTS as f64, "{sink}: {account:?}");
    }
    let said = convis.stderr();
    let lines = |sink: &str, words: &str| {
        said.lines().filter(|line| line.contains(&format!("{sink} events")) && line.contains(words)).count()
    };
    for (sink, words) in refused {
        assert_eq!(lines(sink, words), 1, "{sink}: {said}");
    }
    for sink in welcome {
        assert_eq!(lines(sink, ""), 0, "{sink}: {said}");
    }
    assert!(convis.stop().status.success());
}
