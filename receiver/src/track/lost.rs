//! Bytes of connections whose end was lost in ring and ledger.
//!
//! The kernel counts their payload. What walks had read of such a connection is in its own metrics already; that is known
//! once it is given up, at most one walk after the one that followed its end. So what was lost between two walks is counted
//! a walk later, less what was given up until then, and the sum of all metrics never counts a byte twice.

use convis_ebpf::wire::Counters;

use super::Tracker;
use crate::metrics::{Extra, Facet, GroupHandle, Instrument};

/// Bytes sent and received.
type Bytes = [u64; 2];

#[derive(Debug, Default)]
pub(super) struct Lost {
    /// The kernel's counters as of the last walk.
    read: Bytes,
    /// What they grew by between the last two walks.
    due: Bytes,
    /// Read of connections that were given up since the last settlement, and before.
    counted: Bytes,
    counted_before: Bytes,
    group: Option<GroupHandle>,
}

impl Lost {
    /// A connection is given up of which so much had been read.
    pub(super) fn counted_of_missed(&mut self, read: Bytes) {
        for (counted, bytes) in self.counted.iter_mut().zip(read) {
            *counted = counted.saturating_add(bytes);
        }
    }

    /// What is certainly in no other metric. Not all that is given up was lost: what remains unused soon lapses.
    fn settle(&mut self, read: Bytes) -> Bytes {
        std::array::from_fn(|way| {
            let counted = self.counted_before[way].saturating_add(self.counted[way]);
            let rest = self.due[way].saturating_sub(counted);
            self.counted_before[way] = counted.saturating_sub(self.due[way]).min(self.counted[way]);
            self.counted[way] = 0;
            self.due[way] = read[way].saturating_sub(self.read[way]);
            self.read[way] = read[way];
            rest
        })
    }
}

impl Tracker {
    /// Counts the bytes of lost ends. Call it after each walk, with the counters from before it.
    pub fn count_lost(&mut self, counters: &Counters) {
        let [sent, received] = self.lost.settle([counters.lost_sent, counters.lost_received]);
        if sent == 0 && received == 0 {
            return;
        }
        // Held from then on, so that the series does not end for want of processes.
        let group = self.lost.group.get_or_insert_with(|| self.metrics.dropped(&self.describer));
        let mut group = group.borrow_mut();
        for (direction, bytes) in [(Extra::Transmit, sent), (Extra::Receive, received)] {
            group.add(
                Instrument::Io,
                &Facet::undivided(),
                direction,
                i64::try_from(bytes).unwrap_or(i64::MAX),
            );
        }
    }

    /// Whether the next walk will count bytes that are lost already.
    pub fn owes_lost(&self) -> bool {
        self.lost.due != [0; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: 100 bytes are lost, of which walks had read 30; a connection whose program was skipped is given up long
    /// before another 50 bytes are lost; more is given up than was lost.
    /// Guarantees: 70, then 50, then nothing; each a walk later, once.
    #[test]
    fn what_was_read_is_not_lost() {
        let mut lost = Lost::default();
        assert_eq!(lost.settle([100, 7]), [0, 0]);
        lost.counted_of_missed([30, 7]);
        assert_eq!(lost.settle([100, 7]), [70, 0]);
        assert_eq!(lost.settle([100, 7]), [0, 0]);
        lost.counted_of_missed([1000, 0]);
        assert_eq!(lost.settle([100, 7]), [0, 0]);
        assert_eq!(lost.settle([150, 7]), [0, 0]);
        assert_eq!(lost.settle([150, 7]), [50, 0]);
        lost.counted_of_missed([500, 0]);
        assert_eq!(lost.settle([160, 7]), [0, 0]);
        assert_eq!(lost.settle([160, 7]), [0, 0]);
    }
}
