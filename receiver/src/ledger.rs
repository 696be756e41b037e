//! The loss equation: what happened in the kernel against what was taken, waits, or is lost.
//!
//! For each kind `seen == delivered + pending + dropped`. Every term is counted at its own place, so the equation can
//! fail: `seen` and the drops in the kernel, `delivered` here, `pending` by what went to the ledger less what was swept.

use convis_ebpf::record::Record;
use convis_ebpf::wire::{Counters, kind};

/// The kinds of the equation, with the names they have in metrics.
pub const KINDS: [(u8, &str); 8] = [
    (kind::OPENED, "opened"),
    (kind::CLOSED, "closed"),
    (kind::FAILED, "failed"),
    (kind::EXEC, "exec"),
    (kind::FORK, "fork"),
    (kind::EXIT, "exit"),
    (kind::CGROUP_MADE, "cgroup_made"),
    (kind::CGROUP_REMOVED, "cgroup_removed"),
];

/// What user space took, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    taken: [u64; kind::COUNT],
    swept: [u64; kind::COUNT],
    /// Opened records taken from the ledger before the end of their connection was lost, which counts them as lost as well.
    pub swept_before_loss: u64,
    /// Records of the ring that could not be read: a defect.
    pub unreadable: u64,
}

impl Delivered {
    /// Counts a record of the ring.
    pub fn count(&mut self, record: &Record) {
        let kind = match record {
            Record::Opened { .. } => kind::OPENED,
            Record::Closed { .. } => kind::CLOSED,
            Record::Failed { .. } => kind::FAILED,
            Record::Exec(_) => kind::EXEC,
            Record::Fork { .. } => kind::FORK,
            Record::Exit { .. } => kind::EXIT,
            Record::ListenerClosed { .. } => kind::LISTENER_CLOSED,
            Record::Listening { .. } => kind::LISTENING,
            Record::CgroupMade { .. } => kind::CGROUP_MADE,
            Record::CgroupRemoved { .. } => kind::CGROUP_REMOVED,
            // Read on request, never sent: there is nothing to lose.
            Record::Live { .. } => return,
        };
        self.taken[usize::from(kind)] += 1;
    }

    /// Counts an opened connection that was found in the ledger.
    pub fn swept_opened(&mut self) {
        self.sweep(kind::OPENED);
    }

    /// Counts a closed connection that was found in the ledger.
    pub fn swept_closed(&mut self) {
        self.sweep(kind::CLOSED);
    }

    /// Counts a failed attempt that was found in the ledger.
    pub fn swept_failed(&mut self) {
        self.sweep(kind::FAILED);
    }

    fn sweep(&mut self, kind: u8) {
        self.taken[usize::from(kind)] += 1;
        self.swept[usize::from(kind)] += 1;
    }
}

/// The terms of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Times it happened.
    pub seen: u64,
    /// Taken by user space.
    pub delivered: u64,
    /// Waiting in the ledger.
    pub pending: u64,
    /// Lost because the ring was full, for kinds that have no ledger.
    pub ring_full: u64,
    /// Lost because ring and ledger were full.
    pub ledger_full: u64,
    /// Lost because the kernel's memory could not be read.
    pub unreadable: u64,
}

impl Terms {
    /// The terms of `kind`.
    pub fn of(kind: u8, counters: &Counters, delivered: &Delivered) -> Self {
        let index = usize::from(kind);
        let has_ledger = matches!(kind, kind::OPENED | kind::CLOSED | kind::FAILED);
        let ring_full = counters.ring_full[index];
        let taken_before = if kind == kind::OPENED { delivered.swept_before_loss } else { 0 };
        let ledger_full = counters.ledger_full[index].saturating_sub(taken_before);
        let waiting = ring_full.saturating_sub(ledger_full).saturating_sub(delivered.swept[index]);
        Self {
            seen: counters.seen[index],
            delivered: delivered.taken[index],
            pending: if has_ledger { waiting } else { 0 },
            ring_full: if has_ledger { 0 } else { ring_full },
            ledger_full,
            unreadable: counters.unreadable[index],
        }
    }

    /// Everything that is lost.
    pub fn dropped(&self) -> u64 {
        self.ring_full + self.ledger_full + self.unreadable
    }

