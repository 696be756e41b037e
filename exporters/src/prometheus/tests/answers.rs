use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use convis_otel_config::{Credentials, RemoteWrite, RemoteWriteVersion, Secret};

use super::{PASSWORD, message, metrics, send, to, writer};
use crate::accounting::ErrorType;
use crate::outcome::Outcome;
use crate::prometheus::wire::v1;
use crate::testing::http::{Answer, Receiver};

/// An outcome in a form for tables: what, `error.type`, seconds to wait.
fn brief(outcome: &Outcome) -> (&'static str, Option<ErrorType>, Option<u64>) {
    match outcome {
        Outcome::Sent { .. } => ("sent", None, None),
        Outcome::Fatal(_) => ("fatal", None, None),
        Outcome::Retry { after, error } => ("retry", Some(error.kind), after.map(|after| after.as_secs())),
        Outcome::TooLarge(error) => ("too_large", Some(error.kind), None),
        Outcome::Drop(error) => ("drop", Some(error.kind), None),
    }
}

fn text(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { error, .. } | Outcome::TooLarge(error) | Outcome::Drop(error) => &error.text,
        Outcome::Sent { .. } | Outcome::Fatal(_) => "",
    }
}

/// Scenario: each answer the specification tells apart, and some it does not foresee.
/// Guarantees: 5xx, 429 and broken connections are retried, `Retry-After` is honoured, nothing else is tried again.
#[tokio::test]
async fn answers_mean_what_the_specification_says() {
    use ErrorType as E;
    let status = Answer::status;
    let table = [
        (status(200), ("sent", None, None)),
        (status(204), ("sent", None, None)),
        (status(429).with_header("retry-after", "7"), ("retry", Some(E::Throttled), Some(7))),
        (status(429), ("retry", Some(E::Throttled), None)),
        (status(500), ("retry", Some(E::ServerError), None)),
        (status(503).with_header("retry-after", "9"), ("retry", Some(E::Unavailable), Some(9))),
        (status(599), ("retry", Some(E::ServerError), None)),
        (status(400), ("drop", Some(E::Rejected), None)),
        (status(401), ("drop", Some(E::Unauthenticated), None)),
        (status(403), ("drop", Some(E::Unauthenticated), None)),
        (status(404), ("drop", Some(E::NotFound), None)),
        (status(408), ("drop", Some(E::Rejected), None)),
        (status(413), ("too_large", Some(E::TooLarge), None)),
        (status(307).with_header("location", "http://127.0.0.1:1/"), ("drop", Some(E::NotFound), None)),
        (Answer::Disconnect, ("retry", Some(E::Unreachable), None)),
    ];
    let (answers, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
    let (_receiver, base) = Receiver::start(answers.clone()).await;
    let mut writer = writer(&to(&base, RemoteWriteVersion::V1));
    for ((answer, expected), turn) in answers.iter().zip(expected).zip(0..) {
        let outcome = send(&mut writer, metrics(turn)).await;
        assert_eq!(brief(&outcome), expected, "{outcome:?} to {answer:?}");
    }
}

/// Scenario: a server repeats what it was sent, in every form, over several lines.
/// Guarantees: the message is its first line without a password, a token or a header's value, and says what to do.
#[tokio::test]
async fn messages_hold_no_credentials() {
    let encoded = BASE64_STANDARD.encode(format!("convis:{PASSWORD}"));
    let body = format!("no user with {PASSWORD} as Basic {encoded} of tenant-blue\nsecond line");
    let (_receiver, base) = Receiver::start(vec![Answer::status(401).with_body(body)]).await;
    let outcome = send(&mut writer(&to(&base, RemoteWriteVersion::V2)), metrics(0)).await;
    assert_eq!(
        text(&outcome),
        format!(
            "{base}/api/v1/write answers 401 Unauthorized (no user with *** as *** of ***); check the credentials in \
             the sink's keys"
        )
    );
    let (_receiver, base) = Receiver::start(vec![Answer::status(403).with_body("bad hunter2-token")]).await;
    let token = Some(Credentials::Bearer(Secret::new("hunter2-token".to_owned())));
    let config = RemoteWrite { credentials: token, ..to(&base, RemoteWriteVersion::V1) };
    let outcome = send(&mut writer(&config), metrics(0)).await;
    assert!(text(&outcome).contains("(bad ***)"), "{outcome:?}");
}

/// Scenario: one request with a password, one with a token.
/// Guarantees: path, query, headers and body are what the specification asks for.
#[tokio::test]
async fn requests_are_as_specified() {
    let (receiver, base) = Receiver::start(Vec::new()).await;
    let basic = to(&base, RemoteWriteVersion::V1);
    let token = Some(Credentials::Bearer(Secret::new("abc".to_owned())));
    for config in [RemoteWrite { credentials: token, ..basic.clone() }, basic] {
        assert!(matches!(send(&mut writer(&config), metrics(0)).await, Outcome::Sent { .. }));
    }
    let asked = receiver.asked();
    for request in &asked {
        assert_eq!(request.path, "/api/v1/write");
        let header = |name: &str| request.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/x-protobuf");
        assert_eq!(header("content-encoding"), "snappy");
        assert_eq!(header("x-prometheus-remote-write-version"), "0.1.0");
        assert_eq!(header("user-agent"), concat!("convis/", env!("CARGO_PKG_VERSION")));
        assert_eq!(header("x-scope-orgid"), "tenant-blue");
        assert_eq!(message::<v1::WriteRequest>(&request.body).timeseries.len(), 11);
    }
    assert_eq!(asked[0].headers["authorization"], "Bearer abc");
    // By another implementation: printf 'convis:hunter2-and-more' | base64
    assert_eq!(asked[1].headers["authorization"], "Basic Y29udmlzOmh1bnRlcjItYW5kLW1vcmU=");
}

/// Scenario: nothing listens at first, then an answer gets lost.
/// Guarantees: what never arrived is told again from its beginning; what may have arrived is not.
#[tokio::test]
async fn only_what_never_arrived_is_told_again() {
    let starts = |body: &[u8]| message::<v1::WriteRequest>(body).timeseries[0].samples.len();
    let (receiver, base) = Receiver::start(vec![Answer::Disconnect]).await;
    let mut writer = writer(&to("http://127.0.0.1:1", RemoteWriteVersion::V1));
    let outcome = send(&mut writer, metrics(0)).await;
    assert_eq!(brief(&outcome), ("retry", Some(ErrorType::Unreachable), None));
    writer.web = super::writer(&to(&base, RemoteWriteVersion::V1)).web;
    for seconds in [10, 20] {
        send(&mut writer, metrics(seconds)).await;
    }
    let bodies: Vec<_> = receiver.asked().iter().map(|request| starts(&request.body)).collect();
    assert_eq!(bodies, [2, 1]);
}
