mod listeners;
mod live;
mod policy;
mod renewed;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use convis_ebpf::record::Image;
use convis_ebpf::wire::Owner;
use convis_exporters::model::{CloseReason, ConnectError, EventName, PointValue, Value};

use super::*;
use crate::identity::Host;
use crate::identity::users::Users;
use crate::metrics::{Limits, ResourceMode};

const CLOCK: Clock = Clock::ahead(1_000_000);
const SHELL: Owner = Owner { tgid: 42, exec_seq: 3, start_ns: 70_000_000, cgroup_id: 1, uid: 0, vpid: 0 };
const NOBODY: Owner = Owner { tgid: 0, exec_seq: 0, start_ns: 0, cgroup_id: 0, uid: 0, vpid: 0 };

fn tracker() -> Tracker {
    tracker_by(ResourceMode::Executable)
}

fn tracker_by(mode: ResourceMode) -> Tracker {
    let mut tracker = waiting_tracker(mode, Workloads::none());
    // Whatever waits would wait for a later record.
    tracker.expect_no_more();
    tracker
}

/// One that waits for the other ends' records.
fn waiting_tracker(mode: ResourceMode, workloads: Workloads) -> Tracker {
    let describer = Describer {
        host: Host { name: "h".into(), ..Host::default() },
        users: Users::from_file("/nonexistent"),
        k8s_labels: false,
        clock: CLOCK,
    };
    let limits = Limits { resources: 10, cardinality: 2000, series_ttl: Duration::from_mins(5) };
    let metrics = Aggregator::new(mode, limits, 1);
    let mut tracker = Tracker::new(
        ProcessTable::new("/nonexistent"),
        workloads,
        Translator::none(),
        metrics,
        describer,
        None,
    );
    exec(&mut tracker, SHELL, "curl");
    tracker
}

fn exec(tracker: &mut Tracker, owner: Owner, name: &str) {
    let image = Image {
        owner,
        parent_tgid: 1,
        name: name.into(),
        path: Some(format!("/usr/bin/{name}")),
        command: Some(name.into()),
    };
    tracker.apply(Record::Exec(Box::new(image)), CLOCK, 0);
}

const SECOND_NS: u64 = 1_000_000_000;

fn address_of([a, b, c, d]: [u8; 4]) -> wire::Address {
    [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0]
}

fn conn(id: u64, role: u8, owner: Owner, flags: u16) -> Conn {
    Conn {
        id,
        start_ns: 1_000,
        established_ns: 3_000,
        owner,
        local: address_of([10, 0, 0, 1]),
        peer: address_of([10, 0, 0, 2]),
        local_port_be: 40_000_u16.to_be(),
        peer_port_be: 443_u16.to_be(),
        netns: 9,
        family: wire::AF_INET,
        flags,
        role,
        reserved: [0; 3],
        closer: 0,
        transition: 0,
    }
}

fn totals(old_state: u8, sk_err: u32) -> wire::Totals {
    wire::Totals {
        bytes_acked: 101,
        bytes_received: 200,
        bytes_sent: 100,
        bytes_retrans: 0,
        snd_una: 5,
        snd_nxt: 5,
        write_seq: 5,
        segs_in: 3,
        segs_out: 4,
        total_retrans: 0,
        srtt_us_8: 800,
        sk_err,
        sk_flags: 0,
        old_state,
        shutdown: 0,
        reserved: [0; 2],
    }
}

fn opened(tracker: &mut Tracker, conn: Conn) {
    tracker.apply(Record::Opened { time_ns: 3_500, conn }, CLOCK, 0);
}

fn closed(tracker: &mut Tracker, conn: Conn, totals: wire::Totals) {
    tracker.apply(Record::Closed { time_ns: 9_000, conn, totals }, CLOCK, 0);
}

fn names(events: &[Event]) -> Vec<EventName> {
    events.iter().map(Event::name).collect()
}

fn sums(tracker: &mut Tracker, name: &str) -> Vec<i64> {
    let batch = tracker.metrics.collect(100);
    let metrics = batch.resources.iter().flat_map(|of| &of.metrics);
    let points = metrics.filter(|metric| metric.descriptor.name == name).flat_map(|metric| &metric.points);
    points
        .map(|point| match point.value {
            PointValue::Sum(sum) => sum,
            _ => panic!("not a sum"),
        })
        .collect()
}

