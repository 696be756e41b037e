mod encoding;
mod exponential;
mod grpc;
mod http;
mod json;
mod limits;
mod own;
mod split;
mod tls;

use convis_otel_config::{Header, Secret};

use super::exporter::{Logs, Otlp};
use crate::accounting::ErrorType;
use crate::batch::Slice;
use crate::outcome::{Exporter as _, Outcome};
use crate::testing::samples;

/// The password no message may repeat.
const PASSWORD: &str = "hunter2-and-more";

fn header() -> Header {
    Header { name: "api-key".to_owned(), value: Secret::new(PASSWORD.to_owned()) }
}

/// Encodes the sample events and sends them once.
async fn send(exporter: &mut Otlp<Logs>) -> Outcome {
    let payload = exporter.encode(&[Slice::whole(samples::events())]);
    exporter.send(&payload).await
}

/// An outcome in a form for tables: what, `error.type`, seconds to wait.
fn brief(outcome: &Outcome) -> (&'static str, Option<ErrorType>, Option<u64>) {
    let error = match outcome {
        Outcome::Sent { .. } => return ("sent", None, None),
        Outcome::Fatal(_) => return ("fatal", None, None),
        Outcome::Retry { error, .. } | Outcome::TooLarge(error) | Outcome::Drop(error) => error,
    };
    assert!(!error.text.contains(PASSWORD), "{error}");
    assert_eq!(error.text.lines().count(), 1, "{error}");
    let kind = Some(error.kind);
    match outcome {
        Outcome::Retry { after, .. } => ("retry", kind, after.map(|after| after.as_secs())),
        Outcome::TooLarge(_) => ("too_large", kind, None),
        _ => ("drop", kind, None),
    }
}
