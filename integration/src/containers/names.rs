//! What both ends of a connection must be called.

use serde_json::Value;

use crate::actors::canonical;
use crate::ends::{self, End};
use crate::event::Event;
use crate::truth::{Report, Side};

/// Between what a process reads from its clock and what the kernel does.
const SLACK_NANOS: u64 = 100_000_000;
/// Opened and closed.
const OF_AN_END: usize = 2;

/// A container, as its own runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// What its runtime tells; `None` where it tells nothing.
    pub names: Option<Names>,
}

/// What a container is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Its name.
    pub name: String,
    /// Its image, without the tag.
    pub image: String,
}

/// A process with all its connections, and where it ran.
#[derive(Debug, Clone)]
pub struct Named {
    /// One for each connection.
    pub reports: Vec<Report>,
    /// `None` for the host itself.
    pub container: Option<Container>,
}

/// One end and who it belongs to.
#[derive(Clone, Copy)]
struct Party<'a> {
    report: &'a Report,
    container: Option<&'a Container>,
}

impl Party<'_> {
    /// What a service in a container is called.
    fn service(&self) -> &str {
        let names = self.container.and_then(|container| container.names.as_ref());
        names.map_or(self.report.executable_name(), |names| &names.name)
    }
}

impl Named {
    /// As convis must name it where no runtime tells anything.
    #[must_use]
    pub fn by_id_alone(mut self) -> Self {
        self.container = self.container.map(|container| Container { names: None, ..container });
        self
    }

    fn parties(&self) -> impl Iterator<Item = Party<'_>> {
        self.reports.iter().map(|report| Party { report, container: self.container.as_ref() })
    }
}

/// Checks both ends of every connection of a client, all with these servers: who they are, who the other one is, and all
/// that holds for a connection that ends in an orderly way. Returns how many events these were.
pub fn check_both(events: &[Event], client: &Named, servers: &[&Named]) -> usize {
    let mut count = 0;
    for near in client.parties() {
        let far = other_end(near, servers);
        let events = during(events, near.report, far.report);
        for (own, other) in [(near, far), (far, near)] {
            let end = ends::find(&events, own.report);
            ends::check(&end, own.report, other.report);
            check_names(&end, own, other);
            count += OF_AN_END;
        }
    }
    count
}

/// The server's end of a client's. New containers get addresses of removed ones, and take the same ports: of those ends it
/// is the one of that time.
fn other_end<'a>(near: Party<'_>, servers: &[&'a Named]) -> Party<'a> {
    let is_mirrored = |far: &Party<'_>| canonical(far.report.peer) == canonical(near.report.local);
    let found = servers.iter().flat_map(|server| server.parties()).filter(is_mirrored);
    let nearest = found.min_by_key(|far| far.report.started.abs_diff(near.report.started));
    nearest.unwrap_or_else(|| panic!("no server reports {:?}", near.report))
}

/// What happened while the connection lasted.
fn during(events: &[Event], one: &Report, other: &Report) -> Vec<Event> {
    let from = one.started.min(other.started) - SLACK_NANOS;
    let to = one.ended.max(other.ended) + SLACK_NANOS;
    events.iter().filter(|event| (from..=to).contains(&event.timestamp)).cloned().collect()
}

/// As [`check_both`], of one end alone whose times and bytes nobody reported.
pub fn check_peers(events: &[Event], own: &Named, other: &Named) {
    let [own, other] = [own, other].map(|named| {
        let mut parties = named.parties();
        let first = parties.next().expect("one connection");
        assert!(parties.next().is_none(), "one connection: {named:?}");
        first
    });
    let end = ends::find(events, own.report);
    for event in [&end.opened, &end.closed] {
        ends::check_owner(event, own.report);
        ends::check_addresses(event, own.report);
    }
    check_names(&end, own, other);
}

fn check_names(end: &End, own: Party<'_>, other: Party<'_>) {
    for event in [&end.opened, &end.closed] {
        check_container(event, "", own.container);
        check_container(event, "convis.peer.", other.container);
        let is = |key: &str, value: Value| assert_eq!(*event.get(key), value, "{key} of {event:#?}");
        is("convis.peer.process.pid", other.report.pid.into());
        is("convis.peer.process.executable.name", other.report.executable_name().into());
        if own.container.is_some() {
            is("service.name", own.service().into());
            is("container.runtime.name", "docker".into());
        }
        if other.container.is_some() {
            is("service.peer.name", other.service().into());
        }
        check_translation(event, own.report, other.report);
    }
}

/// Where the other end really is, if that is not where it seems to be. What stands for the client is not the server's
/// business.
fn check_translation(event: &Event, own: &Report, other: &Report) {
    let real = canonical(other.local);
    if own.side == Side::Client && real != canonical(own.peer) {
        assert_eq!(event.address("convis.nat.peer"), real, "{event:#?}");
    } else {
        assert_eq!(event.try_get("convis.nat.peer.address"), None, "{event:#?}");
    }
}

/// The container's names under this prefix, or none of them.
fn check_container(event: &Event, prefix: &str, container: Option<&Container>) {
    let names = container.and_then(|container| container.names.as_ref());
    for (key, expected) in [
        ("container.id", container.map(|container| &container.id)),
        ("container.name", names.map(|names| &names.name)),
        ("container.image.name", names.map(|names| &names.image)),
    ] {
        let key = format!("{prefix}{key}");
        let value = event.try_get(&key).and_then(Value::as_str);
        assert_eq!(value, expected.map(String::as_str), "{key} of {event:#?}, in {container:?}");
    }
}