/// Scenario: a client's connection opens and is reset by the peer.
/// Guarantees: two events of its process with one id, the times of the kernel, and metrics that agree.
#[test]
fn a_connection_is_told_and_counted() {
    let mut tracker = tracker();
    opened(&mut tracker, conn(7, role::CLIENT, SHELL, 0));
    assert_eq!((tracker.connections(), sums(&mut tracker, "convis.tcp.connection.active")), (1, vec![1]));
    closed(&mut tracker, conn(7, role::CLIENT, SHELL, 0), totals(1, 104));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed]);
    assert!(Arc::ptr_eq(&events[0].resource, &events[1].resource));
    assert_eq!(events[0].resource.text("process.executable.path"), Some("/usr/bin/curl"));
    assert_eq!((events[0].time_unix_nanos, events[0].observed_unix_nanos), (1_003_500, 1_003_500));
    assert_eq!(events[0].detail, Detail::Opened { handshake: Some(Duration::from_micros(2)) });
    let Detail::Closed { totals, duration, reason, closer: None } = events[1].detail else {
        panic!("not closed")
    };
    assert_eq!((totals.bytes_sent, totals.bytes_received), (100, 200));
    assert_eq!((duration, reason), (Some(Duration::from_micros(6)), CloseReason::PeerReset));
    assert_eq!(tracker.connections(), 0);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [100, 200]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
}

/// Scenario: a child is reset by its peer, and only then accepted.
/// Guarantees: both events, in order, with the accepting process, although the close came without an owner.
#[test]
fn an_accept_after_the_end_still_owns() {
    let mut tracker = tracker();
    closed(&mut tracker, conn(8, role::SERVER, NOBODY, 0), totals(1, 104));
    assert!(tracker.take_events().is_empty());
    opened(&mut tracker, conn(8, role::SERVER, SHELL, flag::ACCEPTED | flag::CLOSED));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed]);
    assert_eq!(events[1].resource.text("process.executable.name"), Some("curl"));
    assert_eq!(events[1].connection.attribution, Attribution::Kernel);
    assert!(!events[1].connection.never_accepted);
    assert_eq!(tracker.connections(), 0);
}

/// Scenario: the accept's record is written before the close that did not see it yet.
/// Guarantees: the same two events with the same owner.
#[test]
fn an_accept_during_the_end_still_owns() {
    let mut tracker = tracker();
    opened(&mut tracker, conn(8, role::SERVER, SHELL, flag::ACCEPTED));
    closed(&mut tracker, conn(8, role::SERVER, NOBODY, 0), totals(1, 104));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed]);
    assert!(Arc::ptr_eq(&events[0].resource, &events[1].resource));
}

/// Scenario: children that nobody accepts: one ended by its closing listener, one reset before its listener closes, one
/// of another listener.
/// Guarantees: each is told once, as never accepted, without a process, the latter a second after its listener closed; the
/// other's waits.
#[test]
fn what_nobody_accepts_is_told_without_an_owner() {
    let mut tracker = tracker();
    closed(&mut tracker, conn(1, role::SERVER, NOBODY, 0), totals(1, 0));
    closed(&mut tracker, conn(2, role::SERVER, NOBODY, 0), totals(1, 104));
    let other = Conn { local_port_be: 1_u16.to_be(), ..conn(3, role::SERVER, NOBODY, 0) };
    closed(&mut tracker, other, totals(1, 104));
    let listener = Conn { local: [0; 2], ..conn(0, role::UNKNOWN, NOBODY, 0) };
    tracker.apply(Record::ListenerClosed { conn: listener }, CLOCK, 0);
    tracker.settle(CLOCK, SECOND_NS - 1);
    let mut events = tracker.take_events();
    assert_eq!(events.len(), 1);
    tracker.settle(CLOCK, SECOND_NS);
    events.extend(tracker.take_events());
    assert_eq!(events.iter().map(|event| event.connection.id).collect::<Vec<_>>(), [1, 2]);
    for event in &events {
        assert!(event.connection.never_accepted);
        assert_eq!(event.connection.attribution, Attribution::Unknown);
        assert_eq!(event.resource.get("process.pid"), None);
    }
    assert!(sums(&mut tracker, "convis.tcp.connection.io").is_empty());
    tracker.release_unaccepted(CLOCK, 0);
    assert_eq!(tracker.take_events().len(), 1);
}

