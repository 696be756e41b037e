//! Living connections, and the walk that reads their figures while they live.
//!
//! A walk is told by [`Tracker::begin_walk`], a [`Record::Live`](convis_ebpf::record::Record::Live) for each entry of the
//! kernel's ledger, and [`Tracker::end_walk`]. Metrics move by what a reading is ahead of the one before, and the end adds
//! only the rest.

use std::rc::Rc;
use std::time::Duration;

use convis_ebpf::wire::{self, Conn, flag, role};
use convis_exporters::model::{CloseReason, Detail, Totals};
use rustc_hash::FxHashSet;

use super::Tracker;
use super::end::End;
use super::facts::span;
use super::outbox::{Counts, Now};
use crate::clock::Clock;
use crate::totals;

/// TCP state CLOSE, by the kernel's number.
const CLOSE: u8 = 7;
/// Its end is being told, or was.
const ENDS: u16 = flag::CLOSED | flag::FAILED | flag::ENDING;
/// A connection that so many walks in a row do not show has ended: one walk may leave an entry out.
const WALKS_TO_MISS: u32 = 2;

/// An end that is open.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) end: Rc<End>,
    /// Whether it belongs to convis's own listener: nothing is told or counted of it.
    pub(super) left_out: bool,
    /// The last reading.
    pub(super) figures: Totals,
    /// The first reading of a connection whose role is not known yet: payload needs the role.
    baseline: Option<Box<wire::Totals>>,
    /// 0 when not known.
    established_ns: u64,
    /// Payload bytes sent and received as of its last event.
    told: [u64; 2],
    /// Whether bytes moved since the last sample of its round-trip time.
    moved: bool,
    /// The last walk that showed it.
    walk: u32,
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// Metrics are about to be read: connections with traffic give a sample of their round-trip time.
    pub samples: bool,
    /// Connections whose bytes moved since their last event are told.
    pub updates: bool,
}

/// Connections that may have ended without a word. The caller looks into ledger and ring before it believes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Two walks in a row did not show them.
    pub absent: Vec<u64>,
    /// Their entries are there, but their sockets are closed or another connection's.
    pub over: Vec<u64>,
    /// The same of attempts and listeners, two walks in a row.
    pub leftover: Vec<u64>,
}

impl Doubts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.absent.is_empty() && self.over.is_empty() && self.leftover.is_empty()
    }
}

/// The present walk, or the last one.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) number: u32,
    /// Whether it showed anything: it does not where the kernel cannot walk the ledger.
    showed: bool,
    samples: bool,
    updates: bool,
    over: Vec<u64>,
    leftover: Vec<u64>,
    /// Entries without a usable socket: this walk's and the last one's. A new attempt's socket is still in CLOSE for an
    /// instant, and an end's record is being written for one.
    unusable: FxHashSet<u64>,
    unusable_before: FxHashSet<u64>,
}

impl Live {
    /// Nothing read of it yet.
    pub(super) fn new(end: Rc<End>, established_ns: u64, left_out: bool, walk: u32) -> Self {
        let preexisting = end.facts().preexisting;
        Self {
            end,
            left_out,
            figures: Totals::default(),
            baseline: None,
            established_ns: if preexisting { 0 } else { established_ns },
            told: [0; 2],
            moved: false,
            walk,
        }
    }

    /// Established to then, if the beginning was seen.
    fn duration(&self, until_ns: u64) -> Option<Duration> {
        (self.established_ns != 0).then(|| span(self.established_ns, until_ns))
    }

    /// Takes a reading. What a figure was once it stays at least: it is read while it changes.
    fn grow_to(&mut self, reading: Totals) {
        let before = self.figures;
        self.figures = Totals {
            bytes_sent: before.bytes_sent.max(reading.bytes_sent),
            bytes_received: before.bytes_received.max(reading.bytes_received),
            segments_sent: before.segments_sent.max(reading.segments_sent),
            segments_received: before.segments_received.max(reading.segments_received),
            retransmits: before.retransmits.max(reading.retransmits),
            ..reading
        };
        self.moved |= moved(&before) != moved(&self.figures);
        self.end.counted.borrow_mut().grow_to(&self.figures);
    }

    /// What an event says of the growth since the last one; `None` without any.
    fn update(&mut self, now_ns: u64) -> Option<Detail> {
        let moved = moved(&self.figures);
        let [sent, received] = std::mem::replace(&mut self.told, moved);
        ([sent, received] != moved).then(|| Detail::Updated {
            totals: self.figures,
            duration: self.duration(now_ns),
            sent_delta: moved[0].saturating_sub(sent),
            received_delta: moved[1].saturating_sub(received),
        })
    }
}

impl Tracker {
    /// Begins a walk over the living connections.
    pub fn begin_walk(&mut self, purpose: Purpose) {
        let walk = &mut self.walk;
        walk.number = walk.number.wrapping_add(1);
        walk.showed = false;
        (walk.samples, walk.updates) = (purpose.samples, purpose.updates);
        std::mem::swap(&mut walk.unusable, &mut walk.unusable_before);
        walk.unusable.clear();
    }

    /// Ends the walk, and says which connections it makes doubtful.
    pub fn end_walk(&mut self) -> Doubts {
        let number = self.walk.number;
        if self.walk.showed {
            self.listeners.end_walk(number);
        }
        let absent = self.live.iter().filter(|(_, live)| number.wrapping_sub(live.walk) >= WALKS_TO_MISS);
        Doubts {
            absent: absent.map(|(id, _)| *id).collect(),
            over: std::mem::take(&mut self.walk.over),
            leftover: std::mem::take(&mut self.walk.leftover),
        }
    }

