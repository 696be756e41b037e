//! The straight line's middle: kernel records become events and metrics.
//!
//! One task, no locks: records come in the order in which the kernel wrote them. Between them the living connections are
//! walked, see [`Tracker::begin_walk`].

mod end;
mod ends;
mod facts;
mod fate;
mod holder;
mod listeners;
mod live;
mod lost;
mod outbox;
mod places;
mod sampler;
mod series;
mod translator;

use std::borrow::Borrow;
use std::time::Duration;

use convis_ebpf::record::Record;
use convis_ebpf::wire::{self, Conn, flag, role};
use convis_exporters::model::{Attribution, Closer, Connection, Detail, Event, Role};
use convis_otel_config::policy::Policy;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::clock::Clock;
use crate::identity::process::Describer;
use crate::identity::{ProcessTable, Workloads};
use crate::ledger::Delivered;
use crate::metrics::{Aggregator, GroupHandle};
use crate::own::OwnListener;
use crate::totals;
use end::End;
use ends::Ends;
use facts::{attribution, span};
use holder::Holder;
use listeners::Listeners;
use live::{Live, Walk};
use lost::Lost;
use outbox::{Counts, Now, Outbox};
use sampler::Sampler;

pub use fate::LeftOut;
pub use live::{Doubts, Purpose};
pub use translator::Translator;

/// How long an end waits for its opened record, which a full ring can delay until the next sweep of the ledger.
const OPENED_PATIENCE_NS: u64 = 1_000_000_000;
/// Children that the peer reset before anybody accepted them, waiting for their accept. Beyond it the oldest go out as
/// never accepted.
const MAX_UNACCEPTED: usize = 65_536;

/// Connections, processes and series, and what they make of each record.
#[derive(Debug)]
pub struct Tracker {
    /// Processes.
    pub processes: ProcessTable,
    /// What they run in.
    pub workloads: Workloads,
    /// Metric series.
    pub metrics: Aggregator,
    /// Records taken, by kind.
    pub delivered: Delivered,
    /// Open connections whose opened record was taken from the ledger: if the kernel loses such an end, it counts that record as
    /// lost with it.
    swept_open: FxHashSet<u64>,
    /// Ends left out because the other end is convis's own listener.
    pub own_ends: u64,
    /// Events left out by policy.
    pub left_out: LeftOut,
    /// Connections whose end was missed.
    pub missed_ends: u64,
    /// Through address translation.
    pub translator: Translator,
    policy: Policy,
    sampler: Sampler,
    describer: Describer,
    own_listener: Option<OwnListener>,
    live: FxHashMap<u64, Live>,
    ends: Ends,
    walk: Walk,
    listeners: Listeners,
    unaccepted: FxHashMap<u64, KeptEnd>,
    /// Ends whose opened records have not come, and until when these are waited for, by the kernel's clock.
    unopened: FxHashMap<u64, (u64, KeptEnd)>,
    lost: Lost,
    out: Outbox,
}

/// What a record says of an end that is over.
#[derive(Debug, Clone, Copy)]
struct Ended<'a> {
    time_ns: u64,
    conn: &'a Conn,
    totals: &'a wire::Totals,
}

/// The same for later.
#[derive(Debug)]
struct KeptEnd {
    time_ns: u64,
    conn: Conn,
    totals: wire::Totals,
}

impl KeptEnd {
    const fn ended(&self) -> Ended<'_> {
        Ended { time_ns: self.time_ns, conn: &self.conn, totals: &self.totals }
    }
}

impl Ended<'_> {
    const fn kept(&self) -> KeptEnd {
        KeptEnd { time_ns: self.time_ns, conn: *self.conn, totals: *self.totals }
    }

    /// Established to closed, if the beginning was seen.
    fn duration(&self) -> Option<Duration> {
        let unseen = self.conn.flags & (flag::PREEXISTING | flag::UNTRACKED) != 0;
        let seen = !unseen && self.conn.established_ns != 0;
        seen.then(|| span(self.conn.established_ns, self.time_ns))
    }
}

