use convis_exporters::model::{MetricBatch, MetricResource};

use super::*;
use crate::container::testing::Feed;

const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";
const SECOND: u64 = 1_000_000_000;
const NGINX: Owner = Owner { tgid: 80, start_ns: 90_000_000, ..SHELL };
const SSHD: Owner = Owner { tgid: 90, start_ns: 95_000_000, cgroup_id: 2, ..SHELL };
const MODES: [ResourceMode; 3] = [ResourceMode::Executable, ResourceMode::Process, ResourceMode::Container];
const OPENED: &str = "convis.tcp.connection.opened";
const CLOSED: &str = "convis.tcp.connection.closed";
const ACTIVE: &str = "convis.tcp.connection.active";
const IO: &str = "convis.tcp.connection.io";

/// curl and nginx in a container whose name is asked for but not waited for, sshd beside it.
fn tracker(mode: ResourceMode) -> (Feed, Tracker) {
    let (feed, directory) = Feed::new();
    let workloads = Workloads::new("/nonexistent", directory, Duration::ZERO, 0);
    let mut tracker = waiting_tracker(mode, workloads);
    tracker.expect_no_more();
    exec(&mut tracker, NGINX, "nginx");
    exec(&mut tracker, SSHD, "sshd");
    for (id, path) in [(1, format!("/docker/{ID}")), (2, "/system.slice/ssh.service".to_owned())] {
        tracker.apply(Record::CgroupMade { id, path: Some(path) }, CLOCK, 0);
    }
    (feed, tracker)
}

fn client(id: u64, owner: Owner) -> Conn {
    conn(id, role::CLIENT, owner, 0)
}

fn reading(sent: u64, received: u64) -> wire::Totals {
    wire::Totals { bytes_acked: sent + 1, bytes_sent: sent, bytes_received: received, ..totals(1, 0) }
}

fn read(tracker: &mut Tracker, conn: Conn, totals: wire::Totals) {
    tracker.begin_walk(Purpose { samples: true, updates: false });
    let key = conn.id | wire::SOCKET_KEY;
    tracker.apply(Record::Live { time_ns: 8_000, key, conn, totals }, CLOCK, 0);
    tracker.end_walk();
}

/// When something was, as points have it.
fn unix(ns: u64) -> u64 {
    CLOCK.unix_nanos(ns)
}

/// What the points of an instrument say, in their order, and where they start; by the name of the container.
fn points(batch: &MetricBatch, name: &str) -> Vec<(Option<String>, PointValue, u64)> {
    let of_resource = |of: &MetricResource| {
        let container = of.resource.text("container.name").map(str::to_owned);
        let metrics = of.metrics.iter().filter(|metric| metric.descriptor.name == name);
        let points = metrics.flat_map(|metric| &metric.points);
        let told = points.map(|point| (container.clone(), point.value.clone(), point.start_unix_nanos));
        told.collect::<Vec<_>>()
    };
    let mut all: Vec<_> = batch.resources.iter().flat_map(of_resource).collect();
    all.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    all
}

fn unnamed(sum: i64) -> (Option<String>, PointValue, u64) {
    (None, PointValue::Sum(sum), 1)
}

fn named(sum: i64, start: u64) -> (Option<String>, PointValue, u64) {
    (Some("web".into()), PointValue::Sum(sum), start)
}

const ENDED: (Option<String>, PointValue, u64) = (None, PointValue::NoRecordedValue, 1);

