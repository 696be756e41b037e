use convis_exporters::model::MetricBatch;

use super::*;
use crate::container::testing::Feed;
use crate::nat::Translated;

const MILLISECOND: u64 = 1_000_000;
const PATIENCE: u64 = 250 * MILLISECOND;
const NGINX: Owner = Owner { tgid: 80, start_ns: 90_000_000, ..SHELL };
pub(super) const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";

fn tracker() -> Tracker {
    let mut tracker = waiting_tracker(ResourceMode::Executable, Workloads::none());
    exec(&mut tracker, NGINX, "nginx");
    tracker
}

fn client(id: u64) -> Conn {
    conn(id, role::CLIENT, SHELL, 0)
}

/// The end of the client's connection at nginx.
fn server_of(id: u64, client: &Conn) -> Conn {
    Conn {
        local: client.peer,
        peer: client.local,
        local_port_be: client.peer_port_be,
        peer_port_be: client.local_port_be,
        ..conn(id, role::SERVER, NGINX, flag::ACCEPTED)
    }
}

/// A client's connection to this address, from a port of its own.
fn to(id: u64, peer: [u8; 4]) -> Conn {
    let port = u16::try_from(id).unwrap();
    Conn { peer: address_of(peer), local_port_be: port.to_be(), ..client(id) }
}

/// A connection from this address, at a port of its own.
fn from(id: u64, peer: [u8; 4]) -> Conn {
    Conn { role: role::SERVER, flags: flag::ACCEPTED, ..to(id, peer) }
}

fn open_at(tracker: &mut Tracker, conn: Conn, now_ns: u64) {
    tracker.apply(Record::Opened { time_ns: 3_500, conn }, CLOCK, now_ns);
}

fn read_at(tracker: &mut Tracker, conn: Conn, totals: wire::Totals, now_ns: u64) {
    tracker.begin_walk(Purpose { samples: false, updates: true });
    let key = conn.id | wire::SOCKET_KEY;
    tracker.apply(Record::Live { time_ns: 8_000, key, conn, totals }, CLOCK, now_ns);
    tracker.end_walk();
}

fn close_at(tracker: &mut Tracker, conn: Conn, totals: wire::Totals, now_ns: u64) {
    tracker.apply(Record::Closed { time_ns: 9_000, conn, totals }, CLOCK, now_ns);
}

/// What is ready after this instant: ids and names.
fn told(tracker: &mut Tracker, now_ns: u64) -> Vec<(u64, EventName)> {
    tracker.settle(CLOCK, now_ns);
    tracker.take_events().iter().map(|event| (event.connection.id, event.name())).collect()
}

fn moved(sent: u64, received: u64) -> wire::Totals {
    wire::Totals { bytes_acked: sent + 1, bytes_sent: sent, bytes_received: received, ..totals(1, 0) }
}

fn peer_of(event: &Event) -> Option<String> {
    event.peer.as_ref()?.attributes().find_map(|(key, value)| match value {
        Value::Str(name) if key == "convis.peer.process.executable.name" => Some(name.to_owned()),
        _ => None,
    })
}

/// Every sum: executable, instrument, the value of the dimension that only it has, the other end's service.
fn all_sums(batch: &MetricBatch) -> Vec<(String, &'static str, String, String, i64)> {
    let mut found = Vec::new();
    for of in &batch.resources {
        for metric in &of.metrics {
            for point in &metric.points {
                let PointValue::Sum(sum) = point.value else { continue };
                let text = |wanted: &str| {
                    let found = point.attributes.iter().find(|(key, _)| *key == wanted);
                    match found.map(|(_, value)| value.as_value()) {
                        Some(Value::Str(text)) => text.to_owned(),
                        _ => String::new(),
                    }
                };
                let own = text("network.io.direction") + &text("convis.close.reason");
                let name = of.resource.text("process.executable.name").unwrap_or("host").to_owned();
                found.push((name, metric.descriptor.name, own, text("service.peer.name"), sum));
            }
        }
    }
    found.sort();
    found
}

/// Scenario: a client's opened record comes before its server's, on one host.
/// Guarantees: the client's waits; then both go out, and each names the other.
#[test]
fn both_ends_name_each_other() {
    let mut tracker = tracker();
    open_at(&mut tracker, client(1), 0);
    assert_eq!((tracker.waiting(), tracker.take_events().len()), (1, 0));
    assert!(told(&mut tracker, MILLISECOND).is_empty());
    open_at(&mut tracker, server_of(2, &client(1)), 2 * MILLISECOND);
    tracker.settle(CLOCK, 2 * MILLISECOND);
    assert_eq!(tracker.waiting(), 0);
    let mut events = tracker.take_events();
    events.sort_by_key(|event| event.connection.id);
    let peers: Vec<_> = events.iter().map(|event| (event.connection.id, peer_of(event))).collect();
    assert_eq!(peers, [(1, Some("nginx".into())), (2, Some("curl".into()))]);
    assert_eq!(events[0].observed_unix_nanos, 1_003_500, "when it was seen, not when it was let go");
}

