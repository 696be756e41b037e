//! The comparator: what the sockets lived against what convis said, each end exactly once and nothing else.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use serde_json::Value;

use super::expect::{Closed, Expected, Fate};
use super::judge;
use crate::event::{CLOSED, Event};

/// What a scenario owns: whatever convis says about it must be expected.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// Ports of its listeners and targets, with the network namespace.
    pub(super) ports: BTreeMap<(u64, u16), String>,
    /// Its processes.
    pub(super) pids: BTreeMap<u32, String>,
    /// The network namespace that other programs use as well.
    pub(super) shared_network: u64,
    /// What its processes run.
    pub(super) executable: String,
}

/// A difference, and the scenario it belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) scenario: String,
    pub(super) what: String,
}

/// All events of one connection id.
#[derive(Clone, Debug)]
pub(super) struct Story<'a> {
    pub(super) events: Vec<&'a Event>,
    network: u64,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Outcome {
    pub(super) differences: Vec<Difference>,
    /// The scenario of each end that was told as one whose accept the kernel kept from convis.
    pub(super) accepts_missed: Vec<String>,
}

/// Everything that differs. Accepts may be missed only as often as the kernel `skipped` a program, and no more than a few.
pub(super) fn compare(expected: &[Expected], events: &[Event], claims: &Claims, skipped: u64) -> Outcome {
    let mut shelf = Shelf::new(events);
    let found = shelf.take_all(expected);
    let mut differences = Vec::new();
    let mut accepts_missed = Vec::new();
    for (end, story) in expected.iter().zip(&found) {
        let mut problems = match story {
            Some(story) => judge::story(end, story, &claims.executable),
            None => vec!["convis says nothing of it".to_owned()],
        };
        if !problems.is_empty()
            && (accepts_missed.len() as u64) < skipped
            && let Some((story, other)) = story.as_ref().zip(end.with_accept_missed())
            && judge::story(&other, story, &claims.executable).is_empty()
        {
            problems.clear();
            accepts_missed.push(end.scenario.clone());
        }
        let of = |what: String| Difference {
            scenario: end.scenario.clone(),
            what: format!("{what}: {}", title(end)),
        };
        differences.extend(problems.into_iter().map(of));
        let twin = end.twin().and_then(|twin| found.get(twin)).and_then(Option::as_ref);
        if let (Some(story), Some(twin)) = (story, twin) {
            differences.extend(judge::transfer(story, twin).into_iter().map(of));
        }
    }
    differences.extend(shelf.rest().filter_map(|story| unexpected(&story, expected, claims)));
    differences.extend(too_many(&accepts_missed, expected));
    Outcome { differences, accepts_missed }
}

/// Several copies of a program see nearly every accept: a single one misses one of a hundred in a flood.
fn too_many(accepts_missed: &[String], expected: &[Expected]) -> Option<Difference> {
    const FEW: usize = 2;
    const ONE_OF: usize = 1000;
    let of = expected.iter().filter(|end| end.accept_may_be_missed).count();
    let missed = accepts_missed.len();
    let scenario = accepts_missed.last().filter(|_| missed > FEW + of / ONE_OF)?;
    Some(Difference { scenario: scenario.clone(), what: format!("{missed} of {of} accepts were missed") })
}

/// How many expected ends have not all their events yet.
pub(super) fn missing(expected: &[Expected], events: &[Event]) -> usize {
    let found = Shelf::new(events).take_all(expected);
    let is_over = |(end, story): &(&Expected, &Option<Story<'_>>)| match (&end.fate, story) {
        (Fate::Closed(_), Some(story)) => story.events.iter().any(|event| event.name == CLOSED),
        (Fate::Failed(_), story) => story.is_some(),
        (Fate::Closed(_), None) => false,
    };
    expected.len() - expected.iter().zip(&found).filter(is_over).count()
}

impl Expected {
    fn twin(&self) -> Option<usize> {
        match &self.fate {
            Fate::Closed(Closed { twin, .. }) => *twin,
            Fate::Failed(_) => None,
        }
    }
}

fn title(end: &Expected) -> String {
    let local = end.local.map_or_else(|| "unbound".to_owned(), |local| local.to_string());
    format!(
        "{} {local} -> {} in {} of {:?}",
        end.side,
        end.peer,
        end.network,
        end.owner.map(|owner| owner.pid)
    )
}

