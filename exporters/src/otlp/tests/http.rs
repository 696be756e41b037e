use std::io::Read as _;

use convis_otel_config::{Compression, OtlpSignal, Protocol};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message as _;

use super::{PASSWORD, brief, header, send};
use crate::accounting::ErrorType;
use crate::batch::Slice;
use crate::otlp::{encode_logs, logs};
use crate::outcome::Outcome;
use crate::testing::http::{Answer, Receiver};
use crate::testing::{samples, signal};

fn to(base: &str) -> OtlpSignal {
    let mut signal = signal(&format!("{base}/v1/logs?token=s3cret"), Protocol::HttpProtobuf);
    signal.headers.push(header());
    signal
}

fn status_body(message: &str) -> Vec<u8> {
    tonic_types::Status { code: 8, message: message.to_owned(), details: Vec::new() }.encode_to_vec()
}

/// Scenario: each answer the specification tells apart, and some it does not foresee.
/// Guarantees: only 429, 502, 503, 504 and broken connections are retried, `Retry-After` in both forms is honoured, and
/// no message repeats our credentials.
#[tokio::test]
async fn answers_mean_what_the_specification_says() {
    use ErrorType as E;
    let status = Answer::status;
    let dated = |retry: &str| {
        status(503).with_header("date", "Tue, 24 Nov 2026 10:00:00 GMT").with_header("retry-after", retry)
    };
    let table = [
        (status(200), ("sent", None, None)),
        (status(202), ("sent", None, None)),
        (status(200).with_body("<html>"), ("drop", Some(E::InvalidResponse), None)),
        (status(200).with_body(vec![0; 5 << 20]), ("drop", Some(E::InvalidResponse), None)),
        (status(429).with_header("retry-after", "7"), ("retry", Some(E::Throttled), Some(7))),
        (status(502), ("retry", Some(E::Unavailable), None)),
        (dated("Tue, 24 Nov 2026 10:00:09 GMT"), ("retry", Some(E::Unavailable), Some(9))),
        (dated("Tue, 24 Nov 2026 09:00:00 GMT"), ("retry", Some(E::Unavailable), None)),
        (dated("soon"), ("retry", Some(E::Unavailable), None)),
        (status(504), ("retry", Some(E::Unavailable), None)),
        (status(400).with_body(status_body("bad")), ("drop", Some(E::Rejected), None)),
        (
            status(401).with_body(format!("key {PASSWORD}\nis wrong")),
            ("drop", Some(E::Unauthenticated), None),
        ),
        (status(404), ("drop", Some(E::NotFound), None)),
        (status(307).with_header("location", "http://127.0.0.1:1/"), ("drop", Some(E::NotFound), None)),
        (status(408), ("drop", Some(E::Rejected), None)),
        (status(413), ("too_large", Some(E::TooLarge), None)),
        (status(500), ("drop", Some(E::ServerError), None)),
        (Answer::Disconnect, ("retry", Some(E::Unreachable), None)),
        (status(200), ("sent", None, None)),
    ];
    let (answers, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
    let (_receiver, base) = Receiver::start(answers.clone()).await;
    let mut exporter = logs(&to(&base)).unwrap();
    for (answer, expected) in answers.iter().zip(expected) {
        let outcome = send(&mut exporter).await;
        assert_eq!(brief(&outcome), expected, "{outcome:?} to {answer:?}");
    }
}

/// Scenario: every status that is an error.
/// Guarantees: four of them are retried, one means a smaller request, all others are final.
#[tokio::test]
async fn four_statuses_are_retried() {
    let statuses = 400..600_u16;
    let (_receiver, base) = Receiver::start(statuses.clone().map(Answer::status).collect()).await;
    let mut exporter = logs(&to(&base)).unwrap();
    for status in statuses {
        let expected = match status {
            429 | 502 | 503 | 504 => "retry",
            413 => "too_large",
            _ => "drop",
        };
        assert_eq!(brief(&send(&mut exporter).await).0, expected, "{status}");
    }
}

/// Scenario: a receiver takes a request but for some records, in protobuf and in JSON.
/// Guarantees: their number and its words arrive.
#[tokio::test]
async fn partial_success_is_read() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 3, error_message: "too old".to_owned() };
    let protobuf = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let json = r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#;
    let answers = vec![
        Answer::status(200).with_body(protobuf),
        Answer::status(200).with_header("content-type", "application/json; charset=utf-8").with_body(json),
    ];
    let (_receiver, base) = Receiver::start(answers).await;
    let mut exporter = logs(&to(&base)).unwrap();
    for _ in 0..2 {
        let Outcome::Sent { rejected, message } = send(&mut exporter).await else { panic!() };
        assert_eq!((rejected, message.as_str()), (3, "too old"));
    }
}

