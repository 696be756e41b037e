use convis_ebpf::wire::{COUNTER_WORDS, Counters};
use convis_exporters::model::{MetricResource, Role};

use super::*;

const SAMPLES: Purpose = Purpose { samples: true, updates: false };
const UPDATES: Purpose = Purpose { samples: false, updates: true };
const OLD: u16 = flag::PREEXISTING | flag::FOUND;

/// A client's figures in the middle of its life, with nothing in flight.
fn reading(sent: u64, received: u64) -> wire::Totals {
    wire::Totals { bytes_acked: sent + 1, bytes_sent: sent, bytes_received: received, ..totals(1, 0) }
}

/// A walk that shows these entries.
fn walk(tracker: &mut Tracker, purpose: Purpose, entries: &[(Conn, wire::Totals)]) -> Doubts {
    tracker.begin_walk(purpose);
    for (conn, totals) in entries {
        tracker.apply(
            Record::Live { time_ns: 8_000, key: conn.id | wire::SOCKET_KEY, conn: *conn, totals: *totals },
            CLOCK,
            0,
        );
    }
    tracker.end_walk()
}

fn samples(tracker: &mut Tracker, name: &str) -> u64 {
    let batch = tracker.metrics.collect(100);
    let metrics = batch.resources.iter().flat_map(|of| &of.metrics);
    let points = metrics.filter(|metric| metric.descriptor.name == name).flat_map(|metric| &metric.points);
    points
        .map(|point| match &point.value {
            PointValue::Histogram(histogram) => histogram.count,
            _ => panic!("not a histogram"),
        })
        .sum()
}

/// Numbers that look random and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Scenario: connections of one process are read any number of times while they grow, now and then not at all, or with a
/// figure that was read too early; then they end, with or without more bytes.
/// Guarantees: after every walk the counters are what was read so far, and at the end exactly the totals that the closed
/// events tell.
#[test]
fn increments_add_up_to_the_totals() {
    let mut dice = Dice(0x5eed_cafe);
    for _ in 0..200 {
        let mut tracker = tracker_by(ResourceMode::Process);
        let mut told = [0_i64; 2];
        let mut retransmits = 0;
        for id in 1..=1 + dice.below(4) {
            let end = conn(id, role::CLIENT, SHELL, 0);
            opened(&mut tracker, end);
            let mut now = wire::Totals { total_retrans: 0, ..reading(0, 0) };
            let mut read = [0_i64; 2];
            for _ in 0..dice.below(8) {
                now.bytes_acked += dice.below(3) * dice.below(5_000);
                now.bytes_received += dice.below(3) * dice.below(5_000);
                now.total_retrans += u32::try_from(dice.below(3)).unwrap();
                let purpose = if dice.below(3) == 0 { UPDATES } else { SAMPLES };
                match dice.below(4) {
                    0 => _ = walk(&mut tracker, purpose, &[]),
                    1 => {
                        let early = wire::Totals { bytes_acked: now.bytes_acked / 2, ..now };
                        walk(&mut tracker, purpose, &[(end, now), (end, early)]);
                        read = [now.bytes_acked - 1, now.bytes_received]
                            .map(|bytes| i64::try_from(bytes).unwrap());
                    }
                    _ => {
                        walk(&mut tracker, purpose, &[(end, now)]);
                        read = [now.bytes_acked - 1, now.bytes_received]
                            .map(|bytes| i64::try_from(bytes).unwrap());
                    }
                }
                let counted = sums(&mut tracker, "convis.tcp.connection.io");
                let expected = [told[0] + read[0], told[1] + read[1]];
                assert!(
                    counted == expected || (counted.is_empty() && expected == [0; 2]),
                    "{counted:?} {expected:?}"
                );
            }
            now.bytes_acked += dice.below(2) * dice.below(5_000);
            closed(&mut tracker, end, now);
            retransmits += i64::from(now.total_retrans);
            let Detail::Closed { totals, .. } = tracker.take_events().pop().unwrap().detail else {
                panic!("not closed")
            };
            told[0] += i64::try_from(totals.bytes_sent).unwrap();
            told[1] += i64::try_from(totals.bytes_received).unwrap();
            assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), told);
            assert_eq!(sums(&mut tracker, "process.network.io"), told);
            assert_eq!(sums(&mut tracker, "convis.tcp.retransmits"), [retransmits]);
        }
    }
}

