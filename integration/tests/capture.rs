//! What convis says about single connections, against what their own sockets did.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use convis_integration::actors::{Scene, Truth, free_port};
use convis_integration::clock::unix_nanos;
use convis_integration::convis::Convis;
use convis_integration::ends::{self, End};
use convis_integration::event::{CLOSED, FAILED};
use convis_integration::need::root;
use convis_integration::traffic::Exchange;
use convis_integration::truth::{Report, Side};
use convis_integration::{need, turns};

const SIZES: [u64; 6] = [0, 1, 1000, 65_536, 1_000_000, 50_000_000];
const EVENTS_OF_A_CONNECTION: usize = 4;

fn both_ways(size: u64, first: Side) -> Exchange {
    Exchange { send: size, expect: size, first, ..Exchange::default() }
}

/// Plays all scenes under one convis and gives the ends it reported, in pairs with what they should be.
fn observe(scenes: &[Scene]) -> Vec<(End, Report)> {
    let convis = Convis::start::<&str>(&[]);
    let truths: Vec<Truth> = scenes.iter().map(Scene::play).collect();
    for truth in &truths {
        convis.wait_for_events(truth.server.port(), EVENTS_OF_A_CONNECTION * truth.clients.len());
    }
    let stopped = convis.stop();
    let ends_of = |truth: &Truth| -> Vec<(End, Report)> {
        let events = stopped.events_at(truth.server.port());
        assert_eq!(events.len(), EVENTS_OF_A_CONNECTION * truth.clients.len(), "nothing else: {events:#?}");
        truth.ends().map(|report| (ends::find(&events, report), report.clone())).collect()
    };
    truths.iter().flat_map(ends_of).collect()
}

/// As [`observe`], then everything that must hold for connections that end in an orderly way.
fn observe_orderly(scenes: &[Scene]) -> Vec<(End, Report)> {
    let ends = observe(scenes);
    for (end, report) in &ends {
        let other = ends.iter().map(|(_, other)| other);
        let other = other.filter(|other| other.side != report.side).find(|other| other.peer == report.local);
        ends::check(end, report, other.expect("a connection has two ends"));
    }
    let ids: BTreeSet<&str> = ends.iter().map(|(end, _)| end.opened.text("convis.connection.id")).collect();
    assert_eq!(ids.len(), ends.len(), "every end has an id of its own");
    ends
}

fn sizes_and_closers(listen: &str) -> Vec<Scene> {
    let closers = [Side::Client, Side::Server];
    let exchanges = SIZES.into_iter().flat_map(|size| closers.map(|first| both_ways(size, first)));
    exchanges.map(|exchange| Scene::one(listen, exchange)).collect()
}

/// Scenario: IPv4 connections of 0 bytes to 50 MB both ways at once, closed first by either end.
/// Guarantees: one opened and one closed event per end, with the right process, tuple, ids, byte counts, times and
/// cause of the end.
#[test]
fn ipv4_connections_are_exact() {
    need!(root());
    let _turn = turns::together();
    observe_orderly(&sizes_and_closers("127.0.0.1:0"));
}

/// Scenario: the same over IPv6.
/// Guarantees: the same.
#[test]
fn ipv6_connections_are_exact() {
    need!(root());
    let _turn = turns::together();
    observe_orderly(&sizes_and_closers("[::1]:0"));
}

/// Scenario: an IPv6 socket reaches an IPv4 address through its mapped form.
/// Guarantees: both ends are written as IPv4 and say `ipv4`.
#[test]
fn mapped_addresses_are_written_as_ipv4() {
    need!(root());
    let _turn = turns::together();
    let reach: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    let scene = Scene { reach: Some(reach), ..Scene::one("[::]:0", both_ways(1000, Side::Client)) };
    let ends = observe_orderly(&[scene]);
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|(end, _)| end.opened.text("network.local.address") == "127.0.0.1"));
}

/// Scenario: one direction ends long before the other.
/// Guarantees: the first FIN decides who closed, bytes after it still count.
#[test]
fn a_half_closed_connection_counts_to_the_end() {
    need!(root());
    let _turn = turns::together();
    let half = |first| Exchange { half_close: true, ..both_ways(1_000_000, first) };
    let early = Exchange { send: 10, ..half(Side::Client) };
    observe_orderly(&[
        Scene::one("127.0.0.1:0", half(Side::Client)),
        Scene::one("127.0.0.1:0", half(Side::Server)),
        Scene::one("127.0.0.1:0", early),
    ]);
}

/// Scenario: a connection is held open for half a second.
/// Guarantees: its duration is what its processes lived, not when convis got to it.
#[test]
fn durations_are_the_connections_own() {
    need!(root());
    let _turn = turns::together();
    let hold = Duration::from_millis(500);
    let scene = |first| Scene::one("127.0.0.1:0", Exchange { hold, ..both_ways(10, first) });
    for (end, report) in observe_orderly(&[scene(Side::Client), scene(Side::Server)]) {
        let duration = end.closed.seconds("convis.connection.duration");
        assert!((0.495..1.5).contains(&duration), "{duration} s: {report:?}");
    }
}

