//! What asking comes to.

use rustix::io::Errno;

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The request could not be handed over.
    Send,
    /// The kernel did not answer at once, or had no room for the answer.
    NoAnswer,
    /// The answer makes no sense.
    Malformed,
    /// The process has lost its right to ask, or never had it.
    NotPermitted,
    /// The kernel does not know the request, or something in it.
    Unknown,
    /// The kernel answered with another error.
    Refused,
}

impl Failure {
    /// Every kind, in the order of [`Counted::failures`].
    pub const ALL: [Self; 6] =
        [Self::Send, Self::NoAnswer, Self::Malformed, Self::NotPermitted, Self::Unknown, Self::Refused];

    /// `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::NoAnswer => "no_answer",
            Self::Malformed => "malformed",
            Self::NotPermitted => "not_permitted",
            Self::Unknown => "unknown_request",
            Self::Refused => "refused",
        }
    }

    /// Of an error that the kernel answers with.
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::PERM | Errno::ACCESS => Self::NotPermitted,
            Errno::INVAL | Errno::OPNOTSUPP => Self::Unknown,
            _ => Self::Refused,
        }
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Connections that were asked for.
    pub lookups: u64,
    /// Of these, translated.
    pub translated: u64,
    /// Of these, tracked and not translated.
    pub plain: u64,
    /// Of these, not tracked.
    pub untracked: u64,
    /// Requests without an answer, by [`Failure::ALL`]; also those that are not about a connection.
    pub failures: [u64; Failure::ALL.len()],
    /// Connections not asked for, as nothing was tracked a moment ago.
    pub skipped_idle: u64,
    /// Connections not asked for, as the last ones from this client's address to this server were not translated.
    pub skipped_plain: u64,
    /// Connections not asked for, as there were too many.
    pub skipped_budget: u64,
}

impl Counted {
    /// Requests without an answer, of one kind.
    pub const fn failed(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            lookups: self.lookups + other.lookups,
            translated: self.translated + other.translated,
            plain: self.plain + other.plain,
            untracked: self.untracked + other.untracked,
            failures: std::array::from_fn(|kind| self.failures[kind] + other.failures[kind]),
            skipped_idle: self.skipped_idle + other.skipped_idle,
            skipped_plain: self.skipped_plain + other.skipped_plain,
            skipped_budget: self.skipped_budget + other.skipped_budget,
        }
    }

    pub(super) const fn count(&mut self, failure: Failure) {
        self.failures[failure as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one failure of each kind.
    /// Guarantees: each is counted under its own.
    #[test]
    fn counts_by_kind() {
        for failure in Failure::ALL {
            let mut counted = Counted::default();
            counted.count(failure);
            assert_eq!(counted.failures.iter().sum::<u64>(), 1);
            assert_eq!(counted.failed(failure), 1, "{}", failure.as_str());
        }
    }
}