/// Scenario: a connection that was open before convis is read twice and then ends.
/// Guarantees: metrics have it as open and closed but not as opened, and only what moved since the first reading; its event
/// has the whole life, its owner as `/proc` had it, and no duration.
#[test]
fn a_preexisting_connection_counts_from_its_baseline() {
    let mut tracker = tracker();
    let old = conn(7, role::UNKNOWN, SHELL, OLD);
    walk(&mut tracker, SAMPLES, &[(old, wire::Totals { total_retrans: 4, ..reading(1_000, 50) })]);
    assert!(sums(&mut tracker, "convis.tcp.connection.io").is_empty());
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [1]);
    walk(&mut tracker, SAMPLES, &[(old, wire::Totals { total_retrans: 5, ..reading(1_200, 50) })]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [200, 0]);
    closed(&mut tracker, old, wire::Totals { total_retrans: 5, ..reading(1_300, 57) });
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [300, 7]);
    assert_eq!(sums(&mut tracker, "convis.tcp.retransmits"), [1]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
    assert!(sums(&mut tracker, "convis.tcp.connection.opened").is_empty());
    assert_eq!(samples(&mut tracker, "convis.tcp.connection.duration"), 0);
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Closed]);
    let Detail::Closed { totals, duration: None, .. } = events[0].detail else { panic!("not closed so") };
    assert_eq!((totals.bytes_sent, totals.bytes_received), (1_300, 57));
    let connection = &events[0].connection;
    assert!(connection.preexisting);
    assert_eq!((connection.attribution, connection.role), (Attribution::Procfs, Some(Role::Client)));
    assert_eq!(events[0].resource.text("process.executable.name"), Some("curl"));
}

/// Scenario: a connection that was open before convis ends before any walk has shown it.
/// Guarantees: its end is told and counted, none of its bytes are, and it is not open afterwards.
#[test]
fn a_preexisting_connection_that_was_never_read_has_no_bytes() {
    let mut tracker = tracker();
    closed(&mut tracker, conn(7, role::UNKNOWN, SHELL, OLD), reading(1_000, 50));
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [0, 0]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [0]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
    assert_eq!(tracker.take_events()[0].connection.attribution, Attribution::Procfs);
}

/// Scenario: convis is restarted in the middle of a connection's life.
/// Guarantees: no byte is in the metrics of both runs; only what moved in between is in neither.
#[test]
fn a_restart_doubles_nothing() {
    let mut first = tracker();
    opened(&mut first, conn(7, role::CLIENT, SHELL, 0));
    walk(&mut first, SAMPLES, &[(conn(7, role::CLIENT, SHELL, 0), reading(100, 0))]);
    let mut second = tracker();
    let old = conn(99, role::UNKNOWN, SHELL, OLD);
    walk(&mut second, SAMPLES, &[(old, reading(130, 0))]);
    closed(&mut second, old, reading(400, 0));
    assert_eq!(sums(&mut first, "convis.tcp.connection.io"), [100, 0]);
    assert_eq!(sums(&mut second, "convis.tcp.connection.io"), [270, 0]);
    assert_eq!(sums(&mut second, "convis.tcp.connection.opened").len(), 0);
}

/// Scenario: the role of an old connection is hidden by data in flight, and told by a later reading; meanwhile bytes move.
/// Guarantees: no metric before; from then on everything since the first reading, to the byte, as the role has it.
#[test]
fn an_unknown_role_is_counted_once_it_is_known() {
    let mut tracker = tracker();
    let old = conn(7, role::UNKNOWN, SHELL, OLD);
    let hidden = |acked| wire::Totals { bytes_acked: acked, write_seq: 9_000, ..reading(0, 0) };
    walk(&mut tracker, SAMPLES, &[(old, hidden(1_000))]);
    walk(&mut tracker, SAMPLES, &[(old, hidden(1_500))]);
    assert!(sums(&mut tracker, "convis.tcp.connection.active").is_empty());
    let server = wire::Totals { bytes_acked: 2_000, ..reading(2_000, 0) };
    walk(&mut tracker, SAMPLES, &[(old, server)]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [1_000, 0]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [1]);
    // What is in flight hides the role again: it stays known.
    closed(&mut tracker, old, hidden(2_500));
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [1_500, 0]);
    assert_eq!(tracker.take_events().pop().unwrap().connection.role, Some(Role::Server));
    // Never told: no metric at all.
    walk(&mut tracker, SAMPLES, &[(Conn { id: 8, ..old }, hidden(10))]);
    closed(&mut tracker, Conn { id: 8, ..old }, hidden(20));
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
    assert_eq!(tracker.take_events().pop().unwrap().connection.role, None);
}

