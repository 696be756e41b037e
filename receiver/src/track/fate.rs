//! What policy makes of an end of a connection: decided once, when the first of it is let go.
//!
//! By then the names of its container have come, or are no longer waited for. All events of an end and all metrics follow
//! one decision, whatever becomes known or configured later.

use convis_exporters::model::{EventName, Resource, Role};
use convis_otel_config::policy::{self, Facts, Policy};

use super::end::End;
use super::outbox::Counts;
use super::sampler::Sampler;
use super::{Tracker, series};
use crate::metrics::{Extra, Instrument};

/// What becomes of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is told and counted.
    Told,
    /// It is counted; others stand for it in events.
    Sampled,
    /// Neither.
    Filtered,
}

/// Events that were left out, by name in the order of [`EventName::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Because of a filter.
    pub filtered: [u64; EventName::ALL.len()],
    /// Because of sampling.
    pub sampled: [u64; EventName::ALL.len()],
}

impl LeftOut {
    /// Counts an event of an end with this fate.
    pub(super) const fn count(&mut self, fate: Fate, name: EventName) {
        match fate {
            Fate::Told => {}
            Fate::Sampled => self.sampled[name as usize] += 1,
            Fate::Filtered => self.filtered[name as usize] += 1,
        }
    }
}

impl Tracker {
    /// The fate of an end whose owner is `resource`, and of which this is let go.
    pub(super) fn fate(&mut self, end: &End, resource: &Resource, counts: Counts) -> Fate {
        if let Some(fate) = end.fate.get() {
            return fate;
        }
        let is_failed = counts == Counts::Failure;
        let fate = decide(&self.policy, &mut self.sampler, end, resource, is_failed);
        end.fate.set(Some(fate));
        fate
    }

    /// Counts an end that breaks an expectation, once, as soon as its role is known.
    pub(super) fn count_unexpected(&mut self, end: &End) {
        let Some(role) = end.role().filter(|_| end.is_unexpected()) else {
            return;
        };
        if end.unexpected_counted.replace(true) {
            return;
        }
        let peer = self.peer_service(end);
        let group = self.group(&end.holder);
        let mut group = group.borrow_mut();
        let of = series::facet(&mut group, end.facts(), role, peer);
        group.add(Instrument::Unexpected, &of, Extra::None, 1);
    }
}

fn decide(policy: &Policy, sampler: &mut Sampler, end: &End, resource: &Resource, is_failed: bool) -> Fate {
    if policy.tells_all() {
        return Fate::Told;
    }
    let owner = |key| resource.text(key);
    let connection = end.facts();
    let role = end.role();
    let server = role.map(|role| match role {
        Role::Client => connection.peer,
        Role::Server => connection.local,
    });
    let facts = Facts {
        owner: &owner,
        role: role.map(|role| match role {
            Role::Client => policy::Role::Client,
            Role::Server => policy::Role::Server,
        }),
        local: connection.local.ip(),
        peer: connection.peer.ip(),
        network: connection.peer_network.as_str(),
        server_port: server.map(|server| server.port()),
    };
    if !policy.filters.pass(&facts) {
        return Fate::Filtered;
    }
    let unexpected = policy.expectations.are_broken_by(&facts);
    let sampled_by = policy.sampling.rule_for(&facts, is_failed, unexpected);
    let is_told = sampled_by.is_none_or(|rule| sampler.picks(rule, &facts));
    end.judge(unexpected, sampled_by.map_or(1, |(_, rule)| rule.one_in.get()));
    if is_told { Fate::Told } else { Fate::Sampled }
}
