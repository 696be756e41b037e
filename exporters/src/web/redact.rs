//! Takes our own credentials out of what a server says about them.

use convis_otel_config::Header;

use crate::outcome::{ExportError, Outcome};

/// Shorter words are no credentials, and would tear holes into messages.
const SHORTEST: usize = 6;

/// The words of all header values.
pub(crate) struct Redact {
    words: Vec<String>,
}

impl Redact {
    pub(crate) fn new(headers: &[Header]) -> Self {
        let values = headers.iter().map(|header| header.value.expose().as_str());
        // The whole value first: `Bearer abc` may be echoed as a whole or as `abc`.
        let words = values.flat_map(|value| std::iter::once(value).chain(value.split_whitespace()));
        let words = words.filter(|word| word.len() >= SHORTEST).map(str::to_owned);
        Self { words: words.collect() }
    }

    /// The outcome with its texts cleaned.
    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Sent { rejected, message } => Outcome::Sent { rejected, message: self.text(message) },
            Outcome::Retry { after, error } => Outcome::Retry { after, error: self.error(error) },
            Outcome::TooLarge(error) => Outcome::TooLarge(self.error(error)),
            Outcome::Drop(error) => Outcome::Drop(self.error(error)),
            Outcome::Fatal(error) => Outcome::Fatal(error),
        }
    }

    fn error(&self, error: ExportError) -> ExportError {
        ExportError { text: self.text(error.text), ..error }
    }

    fn text(&self, text: String) -> String {
        self.words.iter().fold(text, |text, word| text.replace(word.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use convis_otel_config::Secret;

    use super::*;

    /// Scenario: a server repeats a credential, whole and in part.
    /// Guarantees: neither reaches a message.
    #[test]
    fn echoed_credentials_are_hidden() {
        let value = Secret::new("Bearer hunter22".to_owned());
        let redact = Redact::new(&[Header { name: "authorization".to_owned(), value }]);
        let text = redact.text("no such token hunter22 in `Bearer hunter22`".to_owned());
        assert_eq!(text, "no such token *** in `***`");
    }
}
