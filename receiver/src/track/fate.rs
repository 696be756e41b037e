//! What policy makes of an end of a connection: decided once, when the first of it is let go.
//!
//! By then the names of its container have come, or are no longer waited for. All events of an end and all metrics follow
//! one decision, whatever becomes known or configured later.

use convis_exporters::model::{Connection, EventName, Resource, Role};
use convis_otel_config::policy::{self, Facts, Policy};

use super::ends::End;
use super::{Tracker, series};
use crate::metrics::{Extra, Instrument};

/// What becomes of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is told and counted.
    Told,
    /// Neither.
    Filtered,
}

/// Events that were left out, by name in the order of [`EventName::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Because of a filter.
    pub filtered: [u64; EventName::ALL.len()],
}

impl LeftOut {
    /// Counts an event of an end with this fate.
    pub(super) const fn count(&mut self, fate: Fate, name: EventName) {
        match fate {
            Fate::Told => {}
            Fate::Filtered => self.filtered[name as usize] += 1,
        }
    }
}

impl Tracker {
    /// The fate of an end whose owner is `resource`.
    pub(super) fn fate(&self, end: &End, resource: &Resource) -> Fate {
        if let Some(fate) = end.fate.get() {
            return fate;
        }
        let mut connection = end.connection.get();
        let fate = decide(&self.policy, &mut connection, resource);
        end.connection.set(connection);
        end.fate.set(Some(fate));
        fate
    }

    /// Counts an end that breaks an expectation, once, as soon as its role is known.
    pub(super) fn count_unexpected(&mut self, end: &End) {
        let connection = end.connection.get();
        let Some(role) = connection.role.filter(|_| connection.unexpected) else {
            return;
        };
        if end.unexpected_counted.replace(true) {
            return;
        }
        let peer = self.peer_service(end);
        let group = self.group(&end.holder);
        let mut group = group.borrow_mut();
        let of = series::dimensions(&mut group, &connection, role, peer);
        group.add(Instrument::Unexpected, Some(&of), Extra::None, 1);
    }
}

fn decide(policy: &Policy, connection: &mut Connection, resource: &Resource) -> Fate {
    let owner = |key| resource.text(key);
    let facts = Facts {
        owner: &owner,
        role: connection.role.map(|role| match role {
            Role::Client => policy::Role::Client,
            Role::Server => policy::Role::Server,
        }),
        local: connection.local.ip(),
        peer: connection.peer.ip(),
        network: connection.peer_network.as_str(),
        server_port: connection.server().map(|server| server.port()),
    };
    if !policy.filters.pass(&facts) {
        return Fate::Filtered;
    }
    connection.unexpected = policy.expectations.are_broken_by(&facts);
    Fate::Told
}
