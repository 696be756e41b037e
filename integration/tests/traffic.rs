//! The witnesses agree with each other before they judge convis.

use std::net::SocketAddr;

use convis_integration::actors::{Scene, Truth, canonical, free_port};
use convis_integration::traffic::Exchange;
use convis_integration::truth::Side;
use convis_integration::turns;

fn agree(truth: &Truth) {
    for client in &truth.clients {
        let server = truth.other_end(client);
        assert_eq!(client.result, "ok", "{client:?}");
        assert_eq!(server.result, "ok", "{server:?}");
        assert_eq!((client.written, client.read), (server.read, server.written));
        assert_eq!(canonical(client.peer), canonical(server.local));
        assert_eq!(client.closed_first, server.closed_first.map(|first| !first));
        assert_ne!(client.pid, server.pid);
        assert!(
            client.started <= client.opened
                && client.opened <= client.closing
                && client.closing <= client.ended
        );
    }
}

/// Scenario: one connection each over IPv4, IPv6 and IPv4-mapped IPv6, from nothing to 50 MB both ways at once,
/// closed first by either end, wholly or by half.
/// Guarantees: both ends report the same tuple and byte counts, no direction waits for the other.
#[test]
fn both_ends_report_the_same() {
    let _turn = turns::together();
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        for size in [0, 1, 1000, 65_536, 1_000_000, 50_000_000] {
            for (first, half_close) in [(Side::Client, false), (Side::Server, false), (Side::Client, true)] {
                let exchange =
                    Exchange { send: size, expect: size, first, half_close, ..Exchange::default() };
                let truth = Scene::one(listen, exchange).play();
                agree(&truth);
                assert_eq!((truth.clients[0].written, truth.clients[0].read), (size, size));
                assert_eq!(truth.clients[0].closed_first, Some(first == Side::Client));
            }
        }
    }
}

/// Scenario: an IPv6 socket connects to an IPv4 address through its mapped form.
/// Guarantees: the reports keep the mapped form the sockets really have.
#[test]
fn mapped_addresses_are_reported_as_they_are() {
    let _turn = turns::together();
    let exchange = Exchange { send: 10, ..Exchange::default() };
    let scene = Scene { reach: Some("::ffff:127.0.0.1".parse().unwrap()), ..Scene::one("[::]:0", exchange) };
    let truth = scene.play();
    agree(&truth);
    assert!(truth.ends().all(|end| end.local.is_ipv6() && canonical(end.local).is_ipv4()));
}

/// Scenario: nobody listens.
/// Guarantees: the client says so and knows the port it tried from.
#[test]
fn a_refused_connect_is_reported() {
    let _turn = turns::together();
    let from = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let scene = Scene { from, ..Scene::one("127.0.0.1:0", Exchange::default()) };
    let reports = scene.connect(SocketAddr::from(([127, 0, 0, 1], free_port())));
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].result, "ECONNREFUSED");
    assert_ne!(reports[0].local.port(), 0);
}

/// Scenario: the end that closes first resets.
/// Guarantees: the other end reports the reset.
#[test]
fn a_reset_is_reported() {
    let _turn = turns::together();
    let exchange = Exchange { expect: 1000, linger0: true, ..Exchange::default() };
    let truth = Scene::one("127.0.0.1:0", exchange).play();
    assert_eq!(truth.clients[0].result, "ok");
    assert_eq!(truth.servers[0].result, "ECONNRESET");
}

/// Scenario: 20,000 connections as fast as two processes can.
/// Guarantees: none fails for want of ports, every one is reported by both ends.
#[test]
fn a_flood_is_reported_whole() {
    let _turn = turns::alone();
    let exchange = Exchange { send: 100, expect: 200, ..Exchange::default() };
    let truth = Scene { count: 20_000, parallel: 4, ..Scene::one("127.0.0.1:0", exchange) }.play();
    let sum = |read: fn(&convis_integration::truth::Report) -> u64| truth.ends().map(read).sum::<u64>();
    assert_eq!(truth.ends().filter(|end| end.result == "ok").count(), 40_000);
    assert_eq!(sum(|end| end.written), 20_000 * 300);
    assert_eq!(sum(|end| end.read), 20_000 * 300);
}
