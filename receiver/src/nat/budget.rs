//! How much may be asked.

use super::SECOND_NS;

/// Look-ups per second: even at ten microseconds each, a twentieth of a processor.
const MOST: u32 = 5_000;

/// Look-ups that are left in this second.
#[derive(Debug, Default)]
pub(super) struct Budget {
    taken: u32,
    since_ns: u64,
}

impl Budget {
    /// Takes one, if there is one left.
    pub(super) const fn take(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.since_ns) >= SECOND_NS {
            *self = Self { taken: 0, since_ns: now_ns };
        }
        let left = self.taken < MOST;
        self.taken += left as u32;
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: more look-ups than a second has, at its begin and at its end.
    /// Guarantees: no more than the budget; all of it again a second later.
    #[test]
    fn is_spent_and_renewed() {
        let mut budget = Budget::default();
        for second in 0..3 {
            let start = second * SECOND_NS;
            let taken = (0..2 * MOST).filter(|_| budget.take(start)).count();
            assert_eq!(taken, MOST as usize);
            assert!(!budget.take(start + SECOND_NS - 1));
        }
    }
}