/// Scenario: a container's connection is counted without the container's name; the name comes, more bytes move, it ends.
/// Guarantees: the nameless series get one more point with all they counted and then end; the named ones start from nothing
/// at that instant and have the rest: no byte is in both, and the connection is open on one of them at a time.
#[test]
fn a_late_name_begins_new_series() {
    for mode in MODES {
        let (feed, mut tracker) = tracker(mode);
        let end = client(7, SHELL);
        opened(&mut tracker, end);
        tracker.settle(CLOCK, 0);
        read(&mut tracker, end, reading(100, 10));
        let batch = tracker.metrics.collect(unix(SECOND));
        assert_eq!(points(&batch, IO), [unnamed(100), unnamed(10)], "{mode:?}");
        read(&mut tracker, end, reading(150, 10));

        feed.name(ID, "web");
        tracker.settle(CLOCK, 2 * SECOND);
        let started = unix(2 * SECOND);
        read(&mut tracker, end, reading(175, 12));
        let batch = tracker.metrics.collect(unix(3 * SECOND));
        assert_eq!(points(&batch, OPENED), [unnamed(1)], "{mode:?}");
        assert_eq!(points(&batch, ACTIVE), [unnamed(0), named(1, started)], "{mode:?}");
        let io = [unnamed(150), unnamed(10), named(25, started), named(2, started)];
        assert_eq!(points(&batch, IO), io, "{mode:?}");
        if mode == ResourceMode::Process {
            assert_eq!(points(&batch, "process.network.io"), io);
        }

        closed(&mut tracker, end, reading(180, 12));
        let batch = tracker.metrics.collect(unix(4 * SECOND));
        assert_eq!(points(&batch, OPENED), [ENDED]);
        assert_eq!(points(&batch, ACTIVE), [ENDED, named(0, started)]);
        assert_eq!(points(&batch, IO), [ENDED, ENDED, named(30, started), named(2, started)]);
        assert_eq!(points(&batch, CLOSED), [named(1, unix(3 * SECOND))]);
        let batch = tracker.metrics.collect(unix(5 * SECOND));
        assert_eq!(points(&batch, IO), [named(30, started), named(2, started)]);
        assert_eq!(points(&batch, ACTIVE), [named(0, started)]);
        assert_eq!(tracker.metrics.resources(), 1);
        let events = tracker.take_events();
        let names: Vec<_> = events.iter().map(|event| event.resource.text("container.name")).collect();
        assert_eq!((names, tracker.unnamed()), (vec![None, Some("web")], 1));
    }
}

/// Scenario: a container is renamed while connections of two of its processes are open, and between two collections again;
/// a service of the host has one as well.
/// Guarantees: at any time each connection is open once; nothing changes for the host; every byte is counted once.
#[test]
fn a_rename_moves_all_that_is_open() {
    for mode in MODES {
        let (feed, mut tracker) = tracker(mode);
        feed.name(ID, "first");
        tracker.settle(CLOCK, SECOND);
        let ends = [client(1, SHELL), client(2, NGINX), client(3, SHELL), client(4, SSHD)];
        for end in ends {
            opened(&mut tracker, end);
            read(&mut tracker, end, reading(100, 0));
        }
        let mut last = Vec::new();
        let mut collect = |tracker: &mut Tracker, now_ns| {
            let batch = tracker.metrics.collect(unix(now_ns));
            let active = points(&batch, ACTIVE);
            let open =
                active.iter().map(|(_, value, _)| if let PointValue::Sum(sum) = value { *sum } else { 0 });
            assert_eq!(open.sum::<i64>(), 4, "{mode:?} {active:?}");
            last = points(&batch, IO);
        };
        collect(&mut tracker, 2 * SECOND);
        for (number, name) in ["second", "third"].into_iter().enumerate() {
            feed.name(ID, name);
            tracker.settle(CLOCK, (3 + number as u64) * SECOND);
            for end in ends {
                read(&mut tracker, end, reading(200 + 100 * number as u64, 0));
            }
        }
        collect(&mut tracker, 5 * SECOND);
        let sent = |name: Option<&str>| -> i64 {
            let of = last.iter().filter(|(container, ..)| container.as_deref() == name);
            of.map(|(_, value, _)| if let PointValue::Sum(sum) = value { *sum } else { 0 }).sum()
        };
        let names = [Some("first"), Some("second"), Some("third"), None];
        assert_eq!(names.map(sent), [300, 300, 300, 300], "{mode:?} {last:?}");
        let third = last.iter().find(|(container, ..)| container.as_deref() == Some("third")).unwrap();
        assert_eq!(third.2, unix(4 * SECOND));
        let host: Vec<_> = last.iter().filter(|(container, ..)| container.is_none()).collect();
        assert_eq!(host, [&unnamed(300), &unnamed(0)], "{mode:?}");
    }
}

