use convis_exporters::model::PeerNetwork;
use convis_otel_config::policy::{Policy, Settings};

use super::waiting::{ID, in_container};
use super::*;
use crate::container::testing::Feed;

fn policy(write: impl FnOnce(&mut Settings)) -> Policy {
    let mut settings = Settings::default();
    write(&mut settings);
    Policy::new(&settings).unwrap()
}

fn rules(include: &[&str], exclude: &[&str]) -> Policy {
    policy(|settings| {
        for rule in include {
            settings.add_include(rule).unwrap();
        }
        for rule in exclude {
            settings.add_exclude(rule).unwrap();
        }
    })
}

fn expecting(lines: &[&str]) -> Policy {
    policy(|settings| {
        for line in lines {
            settings.add_expectation(line).unwrap();
        }
    })
}

fn sampling(rule: &str, expectation: &str) -> Policy {
    policy(|settings| {
        settings.add_sampling(rule).unwrap();
        settings.add_expectation(expectation).unwrap();
    })
}

fn networks(lines: &[&str]) -> Policy {
    policy(|settings| lines.iter().for_each(|line| settings.add_network(line).unwrap()))
}

/// `convis.peer.network` of all points of an instrument.
fn networks_of_points(tracker: &mut Tracker, name: &str) -> Vec<String> {
    let batch = tracker.metrics.collect(100);
    let metrics = batch.resources.iter().flat_map(|of| &of.metrics);
    let points = metrics.filter(|metric| metric.descriptor.name == name).flat_map(|metric| &metric.points);
    let network = |(key, value): &(&str, convis_exporters::model::OwnedValue)| {
        (*key == "convis.peer.network").then(|| value.as_value().to_string())
    };
    points.filter_map(|point| point.attributes.iter().find_map(network)).collect()
}

/// Scenario: a connection into a network that the user has named; then its name changes, and another one begins.
/// Guarantees: the name in events and metrics; each connection keeps the name it began with.
#[test]
fn named_networks_are_told_and_counted() {
    let mut tracker = tracker();
    tracker.set_policy(networks(&["office=10.0.0.0/16"]), 0);
    opened(&mut tracker, conn(1, role::CLIENT, SHELL, 0));
    tracker.set_policy(networks(&["lab=10.0.0.0/16"]), 0);
    closed(&mut tracker, conn(1, role::CLIENT, SHELL, 0), totals(1, 0));
    opened(&mut tracker, conn(2, role::CLIENT, SHELL, 0));
    let events = tracker.take_events();
    let told: Vec<_> = events.iter().map(|event| event.connection.peer_network.as_str()).collect();
    assert_eq!(told, ["office", "office", "lab"]);
    assert_eq!(networks_of_points(&mut tracker, "convis.tcp.connection.closed"), ["office"]);
    assert_eq!(networks_of_points(&mut tracker, "convis.tcp.connection.opened"), ["office", "lab"]);
    tracker.set_policy(Policy::default(), 0);
    opened(&mut tracker, conn(3, role::CLIENT, SHELL, 0));
    assert_eq!(tracker.take_events()[0].connection.peer_network, PeerNetwork::Private);
}