/// A story nobody lived, if it is about a scenario at all. Other programs of the host may use a port or a process id that a
/// scenario has done with, so a story with an owner is the scenario's if that owner is one of its processes, running the
/// suite's executable, or if it tells again of a connection that was already told.
fn unexpected(story: &Story<'_>, expected: &[Expected], claims: &Claims) -> Option<Difference> {
    let pid = story.events.iter().find_map(|event| event.pid()).and_then(|pid| u32::try_from(pid).ok());
    let is_told = |end: &&Expected| {
        end.network == story.network && end.local == story.local && Some(end.peer) == story.peer
    };
    let server_port = story.events.iter().find_map(|event| event.try_get("server.port")?.as_u64());
    let ports = [story.local, story.peer].into_iter().flatten().map(|address| address.port());
    let mut ports = ports.filter(|port| server_port.is_none_or(|server| server == u64::from(*port)));
    let mut by_port = || ports.find_map(|port| claims.ports.get(&(story.network, port)).cloned());
    let is_private = story.network != claims.shared_network;
    let scenario = match pid {
        Some(_) if !is_private && !claims.is_own(story) => {
            expected.iter().find(is_told).map(|end| end.scenario.clone())
        }
        Some(pid) => claims.pids.get(&pid).cloned().or_else(&mut by_port),
        None => by_port(),
    }?;
    let names: Vec<&str> = story.events.iter().map(|event| judge::short(event)).collect();
    let tuple = format!("{:?} -> {:?} in {} of {pid:?}", story.local, story.peer, story.network);
    Some(Difference { scenario, what: format!("nobody did this: {names:?}: {tuple}") })
}

impl Claims {
    /// Whether the owner runs the suite's executable, as far as is known.
    fn is_own(&self, story: &Story<'_>) -> bool {
        let path =
            story.events.iter().find_map(|event| event.resource.get("process.executable.path")?.as_str());
        path.is_none_or(|path| path == self.executable)
    }
}

/// The stories not yet taken, in the order they began.
struct Shelf<'a> {
    stories: Vec<Option<Story<'a>>>,
    by_tuple: HashMap<(u64, SocketAddr, SocketAddr), VecDeque<usize>>,
    by_peer: HashMap<(u64, SocketAddr), VecDeque<usize>>,
}

impl<'a> Shelf<'a> {
    fn new(events: &'a [Event]) -> Self {
        let mut by_id: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let id = event.attributes.get("convis.connection.id").and_then(Value::as_str);
            by_id.entry(id.unwrap_or_default()).or_default().push(event);
        }
        let mut stories: Vec<Story<'_>> = by_id.into_values().map(Story::new).collect();
        stories.sort_by_key(|story| story.events.iter().map(|event| event.timestamp).min());
        let mut shelf = Self { stories: Vec::new(), by_tuple: HashMap::new(), by_peer: HashMap::new() };
        for (place, story) in stories.into_iter().enumerate() {
            if let Some(peer) = story.peer {
                shelf.by_peer.entry((story.network, peer)).or_default().push_back(place);
                if let Some(local) = story.local {
                    shelf.by_tuple.entry((story.network, local, peer)).or_default().push_back(place);
                }
            }
            shelf.stories.push(Some(story));
        }
        shelf
    }

    /// The story of each. Those whose own address is known choose first: the others take what is left to that peer.
    fn take_all(&mut self, expected: &[Expected]) -> Vec<Option<Story<'a>>> {
        let mut known: Vec<_> =
            expected.iter().map(|end| end.local.is_some().then(|| self.take(end)).flatten()).collect();
        for (place, end) in expected.iter().enumerate().filter(|(_, end)| end.local.is_none()) {
            known[place] = self.take(end);
        }
        known
    }

    fn take(&mut self, end: &Expected) -> Option<Story<'a>> {
        let places = match end.local {
            Some(local) => self.by_tuple.get_mut(&(end.network, local, end.peer))?,
            None => self.by_peer.get_mut(&(end.network, end.peer))?,
        };
        while let Some(place) = places.pop_front() {
            if let Some(story) = self.stories[place].take() {
                return Some(story);
            }
        }
        None
    }

    fn rest(self) -> impl Iterator<Item = Story<'a>> {
        self.stories.into_iter().flatten()
    }
}

impl<'a> Story<'a> {
    fn new(events: Vec<&'a Event>) -> Self {
        // The last one knows most: an address may be complete only at the end.
        let last = events.last();
        let network = last.and_then(|event| event.attributes.get("convis.network.namespace")?.as_u64());
        let address = |prefix| last.and_then(|event| judge::address(event, prefix));
        let (local, peer) = (address("network.local"), address("network.peer"));
        Self { network: network.unwrap_or(0), local, peer, events }
    }
}

#[cfg(test)]
mod tests;