impl Tracker {
    /// Nothing tracked yet.
    pub fn new(
        processes: ProcessTable,
        workloads: Workloads,
        translator: Translator,
        metrics: Aggregator,
        describer: Describer,
        own_listener: Option<OwnListener>,
    ) -> Self {
        Self {
            processes,
            workloads,
            translator,
            metrics,
            delivered: Delivered::default(),
            swept_open: FxHashSet::default(),
            own_ends: 0,
            left_out: LeftOut::default(),
            missed_ends: 0,
            policy: Policy::default(),
            sampler: Sampler::default(),
            out: Outbox::new(&describer.host),
            describer,
            own_listener,
            live: FxHashMap::default(),
            ends: Ends::default(),
            walk: Walk::default(),
            listeners: Listeners::default(),
            unaccepted: FxHashMap::default(),
            unopened: FxHashMap::default(),
            lost: Lost::default(),
        }
    }

    /// What connections that begin from now on are told by. Those that are known already keep what was decided of them.
    /// `seed` decides which connections are told of those that are sampled.
    pub fn set_policy(&mut self, policy: Policy, seed: u64) {
        self.policy = policy;
        self.sampler = Sampler::new(seed);
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.live.len()
    }

    /// Ends that take memory: open ones, and those that are over but may still be asked for.
    pub fn held(&self) -> usize {
        self.live.len() + self.ends.over()
    }

    /// Lets go of room that is not needed now.
    pub fn shrink(&mut self) {
        self.live.shrink_to_fit();
        self.ends.shrink();
        self.out.shrink();
    }

