//! What waits until it is known who is concerned: events, and what they count.
//!
//! A container's name comes from its runtime, and the other end's record may lie behind in the ring. Both get a bounded
//! time; what belongs to one end keeps its order.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use convis_exporters::model::{Detail, Event, Resource, Role};

use super::Tracker;
use super::end::End;
use super::fate::Fate;
use super::series::{self, Open};
use crate::clock::Clock;
use crate::identity::Host;
use crate::metrics::PeerService;

/// How long an event waits for the other end's record: longer than a drain and an accept that is not held up.
const PEER_PATIENCE_NS: u64 = 250_000_000;
/// Items that may wait. Beyond it the oldest goes out as it is.
const MOST_WAITING: usize = 131_072;

/// When a batch of records is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// From the kernel's clock to the wall clock.
    pub(super) clock: Clock,
    /// By the kernel's clock.
    pub(super) ns: u64,
}

impl Now {
    /// Nanoseconds since the Unix epoch.
    pub(super) fn unix_nanos(&self) -> u64 {
        self.clock.unix_nanos(self.ns)
    }
}

/// What is to be told and counted of an end, in this order.
#[derive(Debug)]
pub(super) struct Item {
    end: Rc<End>,
    counts: Counts,
    /// Time, by the kernel's clock, and what happened.
    event: Option<(u64, Detail)>,
    since: Now,
    /// Whether the other end may become known.
    wants_peer: bool,
}

/// What an item adds to the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// Nothing.
    Nothing,
    /// It was found open in this role.
    Found(Role),
    /// It has opened in this role, after this handshake.
    Opening(Role, Option<Duration>),
    /// Its end. `measured`: its duration and a last round-trip time are right.
    End {
        /// See above.
        measured: bool,
    },
    /// An attempt that failed.
    Failure,
}

/// What waits, and the events that are ready.
#[derive(Debug)]
pub(super) struct Outbox {
    ready: Vec<Event>,
    /// How many there were when they were taken last: about as many come next.
    taken: usize,
    waiting: VecDeque<Item>,
    pass: u32,
    /// Resource of what no process is known for.
    nobody: Arc<Resource>,
    /// Events that went out without the names of their container.
    unnamed: u64,
    peer_patience_ns: u64,
    /// See [`MOST_WAITING`].
    pub(super) most_waiting: usize,
}

impl Outbox {
    /// Nothing yet.
    pub(super) fn new(host: &Host) -> Self {
        Self {
            ready: Vec::new(),
            taken: 0,
            waiting: VecDeque::new(),
            pass: 0,
            nobody: Arc::new(host.describe(Resource::builder()).build()),
            unnamed: 0,
            peer_patience_ns: PEER_PATIENCE_NS,
            most_waiting: MOST_WAITING,
        }
    }

    /// The events that are ready since the last call.
    pub(super) fn take(&mut self) -> Vec<Event> {
        self.taken = self.ready.len();
        std::mem::take(&mut self.ready)
    }

    /// Where the next event goes.
    fn to(&mut self) -> &mut Vec<Event> {
        if self.ready.capacity() == 0 {
            self.ready.reserve(self.taken + self.taken / 8);
        }
        &mut self.ready
    }