/// Scenario: old connections on a port that is listened on: one whose figures hide its role, one that the figures call a
/// server, one that they call a client.
/// Guarantees: server, server, and none where the two contradict each other.
#[test]
fn a_listener_tells_the_role() {
    let mut tracker = tracker();
    let listener = Conn { local: [0; 2], ..conn(20, role::LISTENER, SHELL, 0) };
    let hidden = wire::Totals { write_seq: 9_000, ..reading(10, 0) };
    let server = wire::Totals { bytes_acked: 10, ..reading(10, 0) };
    for (id, figures, expected) in
        [(1, hidden, Some(Role::Server)), (2, server, Some(Role::Server)), (3, reading(10, 0), None)]
    {
        let old = conn(id, role::UNKNOWN, SHELL, OLD);
        walk(&mut tracker, SAMPLES, &[(listener, totals(10, 0)), (old, figures)]);
        closed(&mut tracker, old, figures);
        assert_eq!(tracker.take_events().pop().unwrap().connection.role, expected, "connection {id}");
    }
}

/// Scenario: a connection is idle, moves bytes, is idle again, moves again; updates are due each time, and once metrics are
/// read in between. Then it closes.
/// Guarantees: one updated event for each time bytes moved, with totals so far and the growth since the last event.
#[test]
fn updates_tell_what_moved() {
    let mut tracker = tracker();
    let end = conn(7, role::CLIENT, SHELL, 0);
    opened(&mut tracker, end);
    walk(&mut tracker, UPDATES, &[(end, reading(0, 0))]);
    assert_eq!(names(&tracker.take_events()), [EventName::Opened]);
    walk(&mut tracker, SAMPLES, &[(end, reading(100, 0))]);
    walk(&mut tracker, UPDATES, &[(end, reading(150, 3))]);
    walk(&mut tracker, UPDATES, &[(end, reading(150, 3))]);
    walk(&mut tracker, UPDATES, &[(end, reading(150, 10))]);
    closed(&mut tracker, end, reading(151, 10));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Updated, EventName::Updated, EventName::Closed]);
    let told: Vec<_> = events[..2]
        .iter()
        .map(|event| match event.detail {
            Detail::Updated { totals, duration, sent_delta, received_delta } => {
                assert_eq!(duration, Some(Duration::from_micros(5)));
                (totals.bytes_sent, totals.bytes_received, sent_delta, received_delta)
            }
            _ => panic!("not updated"),
        })
        .collect();
    assert_eq!(told, [(150, 3, 150, 3), (150, 10, 0, 7)]);
    assert_eq!((events[0].severity(), events[0].time_unix_nanos), (9, 1_008_000));
    assert!(Arc::ptr_eq(&events[0].resource, &events[2].resource));
}

/// Scenario: an old connection whose bytes do not move after it was found, then do.
/// Guarantees: no update for what was before; then the growth since it was found, without a duration.
#[test]
fn updates_of_old_connections_begin_with_their_baseline() {
    let mut tracker = tracker();
    let old = conn(7, role::UNKNOWN, SHELL, OLD);
    walk(&mut tracker, UPDATES, &[(old, reading(1_000, 0))]);
    walk(&mut tracker, UPDATES, &[(old, reading(1_000, 0))]);
    assert!(tracker.take_events().is_empty());
    walk(&mut tracker, UPDATES, &[(old, reading(1_007, 0))]);
    let events = tracker.take_events();
    assert!(events[0].connection.preexisting);
    let Detail::Updated { totals, duration: None, sent_delta: 7, .. } = events[0].detail else {
        panic!("{:?}", events[0].detail)
    };
    assert_eq!(totals.bytes_sent, 1_007);
}

/// Scenario: walks with and without traffic, for metrics and for updates; then the end.
/// Guarantees: one sample of the round-trip time for each export with traffic since the last one, and one at the end.
#[test]
fn the_round_trip_is_sampled_with_traffic() {
    let mut tracker = tracker();
    let end = conn(7, role::CLIENT, SHELL, 0);
    opened(&mut tracker, end);
    for (purpose, sent, expected) in
        [(SAMPLES, 0, 0), (SAMPLES, 5, 1), (SAMPLES, 5, 1), (UPDATES, 6, 1), (SAMPLES, 6, 2), (SAMPLES, 6, 2)]
    {
        walk(&mut tracker, purpose, &[(end, reading(sent, 0))]);
        assert_eq!(samples(&mut tracker, "convis.tcp.rtt"), expected);
    }
    closed(&mut tracker, end, reading(6, 0));
    assert_eq!(samples(&mut tracker, "convis.tcp.rtt"), 3);
}

