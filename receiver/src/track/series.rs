//! What a connection adds to the metrics.

use std::time::Duration;

use convis_exporters::model::{CloseReason, ConnectError, Connection, PeerNetwork, Role, Totals};

use crate::metrics::{Dimensions, Extra, Group, GroupHandle, Instrument, SeriesId};

/// Where a connection is counted, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Open {
    group: GroupHandle,
    of: Dimensions,
    active: SeriesId,
    /// Whether the Resource is the process's own.
    per_process: bool,
}

impl Open {
    /// Counts it as open.
    pub(super) fn begin(group: GroupHandle, connection: &Connection, role: Role, per_process: bool) -> Self {
        let (of, active) = {
            let mut group = group.borrow_mut();
            let of = dimensions(&mut group, connection, role);
            (of, group.add(Instrument::Active, Some(of), Extra::None, 1))
        };
        Self { group, of, active, per_process }
    }

    /// Its beginning was seen.
    pub(super) fn count_opened(&self, handshake: Option<Duration>) {
        let mut group = self.group.borrow_mut();
        group.add(Instrument::Opened, Some(self.of), Extra::None, 1);
        if let Some(handshake) = handshake {
            group.record(Instrument::Handshake, self.of, handshake.as_secs_f64());
        }
    }

    /// Adds what moved between two readings: so increments add up to the last reading less the first.
    pub(super) fn count_growth(&self, before: &Totals, after: &Totals) {
        let sent = growth(before.bytes_sent, after.bytes_sent);
        let received = growth(before.bytes_received, after.bytes_received);
        let retransmits = growth(before.retransmits.into(), after.retransmits.into());
        let of = Some(self.of);
        let mut group = self.group.borrow_mut();
        group.add(Instrument::Io, of, Extra::Transmit, sent);
        group.add(Instrument::Io, of, Extra::Receive, received);
        if self.per_process {
            group.add(Instrument::ProcessIo, None, Extra::Transmit, sent);
            group.add(Instrument::ProcessIo, None, Extra::Receive, received);
        }
        group.add(Instrument::Retransmits, of, Extra::None, retransmits);
    }

    /// One sample of the round-trip time.
    pub(super) fn sample(&self, rtt: Duration) {
        self.group.borrow_mut().record(Instrument::Rtt, self.of, rtt.as_secs_f64());
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
            group.add(Instrument::Closed, Some(self.of), Extra::Reason(reason), 1);
            group.add_to(self.active, -1);
            if let Some(duration) = duration {
                group.record(Instrument::Duration, self.of, duration.as_secs_f64());
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
    let of = dimensions(&mut group, connection, Role::Client);
    group.add(Instrument::Failed, Some(of), Extra::Error(error), 1);
}

fn dimensions(group: &mut Group, connection: &Connection, role: Role) -> Dimensions {
    let server = match role {
        Role::Client => connection.peer,
        Role::Server => connection.local,
    };
    Dimensions {
        v6: connection.local.is_ipv6(),
        role,
        port: group.server_port(role, server.port()),
        network: PeerNetwork::of(connection.peer.ip()),
    }
}

/// Never negative: a figure that fell was read while it changed.
fn growth(before: u64, after: u64) -> i64 {
    i64::try_from(after.saturating_sub(before)).unwrap_or(i64::MAX)
}
