//! Memory that many connections took goes back to the system once they are gone.

/// The most ends of connections that were held since memory was given back last.
#[derive(Debug, Default)]
pub(super) struct Peak(usize);

impl Peak {
    /// So many are held.
    pub(super) fn note(&mut self, held: usize) {
        self.0 = self.0.max(held);
    }

    /// Whether most of them are gone, and enough that it is worth the while. If so, it begins anew.
    pub(super) fn has_passed(&mut self, held: usize) -> bool {
        const WORTH: usize = 10_000;
        let passed = self.0.saturating_sub(held) >= WORTH.max(self.0 / 2);
        if passed {
            self.0 = held;
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: connections come and go, few of them, and many.
    /// Guarantees: memory is given back once after each time that most of many have gone.
    #[test]
    fn once_after_each_peak() {
        let mut peak = Peak::default();
        let mut passes = |most: usize, left: usize| {
            peak.note(most);
            [peak.has_passed(left), peak.has_passed(left)]
        };
        assert_eq!(passes(9_999, 0), [false, false]);
        assert_eq!(passes(50_000, 25_001), [false, false]);
        assert_eq!(passes(50_000, 25_000), [true, false]);
        assert_eq!(passes(35_000, 24_999), [false, false]);
        assert_eq!(passes(35_000, 17_500), [true, false]);
        assert_eq!(passes(0, 7_500), [true, false]);
    }
}