/// Scenario: of two connections one is left out of a walk, then shown, then left out twice in a row.
/// Guarantees: it is doubted only then. Once it is ended: an event with what was read last, and counted as missed and closed,
/// no byte more. The other one lives on.
#[test]
fn two_walks_miss_an_end() {
    let mut tracker = tracker();
    let (gone, there) = (conn(7, role::CLIENT, SHELL, 0), conn(8, role::CLIENT, SHELL, 0));
    opened(&mut tracker, gone);
    opened(&mut tracker, there);
    let both = [(gone, reading(100, 20)), (there, reading(0, 0))];
    assert!(walk(&mut tracker, SAMPLES, &both).is_empty());
    assert!(walk(&mut tracker, SAMPLES, &both[1..]).is_empty());
    assert!(walk(&mut tracker, SAMPLES, &both).is_empty());
    assert!(walk(&mut tracker, SAMPLES, &both[1..]).is_empty());
    assert_eq!(walk(&mut tracker, SAMPLES, &both[1..]), Doubts { absent: vec![7], ..Doubts::default() });
    tracker.take_events();
    assert!(tracker.end_unseen(7, 30_000, CLOCK, 0));
    assert!(!tracker.end_unseen(7, 30_000, CLOCK, 0));
    let events = tracker.take_events();
    assert_eq!(names(&events), [EventName::Closed]);
    assert_eq!((events[0].connection.id, events[0].time_unix_nanos), (7, 1_030_000));
    let Detail::Closed { totals, duration, reason, .. } = events[0].detail else { panic!("not closed") };
    assert_eq!((totals.bytes_sent, totals.bytes_received), (100, 20));
    assert_eq!((duration, reason), (Some(Duration::from_micros(27)), CloseReason::Unknown));
    assert_eq!((tracker.connections(), tracker.missed_ends), (1, 1));
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.active"), [1]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.closed"), [1]);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [100, 20]);
    assert!(walk(&mut tracker, SAMPLES, &both[1..]).is_empty());
}

/// Scenario: a connection's end comes by the ring after a walk has made it doubtful.
/// Guarantees: the end that came, once, and none missed.
#[test]
fn an_end_on_its_way_is_not_missed() {
    let mut tracker = tracker();
    let end = conn(7, role::CLIENT, SHELL, 0);
    opened(&mut tracker, end);
    assert_eq!(walk(&mut tracker, SAMPLES, &[(end, totals(7, 0))]).over, [7]);
    closed(&mut tracker, end, totals(5, 0));
    assert!(!tracker.end_unseen(7, 30_000, CLOCK, 0));
    assert_eq!(names(&tracker.take_events()), [EventName::Opened, EventName::Closed]);
    assert_eq!(tracker.missed_ends, 0);
}

/// Scenario: entries whose sockets are closed: of a connection, of an attempt that nothing was told of, and of a child that
/// waits in the ledger for its accept.
/// Guarantees: the connection is doubted at once, the attempt when a second walk shows it so, the child once it was told.
#[test]
fn a_closed_socket_is_doubted() {
    let mut tracker = tracker();
    let known = conn(7, role::CLIENT, SHELL, 0);
    opened(&mut tracker, known);
    let attempt = conn(8, role::CLIENT, SHELL, 0);
    let waiting = conn(9, role::SERVER, NOBODY, flag::CLOSED);
    closed(&mut tracker, waiting, totals(1, 104));
    let entries = [known, attempt, waiting].map(|conn| (conn, totals(7, 0)));
    assert_eq!(walk(&mut tracker, SAMPLES, &entries), Doubts { over: vec![7], ..Doubts::default() });
    assert_eq!(walk(&mut tracker, SAMPLES, &[(attempt, totals(2, 0))]).leftover, [] as [u64; 0]);
    assert!(walk(&mut tracker, SAMPLES, &entries[1..]).leftover.is_empty());
    assert_eq!(walk(&mut tracker, SAMPLES, &entries[1..]).leftover, [8]);
    tracker.release_unaccepted(CLOCK, 0);
    assert_eq!(walk(&mut tracker, SAMPLES, &entries[2..]).leftover, [] as [u64; 0]);
    assert_eq!(walk(&mut tracker, SAMPLES, &entries[2..]).leftover, [9]);
    assert!(sums(&mut tracker, "convis.tcp.connection.io").is_empty());
}

/// Scenario: walks show an open connection whose last record is being written.
/// Guarantees: it is doubted only when two walks in a row show it so.
#[test]
fn an_end_being_told_gets_its_time() {
    let mut tracker = tracker();
    let end = conn(7, role::CLIENT, SHELL, 0);
    opened(&mut tracker, end);
    let ending = (Conn { flags: flag::ENDING, ..end }, totals(7, 0));
    assert!(walk(&mut tracker, SAMPLES, &[ending]).is_empty());
    assert!(walk(&mut tracker, SAMPLES, &[(end, reading(0, 0))]).is_empty());
    assert!(walk(&mut tracker, SAMPLES, &[ending]).is_empty());
    assert_eq!(walk(&mut tracker, SAMPLES, &[ending]).over, [7]);
}

