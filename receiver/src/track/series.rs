//! What a connection adds to the metrics.

use std::rc::Rc;
use std::time::Duration;

use convis_exporters::model::{CloseReason, ConnectError, Connection, Role, Totals};

use crate::metrics::{Dimensions, Extra, Facet, Group, GroupHandle, Instrument, PeerService, SeriesId};

/// What was counted of an end.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// `None` while it is not known what it counts for.
    pub(super) open: Option<Open>,
    /// Of the reading that was counted last: metrics take only what was read after the first one.
    upto: Figures,
}

/// What metrics take of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Figures {
    bytes_sent: u64,
    bytes_received: u64,
    retransmits: u32,
}

impl From<&Totals> for Figures {
    fn from(&Totals { bytes_sent, bytes_received, retransmits, .. }: &Totals) -> Self {
        Self { bytes_sent, bytes_received, retransmits }
    }
}

impl Counted {
    /// Nothing counts that was there at this reading.
    pub(super) fn begin_at(&mut self, reading: &Totals) {
        self.upto = reading.into();
    }

    /// Counts what moved since the last reading.
    pub(super) fn grow_to(&mut self, reading: &Totals) {
        let now = Figures::from(reading);
        if let Some(open) = &self.open
            && self.upto != now
        {
            open.count_growth(&self.upto, &now);
            self.upto = now;
        }
    }

    /// Counts the rest up to the last reading, if it was counted at all: even nothing, so that a series says so.
    pub(super) fn end_with(&mut self, reading: &Totals) -> Option<Open> {
        let open = self.open.take()?;
        open.count_growth(&self.upto, &reading.into());
        Some(open)
    }
}

/// Where a connection is counted, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Open {
    group: GroupHandle,
    of: Facet,
    active: SeriesId,
    /// Whether the Resource is the process's own.
    per_process: bool,
}

impl Open {
    /// Counts it as open.
    pub(super) fn begin(group: GroupHandle, of: Facet, per_process: bool) -> Self {
        let active = group.borrow_mut().add(Instrument::Active, &of, Extra::None, 1);
        Self { group, of, active, per_process }
    }

    /// Whether its Resource is known better by now.
    pub(super) fn is_retired(&self) -> bool {
        self.group.borrow().is_retired()
    }

    /// From now on it counts on another Resource.
    pub(super) fn move_to(&mut self, group: GroupHandle) {
        self.group.borrow_mut().add_to(self.active, -1);
        self.of.leave();
        self.active = group.borrow_mut().add(Instrument::Active, &self.of, Extra::None, 1);
        self.group = group;
    }

    /// Its beginning was seen.
    pub(super) fn count_opened(&self, handshake: Option<Duration>) {
        let mut group = self.group.borrow_mut();
        group.add(Instrument::Opened, &self.of, Extra::None, 1);
        if let Some(handshake) = handshake {
            group.record(Instrument::Handshake, &self.of, handshake.as_secs_f64());
        }
    }

    /// Adds what moved between two readings: so increments add up to the last reading less the first.
    fn count_growth(&self, before: &Figures, after: &Figures) {
        let sent = growth(before.bytes_sent, after.bytes_sent);
        let received = growth(before.bytes_received, after.bytes_received);
        let retransmits = growth(before.retransmits.into(), after.retransmits.into());
        let of = &self.of;
        let mut group = self.group.borrow_mut();
        group.add(Instrument::Io, of, Extra::Transmit, sent);
        group.add(Instrument::Io, of, Extra::Receive, received);
        if self.per_process {
            let undivided = Facet::undivided();
            group.add(Instrument::ProcessIo, &undivided, Extra::Transmit, sent);
            group.add(Instrument::ProcessIo, &undivided, Extra::Receive, received);
        }
        group.add(Instrument::Retransmits, of, Extra::None, retransmits);
    }

    /// One sample of the round-trip time.
    pub(super) fn sample(&self, rtt: Duration) {
        self.group.borrow_mut().record(Instrument::Rtt, &self.of, rtt.as_secs_f64());
    }

    /// Its end, with a last sample of what is known.
    pub(super) fn count_closed(
        &self,
        reason: CloseReason,
        duration: Option<Duration>,
        rtt: Option<Duration>,
    ) {
        {
            let mut group = self.group.borrow_mut();
            group.add(Instrument::Closed, &self.of, Extra::Reason(reason), 1);
            group.add_to(self.active, -1);
            if let Some(duration) = duration {
                group.record(Instrument::Duration, &self.of, duration.as_secs_f64());
            }
        }
        if let Some(rtt) = rtt {
            self.sample(rtt);
        }
    }
}

/// Counts an attempt that failed.
pub(super) fn count_failed(group: &GroupHandle, connection: &Connection, error: ConnectError) {
    let mut group = group.borrow_mut();
    let of = facet(&mut group, connection, Role::Client, None);
    group.add(Instrument::Failed, &of, Extra::Error(error), 1);
}

/// What a connection is counted under in a group.
pub(super) fn facet(
    group: &mut Group,
    connection: &Connection,
    role: Role,
    peer: Option<Rc<PeerService>>,
) -> Facet {
    let server = match role {
        Role::Client => connection.peer,
        Role::Server => connection.local,
    };
    let dimensions = Dimensions {
        v6: connection.local.is_ipv6(),
        role,
        port: group.server_port(role, server.port()),
        network: connection.peer_network,
        peer,
    };
    dimensions.into()
}

/// Never negative: a figure that fell was read while it changed.
fn growth(before: u64, after: u64) -> i64 {
    i64::try_from(after.saturating_sub(before)).unwrap_or(i64::MAX)
}
