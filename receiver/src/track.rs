//! The straight line's middle: kernel records become events and metrics.
//!
//! One task, no locks: records come in the order in which the kernel wrote them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use convis_ebpf::record::Record;
use convis_ebpf::wire::{self, Conn, flag, role};
use convis_exporters::model::{Attribution, Connection, Detail, Event, PeerNetwork, Resource, Role};
use rustc_hash::FxHashMap;

use crate::clock::Clock;
use crate::identity::ProcessTable;
use crate::identity::process::{Describer, Process};
use crate::ledger::Delivered;
use crate::metrics::{Aggregator, Dimensions, Extra, GroupHandle, Instrument, SeriesId};
use crate::own::OwnListener;
use crate::totals;

/// Children that the peer reset before anybody accepted them, waiting for their accept. Beyond it the oldest go out as
/// never accepted.
const MAX_UNACCEPTED: usize = 65_536;

/// Connections, processes and series, and what they make of each record.
#[derive(Debug)]
pub struct Tracker {
    /// Processes.
    pub processes: ProcessTable,
    /// Metric series.
    pub metrics: Aggregator,
    /// Records taken, by kind.
    pub delivered: Delivered,
    /// Ends left out because the other end is convis's own listener.
    pub own_ends: u64,
    /// Connections given up because their end was missed.
    pub missed_ends: u64,
    describer: Describer,
    /// Resource of what no process is known for.
    nobody: Arc<Resource>,
    own_listener: Option<OwnListener>,
    live: FxHashMap<u64, Live>,
    unaccepted: FxHashMap<u64, Ended>,
    events: Vec<Event>,
}

/// An end whose opened record was taken.
#[derive(Debug)]
struct Live {
    process: Rc<Process>,
    uid: u32,
    /// `None` for an end that is left out.
    series: Option<Open>,
}

#[derive(Debug)]
struct Open {
    group: GroupHandle,
    of: Dimensions,
    active: SeriesId,
}

#[derive(Debug)]
struct Ended {
    time_ns: u64,
    conn: Conn,
    totals: wire::Totals,
}

impl Tracker {
    /// Nothing tracked yet.
    pub fn new(
        processes: ProcessTable,
        metrics: Aggregator,
        describer: Describer,
        own_listener: Option<OwnListener>,
    ) -> Self {
        let nobody = Arc::new(describer.host.describe(Resource::builder()).build());
        Self {
            processes,
            metrics,
            delivered: Delivered::default(),
            own_ends: 0,
            missed_ends: 0,
            describer,
            nobody,
            own_listener,
            live: FxHashMap::default(),
            unaccepted: FxHashMap::default(),
            events: Vec::new(),
        }
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.live.len()
    }

    /// The events since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes one record of the ring.
    pub fn apply(&mut self, record: Record, clock: Clock, now_unix_nanos: u64) {
        self.delivered.count(&record);
        match record {
            Record::Opened { time_ns, conn } => self.opened(time_ns, &conn, clock, now_unix_nanos),
            Record::Closed { time_ns, conn, totals } => {
                self.closed(&Ended { time_ns, conn, totals }, clock, now_unix_nanos);
            }
            Record::Failed { time_ns, conn, totals } => {
                self.failed(&Ended { time_ns, conn, totals }, clock, now_unix_nanos);
            }
            Record::Exec(image) => self.processes.executed(&image),
            Record::Fork { child, image, parent_tgid } => self.processes.forked(&child, &image, parent_tgid),
            Record::Exit { time_ns, owner } => self.processes.exited(&owner, time_ns),
            Record::ListenerClosed { conn } => self.listener_closed(&conn, clock, now_unix_nanos),
        }
    }

    /// Takes a living connection's entry if its opened record found no room in the ring. Once: later calls change nothing.
    pub fn sweep_if_pending(&mut self, conn: &Conn, clock: Clock, now_unix_nanos: u64) {
        if conn.flags & flag::OPEN_PENDING != 0 && !self.live.contains_key(&conn.id) {
            self.delivered.swept_opened();
            self.opened(conn.established_ns, conn, clock, now_unix_nanos);
        }
    }