/// Scenario: a client's connection to a private address whose other end never shows.
/// Guarantees: its event goes out after its time, not before, without a peer, and once.
#[test]
fn waits_for_a_peer_a_bounded_time() {
    let mut tracker = tracker();
    open_at(&mut tracker, client(1), 5);
    assert!(told(&mut tracker, 5 + PATIENCE - 1).is_empty());
    tracker.settle(CLOCK, 5 + PATIENCE);
    let events = tracker.take_events();
    assert_eq!((names(&events), events[0].peer.is_none()), (vec![EventName::Opened], true));
    assert!(told(&mut tracker, u64::MAX).is_empty());
    assert_eq!((tracker.waiting(), tracker.unnamed()), (0, 0));
}

/// Scenario: connections to an address in the private networks that is another host's; one from a public address, one that
/// failed, one to an address of this host where nobody shows either.
/// Guarantees: the first three wait, later ones do not, until the address turns out to be this host's; nothing waits for what
/// is not here, or has no other end.
#[test]
fn learns_who_is_not_here() {
    let mut tracker = tracker();
    let foreign = [10, 9, 9, 9];
    for id in 1..=3 {
        let now_ns = id * 10 * PATIENCE;
        open_at(&mut tracker, to(id, foreign), now_ns);
        close_at(&mut tracker, to(id, foreign), moved(1, 1), now_ns);
        assert_eq!((tracker.waiting(), told(&mut tracker, now_ns).len()), (2, 0), "{id}");
        let both = [(id, EventName::Opened), (id, EventName::Closed)];
        assert_eq!(told(&mut tracker, now_ns + PATIENCE), both);
    }
    open_at(&mut tracker, to(4, foreign), 0);
    open_at(&mut tracker, from(5, [192, 0, 32, 1]), 0);
    let attempt = Conn { established_ns: 0, ..to(6, [10, 9, 9, 8]) };
    tracker.apply(Record::Failed { time_ns: 4_000, conn: attempt, totals: totals(2, 111) }, CLOCK, 0);
    assert_eq!(tracker.waiting(), 0);
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Opened, EventName::Failed]);
    open_at(&mut tracker, Conn { local: address_of(foreign), ..from(7, [192, 0, 32, 1]) }, 0);
    for id in 8..=20 {
        open_at(&mut tracker, to(id, foreign), 0);
        assert_eq!(tracker.waiting(), 1, "{id}");
        tracker.settle(CLOCK, PATIENCE);
    }
}

/// Scenario: one connection opens, moves bytes and ends while its opened record waits; others, from public addresses, come
/// between.
/// Guarantees: the others do not wait; its own keep their order, although the update alone would not wait.
#[test]
fn one_ends_events_keep_their_order() {
    let mut tracker = tracker();
    open_at(&mut tracker, client(1), 0);
    read_at(&mut tracker, client(1), moved(10, 5), MILLISECOND);
    open_at(&mut tracker, from(2, [192, 0, 32, 1]), MILLISECOND);
    assert_eq!(told(&mut tracker, 2 * MILLISECOND), [(2, EventName::Opened)]);
    close_at(&mut tracker, client(1), moved(20, 5), 100 * MILLISECOND);
    open_at(&mut tracker, from(3, [192, 0, 32, 1]), 110 * MILLISECOND);
    assert_eq!(told(&mut tracker, PATIENCE - 1), [(3, EventName::Opened)]);
    assert_eq!(tracker.waiting(), 3);
    let first = told(&mut tracker, PATIENCE);
    assert_eq!(first, [(1, EventName::Opened), (1, EventName::Updated)]);
    assert_eq!(told(&mut tracker, 100 * MILLISECOND + PATIENCE), [(1, EventName::Closed)]);
}

