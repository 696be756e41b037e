//! Nothing is lost when connections come as fast as the machine makes them.

#![expect(clippy::expect_used, reason = "helpers of tests that may fail like them")]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use convis_ebpf::wire::{self, Entry, flag};
use convis_integration::actors::{Scene, Truth, canonical};
use convis_integration::clock::wait_for;
use convis_integration::conns::Conns;
use convis_integration::convis::{Convis, Stopped};
use convis_integration::event::{CLOSED, Event, OPENED};
use convis_integration::ledger::Ledger;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::otlp::Point;
use convis_integration::traffic::Exchange;
use convis_integration::truth::Report;
use convis_integration::{need, turns};
use socket2::SockRef;

const KINDS: [&str; 3] = ["opened", "closed", "failed"];
/// Other processes of the host make them as well, so they balance only at a moment when none does.
const PROCESS_KINDS: [&str; 5] = ["exec", "fork", "exit", "cgroup_made", "cgroup_removed"];
const SENT: u64 = 100;
const ANSWERED: u64 = 200;
const SETTLED: Duration = Duration::from_secs(30);

fn flood(count: usize) -> Truth {
    let exchange = Exchange { send: SENT, expect: ANSWERED, ..Exchange::default() };
    let truth = Scene { count, parallel: 4, ..Scene::one("127.0.0.1:0", exchange) }.play();
    let failed: Vec<_> = truth.ends().filter(|end| end.result != "ok").collect();
    assert!(failed.is_empty(), "the flood itself must be whole: {failed:#?}");
    truth
}

/// Waits until nothing moves any more, then stops convis.
fn settle(convis: Convis, truth: &Truth) -> (Ledger, Stopped) {
    let ends = truth.ends().count() as f64;
    let ledger = wait_for("the ledger to settle", SETTLED, || {
        let ledger = convis.ledger();
        let taken = ledger.kind("closed").delivered + ledger.kind("closed").dropped;
        let quiet =
            KINDS.iter().all(|kind| ledger.kind(kind).pending < 0.5) && ledger.sink("stdout").queued < 0.5;
        let balanced = PROCESS_KINDS.iter().all(|kind| ledger.kind(kind).balances());
        (taken >= ends && quiet && balanced).then_some(ledger)
    });
    (ledger, convis.stop())
}

fn check_whole(events: &[Event], truth: &Truth) {
    for (role, sent, received) in [("client", SENT, ANSWERED), ("server", ANSWERED, SENT)] {
        let mine: Vec<&Event> =
            events.iter().filter(|event| event.text("convis.connection.role") == role).collect();
        let named = |name| mine.iter().filter(move |event| event.name == name);
        let total = |key: &str| named(CLOSED).map(|event| event.number(key)).sum::<u64>();
        let count = truth.clients.len();
        assert_eq!(
            (named(OPENED).count(), named(CLOSED).count(), mine.len()),
            (count, count, 2 * count),
            "{role}"
        );
        assert_eq!(total("convis.bytes.sent"), sent * count as u64, "{role}");
        assert_eq!(total("convis.bytes.received"), received * count as u64, "{role}");
    }
    check_pairs(events);
    check_ports(events, truth);
}