/// Scenario: one request with and one without compression.
/// Guarantees: path, headers and body are what the specification asks for.
#[tokio::test]
async fn requests_are_as_specified() {
    let (receiver, base) = Receiver::start(Vec::new()).await;
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut exporter = logs(&OtlpSignal { compression, ..to(&base) }).unwrap();
        assert!(matches!(send(&mut exporter).await, Outcome::Sent { .. }));
    }
    let asked = receiver.asked();
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(&asked[1].body[..]).read_to_end(&mut inflated).unwrap();
    assert_eq!(asked[0].body, inflated);
    assert_eq!(zstd::decode_all(&asked[2].body[..]).unwrap(), inflated);
    assert_eq!(ExportLogsServiceRequest::decode(&inflated[..]).unwrap().resource_logs.len(), 3);
    for request in &asked {
        assert_eq!(request.path, "/v1/logs");
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(request.headers["user-agent"], concat!("convis/", env!("CARGO_PKG_VERSION")));
        assert_eq!(request.headers["api-key"], PASSWORD);
    }
    assert_eq!(asked[0].headers.get("content-encoding"), None);
    assert_eq!(asked[1].headers["content-encoding"], "gzip");
    assert_eq!(asked[2].headers["content-encoding"], "zstd");
}

/// Scenario: `http/json` is spoken; the receiver takes everything with and without a body, refuses some records, and
/// answers with errors in JSON.
/// Guarantees: content type and body are JSON of the same message, and each answer is understood.
#[tokio::test]
async fn json_is_spoken_both_ways() {
    let json = |status, body: &str| {
        Answer::status(status).with_header("content-type", "application/json").with_body(body)
    };
    let table = [
        (Answer::status(200), "sent", ""),
        (Answer::status(200).with_body("{}"), "sent", ""),
        (json(200, "{}"), "sent", ""),
        (json(200, r#"{"partialSuccess":null}"#), "sent", ""),
        (json(200, ""), "sent", ""),
        (json(200, r#"{"partialSuccess":{"rejectedLogRecords":2,"errorMessage":"odd"}}"#), "sent", "odd"),
        (json(200, "[]"), "drop", "not OTLP"),
        (json(200, "{"), "drop", "not OTLP"),
        (json(400, r#"{"code":3,"message":"bad","details":[]}"#), "drop", "400 Bad Request (bad);"),
        (json(429, r#"{"code":8,"message":"slow"}"#), "retry", "429 Too Many Requests (slow);"),
        (json(503, r#"{"odd":1}"#), "retry", r#"503 Service Unavailable ({"odd":1});"#),
    ];
    let (receiver, base) = Receiver::start(table.iter().map(|(answer, ..)| answer.clone()).collect()).await;
    let settings = OtlpSignal { protocol: Protocol::HttpJson, ..to(&base) };
    let mut exporter = logs(&settings).unwrap();
    for (answer, what, said) in table {
        let outcome = send(&mut exporter).await;
        assert_eq!(brief(&outcome).0, what, "{outcome:?} to {answer:?}");
        let text = match outcome {
            Outcome::Sent { message, .. } => message,
            Outcome::Retry { error, .. } | Outcome::Drop(error) => error.text,
            other => panic!("{other:?}"),
        };
        assert!(text.contains(said) && (said.is_empty() == text.is_empty()), "{text} to {answer:?}");
    }
    for request in receiver.asked() {
        assert_eq!(request.headers["content-type"], "application/json");
        let message: ExportLogsServiceRequest = serde_json::from_slice(&request.body).unwrap();
        let encoded = encode_logs(&[Slice::whole(samples::events())]);
        assert_eq!(message, ExportLogsServiceRequest::decode(&encoded[..]).unwrap());
    }
}

/// Scenario: nothing listens.
/// Guarantees: a retry whose message says where and what to do, without the query of the URL.
#[tokio::test]
async fn a_closed_port_is_retried() {
    let mut exporter = logs(&to("http://127.0.0.1:1")).unwrap();
    let Outcome::Retry { after: None, error } = send(&mut exporter).await else { panic!() };
    assert_eq!(
        error.text,
        "no connection to http://127.0.0.1:1/v1/logs: Connection refused (os error 111); check the address and that the \
         receiver runs"
    );
}

/// Scenario: TLS against a server that does not speak it.
/// Guarantees: the error says TLS.
#[tokio::test]
async fn a_plain_port_is_no_tls_port() {
    let (_receiver, base) = Receiver::start(Vec::new()).await;
    let mut settings = to(&base.replace("http:", "https:"));
    settings.ca = Some(crate::testing::tls::Certificates::new().ca);
    let outcome = send(&mut logs(&settings).unwrap()).await;
    assert_eq!(brief(&outcome), ("retry", Some(ErrorType::Tls), None), "{outcome:?}");
}
