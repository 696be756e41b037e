//! What an answer means.

use super::transport::Answer;
use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome, one_line};

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
    if body.is_empty() {
        // As in protobuf, where nothing is an answer without fields.
        return Some(Refused::new(0, ""));
    }
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = answer.as_object()?.get("partialSuccess");
    let records = partial.and_then(|partial| partial.get(rejected));
    // 64-bit integers are strings in OTLP/JSON; both forms are to be accepted.
    let records = records.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
    let message = partial.and_then(|partial| partial.get("errorMessage")?.as_str());
    Some(Refused::new(records.unwrap_or(0), message.unwrap_or_default()))
}