/// Scenario: walks that the kernel cannot do show nothing; the ledger still has the connection.
/// Guarantees: it is doubted every second walk, and what it would say of listeners is not believed.
#[test]
fn a_walk_that_shows_nothing_forgets_nothing() {
    let mut tracker = tracker();
    let listener = Conn { local: [0; 2], ..conn(20, role::LISTENER, SHELL, 0) };
    tracker.apply(Record::Listening { conn: listener }, CLOCK, 0);
    opened(&mut tracker, conn(7, role::CLIENT, SHELL, 0));
    for expected in [&[][..], &[7], &[], &[7]] {
        let doubts = walk(&mut tracker, SAMPLES, &[]);
        assert_eq!(doubts.absent, expected);
        doubts.absent.into_iter().for_each(|id| tracker.is_there(id));
    }
    closed(&mut tracker, conn(1, role::SERVER, NOBODY, 0), totals(1, 0));
    assert_eq!(tracker.take_events().pop().unwrap().connection.attribution, Attribution::Inherited);
}

/// Scenario: a walk shows attempts, children that wait for their accept, and a connection whose opened record is still in
/// the ring.
/// Guarantees: nothing is told or counted before their records come.
#[test]
fn a_walk_opens_nothing() {
    let mut tracker = tracker();
    let entries = [
        (conn(1, role::CLIENT, SHELL, 0), totals(2, 0)),
        (conn(2, role::SERVER, NOBODY, 0), reading(5, 5)),
        (conn(3, role::CLIENT, SHELL, flag::OPEN_PENDING), reading(5, 5)),
    ];
    walk(&mut tracker, UPDATES, &entries);
    assert_eq!((tracker.connections(), tracker.take_events().len()), (0, 0));
    opened(&mut tracker, entries[2].0);
    walk(&mut tracker, SAMPLES, &entries);
    assert_eq!(sums(&mut tracker, "convis.tcp.connection.io"), [5, 5]);
}

/// Scenario: a visitor of convis's own listener was there before convis began to capture.
/// Guarantees: nothing is told or counted of it, but that it was left out, once.
#[test]
fn old_visitors_are_left_out() {
    let mut tracker = tracker();
    tracker.own_listener =
        Some(OwnListener { address: "10.0.0.2:443".parse().unwrap(), network_namespace: 9 });
    let old = conn(7, role::UNKNOWN, SHELL, OLD);
    walk(&mut tracker, UPDATES, &[(old, reading(1, 1))]);
    walk(&mut tracker, UPDATES, &[(old, reading(9, 9))]);
    closed(&mut tracker, old, reading(10, 10));
    closed(&mut tracker, Conn { id: 8, ..old }, reading(10, 10));
    assert!(tracker.take_events().is_empty());
    assert_eq!(tracker.own_ends, 2);
    assert!(tracker.metrics.collect(100).resources.is_empty());
}

/// Scenario: the end of a connection is lost with 500 bytes sent, of which a walk had read 100; it is given up.
/// Guarantees: 100 on its process's Resource and 400 on the host's that says so; nothing more later.
#[test]
fn lost_bytes_are_counted_apart() {
    let mut tracker = tracker();
    let end = conn(7, role::CLIENT, SHELL, 0);
    opened(&mut tracker, end);
    let mut counters = Counters::sum([[0; COUNTER_WORDS]]);
    walk(&mut tracker, SAMPLES, &[(end, reading(100, 0))]);
    tracker.count_lost(&counters);
    (counters.lost_sent, counters.lost_received) = (500, 30);
    for _ in 0..4 {
        let doubts = walk(&mut tracker, SAMPLES, &[]);
        for id in doubts.absent {
            assert!(tracker.end_unseen(id, 9_000, CLOCK, 0));
        }
        tracker.count_lost(&counters);
    }
    let batch = tracker.metrics.collect(100);
    let of = |dropped: bool| {
        let is_it = |of: &&MetricResource| of.resource.get("convis.dropped").is_some() == dropped;
        let io = &batch.resources.iter().find(is_it).unwrap().metrics[0];
        assert_eq!(io.descriptor.name, "convis.tcp.connection.io");
        io.points.iter().map(|point| point.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(false), [PointValue::Sum(100), PointValue::Sum(0)]);
    assert_eq!(of(true), [PointValue::Sum(400), PointValue::Sum(30)]);
    assert!(!tracker.owes_lost());
}