/// Scenario: a child is reset, then accepted without room in the ring, and its listener closes before the ledger is swept.
/// Guarantees: opened and closed, as the acceptor's.
#[test]
fn an_accept_that_waits_outlives_its_listener() {
    let mut tracker = tracker();
    closed(&mut tracker, conn(8, role::SERVER, NOBODY, 0), totals(1, 104));
    let listener = Conn { local: [0; 2], ..conn(0, role::UNKNOWN, NOBODY, 0) };
    tracker.apply(Record::ListenerClosed { conn: listener }, CLOCK, 0);
    assert!(tracker.take_events().is_empty());
    let accepted = conn(8, role::SERVER, SHELL, flag::ACCEPTED | flag::OPEN_PENDING);
    tracker.sweep_if_pending(&accepted, CLOCK, 0);
    tracker.settle(CLOCK, SECOND_NS);
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed]);
    assert_eq!(events[1].connection.attribution, Attribution::Kernel);
    assert!(!events[1].connection.never_accepted);
    assert_eq!(tracker.connections(), 0);
}

/// Scenario: an end that was accepted in a way that is not seen, and closed by its process.
/// Guarantees: its owner is not known, and nobody claims that it was never accepted.
#[test]
fn an_unseen_accept_is_not_denied() {
    let mut tracker = tracker();
    closed(&mut tracker, conn(1, role::SERVER, NOBODY, 0), totals(9, 0));
    let events = tracker.take_events();
    assert_eq!(events[0].connection.attribution, Attribution::Unknown);
    assert!(!events[0].connection.never_accepted);
}

/// Scenario: children that their peer reset while a process had them: one whose accept is told after all, and one whose
/// accept no program saw.
/// Guarantees: both are opened and closed; the latter a second later, as its listener's, and as accepted.
#[test]
fn what_a_process_had_was_accepted() {
    let mut tracker = tracker();
    let listener = Conn { local: [0; 2], ..conn(20, role::LISTENER, SHELL, 0) };
    tracker.apply(Record::Listening { conn: listener }, CLOCK, 0);
    closed(&mut tracker, conn(1, role::SERVER, NOBODY, flag::HELD), totals(1, 104));
    closed(&mut tracker, conn(2, role::SERVER, NOBODY, flag::HELD), totals(1, 104));
    opened(&mut tracker, conn(1, role::SERVER, SHELL, flag::ACCEPTED | flag::CLOSED | flag::HELD));
    tracker.settle(CLOCK, SECOND_NS - 1);
    let seen = tracker.take_events();
    tracker.settle(CLOCK, SECOND_NS);
    let unseen = tracker.take_events();
    for (events, id, attribution) in [(seen, 1, Attribution::Kernel), (unseen, 2, Attribution::Inherited)] {
        assert_eq!(names(&events), [EventName::Opened, EventName::Closed], "{id}");
        for event in &events {
            assert_eq!((event.connection.id, event.connection.attribution), (id, attribution));
            assert!(!event.connection.never_accepted);
            assert_eq!(event.resource.text("process.executable.name"), Some("curl"));
        }
    }
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [2]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
}

/// Scenario: a connection that was open before convis.
/// Guarantees: its end is told without duration and owner, without a role where none is certain, and no metric counts its bytes.
#[test]
fn a_preexisting_connection_is_not_counted() {
    let mut tracker = tracker();
    let before = Conn { established_ns: 0, ..conn(5, role::UNKNOWN, NOBODY, flag::PREEXISTING) };
    closed(&mut tracker, before, wire::Totals { write_seq: 9, ..totals(1, 104) });
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Closed]);
    assert!(events[0].connection.preexisting && events[0].connection.role.is_none());
    assert!(matches!(events[0].detail, Detail::Closed { duration: None, .. }));
    assert!(sums(&mut tracker, "convis.tcp.connection.io").is_empty());
}