/// Scenario: fifty processes, each gone right after its one connection.
/// Guarantees: each connection names its own process, with its executable and parent.
#[test]
fn processes_that_live_milliseconds_are_named() {
    need!(root());
    let _turn = turns::together();
    let convis = Convis::start::<&str>(&[]);
    let scene = Scene { count: 50, ..Scene::one("127.0.0.1:0", both_ways(10, Side::Client)) };
    let truth = scene.play_by_one_process_each();
    let port = truth.server.port();
    convis.wait_for_events(port, EVENTS_OF_A_CONNECTION * scene.count);
    let events = convis.stop().events_at(port);
    for report in truth.ends() {
        let end = ends::find(&events, report);
        ends::check_owner(&end.opened, report);
        ends::check_owner(&end.closed, report);
    }
    let pids: BTreeSet<u32> = truth.clients.iter().map(|report| report.pid).collect();
    assert_eq!(pids.len(), 50, "the scene has fifty client processes");
}

/// Scenario: the end that has read what it wanted resets the connection, once the client, once the server.
/// Guarantees: both ends say who reset; what was acknowledged, received and left unacknowledged adds up.
#[test]
fn resets_are_told_apart() {
    need!(root());
    let _turn = turns::together();
    let client_resets = Exchange { expect: 1000, linger0: true, ..Exchange::default() };
    let server_resets = Exchange { first: Side::Server, ..client_resets.mirrored() };
    for exchange in [client_resets, server_resets] {
        let ends = observe(&[Scene::one("127.0.0.1:0", exchange.clone())]);
        let (resetting, suffering): (Vec<_>, Vec<_>) =
            ends.iter().partition(|(_, report)| report.side == exchange.first);
        let (resetting, suffering) = (&resetting[0].0.closed, &suffering[0].0.closed);
        assert_eq!(resetting.text("convis.close.reason"), "local_reset");
        assert_eq!(suffering.text("convis.close.reason"), "peer_reset");
        assert_eq!(resetting.number("convis.bytes.received"), 1000);
        assert_eq!(resetting.number("convis.bytes.sent"), 0);
        let sent = suffering.number("convis.bytes.sent");
        let unacked =
            suffering.try_get("convis.bytes.unacked").map_or(0, |_| suffering.number("convis.bytes.unacked"));
        assert!(sent <= 1000 && 1000 <= sent + unacked, "{sent} sent, {unacked} unacknowledged");
    }
}

/// Scenario: nobody listens, over IPv4 and IPv6.
/// Guarantees: exactly one failed event, with the process that tried, both addresses, and `refused` as a warning.
#[test]
fn a_refused_connect_fails_once() {
    need!(root());
    let _turn = turns::together();
    for address in ["127.0.0.1", "::1"] {
        let address: IpAddr = address.parse().unwrap();
        let to = SocketAddr::new(address, free_port());
        let convis = Convis::start::<&str>(&[]);
        let from = vec![SocketAddr::new(address, 0)];
        let report = Scene { from, ..Scene::one("127.0.0.1:0", Exchange::default()) }.connect(to).remove(0);
        assert_eq!(report.result, "ECONNREFUSED");
        convis.wait_for_events(to.port(), 1);

        let events = convis.stop().events_at(to.port());
        assert_eq!(events.len(), 1, "{events:#?}");
        let failed = &events[0];
        assert_eq!(failed.name, FAILED);
        assert_eq!(failed.text("error.type"), "refused");
        assert!(failed.is_warning(), "{failed:#?}");
        assert!((0.0..1.0).contains(&failed.seconds("convis.connection.duration")));
        ends::check_owner(failed, &report);
        ends::check_addresses(failed, &report);
    }
}

/// Scenario: a connection is opened and carries data, then convis starts, then it is closed.
/// Guarantees: both ends' closed events say so, count from the connection's start and name the process that held the end
/// when convis started; there is no opened event and no duration.
#[test]
fn a_connection_older_than_convis_is_known() {
    need!(root());
    let _turn = turns::together();
    let hold = Duration::from_secs(3);
    let scene = Scene::one("127.0.0.1:0", Exchange { hold, ..both_ways(1000, Side::Client) });
    let playing = thread::spawn(move || scene.play());
    thread::sleep(Duration::from_millis(500));
    let convis = Convis::start::<&str>(&[]);
    let capturing = unix_nanos();
    let truth = playing.join().expect("the scene plays to its end");
    let port = truth.server.port();
    assert!(truth.clients[0].closing > capturing, "convis took longer to start than the connection lasted");
    convis.wait_for_events(port, 2);

    let events = convis.stop().events_at(port);
    assert_eq!(events.len(), 2, "{events:#?}");
    for report in truth.ends() {
        let closed = events.iter().find(|event| event.local() == report.local).expect("each end closes");
        assert_eq!(closed.name, CLOSED);
        assert_eq!(closed.get("convis.connection.preexisting"), true);
        assert_eq!(closed.number("convis.bytes.sent"), 1000);
        assert_eq!(closed.number("convis.bytes.received"), 1000);
        assert_eq!(closed.try_get("convis.connection.duration"), None);
        assert_eq!(closed.pid(), Some(u64::from(report.pid)));
        assert_eq!(closed.text("convis.process.attribution"), "procfs");
        ends::check_addresses(closed, report);
    }
}
