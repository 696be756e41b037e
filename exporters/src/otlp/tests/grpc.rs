use std::time::Duration;

use convis_otel_config::{Compression, OtlpSignal, Protocol};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{PASSWORD, brief, header, send};
use crate::accounting::ErrorType;
use crate::otlp::logs;
use crate::outcome::Outcome;
use crate::testing::grpc::{Answer, Receiver};
use crate::testing::signal;

fn to(endpoint: &str) -> OtlpSignal {
    let mut signal = signal(endpoint, Protocol::Grpc);
    signal.headers.push(header());
    signal
}

/// Scenario: each code the specification tells apart.
/// Guarantees: retried exactly when it says so, with `RetryInfo` honoured; texts about size mean a smaller request.
#[tokio::test]
async fn codes_mean_what_the_specification_says() {
    use ErrorType as E;
    let plain = |code| Answer::Status(Status::new(code, format!("no {PASSWORD}")));
    let said = |code, text| Answer::Status(Status::new(code, text));
    let asking = |code| {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        Answer::Status(Status::with_error_details(code, "busy", details))
    };
    let table = [
        (Answer::Partial(0, ""), ("sent", None, None)),
        (plain(Code::Cancelled), ("retry", Some(E::Unavailable), None)),
        (plain(Code::DeadlineExceeded), ("retry", Some(E::Timeout), None)),
        (plain(Code::Aborted), ("retry", Some(E::Unavailable), None)),
        (plain(Code::OutOfRange), ("retry", Some(E::Unavailable), None)),
        (plain(Code::Unavailable), ("retry", Some(E::Unavailable), None)),
        (asking(Code::Unavailable), ("retry", Some(E::Unavailable), Some(7))),
        (plain(Code::DataLoss), ("retry", Some(E::Unavailable), None)),
        (plain(Code::ResourceExhausted), ("drop", Some(E::Throttled), None)),
        (asking(Code::ResourceExhausted), ("retry", Some(E::Throttled), Some(7))),
        (
            said(Code::ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"),
            ("too_large", Some(E::TooLarge), None),
        ),
        (
            said(Code::OutOfRange, "Error, decoded message length too large: found 5 bytes"),
            ("too_large", Some(E::TooLarge), None),
        ),
        (plain(Code::Unknown), ("drop", Some(E::ServerError), None)),
        (plain(Code::Internal), ("drop", Some(E::ServerError), None)),
        (plain(Code::InvalidArgument), ("drop", Some(E::Rejected), None)),
        (plain(Code::FailedPrecondition), ("drop", Some(E::Rejected), None)),
        (plain(Code::AlreadyExists), ("drop", Some(E::Rejected), None)),
        (plain(Code::NotFound), ("drop", Some(E::NotFound), None)),
        (plain(Code::Unimplemented), ("drop", Some(E::NotFound), None)),
        (plain(Code::PermissionDenied), ("drop", Some(E::Unauthenticated), None)),
        (plain(Code::Unauthenticated), ("drop", Some(E::Unauthenticated), None)),
    ];
    let (answers, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
    let (_receiver, endpoint) = Receiver::start(answers.clone()).await;
    let mut exporter = logs(&to(&endpoint)).unwrap();
    for (answer, expected) in answers.iter().zip(expected) {
        let outcome = send(&mut exporter).await;
        assert_eq!(brief(&outcome), expected, "{outcome:?} to {answer:?}");
    }
}

/// Scenario: requests with and without compression, one of them refused in part.
/// Guarantees: metadata and events arrive, and what the receiver says comes back.
#[tokio::test]
async fn requests_arrive_whole() {
    let (receiver, endpoint) = Receiver::start(vec![Answer::Partial(2, "too old")]).await;
    for (compression, refused) in [(Compression::None, 2), (Compression::Gzip, 0), (Compression::Zstd, 0)] {
        let mut exporter = logs(&OtlpSignal { compression, ..to(&endpoint) }).unwrap();
        let Outcome::Sent { rejected, .. } = send(&mut exporter).await else { panic!() };
        assert_eq!(rejected, refused);
    }
    let asked = receiver.asked();
    assert_eq!((&asked[0].1, &asked[0].1), (&asked[1].1, &asked[2].1));
    assert_eq!(asked[0].1.resource_logs.len(), 3);
    for (metadata, _) in &asked {
        assert_eq!(metadata.get("api-key").unwrap(), PASSWORD);
        assert!(metadata.get("user-agent").unwrap().to_str().unwrap().starts_with("convis/"));
    }
}

/// Scenario: a receiver takes a request and answers with more than may be read.
/// Guarantees: the request is neither retried nor sent again in parts, which would deliver it twice.
#[tokio::test]
async fn an_answer_that_is_too_large_is_not_a_request_that_is() {
    let words = "x".repeat(5 << 20).leak();
    let (_receiver, endpoint) = Receiver::start(vec![Answer::Partial(0, words)]).await;
    let outcome = send(&mut logs(&to(&endpoint)).unwrap()).await;
    assert_eq!(brief(&outcome), ("drop", Some(ErrorType::InvalidResponse), None), "{outcome:?}");
}

/// Scenario: an attempt hangs and is given up.
/// Guarantees: the next one does not wait for the same connection.
#[tokio::test]
async fn an_attempt_given_up_is_followed_by_a_fresh_connection() {
    let (_receiver, endpoint) = Receiver::start(vec![Answer::Hang]).await;
    let mut exporter = logs(&to(&endpoint)).unwrap();
    let hung = tokio::time::timeout(Duration::from_millis(200), send(&mut exporter)).await;
    assert!(hung.is_err());
    assert_eq!(brief(&send(&mut exporter).await).0, "sent");
}

/// Scenario: nothing listens; then something that does not speak HTTP/2 or TLS.
/// Guarantees: all are retried, with a kind that says what to look at.
#[tokio::test]
async fn connections_that_fail_are_retried() {
    let mut exporter = logs(&to("http://127.0.0.1:1")).unwrap();
    let outcome = send(&mut exporter).await;
    assert_eq!(brief(&outcome), ("retry", Some(ErrorType::Unreachable), None));
    let (_receiver, base) = crate::testing::http::Receiver::start(Vec::new()).await;
    let outcome = send(&mut logs(&to(&base)).unwrap()).await;
    assert_eq!(brief(&outcome), ("retry", Some(ErrorType::Unreachable), None), "{outcome:?}");
    let mut tls = to(&base.replace("http:", "https:"));
    tls.ca = Some(crate::testing::tls::Certificates::new().ca);
    let outcome = send(&mut logs(&tls).unwrap()).await;
    assert_eq!(brief(&outcome), ("retry", Some(ErrorType::Tls), None), "{outcome:?}");
}