    /// The events that are ready since the last call; those of one end in their order.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.out.take()
    }

    /// Events, and beginnings of metrics, that wait until it is known who is concerned.
    pub fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Events that went out without the names of their container.
    pub const fn unnamed(&self) -> u64 {
        self.out.unnamed()
    }

    /// Takes one record of the ring, or of a walk.
    pub fn apply(&mut self, record: impl Borrow<Record>, clock: Clock, now_ns: u64) {
        self.take(record.borrow(), Now { clock, ns: now_ns });
    }

    fn take(&mut self, record: &Record, now: Now) {
        self.delivered.count(record);
        match record {
            Record::Opened { time_ns, conn } => self.opened(*time_ns, conn, now),
            Record::Closed { time_ns, conn, totals } => {
                self.closed(Ended { time_ns: *time_ns, conn, totals }, now);
            }
            Record::Failed { time_ns, conn, totals } => {
                self.failed(Ended { time_ns: *time_ns, conn, totals }, now);
            }
            Record::Exec(image) => self.processes.executed(image),
            Record::Fork { child, image, parent_tgid } => self.processes.forked(child, image, *parent_tgid),
            Record::Exit { time_ns, owner } => self.processes.exited(owner, *time_ns),
            Record::Listening { conn } => self.listening(conn, now),
            Record::ListenerClosed { conn } => self.listener_closed(conn, now),
            Record::CgroupMade { id, path } => self.cgroup_made(*id, path.as_deref(), now),
            Record::CgroupRemoved { id, time_ns } => self.cgroup_removed(*id, *time_ns),
            Record::Live { time_ns, conn, totals, .. } => self.read(*time_ns, conn, totals, now),
        }
    }

    /// Takes a living connection's entry if its opened record found no room in the ring. Once: later calls change nothing.
    pub fn sweep_if_pending(&mut self, conn: &Conn, clock: Clock, now_ns: u64) {
        self.take_if_pending(conn, Now { clock, ns: now_ns });
    }

    /// Takes an entry of the ledger whose last record found no room in the ring; the caller deletes it.
    pub fn sweep_ended(&mut self, entry: &wire::Entry, clock: Clock, now_ns: u64) {
        let ended = Ended { time_ns: entry.end_ns, conn: &entry.conn, totals: &entry.totals };
        let now = Now { clock, ns: now_ns };
        if entry.conn.flags & flag::FAILED != 0 {
            self.delivered.swept_failed();
            self.failed(ended, now);
        } else {
            self.delivered.swept_closed();
            self.closed(ended, now);
        }
    }

    /// Gives up waiting for accepts, at the end.
    pub fn release_unaccepted(&mut self, clock: Clock, now_ns: u64) {
        let now = Now { clock, ns: now_ns };
        self.release_unopened(now, true);
        for (_, ended) in std::mem::take(&mut self.unaccepted) {
            self.emit_unopened(ended.ended(), now);
        }
    }

    fn take_if_pending(&mut self, conn: &Conn, now: Now) {
        if conn.flags & flag::OPEN_PENDING != 0 && !self.live.contains_key(&conn.id) {
            self.delivered.swept_opened();
            self.swept_open.insert(conn.id);
            self.opened(conn.established_ns, conn, now);
        }
    }

    fn opened(&mut self, time_ns: u64, conn: &Conn, now: Now) {
        if self.live.contains_key(&conn.id) {
            return;
        }
        let live = self.begin(conn, now);
        if live.left_out {
            self.own_ends += 1;
        } else {
            let handshake = (conn.role == role::CLIENT).then(|| span(conn.start_ns, conn.established_ns));
            let counts = match live.end.role() {
                Some(role) => Counts::Opening(role, handshake),
                None => Counts::Nothing,
            };
            self.emit(&live.end, counts, Some((time_ns, Detail::Opened { handshake })), now);
        }
        self.live.insert(conn.id, live);
        // The peer's reset can come before the accept.
        let early = taken(&mut self.unaccepted, conn.id);
        if let Some(kept) = early.or_else(|| Some(taken(&mut self.unopened, conn.id)?.1)) {
            self.closed(kept.ended(), now);
        }
    }

    fn closed(&mut self, ended: Ended<'_>, now: Now) {
        let conn = ended.conn;
        if let Some(live) = self.live.remove(&conn.id) {
            self.closed_live(live, ended, now);
            return;
        }
        if conn.flags & (flag::PREEXISTING | flag::UNTRACKED) != 0 {
            self.closed_unread(ended, now);
            return;
        }
        if is_unaccepted(conn) && conn.flags & flag::HELD == 0 {
            self.ended_unaccepted(ended, now);
            return;
        }
        self.take_if_pending(conn, now);
        if let Some(live) = self.live.remove(&conn.id) {
            self.closed_live(live, ended, now);
        } else {
            self.wait_for_opened(ended.kept(), now);
        }
    }

    fn wait_for_opened(&mut self, ended: KeptEnd, now: Now) {
        let until_ns = now.ns.saturating_add(OPENED_PATIENCE_NS);
        self.unopened.insert(ended.conn.id, (until_ns, ended));
    }

    fn closed_live(&mut self, mut live: Live, ended: Ended<'_>, now: Now) {
        if !self.swept_open.is_empty() {
            self.swept_open.remove(&ended.conn.id);
        }
        self.finish(&mut live, ended, now);
    }

    /// Without its opened record, an end is still told. Where there is none since nobody accepted it, or no program saw who did,
    /// nothing is lost; any other loss is counted, and no metric counts that connection.
    fn release_unopened(&mut self, now: Now, is_last: bool) {
        if self.unopened.is_empty() {
            return;
        }
        let due = self.unopened.extract_if(|_, (until_ns, _)| is_last || *until_ns <= now.ns);
        let mut due: Vec<_> = due.map(|(_, (_, ended))| ended).collect();
        due.sort_by_key(|ended| ended.time_ns);
        for kept in due {
            let (conn, ended) = (&kept.conn, kept.ended());
            if conn.flags & flag::HELD != 0 {
                self.accepted_unseen(ended, now);
            } else if is_unaccepted(conn) {
                self.emit_unopened(ended, now);
            } else {
                let mut live = self.begin(conn, now);
                self.finish(&mut live, ended, now);
            }
        }
    }

    /// The end of a connection that began before convis, or that the ledger had no room for, and that no walk has shown.
    fn closed_unread(&mut self, ended: Ended<'_>, now: Now) {
        let conn = ended.conn;
        if conn.owner.tgid == 0 && conn.flags & flag::KERNEL == 0 {
            self.emit_unopened(ended, now);
            return;
        }
        let mut live = self.first_sight(conn, ended.totals, now);
        self.own_ends += u64::from(live.left_out);
        self.finish(&mut live, ended, now);
    }

    fn finish(&mut self, live: &mut Live, ended: Ended<'_>, now: Now) {
        if live.left_out {
            return;
        }
        self.learn_role(live, ended.conn, ended.totals, now);
        let end = &live.end;
        let detail = Detail::Closed {
            totals: totals::of(ended.totals, end.role()),
            duration: ended.duration(),
            reason: totals::close_reason(ended.totals),
            closer: self.closer(ended, &end.holder),
        };
        self.ends.end(end, ended.time_ns, now.ns);
        self.emit(end, Counts::End { measured: true }, Some((ended.time_ns, detail)), now);
    }

    fn failed(&mut self, ended: Ended<'_>, now: Now) {
        let conn = ended.conn;
        let Some(error) = totals::connect_error(ended.totals, u16::from_be(conn.local_port_be)) else {
            return;
        };
        let end = End::new(self.connection(conn, attribution(conn)), self.holder(conn, now), conn.start_ns);
        let detail = Detail::Failed { error, duration: span(conn.start_ns, ended.time_ns) };
        self.emit(&end, Counts::Failure, Some((ended.time_ns, detail)), now);
    }

    /// A child that ended before its accept: one without an error was ended by its closing listener, the others can
    /// still be accepted.
    fn ended_unaccepted(&mut self, ended: Ended<'_>, now: Now) {
        if ended.totals.sk_err == 0 {
            self.emit_unopened(ended, now);
            return;
        }
        if self.unaccepted.len() >= MAX_UNACCEPTED {
            let oldest = self.unaccepted.iter().min_by_key(|(_, ended)| ended.time_ns).map(|(id, _)| *id);
            if let Some(oldest) = oldest.and_then(|id| self.unaccepted.remove(&id)) {
                self.emit_unopened(oldest.ended(), now);
            }
        }
        self.unaccepted.insert(ended.conn.id, ended.kept());
    }

    fn listening(&mut self, conn: &Conn, now: Now) {
        if !self.listeners.refresh(conn, self.walk.number) {
            let holder = self.holder(conn, now);
            self.listeners.add(conn, holder, self.walk.number);
        }
    }

    fn listener_closed(&mut self, listener: &Conn, now: Now) {
        // It stays for the children that end with it, until walks no longer show it.
        self.listening(listener, now);
        let of_listener = |conn: &Conn| {
            conn.netns == listener.netns
                && conn.local_port_be == listener.local_port_be
                && (listener.local == [0; 2] || listener.local == conn.local)
        };
        let ids: Vec<u64> =
            self.unaccepted.iter().filter(|(_, ended)| of_listener(&ended.conn)).map(|(id, _)| *id).collect();
        for id in ids {
            // The record of its accept may still wait in the ledger.
            if let Some(ended) = self.unaccepted.remove(&id) {
                self.wait_for_opened(ended, now);
            }
        }
    }

    /// The peer ended it while a process had it, and who accepted it was not seen: it is taken for its listener's.
    fn accepted_unseen(&mut self, ended: Ended<'_>, now: Now) {
        let conn = ended.conn;
        let (holder, attribution) = self.heir(conn);
        let connection = self.connection(conn, attribution);
        if self.is_own(&connection) {
            self.own_ends += 1;
            return;
        }
        let end = End::new(connection, holder, conn.established_ns);
        self.ends.add(&end);
        let told = (conn.established_ns, Detail::Opened { handshake: None });
        self.emit(&end, Counts::Opening(Role::Server, None), Some(told), now);
        let mut live = Live::new(end, conn.established_ns, false, self.walk.number);
        self.finish(&mut live, ended, now);
    }

    /// Who is taken for the owner of a child that nobody was seen to accept: its listener's owner.
    fn heir(&self, child: &Conn) -> (Holder, Attribution) {
        match self.listeners.owner_of(child) {
            Some(heir) => (heir, Attribution::Inherited),
            None => (self.nobody(), Attribution::Unknown),
        }
    }

    /// The end of what was never opened here: a child that nobody accepted is its listener's, the others' owners are not
    /// known. No metric counts it.
    fn emit_unopened(&mut self, ended: Ended<'_>, now: Now) {
        let conn = ended.conn;
        let is_child = conn.role == role::SERVER;
        let (holder, attribution) =
            if is_child { self.heir(conn) } else { (self.nobody(), Attribution::Unknown) };
        let mut connection = self.connection(conn, attribution);
        connection.role = connection.role.or_else(|| self.listeners.role_of(conn, ended.totals));
        connection.never_accepted = is_child && !totals::was_closed_here(ended.totals);
        if self.is_own(&connection) {
            self.own_ends += 1;
            return;
        }
        let detail = Detail::Closed {
            totals: totals::of(ended.totals, connection.role),
            duration: ended.duration(),
            reason: totals::close_reason(ended.totals),
            closer: self.closer(ended, &holder),
        };
        let end = End::new(connection, holder, conn.established_ns);
        self.ends.add(&end);
        self.ends.end(&end, ended.time_ns, now.ns);
        self.emit(&end, Counts::Nothing, Some((ended.time_ns, detail)), now);
    }

    /// An end that nothing was told or counted of yet.
    fn begin(&mut self, conn: &Conn, now: Now) -> Live {
        let connection = self.connection(conn, attribution(conn));
        let left_out = self.is_own(&connection);
        let end = End::new(connection, self.holder(conn, now), conn.established_ns);
        if !left_out {
            self.ends.add(&end);
        }
        Live::new(end, conn.established_ns, left_out, self.walk.number)
    }

    fn connection(&self, conn: &Conn, attribution: Attribution) -> Connection {
        facts::connection(conn, attribution, &self.policy.networks)
    }

    fn holder(&mut self, conn: &Conn, now: Now) -> Holder {
        let owner = &conn.owner;
        if owner.tgid == 0 {
            return Holder { uid: owner.uid, ..self.nobody() };
        }
        let process = self.processes.find(owner);
        let workload = self.workloads.of(&process, owner.cgroup_id, &self.processes, now.ns);
        Holder { process: Some(process), uid: owner.uid, workload }
    }

    fn nobody(&self) -> Holder {
        Holder { process: None, uid: 0, workload: self.workloads.host() }
    }

    /// Who closed the end, if it is another process than its holder.
    fn closer(&self, ended: Ended<'_>, holder: &Holder) -> Option<Box<Closer>> {
        let pid = ended.conn.closer;
        let is_other = pid != 0 && holder.process.as_ref().is_none_or(|process| process.pid != pid);
        is_other.then(|| Box::new(Closer { pid, name: self.processes.name_of(pid, ended.time_ns) }))
    }

    fn is_own(&self, connection: &Connection) -> bool {
        self.own_listener.as_ref().is_some_and(|own| own.has_end_of(connection))
    }

    /// The series of its process's Resource; the host's for what no process holds.
    fn group(&mut self, holder: &Holder) -> GroupHandle {
        match &holder.process {
            Some(process) => self.metrics.group(process, holder.uid, &holder.workload, &self.describer),
            None => self.metrics.host(&self.describer),
        }
    }
}

/// A child of which no accept is known.
const fn is_unaccepted(conn: &Conn) -> bool {
    conn.role == role::SERVER && conn.flags & flag::ACCEPTED == 0
}

/// Most of the time there is nothing in it.
fn taken<T>(from: &mut FxHashMap<u64, T>, id: u64) -> Option<T> {
    if from.is_empty() { None } else { from.remove(&id) }
}

#[cfg(test)]
mod tests;