/// Every id has one opened and one closed event.
fn check_pairs(events: &[Event]) {
    let mut by_id: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in events {
        by_id.entry(event.text("convis.connection.id")).or_default().push(&event.name);
    }
    let odd: Vec<_> =
        by_id.iter().filter(|(_, names)| names.as_slice() != [OPENED, CLOSED]).take(5).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

/// Ports come again within a flood, so they are compared as often as they came.
fn check_ports(events: &[Event], truth: &Truth) {
    let mut seen: BTreeMap<u64, i64> = BTreeMap::new();
    for event in events {
        *seen.entry(event.number("client.port")).or_default() += 1;
    }
    for report in truth.ends() {
        *seen.entry(u64::from(report.client().port())).or_default() -= 2;
    }
    let wrong: Vec<_> = seen.iter().filter(|(_, balance)| **balance != 0).take(5).collect();
    assert!(wrong.is_empty(), "client ports and the surplus of events: {wrong:?}");
}

/// Scenario: 20,000 connections as fast as two processes can, with default settings.
/// Guarantees: every end has its two events and its exact bytes; nothing was dropped at any stage and the ledger
/// balances.
#[test]
fn a_flood_is_reported_whole() {
    need!(root());
    let _turn = turns::alone();
    let convis = Convis::start::<&str>(&[]);
    let truth = flood(20_000);
    let (ledger, stopped) = settle(convis, &truth);
    check_whole(&stopped.events_at(truth.server.port()), &truth);
    assert!(ledger.dropped() < 0.5, "{ledger:#?}");
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
    assert!(ledger.sink("stdout").balances(), "{ledger:#?}");
}

/// Scenario: the same with a ring of one page, which is full nearly always.
/// Guarantees: what the ring cannot take of connections comes later from the map: nothing is lost, nothing comes twice; the
/// equation holds for every kind.
#[test]
fn a_full_ring_loses_nothing() {
    need!(root());
    let _turn = turns::alone();
    let convis = Convis::start(&["--ring-bytes", "4096"]);
    let truth = flood(5_000);
    let (ledger, stopped) = settle(convis, &truth);
    check_whole(&stopped.events_at(truth.server.port()), &truth);
    // Process records have no ledger behind the ring: what a ring of one page drops of them is counted.
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).dropped < 0.5), "{ledger:#?}");
    assert!(ledger.sink("stdout").balances(), "{ledger:#?}");
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
}

/// Both ends of each connection, all open at once.
fn pairs(listener: &TcpListener, count: usize) -> Vec<[TcpStream; 2]> {
    let to = listener.local_addr().expect("an address");
    let client = || TcpStream::connect(to).expect("a connection");
    let server = || listener.accept().expect("its other end").0;
    (0..count).map(|_| [client(), server()]).collect()
}

