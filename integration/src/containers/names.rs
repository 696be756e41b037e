//! What both ends of a connection must be called.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::actors::canonical;
use crate::ends::{self, End};
use crate::event::Event;
use crate::truth::{Report, Side};

/// Between what a process reads from its clock and what the kernel does.
const SLACK_NANOS: u64 = 100_000_000;
/// Opened and closed.
const OF_AN_END: usize = 2;

/// What a Resource says of a container, and events of it as a peer.
const KEYS: [&str; 7] = [
    "container.id",
    "container.name",
    "container.image.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.container.name",
];

/// A container, as its own runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its runtime.
    pub runtime: &'static str,
    /// Name and namespace of the service that it is; `None` where its runtime tells nothing.
    pub service: Option<(String, Option<String>)>,
    /// Attributes that say which it is, of `KEYS`.
    pub attributes: BTreeMap<&'static str, String>,
}

impl Container {
    /// One of a runtime that only has names for containers and images.
    pub fn named(runtime: &'static str, id: &str, name: &str, image: &str) -> Self {
        let attributes = [("container.id", id), ("container.name", name), ("container.image.name", image)];
        Self {
            runtime,
            service: Some((name.to_owned(), None)),
            attributes: attributes.map(|(key, value)| (key, value.to_owned())).into(),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.attributes["container.id"]
    }
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
    /// Name and namespace of a service in a container.
    fn service(&self) -> (Value, Option<Value>) {
        let service = self.container.and_then(|container| container.service.clone());
        let (name, namespace) = service.unwrap_or((self.report.executable_name().to_owned(), None));
        (name.into(), namespace.map(Value::from))
    }
}

impl Named {
    /// As convis must name it where no runtime tells anything.
    #[must_use]
    pub fn by_id_alone(mut self) -> Self {
        if let Some(container) = &mut self.container {
            container.service = None;
            container.attributes.retain(|key, _| *key == "container.id");
        }
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
        if let Some(container) = own.container {
            is("container.runtime.name", container.runtime.into());
            check_service(event, ["service.name", "service.namespace"], own);
        }
        if other.container.is_some() {
            check_service(event, ["service.peer.name", "service.peer.namespace"], other);
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

fn check_service(event: &Event, keys: [&str; 2], party: Party<'_>) {
    let (name, namespace) = party.service();
    assert_eq!(
        keys.map(|key| event.try_get(key)),
        [Some(&name), namespace.as_ref()],
        "{keys:?} of {event:#?}"
    );
}

/// What says which container it is, under this prefix, or nothing.
fn check_container(event: &Event, prefix: &str, container: Option<&Container>) {
    for key in KEYS {
        let value = event.try_get(&format!("{prefix}{key}")).and_then(Value::as_str);
        let expected = container.and_then(|container| container.attributes.get(key)).map(String::as_str);
        assert_eq!(value, expected, "{prefix}{key} of {event:#?}, in {container:?}");
    }
}