    /// What waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Events that went out without the names of their container.
    pub(super) const fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Lets go of room that is not needed now.
    pub(super) fn shrink(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// Nothing waits for the other end's record any more.
    const fn expect_no_more(&mut self) {
        self.peer_patience_ns = 0;
    }
}

impl Item {
    /// When it began to wait for the other end's record, if that may come.
    fn wants_peer_since(&self) -> Option<u64> {
        self.wants_peer.then_some(self.since.ns)
    }
}

impl Tracker {
    /// Tells an event and counts it, at once or when it is known who is concerned.
    pub(super) fn emit(&mut self, end: &Rc<End>, counts: Counts, event: Option<(u64, Detail)>, now: Now) {
        let worth_waiting = !matches!(event, Some((_, Detail::Updated { .. } | Detail::Failed { .. })));
        let wants_peer = worth_waiting && end.peer().is_none() && self.ends.may_be_here(end);
        if !wants_peer {
            self.translate(end, counts, now.ns);
        }
        if end.waiting.get() == 0 && self.is_settled(end, wants_peer.then_some(now.ns), now.ns) {
            self.release(end, counts, event, now);
            return;
        }
        end.holder.workload.wait(now.ns);
        end.waiting.set(end.waiting.get() + 1);
        self.out.waiting.push_back(Item { end: Rc::clone(end), counts, event, since: now, wants_peer });
        if self.out.waiting.len() > self.out.most_waiting
            && let Some(oldest) = self.out.waiting.pop_front()
        {
            self.release_waiting(oldest);
        }
    }

    /// Takes what has become known, and lets go of what need not wait any longer.
    pub fn settle(&mut self, clock: Clock, now_ns: u64) {
        let now = Now { clock, ns: now_ns };
        self.take_names(now);
        self.release_unopened(now, false);
        self.out.pass = self.out.pass.wrapping_add(1);
        let pass = self.out.pass;
        for _ in 0..self.out.waiting.len() {
            let Some(item) = self.out.waiting.pop_front() else {
                break;
            };
            // At once: with a container its entries of connection tracking go.
            if item.wants_peer {
                self.translate(&item.end, item.counts, now_ns);
            }
            if item.end.held_in.get() != pass && self.is_settled(&item.end, item.wants_peer_since(), now_ns) {
                self.release_waiting(item);
            } else {
                item.end.held_in.set(pass);
                self.out.waiting.push_back(item);
            }
        }
        self.ends.reap(now_ns);
        self.workloads.reap(now_ns);
    }

    /// No record will come any more: nothing waits for the other end's, only for names.
    pub const fn expect_no_more(&mut self) {
        self.out.expect_no_more();
    }

    /// Lets go of everything that waits, at the end.
    pub fn settle_all(&mut self, clock: Clock, now_ns: u64) {
        self.take_names(Now { clock, ns: now_ns });
        while let Some(item) = self.out.waiting.pop_front() {
            self.release_waiting(item);
        }
    }

    /// Names that have come: what is counted on a Resource with less goes on with the better one.
    fn take_names(&mut self, now: Now) {
        let renewed = self.workloads.refresh(now.ns);
        if renewed.is_empty() {
            return;
        }
        for workload in &renewed {
            self.metrics.renew(workload, now.unix_nanos());
        }
        let ends: Vec<_> = self.live.values().map(|live| Rc::clone(&live.end)).collect();
        for end in ends {
            self.follow_resource(&end);
        }
    }

    /// Moves an end whose group is retired to the one that goes on.
    fn follow_resource(&mut self, end: &End) {
        let is_retired = end.counted.borrow().open.as_ref().is_some_and(Open::is_retired);
        if is_retired {
            let group = self.group(&end.holder);
            if let Some(open) = &mut end.counted.borrow_mut().open {
                open.move_to(group);
            }
        }
    }

    /// Whether nothing more is to be expected of what is known of the end; `wants_peer_since`: when it began to wait for the
    /// other end's record, if that may come.
    fn is_settled(&self, end: &End, wants_peer_since: Option<u64>, now_ns: u64) -> bool {
        let patience = self.workloads.patience_ns;
        if !end.holder.workload.is_settled(now_ns, patience) {
            return false;
        }
        if let Some(peer) = end.peer() {
            peer.holder.workload.wait(now_ns);
            return peer.holder.workload.is_settled(now_ns, patience);
        }
        wants_peer_since.is_none_or(|since_ns| now_ns.saturating_sub(since_ns) >= self.out.peer_patience_ns)
    }