/// Scenario: attempts that are refused, given up, and a fast open that never sent a byte.
/// Guarantees: one event and one count each, and none for the last.
#[test]
fn failed_attempts_are_told_once() {
    let mut tracker = tracker();
    let attempt = Conn { established_ns: 0, ..conn(5, role::CLIENT, SHELL, 0) };
    for (sk_err, segs_out) in [(111, 1), (0, 1), (0, 0)] {
        let totals = wire::Totals { segs_out, ..totals(2, sk_err) };
        tracker.apply(Record::Failed { time_ns: 4_000, conn: attempt, totals }, CLOCK, 0);
    }
    let events = tracker.take_events();
    let errors: Vec<_> = events
        .iter()
        .map(|event| match &event.detail {
            Detail::Failed { error, duration } => (*error, duration.as_nanos(), event.severity()),
            _ => panic!("not failed"),
        })
        .collect();
    assert_eq!(errors, [(ConnectError::Refused, 3_000, 13), (ConnectError::Cancelled, 3_000, 9)]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.failed"), [1, 1]);
}

/// Scenario: the ring was full for an opened record; the ledger is swept, twice; then the close arrives. Another closes
/// before any sweep.
/// Guarantees: each opened event once.
#[test]
fn a_pending_open_is_delivered_once() {
    let mut tracker = tracker();
    let pending = conn(7, role::CLIENT, SHELL, flag::OPEN_PENDING);
    tracker.sweep_if_pending(&pending, CLOCK, 0);
    tracker.sweep_if_pending(&pending, CLOCK, 0);
    closed(&mut tracker, pending, totals(9, 0));
    closed(&mut tracker, Conn { id: 8, ..pending }, totals(9, 0));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed, EventName::Opened, EventName::Closed]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.opened"), [2]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
}

/// Scenario: a visitor of convis's own listener, and one that came before the programs were attached.
/// Guarantees: nothing is told or counted of them but that they were left out.
#[test]
fn visitors_of_convis_are_left_out() {
    let mut tracker = tracker();
    tracker.own_listener =
        Some(OwnListener { address: "10.0.0.2:443".parse().unwrap(), network_namespace: 9 });
    opened(&mut tracker, conn(7, role::CLIENT, SHELL, 0));
    closed(&mut tracker, conn(7, role::CLIENT, SHELL, 0), totals(9, 0));
    closed(&mut tracker, conn(8, role::UNKNOWN, NOBODY, flag::PREEXISTING), totals(9, 0));
    assert!(tracker.take_events().is_empty());
    assert_eq!(tracker.own_ends, 2);
    assert!(sums(&mut tracker, "convis.tcp.connection.opened").is_empty());
}

/// Scenario: a server's accept was not seen, and its opened record comes when its owner closes it.
/// Guarantees: both events of that process, said to be inherited, and counted like any other.
#[test]
fn a_late_owner_is_inherited() {
    let mut tracker = tracker();
    let late = conn(7, role::SERVER, SHELL, flag::ACCEPTED | flag::LATE);
    opened(&mut tracker, late);
    closed(&mut tracker, late, totals(5, 0));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed]);
    for event in &events {
        assert_eq!(event.connection.attribution, Attribution::Inherited);
        assert_eq!(event.resource.text("process.executable.name"), Some("curl"));
    }
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
}

/// Scenario: another process than the owner closes an end; one that is the owner; one that is gone and unknown.
/// Guarantees: the other one's id and name; nothing; the id alone.
#[test]
fn a_foreign_closer_is_named() {
    let mut tracker = tracker();
    let helper = Owner { tgid: 50, ..SHELL };
    exec(&mut tracker, helper, "helper");
    let closers: Vec<_> = [50, SHELL.tgid, 60]
        .into_iter()
        .map(|closer| {
            opened(&mut tracker, conn(7, role::CLIENT, SHELL, 0));
            let end = Conn { closer, ..conn(7, role::CLIENT, SHELL, 0) };
            let time_ns = helper.start_ns + 1;
            tracker.apply(Record::Closed { time_ns, conn: end, totals: totals(5, 0) }, CLOCK, 0);
            let Detail::Closed { closer, .. } = tracker.take_events().pop().unwrap().detail else {
                panic!("not closed")
            };
            closer.map(|closer| (closer.pid, closer.name))
        })
        .collect();
    assert_eq!(closers, [Some((50, Some("helper".to_owned()))), None, Some((60, None))]);
}

/// Scenario: a socket of the kernel itself opens and closes; another one fails.
/// Guarantees: events on the host's Resource that say so, without a process; counted on the host's metrics.
#[test]
fn the_kernels_own_sockets_have_no_process() {
    let mut tracker = tracker();
    let mount = conn(7, role::CLIENT, NOBODY, flag::KERNEL);
    opened(&mut tracker, mount);
    closed(&mut tracker, mount, totals(5, 0));
    tracker.apply(Record::Failed { time_ns: 4_000, conn: mount, totals: totals(2, 111) }, CLOCK, 0);
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Opened, EventName::Closed, EventName::Failed]);
    for event in &events {
        assert!(event.connection.kernel_owned);
        assert_eq!(event.connection.attribution, Attribution::Unknown);
        assert_eq!((event.resource.get("process.pid"), event.resource.text("host.name")), (None, Some("h")));
    }
    let batch = tracker.metrics.collect(100);
    assert_eq!(batch.resources.len(), 1);
    assert_eq!(batch.resources[0].resource.text("service.name"), Some("host"));
    assert_eq!(tracker.processes.len(), 1);
}