/// Scenario: a connection of a process that is left out, with an update and an end, an attempt of it, and a connection of another
/// process to another port; then the filter goes while the first connection lives.
/// Guarantees: no event and no metric of what is left out, before and after, and each event of it counted by kind; everything of
/// the other.
#[test]
fn what_is_filtered_is_neither_told_nor_counted() {
    let mut tracker = tracker();
    let nginx = Owner { tgid: 80, start_ns: 90_000_000, ..SHELL };
    exec(&mut tracker, nginx, "nginx");
    tracker.set_policy(rules(&[], &["executable=curl"]), 0);
    let hidden = conn(1, role::CLIENT, SHELL, 0);
    opened(&mut tracker, hidden);
    let failing = conn(2, role::CLIENT, SHELL, flag::FAILED);
    tracker.apply(Record::Failed { time_ns: 9_000, conn: failing, totals: totals(2, 111) }, CLOCK, 0);
    let shown = conn(3, role::CLIENT, nginx, 0);
    opened(&mut tracker, shown);
    tracker.set_policy(Policy::default(), 0);
    tracker.begin_walk(Purpose { samples: true, updates: true });
    for conn in [hidden, shown] {
        let key = conn.id | wire::SOCKET_KEY;
        tracker.apply(Record::Live { time_ns: 8_000, key, conn, totals: totals(1, 0) }, CLOCK, 0);
    }
    tracker.end_walk();
    closed(&mut tracker, hidden, totals(1, 0));
    closed(&mut tracker, shown, totals(1, 0));
    let events = tracker.take_events();
    let ids: Vec<_> = events.iter().map(|event| (event.connection.id, event.name())).collect();
    assert_eq!(ids, [(3, EventName::Opened), (3, EventName::Updated), (3, EventName::Closed)]);
    assert_eq!(tracker.left_out.filtered, [1, 1, 1, 1]);
    let batch = tracker.metrics.collect(100);
    let owners: Vec<_> =
        batch.resources.iter().map(|of| of.resource.text("process.executable.name").unwrap()).collect();
    assert_eq!(owners, ["nginx"]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [100, 200]);
}

/// Scenario: a container is left out by a name that comes while its opened event waits, or not in time.
/// Guarantees: the name that came decides for all events; without it the connection is told, also once the name is there.
#[test]
fn a_late_name_decides_if_it_is_awaited() {
    const SECOND: u64 = 1_000_000_000;
    for (named_at, told) in [(SECOND, 0), (3 * SECOND, 2)] {
        let (mut feed, directory) = Feed::new();
        let mut tracker = in_container(&mut feed, directory);
        tracker.set_policy(rules(&[], &["container=web"]), 0);
        let served = Conn { flags: flag::ACCEPTED, ..conn(1, role::SERVER, SHELL, 0) };
        tracker.apply(Record::Opened { time_ns: 3_500, conn: served }, CLOCK, SECOND / 2);
        for now_ns in [SECOND, 2 * SECOND, 3 * SECOND] {
            if now_ns == named_at {
                feed.name(ID, "web");
            }
            tracker.settle(CLOCK, now_ns);
        }
        tracker.apply(
            Record::Closed { time_ns: 9_000, conn: served, totals: totals(1, 0) },
            CLOCK,
            4 * SECOND,
        );
        tracker.settle(CLOCK, 5 * SECOND);
        assert_eq!(tracker.take_events().len(), told);
        let left_out = u64::from(told == 0);
        assert_eq!(tracker.left_out.filtered, [left_out, 0, left_out, 0]);
    }
}

/// Scenario: a connection that is not expected, with an update and an end, an attempt that fails, a connection that is expected;
/// and one of a process of which nothing is expected.
/// Guarantees: every event of the first two is marked, none of the others; each of the two is counted once.
#[test]
fn the_unexpected_is_told_and_counted_once() {
    let mut tracker = tracker();
    let nginx = Owner { tgid: 80, start_ns: 90_000_000, ..SHELL };
    exec(&mut tracker, nginx, "nginx");
    tracker.set_policy(expecting(&["executable=curl,port=80", "executable=curl,cidr=10.0.0.9"]), 0);
    let unexpected = conn(1, role::CLIENT, SHELL, 0);
    let expected = Conn { peer: address_of([10, 0, 0, 9]), ..conn(3, role::CLIENT, SHELL, 0) };
    for conn in [unexpected, expected, conn(4, role::CLIENT, nginx, 0)] {
        opened(&mut tracker, conn);
    }
    let failing = conn(2, role::CLIENT, SHELL, flag::FAILED);
    tracker.apply(Record::Failed { time_ns: 9_000, conn: failing, totals: totals(2, 111) }, CLOCK, 0);
    tracker.begin_walk(Purpose { samples: false, updates: true });
    let key = unexpected.id | wire::SOCKET_KEY;
    tracker.apply(Record::Live { time_ns: 8_000, key, conn: unexpected, totals: totals(1, 0) }, CLOCK, 0);
    tracker.end_walk();
    closed(&mut tracker, unexpected, totals(1, 0));
    closed(&mut tracker, expected, totals(1, 0));
    let events = tracker.take_events();
    let marked = events.iter().filter(|event| event.connection.unexpected);
    let ids: Vec<_> = marked.map(|event| (event.connection.id, event.name())).collect();
    assert_eq!(
        ids,
        [(1, EventName::Opened), (2, EventName::Failed), (1, EventName::Updated), (1, EventName::Closed)]
    );
    assert_eq!(events.len(), 7);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.unexpected"), [2]);
}