    /// A connection that a walk has left out is in the ledger.
    pub fn is_there(&mut self, id: u64) {
        if let Some(live) = self.live.get_mut(&id) {
            live.walk = self.walk.number;
        }
    }

    /// Ends a connection whose end was missed: `time_ns` is when that was found out. What was read of it last is told, and
    /// only what had been read is counted. `false` if its end has come by now.
    pub fn end_unseen(&mut self, id: u64, time_ns: u64, clock: Clock, now_ns: u64) -> bool {
        let Some(live) = self.live.remove(&id) else {
            return false;
        };
        if self.swept_open.remove(&id) {
            self.delivered.swept_before_loss += 1;
        }
        self.missed_ends += 1;
        if !live.left_out {
            self.tell_unseen(&live, time_ns, Now { clock, ns: now_ns });
        }
        true
    }

    fn tell_unseen(&mut self, live: &Live, time_ns: u64, now: Now) {
        self.lost.counted_of_missed(moved(&live.figures));
        let detail = Detail::Closed {
            totals: live.figures,
            duration: live.duration(time_ns),
            reason: CloseReason::Unknown,
            closer: None,
        };
        self.ends.end(&live.end, time_ns, now.ns);
        self.emit(&live.end, Counts::End { measured: false }, Some((time_ns, detail)), now);
    }

    /// Takes the figures of one entry.
    pub(super) fn read(&mut self, time_ns: u64, conn: &Conn, raw: &wire::Totals, now: Now) {
        self.walk.showed = true;
        if raw.old_state == CLOSE || conn.flags & ENDS != 0 {
            self.read_unusable(conn);
            return;
        }
        if conn.role == role::LISTENER {
            self.listening(conn, now);
            return;
        }
        // Taken out and put back: its role may need the listeners, its series the aggregator.
        let Some(mut live) = self.live.remove(&conn.id) else {
            self.read_first(conn, raw, now);
            return;
        };
        live.walk = self.walk.number;
        if !live.left_out {
            self.learn_role(&mut live, conn, raw, now);
            live.grow_to(totals::of(raw, live.end.role()));
            self.report(&mut live, time_ns, now);
        }
        self.live.insert(conn.id, live);
    }

    /// An entry without a usable socket. What is just being ended, or just begun, gets another walk's time.
    fn read_unusable(&mut self, conn: &Conn) {
        let id = conn.id;
        if self.unaccepted.contains_key(&id) {
            return;
        }
        let mut is_sure = self.walk.unusable_before.contains(&id);
        self.walk.unusable.insert(id);
        let doubted = match self.live.get_mut(&id) {
            Some(live) => {
                live.walk = self.walk.number;
                is_sure |= conn.flags & ENDS == 0;
                &mut self.walk.over
            }
            None => &mut self.walk.leftover,
        };
        if is_sure {
            doubted.push(id);
        }
    }

    /// An entry that nothing was told of: an attempt, a child that waits for its accept, one whose opened record is on its
    /// way, or a connection that began before convis.
    fn read_first(&mut self, conn: &Conn, raw: &wire::Totals, now: Now) {
        if conn.flags & flag::PREEXISTING != 0 {
            let live = self.first_sight(conn, raw, now);
            self.own_ends += u64::from(live.left_out);
            self.live.insert(conn.id, live);
        }
    }

    /// A connection that began before convis: its first reading is its baseline.
    pub(super) fn first_sight(&mut self, conn: &Conn, raw: &wire::Totals, now: Now) -> Live {
        let mut live = self.begin(conn, now);
        if !live.left_out {
            live.baseline = Some(Box::new(*raw));
            live.figures = totals::of(raw, live.end.role());
            live.told = moved(&live.figures);
            self.learn_role(&mut live, conn, raw, now);
        }
        live
    }

    /// Begins to count a connection that began before convis once its role is known: from its baseline.
    #[inline]
    pub(super) fn learn_role(&mut self, live: &mut Live, conn: &Conn, raw: &wire::Totals, now: Now) {
        let Some(baseline) = &live.baseline else {
            return;
        };
        let known = live.end.role().or_else(|| self.listeners.role_of(conn, raw));
        let Some(role) = known else {
            return;
        };
        live.figures = totals::of(baseline, Some(role));
        live.baseline = None;
        live.end.set_role(role);
        live.end.counted.borrow_mut().begin_at(&live.figures);
        self.emit(&live.end, Counts::Found(role), None, now);
    }

    /// Samples and events of one reading.
    fn report(&mut self, live: &mut Live, time_ns: u64, now: Now) {
        if self.walk.samples
            && let Some(open) = &live.end.counted.borrow().open
            && std::mem::take(&mut live.moved)
            && let Some(rtt) = live.figures.rtt
        {
            open.sample(rtt);
        }
        if self.walk.updates
            && let Some(detail) = live.update(time_ns)
        {
            self.emit(&live.end, Counts::Nothing, Some((time_ns, detail)), now);
        }
    }
}

/// Payload bytes sent and received.
const fn moved(totals: &Totals) -> [u64; 2] {
    [totals.bytes_sent, totals.bytes_received]
}
