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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::otlp::exporter::{Kind, Logs, Metrics};

    proptest! {
        /// Scenario: any bytes, and any text that looks like JSON, as the answer to a request.
        /// Guarantees: it is taken or found to be no answer; what is said of it is one line.
        #[test]
        fn any_answer_is_safe(
            bytes: Vec<u8>,
            text in r#"(\{|\}|\[|\]|,|:|"(partialSuccess|rejectedLogRecords|errorMessage|x)"|null|-?[0-9]{1,20}|"\PC{0,3}"){0,12}"#,
            is_json: bool,
        ) {
            for body in [bytes, text.into_bytes()] {
                let answer = Answer { body: Bytes::from(body), is_json };
                for outcome in
                    [read(&answer, Logs::refused, Logs::JSON_REJECTED), read(&answer, Metrics::refused, Metrics::JSON_REJECTED)]
                {
                    let said = match outcome {
                        Outcome::Sent { message, .. } => message,
                        Outcome::Drop(error) => error.text,
                        other => panic!("{other:?}"),
                    };
                    prop_assert!(said.lines().count() <= 1);
                }
            }
        }

        /// Scenario: a well-formed partial success in JSON, its number as a string or as such.
        /// Guarantees: number and words are read; a number below zero counts as none.
        #[test]
        fn partial_success_in_json_is_read(rejected: i64, words in "[a-z ]{0,20}", as_text: bool) {
            let number = if as_text { format!("\"{rejected}\"") } else { rejected.to_string() };
            let body = format!(
                r#"{{"partialSuccess":{{"rejectedDataPoints":{number},"errorMessage":"{words}"}},"new":[1]}}"#
            );
            let answer = Answer { body: body.into(), is_json: true };
            let outcome = read(&answer, Metrics::refused, Metrics::JSON_REJECTED);
            let Outcome::Sent { rejected: told, message } = outcome else { panic!("{outcome:?}") };
            prop_assert_eq!(told, u64::try_from(rejected).unwrap_or(0));
            prop_assert_eq!(message, one_line(&words));
        }
    }
}