/// Scenario: an old connection that is not expected, told of before its role is known, then its role is learned.
/// Guarantees: its events are marked, and it is counted once, when its role is known.
#[test]
fn an_old_connection_is_counted_once_its_role_is_known() {
    let mut tracker = tracker();
    tracker.set_policy(expecting(&["executable=curl,network=loopback"]), 0);
    let old = conn(1, 0, SHELL, flag::PREEXISTING);
    // Always data in flight: neither end's first byte can be told.
    let busy = wire::Totals { write_seq: 9, ..totals(1, 0) };
    for bytes_received in [200, 300] {
        tracker.begin_walk(Purpose { samples: false, updates: true });
        let totals = wire::Totals { bytes_received, ..busy };
        let record = Record::Live { time_ns: 8_000, key: 1 | wire::SOCKET_KEY, conn: old, totals };
        tracker.apply(record, CLOCK, 0);
        tracker.end_walk();
    }
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Updated]);
    assert!(events[0].connection.unexpected && events[0].connection.role.is_none());
    assert!(sums(&mut tracker, "convis.tcp.connection.unexpected").is_empty());
    closed(&mut tracker, old, totals(1, 0));
    let events = tracker.take_events();
    assert!(events[0].connection.unexpected && events[0].connection.role.is_some(), "{events:?}");
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.unexpected"), [1]);
}

/// Scenario: a hundred connections of which one in ten is told, each with an end; some of them fail, or are not expected.
/// Guarantees: ten of the others are told, all events of each, with their weight; all that failed or were not expected, without;
/// what was left out is counted by kind; metrics count everything.
#[test]
fn those_that_are_told_stand_for_the_others() {
    let mut tracker = tracker();
    tracker
        .set_policy(sampling("keep=1/10,executable=curl,per=executable", "executable=curl,cidr=10.0.0.2"), 5);
    let opening = |id| conn(id, role::CLIENT, SHELL, 0);
    let unexpected = |id| Conn { peer: address_of([10, 0, 0, 3]), ..opening(id) };
    let conns = || (1..=100).map(opening).chain((101..=103).map(unexpected));
    for conn in conns() {
        opened(&mut tracker, conn);
    }
    for id in 104..=105 {
        let failing = conn(id, role::CLIENT, SHELL, flag::FAILED);
        tracker.apply(Record::Failed { time_ns: 9_000, conn: failing, totals: totals(2, 111) }, CLOCK, 0);
    }
    for conn in conns() {
        closed(&mut tracker, conn, totals(1, 0));
    }
    let events = tracker.take_events();
    let ids = |name: EventName, weight: u32| -> Vec<u64> {
        let wanted = |event: &&Event| event.name() == name && event.connection.sampling_weight == weight;
        events.iter().filter(wanted).map(|event| event.connection.id).collect()
    };
    let told = ids(EventName::Opened, 10);
    assert!(told.len() == 10 && told.iter().all(|id| *id <= 100), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] == 10), "{told:?}");
    assert_eq!(ids(EventName::Closed, 10), told);
    assert_eq!(
        (ids(EventName::Opened, 1), ids(EventName::Closed, 1)),
        (vec![101, 102, 103], vec![101, 102, 103])
    );
    assert_eq!((ids(EventName::Failed, 1), events.len()), (vec![104, 105], 28));
    assert_eq!(tracker.left_out, LeftOut { sampled: [90, 0, 90, 0], ..LeftOut::default() });
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.opened"), [103]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.unexpected"), [3]);
}
