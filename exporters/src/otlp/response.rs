//! What an answer means.

use std::error::Error;
use std::io;

use super::transport::Answer;
use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome, one_line};

/// Largest answer that is read, in bytes, as the specification recommends.
pub(super) const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The partial success of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    records: u64,
    message: String,
}

impl Refused {
    pub(super) fn new(records: i64, message: impl AsRef<str>) -> Self {
        Self { records: u64::try_from(records).unwrap_or(0), message: one_line(message.as_ref()) }
    }
}

/// The outcome of a request that was answered with success.
///
/// An answer that is no OTLP answer comes from something else than an OTLP receiver, so nothing was delivered; it is not
/// retried, because the specification forbids that after a success.
pub(super) fn read(
    answer: &Answer,
    protobuf: impl Fn(&[u8]) -> Result<Refused, prost::DecodeError>,
    json_rejected: &str,
) -> Outcome {
    let refused =
        if answer.is_json { from_json(&answer.body, json_rejected) } else { protobuf(&answer.body).ok() };
    match refused {
        Some(Refused { records, message }) => Outcome::Sent { rejected: records, message },
        None => Outcome::Drop(ExportError::new(
            ErrorType::InvalidResponse,
            "the answer is not OTLP; check that the endpoint is an OTLP receiver",
        )),
    }
}

fn from_json(body: &[u8], rejected: &str) -> Option<Refused> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = answer.as_object()?.get("partialSuccess");
    let records = partial.and_then(|partial| partial.get(rejected));
    // 64-bit integers are strings in OTLP/JSON; both forms are to be accepted.
    let records = records.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
    let message = partial.and_then(|partial| partial.get("errorMessage")?.as_str());
    Some(Refused::new(records.unwrap_or(0), message.unwrap_or_default()))
}

/// An error below the protocol: no connection, a broken one, or TLS. It may pass.
pub(super) fn connection_failed(endpoint: &str, error: &(dyn Error + 'static)) -> Outcome {
    let cause = innermost(error);
    let error = if mentions_tls(error) {
        let text =
            format!("TLS with {endpoint} failed: {cause}; check ca, cert, key and the endpoint's scheme");
        ExportError::new(ErrorType::Tls, text)
    } else {
        let text =
            format!("no connection to {endpoint}: {cause}; check the address and that the receiver runs");
        ExportError::new(ErrorType::Unreachable, text)
    };
    Outcome::Retry { after: None, error }
}

/// The last error of a chain, which names the cause.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = inner(last) {
        last = source;
    }
    last.to_string()
}

/// Whether a chain has an error of TLS in it. HTTP/2 keeps only its text once the handshake is over, and the kind that
/// TLS gives to all of its errors and plain sockets give to none.
fn mentions_tls(error: &(dyn Error + 'static)) -> bool {
    let is_tls = |error: &(dyn Error + 'static)| {
        let io = error.downcast_ref::<io::Error>();
        error.is::<rustls::Error>() || io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    };
    std::iter::successors(Some(error), |error| inner(*error)).any(is_tls)
}

/// The next error of a chain. An I/O error that wraps another one is not its source by itself.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