/// Scenario: a connection opens, moves bytes and ends before the other end's first record; that end does the same then.
/// Guarantees: nothing is counted before it is known who the peer is, then everything once, under the peer's service.
#[test]
fn what_waits_is_counted_once() {
    let mut tracker = tracker();
    let end = client(1);
    open_at(&mut tracker, end, 0);
    read_at(&mut tracker, end, moved(500, 20), MILLISECOND);
    assert!(all_sums(&tracker.metrics.collect(10)).is_empty());
    close_at(&mut tracker, end, moved(700, 30), 2 * MILLISECOND);
    let server = server_of(2, &end);
    open_at(&mut tracker, server, 3 * MILLISECOND);
    let of_server = wire::Totals { bytes_acked: 30, ..moved(30, 700) };
    close_at(&mut tracker, server, of_server, 3 * MILLISECOND);
    tracker.settle(CLOCK, 3 * MILLISECOND);
    let events = tracker.take_events();
    let of = |id| events.iter().filter(move |event| event.connection.id == id).map(Event::name);
    assert_eq!(of(1).collect::<Vec<_>>(), [EventName::Opened, EventName::Updated, EventName::Closed]);
    assert_eq!(of(2).collect::<Vec<_>>(), [EventName::Opened, EventName::Closed]);
    assert!(events.iter().all(|event| event.peer.is_some()));
    let expected = |name: &str, peer: &str, sent, received| {
        [
            ("convis.tcp.connection.active", "", 0),
            ("convis.tcp.connection.closed", "unknown", 1),
            ("convis.tcp.connection.io", "receive", received),
            ("convis.tcp.connection.io", "transmit", sent),
            ("convis.tcp.connection.opened", "", 1),
            ("convis.tcp.retransmits", "", 0),
        ]
        .map(|(metric, own, sum)| (name.to_owned(), metric, own.to_owned(), peer.to_owned(), sum))
    };
    let both = [expected("curl", "nginx", 700, 30), expected("nginx", "curl", 30, 700)].concat();
    let strip = |sums: Vec<(String, &'static str, String, String, i64)>| {
        let reason = |own: String| {
            if own.ends_with("close") || own.ends_with("reset") { "unknown".into() } else { own }
        };
        sums.into_iter().map(|(a, b, own, d, e)| (a, b, reason(own), d, e)).collect::<Vec<_>>()
    };
    assert_eq!(strip(all_sums(&tracker.metrics.collect(20))), both);
    assert!(told(&mut tracker, u64::MAX / 2).is_empty());
    assert_eq!(strip(all_sums(&tracker.metrics.collect(30))), both);
}

/// Scenario: a connection is open, and moves bytes, before and after its peer is given up.
/// Guarantees: the walk after it counts all that moved, the earlier bytes too, and `active` is one.
#[test]
fn growth_while_waiting_is_counted_later() {
    let mut tracker = tracker();
    open_at(&mut tracker, client(1), 0);
    read_at(&mut tracker, client(1), moved(500, 20), MILLISECOND);
    tracker.settle(CLOCK, PATIENCE);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [1]);
    read_at(&mut tracker, client(1), moved(500, 20), PATIENCE);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [500, 20]);
    close_at(&mut tracker, client(1), moved(600, 20), PATIENCE);
    tracker.settle(CLOCK, 2 * PATIENCE);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [600, 20]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.opened"), [1]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
}

/// Scenario: an attempt through a translated address fails; a connection through one opens and ends without its other end.
/// Guarantees: both events say where it really went; neither is looked for any more afterwards.
#[test]
fn what_is_translated_is_forgotten() {
    let mut tracker = tracker();
    let real: std::net::SocketAddr = "10.8.8.8:8080".parse().unwrap();
    tracker.translator.answer = Some(Translated { client: "10.0.0.1:40000".parse().unwrap(), server: real });
    let attempt = Conn { established_ns: 0, ..client(1) };
    tracker.apply(Record::Failed { time_ns: 4_000, conn: attempt, totals: totals(2, 111) }, CLOCK, 0);
    assert_eq!(tracker.ends.len(), 0);
    open_at(&mut tracker, client(2), 0);
    close_at(&mut tracker, client(2), moved(1, 1), 0);
    tracker.settle(CLOCK, PATIENCE);
    assert_eq!(tracker.ends.len(), 2, "by both of its names");
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Failed, EventName::Opened, EventName::Closed]);
    assert!(events.iter().all(|event| event.nat_peer == Some(real)));
    tracker.settle(CLOCK, 100 * PATIENCE);
    assert_eq!(tracker.ends.len(), 0);
}