    /// Takes an entry of the ledger whose last record found no room in the ring; the caller deletes it.
    pub fn sweep_ended(&mut self, entry: &wire::Entry, clock: Clock, now_unix_nanos: u64) {
        let ended = Ended { time_ns: entry.end_ns, conn: entry.conn, totals: entry.totals };
        if entry.conn.flags & flag::FAILED != 0 {
            self.delivered.swept_failed();
            self.failed(&ended, clock, now_unix_nanos);
        } else {
            self.delivered.swept_closed();
            self.closed(&ended, clock, now_unix_nanos);
        }
    }

    /// Ids of the connections open now.
    pub fn open_ids(&self) -> Vec<u64> {
        self.live.keys().copied().collect()
    }

    /// Gives up connections whose end was missed, since the ledger no longer has them: no event tells it, as nothing is known
    /// of it, but they are no longer counted as open.
    pub fn give_up(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            if let Some(live) = self.live.remove(&id) {
                self.missed_ends += 1;
                if let Some(open) = live.series {
                    open.group.borrow_mut().add_to(open.active, -1);
                }
            }
        }
    }

    /// Gives up waiting for accepts, at the end.
    pub fn release_unaccepted(&mut self, clock: Clock, now_unix_nanos: u64) {
        for (_, ended) in std::mem::take(&mut self.unaccepted) {
            self.emit_ownerless(&ended, clock, now_unix_nanos);
        }
    }

    fn opened(&mut self, time_ns: u64, conn: &Conn, clock: Clock, now_unix_nanos: u64) {
        if self.live.contains_key(&conn.id) {
            return;
        }
        let process = self.processes.find(&conn.owner);
        let connection = connection(conn, Attribution::Kernel);
        if self.is_own(&connection) {
            self.own_ends += 1;
            self.live.insert(conn.id, Live { process, uid: conn.owner.uid, series: None });
        } else {
            let handshake = (conn.role == role::CLIENT).then(|| span(conn.start_ns, conn.established_ns));
            let series = self.count_opened(&process, conn.owner.uid, &connection, handshake);
            let resource = process.resource(conn.owner.uid, &self.describer);
            self.live.insert(conn.id, Live { process, uid: conn.owner.uid, series: Some(series) });
            let detail = Detail::Opened { handshake };
            self.emit(resource, time_ns, connection, detail, clock, now_unix_nanos);
        }
        // The peer's reset can come before the accept.
        if let Some(ended) = self.unaccepted.remove(&conn.id) {
            self.closed(&ended, clock, now_unix_nanos);
        }
    }

    fn closed(&mut self, ended: &Ended, clock: Clock, now_unix_nanos: u64) {
        let conn = &ended.conn;
        if conn.flags & flag::PREEXISTING != 0 {
            self.emit_ownerless(ended, clock, now_unix_nanos);
            return;
        }
        if conn.role == role::SERVER && conn.flags & flag::ACCEPTED == 0 && !self.live.contains_key(&conn.id)
        {
            self.ended_unaccepted(ended, clock, now_unix_nanos);
            return;
        }
        self.sweep_if_pending(conn, clock, now_unix_nanos);
        let Some(live) = self.live.remove(&conn.id) else {
            // Its opened record is lost, which is counted; the end is still told.
            let process = self.processes.find(&conn.owner);
            self.emit_closed(&process, conn.owner.uid, ended, clock, now_unix_nanos);
            return;
        };
        if let Some(open) = live.series {
            self.count_closed(&open, ended);
            self.emit_closed(&live.process, live.uid, ended, clock, now_unix_nanos);
        }
    }

    fn emit_closed(&mut self, process: &Process, uid: u32, ended: &Ended, clock: Clock, now_unix_nanos: u64) {
        let conn = &ended.conn;
        let connection = connection(conn, Attribution::Kernel);
        let detail = Detail::Closed {
            totals: totals::of(&ended.totals, connection.role),
            duration: Some(span(conn.established_ns, ended.time_ns)),
            reason: totals::close_reason(&ended.totals),
        };
        let resource = process.resource(uid, &self.describer);
        self.emit(resource, ended.time_ns, connection, detail, clock, now_unix_nanos);
    }

    fn failed(&mut self, ended: &Ended, clock: Clock, now_unix_nanos: u64) {
        let conn = &ended.conn;
        let Some(error) = totals::connect_error(&ended.totals, u16::from_be(conn.local_port_be)) else {
            return;
        };
        let process = self.processes.find(&conn.owner);
        let connection = connection(conn, Attribution::Kernel);
        let group = self.metrics.group(&process, conn.owner.uid, &self.describer);
        {
            let mut group = group.borrow_mut();
            let port = group.server_port(Role::Client, connection.peer.port());
            let of = dimensions(&connection, Role::Client, port);
            group.add(Instrument::Failed, Some(of), Extra::Error(error), 1);
        }
        let resource = process.resource(conn.owner.uid, &self.describer);
        let detail = Detail::Failed { error, duration: span(conn.start_ns, ended.time_ns) };
        self.emit(resource, ended.time_ns, connection, detail, clock, now_unix_nanos);
    }

    /// A child that ended before its accept: one without an error was ended by its closing listener, the others can
    /// still be accepted.
    fn ended_unaccepted(&mut self, ended: &Ended, clock: Clock, now_unix_nanos: u64) {
        if ended.totals.sk_err == 0 {
            self.emit_ownerless(ended, clock, now_unix_nanos);
            return;
        }
        if self.unaccepted.len() >= MAX_UNACCEPTED {
            let oldest = self.unaccepted.iter().min_by_key(|(_, ended)| ended.time_ns).map(|(id, _)| *id);
            if let Some(oldest) = oldest.and_then(|id| self.unaccepted.remove(&id)) {
                self.emit_ownerless(&oldest, clock, now_unix_nanos);
            }
        }
        self.unaccepted.insert(ended.conn.id, Ended { ..*ended });
    }

    fn listener_closed(&mut self, listener: &Conn, clock: Clock, now_unix_nanos: u64) {
        let of_listener = |conn: &Conn| {
            conn.netns == listener.netns
                && conn.local_port_be == listener.local_port_be
                && (listener.local == [0; 2] || listener.local == conn.local)
        };
        let ids: Vec<u64> =
            self.unaccepted.iter().filter(|(_, ended)| of_listener(&ended.conn)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(ended) = self.unaccepted.remove(&id) {
                self.emit_ownerless(&ended, clock, now_unix_nanos);
            }
        }
    }

    /// Nobody is known to own it: no process is named, and no metric counts it.
    fn emit_ownerless(&mut self, ended: &Ended, clock: Clock, now_unix_nanos: u64) {
        let conn = &ended.conn;
        let known_start = conn.established_ns != 0;
        let mut connection = connection(conn, Attribution::Unknown);
        connection.role = connection.role.or_else(|| totals::role(&ended.totals));
        connection.never_accepted = conn.role == role::SERVER && !totals::was_closed_here(&ended.totals);
        if self.is_own(&connection) {
            self.own_ends += 1;
            return;
        }
        let detail = Detail::Closed {
            totals: totals::of(&ended.totals, connection.role),
            duration: known_start.then(|| span(conn.established_ns, ended.time_ns)),
            reason: totals::close_reason(&ended.totals),
        };
        let resource = Arc::clone(&self.nobody);
        self.emit(resource, ended.time_ns, connection, detail, clock, now_unix_nanos);
    }

    fn is_own(&self, connection: &Connection) -> bool {
        self.own_listener.as_ref().is_some_and(|own| own.has_end_of(connection))
    }

    fn emit(
        &mut self,
        resource: Arc<Resource>,
        time_ns: u64,
        connection: Connection,
        detail: Detail,
        clock: Clock,
        now_unix_nanos: u64,
    ) {
        let time_unix_nanos = clock.unix_nanos(time_ns);
        self.events.push(Event {
            resource,
            time_unix_nanos,
            // A record can be written while the ring is drained, after the clock was read.
            observed_unix_nanos: now_unix_nanos.max(time_unix_nanos),
            connection,
            detail,
        });
    }

    fn count_opened(
        &mut self,
        process: &Process,
        uid: u32,
        connection: &Connection,
        handshake: Option<Duration>,
    ) -> Open {
        let handle = self.metrics.group(process, uid, &self.describer);
        let role = connection.role.unwrap_or(Role::Client);
        let mut group = handle.borrow_mut();
        let port = connection.server().map_or(0, |server| server.port());
        let port = group.server_port(role, port);
        let of = dimensions(connection, role, port);
        group.add(Instrument::Opened, Some(of), Extra::None, 1);
        let active = group.add(Instrument::Active, Some(of), Extra::None, 1);
        if let Some(handshake) = handshake {
            group.record(Instrument::Handshake, of, handshake.as_secs_f64());
        }
        drop(group);
        Open { group: handle, of, active }
    }

    fn count_closed(&self, open: &Open, ended: &Ended) {
        let totals = totals::of(&ended.totals, Some(open.of.role));
        let reason = totals::close_reason(&ended.totals);
        let duration = span(ended.conn.established_ns, ended.time_ns);
        let of = Some(open.of);
        let mut group = open.group.borrow_mut();
        group.add(Instrument::Io, of, Extra::Transmit, amount(totals.bytes_sent));
        group.add(Instrument::Io, of, Extra::Receive, amount(totals.bytes_received));
        if self.metrics.is_per_process() {
            group.add(Instrument::ProcessIo, None, Extra::Transmit, amount(totals.bytes_sent));
            group.add(Instrument::ProcessIo, None, Extra::Receive, amount(totals.bytes_received));
        }
        group.add(Instrument::Closed, of, Extra::Reason(reason), 1);
        group.add_to(open.active, -1);
        group.record(Instrument::Duration, open.of, duration.as_secs_f64());
        if let Some(rtt) = totals.rtt {
            group.record(Instrument::Rtt, open.of, rtt.as_secs_f64());
        }
        group.add(Instrument::Retransmits, of, Extra::None, i64::from(totals.retransmits));
    }
}