    /// Whether nothing is unaccounted for.
    pub fn balances(&self) -> bool {
        self.seen == self.delivered + self.pending + self.dropped()
    }

    /// The drops with their reasons.
    pub fn reasons(&self) -> [(&'static str, u64); 3] {
        [("ring_full", self.ring_full), ("ledger_full", self.ledger_full), ("unreadable", self.unreadable)]
    }
}

/// How much waits in the ledger.
pub fn waiting(counters: &Counters, delivered: &Delivered) -> u64 {
    KINDS.iter().map(|(kind, _)| Terms::of(*kind, counters, delivered).pending).sum()
}

#[cfg(test)]
mod tests {
    use convis_ebpf::wire::COUNTER_WORDS;

    use super::*;

    fn counters(seen: u64, ring_full: u64, ledger_full: u64) -> Counters {
        let mut counters = Counters::sum([[0; COUNTER_WORDS]]);
        counters.seen = [seen; kind::COUNT];
        counters.ring_full = [ring_full; kind::COUNT];
        counters.ledger_full = [ledger_full; kind::COUNT];
        counters
    }

    /// Scenario: ten closes, three found the ring full, one of them the ledger too; one is swept.
    /// Guarantees: each has its place, and the sum is exact.
    #[test]
    fn every_close_has_its_place() {
        let mut delivered = Delivered::default();
        delivered.taken[usize::from(kind::CLOSED)] = 7;
        let terms = Terms::of(kind::CLOSED, &counters(10, 3, 1), &delivered);
        assert_eq!((terms.pending, terms.dropped(), terms.balances()), (2, 1, true));
        delivered.swept_closed();
        let terms = Terms::of(kind::CLOSED, &counters(10, 3, 1), &delivered);
        assert_eq!((terms.delivered, terms.pending, terms.balances()), (8, 1, true));
        // A listener's record has no ledger: it is lost, and nothing waits.
        let mut ring_full = [0; kind::COUNT];
        ring_full[usize::from(kind::CLOSED)] = 3;
        ring_full[usize::from(kind::LISTENING)] = 5;
        assert_eq!(waiting(&Counters { ring_full, ..counters(10, 0, 0) }, &delivered), 2);
    }

    /// Scenario: three cgroups are made and one is removed; the ring is full for one, another's memory cannot be read.
    /// Guarantees: each kind has its own terms, and losses are drops with their reason: nothing waits in a ledger.
    #[test]
    fn cgroups_have_their_place() {
        let mut delivered = Delivered::default();
        delivered.count(&Record::CgroupMade { id: 7, path: Some("/docker/ab".to_owned()) });
        delivered.count(&Record::CgroupRemoved { id: 7, time_ns: 5 });
        let mut counters = counters(0, 0, 0);
        counters.seen[usize::from(kind::CGROUP_MADE)] = 3;
        counters.ring_full[usize::from(kind::CGROUP_MADE)] = 1;
        counters.unreadable[usize::from(kind::CGROUP_MADE)] = 1;
        counters.seen[usize::from(kind::CGROUP_REMOVED)] = 1;
        let made = Terms::of(kind::CGROUP_MADE, &counters, &delivered);
        assert_eq!((made.delivered, made.pending, made.dropped(), made.balances()), (1, 0, 2, true));
        let removed = Terms::of(kind::CGROUP_REMOVED, &counters, &delivered);
        assert_eq!((removed.delivered, removed.dropped(), removed.balances()), (1, 0, true));
        assert_eq!(waiting(&counters, &delivered), 0);
    }

    /// Scenario: an exec finds the ring full; and a record that vanished without a trace.
    /// Guarantees: the first is a drop with its reason; the second is noticed.
    #[test]
    fn what_is_missing_is_noticed() {
        let mut delivered = Delivered::default();
        delivered.taken[usize::from(kind::EXEC)] = 9;
        let terms = Terms::of(kind::EXEC, &counters(10, 1, 0), &delivered);
        assert_eq!((terms.reasons()[0], terms.pending, terms.balances()), (("ring_full", 1), 0, true));
        delivered.taken[usize::from(kind::EXEC)] = 8;
        assert!(!Terms::of(kind::EXEC, &counters(10, 1, 0), &delivered).balances());
    }
}