/// Scenario: one more waits than may.
/// Guarantees: the oldest goes out as it is, and is counted; the others still wait.
#[test]
fn too_many_do_not_wait() {
    let mut tracker = tracker();
    tracker.out.most_waiting = 100;
    for id in 1..=101 {
        open_at(&mut tracker, to(id, [10, 9, 9, 9]), 0);
    }
    assert_eq!(tracker.waiting(), 100);
    let events = tracker.take_events();
    assert_eq!(events.iter().map(|event| event.connection.id).collect::<Vec<_>>(), [1]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.opened"), [1]);
    tracker.settle_all(CLOCK, 1);
    assert_eq!(tracker.take_events().len(), 100);
    assert_eq!(tracker.waiting(), 0);
}

pub(super) fn in_container(feed: &mut Feed, directory: crate::container::Directory) -> Tracker {
    let workloads = Workloads::new("/nonexistent", directory, Duration::from_secs(1), 0);
    let mut tracker = waiting_tracker(ResourceMode::Executable, workloads);
    exec(&mut tracker, NGINX, "nginx");
    let path = Some(format!("/docker/{ID}"));
    tracker.apply(Record::CgroupMade { id: SHELL.cgroup_id, path }, CLOCK, 0);
    assert_eq!(feed.asked(), [ID]);
    tracker
}

/// Scenario: connections of a container whose name is asked for, from public addresses; the name comes before or after the
/// patience of events.
/// Guarantees: they wait for it, and no longer than that from the first on; what goes out without it is counted.
#[test]
fn waits_for_a_name_a_bounded_time() {
    const SECOND: u64 = 1000 * MILLISECOND;
    let (mut feed, directory) = Feed::new();
    let mut tracker = in_container(&mut feed, directory);
    open_at(&mut tracker, from(1, [192, 0, 32, 1]), SECOND);
    open_at(&mut tracker, from(2, [192, 0, 32, 1]), SECOND + 9);
    assert!(told(&mut tracker, 2 * SECOND - 1).is_empty());
    assert_eq!(told(&mut tracker, 2 * SECOND), [(1, EventName::Opened), (2, EventName::Opened)]);
    assert_eq!(tracker.unnamed(), 2);
    open_at(&mut tracker, from(3, [192, 0, 32, 1]), 3 * SECOND);
    assert_eq!((tracker.waiting(), tracker.unnamed()), (0, 3), "the patience is the container's");
    feed.name(ID, "web");
    open_at(&mut tracker, from(4, [192, 0, 32, 1]), 3 * SECOND);
    tracker.settle(CLOCK, 3 * SECOND);
    open_at(&mut tracker, from(5, [192, 0, 32, 1]), 3 * SECOND);
    let events = tracker.take_events();
    let named: Vec<_> =
        events.iter().map(|event| (event.connection.id, event.resource.text("container.name"))).collect();
    assert_eq!(named, [(3, None), (4, None), (5, Some("web"))]);
    assert!(events.iter().all(|event| event.resource.text("container.id") == Some(ID)));
    assert_eq!(tracker.unnamed(), 4);

    let (mut feed, directory) = Feed::new();
    let mut tracker = in_container(&mut feed, directory);
    open_at(&mut tracker, from(1, [192, 0, 32, 1]), SECOND);
    close_at(&mut tracker, from(1, [192, 0, 32, 1]), moved(7, 8), SECOND);
    feed.name(ID, "web");
    assert_eq!(told(&mut tracker, SECOND + 1), [(1, EventName::Opened), (1, EventName::Closed)]);
    assert_eq!((tracker.unnamed(), tracker.metrics.resources()), (0, 1));
    let batch = tracker.metrics.collect(10);
    assert_eq!(batch.resources[0].resource.text("container.name"), Some("web"));
}

/// Scenario: a server of the host is reached from a container whose name is asked for; the name comes.
/// Guarantees: the server's event waits as well, and names the container.
#[test]
fn waits_for_the_name_of_the_other_end() {
    let (mut feed, directory) = Feed::new();
    let mut tracker = in_container(&mut feed, directory);
    tracker.apply(Record::CgroupMade { id: 2, path: Some("/system.slice/nginx.service".into()) }, CLOCK, 0);
    let mut server = server_of(2, &client(1));
    server.owner.cgroup_id = 2;
    open_at(&mut tracker, client(1), 0);
    open_at(&mut tracker, server, 0);
    assert!(told(&mut tracker, 500 * MILLISECOND).is_empty());
    feed.name(ID, "web");
    tracker.settle(CLOCK, 600 * MILLISECOND);
    let events = tracker.take_events();
    let of_server = events.iter().find(|event| event.connection.id == 2).unwrap();
    let name =
        of_server.peer.as_ref().unwrap().attributes().find(|(key, _)| *key == "convis.peer.container.name");
    assert_eq!(name.map(|(_, value)| value), Some(Value::Str("web")));
    let sums = all_sums(&tracker.metrics.collect(10));
    assert!(sums.iter().any(|(name, _, _, peer, _)| name == "nginx" && peer == "web"), "{sums:?}");
    assert_eq!(tracker.unnamed(), 0);
}