/// Scenario: the end of a connection that the ledger may have had no room for.
/// Guarantees: it is told, and nothing is claimed of its beginning or owner.
#[test]
fn an_untracked_end_claims_nothing() {
    let mut tracker = tracker();
    let unknown = Conn { established_ns: 0, ..conn(5, role::UNKNOWN, NOBODY, flag::UNTRACKED) };
    closed(&mut tracker, unknown, totals(9, 0));
    let events = tracker.take_events();
    assert_eq!(events[0].connection.attribution, Attribution::Unknown);
    assert!(!events[0].connection.preexisting && !events[0].connection.never_accepted);
    assert!(matches!(events[0].detail, Detail::Closed { duration: None, .. }));
    assert!(sums(&mut tracker, "convis.tcp.connection.closed").is_empty());
}

/// Scenario: an attempt that found no route: it never left CLOSE and has no local address.
/// Guarantees: the error that connect returned.
#[test]
fn an_attempt_without_a_route_is_told() {
    let mut tracker = tracker();
    let unsent = wire::Totals { segs_out: 0, ..totals(7, 101) };
    let attempt = Conn { local: [0; 2], local_port_be: 0, ..conn(5, role::CLIENT, SHELL, 0) };
    tracker.apply(Record::Failed { time_ns: 1_500, conn: attempt, totals: unsent }, CLOCK, 0);
    let events = tracker.take_events();
    let Detail::Failed { error, duration } = events[0].detail else { panic!("not failed") };
    assert_eq!((error, duration), (ConnectError::NetUnreachable, Duration::from_nanos(500)));
    assert_eq!(events[0].connection.peer.to_string(), "10.0.0.2:443");
}

/// Scenario: a process ends long before its connection does, and another one gets its id.
/// Guarantees: the end is told of the first one.
#[test]
fn a_connection_outlives_its_process() {
    let mut tracker = tracker();
    opened(&mut tracker, conn(7, role::CLIENT, SHELL, 0));
    tracker.apply(Record::Exit { time_ns: 5_000, owner: SHELL }, CLOCK, 0);
    tracker.processes.reap(u64::MAX);
    exec(&mut tracker, Owner { start_ns: 900_000_000, ..SHELL }, "other");
    closed(&mut tracker, conn(7, role::CLIENT, SHELL, 0), totals(5, 0));
    let events = tracker.take_events();
    assert!(events.iter().all(|event| event.resource.text("process.executable.name") == Some("curl")));
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [99, 200]);
}

/// Scenario: an end reaches user space before its opened record; another's opened record never comes.
/// Guarantees: the first is told and counted in order; the second alone, after its time, and no metric counts it.
#[test]
fn an_end_waits_for_its_opened_record() {
    let mut tracker = tracker();
    let late = conn(1, role::CLIENT, SHELL, 0);
    closed(&mut tracker, late, totals(1, 0));
    assert!(tracker.take_events().is_empty());
    tracker.sweep_if_pending(&Conn { flags: flag::OPEN_PENDING, ..late }, CLOCK, 0);
    assert_eq!(names(&tracker.take_events()), [EventName::Opened, EventName::Closed]);
    assert_eq!((tracker.connections(), sums(&mut tracker, "convis.tcp.connection.closed")), (0, vec![1]));
    closed(&mut tracker, conn(2, role::CLIENT, SHELL, 0), totals(1, 0));
    tracker.settle(CLOCK, OPENED_PATIENCE_NS - 1);
    assert!(tracker.take_events().is_empty());
    tracker.settle(CLOCK, OPENED_PATIENCE_NS);
    assert_eq!(names(&tracker.take_events()), [EventName::Closed]);
    closed(&mut tracker, conn(3, role::CLIENT, SHELL, 0), totals(1, 0));
    tracker.release_unaccepted(CLOCK, 0);
    assert_eq!(names(&tracker.take_events()), [EventName::Closed]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
}