    fn release_waiting(&mut self, item: Item) {
        let Item { end, counts, event, since, wants_peer } = item;
        end.waiting.set(end.waiting.get().saturating_sub(1));
        // Once for each connection, not for each of its events.
        let begins = matches!(counts, Counts::Opening(..) | Counts::Found(_));
        if begins && wants_peer && end.peer().is_none() {
            self.ends.not_here(end.facts().peer);
        }
        self.release(&end, counts, event, since);
    }

    fn release(&mut self, end: &End, counts: Counts, event: Option<(u64, Detail)>, since: Now) {
        let resource = end.holder.identity(&self.describer, |identity| Arc::clone(&identity.resource));
        let resource = resource.unwrap_or_else(|| Arc::clone(&self.out.nobody));
        let fate = self.fate(end, &resource, counts);
        if fate != Fate::Filtered {
            self.count(end, counts, event.as_ref().map(|(_, detail)| detail));
            self.count_unexpected(end);
        }
        let Some((time_ns, detail)) = event else {
            return;
        };
        if fate != Fate::Told {
            self.left_out.count(fate, detail.name());
            return;
        }
        let peer = end
            .peer()
            .and_then(|peer| peer.holder.identity(&self.describer, |identity| Arc::clone(&identity.peer)));
        let time_unix_nanos = since.clock.unix_nanos(time_ns);
        self.out.unnamed += u64::from(end.holder.workload.is_unnamed());
        self.out.to().push(Event {
            resource,
            time_unix_nanos,
            // A record can be written while the ring is drained, after the clock was read.
            observed_unix_nanos: since.unix_nanos().max(time_unix_nanos),
            connection: end.connection(),
            peer,
            nat_peer: end.nat_peer(),
            detail,
        });
    }

    fn count(&mut self, end: &End, counts: Counts, detail: Option<&Detail>) {
        match (counts, detail) {
            (Counts::Found(role), _) => {
                let open = self.open(end, role);
                end.counted.borrow_mut().open = Some(open);
            }
            (Counts::Opening(role, handshake), _) => {
                let open = self.open(end, role);
                open.count_opened(handshake);
                end.counted.borrow_mut().open = Some(open);
            }
            (Counts::End { measured }, Some(Detail::Closed { totals, duration, reason, .. })) => {
                self.follow_resource(end);
                if let Some(open) = end.counted.borrow_mut().end_with(totals) {
                    let seen = |value: Option<Duration>| value.filter(|_| measured);
                    open.count_closed(*reason, seen(*duration), seen(totals.rtt));
                }
            }
            (Counts::Failure, Some(Detail::Failed { error, .. })) => {
                series::count_failed(&self.group(&end.holder), end.facts(), *error);
            }
            _ => {}
        }
    }

    /// The service at the other end, if that is known.
    pub(super) fn peer_service(&self, end: &End) -> Option<Rc<PeerService>> {
        end.peer()
            .and_then(|peer| peer.holder.identity(&self.describer, |identity| identity.service.clone())?)
    }

    /// Begins to count an end.
    fn open(&mut self, end: &End, role: Role) -> Open {
        let per_process = self.metrics.is_per_process() && end.holder.process.is_some();
        let peer = self.peer_service(end);
        let group = self.group(&end.holder);
        let of = series::facet(&mut group.borrow_mut(), end.facts(), role, peer);
        Open::begin(group, of, per_process)
    }

    /// Asks once what address translation makes of a client's end whose peer is not known.
    fn translate(&mut self, end: &Rc<End>, counts: Counts, now_ns: u64) {
        if end.role() != Some(Role::Client) || end.peer().is_some() || end.translation_asked.replace(true) {
            return;
        }
        let pid = end.holder.process.as_ref().map(|process| process.pid);
        if let Some(translated) = self.translator.translated(end.facts(), pid, now_ns) {
            end.set_translated(translated);
            // An attempt that failed has no other end.
            if counts != Counts::Failure {
                self.ends.translate(end);
            }
        }
    }
}
