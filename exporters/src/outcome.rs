//! What a sink must be able to do, and what can come of it.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::accounting::ErrorType;
use crate::batch::{Batch, Slice};
use crate::sink::SinkError;

/// A way out: encodes records and sends them, once. Waiting, retrying, cutting and counting are the runner's work.
pub trait Exporter: Send + 'static {
    /// What it sends.
    type Batch: Batch;

    /// Encodes records into one request. Runs in the lane's task, so it should take milliseconds at most.
    ///
    /// It may be called again for the same records, whole or in parts, when a request turns out too large.
    fn encode(&mut self, slices: &[Slice<Self::Batch>]) -> Payload;

    /// Sends a request once. The runner bounds its time; dropping the future gives the attempt up.
    fn send(&mut self, payload: &Payload) -> impl Future<Output = Outcome> + Send;

    /// Records that the last [`encode`](Self::encode) left out because the receiving side takes none so old. They count
    /// as expired once the rest has an outcome.
    fn expired(&self) -> u64 {
        0
    }

    /// Whether some of what the last [`encode`](Self::encode) took has become too old to be taken since: before an attempt it
    /// is encoded again then.
    fn is_stale(&self) -> bool {
        false
    }

    /// The records of the last [`encode`](Self::encode) were acknowledged (`true`) or given up (`false`).
    fn settled(&mut self, acknowledged: bool) {
        let _ = acknowledged;
    }
}

/// An encoded request.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    /// The bytes to send, compressed where the sink compresses. Empty when there is nothing to say.
    pub body: Bytes,
    /// Size before compression, in bytes, which is what receivers limit.
    pub uncompressed: usize,
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Outcome {
    /// The receiving side took the request.
    Sent {
        /// Records in it that it refused for good.
        rejected: u64,
        /// What it said about that; a warning when nothing was rejected; empty when it said nothing.
        message: String,
    },
    /// It may work later.
    Retry {
        /// The least time to wait, when the receiving side asked for one.
        after: Option<Duration>,
        /// What went wrong.
        error: ExportError,
    },
    /// The request is too large; smaller ones may work.
    TooLarge(ExportError),
    /// It will never work.
    Drop(ExportError),
    /// The sink cannot go on at all.
    Fatal(SinkError),
}

impl Outcome {
    /// Everything was taken.
    pub const SENT: Self = Self::Sent { rejected: 0, message: String::new() };
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ExportError {
    /// The kind, for counting.
    pub kind: ErrorType,
    /// One line: what failed, why, what to do. Never holds a header's value or a URL's user part or query.
    pub text: String,
}

impl ExportError {
    /// An error of a kind; `text` is cut to one line of a bounded length, since parts of it come from outside.
    pub fn new(kind: ErrorType, text: impl AsRef<str>) -> Self {
        Self { kind, text: one_line(text.as_ref()) }
    }

    /// The error of a receiver that answered with `answer`, a status, and `said` something or nothing about it.
    pub(crate) fn answered(
        kind: ErrorType,
        endpoint: &str,
        answer: impl Display,
        said: Option<&str>,
        advice: &str,
    ) -> Self {
        // Whatever the receiver says, the advice is in the line.
        let said = said.map(|said| shortened(said, MAX_SAID)).filter(|said| !said.is_empty());
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        let endpoint = shortened(endpoint, MAX_ENDPOINT);
        Self::new(kind, format!("{endpoint} answers {answer}{said}; {advice}"))
    }
}

/// Longest text taken from a server.
const MAX_TEXT: usize = 400;
/// As much of that as a server may fill with its own words about an error.
const MAX_SAID: usize = 160;
/// As much of it as an endpoint may take.
const MAX_ENDPOINT: usize = 100;

/// Text from outside made fit for a log: one line, bounded, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    shortened(text, MAX_TEXT)
}

fn shortened(text: &str, longest: usize) -> String {
    let mut line = String::with_capacity(text.len().min(longest));
    for (count, character) in text.trim().chars().enumerate() {
        if count == longest {
            line.push_str("...");
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a server answers with terminal codes, line breaks and no end.
    /// Guarantees: a log line stays one bounded line.
    #[test]
    fn text_from_outside_stays_one_line() {
        assert_eq!(one_line(" a\nb\u{1b}[2Jc "), "a b [2Jc");
        assert_eq!(one_line(&"x".repeat(1000)).len(), MAX_TEXT + 3);
    }

    /// Scenario: a server has much, little or nothing to say about an error.
    /// Guarantees: the line ends with what to do.
    #[test]
    fn the_advice_is_always_there() {
        let text = |said: Option<&str>| {
            let endpoint = format!("http://h/{}", "p".repeat(1000));
            let longest = "503 Network Authentication Required and More";
            ExportError::answered(ErrorType::Rejected, &endpoint, longest, said, "check the log").text
        };
        for said in [Some("x\n".repeat(1000).as_str()), Some("no"), Some(" "), None] {
            assert!(text(said).ends_with("; check the log"), "{}", text(said));
        }
        assert!(text(Some("no")).contains(" and More (no); "));
        assert!(!text(Some("\n")).contains('('));
    }
}