/// Scenario: after a late name and a collection, another process of the container connects for the first time.
/// Guarantees: its series start at that collection: what is before was told.
#[test]
fn what_begins_later_starts_later() {
    for mode in MODES {
        let (feed, mut tracker) = tracker(mode);
        opened(&mut tracker, client(1, SHELL));
        tracker.settle(CLOCK, 0);
        feed.name(ID, "web");
        tracker.settle(CLOCK, SECOND);
        tracker.metrics.collect(unix(2 * SECOND));
        opened(&mut tracker, client(2, NGINX));
        let batch = tracker.metrics.collect(unix(3 * SECOND));
        assert_eq!(points(&batch, OPENED), [ENDED, named(1, unix(2 * SECOND))], "{mode:?}");
    }
}

/// Scenario: the name comes after a connection has ended whose closed record still waits.
/// Guarantees: all that had been counted stays where it was, the rest is on the named series.
#[test]
fn an_end_that_waits_counts_where_it_goes_out() {
    let (feed, directory) = Feed::new();
    let workloads = Workloads::new("/nonexistent", directory, Duration::from_millis(1), 0);
    let mut tracker = waiting_tracker(ResourceMode::Executable, workloads);
    tracker.apply(Record::CgroupMade { id: 1, path: Some(format!("/docker/{ID}")) }, CLOCK, 0);
    let end = client(7, SHELL);
    opened(&mut tracker, end);
    tracker.settle(CLOCK, SECOND);
    read(&mut tracker, end, reading(100, 10));
    // To a private address: the end waits for the peer's record again.
    tracker.apply(Record::Closed { time_ns: 9_000, conn: end, totals: reading(130, 10) }, CLOCK, SECOND);
    assert_eq!((tracker.connections(), tracker.waiting()), (0, 1));
    feed.name(ID, "web");
    tracker.settle(CLOCK, SECOND + 1);
    tracker.settle(CLOCK, 2 * SECOND);
    let batch = tracker.metrics.collect(unix(3 * SECOND));
    let started = unix(SECOND + 1);
    assert_eq!(points(&batch, ACTIVE), [unnamed(0), named(0, started)]);
    assert_eq!(points(&batch, IO), [unnamed(100), unnamed(10), named(30, started), named(0, started)]);
    assert_eq!(points(&batch, CLOSED), [named(1, started)]);
}

/// Scenario: two executables of one container, two of the host, with one Resource for each container.
/// Guarantees: one Resource for the container, without a process; the host's for the others.
#[test]
fn a_containers_executables_are_one_resource() {
    let (feed, mut tracker) = tracker(ResourceMode::Container);
    feed.name(ID, "web");
    tracker.settle(CLOCK, 1);
    // Of no service.
    let other = Owner { tgid: 91, start_ns: 96_000_000, cgroup_id: 9, ..SSHD };
    exec(&mut tracker, other, "cron");
    for (id, owner) in (1..).zip([SHELL, NGINX, SSHD, other]) {
        opened(&mut tracker, client(id, owner));
    }
    let batch = tracker.metrics.collect(unix(SECOND));
    assert_eq!(points(&batch, OPENED), [unnamed(2), named(2, 1)]);
    let mut services: Vec<_> =
        batch.resources.iter().map(|of| of.resource.text("service.name").unwrap()).collect();
    services.sort_unstable();
    assert_eq!(services, ["host", "web"]);
    for of in &batch.resources {
        assert_eq!(of.resource.get("process.executable.name"), None);
        assert_eq!(of.resource.text("host.name"), Some("h"));
    }
    let ids = [0, 1].map(|at| batch.resources[at].resource.text("service.instance.id").unwrap());
    assert_ne!(ids[0], ids[1]);
}
