//! Takes what the kernel side holds: the ring, what waits in the ledger, and what has ended there without a word.

use convis_ebpf::wire::{Entry, flag};
use rustc_hash::{FxHashMap, FxHashSet};

use super::input::Input;
use crate::clock::Clock;
use crate::kernel::LedgerKey;
use crate::track::{Doubts, Tracker};

/// The last sweep of the ledger.
#[derive(Default)]
pub(super) struct Swept {
    pub(super) at_ns: u64,
    /// What still waited after it: entries that the kernel lost when it skipped a program.
    pub(super) left: u64,
}

impl Swept {
    /// Whether a sweep would find something: anything new at once, what it left behind only now and then.
    pub(super) const fn is_due(&self, waiting: u64, boot_ns: u64) -> bool {
        const AGAIN_NS: u64 = 1_000_000_000;
        waiting > self.left || (waiting != 0 && boot_ns >= self.at_ns + AGAIN_NS)
    }
}

/// Takes what is in the ring.
pub(super) fn drain_ring(input: &mut Input, tracker: &mut Tracker, clock: Clock, now: u64) {
    input.drain(|record| match record {
        Ok(record) => tracker.apply(record, clock, now),
        Err(_) => tracker.delivered.unreadable += 1,
    });
}

/// Takes what the ledger holds because the ring was full, in the order that gives each connection its events in turn.
pub(super) fn sweep(input: &mut Input, tracker: &mut Tracker, clock: Clock, now: u64) {
    let (mut living, mut ended) = (Vec::new(), Vec::new());
    let waits =
        |key: LedgerKey, entry: &Entry| !key.is_socket() || entry.conn.flags & flag::OPEN_PENDING != 0;
    input.sweep(waits, |key, entry| {
        if !key.is_socket() {
            ended.push((key, entry));
        } else if entry.conn.flags & flag::ENDING == 0 {
            living.push(entry.conn);
        }
    });

    // Their last records were not yet written when they were found, so they come before what is in the ring by now.
    for conn in living {
        tracker.sweep_if_pending(&conn, clock, now);
    }
    // What ended connections sent through the ring is older than their entries, so it is in the ring by now.
    drain_ring(input, tracker, clock, now);
    // A walk that the kernel restarts shows an entry twice.
    ended.sort_by_key(|(key, entry)| (entry.end_ns, entry.conn.id, key.number()));
    ended.dedup_by_key(|(key, _)| *key);
    for (key, entry) in ended {
        if entry.conn.flags & (flag::CLOSED | flag::FAILED) == 0 {
            // It was accepted after its end, which waits for that; or its end went unseen, and the next walk finds that out.
            tracker.sweep_if_pending(&entry.conn, clock, now);
        } else {
            tracker.sweep_ended(&entry, clock, now);
        }
        input.forget(key);
    }
}

/// Ends the connections that have ended although no end came, since the kernel skipped the program or had no room.
pub(super) fn end_unseen(
    input: &mut Input,
    tracker: &mut Tracker,
    doubts: Doubts,
    clock: Clock,
    boot_ns: u64,
) {
    let now = boot_ns;
    let doubted: FxHashSet<u64> =
        [&doubts.absent, &doubts.over, &doubts.leftover].into_iter().flatten().copied().collect();
    let mut entries = FxHashMap::default();
    input.sweep(
        |_, entry| doubted.contains(&entry.conn.id),
        |key, entry| {
            entries.insert(entry.conn.id, key);
        },
    );
    // An end that came meanwhile is in the ring by now, and its connection no longer open after this.
    drain_ring(input, tracker, clock, now);
    for id in doubts.absent {
        if entries.contains_key(&id) {
            tracker.is_there(id);
        } else {
            tracker.end_unseen(id, boot_ns, clock, now);
        }
    }
    // What moved to its id waits for the sweep, which tells its end.
    let waits = |id: &u64| entries.get(id).is_some_and(|key| !key.is_socket());
    let mut stale = doubts.leftover;
    for id in doubts.over.into_iter().filter(|id| !waits(id)) {
        if tracker.end_unseen(id, boot_ns, clock, now) {
            stale.push(id);
        }
    }
    for id in stale {
        if let Some(key) = entries.get(&id).filter(|key| key.is_socket()) {
            input.forget_if(*key, id);
        }
    }
}