/// A convis, and a listener at that port.
fn with_a_ring_of_one_page() -> (Convis, TcpListener, u16) {
    let convis = Convis::start(&["--ring-bytes", "4096", "--interval", "500ms"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (convis, listener, port)
}

/// Connections whose client resets them before they are accepted, which they are all the same.
fn reset_before_accept(listener: &TcpListener, count: usize) {
    let to = listener.local_addr().expect("an address");
    for _ in 0..count {
        let client = TcpStream::connect(to).expect("a connection");
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option of every socket");
        drop(client);
        listener.accept().expect("its other end");
    }
}

/// Those of a server's port whose opened record found no room in the ring, by their keys.
fn waiting(conns: &Conns, port: u16) -> BTreeMap<u64, Entry> {
    let mut waiting = conns.entries();
    waiting.retain(|_, Entry { conn, .. }| {
        let is_mine = [conn.local_port_be, conn.peer_port_be].contains(&port.to_be());
        is_mine && conn.flags & flag::OPEN_PENDING != 0
    });
    waiting
}

/// How many of these entries of sockets are no longer under their keys.
fn displaced(conns: &Conns, entries: &BTreeMap<u64, Entry>) -> usize {
    let left = conns.entries();
    let is_displaced =
        |(key, entry): &(&u64, &Entry)| left.get(*key).is_none_or(|now| now.conn.id != entry.conn.id);
    entries.iter().filter(|(key, _)| *key & wire::SOCKET_KEY != 0).filter(is_displaced).count()
}

/// Waits for two events of each end, and checks that there is nothing else.
fn check_all_told(convis: Convis, port: u16, ends: usize) {
    convis.wait_for_events(port, 2 * ends);
    let ledger = wait_for("the ledger to settle", SETTLED, || {
        let ledger = convis.ledger();
        KINDS.iter().all(|kind| ledger.kind(kind).pending < 0.5).then_some(ledger)
    });
    let events = convis.stop().events_at(port);
    check_pairs(&events);
    assert_eq!(events.len(), 2 * ends);
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
    assert!(ledger.kind("opened").dropped < 0.5, "{ledger:#?}");
}

/// Scenario: the ring is full, so opened records wait in the ledger; the ends of their connections go unseen, as where the kernel
/// skips a program; other connections get the same sockets before anybody has looked.
/// Guarantees: those opened records are delivered all the same, nothing waits for ever, and every end has its two events.
#[test]
fn what_waits_survives_the_next_connection_of_its_socket() {
    const PAIRS: usize = 200;
    need!(root());
    let _turn = turns::alone();
    let (mut convis, listener, port) = with_a_ring_of_one_page();
    let displaced = convis.paused(|| {
        let first = pairs(&listener, PAIRS);
        let mut conns = Conns::find();
        let waiting = waiting(&conns, port);
        assert!(waiting.len() > PAIRS, "{} of {} opened records found no room", waiting.len(), 2 * PAIRS);
        // The programs leave what has ended before its accept as it is.
        for key in waiting.keys() {
            conns.change_flags(*key, |flags| flags | flag::CLOSED);
        }
        drop(first);
        for key in waiting.keys() {
            conns.change_flags(*key, |flags| flags & !flag::CLOSED);
        }
        drop(pairs(&listener, PAIRS));
        displaced(&conns, &waiting)
    });
    assert!(displaced > 0, "no socket was used again");
    check_all_told(convis, port, 2 * 2 * PAIRS);
}

/// Scenario: the same with connections that were reset before they were accepted: their ends are told, and who accepted them waits
/// in the ledger.
/// Guarantees: that waits where no other connection comes, as above.
#[test]
fn a_late_accept_that_waits_leaves_the_place_of_its_socket() {
    const COUNT: usize = 200;
    need!(root());
    let _turn = turns::alone();
    let (mut convis, listener, port) = with_a_ring_of_one_page();
    let mut waiting = convis.paused(|| {
        reset_before_accept(&listener, COUNT);
        let waiting = waiting(&Conns::find(), port);
        drop(pairs(&listener, COUNT));
        waiting
    });
    waiting.retain(|_, entry| entry.conn.flags & flag::ACCEPTED != 0);
    assert!(waiting.len() > COUNT / 2, "{} of {COUNT} accepts found no room", waiting.len());
    assert!(waiting.keys().all(|key| key & wire::SOCKET_KEY == 0), "{waiting:#?}");
    check_all_told(convis, port, 2 * 2 * COUNT);
}

/// What became of connections made while convis did not run.
struct Overflow {
    truth: Truth,
    ledger: Ledger,
    closed: Vec<Event>,
    stderr: String,
    /// In `convis.tcp.connection.io` of lost connections: transmitted, received.
    lost: [u64; 2],
}

const DIRECTIONS: [&str; 2] = ["transmit", "receive"];

/// A ring of one page and a ledger of 64, and 2,000 connections that nobody takes out of them.
fn overflow(oracle: &Oracle) -> Overflow {
    let sink = format!("otlp,endpoint=http://127.0.0.1:{},protocol=grpc", oracle.ports().grpc);
    let arguments =
        ["--ring-bytes", "4096", "--max-connections", "64", "--interval", "500ms", "--sink", &sink];
    let mut convis = Convis::start(&arguments);
    let truth = convis.paused(|| flood(2_000));
    let all = truth.ends().count() as f64;
    let counted = |ledger: &Ledger| {
        DIRECTIONS.map(|way| {
            ledger.sum("convis_bytes_lost_total", &[("network_io_direction", way)]).unwrap_or_default()
        })
    };
    let ledger = wait_for("the ledger to settle", SETTLED, || {
        let ledger = convis.ledger();

        let quiet =
            KINDS.iter().all(|kind| ledger.kind(kind).pending < 0.5) && ledger.sink("stdout").queued < 0.5;
        (ledger.kind("closed").seen >= all && quiet).then_some(ledger)
    });
    let lost = wait_for("the metrics of what was lost", SETTLED, || {
        let lost = lost_bytes(oracle);
        let same =
            counted(&ledger).iter().zip(lost).all(|(counted, lost)| (counted - lost as f64).abs() < 0.5);
        same.then_some(lost)
    });
    let port = truth.server.port();
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}: {}", stopped.status, stopped.stderr);
    let mine = |event: &Event| {
        event.name == CLOSED && [event.local(), event.peer()].iter().any(|address| address.port() == port)
    };
    let closed = stopped.events.into_iter().filter(mine).collect();
    Overflow { truth, ledger, closed, stderr: stopped.stderr, lost }
}

/// The last values that arrived.
fn lost_bytes(oracle: &Oracle) -> [u64; 2] {
    let points = oracle.points_taken();
    DIRECTIONS.map(|way| {
        let mut mine = points.iter().filter(|point| {
            point.metric == "convis.tcp.connection.io"
                && point.resource.get("convis.dropped").is_some_and(|value| *value == true)
                && point.attribute("network.io.direction").as_deref() == Some(way)
        });
        mine.next_back().map_or(0, Point::integer)
    })
}

/// Scenario: ring and ledger are full while 2,000 connections come and go.
/// Guarantees: the equation holds for every kind; what is lost is counted with its reason, told once, and its bytes are in
/// the metrics: with those of the events that came, they are exactly what moved.
#[test]
fn what_is_lost_is_counted() {
    const ATTEMPTS: usize = 3;
    need!(root());
    let oracle = need!(Oracle::start("none"));
    let _turn = turns::alone();
    for _ in 0..ATTEMPTS {
        let Overflow { truth, ledger, closed, stderr, lost } = overflow(&oracle);
        assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
        let full = [("stage", "kernel"), ("reason", "ledger_full"), ("kind", "closed")];
        let dropped = ledger.sum("convis_events_dropped_total", &full).unwrap_or_default();
        assert!(dropped > 0.5, "{ledger:#?}");
        assert!((dropped - ledger.kind("closed").dropped).abs() < 0.5, "{ledger:#?}");
        let warnings = stderr.lines().filter(|line| line.contains("events are being lost in the kernel"));
        assert_eq!(warnings.count(), 1, "{stderr}");

        let missing = (truth.ends().count() - closed.len()) as f64;
        assert!(dropped > missing - 0.5, "{missing} are missing, {dropped} counted");
        if dropped > missing + 0.5 {
            // One of another program was among them, whose bytes are among those of the metrics.
            continue;
        }
        let total = |key: &str| closed.iter().map(|event| event.number(key)).sum::<u64>();
        let moved = |of: fn(&Report) -> u64| truth.ends().map(of).sum::<u64>();
        assert_eq!(
            [total("convis.bytes.sent") + lost[0], total("convis.bytes.received") + lost[1]],
            [moved(|end| end.written), moved(|end| end.read)],
            "{} events came, {dropped} were lost",
            closed.len()
        );
        return;
    }
    panic!("other programs' connections came in between {ATTEMPTS} times");
}

/// Scenario: 300 connections are open at a time, where the ledger has room for 64 ends.
/// Guarantees: every end is told once with its exact bytes; who is named is the right one; those without room are counted.
#[test]
fn a_small_ledger_loses_nothing() {
    const CONNECTIONS: usize = 300;
    need!(root());
    let _turn = turns::alone();
    let convis = Convis::start(&["--max-connections", "64"]);
    let exchange =
        Exchange { send: SENT, expect: ANSWERED, hold: Duration::from_secs(3), ..Exchange::default() };
    let scene = Scene { count: CONNECTIONS, parallel: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) };
    let truth = scene.play();
    let (ledger, stopped) = settle(convis, &truth);
    assert!(stopped.status.success(), "{}: {}", stopped.status, stopped.stderr);
    assert!(ledger.dropped() < 0.5, "{ledger:#?}");
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
    let untracked = ledger.sum("convis_connections_untracked_total", &[]).unwrap_or_default();
    assert!(untracked > 0.5, "{ledger:#?}");

    let ends = || stopped.events.iter().filter(|event| event.name == CLOSED);
    for end in truth.ends() {
        let is_its =
            |event: &&Event| event.local() == canonical(end.local) && event.peer() == canonical(end.peer);
        let told: Vec<&Event> = ends().filter(is_its).collect();
        let [event] = told[..] else { panic!("{} closed events of {end:?}: {told:#?}", told.len()) };
        assert_eq!(event.number("convis.bytes.sent"), end.written, "{end:?}: {event:#?}");
        assert_eq!(event.number("convis.bytes.received"), end.read, "{end:?}: {event:#?}");
        let is_its_owner = event.pid().is_none_or(|pid| pid == u64::from(end.pid));
        assert!(is_its_owner, "{end:?}: {event:#?}");
        // The connections are held open for seconds: one whose beginning was not seen says nothing of its duration.
        let duration = event.try_get("convis.connection.duration").and_then(serde_json::Value::as_f64);
        assert!(duration.is_none_or(|seconds| seconds > 2.0), "{end:?}: {event:#?}");
    }
}