fn dimensions(connection: &Connection, role: Role, port: Option<u16>) -> Dimensions {
    Dimensions { v6: connection.local.is_ipv6(), role, port, network: PeerNetwork::of(connection.peer.ip()) }
}

fn connection(conn: &Conn, attribution: Attribution) -> Connection {
    Connection {
        id: conn.id,
        role: role_of(conn),
        local: SocketAddr::new(address(conn.family, conn.local), u16::from_be(conn.local_port_be)),
        peer: SocketAddr::new(address(conn.family, conn.peer), u16::from_be(conn.peer_port_be)),
        network_namespace: conn.netns,
        attribution,
        preexisting: conn.flags & flag::PREEXISTING != 0,
        never_accepted: false,
    }
}

fn role_of(conn: &Conn) -> Option<Role> {
    match conn.role {
        role::CLIENT => Some(Role::Client),
        role::SERVER => Some(Role::Server),
        _ => None,
    }
}

fn address(family: u16, [first, second]: wire::Address) -> IpAddr {
    if family == wire::AF_INET6 {
        let bits = u128::from(u64::from_be(first)) << 64 | u128::from(u64::from_be(second));
        return IpAddr::V6(Ipv6Addr::from_bits(bits));
    }
    let [a, b, c, d, ..] = first.to_ne_bytes();
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn span(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_nanos(to_ns.saturating_sub(from_ns))
}

fn amount(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
