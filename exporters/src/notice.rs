//! Failures in the log: the first of a kind at once, then one line per period that says how many there were.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::accounting::ErrorType;
use crate::outcome::ExportError;

/// Between two lines about the same kind of failure of one lane.
const PERIOD: Duration = Duration::from_secs(30);

/// What a lane has said so far.
#[derive(Debug)]
pub(crate) struct Notices {
    lane: Arc<str>,
    kinds: [Said; ErrorType::ALL.len()],
    expired: Said,
    failing: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    last: Option<Instant>,
    unsaid: u64,
}

impl Notices {
    /// For the lane of this name.
    pub(crate) fn new(lane: Arc<str>) -> Self {
        Self {
            lane,
            kinds: [Said::default(); ErrorType::ALL.len()],
            expired: Said::default(),
            failing: false,
        }
    }

    /// Says what failed and what follows from it, unless the same kind was said a moment ago.
    pub(crate) fn failed(&mut self, error: &ExportError, consequence: &str) {
        self.failing = true;
        let now = Instant::now();
        if let Some(unsaid) = self.kinds[error.kind as usize].due(now) {
            tracing::warn!(
                sink = %self.lane,
                error.r#type = error.kind.as_str(),
                unreported = unsaid,
                "{}; {consequence}",
                error.text
            );
        }
    }

    /// Says that records were left out because of their age, unless that was said a moment ago.
    pub(crate) fn expired(&mut self, records: u64) {
        if let Some(unsaid) = self.expired.due(Instant::now()) {
            tracing::warn!(
                sink = %self.lane,
                unreported = unsaid,
                "dropped {records} records whose time is too far from now for the receiver; check the clock"
            );
        }
    }

    /// Says once that it works again.
    pub(crate) fn succeeded(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(sink = %self.lane, "sending again");
        }
    }
}

impl Said {
    /// Whether it is time for a line, and then how many were left out since the last one.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PERIOD) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: failures of one kind, close together and then after a period.
    /// Guarantees: the first is due, those that follow are counted, the next line carries their number.
    #[tokio::test(start_paused = true)]
    async fn repeated_failures_are_counted_not_said() {
        let mut said = Said::default();
        assert_eq!(said.due(Instant::now()), Some(0));
        assert_eq!(said.due(Instant::now()), None);
        assert_eq!(said.due(Instant::now()), None);
        tokio::time::advance(PERIOD).await;
        assert_eq!(said.due(Instant::now()), Some(2));
    }
}
